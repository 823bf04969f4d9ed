"""Trials: known beforehand, the same everywhere, spread evenly, the first of them the profile's own settings."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cabench import discovery
from cabench.config import Settings, setting
from cabench.errors import UserError
from cabench.search import Linear, Log, OneOf
from cabench.tuning.space import MOST_TRIALS, check_trials, space_digest, trial_values


def trial_settings(default: Settings, trials: int) -> list[Settings]:
    """Every configuration that a method is tried with."""
    return [replace(default, **values) for values in trial_values(default, type(default).searched(), trials)]


@dataclass(frozen=True)
class Config(Settings):
    """A field of each kind of range, and one that stays."""

    epochs: int = setting(10, at_least=1)
    rate: float = setting(1e-3, above=0, search=Log(1e-4, 1e-2))
    share: float = setting(0.5, at_least=0, at_most=1, search=Linear(0, 1))
    clusters: int = setting(4, at_least=2, search=Linear(2, 9))
    scaling: Literal["pooled", "none"] = setting("pooled", search=OneOf("pooled", "none"))


@dataclass(frozen=True)
class Knob(Settings):
    """One choice of two."""

    standardize: bool = setting(True, search=OneOf(True, False))


METHODS = sorted(discovery.plugins("methods"))


@given(st.integers(1, 40), st.integers(1, 40))
def test_the_first_of_many_trials_are_the_trials_of_a_small_budget(one: int, other: int) -> None:
    few, many = sorted((one, other))
    assert trial_settings(Config(), many)[:few] == trial_settings(Config(), few)


@pytest.mark.parametrize("method", METHODS)
def test_the_first_16_of_32_are_the_16_for_every_method(method: str) -> None:
    default = discovery.method_class(method).Config()
    many = trial_settings(default, 32)
    assert many[0] == default
    assert many[:16] == trial_settings(default, 16)
    assert len(many) == (32 if type(default).searched() else 1)


@pytest.mark.parametrize("method", METHODS)
def test_every_value_lies_in_its_range_and_what_is_not_searched_stays(method: str) -> None:
    default = discovery.method_class(method).Config()
    ranges = type(default).searched()
    for settings in trial_settings(default, 32)[1:]:
        assert all(found.holds(getattr(settings, name)) for name, found in ranges.items())
        kept = {name: getattr(default, name) for name in ranges}
        assert replace(settings, **kept) == default


def test_what_the_profile_sets_and_does_not_search_is_kept() -> None:
    assert {settings.epochs for settings in trial_settings(Config(epochs=77), 16)} == {77}


def test_another_default_changes_trial_0_alone() -> None:
    one, other = trial_settings(Config(), 16), trial_settings(Config(rate=5e-3), 16)
    assert other[0] == Config(rate=5e-3)
    assert other[1:] == one[1:]


def test_a_method_without_ranges_has_one_trial_whatever_the_budget() -> None:
    assert trial_settings(Settings(), 32) == [Settings()]


def test_a_method_with_two_settings_has_as_many_trials_as_others_some_of_them_equal() -> None:
    found = trial_settings(Knob(), 9)
    assert len(found) == 9
    assert sorted(settings.standardize for settings in found[1:]) == [False] * 4 + [True] * 4


def test_points_cover_every_range_evenly() -> None:
    """Of 32 points each eighth of a range holds four, but for those that rounding moves over its edge."""
    found = trial_settings(Config(), 33)[1:]
    shares = np.array([settings.share for settings in found])
    logs = (np.log10([settings.rate for settings in found]) + 4) / 2
    for values in (shares, logs):
        assert np.bincount(np.floor(8 * values).astype(int).clip(0, 7)).tolist() == pytest.approx([4] * 8, abs=1)
    assert np.bincount([settings.clusters for settings in found])[2:].tolist() == [4] * 8
    assert sum(settings.scaling == "none" for settings in found) == 16


def test_points_of_two_fields_are_spread_more_evenly_than_at_random() -> None:
    """By centred discrepancy, which random draws of this size fall below in fewer than one of a hundred cases."""
    found = trial_settings(Config(), 33)[1:]
    points = np.array([[s.share, (np.log10(s.rate) + 4) / 2] for s in found]).clip(0, 1)
    generator = np.random.default_rng(0)
    random = [stats.qmc.discrepancy(generator.random((32, 2))) for _ in range(500)]
    assert stats.qmc.discrepancy(points) < np.quantile(random, 0.01)


def test_fields_of_one_range_move_apart() -> None:
    @dataclass(frozen=True)
    class Two(Settings):
        first: float = setting(0.5, search=Linear(0, 1))
        second: float = setting(0.5, search=Linear(0, 1))

    found = trial_settings(Two(), 33)[1:]
    assert abs(np.corrcoef([[s.first, s.second] for s in found], rowvar=False)[0, 1]) < 0.3


def test_another_range_is_scrambled_otherwise() -> None:
    @dataclass(frozen=True)
    class Wider(Settings):
        share: float = setting(0.5, search=Linear(0, 2))

    @dataclass(frozen=True)
    class Narrow(Settings):
        share: float = setting(0.5, search=Linear(0, 1))

    halves = [settings.share / 2 for settings in trial_settings(Wider(), 9)[1:]]
    assert halves != pytest.approx([settings.share for settings in trial_settings(Narrow(), 9)[1:]], abs=0.01)


def test_trials_have_values_that_toml_and_json_give_back() -> None:
    for settings in trial_settings(Config(), 16):
        assert Config.from_mapping(json.loads(json.dumps(settings.to_dict()))) == settings


def test_another_process_finds_the_same_trials(start_python, tmp_path) -> None:
    code = (
        "import json; from cabench import discovery; from cabench.tuning.space import trial_values; "
        "kinds = [discovery.method_class(name).Config for name in sorted(discovery.plugins('methods'))]; "
        "print(json.dumps([trial_values(kind(), kind.searched(), 16) for kind in kinds]))"
    )
    process = start_python(tmp_path, "-c", code, PYTHONHASHSEED="7", OMP_NUM_THREADS="2")
    said, errors = process.communicate()
    assert process.returncode == 0, errors
    kinds = [discovery.method_class(name).Config for name in METHODS]
    assert json.loads(said) == [trial_values(kind(), kind.searched(), 16) for kind in kinds]


def test_the_trials_are_those_that_records_and_profiles_were_made_of() -> None:
    """A library that scrambles otherwise would make every tuning record untrue: then this fails."""
    found = [
        (settings.rate, settings.share, settings.clusters, settings.scaling) for settings in trial_settings(Config(), 4)
    ]
    assert found == [
        (0.001, 0.5, 4, "pooled"),
        (0.00205, 0.924, 6, "none"),
        (0.000499, 0.318, 3, "pooled"),
        (0.000286, 0.606, 8, "none"),
    ]


def test_the_digest_tells_ranges_and_their_names_apart() -> None:
    spaces = [
        {"a": Log(1, 10)},
        {"b": Log(1, 10)},
        {"a": Log(1, 11)},
        {"a": Linear(1, 10)},
        {"a": Log(1, 10), "b": Log(1, 10)},
        {},
    ]
    assert len({space_digest(space) for space in spaces}) == 6


@pytest.mark.parametrize("trials", [0, -1, MOST_TRIALS + 1])
def test_a_number_of_trials_that_is_not_allowed_is_told_what_is(trials: int) -> None:
    with pytest.raises(UserError, match="give a number from 1 to 1,024, such as 16 or 32"):
        check_trials(trials)


@pytest.mark.parametrize("trials", [1, 16, MOST_TRIALS])
def test_others_are_allowed(trials: int) -> None:
    check_trials(trials)
    assert len(trial_settings(Config(), trials)) == trials
