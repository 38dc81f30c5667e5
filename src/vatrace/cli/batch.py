"""The recordings of `vatrace predict`: which of them remain to be done, and how each is done."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from math import isinf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vatrace.cli.terminal import load, refuse_existing
from vatrace.errors import MediaError, MissingWeightsError, UsageError, VatraceError, described, report_bug
from vatrace.files import shown
from vatrace.names import MAX_PEOPLE
from vatrace.output.batch import SIDE, Choice, Result, result_files
from vatrace.output.provenance import Provenance, all_there, check_ours, read_provenance, starting
from vatrace.output.recordings_list import WHO, Listed
from vatrace.watcher import working_on

if TYPE_CHECKING:
    from vatrace.inference.model import Model
    from vatrace.inference.prediction import Prediction
    from vatrace.names import Progress


@dataclass(frozen=True)
class Item:
    """A recording of the batch.

    Attributes:
        path: the recording.
        name: what the names of its results start with; with slashes if they are in subfolders.
        names: the names of its people, by number; the others keep their numbers.
        choice: its transcript.
        listed: its line in the user's list; without a list, one that says nothing.
    """

    path: Path
    name: str
    names: Mapping[str, str]
    choice: Choice
    listed: Listed

    def side(self, args: argparse.Namespace) -> Path:
        """Its side file."""
        return result_files(args.out, self.name, [SIDE])[0].path

    def results(self, args: argparse.Namespace, people: Sequence[str]) -> list[Result]:
        """Its results with these people."""
        side = [] if "json" in args.format else [SIDE]
        kinds = [*args.format, "png", *(["html"] if args.report else []), *(["overlay"] if args.overlay else []), *side]
        return result_files(args.out, self.name, kinds, people if args.per_person else ())

    def possible(self, args: argparse.Namespace) -> list[Result]:
        """The results that it can have, whoever is in it."""
        numbers = map(str, range(1, MAX_PEOPLE + 1))
        return self.results(args, [self.names.get(number, number) for number in numbers])

    def who(self, args: argparse.Namespace) -> tuple[Any, Path | None, str | None]:
        """Whose traces are wanted: `people` and `person` of `Model.predict`, and the number of the only person to keep."""
        people = self.listed.people
        if self.listed.picture is not None:
            return "main", self.listed.picture, None
        if people in WHO:
            return people, None, None
        return (int(people), None, people) if people else (args.people, args.person, None)


@dataclass(frozen=True)
class Task:
    """A recording to process.

    Attributes:
        item: the recording.
        args: the options of the command.
        models: the weights, for the provenance.
        made: how the results are made; None if the recording hasn't been read for it yet.
        replaces: whether existing results may be replaced.
        why: why results that exist are made again; "" if there are none.
        threads: CPU threads.
    """

    item: Item
    args: argparse.Namespace
    models: Mapping[str, str]
    made: Provenance | None = None
    replaces: bool = False
    why: str = ""
    threads: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a recording.

    Attributes:
        item: the recording.
        rows: of the summary; none if it failed.
        error: why it failed; "" on success.
        text: what to print about it.
        warning: what to warn of; "" for nothing.
    """

    item: Item
    rows: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""
    text: str = ""
    warning: str = ""

    @property
    def summary(self) -> list[dict[str, Any]]:
        """Its rows of the summary, with its name, or with its error."""
        rows = [{**self.item.listed.about, "error": self.error}] if self.error else self.rows
        return [{"recording": self.item.name} | row for row in rows]


def plan(items: Sequence[Item], args: argparse.Namespace, models: Mapping[str, str]) -> Iterator[Outcome | Task]:
    """For each recording: its outcome if it is done or must not be done, or else the task that remains."""
    for item in items:
        try:
            yield _planned(item, args, models)
        except (VatraceError, OSError) as error:
            yield Outcome(item, error=described(error, item.path))


def _planned(item: Item, args: argparse.Namespace, models: Mapping[str, str]) -> Outcome | Task:
    targets = [result.path for result in item.possible(args)]
    picture = item.who(args)[1]
    for source in (item.path, item.choice.path, picture, args.names, args.adapt, args.list):
        if source and any(target.exists() and source.exists() and target.samefile(source) for target in targets):
            raise FileExistsError(f"{source}: its own result would replace it: give another folder with --out")
    side = item.side(args)
    earlier = read_provenance(side) if side.is_file() else None
    made = None if args.overwrite or earlier is None else wanted(item, args, models, earlier[0])
    if made is None or earlier is None:  # a new recording is read by the worker
        refuse_existing(targets, args.overwrite)
        return Task(item, args, models, replaces=args.overwrite)
    found, rows = earlier
    changes = found.changes(made)
    expected = [result.path.name for result in item.results(args, found.people)]
    full = "json" not in args.format or found.results.get(side.name, {}).get("kind") == "json"
    if not changes and full and all_there(side, found, expected):
        return Outcome(item, rows)
    check_ours(side, found, made, sorted({*expected, *(target.name for target in targets)}))
    return Task(item, args, models, made, replaces=True, why=", ".join(changes) or "some files are missing")


