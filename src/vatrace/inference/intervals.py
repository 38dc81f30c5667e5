"""Intervals that contain the truth nine times in ten on recordings like those of calibration. NumPy only.

Split conformal prediction (Lei et al. 2018, JASA 113, 1094-1111) by situation: the half-width is the quantile of the absolute
errors on calibration recordings at steps where the same modalities were present. The coverage holds for recordings like those.
Steps of one recording aren't independent, so it holds over many recordings, not within each.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from vatrace.languages import ENGLISH
from vatrace.names import in_order

COVERAGE = 0.9
MEMORY = 3.0
"""Seconds within which a modality's presence before or after a step still matters."""
MIN_ERRORS = 200
"""With fewer errors than this, a situation gets no half-width of its own."""

NOTHING = "nothing"
NEAR = ", near "
IN, ANOTHER = ", in ", "another language"
"""What a situation ends with where another language than English is spoken: its code, or ANOTHER for all that have no
half-widths of their own. A file that has neither for a situation has the same half-widths in all languages."""

HalfWidths = dict[str, tuple[float, float]]
"""Of valence and arousal, by situation."""


def situations(
    valid: Mapping[str, NDArray[np.bool_]], rate: float, ahead: bool = True, languages: NDArray[np.str_] | None = None
) -> NDArray[np.str_]:
    """Each step's situation, (T,): the modalities present, and others within MEMORY seconds, as in "face, near voice+words".

    Args:
        valid: (T,) by modality.
        rate: steps a second.
        ahead: whether what follows a step counts as near; not for a causal model.
        languages: (T,) the code of the language that is spoken; None for English. Others are added, as in "voice, in de".
    """
    present = {name: np.asarray(valid[name], dtype=bool) for name in in_order(valid)}
    code = np.zeros(len(next(iter(present.values()))), dtype=int)
    for bit, mask in enumerate(present.values()):
        code |= (mask << bit) | (_within(mask, MEMORY * rate, ahead) << (bit + len(present)))
    names = np.array([_name(list(present), value) for value in range(4 ** len(present))])[code]
    if languages is None:
        return names
    return np.array(
        [name + (IN + code if code != ENGLISH else "") for name, code in zip(names, languages, strict=True)], np.str_
    )


def _within(mask: NDArray[np.bool_], steps: float, ahead: bool) -> NDArray[np.bool_]:
    """Whether the mask is set at some step no farther than `steps` back, or also ahead."""
    places = np.arange(len(mask))
    before = np.maximum.accumulate(np.where(mask, places, -np.inf))
    after = np.minimum.accumulate(np.where(mask, places, np.inf)[::-1])[::-1]
    return (places - before <= steps) | (ahead & (after - places <= steps))


def _name(names: list[str], code: int) -> str:
    now = [name for bit, name in enumerate(names) if code >> bit & 1]
    near = [name for bit, name in enumerate(names) if code >> (bit + len(names)) & 1 and name not in now]
    return ("+".join(now) or NOTHING) + (NEAR + "+".join(near) if near else "")


def half_widths(recordings: Iterable[tuple[NDArray[np.float64], NDArray[np.str_]]], level: float = COVERAGE) -> HalfWidths:
    """The conformal quantile of the absolute errors in each situation.

    Args:
        recordings: of each, the differences (T, 2) between truth and prediction, NaN without truth, and the situations (T,).
        level: share of truths that should lie inside.

    Returns:
        By situation, for those with at least MIN_ERRORS errors.
    """
    parts: dict[str, list[NDArray[np.float64]]] = {}
    for missed, where in recordings:
        labelled = ~np.isnan(missed).any(axis=1)
        for name in np.unique(where[labelled]).tolist():
            parts.setdefault(name, []).append(missed[labelled & (where == name)])
    errors = {name: np.concatenate(found) for name, found in parts.items()}
    return {name: _quantiles(np.abs(values), level) for name, values in sorted(errors.items()) if len(values) >= MIN_ERRORS}


def metadata(widths: HalfWidths) -> dict[str, object]:
    """The half-widths as metadata of a model file."""
    rounded = {name: [round(value, 4) for value in pair] for name, pair in widths.items()}
    return {"intervals": json.dumps(rounded), "interval_level": COVERAGE} if widths else {}


def _quantiles(values: NDArray[np.float64], level: float) -> tuple[float, float]:
    """The ceil((N + 1) level)-th smallest of each column."""
    index = min(int(np.ceil((len(values) + 1) * level)), len(values)) - 1
    first, second = np.partition(values, index, axis=0)[index].tolist()
    return first, second


def bounds(
    values: NDArray[np.float64], where: NDArray[np.str_], widths: HalfWidths
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper ends (T, 2) within -1..1 around values (T, 2)."""
    half = half_widths_at(where, widths)
    return np.clip(values - half, -1, 1), np.clip(values + half, -1, 1)


def half_widths_at(where: NDArray[np.str_], widths: HalfWidths) -> NDArray[np.float64]:
    """The half-widths (T, 2) of steps in these situations (T,).

    In a language without half-widths of its own, use those of any other language, or else of English. For an unseen situation,
    use the widest interval among those with the same modalities present, or else among all.
    """
    half = np.zeros((len(where), 2))
    plain = {name: pair for name, pair in widths.items() if IN not in name}
    for name in np.unique(where).tolist():
        situation, _, language = name.partition(IN)
        alike = [pair for key, pair in plain.items() if key.split(NEAR)[0] == situation.split(NEAR)[0]]
        found = plain.get(situation, np.max(alike or list(plain.values()), axis=0))
        if language:
            found = widths.get(name, widths.get(situation + IN + ANOTHER, found))
        half[where == name] = found
    return half
