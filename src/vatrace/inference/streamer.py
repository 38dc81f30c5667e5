"""Valence and arousal from a live camera and microphone, as fast as the machine can; what it can't is left out, with a note."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Event, Thread, current_thread
from time import monotonic
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from vatrace.features.speech import Listener
from vatrace.free_memory import check_memory
from vatrace.inference.ears import HOP_DUR
from vatrace.inference.eyes import Place, as_image
from vatrace.inference.follower import MAX_WAIT, RATE, Follower, Value
from vatrace.languages import AUTO
from vatrace.media.reading import SAMPLING_RATE
from vatrace.media.samples import MAX_RATE, BlockResampler, as_mono
from vatrace.media.transcripts import Word
from vatrace.timeline import TOLERANCE, num_steps

MAX_BACKLOG = 4.0
"""Seconds of audio that may wait when more arrives; all that waits is left out then."""
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
POLL = 0.05
"""Seconds between two looks for new values, by iteration and by a callback."""


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


class Streamer:
    """Takes frames and audio at any pace, without ever making their source wait, and returns ten values a second.

    It follows one person, and works in two threads of its own, until it is closed or its `with` block ends. Its values can be
    asked for (`values`), iterated over, or passed to a callback; each is returned once.

    Times are seconds since the start, which is the first frame or audio.

    Args:
        fusion: a streaming fusion model in ONNX (see `vatrace.training.export`); None for the package's own.
        whisper: a folder with a Whisper model in CTranslate2 form, or the name of one that faster-whisper downloads; None for
            tiny.en, and base for languages other than English if it is installed.
        threads: CPU threads; None for one a core.
        transcribe: whether to recognise words.
        has_audio: whether there will be audio; without it, Whisper isn't needed.
        listener: Whisper, if it is already loaded for another streamer; then `whisper` isn't used.
        language: the code of the language that is spoken (see `vatrace.languages`); "auto" to find out for each utterance.
        on_value: called with each value, from a thread of the streamer. If it raises, no more values come, and the exception is
            raised where the `with` block ends.

    Raises:
        MissingWeightsError: if Whisper's weights are missing.
        MissingExtraError: if words are to be recognised in another language than English, and no model knows it.
        ModelError: if `fusion` is not a streaming model for the package's own encoders at RATE.
        ValueError: if `language` isn't one of the codes.
    """

    def __init__(  # its options are those of the follower, which callers expect to be flat
        self,
        fusion: str | Path | None = None,
        whisper: str | Path | None = None,
        threads: int | None = None,
        transcribe: bool = True,
        has_audio: bool = True,
        listener: Listener | None = None,
        language: str = AUTO,
        on_value: Callable[[Value], object] | None = None,
    ) -> None:
        fusion = None if fusion is None else Path(fusion)
        self._follower = Follower(fusion, whisper, threads, transcribe, has_audio, listener, language)
        self._has_audio = has_audio
        self._ready = Condition()
        self._start: float | None = None
        self._frame: tuple[Image.Image, float] | None = None
        self._frames_end = 0.0
        self._resampler: BlockResampler | None = None
        self._audio: deque[NDArray[np.float32]] = deque()
        self._skipped = 0.0
        self._begun = 0.0
        self._audio_end = 0.0
        self._behind: deque[tuple[float, float]] = deque()
        self._ended: set[str] = set()
        self._end: float | None = None
        self._last = 0.0
        self._arrived: deque[float] = deque(maxlen=LATEST)
        self._processed: deque[float] = deque(maxlen=LATEST)
        self._late: deque[tuple[str, ...]] = deque(maxlen=LATEST)
        self._dropped, self._lag = 0.0, 0.0
        self._stopped, self._finished = False, Event()
        self._error: BaseException | None = None
        self._works = [self._started(self._process_frames), self._started(self._process_audio)]
        self._calling = None if on_value is None else self._started(lambda: self._call(on_value))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """Process what is waiting, unless there was an error; the last values can be asked for afterwards."""
        if error is not None:
            self.stop()
            return
        self.close()
        if self._error:
            raise self._error

    @property
    def time(self) -> float:
        """Seconds since the first frame or audio; 0 before it."""
        return 0.0 if self._start is None else monotonic() - self._start

    @property
    def words(self) -> list[Word]:
        """The latest words that were recognised, up to 1000."""
        return list(self._follower.words)

    @property
    def place(self) -> Place | None:
        """Where the face of the person who is followed is in the latest frame; None if it isn't in view."""
        return self._follower.place

    def add_frame(self, image: Image.Image | NDArray[np.uint8], time: float | None = None, bgr: bool = False) -> None:
        """Add a frame; it replaces one that is still waiting.

        Args:
            image: an image, or an array (H, W, 3) of RGB, 0..255.
            time: when it was taken, later than the previous frame; None for now.
            bgr: whether the array has blue first, as OpenCV's have.

        Raises:
            ValueError: if an array is of another kind.
        """
        image = as_image(image, bgr)
        with self._ready:
            time = self._now(time)
            self._frame = (image, time)
            self._frames_end = max(self._frames_end, time + 1 / RATE)
            self._arrived.append(monotonic())
            self._ready.notify_all()

    def add_audio(self, samples: ArrayLike, time: float | None = None, sampling_rate: int = SAMPLING_RATE) -> None:
        """Add the next audio, which follows the previous audio without a gap; the first starts at 0 s.

        Values don't depend on the lengths of the blocks: each half second is processed as soon as it is complete. If more than
        MAX_BACKLOG seconds are waiting already, they are left out.

        Args:
            samples: (N,) mono, -1..1, or integers, which are scaled to it. Audio that was lost on the way is replaced with
                silence, once that is certain. Samples that aren't finite count as 0.
            time: when the last sample arrived; None for now.
            sampling_rate: Hz.

        Raises:
            ValueError: if the samples have another shape, the rate isn't possible, or it was made with has_audio=False.
        """
        if not self._has_audio:
            raise ValueError("this Streamer was made with has_audio=False")
        if not 0 < sampling_rate <= MAX_RATE:
            raise ValueError(f"the sampling rate must be above 0 and at most {MAX_RATE} Hz, not {sampling_rate}")
        samples = as_mono(samples)
        with self._ready:
            time = self._now(time, len(samples) / sampling_rate)
            samples = self._resampled(samples, sampling_rate)
            if self._waiting() > MAX_BACKLOG:
                self._skipped += self._waiting()
                self._dropped = self._skipped
                self._audio.clear()
            self._audio_end += len(samples) / SAMPLING_RATE
            lost = self._lost(time)
            if lost:
                self._audio.append(np.zeros(round(lost * SAMPLING_RATE), np.float32))
            self._audio.append(samples)
            self._ready.notify_all()

    def end(self, modality: str) -> None:
        """Announce that no more frames ("face") or audio ("voice") will come. What is waiting is still processed.

        Raises:
            ValueError: if it is neither of them.
        """
        if modality not in {"face", "voice"}:
            raise ValueError(f'only "face" and "voice" can end, not {modality!r}')
        with self._ready:
            self._ended.add(modality)
            self._ready.notify_all()

    def values(self, now: float | None = None) -> list[Value]:
        """The values that have become known since the last call, in order; after `close`, the last ones.

        Args:
            now: seconds since the start; None for the real time.

        Raises:
            Exception: the error that ended one of the threads, if any did.
        """
        return self.poll(now)[0]

    def __iter__(self) -> Iterator[Value]:
        """Yield each value as soon as it is known, until the streamer is closed, or frames and audio have ended."""
        while not self._finished.wait(POLL):
            yield from self.values()
            if all(not work.is_alive() for work in self._works):
                self.close()
        yield from self.values()

    def poll(self, now: float | None = None) -> tuple[list[Value], Pace]:
        """Like `values`, with how well the machine keeps up."""
        if self._error:
            raise self._error
        if self._end is None:
            values = self._follower.values(self.time if now is None else now)
        else:
            values = [value for value in self._follower.values(self._last) if value.time < self._end - TOLERANCE]
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

    def close(self, end: float | None = None) -> None:
        """End: no more frames or audio will come. What is waiting is processed first, for at most LAST_DUR.

        Args:
            end: seconds since the start before which the last values are wanted; None for the end of the last frame or audio.
        """
        if self._end is not None or self._stopped:
            return
        deadline = monotonic() + LAST_DUR
        for modality in ("face", "voice"):
            self.end(modality)
        for work in self._works:
            work.join(max(deadline - monotonic(), 0))
        self._end = max(self._frames_end, self._audio_end) if end is None else end
        known = num_steps(self._end, RATE) / RATE  # the last step may be shorter
        self._last = known + MAX_WAIT if any(work.is_alive() for work in self._works) else known
        self._finished.set()
        if self._calling is not None and current_thread() is not self._calling:
            self._calling.join()  # it takes the last values
        self.stop()

    def stop(self) -> None:
        """End at once: what is waiting is not processed any more."""
        with self._ready:
            self._stopped = True
            self._finished.set()
            self._ready.notify_all()
        for thread in (*self._works, self._calling):
            if thread is not None and thread is not current_thread():
                thread.join()

    def _now(self, time: float | None, before: float = 0.0) -> float:
        """A time, or the real time if it is None; the clock starts `before` seconds before the first call."""
        if self._start is None:
            self._start = monotonic() - before
            return before if time is None else time
        return self.time if time is None else time

    def _resampled(self, samples: NDArray[np.float32], sampling_rate: int) -> NDArray[np.float32]:
        if sampling_rate == SAMPLING_RATE or not len(samples):  # FFmpeg accepts no empty frame
            return samples
        if self._resampler is None or self._resampler.rate != sampling_rate:
            self._resampler = BlockResampler(sampling_rate)
        return self._resampler(samples)

    def _call(self, on_value: Callable[[Value], object]) -> None:
        for value in self:
            on_value(value)

    def _started(self, work: Callable[[], None]) -> Thread:
        check_memory()
        thread = Thread(target=self._guarded, args=(work,), daemon=True)
        thread.start()
        return thread

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # raised by `poll`
            self._error = error

    def _process_frames(self) -> None:
        earliest = 0.0
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._stopped or self._frame is not None or "face" in self._ended)
                if self._stopped:
                    return
                waiting, self._frame = self._frame, None
            if waiting is None:
                self._follower.end("face")
                return
            image, time = waiting
            if time < earliest:  # more frames than values are useless
                continue
            earliest = time + 0.8 / RATE
            self._follower.add_frame(image, time)
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
                if self._stopped:
                    return
                skipped, self._skipped = self._skipped, 0.0
                blocks = list(self._audio)
                self._audio.clear()
            if skipped:
                self._follower.skip_audio(skipped)
                self._begun = 0.0
            if not blocks:
                self._follower.end("voice")
                return
            started = monotonic()
            samples = np.concatenate(blocks)
            self._follower.add_audio(samples, hurry=True)  # several hops are waiting only if this machine is too slow
            self._begun = (self._begun + len(samples) / SAMPLING_RATE) % HOP_DUR
            self._lag = monotonic() - started

    def _has_work(self) -> bool:
        """Whether there is enough audio to complete a hop, or no more will come."""
        return self._stopped or self._begun + self._waiting() >= HOP_DUR - TOLERANCE or "voice" in self._ended

    def _waiting(self) -> float:
        """Seconds of audio."""
        return sum(map(len, self._audio)) / SAMPLING_RATE


def _rate(times: deque[float]) -> float:
    """Events per second."""
    kept = tuple(times)
    return (len(kept) - 1) / max(kept[-1] - kept[0], 1e-6) if len(kept) > 1 else 0.0
