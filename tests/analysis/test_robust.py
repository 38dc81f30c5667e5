"""Estimates by hand and against clubSandwich 0.5.8 with lme4 1.1-31 in R 4.2.2; its script is in the docstring of each test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vatrace.analysis.conditions import variance_share
from vatrace.analysis.robust import RobustModel, holm

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
    assert (mean.value, mean.error, mean.freedom) == pytest.approx(MEAN, rel=1e-3)
    difference = found.contrast(np.array([-1.0, 0, 1]))
    assert (difference.value, difference.error, difference.freedom, difference.p) == pytest.approx(DIFFERENCE, rel=1e-3)
    joint = found.joint(np.array([[-1.0, 1, 0], [-1, 0, 1]]))
    assert joint is not None
    assert (joint.statistic, joint.freedom[1], joint.p) == pytest.approx(JOINT, rel=1e-3)


def test_two_complete_conditions_give_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=8), rng.normal(size=8) + 0.5
    design = np.repeat(np.eye(2), 8, axis=0)
    people = [*"abcdefgh"] * 2
    outcome = np.concatenate([first, second])
    found = RobustModel(design, outcome, people, variance_share(design, outcome, people)).contrast(np.array([-1.0, 1]))
    wanted = stats.ttest_rel(second, first)
    assert (found.statistic, found.freedom, found.p) == pytest.approx((wanted.statistic, 7, wanted.pvalue))


def test_two_groups_of_people_give_the_variances_of_welch() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=6), rng.normal(size=10) * 3
    design = np.repeat(np.eye(2), [6, 10], axis=0)
    outcome = np.concatenate([first, second])
    found = RobustModel(design, outcome, [str(number) for number in range(16)], 0.0).contrast(np.array([-1.0, 1]))
    assert found.statistic == pytest.approx(stats.ttest_ind(second, first, equal_var=False).statistic)


def test_holm_gives_the_example_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
