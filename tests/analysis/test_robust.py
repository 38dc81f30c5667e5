"""Estimates by hand and against clubSandwich 0.5.8 with lme4 1.1-31 in R 4.2.2; its script is in the docstring of each test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vatrace.analysis.conditions import Cell, compare_conditions, variance_share
from vatrace.analysis.robust import Joint, RobustModel, holm

PARTICIPANTS = [*"aabbbcccdddeeffggg"]
CONDITIONS = [*"xz", *"xyz", *"xyz", *"xyz", *"xy", *"yz", *"xyz"]
MEAN = 0.02832063, 0.29698306, 5.6298432
DIFFERENCE = 0.8141237527, 0.1931778033, 5.0747216356, 0.0081051947
JOINT = 8.130944987, 4.201942407, 0.035933939
OUTCOMES = [0.2, 1.1, -0.4, 0.1, 0.9, 0.5, 0.4, 1.7, -1.1, 0.3, -0.2, 0.6, 0.8, -0.3, 0.2, 0.9, 1.2, 1.0]


def model() -> RobustModel:
    design = np.array([[name == level for level in "xyz"] for name in CONDITIONS], dtype=float)
    share = variance_share(design, np.array(OUTCOMES), PARTICIPANTS)
    return RobustModel(design, np.array(OUTCOMES), PARTICIPANTS, share)


def test_unbalanced_cells_give_the_figures_of_club_sandwich() -> None:
    """d <- data.frame(value, condition, participant); fit <- lmer(value ~ 0 + condition + (1 | participant), d);
    V <- vcovCR(fit, type = "CR2"); coef_test(fit, V, test = "Satterthwaite");
    linear_contrast(fit, V, matrix(c(-1, 0, 1), 1), test = "Satterthwaite", p_values = TRUE);
    Wald_test(fit, constrain_equal(1:3), V, test = "HTZ")."""
    found = model()
    mean = found.contrast(np.array([1.0, 0, 0]))
    assert mean is not None
    assert (mean.value, mean.error, mean.freedom) == pytest.approx(MEAN, rel=1e-3)
    difference = found.contrast(np.array([-1.0, 0, 1]))
    assert difference is not None
    assert (difference.value, difference.error, difference.freedom, difference.p) == pytest.approx(DIFFERENCE, rel=1e-3)
    joint = found.joint(np.array([[-1.0, 1, 0], [-1, 0, 1]]))
    assert isinstance(joint, Joint)
    assert (joint.statistic, joint.freedom[1], joint.p) == pytest.approx(JOINT, rel=1e-3)


def test_two_complete_conditions_give_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=8), rng.normal(size=8) + 0.5
    design = np.repeat(np.eye(2), 8, axis=0)
    people = [*"abcdefgh"] * 2
    outcome = np.concatenate([first, second])
    found = RobustModel(design, outcome, people, variance_share(design, outcome, people)).contrast(np.array([-1.0, 1]))
    wanted = stats.ttest_rel(second, first)
    assert found is not None
    assert (found.statistic, found.freedom, found.p) == pytest.approx((wanted.statistic, 7, wanted.pvalue))


def test_two_groups_of_people_give_the_variances_of_welch() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=6), rng.normal(size=10) * 3
    design = np.repeat(np.eye(2), [6, 10], axis=0)
    outcome = np.concatenate([first, second])
    found = RobustModel(design, outcome, [str(number) for number in range(16)], 0.0).contrast(np.array([-1.0, 1]))
    assert found is not None
    assert found.statistic == pytest.approx(stats.ttest_ind(second, first, equal_var=False).statistic)


def cells(values: np.ndarray) -> list[Cell]:
    """The cells of values (participants, conditions, 2)."""
    unknown = np.full((2, 2), np.nan)
    return [
        Cell(f"P{person}", "xyz"[place], 1, 60.0, means, unknown)
        for person, by_condition in enumerate(values)
        for place, means in enumerate(by_condition)
    ]


def test_two_participants_in_three_conditions_have_no_f_test() -> None:
    """No degree of freedom is left for the denominator; because of rounding, it was 1e-15 in half of the tests."""
    for seed in range(50):
        rows, notes = compare_conditions(cells(np.random.default_rng(seed).uniform(-0.5, 0.5, (2, 3, 2))))
        assert [row for row in rows if not np.isnan(row.df2)] == []
        assert notes == [f"conditions: no F test of {name}: too few participants" for name in ("valence", "arousal")]
        assert len(rows) == 12 and all(row.se > 0 for row in rows)


def test_differences_without_variance_are_left_out_with_notes() -> None:
    """Each participant's y is x + 0.1, and z varies."""
    values = np.random.default_rng(0).uniform(-0.5, 0.5, (8, 3, 2))
    values[:, 1] = values[:, 0] + 0.1
    rows, notes = compare_conditions(cells(values))
    assert [row.term for row in rows if row.dimension == "valence"] == ["x", "y", "z", "z - x", "z - y"]
    assert notes[:2] == [
        "conditions: no F test of valence: a difference is the same for all participants",
        "conditions: y - x is left out for valence, because it is the same for all participants",
    ]
    paired = stats.ttest_rel(values[:, 2, 0], values[:, 0, 0])
    assert rows[3].statistic == pytest.approx(paired.statistic)


def test_holm_gives_the_example_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
