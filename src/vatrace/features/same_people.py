"""Matches people across recordings by their faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vatrace.features.identity import SAME_PERSON, Identity

MARGIN = 0.05
"""A distance this close to SAME_PERSON, on either side, makes a match doubtful. With the mean of each person's views, five GRID
speakers and copies of their clips that are darker, brighter, smaller, grey, mirrored or in other colours stay within 0.31 of
each other; copies compressed until faces are blurred are up to 0.48 away; different speakers are at least 0.55 apart."""


@dataclass(frozen=True)
class Match:
    """Who a person is among the people of all recordings.

    Attributes:
        group: a number from 0, the same for the same person, in the order in which they appear.
        distance: mean distance to the same person in other recordings; None if there are none.
        next_group: the most similar of all other people; None if there are no others.
        next_distance: mean distance to them.
        doubts: why the match is doubtful; empty if it isn't.
    """

    group: int
    distance: float | None
    next_group: int | None
    next_distance: float | None
    doubts: tuple[str, ...] = ()


def match_people(people: Sequence[Sequence[Identity]]) -> list[list[Match]]:
    """Find the same people in several recordings, by average linkage of the means of their views.

    Two people of one recording are never the same.

    Args:
        people: the people of each recording, each with at least one view.
    """
    known = [identity for inside in people for identity in inside]
    means = np.array([identity.mean for identity in known])
    apart = np.linalg.norm(means[:, None] - means[None], axis=-1) if known else np.empty((0, 0))
    places = np.repeat(np.arange(len(people)), [len(inside) for inside in people])
    groups = _linked(apart, places)
    matches = iter([_match(index, known[index], groups, apart[index]) for index in range(len(known))])
    return [[next(matches) for _ in inside] for inside in people]


def _linked(apart: NDArray[np.float64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The group of each of N people, by their distances (N, N) and recordings (N,)."""
    owner, sizes = np.arange(len(places)), np.ones(len(places))
    between = np.where(places[:, None] == places, np.inf, apart)
    while len(places):
        one, other = (int(index) for index in np.unravel_index(between.argmin(), between.shape))
        if not between[one, other] < SAME_PERSON:
            break
        joined = (sizes[one] * between[one] + sizes[other] * between[other]) / (sizes[one] + sizes[other])
        between[one] = between[:, one] = joined
        between[one, one] = between[other] = between[:, other] = np.inf
        sizes[one] += sizes[other]
        owner[owner == other] = one
    _, first, group = np.unique(owner, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[group].astype(np.int64)


def _match(index: int, identity: Identity, groups: NDArray[np.int64], apart: NDArray[np.float64]) -> Match:
    """The match of one person, by the groups of all (N,) and the distances to them (N,)."""
    group = int(groups[index])
    same = groups == group
    same[index] = False
    distance = float(apart[same].mean()) if same.any() else None
    means = {int(other): float(apart[groups == other].mean()) for other in np.unique(groups[groups != group])}
    nearest = min(means, key=lambda other: means[other], default=None)
    doubts = []
    if identity.weight < 1:
        doubts.append("never seen from the front")
    if distance is not None and distance > SAME_PERSON - MARGIN:
        doubts.append("looks different in other recordings")
    if nearest is not None and means[nearest] < SAME_PERSON + MARGIN:
        doubts.append("looks like somebody else")
    return Match(group, distance, nearest, None if nearest is None else means[nearest], tuple(doubts))
