"""Scenes of several talking people with known truth, composed of GRID clips and RAVDESS voices.

    python benchmarks/scenes.py DATA OUT          make the tuning scenes: an MP4 and a JSON file each, and the main person alone
    python benchmarks/scenes.py DATA OUT --test   make the test scenes

DATA is a folder with `clips/*.mpg` (GRID) and `ravdess/*.flac`, as in recipes/README.md. Files that exist are kept.

How a scene is made:

- **Speech.** Each turn is the sentence of a person's clip, once or twice, at 0.97 to 1.03 times its speed, followed by a pause
  of 0.2 to 1 s. All voices have the same level, give or take 3 dB, over a faint noise. A turn lasts from the first to the last
  speech that the voice activity detector finds in the clips, without its padding; that is right to about 0.05 s. The diarizer
  removes pauses with the same detector, at another threshold, so the edges of turns may look a little better than they are.
- **Pictures.** A person who speaks shows the clip that is heard. Others listen: they show the longer end of their clip without
  speech, to and fro (the mouth rests), or their clip at half speed and backwards (they chew). Changes between these are blended
  for 0.16 s. The background is a plain wall. The main person is shown larger, or for longer, than the others.
- **Voices off screen** are RAVDESS actors, in one emotion of normal intensity a scene.
- **Alone.** A second file has only the main person: the other voices are silent, and the wall replaces the other pictures.

The kinds of scenes:

| kind | contents |
| --- | --- |
| two, three, four | that many people side by side (four: in two rows), who take turns |
| cuts | two people; cuts between close-ups and a two-shot, so that a speaker is out of sight at times |
| return | two people; one leaves for a third of the scene, then returns, with seats changed in every other scene |
| mirrored | two people in a two-shot that is cut several times; each time, one of them is mirrored |
| interview | one person in sight, and an interviewer off screen, whose turns are up to three sentences long |
| music | two people, and chords 15 dB below the speech |
| alone | one person, the only one who speaks: the control |
| listener | one person in sight who says nothing, and a voice off screen |

What they can't show: these are not conversations. The same ten sentences of a few words are repeated, so that a voice is
easier to recognise than in free speech; nobody interrupts, overlaps, laughs, or says "yes" while another speaks; every person
faces the camera under the same light and hardly moves; and the voices have no room in common. Five people in each of the tuning
and test scenes are few: the intervals over scenes say nothing about other people. Nobody is in both (two of the clips, swwp2s
and pwij3p, show the same man: his faces are 0.19 apart in the identity network, other people's 0.59 or more).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.features.faces import FaceTracker, box_in
from vatrace.features.landmarker import Landmarker
from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader
from vatrace.media.voice_activity import VAD, speech_spans
from vatrace.media.writing import write_video

KINDS = ("two", "three", "four", "cuts", "return", "mirrored", "interview", "music", "alone", "listener")
SCENES_A_KIND = 3
SPEAKERS = {
    "tuning": ("bbaf2n", "brbk7n", "lbax4n", "lbbc2a", "pwij3p"),
    "test": ("lrwp9a", "lwbsza", "sbia1a", "sbwe5n", "swiz3n"),
}
"""Names of clips, one a person."""
ACTORS = {"tuning": range(1, 19), "test": range(19, 25)}
"""RAVDESS actors whose voices are heard off screen."""
FIRST_SEED = {"tuning": 1000, "test": 2000}
OFF_SCREEN = "off screen"

FRAME_RATE = 25
TILE = (360, 288)
"""Width and height of a GRID clip."""
OTHERS_SCALE = 0.85
"""Size of the people next to the main person."""
WALL = (40, 110, 140)
"""RGB of the background."""
QUALITY = 20
"""x264's constant rate factor."""

