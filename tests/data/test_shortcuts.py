"""Shortcuts that are there are said with their area; noise, whatever its size and kind, is not."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cabench.data.shortcuts import Measures, shortcuts

ALONE = np.array([""], object)


def told(numbers=None, categories=None, is_target=None, groups=None) -> str:
    groups = np.repeat(ALONE, len(is_target)) if groups is None else groups
    return shortcuts(Measures(numbers or {}, categories or {}), is_target, groups)


def populations(background: int, target: int) -> np.ndarray:
    return np.arange(background + target) >= background


@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_that_tells_is_said_with_its_area_whatever_its_direction(sign: int) -> None:
    generator, is_target = np.random.default_rng(0), populations(60, 90)
    values = generator.normal(size=150) + sign * 1.5 * is_target
    area = roc_auc_score(is_target, sign * values)
    said = told({"mean brightness": values, "contrast": generator.normal(size=150)}, is_target=is_target)
    assert said == (
        f"background and target can be told apart by mean brightness alone (AUC {area:.2f}): a method may learn that "
        "in place of what is salient"
    )


def test_a_category_that_tells_is_said() -> None:
    is_target = populations(50, 50)
    kinds = np.where(is_target, "JPEG", np.where(np.arange(100) % 5 == 0, "JPEG", "PNG"))
    assert "by file type alone (AUC 0.90)" in told(categories={"file type": kinds}, is_target=is_target)


def test_how_many_rows_a_group_has_is_judged_by_groups() -> None:
    groups = np.concatenate([np.repeat(np.arange(20), 2), 100 + np.repeat(np.arange(20), 5)]).astype(str).astype(object)
    assert "the number of rows of a group alone (AUC 1.00)" in told(is_target=populations(40, 100), groups=groups)


def test_rows_of_few_groups_are_no_evidence() -> None:
    """Two subjects of 200 images each differ in brightness, as any two do."""
    is_target = populations(200, 200)
    values = np.random.default_rng(0).normal(size=400) + 3 * is_target
    assert "brightness" in told({"brightness": values}, is_target=is_target)
    groups = np.where(is_target, "a", "b").astype(object)
    assert told({"brightness": values}, is_target=is_target, groups=groups) == ""


@pytest.mark.parametrize(("background", "target"), [(3, 3), (20, 20), (10, 200), (500, 500)])
def test_noise_is_rarely_taken_for_a_shortcut(background: int, target: int) -> None:
    """At most about one in a thousand numbers; here 150 x 5 of them."""
    generator, is_target = np.random.default_rng(background), populations(background, target)
    n, alarms = background + target, 0
    for _ in range(150):
        numbers = {"a": generator.normal(size=n), "b": generator.exponential(size=n), "c": generator.integers(0, 3, n)}
        categories = {"few": generator.integers(0, 3, n).astype(str), "many": generator.integers(0, n, n).astype(str)}
        alarms += told(numbers, categories, is_target).count("alone")
    assert alarms <= 4


def test_what_is_the_same_for_all_tells_nothing() -> None:
    is_target = populations(30, 30)
    assert told({"a": np.ones(60)}, {"b": np.full(60, "PNG")}, is_target) == ""
    assert told({"a": np.arange(60.0)}, is_target=np.ones(60, bool)) == ""
