"""Who is who, who speaks, and whether a trace is one person's own, in scenes with known truth (see scenes.py).

    python benchmarks/people.py DATA                        the tuning scenes
    python benchmarks/people.py DATA --test --out FOLDER    the test scenes, kept for the next run, and a row a scene in CSV
    python benchmarks/people.py DATA --against OTHER/src    also the traces and the time of another version

DATA is as in scenes.py. Choose nothing by the test scenes. The intervals hold 95 % of bootstrap resamples of the scenes.

- **Purity**: the share of a recording's boxes, one a person and step, that show the same real person as most boxes of that
  number. A box that shows no face is wrong.
- **Completeness**: the share of the steps of real people in sight that are in the box of their most frequent number.
- **Diarization error rate**: missed speech, speech that isn't there, and speech of somebody else, in shares of all speech,
  without a collar. Labels and speakers are matched one to one, as well as possible. By voice alone, and of the final turns.
- **Right person**: the share of the speech of people in sight, or for the moment out of sight, that is given to them.
- **Nobody**: the share of the speech off screen that is given to nobody in sight.
- **Trace**: mean absolute difference between the main person's trace and that of the same person alone, where both have
  support.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vatrace
from scenes import OFF_SCREEN, Said, Seen, Truth, make_scene, scenes_of
from vatrace import Model, Prediction, load_model
from vatrace.evaluation.bootstrap import interval, resample_counts
from vatrace.features.speech import BLOCK_DUR
from vatrace.media.mixing import choose_mix
from vatrace.media.reading import AudioReader

PRECISION = 100
"""Steps a second at which turns are compared."""
MIN_OVERLAP = 0.3
"""Intersection over union from which a box shows a face. Boxes of different people don't overlap."""
ROUNDING = 1e-6
"""Seconds by which times of the same frame may differ."""
REPEATS = 3
"""Alternating runs of each version."""

Ratio = tuple[float, float]
"""Numerator and denominator; those of several scenes are added up."""
MEASURES = {  # name, and its bar
    "purity": ">= 0.98",
    "completeness": ">= 0.95",
    "error rate, by voice alone": "<= 0.10",
    "error rate, final turns": "<= 0.10",
    "  missed": "",
    "  no speech there": "",
    "  somebody else": "",
    "right person, in sight": ">= 0.95",
    "right person, out of sight for the moment": "",
    "nobody, for speech off screen": "",
    "trace, valence": "<= 0.03",
    "trace, arousal": "<= 0.03",
    "trace of the other version, valence": "",
    "trace of the other version, arousal": "",
    "one person: difference from the other version": "",
}


