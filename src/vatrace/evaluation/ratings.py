"""Pairs a model's values with somebody's ratings of the same recordings, for the recordings of a corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vatrace.corpora.annotators import MAX_LAG, merged, on_grid, relative_lags, shifted
from vatrace.corpora.corpus import Annotation, Corpus, Source, excess
from vatrace.errors import CorpusError, MediaError, VatraceError
from vatrace.evaluation.adapt import Rated
from vatrace.features.spoken_languages import languages_at
from vatrace.inference.adaptation import UNCALIBRATED
from vatrace.inference.intervals import half_widths_at, situations
from vatrace.inference.model import Model
from vatrace.inference.prediction import Prediction
from vatrace.media.recording import frame_times, open_recording
from vatrace.names import MAX_PEOPLE, People, Progress

MODEL = " model"
"""The model's name among the annotators. Theirs never begin with a space."""


@dataclass(frozen=True)
class Lags:
    """By how much ratings are behind the recording.

    Attributes:
        seconds: by annotator.
        unclear: annotators who agree too little with the model to estimate it; only the lag behind other annotators is known
            then, or none, which counts as 0.
    """

    seconds: dict[str, float]
    unclear: tuple[str, ...] = ()


def annotated(corpus: Corpus) -> tuple[dict[str, list[Annotation]], dict[str, str]]:
    """The annotations of each recording that has some and isn't in the test split, and why others can't be used.

    Raises:
        CorpusError: if the values are on another scale than -1..1.
    """
    scale = corpus.scale()
    if scale is not None and scale.certain:
        raise CorpusError(scale.what)
    found, failures = {}, {}
    for source in corpus.sources:
        if source.media is None or source.split == "test":
            continue
        try:
            annotations = [
                one for one in corpus.annotations(source, _frame_times(source.media)) if not np.isnan(one.values).all()
            ]
        except (VatraceError, OSError) as error:
            failures[source.name] = str(error)
            continue
        if any(not np.isnan(annotation.values).all() for annotation in annotations):
            found[source.name] = annotations
    return found, failures


def _frame_times(media: Path) -> NDArray[np.float64]:
    return frame_times(media) if open_recording(media).has_frames else np.zeros(0)


def predicted(source: Source, model: Model, annotations: Sequence[Annotation], progress: Progress) -> Prediction:
    """The trace of the annotated person at the model's own rate.

    Raises:
        CorpusError: if most of the annotations lie after the end of the recording.
        MediaError: if the recording can't be read, or the person isn't in it.
    """
    assert source.media is not None
    person = source.person
    picture, number = (person if isinstance(person, Path) else None), (person if isinstance(person, int) else None)
    people: People = "left" if person == "left" else "right" if person == "right" else "main" if number is None else "all"
    prediction = model.predict(
        open_recording(source.media, source.transcript), rate=model.rate, people=people, person=picture, progress=progress
    )
    for annotation in annotations:
        excess(annotation, prediction.duration)
    if number is None:
        return prediction
    if str(number) not in prediction.people or number > MAX_PEOPLE:
        raise MediaError(f"{source.media}: there is no person {number} in it; {len(prediction.people)} found")
    return prediction.people[str(number)]


def lags_behind(
    predictions: Mapping[str, Prediction], given: Mapping[str, list[Annotation]], known: float | None = None
) -> Lags:
    """Estimate the lag of each annotator behind the model's values, as that of annotators behind each other.

    Args:
        predictions: by recording.
        given: the annotations of each.
        known: the lag of everybody, in seconds, if it needn't be estimated.
    """
    if known is not None:
        return Lags({annotation.annotator: known for name in predictions for annotation in given[name]})
    groups = [[_as_annotation(predictions[name], given[name]), *given[name]] for name in predictions]
    found = relative_lags(groups)
    everybody = sorted({annotation.annotator for name in predictions for annotation in given[name]})
    unclear = tuple(name for name in everybody if name not in found or MODEL not in found)
    model = found.get(MODEL, 0.0)
    return Lags({name: max(found.get(name, model) - model, 0.0) for name in everybody}, unclear)


def _as_annotation(prediction: Prediction, annotations: Sequence[Annotation]) -> Annotation:
    """The model's values where somebody has rated, and as far before that as lags reach."""
    start = min(float(annotation.times[0]) for annotation in annotations) - MAX_LAG
    end = max(float(annotation.times[-1]) for annotation in annotations)
    inside = (prediction.times >= start) & (prediction.times <= end)
    values = np.stack([prediction.valence, prediction.arousal], axis=-1)[inside]
    return Annotation(MODEL, prediction.times[inside], np.where(prediction.supported[inside, None], values, np.nan))


def rated(name: str, prediction: Prediction, annotations: Sequence[Annotation], lags: Lags, model: Model) -> Rated:
    """The model's values and the mean rating, with lags removed, at the steps at which any modality is present."""
    steps = len(prediction.times)
    where = situations(prediction.presence, model.rate, languages=languages_at(prediction.languages, prediction.times))
    grids = {one.annotator: on_grid(shifted(one, lags.seconds[one.annotator]), model.rate, steps) for one in annotations}
    return Rated(
        name=name,
        rate=model.rate,
        values=np.stack([prediction.valence, prediction.arousal], axis=-1),
        half_widths=half_widths_at(where, model.half_widths or UNCALIBRATED),
        ratings=np.where(prediction.supported[:, None], merged(grids), np.nan),
    )
