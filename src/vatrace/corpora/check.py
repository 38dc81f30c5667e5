"""Problems and other facts about a corpus, before hours are spent on it.

Files are examined by their headers and packets, cropped faces by their names; only pictures of people are decoded. Findings
specific to a layout come from its reader: `Corpus.findings` and `Corpus.notes`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from vatrace.corpora.corpus import MISMATCH, NO_PICTURE, Corpus, Finding, MediaTimes, Notes, Severity, Source
from vatrace.errors import CorpusError, MediaError, report_bug
from vatrace.media.reading import VideoReader
from vatrace.media.recording import audio_span, frame_times, open_recording
from vatrace.media.transcripts import read_transcript
from vatrace.watcher import working_on

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


def check(corpus: Corpus, progress: Callable[[float], None] = lambda done: None) -> list[Finding]:
    """Find everything that can be wrong, without decoding. A recording that can't be read doesn't stop the check.

    Args:
        corpus: from `open_corpus`.
        progress: called with the share done, 0..1, after each recording.

    Returns:
        Errors first, then warnings, then information; each by recording.
    """
    findings = [*corpus.findings, *_splits(corpus)]
    scale = corpus.scale()
    if scale is not None:
        findings.append(Finding("", "error" if scale.certain else "warning", scale.what))
    known: dict[Path, MediaTimes | str] = {}
    rates: dict[str, int] = {}
    for index, source in enumerate(corpus.sources):
        if source.media is not None and source.media not in known:
            known[source.media] = _times(source.media)
        media = known[source.media] if source.media is not None else None
        findings += [Finding(source.name, severity, what) for severity, what in _recording(corpus, source, media)]
        if isinstance(media, MediaTimes) and media.interval:
            rates[source.name] = round(media.rate)
        progress((index + 1) / len(corpus.sources))
    usual, count = Counter(rates.values()).most_common(1)[0] if rates else (0, 0)
    if count > len(rates) / 2:
        odd = {name: rate for name, rate in rates.items() if rate != usual}
        findings += [Finding(name, "info", f"{rate} frames a second; most have {usual}") for name, rate in odd.items()]
    return sorted(findings, key=lambda finding: (SEVERITIES.index(finding.severity), finding.recording))


def _times(path: Path) -> MediaTimes | str:
    """The file's times, or why it can't be used."""
    try:
        with working_on(path):
            recording = open_recording(path)
            return MediaTimes(frame_times(path) if recording.has_frames else np.empty(0), audio_span(path))
    except (MediaError, OSError) as error:
        return str(error)


def _splits(corpus: Corpus) -> Iterator[Finding]:
    """Problems with splits and subjects."""
    splits = {source.split for source in corpus.sources}
    for split in ("train", "dev"):
        if splits != {None} and split not in splits:
            yield Finding("", "warning", f"no recording is in {split}")
    if splits == {None}:
        people = {source.subject or source.name for source in corpus.sources}
        then = "use folds, or only extract features" if len(people) > 1 else "a model can't be trained on a single person"
        yield Finding("", "info", f"no recording is in a split; {then}")
    by_subject: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for source in corpus.sources:
        if source.subject and source.split:
            by_subject[source.subject][source.split].append(source.name)
    for subject, in_splits in sorted(by_subject.items()):
        if len(in_splits) > 1:
            where = "; ".join(f"{split}: {', '.join(names)}" for split, names in in_splits.items())
            yield Finding("", "error", f"subject {subject} is in {len(in_splits)} splits ({where})")
    unknown = sum(not source.subject for source in corpus.sources)
    if unknown:
        yield Finding("", "info", f"the subject of {unknown} recordings is unknown; each counts as a different person")
    by_media: dict[Path, set[str]] = defaultdict(set)
    for source in corpus.sources:
        if source.media:
            by_media[source.media].add(source.subject)
    for media, subjects in by_media.items():
        if len(subjects) > 1:
            listed = ", ".join(sorted(subjects))
            what = f"{media} has several subjects ({listed}), so its audio can be in several folds"
            yield Finding("", "warning", what)


def _recording(corpus: Corpus, source: Source, media: MediaTimes | str | None) -> Notes:
    """Problems with one recording alone."""
    if isinstance(media, MediaTimes):
        yield from _media(media)
    elif media is not None:
        yield "error", media
    elif not source.features:
        yield "error", "annotated or listed, but there is no video or audio of this name"
    if isinstance(source.person, Path):
        yield from _picture(source.person)
    try:
        yield from corpus.notes(source, media if isinstance(media, MediaTimes) else None)
    except (CorpusError, OSError) as error:
        yield "error", str(error)
    except Exception as error:  # one recording must not stop the check
        yield "error", report_bug(error, source.name)
    if source.transcript is not None:
        yield from _transcript(source.transcript, media.end if isinstance(media, MediaTimes) else None)


def _picture(path: Path) -> Notes:
    """Problems with the picture of the person who is annotated."""
    try:
        if not path.is_file():
            yield "error", NO_PICTURE.format(path)
        elif open_recording(path).kind != "image":
            yield "error", f"person {path}: not an image"
        else:
            with working_on(path):
                next(iter(VideoReader(path, 1.0)))  # one picture is decoded, since a file with another content looks like one
    except (MediaError, OSError) as error:
        yield "error", f"person {error}"


def _transcript(path: Path, end: float | None) -> Notes:
    """Notes on a transcript, and whether its times fit a recording that ends at `end` seconds."""
    try:
        transcript = read_transcript(path)
        for note in (transcript if end is None else transcript.fitted(end)).notes:
            yield "info", note
    except MediaError as error:
        yield "error", f"{error} (its speech is recognised instead)"


def _media(media: MediaTimes) -> Notes:
    if media.audio is None:
        yield "warning", "no audio; voice and words will be missing"
    if len(media.times) > 2:
        intervals = np.diff(media.times)
        if media.is_variable:
            shortest, longest = (round(1000 * value) for value in (intervals.min(), intervals.max()))
            span = f"{shortest}..{longest} ms from frame to frame"
            yield "info", f"variable frame rate ({span}); frames are placed by their timestamps"
        elif intervals.max() > MISMATCH:
            at = int(intervals.argmax())
            yield "info", f"no frames from {media.times[at] + media.interval:.1f} to {media.times[at + 1]:.1f} s"
    if media.audio and len(media.times):
        start, end = media.audio
        if start > MISMATCH:
            yield "info", f"the audio starts at {start:.1f} s"
        if media.times[0] > MISMATCH:
            yield "info", f"the video starts at {media.times[0]:.1f} s"
        late = end - media.video_end
        if abs(late) > MISMATCH:
            yield "warning", f"the audio ends {abs(late):.1f} s {'after' if late > 0 else 'before'} the video"
