"""The video of a recording: the people in it, and the features of their faces."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.encoders import ExpressionEncoder, FaceEncoder
from vatrace.errors import MediaError, TooLongError
from vatrace.features.blinks import LID_RATE
from vatrace.features.face_meter import OPENNESS, FaceMeter
from vatrace.features.faces import DARK, Detection, FaceTracker, box_in, face_crop, is_dark, is_overexposed, luma_of_bright
from vatrace.features.people import Track, group_tracks
from vatrace.features.perceived import DAMAGED, DARK_PICTURE, Sight
from vatrace.features.task import Task
from vatrace.free_memory import check_memory
from vatrace.media.ahead import ahead
from vatrace.media.reading import Frame, VideoReader
from vatrace.timeline import num_steps

FRAMES_AHEAD = 4
"""Frames that are decoded before they are needed; each is up to 4 MB."""
BATCH, MAX_BATCHES = 16, 4
"""Crops of faces that are encoded together, and batches that may wait for it."""


class _Encoded:
    """Encodes the crops of faces in another thread, row after row, while more faces are found.

    Args:
        encoder: of the crops.
        sight: where the vectors go.
    """

    def __init__(self, encoder: FaceEncoder, sight: Sight) -> None:
        self._encoder, self._sight = encoder, sight
        self._crops: list[NDArray[np.uint8]] = []
        self._first = 0
        self._pool = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()

    def add(self, crop: NDArray[np.uint8]) -> None:
        """Add the crop (S, S, 3) of the next row; an error of the encoder may be raised now or later."""
        self._crops.append(crop)
        if len(self._crops) == BATCH:
            self._flush()
        while len(self._waiting) > MAX_BATCHES:
            self._waiting.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait until all are encoded, or leave out those that are waiting if there was an error."""
        if kind is None:
            self._flush()
        else:
            self._pool.shutdown(cancel_futures=True)
        self._pool.shutdown()
        while kind is None and self._waiting:
            self._waiting.popleft().result()

    def _flush(self) -> None:
        if self._crops:
            check_memory()
            self._waiting.append(self._pool.submit(self._encode, self._first, np.stack(self._crops)))
            self._first += len(self._crops)
            self._crops = []

    def _encode(self, first: int, crops: NDArray[np.uint8]) -> None:
        if self._sight.expressions is None:
            vectors = self._encoder(crops)
        else:
            assert isinstance(self._encoder, ExpressionEncoder)  # `Model.predict` checks it
            vectors, expressions = self._encoder.with_expressions(crops)
            self._sight.expressions.write(first, expressions)
        self._sight.embeddings.write(first, vectors)


def _is_dark(image: Image.Image) -> bool:
    """Whether even the brightest tenth of a picture is darker than a dark face."""
    small = image.resize((64, 64), Image.Resampling.BOX, reducing_gap=1.0)
    return luma_of_bright(np.asarray(small).reshape(-1, 3)) < DARK


def _add(found: Detection, frame: Frame, crop_size: int, encoded: _Encoded, sight: Sight, tracks: dict[int, Track]) -> None:
    """Add a face to its track, and to the next row of `sight`."""
    crop, row = face_crop(frame.image, found.square, crop_size), len(sight.boxes)
    encoded.add(crop)
    sight.boxes.append(box_in(found.square, frame.image.size))
    if sight.crops is not None:
        sight.crops.write(row, face_crop(frame.image, found.square)[None])
    track = tracks.setdefault(found.track, Track())
    track.add(found, frame.steps, row)
    track.num_overexposed += len(frame.steps) * is_overexposed(crop)
    track.num_dark += len(frame.steps) * is_dark(crop)


def _measure(
    meter: FaceMeter | None, frame: Frame, faces: Sequence[Detection], sight: Sight, tracks: Mapping[int, Track]
) -> None:
    """Measure the faces in a frame, whose rows are the last ones of `sight`, if there is a meter."""
    if meter is None or sight.measures is None:
        return
    values = meter.tracked(frame.image, {found.track: found.points for found in faces})
    for row, (found, measured) in enumerate(zip(faces, values, strict=True), len(sight.boxes) - len(faces)):
        sight.measures.write(row, measured[None])
        tracks[found.track].openness.add(frame.time, measured[OPENNESS])


def look(task: Task, tracker: FaceTracker, encoder: FaceEncoder, sight: Sight, meter: FaceMeter | None = None) -> None:
    """Follow every face in a video, and measure it if there is a meter; the results are added to `sight`.

    Raises:
        MediaError: if no frame can be decoded, and there is no audio either.
    """
    recording = task.recording
    reader = VideoReader(recording.path, task.rate, max_rate=LID_RATE if meter else 0.0)
    tracks: dict[int, Track] = {}
    num_shown = num_dark = 0
    task.progress("face", 0.0)
    try:
        with closing(ahead(reader, FRAMES_AHEAD)) as frames, _Encoded(encoder, sight) as encoded:
            for frame in frames:
                if task.stop.is_set():
                    break
                if meter and not frame.steps:
                    for number, openness in meter.between(frame.image).items():
                        tracks[number].openness.add(frame.time, openness)
                    continue
                faces = tracker.update(frame.image, frame.time)
                num_shown += len(frame.steps)
                num_dark += len(frame.steps) * (not faces and _is_dark(frame.image))
                for found in faces:
                    _add(found, frame, encoder.crop_size, encoded, sight, tracks)
                _measure(meter, frame, faces, sight, tracks)
                if recording.duration:
                    task.progress("face", min(frame.time / recording.duration, 1.0))
    except MediaError as error:
        if not recording.has_audio or isinstance(error, TooLongError):
            raise
        sight.notes.append(str(error).removeprefix(f"{recording.path}: "))
    else:
        if recording.video_track:
            sight.notes.append(recording.video_track)
        if reader.damage:
            sight.notes.append(f"{DAMAGED} ({reader.damage})")
    if 2 * num_dark > num_shown:
        sight.notes.append(DARK_PICTURE)
    task.progress("face", 1.0)
    sight.people, sight.end = group_tracks(list(tracks.values()), num_steps(reader.end, task.rate)), reader.end
    sight.frame_times = np.array(reader.times)
