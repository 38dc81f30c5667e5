"""A laboratory's recordings with their annotations and splits, whatever their layout."""

from __future__ import annotations

from pathlib import Path

from vatrace.corpora import affwild2, folder
from vatrace.corpora.corpus import Corpus
from vatrace.errors import CorpusError

LAYOUTS = """Aff-Wild2: VA_Estimation_Challenge/{Train_Set,Validation_Set}/NAME.txt, NAME.mp4, cropped_aligned/NAME/00001.jpg;
any other: NAME.mp4, annotations.csv (recording,time,valence,arousal[,annotator]) or annotations/NAME.csv
(time,valence,arousal), splits.csv (recording,split[,subject])"""


def open_corpus(path: Path) -> Corpus:
    """Find the recordings below a folder, with their annotations and splits. No video is opened.

    Args:
        path: the folder. It is taken for Aff-Wild2 if there are annotations in the way of that corpus anywhere in it.

    Raises:
        CorpusError: if it is no folder, has neither layout, or a table in it can't be read.
    """
    if not path.is_dir():
        raise CorpusError(f"{path}: not a folder")
    affwild2_layout = affwild2.find(path)
    if affwild2_layout.labels or affwild2_layout.listed.keys() & {*affwild2_layout.videos, *affwild2_layout.faces}:
        return affwild2.as_corpus(affwild2_layout)
    layout = folder.find(path)
    if not layout.media:
        raise CorpusError(f"{path}: no corpus in it. {LAYOUTS}".replace("\n", " "))
    return folder.as_corpus(layout)
