"""Active-speaker detection with a network that the user provides as an ONNX file.

The network's inputs are float32, for T frames of one face, at 25 frames per second:

    faces (1, T, S, S)     grey, 0..255: the square around the face that TalkNet's demonstration cuts out
    audio (1, 640 T)       16 kHz mono in -1..1 of the same time
    mfcc  (1, 4 T, 13)     instead of `audio`: its cepstral coefficients (`vatrace.features.mfcc`)

T is dynamic. The output `scores` has T values: the log-odds that this person is heard speaking. The network scores every face
that is visible during speech, in a second pass over the video.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.errors import CheckpointError
from vatrace.features.mfcc import mfcc
from vatrace.features.mouths import MARGIN, ROI_DROP, Box, boxes_of
from vatrace.files import sha256
from vatrace.media.reading import CLOCK_TOLERANCE, SAMPLING_RATE, VideoReader
from vatrace.weights import onnx_session
from vatrace.weights.external import with_external

if TYPE_CHECKING:
    from vatrace.features.people import Person

FPS = 25
"""Frames per second; the published networks were trained at this rate."""
SAMPLES = SAMPLING_RATE // FPS
"""Samples of audio for each frame."""

TRIED = (25, 33)
"""Numbers of frames with which a file is tested: two, because an export may have fixed T to that of its example input."""
EXPECTED = (
    "expected float32 inputs faces (1, T, S, S) and audio (1, 640 T) or mfcc (1, 4 T, 13), and an output scores (1, T), "
    f"for any T (tested with {TRIED[0]} and {TRIED[1]})"
)

MAX_FRAMES, MIN_FRAMES = 6 * FPS, 5
"""The most and the fewest frames of a face that the network scores at once: TalkNet and Light-ASD are evaluated on up to 6 s;
less than a fifth of a second is not scored."""

MAX_RATE = 50.0
"""Maximum number of frames decoded per second, enough to find one for each 25th of a second at any frame rate."""

CROP_PER_BOX, CROP_DROP = 1.4, 0.2
"""The square that the network receives, relative to the box of a face from the hairline to the chin: its side, and how far its
centre lies below the centre of the box. TalkNet's demo enlarges its own face box by 0.4: half of that on each side, all of it
below. Its box is as large as those in `Sight.boxes`, and ROI_DROP lower (ROI_PER_BOX is for 1.5 times the landmarks' size)."""
SMOOTHED = 13
"""Frames of the median filter that smooths the box, as in TalkNet's demo."""
PADDING = (110, 110, 110)
"""Colour of the area outside the picture, as in TalkNet's demo."""


class ActiveSpeaker:
    """An active-speaker network in an ONNX file.

    Args:
        path: the ONNX file.
        threads: CPU threads.

    Attributes:
        size: side S of the faces in pixels.
        name: the file's name and the start of its SHA-256.

    Raises:
        CheckpointError: if the file can't be read, or the network doesn't have these inputs and this output.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file (for --active-speaker)")
        self._path, self._session = path, onnx_session(path, threads)
        shapes = {value.name: value.shape for value in self._session.get_inputs() if value.type == "tensor(float)"}
        sound = next(iter(shapes.keys() - {"faces"}), "")
        outputs = [value.name for value in self._session.get_outputs()]
        if len(self._session.get_inputs()) != 2 or "faces" not in shapes or sound not in {"audio", "mfcc"}:
            found = ", ".join(f"{value.name} {value.type} {value.shape}" for value in self._session.get_inputs())
            raise self._unfit(f"its inputs are {found}")
        if "scores" not in outputs:
            raise self._unfit(f"its outputs are {', '.join(outputs)}")
        self.size = self._side(shapes["faces"])
        self._takes_mfcc = sound == "mfcc"
        for num in TRIED:
            self(np.zeros((num, self.size, self.size), np.uint8), np.zeros(num * SAMPLES, np.float32))
        self.name = f"{path.name} {network_sha256(path)[:12]}"

    def __call__(self, faces: NDArray[np.uint8], audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """The log-odds (T,) that a person with these faces (T, S, S) is heard speaking in the audio (640 T,).

        Raises:
            CheckpointError: if the network fails, or its output has another shape or isn't finite.
        """
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.log_severity_level = 4  # errors are raised, and needn't be printed as well
        sound = {"mfcc": mfcc(audio)[None]} if self._takes_mfcc else {"audio": audio[None]}
        try:
            (scores,) = self._session.run(["scores"], {"faces": faces[None].astype(np.float32), **sound}, options)
        except Exception as error:  # ONNX Runtime has no public base class for its errors
            raise self._unfit(f"it fails on {len(faces)} frames ({' '.join(str(error).split())})") from error
        if scores.dtype != np.float32 or scores.size != len(faces):
            raise self._unfit(f"its scores are {scores.dtype} of shape {scores.shape} for {len(faces)} frames")
        if not np.isfinite(scores).all():
            raise CheckpointError(
                f"{self._path}: this active-speaker network returns scores that are not finite; fix it or export it again"
            )
        return np.asarray(scores).reshape(-1)

    def _side(self, shape: Sequence[Any]) -> int:
        """S of the shape of `faces`."""
        fixed = [value if isinstance(value, int) else None for value in shape]
        if len(fixed) != 4 or fixed[0] not in {None, 1} or fixed[1] is not None or fixed[2] is None or fixed[2] != fixed[3]:
            raise self._unfit(f"its input faces is {shape}")
        return fixed[2]

    def _unfit(self, problem: str) -> CheckpointError:
        return CheckpointError(f"{self._path}: can't be used as an active-speaker network: {problem}; {EXPECTED}")


def network_sha256(path: Path) -> str:
    """The SHA-256 of a network's file and of the weights that PyTorch may have written next to it; a store keeps it."""
    return sha256(*with_external(path))


@dataclass(frozen=True)
class Judgement:
    """The network's scores of one person.

    Attributes:
        frames: (F,) numbers of frames, FPS a second, ascending.
        scores: (F,) log-odds that the person is heard speaking.
    """

    frames: NDArray[np.int64]
    scores: NDArray[np.float32]

    def mean(self, start: float, end: float) -> float:
        """The mean score from start to end, in seconds; NaN unless at least half of the frames were scored."""
        first, stop = round(start * FPS), round(end * FPS)
        scores = self.scores[slice(*np.searchsorted(self.frames, [first, stop]))]
        return float(scores.mean()) if len(scores) and 2 * len(scores) >= stop - first else np.nan


def watch_speakers(
    network: ActiveSpeaker,
    reader: VideoReader,
    blocks: Iterable[NDArray[np.float32]],
    people: Sequence[Person],
    boxes: Sequence[Box],
    spans: Sequence[tuple[float, float]],
    progress: Callable[[float], None],
) -> list[Judgement]:
    """Score everybody who is visible during speech. Only the scores take more memory in a longer recording.

    Args:
        network: scores faces.
        reader: of the video, at the rate of the first pass, whose steps are those of the people's tracks.
        blocks: successive parts (N,) of the audio, 16 kHz mono; the first starts at 0 s.
        people: whom to score.
        boxes: of all faces; a track's `rows` are indices into them.
        spans: of speech, (start, end) in seconds, in order.
        progress: called with the share that is done, 0..1.

    Returns:
        One judgement for each person.

    Raises:
        CheckpointError: if the network fails, or its scores aren't finite.
    """
    stretches, sound = _stretches(spans), _Sound(blocks)
    starts = [stretch.start for stretch in stretches]
    places = [_Places.of(person, boxes, reader.rate) for person in people]
    frames: list[list[int]] = [[] for _ in people]
    scores: list[list[NDArray[np.float32]]] = [[np.zeros(0, np.float32)] for _ in people]

    def stretch_at(shown: tuple[Image.Image, float]) -> int:
        return bisect_right(starts, _frame_at(shown[1])) - 1

    images = reader.between([(stretch.start / FPS, stretch.stop / FPS) for stretch in stretches], MAX_RATE)
    for index, inside in groupby(images, stretch_at):
        stretch = stretches[index]
        audio = sound.read(stretch.start * SAMPLES, stretch.stop * SAMPLES)
        for person, run, faces in _faces(inside, stretch, places, network.size):
            first = (run.start - stretch.start) * SAMPLES
            scores[person].append(network(faces, audio[first : first + len(run) * SAMPLES]))
            frames[person] += run
        progress((index + 1) / len(stretches))
    progress(1.0)
    return [Judgement(np.array(at, np.int64), np.concatenate(parts)) for at, parts in zip(frames, scores, strict=True)]


def _frame_at(time: float) -> int:
    """The number of the frame, at FPS frames per second, that a time in seconds belongs to."""
    return int((time + CLOCK_TOLERANCE) * FPS)


def _stretches(spans: Sequence[tuple[float, float]]) -> list[range]:
    """The frames of speech, and of MARGIN around it, in parts of at most MAX_FRAMES."""
    joined: list[range] = []
    for start, end in spans:
        first, stop = max(_frame_at(start - MARGIN), 0), _frame_at(end + MARGIN) + 1
        if joined and first <= joined[-1].stop:
            first = joined.pop().start
        joined.append(range(first, stop))
    parts = []
    for frames in joined:
        edges = np.linspace(frames.start, frames.stop, -(-len(frames) // MAX_FRAMES) + 1).round().astype(int).tolist()
        parts += [range(first, stop) for first, stop in pairwise(edges)]
    return parts


@dataclass(frozen=True)
class _Places:
    """Where the face of one person is.

    Attributes:
        steps: (N,) those at which it is known, ascending.
        boxes: (N, 4) its `Box` at each of them.
        rate: steps a second.
    """

    steps: NDArray[np.int64]
    boxes: NDArray[np.float64]
    rate: float

    @classmethod
    def of(cls, person: Person, boxes: Sequence[Box], rate: float) -> _Places:
        steps = sorted(person.steps)
        inside = list(boxes_of(person, boxes, steps).values())
        return cls(np.array(steps, np.int64), np.array(inside, np.float64).reshape(-1, 4), rate)

    def runs(self, stretch: range) -> Iterator[tuple[range, NDArray[np.float64]]]:
        """The parts of a stretch of frames in which the person is visible, with the smoothed boxes (T, 4)."""
        if not len(self.steps):
            return
        moments = np.array(stretch) / FPS * self.rate
        nearest = np.rint(moments).astype(np.int64)
        seen = self.steps[np.minimum(np.searchsorted(self.steps, nearest), len(self.steps) - 1)] == nearest
        edges = np.flatnonzero(np.diff(seen.astype(int), prepend=0, append=0)).reshape(-1, 2)
        for first, stop in edges.tolist():
            if stop - first >= MIN_FRAMES:
                inside = np.stack([np.interp(moments[first:stop], self.steps, side) for side in self.boxes.T])
                padded = np.pad(inside, ((0, 0), (SMOOTHED // 2, SMOOTHED // 2)), "edge")
                windows = np.lib.stride_tricks.sliding_window_view(padded, SMOOTHED, axis=1)
                yield range(stretch.start + first, stretch.start + stop), np.median(windows, axis=-1).T


def _faces(
    images: Iterable[tuple[Image.Image, float]], stretch: range, places: Sequence[_Places], size: int
) -> list[tuple[int, range, NDArray[np.uint8]]]:
    """The faces (T, S, S) in a stretch of frames: the index of the person, the frames, and the network's input.

    If the video has fewer frames per second, the nearest one is repeated.
    """
    runs = [(person, run, boxes) for person, place in enumerate(places) for run, boxes in place.runs(stretch)]
    faces = [np.zeros((len(run), size, size), np.uint8) for _, run, _ in runs]
    known = [np.zeros(len(run), bool) for _, run, _ in runs]
    for image, time in images:
        frame = min(_frame_at(time), stretch.stop - 1)
        for (_, run, boxes), crops, have in zip(runs, faces, known, strict=True):
            if frame in run and not have[frame - run.start]:
                crops[frame - run.start] = face_square(image, boxes[frame - run.start], size)
                have[frame - run.start] = True
    found = []
    for (person, run, _), crops, have in zip(runs, faces, known, strict=True):
        if have.any():
            at = np.flatnonzero(have)
            found.append((person, run, crops[at[np.abs(at[:, None] - np.arange(len(run))).argmin(axis=0)]]))
    return found


def face_square(image: Image.Image, box: Sequence[float] | NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """The grey square (S, S) around the face in a `Box`, as the network receives it."""
    left, top, right, bottom = np.asarray(box) * (image.size * 2)
    face = max(right - left, bottom - top)
    side = max(round(CROP_PER_BOX * face), 1)
    x, y = (left + right) / 2, (top + bottom) / 2 + (ROI_DROP + CROP_DROP) * face
    square = Image.new("RGB", (side, side), PADDING)
    square.paste(image, (round(side / 2 - x), round(side / 2 - y)))
    return np.asarray(square.convert("L").resize((size, size), Image.Resampling.BILINEAR))


class _Sound:
    """Reads the audio of successive stretches, and keeps only what is still needed.

    Args:
        blocks: successive parts (N,) of the audio.
    """

    def __init__(self, blocks: Iterable[NDArray[np.float32]]) -> None:
        self._blocks = iter(blocks)
        self._start, self._kept = 0, np.zeros(0, np.float32)

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """The samples from start to stop, followed by silence after the end; start must not be below that of the last call."""
        while self._start + len(self._kept) < stop:
            silence = np.zeros(stop - self._start - len(self._kept), np.float32)
            joined = np.concatenate([self._kept, next(self._blocks, silence)])
            dropped = min(start - self._start, len(joined))
            self._start, self._kept = self._start + dropped, joined[dropped:]
        return self._kept[start - self._start : stop - self._start]
