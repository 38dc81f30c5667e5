"""Any corpus as a folder of video or audio files, with or without subfolders, and tables of annotations and splits.

    .../NAME.mp4 (or another video or audio)      the recordings
    .../NAME.srt (or .vtt, .ass, NAME.en.srt)     next to it: its transcript, if there is one
    annotations.csv, annotations/, splits.csv     see `annotations`

A recording is named by its file's stem; if two have the same, by the file's name or its path below the folder.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vatrace.corpora.annotations import SPREADSHEETS, TABLE_READERS, is_annotations, is_table, read_tables
from vatrace.corpora.corpus import Annotation, Corpus, Finding, MediaTimes, Notes, Source
from vatrace.corpora.label_notes import label_notes
from vatrace.errors import CorpusError, reason
from vatrace.files import shown
from vatrace.media.folders import Transcripts, find_transcripts, is_media, is_result, key, missing_content, passed_over, walk
from vatrace.media.transcripts import is_transcript


@dataclass
class Files:
    """The files in a folder and its subfolders, except `annotations`.

    Attributes:
        media: video and audio files.
        transcripts: by the folder that they are in.
        others: anything else, except tables of the whole corpus.
        findings: folders that can't be read.
    """

    media: list[Path] = field(default_factory=list)
    transcripts: dict[Path, list[Path]] = field(default_factory=lambda: defaultdict(list))
    others: list[Path] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def open_folder(root: Path) -> Corpus | None:
    """Open a folder of recordings: all media, and annotations without media; None if there are no media.

    Raises:
        CorpusError: if the folder can't be read.
        MissingExtraError: if there are ELAN documents, and the library that reads them is missing.
    """
    files = _files(root)
    if not files.media:
        return None
    media, keys = _names(root, files)
    tables = read_tables(root, keys)
    transcripts = {name: find_transcripts(path, files.transcripts[path.parent]) for name, path in media.items()}

    def source(name: str) -> Source:
        transcript = transcripts[name].path if name in transcripts else None
        person = tables.person(name)
        return Source(name, media.get(name), tables.split(name), tables.subject(name), person=person, transcript=transcript)

    def annotations(source: Source, times: NDArray[np.float64]) -> list[Annotation]:
        return tables.annotations(source.name, source.media)

    def notes(source: Source, media: MediaTimes | None) -> Notes:
        unused = transcripts[source.name].others if source.name in transcripts else ()
        if unused:
            yield "info", f"transcripts that aren't used: {', '.join(shown(path.name) for path in unused)}"
        if tables.names:  # without annotations, the corpus is for features only
            yield from label_notes(tables.annotations(source.name, source.media), media.end if media else None)

    sources = tuple(source(name) for name in sorted({*media, *tables.names}))
    pictures = {source.person for source in sources if isinstance(source.person, Path)}
    files.others = [path for path in files.others if path not in pictures]
    findings = (*files.findings, *_unused(root, files, transcripts, keys), *tables.findings(media))
    return Corpus(root, "folder", sources, annotations, findings, notes, scale=cache(tables.scale))


def _files(root: Path) -> Files:
    """Everything in a folder, by kind; links to folders are followed."""
    files = Files()

    def refuse(error: OSError) -> None:
        what = f"{error.filename}: {reason(error)}"
        if error.filename == str(root):
            raise CorpusError(what)
        files.findings.append(Finding("", "error", f"{what}; its contents aren't used"))

    for folder, inside in walk(root, refuse):
        if folder != root and is_annotations(root / folder.relative_to(root).parts[0]):
            continue
        for path in inside:
            if is_transcript(path) and not path.exists():
                files.findings.append(Finding("", "error", f"{path}: {missing_content(path)}"))
            elif is_transcript(path):
                files.transcripts[folder].append(path)
            elif is_media(path):
                files.media.append(path)
            elif not (folder == root and is_table(path)):
                files.others.append(path)
    return files


def _unused(
    root: Path, files: Files, transcripts: Mapping[str, Transcripts], keys: Mapping[str, list[str]]
) -> Iterator[Finding]:
    """Findings about files that aren't used."""
    used = {path for found in transcripts.values() for path in found.all}
    unused = [path for group in files.transcripts.values() for path in group if path not in used and not is_result(path)]
    if unused:
        names = passed_over([shown(path.relative_to(root)) for path in unused])
        yield Finding("", "warning", f"transcripts that aren't used: {names}; no recording in their folder has this name")
    tables = [path for path in files.others if path.suffix.lower() in {*TABLE_READERS, *SPREADSHEETS}]
    labels = [path for path in tables if key(path.stem) in keys or path.stem.lower() in {"annotations", "splits", "labels"}]
    if labels:
        names = passed_over([shown(path.relative_to(root)) for path in labels])
        where = "annotations are read from annotations.csv or the folder annotations/, splits from splits.csv"
        yield Finding("", "warning", f"tables that weren't read: {names}; {where}")
    others = [path for path in files.others if path not in labels]
    if others:
        names = passed_over([shown(path.relative_to(root)) for path in others])
        yield Finding("", "info", f"ignored (neither video nor audio): {names}")


def _names(root: Path, files: Files) -> tuple[dict[str, Path], dict[str, list[str]]]:
    """Media by name, and the names of the recordings that a word in a table can mean. Duplicate names are left out."""
    media = files.media
    stems, names = Counter(_name(path.stem) for path in media), Counter(_name(path.name) for path in media)
    paths = Counter(path.with_suffix("") for path in media)
    named: dict[str, Path] = {}
    keys: dict[str, list[str]] = defaultdict(list)
    for path in media:
        below, stem = path.relative_to(root), _name(path.stem)
        name = stem
        if stems[stem] > 1 and names[_name(path.name)] == 1:
            name = _name(path.name)
        elif stems[stem] > 1:
            whole = below.with_suffix("") if paths[path.with_suffix("")] == 1 else below
            name = _name(whole.as_posix()).replace("/", "__")
        if name in named:
            what = f"{shown(path)}: can't be distinguished from {shown(named[name])}, so it is left out; rename one of them"
            files.findings.append(Finding("", "error", what))
            continue
        named[name] = path
        for word in {name, stem, *map(_name, (path.name, below.as_posix(), below.with_suffix("").as_posix()))}:
            keys[word].append(name)
    return named, keys


def _name(text: str) -> str:
    """A name that a table can mean, and that a file can have."""
    return key(shown(text))
