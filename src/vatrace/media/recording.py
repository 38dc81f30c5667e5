"""A recording, opened once: its kind, its streams, and the transcript that belongs to it."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vatrace.errors import MediaError
from vatrace.languages import AUTO
from vatrace.media.container import (
    LONGEST_GAP,
    Clock,
    is_still,
    longest,
    open_container,
    packet_times,
    placed,
    start_time,
    starts_whole,
    usual_duration,
    video_clock,
    video_stream,
    video_streams,
)
from vatrace.media.folders import missing_content
from vatrace.media.mixing import track_order
from vatrace.media.reading import VideoReader
from vatrace.media.transcripts import Word, check_length, is_transcript, read_transcript

Kind = Literal["video", "audio", "image", "transcript"]


@dataclass(frozen=True)
class Recording:
    """A file's properties, as its headers state them.

    Attributes:
        path: the file.
        kind: "video" with or without audio, "audio" alone, "image" for a still without time, or "transcript".
        num_audio_tracks: number of audio tracks; `vatrace.media.mixing` chooses one.
        duration: length in seconds as the container states it; None where it doesn't, and for a still.
        frame_rate: video frames a second as the container states or implies it; None where there are none.
        words: those of a transcript that replaces speech recognition; None where there is none.
        transcript: the transcript's path; None where there is none.
        transcript_notes: what was left out of the transcript or corrected, in plain sentences.
        video_track: note on which of several video tracks is read; None if there is one at most.
    """

    path: Path
    kind: Kind
    num_audio_tracks: int = 0
    duration: float | None = None
    frame_rate: float | None = None
    words: tuple[Word, ...] | None = None
    transcript: Path | None = None
    transcript_notes: tuple[str, ...] = ()
    video_track: str | None = None

    @property
    def has_frames(self) -> bool:
        """Whether it is a video or an image."""
        return self.kind in {"video", "image"}

    @property
    def has_audio(self) -> bool:
        """Whether it contains audio."""
        return self.num_audio_tracks > 0


def open_recording(
    path: str | Path, transcript: str | Path | None = None, language: str = AUTO, encoding: str | None = None
) -> Recording:
    """Read a file's headers, and a transcript in full; nothing else is decoded.

    Args:
        path: video, audio, image, or transcript (SRT, WebVTT, SubStation Alpha).
        transcript: a transcript of the recording, to be used instead of speech recognition.
        language: the code of the transcript's language; AUTO to find out.
        encoding: of the transcript; None to find out.

    Raises:
        MediaError: if one of them can't be read, the file has neither video nor audio, both are transcripts, or all captions
            lie after the recording's end.
    """
    path = Path(path)
    if is_transcript(path):
        if transcript is not None:
            raise MediaError(f"{path}: already a transcript; leave out {transcript}")
        recording = with_transcript(Recording(path, "transcript"), path, language, encoding)
        check_length(path, recording.words or ())
        return recording
    absent = missing_content(path)
    if absent:
        raise MediaError(f"{path}: {absent}")
    with open_container(path) as container:
        videos, num_audio_tracks = video_streams(container), len(container.streams.audio)
        video = videos[0] if videos else None
        if video is None and not num_audio_tracks:
            raise MediaError(f"{path}: contains neither video nor audio (format {container.format.name})")
        still = video is not None and is_still(container)
        duration = container.duration / 1e6 if container.duration is not None and not still else None
        if duration is not None and not 0 < duration <= longest(path):  # the packets say more
            duration = None
        rate = float(video.average_rate) if video is not None and video.average_rate and not still else None
        video_track = _track_note(videos) if len(videos) > 1 else None
    kind: Kind = "image" if still else "audio" if video is None else "video"
    recording = Recording(path, kind, num_audio_tracks, duration, rate, video_track=video_track)
    return recording if transcript is None else with_transcript(recording, Path(transcript), language, encoding)


def with_transcript(recording: Recording, path: Path, language: str = AUTO, encoding: str | None = None) -> Recording:
    """The recording with the words of a transcript (see `read_transcript`), whose times are compared with its length.

    Raises:
        MediaError: if the transcript can't be read, or all captions lie after the recording's end.
    """
    transcript = read_transcript(path, language, encoding)
    if recording.kind in {"video", "audio"}:
        end = recording.duration or packets_end(recording)
        if max(word.end for word in transcript.words) > end:  # the stated length may be too short
            end = max(end, packets_end(recording))
        transcript = transcript.fitted(end)
    return replace(recording, words=transcript.words, transcript=path, transcript_notes=transcript.notes)


def _track_note(streams: list[Any]) -> str:
    chosen, number = streams[0], sorted(stream.index for stream in streams).index(streams[0].index) + 1
    rate = f", {float(chosen.average_rate):.3g} frames a second" if chosen.average_rate else ""
    return f"contains {len(streams)} video tracks: number {number} was used ({chosen.width} x {chosen.height}{rate})"


def frame_times(path: Path) -> NDArray[np.float64]:
    """When each frame of a video is shown.

    These are `VideoReader.times`, but from the packets alone, so that an hour takes a second; damaged frames in the middle are
    counted as well. If the first frames can't be decoded, as in a broadcast that was cut, all frames are decoded to count them.

    Args:
        path: the video.

    Returns:
        (F,) seconds from the container's start, never descending, one for each frame.

    Raises:
        MediaError: if it can't be opened or contains no video.
    """
    with open_container(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise MediaError(f"{path}: contains no video")
        whole = starts_whole(container, stream)
    times = _times_by_packets(path) if whole else VideoReader(path, 1.0).decode_all()
    if not len(times):
        raise MediaError(f"{path}: contains no video")
    return times


def _times_by_packets(path: Path) -> NDArray[np.float64]:
    times = array("d")
    with open_container(path) as container:
        stream = video_stream(container)
        clock, usual = video_clock(path, container, stream), usual_duration(stream)
        for stamp, duration in packet_times(container, stream):
            placed(times, clock.time(stamp, duration or usual), usual)
    return np.array(times)


def audio_span(path: Path) -> tuple[float, float] | None:
    """When the audio starts and ends, in seconds from the container's start, by its packets alone; None where there is none.

    Of several tracks, the one that the container prefers counts.

    Raises:
        MediaError: if it can't be opened.
    """
    with open_container(path) as container:
        tracks = track_order(container)
        if not tracks:
            return None
        clock, stream = Clock(start_time(container), path), container.streams.audio[tracks[0]]
        spans = [(clock.time(stamp, length), length) for stamp, length in packet_times(container, stream)]
    return (max(spans[0][0], 0.0), spans[-1][0] + spans[-1][1]) if spans else None


def packets_end(recording: Recording) -> float:
    """When the last frame or the audio ends, in seconds, by the packets alone; for files that don't state their length."""
    ends = [0.0]
    if recording.has_frames:
        frame = 1 / recording.frame_rate if recording.frame_rate else 0.0
        ends.append(float(frame_times(recording.path)[-1]) + (frame if frame < LONGEST_GAP else 0.0))
    if recording.has_audio:
        ends += (audio_span(recording.path) or (0.0, 0.0))[1:]
    return max(ends)
