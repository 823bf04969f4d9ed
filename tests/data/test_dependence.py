"""Dependence on the population, against formulas written out here."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cabench import Attribute
from cabench.data.dependence import cramers_v, dependence_on_population

SITE = Attribute("site", "nuisance", "class", ("a", "b", "c"))
DOSE = Attribute("dose", "nuisance", "real")


def by_hand(first: list[int], second: list[int]) -> float:
    n = len(first)
    chi2 = 0.0
    for a in set(first):
        for b in set(second):
            seen = sum(x == a and y == b for x, y in zip(first, second, strict=True))
            expected = first.count(a) * second.count(b) / n
            chi2 += (seen - expected) ** 2 / expected
    return math.sqrt(chi2 / (n * (min(len(set(first)), len(set(second))) - 1)))


@pytest.mark.parametrize("seed", range(5))
def test_cramers_v_is_that_of_the_formula(seed: int) -> None:
    generator = np.random.default_rng(seed)
    second = generator.integers(0, 2 + seed, 60)
    first = np.where(generator.random(60) < 0.4, second, generator.integers(0, 3, 60))
    assert cramers_v(first, second) == pytest.approx(by_hand(first.tolist(), second.tolist()), rel=1e-12)
    assert cramers_v(second, first) == pytest.approx(cramers_v(first, second), rel=1e-12)


def test_cramers_v_of_two_classes_is_the_size_of_their_correlation() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, 2, (2, 50))
    assert cramers_v(first, second) == pytest.approx(abs(np.corrcoef(first, second)[0, 1]), rel=1e-12)


def test_the_ends_of_the_range() -> None:
    halves = np.repeat([False, True], 6)
    assert cramers_v(np.repeat([4, 9], 6), halves) == pytest.approx(1)
    assert cramers_v(np.repeat([0, 1, 2], 4), halves) == pytest.approx(math.sqrt(2 / 3))
    assert cramers_v(np.tile([0, 1], 6), halves) == 0
    assert cramers_v(np.zeros(12, int), halves) == 0
    assert cramers_v(np.arange(12), np.ones(12, bool)) == 0


def test_undefined_rows_take_no_part() -> None:
    is_target = np.array([False, False, False, True, True, True, True])
    site = np.array([0, 1, -1, 1, 1, 2, -1])
    assert dependence_on_population(SITE, site, is_target) == pytest.approx(by_hand([0, 1, 1, 1, 2], [0, 0, 1, 1, 1]))
    dose = np.array([1.0, 2.0, np.nan, 5.0, 3.0, np.nan, 4.0])
    x, y = np.array([1.0, 2, 5, 3, 4]), np.array([0.0, 0, 1, 1, 1])
    x, y = x - x.mean(), y - y.mean()
    assert dependence_on_population(DOSE, dose, is_target) == pytest.approx((x @ y) / math.sqrt((x @ x) * (y @ y)))
    assert dependence_on_population(DOSE, -dose, is_target) == pytest.approx(
        dependence_on_population(DOSE, dose, is_target)
    )


@pytest.mark.filterwarnings("error")
def test_what_does_not_vary_tells_nothing() -> None:
    is_target = np.repeat([False, True], 3)
    assert dependence_on_population(DOSE, np.full(6, 2.5), is_target) == 0
    assert dependence_on_population(DOSE, np.full(6, np.nan), is_target) == 0
    assert dependence_on_population(DOSE, np.array([1.0, 2, 3, np.nan, np.nan, np.nan]), is_target) == 0
    assert dependence_on_population(SITE, np.full(6, -1), is_target) == 0
