"""Any corpus as a folder of videos or audio files, in subfolders too, with annotations and splits in tables.

    .../NAME.mp4 (or another video or audio)      the recordings
    .../NAME.srt (or .vtt) beside it              its words, where there is a transcript
    annotations.csv, annotations/, splits.csv     see `annotations`

A recording is named by its file's stem; where two have the same, by the file's name or its path below the folder.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vatrace.corpora.annotations import label_notes, read_tables
from vatrace.corpora.corpus import Annotation, Corpus, MediaTimes, Notes, Source
from vatrace.errors import CorpusError, reason
from vatrace.media.recording import MEDIA_SUFFIXES
from vatrace.media.transcripts import is_transcript


def open_folder(root: Path) -> Corpus | None:
    """Open a folder of recordings: all media, and recordings that are annotated but have none; None if there are no media.

    Raises:
        CorpusError: if a folder or table can't be read, or two media or annotations can't be told apart.
        MissingExtraError: if there are ELAN documents, and the library that reads them is missing.
    """
    files, transcripts = _walk(root)
    if not files:
        return None
    media, keys = _names(root, files)
    tables = read_tables(root, keys)

    def source(name: str) -> Source:
        path = media.get(name)
        transcript = transcripts.get(path.with_suffix("")) if path else None
        return Source(name, path, tables.split(name), tables.subject(name), transcript=transcript)

    def annotations(source: Source, times: NDArray[np.float64]) -> list[Annotation]:
        return tables.annotations(source.name)

    def notes(source: Source, media: MediaTimes | None) -> Notes:
        if tables.names:  # without annotations, the corpus is for features only
            yield from label_notes(tables.annotations(source.name), media.end if media else None)

    sources = tuple(source(name) for name in sorted({*media, *tables.names}))
    return Corpus(root, "folder", sources, annotations, tuple(tables.findings(media)), notes)


def _walk(root: Path) -> tuple[list[Path], dict[Path, Path]]:
    """Media, and transcripts by their path without suffix; the folder `annotations` is left out."""
    media, transcripts = [], {}

    def refuse(error: OSError) -> None:
        raise CorpusError(f"{error.filename}: {reason(error)}")

    for folder, folders, names in os.walk(root, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and Path(folder, name) != root / "annotations")
        for path in (Path(folder, name) for name in sorted(names) if not name.startswith(".")):
            if path.suffix.lower() in MEDIA_SUFFIXES:
                media.append(path)
            elif is_transcript(path):
                transcripts[path.with_suffix("")] = path
    return media, transcripts


def _names(root: Path, media: list[Path]) -> tuple[dict[str, Path], dict[str, list[str]]]:
    """Media by name; and the names of the recordings that a word in a table can mean."""
    stems, files = Counter(path.stem for path in media), Counter(path.name for path in media)
    paths = Counter(path.with_suffix("") for path in media)
    named: dict[str, Path] = {}
    keys: dict[str, list[str]] = defaultdict(list)
    for path in media:
        below = path.relative_to(root)
        name = path.stem
        if stems[path.stem] > 1 and files[path.name] == 1:
            name = path.name
        elif stems[path.stem] > 1:
            name = (below.with_suffix("") if paths[path.with_suffix("")] == 1 else below).as_posix().replace("/", "__")
        if name in named:
            raise CorpusError(f"{path}: can't be told from {named[name]}; rename one of them")
        named[name] = path
        for key in {name, path.stem, path.name, below.as_posix(), below.with_suffix("").as_posix()}:
            keys[key].append(name)
    return named, keys
