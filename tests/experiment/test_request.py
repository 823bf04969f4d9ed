"""What is asked for: seeds and overrides as text, and the methods and data sets that they configure."""

from __future__ import annotations

import pytest

from cabench.errors import UserError
from cabench.experiment.request import ResolvedProfile, parse_overrides, parse_seeds
from cabench.methods.chance import ChanceConfig
from cabench.profiles import Profile, Variant

EMPTY = Profile("empty", "")


# Seeds


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0", [0]),
        ("7", [7]),
        ("0-4", [0, 1, 2, 3, 4]),
        ("3-3", [3]),
        ("0,2,5", [0, 2, 5]),
        ("5,2,0", [5, 2, 0]),
        ("0-2,7,9-10", [0, 1, 2, 7, 9, 10]),
        ("0-2,1-3,0", [0, 1, 2, 3]),
        (" 0 , 2-3 ", [0, 2, 3]),
        ("007", [7]),
    ],
)
def test_seeds_are_numbers_and_ranges_in_order_without_repeats(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


def test_more_seeds_than_anybody_runs_are_refused_before_they_are_listed() -> None:
    for text in ("0-999999999", "0-9000,0-9000"):
        with pytest.raises(UserError, match="more than 10,000"):
            parse_seeds(text)


@pytest.mark.parametrize(
    "text",
    ["", ",", "0,", "-1", "3-", "4-0", "0--4", "0-4-8", "1.5", "a", "0 1", "0;1", "0:4", "²", "9" * 10, "9" * 5000],
)
def test_other_seeds_are_refused_and_repeated_with_the_right_form(text: str) -> None:
    with pytest.raises(UserError, match="not understood; write numbers and ranges such as 0,2 or 0-4") as caught:
        parse_seeds(text)
    assert repr(text) in str(caught.value)


# Overrides


def test_overrides_are_grouped_by_label_with_values_as_toml() -> None:
    texts = ["sepclr.epochs=20", "sepclr.encoder=small_conv", "planted.noise = 3", "sepclr.crop_scale=[0.5, 1.0]"]
    assert parse_overrides(texts) == {
        "sepclr": {"epochs": 20, "encoder": "small_conv", "crop_scale": [0.5, 1.0]},
        "planted": {"noise": 3},
    }


def test_the_last_of_two_overrides_of_a_field_wins() -> None:
    assert parse_overrides(["a.b=1", "a.b=2"]) == {"a": {"b": 2}}


def test_a_value_may_hold_an_equals_sign_and_a_dot() -> None:
    assert parse_overrides(["a.b=x=1.5"]) == {"a": {"b": "x=1.5"}}


def test_no_overrides_are_an_empty_mapping() -> None:
    assert parse_overrides([]) == {}


@pytest.mark.parametrize(
    "text", ["", "sepclr", "sepclr.epochs", "epochs=20", ".epochs=20", "sepclr.=20", "=20", "=", "."]
)
def test_other_overrides_are_refused_and_repeated_with_the_right_form(text: str) -> None:
    with pytest.raises(UserError, match=r"write NAME\.FIELD=VALUE, such as sepclr\.epochs=20") as caught:
        parse_overrides([text])
    assert repr(text) in str(caught.value)


def test_an_override_of_something_outside_the_run_is_refused() -> None:
    ResolvedProfile(EMPTY, {"pca": {}}).check_overrides(["pca", "planted"])
    with pytest.raises(UserError, match="'pcaa'; did you mean 'pca'"):
        ResolvedProfile(EMPTY, {"pcaa": {"x": 1}}).check_overrides(["pca", "planted"])


# Construction


def test_an_override_wins_over_the_profile_and_goes_by_label() -> None:
    profile = Profile(
        "p",
        "",
        methods={"chance": {"d_common": 2, "d_salient": 2}},
        datasets={"planted": {"noise": 1}},
        method_variants={"wide": Variant("chance", {"d_common": 8})},
    )
    overrides = {"wide": {"d_salient": 9}, "planted": {"noise": 4}}
    assert ResolvedProfile(profile, overrides).method("wide", "planted").config == ChanceConfig(d_common=8, d_salient=9)
    assert ResolvedProfile(profile, overrides).method("chance", "planted").config == ChanceConfig(
        d_common=2, d_salient=2
    )
    assert ResolvedProfile(profile, overrides).dataset("planted").config.to_dict()["noise"] == 4


def test_an_unknown_method_field_or_value_is_refused() -> None:
    with pytest.raises(UserError, match="Unknown method 'chanse'; did you mean 'chance'"):
        ResolvedProfile(EMPTY).method("chanse", "planted")
    with pytest.raises(UserError, match="Unknown data set 'plantet'; did you mean 'planted'"):
        ResolvedProfile(EMPTY).dataset("plantet")
    with pytest.raises(UserError, match=r"chance\.d_common = 0"):
        ResolvedProfile(EMPTY, {"chance": {"d_common": 0}}).method("chance", "planted")
