"""Ranges that fields are tuned over: their values, their ends, and what is no range."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cabench.search import DIGITS, LAST, Linear, Log, OneOf, Range

PARTS = st.floats(0, 1, exclude_max=True)
NUMBERS = st.floats(1e-6, 1e6)


@given(PARTS, NUMBERS, NUMBERS, st.sampled_from([Linear, Log]))
def test_values_lie_in_the_range_and_grow_with_the_coordinate(part, one, other, kind):
    low, high = sorted((one, other))
    if low == high:
        return
    found = kind(low, high)
    value, next_value = found.at(part, 1.0), found.at(part + (1 - part) / 2, 1.0)
    assert low <= value <= next_value <= high
    assert found.holds(value)
    assert isinstance(value, float)


@given(PARTS)
def test_values_have_three_significant_digits_and_are_no_further_off_than_that(part):
    for found, exact in ((Linear(2, 9), 2 + 7 * part), (Log(0.01, 100), 0.01 * 10 ** (4 * part))):
        value = found.at(part, 1.0)
        assert value == float(f"{value:.{DIGITS - 1}e}")
        assert math.isclose(value, exact, rel_tol=0.5 * 10 ** (1 - DIGITS) + 1e-12)


@given(st.integers(-50, 50), st.integers(1, 20), PARTS)
def test_whole_numbers_stay_whole_and_reach_both_ends(low, width, part):
    found = Linear(low, low + width)
    value = found.at(part, 3)
    assert type(value) is int
    assert low <= value <= low + width
    assert found.ends(3) == (low, low + width)


def test_whole_numbers_between_linear_ends_have_equal_shares():
    values = [Linear(2, 6).at(part, 1) for part in np.arange(5000) / 5000]
    assert np.bincount(values).tolist() == [0, 0, *[1000] * 5]


def test_whole_numbers_between_logarithmic_ends_have_shares_like_their_ratios():
    values = np.array([Log(1, 8).at(part, 1) for part in np.arange(9000) / 9000])
    shares = [(values == number).mean() for number in range(1, 9)]
    expected = [math.log((number + 1) / number) / math.log(9) for number in range(1, 9)]
    np.testing.assert_allclose(shares, expected, atol=1e-3)


def test_equal_steps_of_a_coordinate_are_equal_steps_or_equal_ratios():
    quarters = (0.0, 0.25, 0.5, 0.75)
    assert [Linear(0, 1).at(part, 0.5) for part in quarters] == [0, 0.25, 0.5, 0.75]
    assert [Log(0.01, 100).at(part, 1.0) for part in quarters] == [0.01, 0.1, 1, 10]


@given(st.integers(2, 7), PARTS)
def test_each_of_a_few_values_has_an_equal_share(count, part):
    assert OneOf(*range(count)).at(part, 0) == int(count * part)


def test_values_of_any_kind_may_be_chosen_from():
    found = OneOf("pooled", "none", True)
    assert [found.at(part, "none") for part in (0.0, 0.34, LAST)] == ["pooled", "none", True]
    assert found.ends("none") == ("pooled", "none", True)
    assert found.holds("none")
    assert not found.holds("population")


def test_the_ends_are_those_that_were_given():
    assert Log(1e-4, 0.5).ends(0.01) == (1e-4, 0.5)
    assert Linear(0, 0.99).ends(0.5) == (0.0, 0.99)
    assert Log(1.2345, 6.789).ends(2.0) == (1.2345, 6.789), "rounding leads out of no range"


@pytest.mark.parametrize("value", [0.0, 0.99, 11, "1", None])
def test_what_lies_outside_is_not_held(value):
    assert not Log(1, 10).holds(value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Linear(1, 1), "no numbers in it"),
        (lambda: Log(2, 1), "ends are not in order"),
        (lambda: Linear(0, math.nan), "not in order"),
        (lambda: Log(0, 1), "no logarithm"),
        (lambda: Log(-1, 1), "no logarithm"),
        (lambda: OneOf("alone"), "nothing to choose"),
        (OneOf, "nothing to choose"),
    ],
)
def test_what_is_no_range_is_said_where_it_is_written(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_ranges_are_told_apart_by_their_text():
    """Trials follow from it: see `cabench.tuning.space`."""
    ranges: list[Range] = [Linear(1, 10), Log(1, 10), Linear(1, 11), OneOf(1, 10), OneOf(10, 1)]
    assert len({repr(found) for found in ranges}) == 5
    assert repr(Log(1, 1e4)) == "Log(low=1, high=10000.0)"
