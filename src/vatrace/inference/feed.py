"""Passes frames and audio to a `Streamer` as fast as it can process them; the rest is left out, with a note."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, Thread
from time import monotonic

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.inference.ears import HOP_DUR
from vatrace.inference.streamer import MAX_WAIT, RATE, Streamer, Value
from vatrace.media.reading import SAMPLING_RATE
from vatrace.timeline import TOLERANCE, num_steps

MAX_BACKLOG = 4.0
"""Seconds of audio that may wait; if there is more, all of it is left out."""
HOLE, HOLE_DUR = 0.5, 3.0
"""Audio counts as lost on the way if it has been at least HOLE seconds behind its time for HOLE_DUR seconds."""
SLOW = 0.75
"""The machine is too slow for the frames if it processes less than this share of those that arrive, or of RATE."""
MOST_LATE = 0.2
"""Share of values with a late face or voice above which the user is warned."""
LAST_DUR = 5.0
"""Seconds for processing what is waiting once the source has ended."""
LATEST = 50
"""Number of latest frames and values over which these shares are computed."""


@dataclass(frozen=True)
class Pace:
    """How well the machine keeps up.

    Attributes:
        frame_rate: frames processed per second.
        audio_lag: seconds that processing the latest audio took.
        note: what the user should know; "" if all is well.
    """

    frame_rate: float
    audio_lag: float
    note: str


class Feed:
    """Takes frames and audio at any pace, without ever making their source wait. `close` ends it.

    Args:
        streamer: processes them, in two threads.
    """

    def __init__(self, streamer: Streamer) -> None:
        self._streamer = streamer
        self._ready = Condition()
        self._frame: tuple[Image.Image, float] | None = None
        self._audio: deque[NDArray[np.float32]] = deque()
        self._skipped = 0.0
        self._begun = 0.0
        self._audio_end = 0.0
        self._behind: deque[tuple[float, float]] = deque()
        self._ended: set[str] = set()
        self._arrived: deque[float] = deque(maxlen=LATEST)
        self._processed: deque[float] = deque(maxlen=LATEST)
        self._late: deque[tuple[str, ...]] = deque(maxlen=LATEST)
        self._dropped, self._lag = 0.0, 0.0
        self._closed = False
        self._error: BaseException | None = None
        works = (self._process_frames, self._process_audio)
        self._threads = [Thread(target=self._guarded, args=(work,), daemon=True) for work in works]
        for thread in self._threads:
            thread.start()

    def add_frame(self, image: Image.Image, time: float) -> None:
        """Add a frame; it replaces one that is still waiting.

        Args:
            image: RGB, or any image that PIL converts to RGB.
            time: when it was taken, in seconds since the start.
        """
        with self._ready:
            self._frame = (image, time)
            self._arrived.append(monotonic())
            self._ready.notify_all()

    def add_audio(self, samples: NDArray[np.float32], time: float) -> None:
        """Add the next audio.

        Args:
            samples: (N,) 16 kHz mono, -1..1, which follow the previous ones. Audio that was lost on the way is replaced with
                silence, once that is certain.
            time: when the last sample arrived, in seconds since the start.
        """
        with self._ready:
            self._audio_end += len(samples) / SAMPLING_RATE
            lost = self._lost(time)
            if lost:
                self._audio.append(np.zeros(round(lost * SAMPLING_RATE), np.float32))
            self._audio.append(samples)
            if self._waiting() > MAX_BACKLOG:
                self._skipped += self._waiting()
                self._dropped = self._skipped
                self._audio.clear()
            self._ready.notify_all()

    def end(self, modality: str) -> None:
        """Announce that no more frames ("face") or audio ("voice") will come. What is waiting is still processed."""
        with self._ready:
            self._ended.add(modality)
            self._ready.notify_all()

    def poll(self, now: float) -> tuple[list[Value], Pace]:
        """The values that have become known since the last call, and the pace.

        Args:
            now: seconds since the start.

        Raises:
            Exception: the error that ended one of the threads, if any did.
        """
        if self._error:
            raise self._error
        values = self._streamer.values(now)
        self._late.extend(value.late for value in values)
        with self._ready:
            processed, arrived = _rate(self._processed), _rate(self._arrived)
            lag, dropped, self._dropped = self._lag, self._dropped, 0.0
        notes = []
        if processed < SLOW * min(arrived, RATE) and len(self._processed) > 10:
            notes.append(f"this machine processes only {processed:.0f} frames per second")
        for name in ("face", "voice"):
            share = sum(name in late for late in self._late) / LATEST
            if share > MOST_LATE:
                notes.append(f"the {name} is late for {share:.0%} of the values: this machine can't keep up")
        if dropped:
            notes.append(f"{dropped:.0f} s of audio were left out: this machine can't keep up")
        return values, Pace(processed, lag, "; ".join(notes))

    def drain(self, end: float) -> list[Value]:
        """The last values: those before `end` seconds that haven't been returned. No more frames or audio will come.

        What is waiting is processed first, for at most LAST_DUR.

        Raises:
            Exception: the error that ended one of the threads, if any did.
        """
        deadline = monotonic() + LAST_DUR
        for modality in ("face", "voice"):
            self.end(modality)
        for thread in self._threads:
            thread.join(max(deadline - monotonic(), 0))
        done = not any(thread.is_alive() for thread in self._threads)
        known = num_steps(end, RATE) / RATE  # the last step may be shorter
        values, _ = self.poll(known if done else known + MAX_WAIT)
        return [value for value in values if value.time < end - TOLERANCE]

    def close(self) -> None:
        """End both threads."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()
        for thread in self._threads:
            thread.join()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # raised by `poll`
            self._error = error

    def _process_frames(self) -> None:
        earliest = 0.0
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._closed or self._frame is not None or "face" in self._ended)
                if self._closed:
                    return
                waiting, self._frame = self._frame, None
            if waiting is None:
                self._streamer.end("face")
                return
            image, time = waiting
            if time < earliest:  # more frames than values are useless
                continue
            earliest = time + 0.8 / RATE
            self._streamer.add_frame(image, time)
            self._processed.append(monotonic())

    def _lost(self, time: float) -> float:
        """Seconds of audio that are missing at this time. Blocks that are only delayed arrive in the end, and catch up."""
        self._behind.append((time, time - self._audio_end))
        if time - self._behind[0][0] < HOLE_DUR:
            return 0.0
        lost = min(behind for _, behind in self._behind)
        self._behind.popleft()
        if lost < HOLE:
            return 0.0
        self._behind.clear()
        self._audio_end += lost
        return lost

    def _process_audio(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(self._has_work)
                if self._closed:
                    return
                skipped, self._skipped = self._skipped, 0.0
                blocks = list(self._audio)
                self._audio.clear()
            if skipped:
                self._streamer.skip_audio(skipped)
                self._begun = 0.0
            if not blocks:
                self._streamer.end("voice")
                return
            started = monotonic()
            samples = np.concatenate(blocks)
            self._streamer.add_audio(samples, hurry=True)  # several hops are waiting only if this machine is too slow
            self._begun = (self._begun + len(samples) / SAMPLING_RATE) % HOP_DUR
            self._lag = monotonic() - started

    def _has_work(self) -> bool:
        """Whether there is enough audio to complete a hop, or no more will come."""
        return self._closed or self._begun + self._waiting() >= HOP_DUR - TOLERANCE or "voice" in self._ended

    def _waiting(self) -> float:
        """Seconds of audio."""
        return sum(map(len, self._audio)) / SAMPLING_RATE


def _rate(times: deque[float]) -> float:
    """Events per second."""
    kept = tuple(times)
    return (len(kept) - 1) / max(kept[-1] - kept[0], 1e-6) if len(kept) > 1 else 0.0
