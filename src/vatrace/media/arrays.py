"""Recordings that are not files: bytes, open files, and arrays. They become a temporary file for as long as they are needed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vatrace.errors import VatraceError
from vatrace.languages import AUTO, ENGLISH
from vatrace.media.container import LONGEST
from vatrace.media.recording import Recording, open_recording, with_transcript
from vatrace.media.samples import MAX_RATE, scaled
from vatrace.media.text_language import text_language
from vatrace.media.transcripts import Transcript, Word

TICKS = 1_000_000
"""Time stamps of frames a second, to which their times are rounded."""
BLOCK_LEN = 1 << 16
"""Samples of audio that are written at once."""
MAX_FPS = 1000.0
"""Frames a second of the fastest video that is accepted."""


@dataclass(frozen=True)
class Arrays:
    """A recording in memory: frames, audio, words, or several of them. All times are seconds from its start.

    Attributes:
        frames: (T, H, W, 3) of uint8, RGB, 0..255; or a sequence of T arrays (H, W, 3) of the same size.
        fps: frames a second; the first is at 0 s.
        times: instead of `fps`, when each frame is shown; ascending.
        audio: (N,) mono in -1..1, or signed integers, which are scaled to it; it starts at 0 s.
        sampling_rate: of the audio, Hz.
        words: those that are spoken, each a `Word` or a tuple (text, start, end); they replace speech recognition.

    Raises:
        ValueError: if something is missing, of another shape or type, or not possible.
    """

    frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8] | None = None
    fps: float | None = None
    times: ArrayLike | None = None
    audio: ArrayLike | None = None
    sampling_rate: int | None = None
    words: Sequence[Word | tuple[str, float, float]] | None = None

    def __post_init__(self) -> None:
        if self.frames is None and self.audio is None and self.words is None:
            raise ValueError("Arrays need frames, audio or words")
        if self.frames is not None:
            _check_frames(self.frames)
            self.frame_times()
        elif self.fps is not None or self.times is not None:
            raise ValueError("fps and times are of frames, and there are no frames")
        if self.audio is not None:
            samples = scaled(self.audio)
            rate = self.sampling_rate
            if not len(samples):
                raise ValueError("the audio has no samples")
            if rate is None or rate != int(rate) or not 0 < rate <= MAX_RATE:
                raise ValueError(f"audio needs its sampling_rate, a whole number of Hz up to {MAX_RATE}, not {rate!r}")
        elif self.sampling_rate is not None:
            raise ValueError("sampling_rate is of audio, and there is no audio")
        if self.words is not None:
            _as_words(self.words, ENGLISH)

    def frame_times(self) -> NDArray[np.float64]:
        """When each frame is shown (T,), in seconds.

        Raises:
            ValueError: if neither or both of `fps` and `times` are given, or they don't fit.
        """
        num_frames = 0 if self.frames is None else len(self.frames)
        if (self.fps is None) == (self.times is None):
            raise ValueError("frames need either fps or times")
        if self.fps is not None:
            if not 0 < self.fps <= MAX_FPS:
                raise ValueError(f"fps must be above 0 and at most {MAX_FPS:g}, not {self.fps!r}")
            return np.arange(num_frames) / self.fps
        times = np.asarray(self.times, np.float64)
        if times.shape != (num_frames,):
            raise ValueError(f"times must be one for each of the {num_frames} frames, not of the shape {times.shape}")
        if not (np.isfinite(times).all() and times[0] >= 0 and (np.diff(times) > 0).all()):
            raise ValueError("times must be finite, not negative, and ascending")
        return times


Source = str | Path | bytes | BinaryIO | Arrays | Recording
"""What a prediction can be made of: a path, the content of a file, a file that is open for reading, or arrays."""


@contextmanager
def opened(source: Source, transcript: str | Path | None = None, language: str = AUTO) -> Iterator[Recording]:
    """Yield a recording that can be read until the end of the block.

    Args:
        source: see `Source`. An open file is read from its position to its end.
        transcript: a transcript of the recording, to be used instead of speech recognition.
        language: the code of the language of the transcript or words; AUTO to find out.

    Raises:
        MediaError: if it can't be read. Messages don't name the temporary file.
        ValueError: if it is of another type, or has words and there is a transcript as well.
    """
    if isinstance(source, Recording):
        if source.words is not None and transcript is not None:
            raise ValueError("give either words or a transcript")
        yield source if transcript is None else with_transcript(source, Path(transcript), language)
    elif isinstance(source, str | Path):
        yield open_recording(source, transcript, language)
    else:
        with tempfile.TemporaryDirectory(prefix="vatrace-") as folder:
            try:
                yield _opened(source, Path(folder), transcript, language)
            except VatraceError as error:
                raise type(error)(str(error).replace(f"{folder}/", "")) from error


def _opened(source: object, folder: Path, transcript: str | Path | None, language: str) -> Recording:
    if isinstance(source, Arrays):
        if source.words is not None and transcript is not None:
            raise ValueError("give either words or a transcript")
        return _of_arrays(source, folder / "arrays.nut", transcript, language)
    if isinstance(source, bytes | bytearray | memoryview):
        path = folder / "bytes"
        path.write_bytes(source)
        return open_recording(path, transcript, language)
    if not hasattr(source, "read"):
        raise ValueError(f"a recording is a path, bytes, an open file or Arrays, not {type(source).__name__}")
    name = getattr(source, "name", None)
    path = folder / ((Path(name).name if isinstance(name, str) else "") or "file")
    with path.open("wb") as file:
        try:
            shutil.copyfileobj(source, file)
        except TypeError as error:
            raise ValueError('a file must be open for reading bytes, as with open(path, "rb")') from error
    return open_recording(path, transcript, language)


def _of_arrays(arrays: Arrays, path: Path, transcript: str | Path | None, language: str) -> Recording:
    words = None if arrays.words is None else _as_words(arrays.words, language)
    if arrays.frames is None and arrays.audio is None:
        return Recording(Path("words"), "transcript", words=words)
    _write(arrays, path)
    recording = open_recording(path, transcript, language)
    if not words:
        return recording if words is None else replace(recording, words=())
    end = (arrays.frame_times()[-1] + 1 / _usual_fps(arrays)) if arrays.frames is not None else 0.0
    if arrays.audio is not None:
        end = max(end, len(np.asarray(arrays.audio)) / (arrays.sampling_rate or 1))
    fitted = Transcript(Path("words"), words).fitted(float(end))
    return replace(recording, words=fitted.words, transcript_notes=fitted.notes)


def _write(arrays: Arrays, path: Path) -> None:
    """Write frames and audio without any loss, which are read like those of any other file."""
    import av

    with av.open(str(path), "w") as container:
        video: Any = None
        sound: Any = None
        if arrays.frames is not None:
            video = container.add_stream("rawvideo", rate=Fraction(_usual_fps(arrays)).limit_denominator(1000))
            video.height, video.width = np.asarray(arrays.frames[0]).shape[:2]
            video.pix_fmt = "rgb24"
            video.codec_context.time_base = Fraction(1, TICKS)
        if arrays.audio is not None:
            sound = container.add_stream("pcm_f32le", rate=int(arrays.sampling_rate or 0), layout="mono")
        blocks = _audio_frames(arrays)
        block = next(blocks, None)
        for image, time in zip(arrays.frames, arrays.frame_times(), strict=True) if arrays.frames is not None else ():
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = round(time * TICKS), Fraction(1, TICKS)
            container.mux(video.encode(frame))
            while block is not None and block.pts * block.time_base <= time:  # readers need interleaved streams
                container.mux(sound.encode(block))
                block = next(blocks, None)
        while block is not None:
            container.mux(sound.encode(block))
            block = next(blocks, None)
        for stream in (video, sound):
            if stream is not None:
                container.mux(stream.encode(None))


def _audio_frames(arrays: Arrays) -> Iterator[Any]:
    import av

    if arrays.audio is None:
        return
    samples, rate = scaled(arrays.audio), int(arrays.sampling_rate or 0)
    for start in range(0, len(samples), BLOCK_LEN):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + BLOCK_LEN], format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        yield frame


def _usual_fps(arrays: Arrays) -> float:
    """Frames a second, by the usual time between two frames; 1 for a single frame."""
    if arrays.fps is not None:
        return arrays.fps
    times = arrays.frame_times()
    return float(min(1 / np.median(np.diff(times)), MAX_FPS)) if len(times) > 1 else 1.0


def _check_frames(frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> None:
    if not len(frames):
        raise ValueError("frames has no frames")
    first = np.asarray(frames[0])
    for index in range(len(frames)):
        image = np.asarray(frames[index])
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ValueError(
                f"frames must be (T, H, W, 3) of uint8, not {(len(frames), *image.shape)} of {image.dtype} (see frame {index})"
            )
        if image.shape != first.shape:
            raise ValueError(f"all frames must have the same size; frame {index} is {image.shape}, the first {first.shape}")


def _as_words(given: Sequence[Word | tuple[str, float, float]], language: str) -> tuple[Word, ...]:
    """The words in order of time; those without a language get this one, or that of their text with AUTO."""
    words = [_as_word(word) for word in given]
    if language == AUTO:
        language = text_language(" ".join(word.text for word in words))
    if language != ENGLISH:
        words = [word if word.language else replace(word, language=language) for word in words]
    return tuple(sorted(words, key=lambda word: word.start))


def _as_word(given: Word | tuple[str, float, float]) -> Word:
    if not isinstance(given, Word) and (isinstance(given, str) or len(given) != 3):
        raise ValueError(f"a word must be a Word or a tuple (text, start, end), not {given!r}")
    word = given if isinstance(given, Word) else Word(*given)
    if not isinstance(word.text, str) or not word.text.strip():
        raise ValueError(f"a word must have a text, not {word.text!r}")
    if not 0 <= word.start <= word.end <= LONGEST:
        raise ValueError(f"a word must last from its start to its end, both in seconds from 0 to {LONGEST:g}, not {word!r}")
    return replace(word, text=word.text.strip(), start=float(word.start), end=float(word.end))
