"""From what annotators say of a corpus to one label for each step of a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from vatrace.corpora.annotators import Agreement, Merge, agreement, ewe_weights, merged, on_grid, relative_lags, shifted
from vatrace.corpora.corpus import Annotation, Corpus, see_that_it_ends
from vatrace.corpora.lag import Reaction, reaction_lag
from vatrace.errors import CorpusError
from vatrace.store import Membership, Store, StoredRecording


@dataclass(frozen=True)
class Labelling:
    """How the labels of a store came about.

    Attributes:
        num_labelled: recordings with labels.
        lags: seconds by which each annotator's values were moved back.
        untold: annotators who agree too little with the others to tell their lag.
        apart: annotators who share no recording with another.
        agreement: between annotators; None with one.
        reaction: how the common lag was found; None where it was given or can't be told.
        failures: what is wrong, by recording.
        warnings: what is in doubt of labels that were taken, by recording.
    """

    num_labelled: int
    lags: dict[str, float]
    untold: tuple[str, ...]
    apart: tuple[str, ...]
    agreement: Agreement | None
    reaction: Reaction | None
    failures: dict[str, str]
    warnings: dict[str, str]


def label_store(corpus: Corpus, store: Store, merge: Merge = "mean", lag: float | None = 0.0) -> Labelling:
    """Write the labels, splits and subjects of a corpus into a store that has its features.

    Annotators' lags against each other are estimated and taken out, then what is common to all: `lag`.

    Args:
        corpus: whose annotations.
        store: with the features of its recordings.
        merge: how several annotators' values become one.
        lag: seconds by which all labels are behind what is seen and heard; None to estimate it from the features of the train
            recordings, or where none is in train, of all but test.
    """
    recordings = {source.name: store.recording(source.name) for source in corpus.sources if source.name in store}
    given: dict[str, list[Annotation]] = {}
    failures, warnings = {}, {}
    for source in corpus.sources:
        if source.name in recordings:
            recording = recordings[source.name]
            try:
                annotations = corpus.annotations(source, recording.frame_times)
                doubts = [see_that_it_ends(one, recording.num_steps / recording.meta.rate) for one in annotations]
            except (CorpusError, OSError) as error:
                failures[source.name] = str(error)
                continue
            given[source.name] = annotations
            if any(doubts):
                warnings[source.name] = "; ".join(filter(None, doubts))
    lags = relative_lags(list(given.values()))
    everybody = {annotation.annotator for group in given.values() for annotation in group}
    together = {annotation.annotator for group in given.values() if len(group) > 1 for annotation in group}
    apart = tuple(sorted(everybody - together)) if len(everybody) > 1 else ()
    untold = tuple(sorted(together - set(lags)))
    lags |= {name: 0.0 for name in everybody if name not in lags}
    members = {source.name: Membership(source.split, source.subject) for source in corpus.sources}

    grids = _grids(given, recordings, lags)
    reaction = None
    if lag is None:
        usable = {"train"} if any(member.split == "train" for member in members.values()) else {"dev", None}
        train = [r for name, r in recordings.items() if members[name].split in usable and grids.get(name)]
        reaction = reaction_lag(train, {r.name: merged(grids[r.name]) for r in train})
        lag = reaction.lag if reaction else 0.0
    if lag:
        lags = {name: value + lag for name, value in lags.items()}
        grids = _grids(given, recordings, lags)

    traces = _end_to_end(grids, recordings)
    weights = ewe_weights(traces) if merge == "ewe" and len(traces) > 1 else None
    labelled = 0
    for name in recordings:
        if grids.get(name):
            store.write_labels(name, merged(grids[name], weights))
            labelled += 1
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
    store.write_corpus(store.members | members, facts)  # those of another corpus in this store stay
    return Labelling(labelled, lags, untold, apart, found, reaction, failures, warnings)


def _grids(
    given: Mapping[str, list[Annotation]], recordings: Mapping[str, StoredRecording], lags: Mapping[str, float]
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """What each annotator says (T, 2), without lag, by recording and annotator."""
    return {
        name: {
            a.annotator: on_grid(shifted(a, lags[a.annotator]), recordings[name].meta.rate, recordings[name].num_steps)
            for a in annotations_of
        }
        for name, annotations_of in given.items()
    }


def _end_to_end(
    grids: Mapping[str, Mapping[str, NDArray[np.float64]]], recordings: Mapping[str, StoredRecording]
) -> dict[str, NDArray[np.float64]]:
    """All recordings one after the other, (T, 2) by annotator, NaN where an annotator says nothing."""
    annotators = sorted({annotator for by_annotator in grids.values() for annotator in by_annotator})
    nothing = {name: np.full((recordings[name].num_steps, 2), np.nan) for name in grids}
    return {
        annotator: np.concatenate([grids[name].get(annotator, nothing[name]) for name in grids]) for annotator in annotators
    }