NUM_TURNS = (10, 14)
"""Fewest and most turns of a scene; it then lasts about half a minute."""
PAUSE, PAUSE_INSIDE = (0.2, 1.0), (0.1, 0.25)
"""Seconds between turns, and between the sentences of a turn."""
LEAD = 0.25
"""Seconds of its clip that are shown before and after a sentence; lips move before they are heard."""
SPEEDS = (0.97, 1.0, 1.03)
SPEECH_LEVEL, LEVEL_SPREAD, NOISE_LEVEL, MUSIC_LEVEL = -22.0, 3.0, -58.0, -15.0
"""RMS of speech in dBFS, how far a voice may be from it, RMS of the noise in dBFS, and of the music relative to the speech."""
FADE = 4
"""Frames for which two states of a person are blended."""
CHEW_SPEED, CHEW_SHARE = 0.5, 0.4
"""Speed of the reversed clip, and how often a listener chews rather than rests."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Said:
    """One turn of the truth.

    Attributes:
        start: seconds.
        end: seconds.
        person: name of the clip, or OFF_SCREEN.
    """

    start: float
    end: float
    person: str


@dataclass(frozen=True)
class Seen:
    """A person in sight, without a break.

    Attributes:
        start: seconds.
        end: seconds.
        person: name of the clip.
        box: of the face: left, top, right, bottom, as shares of the picture.
        mirrored: whether the picture is.
    """

    start: float
    end: float
    person: str
    box: Box
    mirrored: bool = False


@dataclass(frozen=True)
class Truth:
    """What happens in a scene.

    Attributes:
        name: of its files.
        kind: one of KINDS.
        duration: seconds.
        main: the person with the largest product of time in sight and size of the face.
        turns: who speaks when, in order, never two at once.
        sights: who is in sight when, and where.
    """

    name: str
    kind: str
    duration: float
    main: str
    turns: list[Said]
    sights: list[Seen]


@dataclass(frozen=True)
class Clip:
    """A talking person.

    Attributes:
        images: (F, 288, 360, 3) RGB, FRAME_RATE a second; none for a voice.
        audio: (N,) at SAMPLING_RATE; its speech has an RMS of 1.
        speech: start and end in seconds.
        box: of the face, as shares of the picture.
    """

    images: NDArray[np.uint8]
    audio: NDArray[np.float32]
    speech: tuple[float, float]
    box: Box = (0.0, 0.0, 0.0, 0.0)

    @property
    def rest(self) -> tuple[int, int]:
        """First and last frame of the longer part without speech."""
        first, last = (round(moment * FRAME_RATE) for moment in self.speech)
        before, after = (0, first - 5), (last + 5, len(self.images) - 1)
        return before if before[1] - before[0] > after[1] - after[0] else after


@dataclass(frozen=True)
class Sentence:
    """A clip's sentence in a scene: its speech starts at `start` seconds and is played at `speed`."""

    start: float
    person: str
    clip: Path
    speed: float

    @property
    def end(self) -> float:
        """When its speech ends, in seconds."""
        start, end = read_clip(self.clip).speech
        return self.start + (end - start) / self.speed


@dataclass(frozen=True)
class Place:
    """Where a person is shown: the left upper corner in pixels, the size relative to TILE, and whether mirrored."""

    x: int
    y: int
    scale: float
    mirrored: bool = False


@dataclass
class Scene:
    """A scene, before it is rendered.

    Attributes:
        truth: what happens.
        sentences: all that is said.
        size: of the picture.
        shots: start in seconds, and the people in sight with their places.
        seed: of the listeners' behaviour, levels, noise and music.
        music: whether there is any.
        clips: of the people in sight.
    """

    truth: Truth
    sentences: list[Sentence]
    size: tuple[int, int]
    shots: list[tuple[float, dict[str, Place]]]
    seed: int
    music: bool
    clips: dict[str, Path]


