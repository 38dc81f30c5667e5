"""Acted and spontaneous speech of many corpora and languages: who speaks, with which emotion, and its place on the scales.

DATA contains ravdess/*.flac, and speech/ with a table, meta.csv, and a folder for each of the other corpora.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import NamedTuple

from categories import CATEGORY_VALENCE_AROUSAL

TRAIN_CORPORA = ("ravdess", "emodb", "nemo", "korean", "emovo", "urdu")
"""English, German, Polish, Korean and Italian actors, and people on Urdu talk shows."""
TEST_CORPORA = ("tess", "turev", "koread")
"""English, Turkish and Korean. Their terms allow no derivatives, so they are never trained on, nor used for any choice."""

RAVDESS_EMOTIONS = ("neutral", "calm", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
"""In the order of its file names."""
HELD_OUT: dict[str, dict[str, tuple[str, ...]]] = {
    "dev": {
        "ravdess": ("19", "20", "21"),
        "emodb": ("8", "15"),
        "nemo": ("EB0", "TP0"),
        "korean": ("nee", "neo", "emb", "emh"),
        "emovo": ("f3", "m3"),
        "urdu": ("M3", "M6", "M4", "F6", "M7"),
    },
    "test": {"ravdess": ("22", "23", "24")},
}
"""The speakers of TRAIN_CORPORA who are not trained on. On the Urdu talk shows, most speak with one emotion only."""

CATEGORIES = CATEGORY_VALENCE_AROUSAL | {"boredom": (-0.68, -0.22)}
"""Valence and arousal by category. Boredom, which only emodb has, is placed as calm and contempt are in `categories.py`."""
STRENGTH = {"normal": 0.7, "strong": 1.0, "": 0.85}
"""Valence and arousal relative to the category's, by intensity: our own choice, not based on ratings. Where a corpus of acted
speech states no intensity, it is taken to be half-way between."""
SPONTANEOUS = 0.7
"""The same for people who don't act (Urdu): as normal intensity."""
POLARITY = {"negative": -0.6, "neutral": 0.0, "positive": 0.6}
"""Valence of koread's classes: about the mean of the unpleasant categories, and its opposite. They say nothing of arousal."""


class Utterance(NamedTuple):
    """One file: who speaks, with which emotion."""

    path: Path
    corpus: str
    speaker: str
    """Unique within the corpus."""
    sex: str
    """m, f, or empty if unknown."""
    emotion: str
    """A category; of koread, a key of POLARITY."""
    valence_arousal: tuple[float, float]
    """Proxy, -1..1; NaN where the emotion has none."""


def corpus_utterances(data: Path, corpus: str) -> list[Utterance]:
    """All utterances of one corpus, speaker by speaker."""
    return _ravdess(data) if corpus == "ravdess" else _of_table(data, corpus)


def train_utterances(data: Path, split: str) -> list[Utterance]:
    """The utterances of TRAIN_CORPORA by the speakers of one split."""
    found = [utterance for corpus in TRAIN_CORPORA for utterance in corpus_utterances(data, corpus)]
    return [utterance for utterance in found if split_of(utterance) == split]


def split_of(utterance: Utterance) -> str:
    """train, dev or test."""
    for split, speakers in HELD_OUT.items():
        if utterance.speaker in speakers.get(utterance.corpus, ()):
            return split
    return "train"


def _ravdess(data: Path) -> list[Utterance]:
    found = []
    for path in sorted((data / "ravdess").glob("*.flac"), key=lambda path: (path.stem[-2:], path.stem)):
        _, _, emotion, intensity, _, _, actor = path.stem.split("-")
        name, sex = RAVDESS_EMOTIONS[int(emotion) - 1], "m" if int(actor) % 2 else "f"
        valence, arousal = CATEGORIES[name]
        strength = STRENGTH["strong" if intensity == "02" else "normal"]
        found.append(Utterance(path, "ravdess", actor, sex, name, (valence * strength, arousal * strength)))
    return found


def _of_table(data: Path, corpus: str) -> list[Utterance]:
    strength = SPONTANEOUS if corpus == "urdu" else STRENGTH[""]
    found = []
    with (data / "speech" / "meta.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["corpus"] != corpus:
                continue
            if corpus == "koread":
                place = (POLARITY[row["emotion"]], math.nan)
            else:
                valence, arousal = CATEGORIES.get(row["emotion"], (math.nan, math.nan))
                place = (valence * strength, arousal * strength)
            found.append(Utterance(data / "speech" / row["file"], corpus, row["speaker"], row["sex"], row["emotion"], place))
    return sorted(found, key=lambda utterance: (utterance.speaker, utterance.path.name))