def overlaps(boxes: NDArray[np.float64], box: Sequence[float]) -> NDArray[np.float64]:
    """Intersection over union of boxes (T, 4) with one box; 0 where they are NaN, (T,)."""
    other = np.array(box)
    sides = np.minimum(boxes[:, 2:], other[2:]) - np.maximum(boxes[:, :2], other[:2])
    shared = np.maximum(sides, 0).prod(axis=1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (other[2:] - other[:2]).prod() - shared
    return np.nan_to_num(shared / union)


def count_faces(
    sights: Sequence[Seen], boxes: Mapping[str, NDArray[np.float64]], times: NDArray[np.float64]
) -> tuple[dict[str, dict[str, int]], int, int]:
    """Compare the boxes of people with the truth.

    Args:
        sights: who is in sight when and where.
        boxes: (T, 4) by the person's number, NaN where the person isn't in sight.
        times: (T,) seconds.

    Returns:
        The number of steps by number and real person; the number of boxes that show nobody; and that of real faces.
    """
    counts: dict[str, dict[str, int]] = {label: {} for label in boxes}
    matched = {label: np.zeros(len(times), bool) for label in boxes}
    num_faces = 0
    for sight in sights:
        inside = (times > sight.start - ROUNDING) & (times < sight.end - ROUNDING)
        num_faces += int(inside.sum())
        for label, found in boxes.items():
            shows = inside & (overlaps(found, sight.box) >= MIN_OVERLAP) & ~matched[label]
            matched[label] |= shows
            counts[label][sight.person] = counts[label].get(sight.person, 0) + int(shows.sum())
    ghosts = sum(int((~np.isnan(boxes[label][:, 0]) & ~matched[label]).sum()) for label in boxes)
    return counts, ghosts, num_faces


def identity(counts: Mapping[str, Mapping[str, int]], ghosts: int, num_faces: int) -> dict[str, Ratio]:
    """Purity and completeness from the counts of `count_faces`."""
    right = sum(max(by_person.values(), default=0) for by_person in counts.values())
    boxes = sum(sum(by_person.values()) for by_person in counts.values()) + ghosts
    people = {person for by_person in counts.values() for person in by_person}
    kept = sum(max(by_person.get(person, 0) for by_person in counts.values()) for person in people)
    return {"purity": (right, boxes), "completeness": (kept, num_faces)}


def names(counts: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    """The real person whom each number shows most."""
    return {label: max(found, key=lambda person: found[person]) for label, found in counts.items() if any(found.values())}


def label_steps(turns: Iterable[tuple[float, float, Any]], order: Sequence[Any], num_steps: int) -> NDArray[np.int64]:
    """The index in `order` of who speaks at each of `num_steps`, PRECISION a second; len(order) for others, -1 for silence."""
    steps = np.full(num_steps, -1)
    for start, end, label in turns:
        steps[round(start * PRECISION) : round(end * PRECISION)] = order.index(label) if label in order else len(order)
    return steps


def best_pairs(shared: NDArray[np.int64]) -> list[int]:
    """Pair rows and columns (H, R) one to one such that the sum of their entries is largest: the row of each column, or -1."""
    best: dict[int, tuple[int, list[int]]] = {0: (0, [])}  # by the set of rows that are taken
    for column in shared.T.tolist():
        found = {taken: (total, [*rows, -1]) for taken, (total, rows) in best.items()}
        for taken, (total, rows) in best.items():
            for row, value in enumerate(column):
                if value and not taken >> row & 1 and total + value > found.get(taken | 1 << row, (-1, []))[0]:
                    found[taken | 1 << row] = (total + value, [*rows, row])
        best = found
    return max(best.values(), key=lambda option: option[0])[1]


def diarization(
    truth: Sequence[Said], turns: Sequence[tuple[float, float, Any]], nobody: object, duration: float
) -> dict[str, Ratio]:
    """The diarization error rate and its three parts.

    Args:
        truth: who speaks when, never two at once.
        turns: start, end and label of each turn that was found.
        nobody: the label of turns that are given to nobody, because several speak.
        duration: seconds.
    """
    num_steps = round(duration * PRECISION)
    speakers = list(dict.fromkeys(turn.person for turn in truth))
    labels = list(dict.fromkeys(label for _, _, label in turns if label != nobody))
    real = label_steps([(turn.start, turn.end, turn.person) for turn in truth], speakers, num_steps)
    found = label_steps(turns, labels, num_steps)
    given = (found >= 0) & (found < len(labels))
    both = (real >= 0) & given
    shared = np.zeros((len(labels), len(speakers)), int)
    np.add.at(shared, (found[both], real[both]), 1)
    right = sum(int(shared[row, column]) for column, row in enumerate(best_pairs(shared)) if row >= 0)
    parts = {
        "missed": int(((real >= 0) & ~given).sum()),
        "no speech there": int(((real < 0) & (found >= 0)).sum()),
        "somebody else": int(both.sum()) - right,
    }
    total = int((real >= 0).sum())
    return {name: (value, total) for name, value in {"error rate": sum(parts.values()), **parts}.items()}


def attribution(truth: Truth, turns: Sequence[tuple[float, float, str]], named: Mapping[str, str]) -> dict[str, Ratio]:
    """The shares of speech that were given to the right person, and to nobody if the speaker is never in sight.

    Args:
        truth: what happens.
        turns: start, end and the person's number of each turn; other labels are for nobody.
        named: the real person by number.
    """
    num_steps = round(truth.duration * PRECISION)
    people = list(dict.fromkeys([*(turn.person for turn in truth.turns), *(sight.person for sight in truth.sights)]))
    real = label_steps([(turn.start, turn.end, turn.person) for turn in truth.turns], people, num_steps)
    found = label_steps([(start, end, named.get(label)) for start, end, label in turns], people, num_steps)
    in_sight = np.zeros(num_steps, bool)
    for sight in truth.sights:
        inside = slice(round(sight.start * PRECISION), round(sight.end * PRECISION))
        in_sight[inside] |= real[inside] == people.index(sight.person)
    off_screen = real == (people.index(OFF_SCREEN) if OFF_SCREEN in people else -2)
    away = (real >= 0) & ~in_sight & ~off_screen
    nobody = (found < 0) | (found == len(people))
    shares = {
        "right person, in sight": (found == real, in_sight),
        "right person, out of sight for the moment": (found == real, away),
        "nobody, for speech off screen": (nobody, off_screen),
    }
    return {name: (int((right & among).sum()), int(among.sum())) for name, (right, among) in shares.items()}


Trace = Mapping[str, Any]
"""`valence`, `arousal` and `supported`, (T,) each."""


def trace_of(prediction: Prediction) -> Trace:
    """The trace of a prediction."""
    return {name: getattr(prediction, name) for name in ("valence", "arousal", "supported")}


def distance(one: Trace, other: Trace) -> dict[str, Ratio]:
    """Sum of absolute differences, and number of steps at which both have support, of valence and arousal."""
    num = min(len(one["valence"]), len(other["valence"]))
    both = np.array(one["supported"][:num]) & np.array(other["supported"][:num])
    gaps = {name: np.abs(np.array(one[name][:num]) - np.array(other[name][:num]))[both] for name in ("valence", "arousal")}
    return {name: (float(gap.sum()), int(both.sum())) for name, gap in gaps.items()}


def measure(truth: Truth, prediction: Prediction, voices: Sequence[tuple[float, float, int | None]]) -> dict[str, Ratio]:
    """All that can be measured by the truth alone, from a prediction of all people and the turns by voice alone."""
    boxes = {label: found.boxes for label, found in prediction.people.items() if found.boxes is not None}
    counts, ghosts, num_faces = count_faces(truth.sights, boxes, prediction.times)
    turns = [(turn.start, turn.end, turn.person) for turn in prediction.turns]
    final = diarization(truth.turns, turns, "several", truth.duration)
    by_voice = diarization(truth.turns, voices, None, truth.duration)
    return {
        **identity(counts, ghosts, num_faces),
        "error rate, by voice alone": by_voice["error rate"],
        "error rate, final turns": final.pop("error rate"),
        **{f"  {name}": ratio for name, ratio in final.items()},
        **attribution(truth, turns, names(counts)),
    }


def turns_by_voice(path: Path) -> list[tuple[float, float, int | None]]:
    """Start, end and voice of each turn, by voice alone."""
    from vatrace.features.speakers import Diarizer  # noqa: PLC0415

    mix = choose_mix(path)
    voices = Diarizer()(block * np.float32(mix.gain) for block in AudioReader(path, BLOCK_DUR, mix))
    return [(turn.start, turn.end, turn.voice) for turn in voices.turns]


WORKER = """
import json, sys, time
import vatrace
model = vatrace.load_model()
for line in sys.stdin:
    started = time.perf_counter()
    found = model.predict(line.strip())
    answer = {"seconds": time.perf_counter() - started}
    answer |= {name: getattr(found, name).tolist() for name in ("valence", "arousal", "supported")}
    print(json.dumps(answer), flush=True)
"""


class Version:
    """A version of vatrace in a process of its own, which predicts recordings with the default options."""

    def __init__(self, source: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(source)}
        command = [sys.executable, "-c", WORKER]
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def predict(self, path: Path) -> dict[str, Any]:
        """The trace of a recording, and the `seconds` that it took."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        return dict(json.loads(self.process.stdout.readline()))


@contextmanager
def version_in(source: Path) -> Iterator[Version]:
    """Start another version, and end it."""
    version = Version(source)
    try:
        yield version
    finally:
        version.process.kill()
        version.process.wait()


def measure_scene(model: Model, truth: Truth, folder: Path, other: Version | None) -> dict[str, Ratio]:
    """All measures of one scene."""
    path, alone = folder / f"{truth.name}.mp4", folder / f"{truth.name}-alone.mp4"
    prediction = model.predict(path, people="all")
    found = measure(truth, prediction, turns_by_voice(path))
    if truth.kind == "alone":  # the two recordings are the same
        if other is not None:
            gaps = distance(trace_of(prediction), other.predict(path))
            found["one person: difference from the other version"] = max(gaps.values())
        return found
    gaps = distance(trace_of(prediction), trace_of(model.predict(alone)))
    found |= {f"trace, {name}": ratio for name, ratio in gaps.items()}
    if other is not None:
        gaps = distance(other.predict(path), other.predict(alone))
        found |= {f"trace of the other version, {name}": ratio for name, ratio in gaps.items()}
    return found


def total(ratios: Sequence[Ratio]) -> tuple[float, float, float]:
    """The ratio of sums over scenes, and the ends of its interval; NaN where it is undefined."""
    if not ratios:
        return np.nan, np.nan, np.nan
    sums = np.array(ratios, float)  # (S, 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(sums[:, 0].sum() / sums[:, 1].sum())
        resampled = resample_counts(len(sums)) @ sums
        low, high = interval(resampled[:, 0] / resampled[:, 1])
    return value, low, high


Results = Mapping[str, Mapping[str, Ratio]]
"""Measures by name, by the scene's name."""


def table(results: Results) -> str:
    """The measures over all scenes, then the main ones by kind of scene."""
    lines = [f"{'measure':46} {'value':>6}  {'95 % interval':15} {'bar':9} scenes"]
    for name, bar in MEASURES.items():
        ratios = [found[name] for found in results.values() if found.get(name, (0, 0))[1]]
        if ratios:
            value, low, high = total(ratios)
            lines.append(f"{name:46} {value:6.3f}  {low:5.3f} .. {high:5.3f}  {bar:9} {len(ratios)}")
    columns = [name for name, bar in MEASURES.items() if bar]
    lines += ["", f"{'by kind':12}" + "".join(f"{name.removeprefix('error rate, '):>24}" for name in columns)]
    for kind in dict.fromkeys(scene.split("-")[1] for scene in results):
        inside = [found for scene, found in results.items() if scene.split("-")[1] == kind]
        values = [total([found[name] for found in inside if name in found])[0] for name in columns]
        lines.append(f"{kind:12}" + "".join(f"{value:24.3f}" for value in values))
    return "\n".join(lines)


def write_results(results: Results, path: Path) -> None:
    """A CSV with a row a scene; NaN where a measure doesn't apply."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["scene", *(name.strip() for name in MEASURES)])
        for scene, found in results.items():
            writer.writerow([scene, *(f"{total([found[name]] if name in found else [])[0]:.4f}" for name in MEASURES)])


def cost(new: Version, old: Version, recordings: Mapping[str, Path]) -> str:
    """How long two versions take, in alternating runs, with their models loaded."""
    lines = [f"{'whole job':20} {'seconds':>8} {'other version':>14} {'ratio':>6}   in single runs"]
    for name, path in recordings.items():
        seconds = [[version.predict(path)["seconds"] for version in (new, old)] for _ in range(REPEATS + 1)][1:]
        mine, theirs = (statistics.median(column) for column in zip(*seconds, strict=True))
        ratios = [one / other for one, other in seconds]
        lines.append(f"{name:20} {mine:8.1f} {theirs:14.1f} {mine / theirs:6.2f}   {min(ratios):.2f} .. {max(ratios):.2f}")
    return "\n".join(lines)


def longest(truths: Sequence[Truth], kind: str) -> str:
    """The name of the longest scene of a kind."""
    return max((truth for truth in truths if truth.kind == kind), key=lambda truth: truth.duration).name


def run(args: argparse.Namespace, folder: Path) -> None:
    """Make the scenes, measure and print."""
    split = "test" if args.test else "tuning"
    truths = []
    for kind, seed in scenes_of(split):
        truths.append(make_scene(kind, split, seed, args.data, folder))
        print(f"made {truths[-1].name}", file=sys.stderr, flush=True)
    model, results = load_model(), dict[str, dict[str, Ratio]]()

    def measure_all(other: Version | None) -> None:
        for number, truth in enumerate(truths, 1):
            results[truth.name] = measure_scene(model, truth, folder, other)
            print(f"measured {number} of {len(truths)}: {truth.name}", file=sys.stderr, flush=True)

    if args.against is None:
        measure_all(None)
        print(table(results))
    else:
        with version_in(args.against) as other, version_in(Path(vatrace.__file__).parents[1]) as new:
            measure_all(other)
            print(table(results))
            print(
                "", cost(new, other, {kind: folder / f"{longest(truths, kind)}.mp4" for kind in ("alone", "three")}), sep="\n"
            )
    if args.out:
        write_results(results, folder / f"people-{split}.csv")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with `clips` and `ravdess`")
    parser.add_argument("--test", action="store_true", help="use the test scenes; choose nothing by them")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the scenes are kept, and a CSV with a row a scene")
    parser.add_argument("--against", type=Path, metavar="SRC", help="the `src` of another version: its traces, and its time")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        run(args, folder)


if __name__ == "__main__":
    main()