def speech_in(audio: NDArray[np.float32]) -> tuple[float, float]:
    """Start and end of the speech in a clip of one sentence, without the detector's padding."""
    edge, padding = SAMPLING_RATE // 2, VAD["speech_pad_ms"] / 1000
    spans = speech_spans(np.pad(audio * np.float32(0.5 / np.abs(audio).max()), edge))  # at the ends, padding would be cut short
    return spans[0][0] + padding - 0.5, spans[-1][1] - padding - 0.5


@cache
def read_clip(path: Path) -> Clip:
    """Decode a clip or a voice."""
    audio = np.concatenate(list(AudioReader(path, 1.0)))
    start, end = speech_in(audio)
    speech = audio[round(start * SAMPLING_RATE) : round(end * SAMPLING_RATE)]
    audio = (audio / np.sqrt((speech**2).mean())).astype(np.float32)
    if path.suffix == ".flac":
        return Clip(np.empty((0, *TILE[::-1], 3), np.uint8), audio, (start, end))
    frames = list(VideoReader(path, FRAME_RATE))
    tracker = FaceTracker(Landmarker())
    boxes = [box_in(found.square, TILE) for frame in frames[::5] for found in tracker.update(frame.image, frame.time)]
    images = np.stack([np.asarray(frame.image) for frame in frames for _ in frame.steps])
    left, top, right, bottom = np.median(boxes, axis=0).tolist()
    return Clip(images, audio, (start, end), (left, top, right, bottom))


def face_box(clip: Clip, place: Place, size: tuple[int, int]) -> Box:
    """The face of a person at a place, as shares of the picture."""
    left, top, right, bottom = clip.box
    left, right = (1 - right, 1 - left) if place.mirrored else (left, right)
    (width, height), scale = TILE, place.scale
    xs = [(place.x + share * width * scale) / size[0] for share in (left, right)]
    ys = [(place.y + share * height * scale) / size[1] for share in (top, bottom)]
    return xs[0], ys[0], xs[1], ys[1]


