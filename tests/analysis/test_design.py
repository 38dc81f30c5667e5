"""Which traces the tables of events and ratings mean, and which of them count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from made_studies import MadeStudy, wandering
from vatrace.analysis.agreement import Compared, agreement_findings, read_ratings
from vatrace.analysis.events import Moment, responses
from vatrace.errors import UsageError


def test_a_name_means_one_recording_although_another_has_the_same_start(tmp_path: Path) -> None:
    """`s01.rest` is `s01.rest.mp4`, and not `s01` with a suffix; `s01.mp4` is `s01`."""
    rng = np.random.default_rng(0)
    made = MadeStudy(rng)
    for name in ("s01", "s01.rest", "s02"):
        made.add(name, wandering(rng, 20), participant=f"of {name}")
    named = [
        Moment(2, "s01.rest", "", 5.0, "film"),
        Moment(3, "s02.mp4", "", 5.0, "film"),
        Moment(4, "s01.mp4", "", 5.0, "tone"),
    ]
    found, _ = responses(made.study, named, Path("events.csv"))
    assert {one.event: one.participants for one in found} == {"film": ("of s01.rest", "of s02"), "tone": ("of s01",)}
    (tmp_path / "ratings.csv").write_text("recording,time,valence\ns01.rest,1,0.5\ns01.mp4,1,0.25\n")
    ratings = read_ratings(tmp_path / "ratings.csv", made.study)
    assert {key: one[0].values[0, 0] for key, one in ratings.items()} == pytest.approx(
        {("s01.rest", "1"): 0.5, ("s01", "1"): 0.25}
    )


def test_traces_that_are_rated_only_where_nothing_supports_them_do_not_count() -> None:
    rng = np.random.default_rng(1)
    made = MadeStudy(rng)
    for number in range(16):
        made.add(f"r{number}", wandering(rng, 20), participant=f"P{number}")
    some = [Compared(trace, trace.values + rng.normal(0, 0.1, trace.values.shape), trace.values, None) for trace in made.traces]
    unsupported = [Compared(one.trace, np.full_like(one.ratings, np.nan), one.values, None) for one in some[6:]]
    rows, notes = agreement_findings([*some[:6], *unsupported])
    assert (rows, notes) == agreement_findings(some[:6])
    assert notes == ["agreement: Intervals from only 6 subjects or recordings are rough and too narrow."]
    with pytest.raises(UsageError, match="nothing to compare"):
        agreement_findings(unsupported)
