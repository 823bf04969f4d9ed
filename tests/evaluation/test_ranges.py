"""Numbers that a score cannot have are found, and all that it can have are possible."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from cabench.evaluation.ranges import impossible, is_possible_gap
from cabench.evaluation.score import Score
from cabench.files.json import parse_json

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
    ("changes", "number"),
    [
        ({"value": 7.5}, "7.5 of balanced_accuracy"),
        ({"value": -0.01}, "-0.01"),
        ({"metric": "correlation", "value": -1.01}, "-1.01"),
        ({"metric": "r2", "value": 1.01}, "1.01"),
        ({"metric": "mig", "value": -1e99}, "-1e+99"),
        ({"metric": "adjusted_auc", "value": 7.0}, "7 "),
        ({"metric": "norm_ratio", "value": -0.1}, "-0.1"),
        ({"chance": 1.5}, "1.5"),
        ({"ideal": 2.0}, "2 "),
        ({"n_groups": 51}, "51 groups of 50 rows"),
    ],
    ids=str,
)
def test_what_cannot_be(changes: dict[str, object], number: str) -> None:
    found = impossible([SCORE, replace(SCORE, **changes), SCORE])  # type: ignore[arg-type]

    assert found.startswith(number)
    assert found.endswith("(sex, common) cannot be")


@pytest.mark.parametrize(
    ("field", "number"),
    [
        ("p_value", 1.1),
        ("p_familywise", -0.1),
        ("p_smallest", 3.0),
        ("standard_error", -0.1),
        ("n_train", -1),
        ("n_test", -1),
        ("n_groups", -1),
    ],
)
def test_what_stands_beside_a_value_is_checked_where_it_is_read(field: str, number: float) -> None:
    text = json.dumps(asdict(SCORE))
    assert parse_json(text, Score) == SCORE
    with pytest.raises(ValueError, match=f"^{field}: Input should be"):
        parse_json(json.dumps({**asdict(SCORE), field: number}), Score)


def test_no_scores_are_possible() -> None:
    assert impossible([]) == ""


@pytest.mark.parametrize(
    ("gap", "version", "possible"),
    [(0.0, 3, True), (1 + 1e-12, 3, True), (1.5, 3, False), (1.5, 2, True), (-3.0, 2, False), (-3.0, 99, False)],
)
def test_gaps(gap: float, version: int, possible: bool) -> None:
    assert is_possible_gap(gap, version) == possible
