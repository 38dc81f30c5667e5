"""Folds for cross-validation: no subject is in two of them."""

from __future__ import annotations

from collections.abc import Mapping

from vatrace.errors import RunError


def make_folds(sizes: Mapping[str, int], subjects: Mapping[str, str], num_folds: int) -> list[list[str]]:
    """Divide recordings into folds of about the same size: the largest subject first, each into the smallest fold so far.

    The same recordings always have the same folds, so that runs can be compared.

    Args:
        sizes: labelled steps by recording.
        subjects: by recording; "" for a subject with a single recording.
        num_folds: at least 2.

    Returns:
        The names in each fold, ascending.

    Raises:
        RunError: if there are fewer subjects than folds.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for name in sorted(sizes):
        groups.setdefault((subjects[name], "" if subjects[name] else name), []).append(name)
    if len(groups) < 2:
        raise RunError(f"folds need at least 2 subjects with labels outside the test split, there are {len(groups)}")
    if not 2 <= num_folds <= len(groups):
        raise RunError(f"{len(groups)} subjects with labels can be divided into 2 to {len(groups)} folds, not {num_folds}")
    folds: list[list[str]] = [[] for _ in range(num_folds)]
    totals = [0] * num_folds
    for group in sorted(groups.values(), key=lambda names: -sum(sizes[name] for name in names)):
        smallest = totals.index(min(totals))
        folds[smallest] += group
        totals[smallest] += sum(sizes[name] for name in group)
    return [sorted(names) for names in folds]