def converse(
    rng: np.random.Generator, voices: dict[str, list[Path]], num_turns: int, longest: dict[str, int], away: set[str]
) -> tuple[list[Sentence], list[Said], float, tuple[float, float]]:
    """Let people take turns.

    Args:
        rng: random numbers.
        voices: clips by person.
        num_turns: how many turns.
        longest: how many sentences a person's turn has at most, if not 2.
        away: people who are away, and silent, during the second third of the turns.

    Returns:
        The sentences, the turns, the duration, and start and end of the second third.
    """
    sentences: list[Sentence] = []
    turns: list[Said] = []
    time, last = float(rng.uniform(0.4, 1.0)), ""
    bounds = [0.0, 0.0]
    for number in range(num_turns):
        middle = num_turns // 3 <= number < 2 * num_turns // 3
        if number in {num_turns // 3, 2 * num_turns // 3}:
            time += 0.6  # a moment to leave or return in
            bounds[number > num_turns // 3] = time - 0.6
        present = [person for person in voices if not (middle and person in away)]
        waiting = [person for person in present if person not in {last, OFF_SCREEN}] or present
        if OFF_SCREEN in present and last != OFF_SCREEN and len(voices) > 1:
            waiting = [OFF_SCREEN]  # an interviewer asks, then somebody answers
        quiet = [person for person in waiting if all(turn.person != person for turn in turns)]
        person = str(rng.choice(quiet or waiting))
        start = time
        for _ in range(int(rng.choice([1, 1, 2])) if person not in longest else int(rng.integers(1, longest[person] + 1))):
            clips = voices[person]
            sentences.append(Sentence(time, person, clips[int(rng.integers(len(clips)))], float(rng.choice(SPEEDS))))
            end = sentences[-1].end
            time = end + float(rng.uniform(*PAUSE_INSIDE))
        turns.append(Said(start, end, person))
        time, last = end + float(rng.uniform(*PAUSE)), person
    return sentences, turns, time + 0.5, (bounds[0], bounds[1])


def row(main: str, people: Sequence[str], columns: int) -> dict[str, Place]:
    """The places of people next to each other, from the left, in rows of `columns`; the main person is the largest."""
    width, height = TILE
    places = {}
    for index, person in enumerate(people):
        scale = 1.0 if person == main else OTHERS_SCALE
        x, y = index % columns * width, index // columns * height
        places[person] = Place(x + round(width * (1 - scale) / 2), y + round(height * (1 - scale)), scale)
    return places


def edit(
    rng: np.random.Generator, turns: Sequence[Said], people: Sequence[str], end: float
) -> tuple[tuple[int, int], list[tuple[float, dict[str, Place]]]]:
    """Cut between a two-shot and close-ups: mostly of who speaks, at times of who listens."""
    main, other = people
    size = (2 * TILE[0], 2 * TILE[1])
    down = TILE[1] // 2
    two = {main: Place(0, down, 1.0), other: Place(TILE[0], down, 1.0)}
    shots = [(0.0, two)]
    for turn in turns[1:]:
        start = turn.start + float(rng.uniform(-0.15, 0.6))
        if start - shots[-1][0] < 2.5 or end - start < 2.5:
            continue
        listener = other if turn.person == main else main
        shown = [turn.person, listener, ""][rng.choice(3, p=[0.5, 0.2, 0.3])]
        shown = "" if shown and shots[-1][1].keys() == {shown} else shown
        shots.append((start, {shown: Place(0, 0, 2.0)} if shown else two))
    return size, shots


def plan(kind: str, split: str, seed: int, data: Path) -> Scene:
    """Decide what happens in a scene."""
    rng = np.random.default_rng(seed)
    number = {"three": 3, "four": 4, "interview": 1, "alone": 1, "listener": 1}.get(kind, 2)
    people = [str(name) for name in rng.permutation(SPEAKERS[split])[:number]]
    clips = {person: data / "clips" / f"{person}.mpg" for person in people}
    voices: dict[str, list[Path]] = {} if kind == "listener" else {person: [clip] for person, clip in clips.items()}
    if kind in {"interview", "listener"}:
        actor, emotion = rng.choice(ACTORS[split]), rng.integers(1, 9)
        voices[OFF_SCREEN] = sorted((data / "ravdess").glob(f"03-01-{emotion:02}-01-??-??-{actor:02}.flac"))
    away = {people[1]} if kind == "return" else set()
    num_turns = int(rng.integers(NUM_TURNS[0], NUM_TURNS[1] + 1))
    longest = {OFF_SCREEN: 3} | ({people[0]: 3} if kind == "interview" else {})
    sentences, turns, end, (leaves, returns) = converse(rng, voices, num_turns, longest, away)
    columns, order = 2 if kind == "four" else number, [str(name) for name in rng.permutation(people)]
    size, places = (TILE[0] * columns, TILE[1] * -(-number // columns)), row(people[0], order, columns)
    shots = [(0.0, places)]
    if kind == "cuts":
        size, shots = edit(rng, turns, people, end)
    elif kind == "return":
        seats = row(people[0], order[::-1], columns) if seed % 2 else places
        shots += [(leaves, {people[0]: places[people[0]]}), (returns, seats)]
    elif kind == "mirrored":
        turned = people[seed % 2]
        flipped = places | {turned: replace(places[turned], mirrored=True)}
        cuts = [0.0] + [turn.start - 0.1 for turn in turns[3::3]]
        shots = [(start, flipped if index % 2 else places) for index, start in enumerate(cuts)]
    ends = [start for start, _ in shots[1:]] + [end]
    sights = [
        Seen(round(start * FRAME_RATE) / FRAME_RATE, round(stop * FRAME_RATE) / FRAME_RATE, person,
             face_box(read_clip(clips[person]), place, size), place.mirrored)
        for (start, shown), stop in zip(shots, ends, strict=True)
        for person, place in shown.items()
    ]  # fmt: skip
    sizes = dict.fromkeys(people, 0.0)
    for sight in sights:
        sizes[sight.person] += (sight.end - sight.start) * (sight.box[2] - sight.box[0])
    truth = Truth(f"{split}-{kind}-{seed}", kind, end, max(people, key=lambda person: sizes[person]), turns, sights)
    return Scene(truth, sentences, size, shots, seed, kind == "music", clips)


def frame_rows(scene: Scene, person: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The clip's frame that each frame of the scene shows of a person, and the state's number, which changes where it jumps."""
    rng = np.random.default_rng([scene.seed, *person.encode()])
    clip = read_clip(scene.clips[person])
    times = np.arange(round(scene.truth.duration * FRAME_RATE)) / FRAME_RATE
    rows, states = np.full(len(times), -1), np.zeros(len(times), int)
    last = len(clip.images) - 1
    own = [sentence for sentence in scene.sentences if sentence.person == person]
    for state, sentence in enumerate(own, 1):
        inside = (times >= sentence.start - LEAD) & (times < sentence.end + LEAD)
        moments = clip.speech[0] + (times[inside] - sentence.start) * sentence.speed
        rows[inside], states[inside] = np.clip(np.round(moments * FRAME_RATE), 0, last), 2 * state
    edges = np.flatnonzero(np.diff(rows == -1, prepend=False, append=False)).reshape(-1, 2)
    first, stop = clip.rest
    for number, (begin, end) in enumerate(edges):
        steps = np.arange(end - begin)
        if rng.random() < CHEW_SHARE:
            rows[begin:end] = last - _to_and_fro((steps * CHEW_SPEED).astype(int), last)
        else:
            rows[begin:end] = first + _to_and_fro(steps, stop - first)
        states[begin:end] = 2 * number + 1
    return rows, states


def _to_and_fro(steps: NDArray[np.int64], reach: int) -> NDArray[np.int64]:
    """0, 1, ..., reach, reach - 1, ..., 0, 1, ... at the given steps."""
    return reach - np.abs(reach - steps % (2 * reach))


def pictures(scene: Scene, people: Sequence[str]) -> Iterator[Image.Image]:
    """The frames of a scene, with only these people."""
    rows = {person: frame_rows(scene, person) for person in people}
    held: dict[str, NDArray[np.float32]] = {}
    starts = np.array([start for start, _ in scene.shots])
    for index in range(round(scene.truth.duration * FRAME_RATE)):
        canvas = Image.new("RGB", scene.size, WALL)
        shown = scene.shots[int(np.searchsorted(np.round(starts * FRAME_RATE), index, side="right")) - 1][1]
        for person in people:
            chosen, states = rows[person]
            image = read_clip(scene.clips[person]).images[chosen[index]]
            changes = np.flatnonzero(np.diff(states[max(index - FADE, 0) : index + 1]))
            if len(changes):  # blend with the last frame of the state before
                since = min(FADE, index) - int(changes[-1])
                if since == 1:
                    held[person] = read_clip(scene.clips[person]).images[chosen[index - 1]].astype(np.float32)
                share = since / (FADE + 1)
                image = (share * image + (1 - share) * held[person]).astype(np.uint8)
            if person in shown:
                place = shown[person]
                tile = Image.fromarray(image[:, ::-1] if place.mirrored else image)
                size = (round(TILE[0] * place.scale), round(TILE[1] * place.scale))
                canvas.paste(tile if size == TILE else tile.resize(size, Image.Resampling.BICUBIC), (place.x, place.y))
        yield canvas


def sound(scene: Scene, speakers: set[str]) -> NDArray[np.float32]:
    """The audio of a scene, with only these speakers."""
    rng = np.random.default_rng(scene.seed)
    length = round(scene.truth.duration * SAMPLING_RATE)
    noise = rng.normal(0, 1, length).astype(np.float32)
    audio = noise * np.float32(10 ** (NOISE_LEVEL / 20))
    names = list(dict.fromkeys(sentence.person for sentence in scene.sentences))
    levels = {name: SPEECH_LEVEL + rng.uniform(-LEVEL_SPREAD, LEVEL_SPREAD) for name in names}
    for sentence in scene.sentences:
        if sentence.person not in speakers:
            continue
        clip = read_clip(sentence.clip)
        before, after = (round(moment * SAMPLING_RATE) for moment in (clip.speech[0] - 0.05, clip.speech[1] + 0.08))
        part = clip.audio[max(before, 0) : after]
        length_now = round(len(part) / sentence.speed)
        part = np.interp(np.arange(length_now) * sentence.speed, np.arange(len(part)), part).astype(np.float32)
        ramp = np.minimum(np.arange(length_now) / 480, 1)
        part = part * (ramp * ramp[::-1]).astype(np.float32) * np.float32(10 ** (levels[sentence.person] / 20))
        begin = round((sentence.start - min(0.05, clip.speech[0]) / sentence.speed) * SAMPLING_RATE)
        audio[begin : begin + length_now] += part
    if scene.music:
        music = chords(length, rng)
        audio += music * np.float32(10 ** ((SPEECH_LEVEL + MUSIC_LEVEL) / 20))
    return np.clip(audio, -1, 1)


def chords(length: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Plucked chords of two seconds each, with an RMS of 1, (length,)."""
    times = np.arange(2 * SAMPLING_RATE) / SAMPLING_RATE
    parts = []
    for root in rng.choice([130.8, 174.6, 196.0, 220.0], -(-length // len(times))):
        notes = [root * 2 ** (step / 12) for step in (0, 4 if root < 200 else 3, 7, 12)]
        tones = [np.sin(2 * np.pi * note * times * k) * np.exp(-times * k) / k for note in notes for k in range(1, 7)]
        parts.append(np.sum(tones, axis=0) * np.minimum(times / 0.01, 1) * np.minimum((2 - times) / 0.02, 1))
    music = np.concatenate(parts)[:length]
    return (music / np.sqrt((music**2).mean())).astype(np.float32)


def make_scene(kind: str, split: str, seed: int, data: Path, folder: Path) -> Truth:
    """Make the files of a scene unless they exist: NAME.mp4, NAME-alone.mp4 and NAME.json.

    Returns:
        The truth.
    """
    path = folder / f"{split}-{kind}-{seed}.json"
    if path.exists():
        return read_truth(path)
    scene = plan(kind, split, seed, data)
    for target, people, voices in (
        (path.with_suffix(".mp4"), list(scene.clips), {OFF_SCREEN, *scene.clips}),
        (folder / f"{path.stem}-alone.mp4", [scene.truth.main], {scene.truth.main}),
    ):
        write_video(target, pictures(scene, people), FRAME_RATE, [sound(scene, voices)], QUALITY)
    path.write_text(json.dumps(asdict(scene.truth), indent=1), encoding="utf-8")
    return scene.truth


def read_truth(path: Path) -> Truth:
    """Read the truth of a scene."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content["turns"] = [Said(**turn) for turn in content["turns"]]
    content["sights"] = [Seen(**{**sight, "box": tuple(sight["box"])}) for sight in content["sights"]]
    return Truth(**content)


def scenes_of(split: str) -> list[tuple[str, int]]:
    """Kind and seed of each scene."""
    return [
        (kind, FIRST_SEED[split] + SCENES_A_KIND * index + number)
        for index, kind in enumerate(KINDS)
        for number in range(SCENES_A_KIND)
    ]


def main() -> None:
    """Make all scenes of a split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--test", action="store_true", help="the test scenes")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    split = "test" if args.test else "tuning"
    for kind, seed in scenes_of(split):
        truth = make_scene(kind, split, seed, args.data, args.out)
        print(f"{truth.name}: {truth.duration:.1f} s, {len(truth.turns)} turns", flush=True)


if __name__ == "__main__":
    main()
