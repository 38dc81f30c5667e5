"""A laboratory's recordings with their annotations and splits, in several layouts, each with a reader."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

from vatrace.corpora.affwild2 import open_affwild2
from vatrace.corpora.annotations import parse_person, read_splits
from vatrace.corpora.corpus import Corpus, Reader
from vatrace.corpora.feature_files import open_features
from vatrace.corpora.folder import open_folder
from vatrace.errors import CorpusError, PluginError, UsageError
from vatrace.media.folders import key
from vatrace.plugins import is_plugin, load_class

READERS: dict[str, Reader] = {"affwild2": open_affwild2, "folder": open_folder, "features": open_features}
"""All readers by name, in the order in which they are tried."""

LAYOUTS = """Aff-Wild2: VA_Estimation_Challenge/{Train_Set,Validation_Set}/NAME.txt, NAME.mp4, cropped_aligned/NAME/00001.jpg;
any other: NAME.mp4, annotations.csv (recording,time,valence,arousal[,annotator]) or annotations/NAME.csv
(time,valence,arousal), splits.csv (recording,split[,subject]); features of other tools: MODALITY/NAME.npy, .csv or .parquet"""


def open_corpus(path: Path, reader: str | None = None) -> Corpus:
    """Find the recordings below a folder, with their annotations and splits. No video is opened.

    If a reader from outside the package provides no splits, those of a table `splits.csv` in the folder are used.

    Args:
        path: the folder.
        reader: one of `READERS`, or `package.module:Class` for a class from outside the package, which is imported; None to
            try all of `READERS`.

    Raises:
        CorpusError: if the path is not a folder, can't be read, or no reader recognises it.
        PluginError: if a class from outside the package can't be imported or lacks something.
        UsageError: if there is no such reader.
    """
    if not path.is_dir():
        raise CorpusError(f"{path}: not a folder")
    readers = list(READERS.values()) if reader is None else [find_reader(reader)]
    corpus = next((corpus for read in readers if (corpus := read(path)) is not None), None)
    if corpus is None:
        expected = LAYOUTS.replace("\n", " ") if reader is None else f"its layout is not that of the reader {reader}"
        raise CorpusError(f"{path}: contains no corpus. {expected}")
    table = path / "splits.csv"
    if (
        reader not in {None, *READERS}
        and (table.exists() or table.is_symlink())
        and all(source.split is None for source in corpus.sources)
    ):
        return _with_splits(corpus, table)
    return corpus


def find_reader(name: str) -> Reader:
    """The reader of this name; a class from outside the package is imported, checked and constructed.

    Raises:
        PluginError: if it is a class that can't be imported or lacks something.
        UsageError: if there is none.
    """
    if name in READERS:
        return READERS[name]
    if not is_plugin(name):
        raise UsageError(f"readers are {', '.join(READERS)} and package.module:Class, not {name!r}")
    found = load_class(name, Reader)
    try:
        inspect.signature(found).bind()
        inspect.signature(found.__call__).bind(None, Path())
    except TypeError as error:
        raise PluginError(f"{name}: must be constructed without arguments, and called with a folder: {error}") from error
    reader: Reader = found()
    return reader


def _with_splits(corpus: Corpus, table: Path) -> Corpus:
    """The corpus with the splits, subjects and people of a table; a recording that is listed in two splits is in none."""
    listed = read_splits(table, {key(source.name): [source.name] for source in corpus.sources})
    sources = []
    for source in corpus.sources:
        splits = listed.splits.get(source.name, set())
        split = next(iter(splits)) if len(splits) == 1 else None
        subject = min(listed.subjects.get(source.name, set()), default=source.subject)
        person = parse_person(min(listed.people.get(source.name, set()), default=""), corpus.root) or source.person
        sources.append(replace(source, split=split, subject=subject, person=person))
    return replace(corpus, sources=tuple(sources), findings=(*corpus.findings, *listed.found))
