"""Batches of recordings: which files are recordings, how their results are named, and which transcript belongs to which."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from vatrace.errors import MediaError, UsageError, reason
from vatrace.files import shown
from vatrace.languages import AUTO, ENGLISH, name_of
from vatrace.media.folders import find_transcripts, in_folder, is_media, is_result, passed_over, walk
from vatrace.media.recording import Recording, open_recording, with_transcript
from vatrace.media.transcripts import is_transcript
from vatrace.output.formats import FORMATS

OVERLAY = ".overlay.mp4"
SIDE = "side"
"""The kind of the side file, which has the suffix of JSON: `--format json` makes it larger."""
LOG, CODEBOOK, METHODS, QUALITY = "vatrace.log", "codebook.csv", "methods.md", "quality.html"
"""Names of files that a batch may write besides its results."""
SUFFIXES = {kind: known.suffix for kind, known in FORMATS.items()} | {
    **{"png": "png", "html": "html", "overlay": "overlay.mp4"},
    SIDE: FORMATS["json"].suffix,
}
"""What the names of results end in, by kind."""
RESULTS = frozenset(f".{suffix.rpartition('.')[2].lower()}" for kind, suffix in SUFFIXES.items() if kind != "overlay")
"""Suffixes of results except videos, in lower case."""
TABLES = frozenset(f".{known.suffix}" for known in FORMATS.values() if known.has_rows)
"""Suffixes of tables, whose names may have another part: `talk.2.csv`, `talk.turns.csv`."""
NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
"""Characters that file names can't have on every system."""
MAX_PERSON = 60
"""Letters of a person's name in a file name, which file systems limit to 255 bytes."""


@dataclass(frozen=True)
class Found:
    """The recordings of a folder, or a file alone.

    Attributes:
        recordings: by name.
        others: names of the other files in it, except transcripts and results of the recordings, and junk.
        unread: folders in it that can't be read, with the reason.
    """

    recordings: tuple[Path, ...]
    others: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def find_recordings(source: Path, out: Path | None = None) -> Found:
    """The video and audio files in a folder and its subfolders, except hidden ones; another path stands for itself.

    Files with unknown suffixes are opened to find out. Links to missing files count, so that they are reported.

    Args:
        source: a folder or a file.
        out: the folder of the results; if it is inside of `source`, it isn't searched.

    Raises:
        MediaError: if a folder contains none.
        OSError: if the folder can't be read.
    """
    if not source.is_dir():
        return Found((source,))
    recordings: list[Path] = []
    others: list[str] = []
    unread: list[str] = []

    def refuse(error: OSError) -> None:
        if error.filename == str(source):
            raise error
        unread.append(f"{error.filename}: {reason(error)}")

    avoided = out.resolve() if out is not None and source.resolve() in out.resolve().parents else None
    for folder, inside in walk(source, refuse):
        if avoided is not None and avoided in (folder.resolve(), *folder.resolve().parents):
            continue
        found, rest = _in_one_folder(inside)
        recordings += found
        others += [shown(path.relative_to(source)) for path in rest]
    if not recordings:
        contents = f"; it contains {passed_over(others)}" if others else ""
        raise MediaError(f"{source}: no video or audio files in this folder{contents}")
    return Found(tuple(recordings), tuple(others), tuple(unread))


