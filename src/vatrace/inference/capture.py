"""A camera and a microphone, or files in their place, as the source of a `Streamer`."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Self

from vatrace.errors import MediaError
from vatrace.inference.follower import RATE, Value
from vatrace.inference.streamer import POLL, Pace, Streamer
from vatrace.media.devices import is_file, read_camera, read_microphone
from vatrace.media.reading import SAMPLING_RATE
from vatrace.media.recording import open_recording
from vatrace.timeline import TOLERANCE

NONE, DEFAULT_MICROPHONE = "none", "default"
"""Names for no device, and for the system's own microphone."""
MAX_STOP_DUR = 1.0
"""Seconds to wait for a device to stop."""

logger = logging.getLogger(__name__)


class Capture:
    """Passes on frames and audio from two threads while its `with` block runs. Files are played at their own pace.

    Args:
        streamer: where frames and audio go.
        camera: a number or name of a device, a video file, or "none".
        microphone: a name of a device, a file with audio, or "none".
        warn: called with a sentence if the default microphone can't be used.
    """

    def __init__(
        self,
        streamer: Streamer,
        camera: str = "0",
        microphone: str = DEFAULT_MICROPHONE,
        warn: Callable[[str], object] = logger.warning,
    ) -> None:
        self._streamer, self._camera, self._microphone, self._warn = streamer, camera, microphone, warn
        self._start, self._stop = time.monotonic(), Event()
        self._ends = {"face": 0.0, "voice": 0.0}  # seconds
        self._error: BaseException | None = None
        works = (("face", self._read_frames, camera), ("voice", self._read_audio, microphone))
        self._threads = [Thread(target=self._guarded, args=work, daemon=True) for work in works]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def values(self, seconds: float = math.inf) -> Iterator[tuple[float, list[Value], Pace]]:
        """Poll the streamer for values.

        Args:
            seconds: time since the start after which the iteration ends. It also ends once all files have ended. All values
                until then are yielded.

        Yields:
            About 20 times a second: the seconds since the start, the values that have become known, and the pace.

        Raises:
            MediaError: if a device or file can't be opened or read.
        """
        pace = Pace(0.0, 0.0, "")
        while (now := time.monotonic() - self._start) < seconds:
            self._raise_error()
            if not any(thread.is_alive() for thread in self._threads):
                break
            values, pace = self._streamer.poll(now)
            if not any(thread.is_alive() for thread in self._threads):
                values = [value for value in values if value.time < self._end - TOLERANCE]
            yield now, values, pace
            time.sleep(POLL)
        values = self.finish(seconds)
        yield time.monotonic() - self._start, values, pace

    def finish(self, seconds: float = math.inf) -> list[Value]:
        """Stop, and return the last values: those until now, or until `seconds`, that haven't been yielded."""
        end = min(time.monotonic() - self._start, seconds)
        self._stop.set()
        for thread in self._threads:
            thread.join(MAX_STOP_DUR)
        self._raise_error()
        self._streamer.close(min(end, self._end))
        return self._streamer.values()

    @property
    def _end(self) -> float:
        """When the last frame or audio ends, in seconds."""
        return max(self._ends.values())

    def _raise_error(self) -> None:
        if self._error:
            raise self._error

    def _read_frames(self) -> None:
        duration = open_recording(self._camera).duration if is_file(self._camera) else None
        for image, moment in read_camera(self._camera, self._start, self._stop):
            self._streamer.add_frame(image, moment)
            self._ends["face"] = min(moment + 1 / RATE, duration or math.inf)

    def _read_audio(self) -> None:
        try:
            for block, moment in read_microphone(self._microphone, self._start, self._stop):
                self._streamer.add_audio(block, moment)
                self._ends["voice"] += len(block) / SAMPLING_RATE
        except MediaError as error:
            if self._microphone != DEFAULT_MICROPHONE or self._camera == NONE:
                raise
            self._warn(f"{error}; continuing without audio")

    def _guarded(self, modality: str, read: Callable[[], None], device: str) -> None:
        try:
            if device != NONE:
                read()
        except BaseException as error:  # raised by `values`
            self._error = error
        self._streamer.end(modality)


def usual_microphone(camera: str) -> str:
    """The microphone that belongs to a camera: the audio of a video file, if it has any; the default one for a device.

    Raises:
        MediaError: if the file can't be read.
    """
    if not is_file(camera):
        return DEFAULT_MICROPHONE
    return camera if open_recording(Path(camera)).has_audio else NONE
