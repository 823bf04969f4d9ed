"""Numbers that a score cannot have are found, and all that it can have are possible."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cabench.evaluation.ranges import impossible, is_possible_gap
from cabench.evaluation.score import Score

SCORE = Score(
    space="common",
    attribute="sex",
    attribute_space="common",
    population="target",
    metric="balanced_accuracy",
    value=0.75,
    chance=0.5,
    ideal=1.0,
    standard_error=0.01,
    n_train=100,
    n_test=50,
    converged=True,
    p_value=0.001,
    n_groups=50,
    p_familywise=None,
    p_smallest=0.001,
)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"value": 1 + 1e-12},
        {"value": -1.5e-300},
        {"metric": "correlation", "value": -1.0},
        {"metric": "r2", "value": -1e99},
        {"metric": "norm_ratio", "value": 1e9, "chance": 1.0, "ideal": 0.0},
        {"ideal": None, "standard_error": None, "p_value": None, "n_groups": None, "p_smallest": None},
        {"n_train": 0, "standard_error": 0.0},
    ],
    ids=str,
)
def test_what_can_be(changes: dict[str, object]) -> None:
    assert impossible([SCORE, replace(SCORE, **changes)]) == ""  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"value": 7.5}, "value 7.5 of balanced_accuracy"),
        ({"value": -0.01}, "value -0.01"),
        ({"metric": "correlation", "value": -1.01}, "value"),
        ({"metric": "r2", "value": 1.01}, "value"),
        ({"metric": "mig", "value": -1e99}, "value"),
        ({"metric": "adjusted_auc", "value": 7.0}, "value"),
        ({"metric": "norm_ratio", "value": -0.1}, "value"),
        ({"chance": 1.5}, "chance"),
        ({"ideal": 2.0}, "ideal"),
        ({"p_value": 1.1}, "p_value"),
        ({"p_familywise": -0.1}, "p_familywise"),
        ({"p_smallest": 3.0}, "p_smallest"),
        ({"standard_error": -0.1}, "standard_error"),
        ({"n_train": -1}, "n_train"),
        ({"n_test": -1, "n_groups": None}, "n_test"),
        ({"n_groups": 51}, "n_groups"),
    ],
    ids=str,
)
def test_what_cannot_be(changes: dict[str, object], field: str) -> None:
    found = impossible([SCORE, replace(SCORE, **changes), SCORE])  # type: ignore[arg-type]

    assert found.startswith(field)
    assert found.endswith("(sex, common) cannot be")


def test_no_scores_are_possible() -> None:
    assert impossible([]) == ""


@pytest.mark.parametrize(
    ("gap", "version", "possible"),
    [(0.0, 3, True), (1 + 1e-12, 3, True), (1.5, 3, False), (1.5, 2, True), (-3.0, 2, False), (-3.0, 99, False)],
)
def test_gaps(gap: float, version: int, possible: bool) -> None:
    assert is_possible_gap(gap, version) == possible