def wanted(item: Item, args: argparse.Namespace, models: Mapping[str, str], known: Provenance | None) -> Provenance | None:
    """The provenance that results made now would have; None if a file is missing, which processing will report."""
    people, picture, kept = item.who(args)
    given = {"transcript": item.choice.path, "person": picture, "adapt": args.adapt, "model": args.model}
    given["active_speaker"] = args.active_speaker
    options = {
        **{"rate": args.rate, "modalities": sorted(args.modalities), "people": people, "kept": kept, "explain": args.explain},
        **{
            "per_person": args.per_person,
            "encoders": args.encoders,
            "names": dict(item.names),
            "about": dict(item.listed.about),
        },
        **{"language": args.language, "encoding": args.encoding},
        **({"also": sorted(args.also)} if args.also else {}),
        "span": None if item.listed.span is None else [None if isinf(time) else time for time in item.listed.span],
        "transcript": "none" if item.choice.path is None else "given" if item.choice.given else "found",
        "other transcripts": [path.name for path in item.choice.others],
    }
    try:
        return starting(item.path, item.side(args).parent, given, options, models, known)
    except OSError:
        return None


def process(task: Task, model: Model, progress: Progress = lambda stage, share: None) -> Outcome:
    """Predict one recording and write its results.

    Raises:
        MissingWeightsError: if weights are missing, because the other recordings would fail too.
    """
    item, args = task.item, task.args
    try:
        with working_on(item.path):
            prediction, results = _process(task, model, progress)
    except MissingWeightsError:
        raise
    except (VatraceError, OSError) as error:
        return Outcome(item, error=described(error, item.path))
    except Exception as error:  # other recordings must not fail because of it
        return Outcome(item, error=report_bug(error, item.path))
    from vatrace.output.writers import summary_rows

    kept = {result.path for result in results}
    old = [result.path.name for result in item.possible(args) if result.path not in kept and result.path.exists()]
    still = f"{args.out}: still contains results of people from an earlier run who aren't in this one: {', '.join(old)}"
    return Outcome(item, summary_rows(prediction), "", description(prediction, results), still if old else "")


def _process(task: Task, model: Model, progress: Progress) -> tuple[Prediction, list[Result]]:
    from vatrace.inference.prediction import for_everyone, within
    from vatrace.output.results import named, write_results

    item, args = task.item, task.args
    refuse_existing([result.path for result in item.possible(args)], task.replaces)
    made = task.made or wanted(item, args, task.models, None)  # first: a file that still grows is done again next time
    changed = [] if made is None else made.outdated(model.loaded)
    if changed:
        raise UsageError(f"{item.path}: {changed[0]} has been changed since it was loaded: run the same command again")
    recording = item.choice.open(item.path, args.language, args.encoding)
    people, picture, kept = item.who(args)
    prediction = model.predict(
        recording,
        rate=args.rate,
        modalities=args.modalities,
        people=people,
        person=picture,
        explain=args.explain or args.report,
        also=args.also,
        language=args.language,
        progress=progress,
    )
    if kept is not None:
        if kept not in prediction.people:
            raise MediaError(f"{item.path}: has no person {kept}, only {', '.join(prediction.people)}")
        prediction = prediction.people[kept]
    prediction = named(prediction, item.names, args.names)
    if item.listed.span is not None:
        prediction = within(prediction, *item.listed.span)
    prediction = for_everyone(prediction, about=dict(item.listed.about))
    results = item.results(args, list(prediction.people))
    refuse_existing([result.path for result in results], task.replaces)
    assert made is not None  # the recording could be read
    results[0].path.parent.mkdir(parents=True, exist_ok=True)
    write_results(prediction, recording, results, made, args.explain, progress)
    return prediction, results


def work(task: Task, progress: Progress) -> Outcome:
    """Process a task in a process of its own, which keeps its model."""
    args = task.args
    model = _model(args.model, args.whisper, args.encoders, args.active_speaker, args.adapt, args.device, task.threads)
    return process(task, model, progress)


@cache
def _model(  # flat, as a cache needs
    model: Path | None,
    whisper: str | None,
    encoders: str,
    active_speaker: Path | None,
    adapt: Path | None,
    device: str,
    threads: int | None,
) -> Model:
    named = {"model": model, "whisper": whisper, "encoders": encoders, "active_speaker": active_speaker, "adapt": adapt}
    return load(argparse.Namespace(**named, device=device), threads)


def lost(task: Task, why: str) -> Outcome:
    """The outcome of a task whose worker was lost."""
    return Outcome(task.item, error=f"{task.item.path}: {why}")


def description(prediction: Prediction, results: Sequence[Result]) -> str:
    """A line for each person, what was written, and the notes."""
    from vatrace.output.naming import personal_notes
    from vatrace.output.report import summary

    name, people = shown(prediction.source.name), prediction.people
    written = ", ".join(str(result.path) for result in results)
    lines = [
        f"{name}{'' if list(people) == ['1'] else f', person {person}'}: {summary(found)}" for person, found in people.items()
    ]
    lines = [*lines, f"{name}: {len(people)} people -> {written}"] if len(people) > 1 else [f"{lines[0]} -> {written}"]
    shared, others = personal_notes(prediction)
    lines += [f"  note: {note}" for note in shared]
    for note, names in others.items():
        whose = f"person {names[0]}" if len(names) == 1 else f"people {', '.join(names)}"
        lines.append(f"  note on {whose}: {note}")
    return "\n".join(lines)


def with_threads(tasks: Sequence[Task], threads: int | None) -> list[Task]:
    """The same tasks for workers with this many CPU threads each; None for one a core."""
    return [replace(task, threads=threads) for task in tasks]
