"""Pictures and sound as they arrive, to a `Streamer` that takes its time: what it can't keep up with is left out, and said."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, Thread

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.inference.streamer import RATE, Streamer, Value
from vatrace.media.reading import SAMPLING_RATE

HOP_DUR = 0.5
"""Seconds of sound that are heard together if there is time."""
MAX_BACKLOG = 4.0
"""Seconds of sound that may wait; if it is more, it is left out."""
HOLE, HOLE_DUR = 0.5, 3.0
"""Seconds by which sound must be behind its time, all through so many seconds, before some is taken to be lost on the way."""
SLOW = 0.75
"""Share of the pictures that arrive, or of RATE, below which looking counts as too slow."""
MOST_LATE = 0.2
"""Share of the values for which the face or the voice may come too late before the user is told."""
LATEST = 50
"""How many of the latest pictures and values are judged."""


@dataclass(frozen=True)
class Pace:
    """How well the machine keeps up.

    Attributes:
        pictures: that were looked at in a second.
        sound_lag: seconds by which hearing was behind at last.
        note: what the user should know; "" if all is well.
    """

    pictures: float
    sound_lag: float
    note: str


class Feed:
    """Takes pictures and sound at any pace and never makes who brings them wait. It ends with `close`.

    Args:
        streamer: does the work, in two threads.
    """

    def __init__(self, streamer: Streamer) -> None:
        self._streamer = streamer
        self._ready = Condition()
        self._picture: tuple[Image.Image, float] | None = None
        self._sound: deque[NDArray[np.float32]] = deque()
        self._skipped = 0.0
        self._sound_end = 0.0
        self._behind: deque[tuple[float, float]] = deque()
        self._ended: set[str] = set()
        self._arrived: deque[float] = deque(maxlen=LATEST)
        self._looked: deque[float] = deque(maxlen=LATEST)
        self._late: deque[tuple[str, ...]] = deque(maxlen=LATEST)
        self._dropped, self._lag = 0.0, 0.0
        self._closed = False
        self._error: BaseException | None = None
        self._threads = [Thread(target=self._guarded, args=(work,), daemon=True) for work in (self._look, self._listen)]
        for thread in self._threads:
            thread.start()

    def add_frame(self, image: Image.Image, moment: float) -> None:
        """A picture taken at a moment in seconds since the start; it replaces one that still waits."""
        with self._ready:
            self._picture = (image, moment)
            self._arrived.append(time.monotonic())
            self._ready.notify_all()

    def add_audio(self, samples: NDArray[np.float32], moment: float) -> None:
        """The next 16 kHz mono sound (N,).

        Args:
            samples: that follow those before. Where some were lost on the way, silence takes their place once that is sure.
            moment: when the last of them came, in seconds since the start.
        """
        with self._ready:
            self._sound_end += len(samples) / SAMPLING_RATE
            lost = self._lost(moment)
            if lost:
                self._sound.append(np.zeros(round(lost * SAMPLING_RATE), np.float32))
            self._sound.append(samples)
            if self._waiting() > MAX_BACKLOG:
                self._skipped += self._waiting()
                self._dropped = self._skipped
                self._sound.clear()
            self._ready.notify_all()

    def end(self, modality: str) -> None:
        """No more pictures ("face") or sound ("voice") will come; what waits is still looked at or heard."""
        with self._ready:
            self._ended.add(modality)
            self._ready.notify_all()

    def poll(self, now: float) -> tuple[list[Value], Pace]:
        """What has become known since the last call, `now` being the seconds since the start.

        Raises:
            Exception: what ended one of the threads, if any did.
        """
        if self._error:
            raise self._error
        values = self._streamer.values(now)
        self._late.extend(value.late for value in values)
        with self._ready:
            looked, arrived = _rate(self._looked), _rate(self._arrived)
            lag, dropped, self._dropped = self._lag, self._dropped, 0.0
        notes = []
        if looked < SLOW * min(arrived, RATE) and len(self._looked) > 10:
            notes.append(f"this machine keeps up with {looked:.0f} pictures a second only")
        for name in ("face", "voice"):
            share = sum(name in late for late in self._late) / LATEST
            if share > MOST_LATE:
                notes.append(f"the {name} comes too late for {share:.0%} of the values: this machine can't keep up")
        if dropped:
            notes.append(f"{dropped:.0f} s of sound were left out: this machine can't keep up")
        return values, Pace(looked, lag, "; ".join(notes))

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
        except BaseException as error:  # it is raised where somebody listens
            self._error = error

    def _look(self) -> None:
        earliest = 0.0
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._closed or self._picture is not None or "face" in self._ended)
                if self._closed:
                    return
                waiting, self._picture = self._picture, None
            if waiting is None:
                self._streamer.end("face")
                return
            image, moment = waiting
            if moment < earliest:  # more often than the values is of no use
                continue
            earliest = moment + 0.8 / RATE
            self._streamer.add_frame(image, moment)
            self._looked.append(time.monotonic())

    def _lost(self, moment: float) -> float:
        """Seconds of sound that are missing: what comes has long been behind. Blocks that are held up come all the same."""
        self._behind.append((moment, moment - self._sound_end))
        if moment - self._behind[0][0] < HOLE_DUR:
            return 0.0
        lost = min(behind for _, behind in self._behind)
        self._behind.popleft()
        if lost < HOLE:
            return 0.0
        self._behind.clear()
        self._sound_end += lost
        return lost

    def _listen(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._closed or self._waiting() >= HOP_DUR or "voice" in self._ended)
                if self._closed:
                    return
                skipped, self._skipped = self._skipped, 0.0
                heard = list(self._sound)
                self._sound.clear()
            if skipped:
                self._streamer.skip_audio(skipped)
            if not heard:
                self._streamer.end("voice")
                return
            started = time.monotonic()
            self._streamer.add_audio(np.concatenate(heard))
            self._lag = time.monotonic() - started

    def _waiting(self) -> float:
        """Seconds of sound."""
        return sum(map(len, self._sound)) / SAMPLING_RATE


def _rate(moments: deque[float]) -> float:
    """Events a second."""
    kept = tuple(moments)
    return (len(kept) - 1) / max(kept[-1] - kept[0], 1e-6) if len(kept) > 1 else 0.0
