"""Batches of recordings: which files are recordings, what their results are called, and which transcript is whose."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from vatrace.errors import MediaError, UsageError
from vatrace.media.recording import MEDIA_SUFFIXES
from vatrace.media.transcripts import is_transcript


def find_recordings(source: Path) -> list[Path]:
    """The videos and audio files of a folder, by name, hidden ones excluded; a path that isn't a folder stands for itself.

    Raises:
        MediaError: if a folder contains none.
        OSError: if a folder can't be read.
    """
    if not source.is_dir():
        return [source]
    found = [
        path
        for path in sorted(source.iterdir())
        if path.suffix.lower() in MEDIA_SUFFIXES and path.is_file() and not path.name.startswith(".")
    ]
    if not found:
        raise MediaError(f"{source}: no video or audio files in this folder")
    return found


def result_names(recordings: Sequence[Path]) -> list[str]:
    """A name for the results of each recording, unique within the batch.

    It is `talk` for talk.mp4; `talk.mp4` if the batch also has talk.wav; `P01_talk` for P01/talk.mp4 if it has P02/talk.mp4.

    Raises:
        MediaError: if two recordings can't be told apart in this way.
    """
    choices = [
        [path.stem, path.name, f"{path.parent.name}_{path.stem}", f"{path.parent.name}_{path.name}"] for path in recordings
    ]
    taken = [Counter(names) for names in zip(*choices, strict=True)]
    result: list[str] = []
    for path, names in zip(recordings, choices, strict=True):
        unique = [name for name, counts in zip(names, taken, strict=True) if counts[name] == 1]
        if not unique or unique[0] in result:  # the P01_talk of one recording may be another's own name
            raise MediaError(f"{path}: another recording has the same name; predict them one by one, each with its own --out")
        result.append(unique[0])
    return result


def match_transcripts(given: Path | None, recordings: Sequence[Path]) -> list[Path | None]:
    """The transcript of each recording, None where it has none.

    Args:
        given: a transcript, for a single recording; or a folder in which `talk.srt` or `talk.vtt` is that of talk.mp4; or None.
        recordings: the batch.

    Raises:
        UsageError: if one transcript is given for several recordings, or the folder has none for any of them, or more than
            one recording or transcript has the same name.
        OSError: if the folder can't be read.
    """
    if given is None or (len(recordings) == 1 and not given.is_dir()):
        return [given] * len(recordings)
    if not given.is_dir():
        raise UsageError(f"{given}: is one transcript for {len(recordings)} recordings; name a folder of transcripts")
    known: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(given.iterdir()):
        if is_transcript(path) and not path.name.startswith("."):
            known[path.stem].append(path)
    found: list[Path | None] = []
    stems = Counter(recording.stem for recording in recordings)
    for stem in (recording.stem for recording in recordings):
        if len(known[stem]) > 1:
            names = " and ".join(path.name for path in known[stem])
            raise UsageError(f"{given}: both {names} are transcripts of {stem}: keep one")
        if known[stem] and stems[stem] > 1:
            raise UsageError(f"{known[stem][0]}: {stems[stem]} recordings are called {stem}: predict them one by one")
        found.append(known[stem][0] if known[stem] else None)
    if not any(found):
        raise UsageError(f"{given}: no transcript in it is named after a recording, such as {recordings[0].stem}.srt")
    return found
