"""Folds for cross-validation: no subject is in two of them."""

from __future__ import annotations

from collections.abc import Mapping

from vatrace.errors import RunError


def make_folds(sizes: Mapping[str, int], subjects: Mapping[str, str], num_folds: int) -> list[list[str]]:
    """Divide recordings into folds of similar size. Subjects are added, the largest first, to the smallest fold so far.

    The same recordings always give the same folds, so that runs can be compared.

    Args:
        sizes: number of labelled steps by recording.
        subjects: subject by recording; a recording whose subject is "" counts as a subject of its own.
        num_folds: number of folds, at least 2.

    Returns:
        The names of the recordings in each fold, ascending.

    Raises:
        RunError: if there are fewer subjects than folds.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for name in sorted(sizes):
        groups.setdefault((subjects[name], "" if subjects[name] else name), []).append(name)
    if len(groups) < 2:
        raise RunError(f"folds need at least 2 subjects with labels outside the test split, but there are {len(groups)}")
    if not 2 <= num_folds <= len(groups):
        raise RunError(f"{len(groups)} subjects with labels can be divided into 2 to {len(groups)} folds, not {num_folds}")
    folds: list[list[str]] = [[] for _ in range(num_folds)]
    totals = [0] * num_folds
    for group in sorted(groups.values(), key=lambda names: -sum(sizes[name] for name in names)):
        smallest = totals.index(min(totals))
        folds[smallest] += group
        totals[smallest] += sum(sizes[name] for name in group)
    return [sorted(names) for names in folds]
