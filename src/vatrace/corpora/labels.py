"""From the annotations of a corpus to one label for each step of a store."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from vatrace.corpora.annotators import Agreement, Merge, agreement, ewe_weights, merged, on_grid, relative_lags, shifted
from vatrace.corpora.corpus import Annotation, Corpus, excess
from vatrace.corpora.lag import Reaction, reaction_lag
from vatrace.errors import CorpusError, report_bug
from vatrace.store import Membership, Store, StoredRecording

Recordings = Mapping[str, StoredRecording]
Grids = dict[str, dict[str, NDArray[np.float64]]]
"""Values (T, 2) without lag, by recording and annotator."""


@dataclass(frozen=True)
class Labelling:
    """How the labels of a store were made.

    Attributes:
        num_labelled: recordings with labels.
        lags: seconds by which each annotator's values were moved back.
        unclear: annotators who agree too little with the others for their lag to be estimated.
        apart: annotators who share no recording with another.
        agreement: between annotators; None with only one.
        reaction: how the common lag was estimated; None if it was given or there is too little data.
        failures: why a recording has no labels, by recording.
        warnings: doubts about labels that were used, by recording.
    """

    num_labelled: int
    lags: dict[str, float]
    unclear: tuple[str, ...]
    apart: tuple[str, ...]
    agreement: Agreement | None
    reaction: Reaction | None
    failures: dict[str, str]
    warnings: dict[str, str]


def label_store(
    corpus: Corpus, store: Store, merge: Merge = "mean", lag: float | None = 0.0, outdated: Collection[str] = ()
) -> Labelling:
    """Write the labels, splits and subjects of a corpus into a store that has its features.

    Annotators' lags against each other are estimated and removed, then the lag that all share: `lag`.

    Args:
        corpus: with annotations.
        store: with the features of its recordings.
        merge: how several annotators' values become one.
        lag: seconds by which all labels are late; None to estimate it from the features of the train recordings, or if there
            are none, of all recordings except those of test.
        outdated: recordings whose features could not be extracted or imported again. They get no labels, so that training
            doesn't mix old and new features.
    """
    names = [source.name for source in corpus.sources if source.name in store]
    for name in {*names} & {*outdated}:
        store.remove_labels(name)
    recordings = {name: store.recording(name) for name in names if name not in outdated}
    given, failures, warnings = _read(corpus, recordings)
    lags = relative_lags(list(given.values()))
    everybody = {annotation.annotator for group in given.values() for annotation in group}
    together = {annotation.annotator for group in given.values() if len(group) > 1 for annotation in group}
    apart = tuple(sorted(everybody - together)) if len(everybody) > 1 else ()
    unclear = tuple(sorted(together - set(lags)))
    lags |= {name: 0.0 for name in everybody if name not in lags}
    members = {source.name: Membership(source.split, source.subject) for source in corpus.sources}

    grids = _grids(given, recordings, lags)
    reaction = None
    if lag is None:
        reaction = _common_lag(grids, recordings, members)
        lag = reaction.lag if reaction else 0.0
    if lag:
        lags = {name: value + lag for name, value in lags.items()}
        grids = _grids(given, recordings, lags)

    traces = _end_to_end(grids, recordings)
    weights = ewe_weights(traces) if merge == "ewe" and len(traces) > 1 else None
    labelled = [name for name in recordings if grids.get(name)]
    for name in recordings:
        if name in labelled:
            store.write_labels(name, merged(grids[name], weights))
        else:
            store.remove_labels(name)
    found = agreement(traces) if len(together) > 1 else None
    facts = {
        "kind": corpus.kind,
        "merge": merge,
        "lags": lags,
        "agreement": None if found is None else asdict(found),
        "weights": None if weights is None else {name: values.tolist() for name, values in weights.items()},
    }
    store.write_corpus(store.members | members, facts)  # other corpora's recordings in this store stay
    return Labelling(len(labelled), lags, unclear, apart, found, reaction, failures, warnings)


def _read(corpus: Corpus, recordings: Recordings) -> tuple[dict[str, list[Annotation]], dict[str, str], dict[str, str]]:
    """Annotations, failures and warnings by recording."""
    given: dict[str, list[Annotation]] = {}
    failures, warnings = {}, {}
    scale = corpus.scale()
    for source in corpus.sources:
        if source.name not in recordings:
            continue
        recording = recordings[source.name]
        try:
            annotations = corpus.annotations(source, recording.frame_times)
            doubts = [excess(annotation, recording.num_steps / recording.meta.rate) for annotation in annotations]
        except (CorpusError, OSError) as error:
            failures[source.name] = str(error)
            continue
        except Exception as error:  # it must not stop the other recordings
            failures[source.name] = report_bug(error, source.name)
            continue
        if annotations and scale is not None and scale.certain:  # in a single file, all values may happen to be in -1..1
            failures[source.name] = scale.what
            continue
        given[source.name] = annotations
        if any(doubts):
            warnings[source.name] = "; ".join(filter(None, doubts))
    return given, failures, warnings


def _common_lag(grids: Grids, recordings: Recordings, members: Mapping[str, Membership]) -> Reaction | None:
    """The lag of all labels behind the features, from train, or if it is empty, from all except test."""
    usable = {"train"} if any(member.split == "train" for member in members.values()) else {"dev", None}
    train = [recording for name, recording in recordings.items() if members[name].split in usable and grids.get(name)]
    return reaction_lag(train, {recording.name: merged(grids[recording.name]) for recording in train})


def _grids(given: Mapping[str, list[Annotation]], recordings: Recordings, lags: Mapping[str, float]) -> Grids:
    """Each annotator's values on the grid of the recording."""
    return {
        name: {
            a.annotator: on_grid(shifted(a, lags[a.annotator]), recordings[name].meta.rate, recordings[name].num_steps)
            for a in annotations_of
        }
        for name, annotations_of in given.items()
    }


def _end_to_end(grids: Grids, recordings: Recordings) -> dict[str, NDArray[np.float64]]:
    """All recordings one after the other, (T, 2) by annotator, NaN where an annotator has no value."""
    annotators = sorted({annotator for by_annotator in grids.values() for annotator in by_annotator})
    nothing = {name: np.full((recordings[name].num_steps, 2), np.nan) for name in grids}
    return {
        annotator: np.concatenate([grids[name].get(annotator, nothing[name]) for name in grids]) for annotator in annotators
    }
