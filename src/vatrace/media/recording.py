"""A recording, opened once: what kind of file it is, what is in it, and the transcript that belongs to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vatrace.errors import MediaError
from vatrace.media.container import Clock, open_container, packet_times, start_time, usual_duration, video_clock, video_stream
from vatrace.media.folders import missing_content
from vatrace.media.transcripts import Word, is_transcript, read_transcript

Kind = Literal["video", "audio", "image", "transcript"]


@dataclass(frozen=True)
class Recording:
    """What a file says of itself.

    Attributes:
        path: the file.
        kind: "video" with or without audio, "audio" alone, "image" for a still without time, or "transcript".
        num_audio_tracks: how many there are; the first is the one that is read.
        duration: length in seconds as the container states it; None where it doesn't, and for a still.
        frame_rate: video frames a second as the container states or implies it; None where there are none.
        words: those of a transcript that replaces speech recognition; None where there is none.
        transcript: the transcript's path; None where there is none.
        transcript_notes: what was left out of the transcript or mended, in plain sentences.
    """

    path: Path
    kind: Kind
    num_audio_tracks: int = 0
    duration: float | None = None
    frame_rate: float | None = None
    words: tuple[Word, ...] | None = None
    transcript: Path | None = None
    transcript_notes: tuple[str, ...] = ()

    @property
    def has_frames(self) -> bool:
        """Whether there is something to see."""
        return self.kind in {"video", "image"}

    @property
    def has_audio(self) -> bool:
        """Whether there is something to hear."""
        return self.num_audio_tracks > 0


def open_recording(path: str | Path, transcript: str | Path | None = None) -> Recording:
    """Read a file's headers, and a transcript in full; nothing else is decoded.

    Args:
        path: video, audio, image, or transcript (SRT, WebVTT, SubStation Alpha).
        transcript: a transcript of the recording, to be used instead of speech recognition.

    Raises:
        MediaError: if one of them can't be read, the file has neither video nor audio, both are transcripts, or all captions
            lie after the recording's end.
    """
    path = Path(path)
    if is_transcript(path):
        if transcript is not None:
            raise MediaError(f"{path}: is a transcript already; leave out {transcript}")
        return with_transcript(Recording(path, "transcript"), path)
    absent = missing_content(path)
    if absent:
        raise MediaError(f"{path}: {absent}")
    with open_container(path) as container:
        video, num_audio_tracks = video_stream(container), len(container.streams.audio)
        if video is None and not num_audio_tracks:
            raise MediaError(f"{path}: contains neither video nor audio (format {container.format.name})")
        is_still = video is not None and ("image2" in container.format.name or container.format.name.endswith("_pipe"))
        duration = container.duration / 1e6 if container.duration is not None and not is_still else None
        rate = float(video.average_rate) if video is not None and video.average_rate and not is_still else None
    kind: Kind = "image" if is_still else "audio" if video is None else "video"
    recording = Recording(path, kind, num_audio_tracks, duration, rate)
    return recording if transcript is None else with_transcript(recording, Path(transcript))


def with_transcript(recording: Recording, path: Path) -> Recording:
    """The recording with the words of a transcript, whose times are compared with its length.

    Raises:
        MediaError: if the transcript can't be read, or all captions lie after the recording's end.
    """
    transcript = read_transcript(path)
    if recording.kind in {"video", "audio"}:
        end = recording.duration or packets_end(recording)
        if max(word.end for word in transcript.words) > end:  # containers may state less than they contain
            end = max(end, packets_end(recording))
        transcript = transcript.fitted(end)
    return replace(recording, words=transcript.words, transcript=path, transcript_notes=transcript.notes)


def frame_times(path: Path) -> NDArray[np.float64]:
    """When each frame of a video is shown, by its packets alone: nothing is decoded, so an hour takes a second.

    These are the times of the frames that `VideoReader` gives, except that a frame that can't be decoded is counted as well.

    Args:
        path: the video.

    Returns:
        (F,) seconds from the container's start, ascending, one for each frame.

    Raises:
        MediaError: if it can't be opened or contains no video.
    """
    times: list[float] = []
    with open_container(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise MediaError(f"{path}: contains no video")
        clock, usual = video_clock(container, stream), usual_duration(stream)
        for stamp, duration in packet_times(container, stream):
            time = clock.time(stamp, duration or usual)
            if not times and time < usual:  # as in VideoReader
                time = 0.0
            if not times or time > times[-1]:
                times.append(time)
    if not times:
        raise MediaError(f"{path}: contains no video")
    return np.array(times)


def audio_span(path: Path) -> tuple[float, float] | None:
    """When the audio starts and ends, in seconds from the container's start, by its packets alone; None where there is none.

    Raises:
        MediaError: if it can't be opened.
    """
    with open_container(path) as container:
        if not container.streams.audio:
            return None
        clock = Clock(start_time(container))
        spans = [(clock.time(stamp, length), length) for stamp, length in packet_times(container, container.streams.audio[0])]
    return (max(spans[0][0], 0.0), spans[-1][0] + spans[-1][1]) if spans else None


def packets_end(recording: Recording) -> float:
    """When the last frame or the audio ends, in seconds, by the packets alone; for files that don't state their length."""
    ends = [0.0]
    if recording.has_frames:
        ends.append(float(frame_times(recording.path)[-1]) + (1 / recording.frame_rate if recording.frame_rate else 0.0))
    if recording.has_audio:
        ends += (audio_span(recording.path) or (0.0, 0.0))[1:]
    return max(ends)