def _in_one_folder(inside: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The recordings among the files of one folder, and what neither is nor belongs to one."""
    media = [path for path in inside if is_media(path)]
    stems = {path.stem for path in media} | {path.stem for path in inside if path.suffix == f".{SUFFIXES[SIDE]}"}
    recordings = [
        path for path in media if path.name.removesuffix(OVERLAY) == path.name or path.name.removesuffix(OVERLAY) not in stems
    ]
    taken, names = set(recordings), {name for path in recordings for name in (path.stem, path.name)}
    rest = [path for path in inside if path not in taken and not _belongs(path, recordings, names)]
    return recordings, [path for path in rest if path.name not in {LOG, CODEBOOK, METHODS, QUALITY}]


def _belongs(path: Path, recordings: Sequence[Path], names: set[str]) -> bool:
    """Whether a file is a result or the transcript of a recording in the same folder."""
    if is_transcript(path):
        return is_result(path) or any(path in find_transcripts(recording, [path]).all for recording in recordings)
    suffix, parts = path.suffix.lower(), path.stem.split(".")
    longer = suffix in TABLES and any(".".join(parts[:length]) in names for length in range(1, len(parts)))
    return longer or (suffix in RESULTS and path.stem in names) or path.name.removesuffix(OVERLAY) in names


def result_names(recordings: Sequence[Path], roots: Mapping[Path, Path] = MappingProxyType({})) -> list[str]:
    """A name for the results of each recording, unique within the batch; with slashes if they mirror subfolders.

    It is `talk` for talk.mp4; `talk.mp4` if the batch also has talk.wav; `P01_talk` for P01/talk.mp4 if it has P02/talk.mp4;
    and `P01/talk` for P01/talk.mp4 below a folder that was searched.

    Args:
        recordings: the batch.
        roots: for each recording, the folder that was searched; none for a file that was named itself.

    Raises:
        MediaError: if two recordings can't be told apart in this way.
    """
    choices = [_possible_names(path, roots.get(path)) for path in recordings]
    taken = [Counter(name.casefold() for name in names) for names in zip(*choices, strict=True)]
    result: dict[str, str] = {}
    for path, names in zip(recordings, choices, strict=True):
        unique = [name for name, counts in zip(names, taken, strict=True) if counts[name.casefold()] == 1]
        if not unique or unique[0].casefold() in result:  # the P01_talk of one recording may be another's own name
            raise MediaError(f"{path}: another recording has the same name; predict them one by one, each with its own --out")
        result[unique[0].casefold()] = unique[0]
    return list(result.values())


def _possible_names(path: Path, root: Path | None) -> list[str]:
    """The names that the results of a recording may have, the shortest first."""
    folder = PurePosixPath(".") if root is None else PurePosixPath(path.parent.relative_to(root).as_posix())
    if str(folder) == ".":
        return [path.stem, path.name, f"{path.parent.name}_{path.stem}", f"{path.parent.name}_{path.name}"]
    whole = PurePosixPath(path.absolute().parents[len(folder.parts)].name or "recordings") / folder
    return [str(where / name) for where in (folder, whole) for name in (path.stem, path.name)]


@dataclass(frozen=True)
class Result:
    """A file to write for a recording.

    Attributes:
        kind: one of `SUFFIXES`.
        path: where.
        person: whose trace it holds; None for everyone who was asked for.
    """

    kind: str
    path: Path
    person: str | None = None


def result_files(folder: Path, name: str, kinds: Iterable[str], people: Sequence[str] = ()) -> list[Result]:
    """The files to write for a recording: `talk.csv`, or `talk.1.csv` for each person where this is wanted.

    Args:
        folder: where they are written.
        name: what their names start with; with slashes if they are in subfolders.
        kinds: of `SUFFIXES`.
        people: the names of those who get tables of their own; empty if each kind is one file.
    """
    split = {kind for kind in kinds if people and kind in FORMATS and FORMATS[kind].has_rows}
    files = [Result(kind, folder / f"{name}.{SUFFIXES[kind]}") for kind in kinds if kind not in split]
    taken = {
        f"{name}.{SUFFIXES[file.kind]}".casefold() for file in files
    }  # some systems don't distinguish upper and lower case
    for kind in kinds:
        for person in people if kind in split else ():
            part = NOT_IN_NAMES.sub("_", person)[:MAX_PERSON]
            while (file := f"{name}.{part}.{SUFFIXES[kind]}").casefold() in taken:
                part += "_"
            taken.add(file.casefold())
            files.append(Result(kind, folder / file, person))
    return files


@dataclass(frozen=True)
class Choice:
    """The transcript of a recording.

    Attributes:
        path: the file; None for none.
        given: whether the user named it, or its folder; else it was found next to the recording.
        others: transcripts of the same recording that aren't used.
    """

    path: Path | None = None
    given: bool = True
    others: tuple[Path, ...] = ()

    def open(self, recording: Path, language: str = AUTO, encoding: str | None = None) -> Recording:
        """Open a recording with this transcript. One that wasn't given and can't be used is left out, with a note.

        Args:
            recording: its path.
            language: the code of the transcript's language; AUTO to find out.
            encoding: of the transcript; None to find out.

        Raises:
            MediaError: if the recording can't be read, or a transcript that was given can't be used.
        """
        if self.given and not self.others:
            return open_recording(recording, self.path, language, encoding)
        opened = open_recording(recording, self.path if self.given else None, language, encoding)
        notes = []
        if self.path is not None and not self.given and opened.kind in {"video", "audio"}:
            try:
                opened = with_transcript(opened, self.path, language, encoding)
                notes.append(
                    f"the words are from {shown(self.path.name)} in the same folder (--transcript none recognises speech)"
                )
            except MediaError as error:
                why = str(error).removeprefix(f"{self.path}: ")
                notes.append(f"{shown(self.path.name)} in the same folder was not used: {why}")
        if self.others:
            unused = ", ".join(shown(path.name) for path in self.others)
            wanted = ENGLISH if language == AUTO else language
            why = "one transcript is enough" if self.path else f"{name_of(wanted)} is needed"
            notes.append(f"not used: {unused} ({why}; choose one with --transcript)")
        return replace(opened, transcript_notes=(*notes, *opened.transcript_notes))


def match_transcripts(given: Path | None, recordings: Sequence[Path], language: str = AUTO) -> list[Choice]:
    """The transcript of each recording.

    Args:
        given: a transcript, for a single recording; or a folder in which `talk.srt`, `talk.en.vtt` or the like belongs to
            talk.mp4; or None for the transcripts next to the recordings.
        recordings: the batch.
        language: the code of the language that is spoken; AUTO for English.

    Raises:
        UsageError: if one transcript is given for several recordings, or the folder has none for any of them, or more than
            one recording has the same name.
        OSError: if the folder can't be read.
    """
    if given is None:
        folders = {folder: _transcripts_if_listed(folder) for folder in {recording.parent for recording in recordings}}
        return [_choice(recording, folders[recording.parent], language, given=False) for recording in recordings]
    if len(recordings) == 1 and not given.is_dir():
        return [Choice(given)]
    if not given.is_dir():
        raise UsageError(f"{given}: one transcript for {len(recordings)} recordings; name a folder of transcripts instead")
    files = _transcripts(given)
    choices = [_choice(recording, files, language, given=True) for recording in recordings]
    used = Counter(choice.path for choice in choices if choice.path)
    for choice, recording in zip(choices, recordings, strict=True):
        if choice.path and used[choice.path] > 1:
            raise UsageError(
                f"{choice.path}: {used[choice.path]} recordings are called {shown(recording.stem)}: predict them one by one"
            )
    if not used:
        raise UsageError(f"{given}: no transcript in it is named after a recording, such as {recordings[0].stem}.srt")
    return choices


def _choice(recording: Path, files: Sequence[Path], language: str, given: bool) -> Choice:
    if is_transcript(recording):
        return Choice()
    found = find_transcripts(recording, files, language)
    return Choice(found.path, given, found.others)


def _transcripts(folder: Path) -> list[Path]:
    return [path for path in in_folder(folder) if is_transcript(path) and not path.is_dir()]


def _transcripts_if_listed(folder: Path) -> list[Path]:
    """The transcripts in the folder of a recording; none if it can't be listed, though its files may be readable."""
    try:
        return _transcripts(folder)
    except OSError:
        return []
