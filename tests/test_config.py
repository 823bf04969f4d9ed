"""Configurations: what each kind of field takes and refuses, their bounds, and their one canonical text."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cabench.config import ConfigError, Settings, parse_value, setting
from cabench.errors import UserError
from cabench.files.json import canonical_json, digest
from cabench.search import Linear, Log


@dataclass(frozen=True)
class EveryKind(Settings):
    """One field of each kind."""

    epochs: int = setting(10, at_least=1, at_most=1000, help="whole number")
    rate: float = setting(0.1, above=0, at_most=1, help="number")
    weight: float = setting(1.0, help="number without bounds")
    flip: bool = setting(True, help="true or false")
    note: str = setting("", help="text")
    solver: Literal["adam", "sgd"] = setting("adam", help="a choice of texts")
    size: Literal[32, 64] = setting(32, help="a choice of whole numbers")
    scale: tuple[float, float] = setting((0.5, 1.0), above=0, at_most=1, help="two numbers")
    shape: tuple[int, int, int] = setting((1, 2, 3), at_least=1, help="three whole numbers")
    steps: tuple[float, ...] = setting((1.0, 0.1), above=0, at_most=5, help="one or more numbers")
    words: tuple[Literal["a", "b"], ...] = setting(("a",), help="one or more choices")


ANOTHER = {
    "epochs": 3,
    "rate": 0.25,
    "weight": -7.5,
    "flip": False,
    "note": "a note, ünïcode",
    "solver": "sgd",
    "size": 64,
    "scale": [0.25, 0.75],
    "shape": [4, 5, 6],
    "steps": [3.0],
    "words": ["b", "a", "b"],
}


def test_defaults_are_a_valid_configuration() -> None:
    assert EveryKind() == EveryKind.from_mapping({})
    assert EveryKind.field_names() == tuple(ANOTHER)


def test_every_field_takes_a_value_of_its_kind() -> None:
    config = EveryKind.from_mapping(ANOTHER)
    tuples = {"scale": (0.25, 0.75), "shape": (4, 5, 6), "steps": (3.0,), "words": ("b", "a", "b")}
    expected = {**ANOTHER, **tuples}
    assert {name: getattr(config, name) for name in expected} == expected


def test_whole_numbers_become_floats_where_the_field_is_one() -> None:
    config = EveryKind(rate=1, weight=-3, scale=(1, 1))
    assert [type(value) for value in (config.rate, config.weight, *config.scale)] == [float] * 4
    assert EveryKind(weight=2).to_dict() == EveryKind(weight=2.0).to_dict()


def test_lists_become_tuples() -> None:
    config = EveryKind(scale=[0.5, 1], shape=[7, 8, 9])
    assert config.scale == (0.5, 1.0)
    assert config.shape == (7, 8, 9)
    assert isinstance(config.shape, tuple)


@pytest.mark.parametrize("length", [1, 2, 50])
def test_a_tuple_of_any_length_takes_one_or_more_values_each_in_the_kind_of_the_field(length: int) -> None:
    config = EveryKind.from_mapping({"steps": [1] * length})
    assert config.steps == (1.0,) * length
    assert {type(value) for value in config.steps} == {float}
    assert config.to_dict()["steps"] == [1.0] * length
    assert config == EveryKind(steps=(1.0,) * length)


@pytest.mark.parametrize("value", [[], (), 1.0, "1.0", "", None, {}, {"a": 1.0}])
def test_a_tuple_of_any_length_refuses_what_is_no_list_and_the_empty_list(value: object) -> None:
    with pytest.raises(ConfigError, match=r"steps = .* is not allowed; it takes a list of one or more values\."):
        EveryKind.from_mapping({"steps": value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", True),
        ("epochs", 3.0),
        ("epochs", "3"),
        ("epochs", None),
        ("epochs", [3]),
        ("rate", True),
        ("rate", "0.1"),
        ("rate", None),
        ("weight", math.nan),
        ("weight", math.inf),
        ("weight", -math.inf),
        ("flip", 1),
        ("flip", 0.0),
        ("flip", "true"),
        ("note", 3),
        ("note", None),
        ("solver", "Adam"),
        ("solver", 3),
        ("solver", ["adam"]),
        ("size", 48),
        ("size", "32"),
        ("size", True),
        ("scale", 0.5),
        ("scale", "ab"),
        ("scale", [0.5]),
        ("scale", [0.5, 0.5, 0.5]),
        ("scale", [0.5, True]),
        ("scale", [0.5, math.nan]),
        ("scale", {"low": 0.1, "high": 0.2}),
        ("shape", [1, 2, 3.0]),
        ("shape", [1, [2], 3]),
        ("steps", ["0.5"]),
        ("steps", [1.0, None]),
        ("steps", [1.0, True]),
        ("steps", [1.0, [0.5]]),
        ("steps", [1.0, math.nan]),
        ("words", ["a", "c"]),
        ("words", ["a", 1]),
        ("words", "ab"),
    ],
)
def test_a_value_of_another_kind_is_refused_and_the_field_named(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"^test_config\.{field} = .* is not allowed; "):
        EveryKind.from_mapping({field: value})


def test_a_refused_value_is_named_with_its_kind_and_the_kind_wanted() -> None:
    with pytest.raises(ConfigError, match=r"epochs = '3' is not allowed; it takes a whole number, not str\."):
        EveryKind.from_mapping({"epochs": "3"})


def test_a_refused_choice_lists_the_choices() -> None:
    with pytest.raises(ConfigError, match="adam, sgd"):
        EveryKind(solver="lbfgs")
    with pytest.raises(ConfigError, match="32, 64"):
        EveryKind(size=48)


def test_an_error_names_the_module_that_holds_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"test_config\.epochs = 0 "):
        EveryKind(epochs=0)


def test_a_float_is_no_choice_among_whole_numbers_or_becomes_one() -> None:
    try:
        config = EveryKind.from_mapping({"size": 32.0})
    except ConfigError:
        return
    assert canonical_json(config.to_dict()) == canonical_json(EveryKind(size=32).to_dict())


def test_a_whole_number_too_large_for_a_float_is_refused() -> None:
    with pytest.raises(ConfigError):
        EveryKind.from_mapping({"weight": 10**400})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 1),
        ("epochs", 1000),
        ("rate", math.nextafter(0, 1)),
        ("rate", 1),
        ("scale", (1e-9, 1)),
        ("shape", (1, 1, 1)),
        ("steps", (5.0, math.nextafter(0, 1), 5.0)),
    ],
)
def test_a_value_at_its_limit_is_allowed(field: str, value: object) -> None:
    assert getattr(EveryKind.from_mapping({field: value}), field) == value


@pytest.mark.parametrize(
    ("field", "value", "limits"),
    [
        ("epochs", 0, "at least 1 and at most 1000"),
        ("epochs", -1, "at least 1"),
        ("epochs", 1001, "at most 1000"),
        ("rate", 0, "above 0 and at most 1"),
        ("rate", -1e-300, "above 0"),
        ("rate", math.nextafter(1, 2), "at most 1"),
        ("scale", (0.5, 0.0), "above 0"),
        ("scale", (1.5, 0.5), "at most 1"),
        ("shape", (1, 2, 0), "at least 1"),
        ("steps", (1.0, 2.0, 3.0, 0.0), "above 0 and at most 5"),
        ("steps", [6], "at most 5"),
    ],
)
def test_a_value_beyond_its_limit_is_refused_with_the_limits(field: str, value: object, limits: str) -> None:
    with pytest.raises(ConfigError, match=f"{field} = .* must be .*{limits}"):
        EveryKind.from_mapping({field: value})


def test_a_wrong_default_is_found_at_the_first_construction() -> None:
    @dataclass(frozen=True)
    class Wrong(Settings):
        epochs: int = setting(0, at_least=1)

    with pytest.raises(ConfigError):
        Wrong()


@dataclass(frozen=True)
class Another(Settings):
    """A second base, whose fields come first where both are inherited."""

    depth: int = setting(2, at_least=1, help="levels")


@dataclass(frozen=True)
class NewDefaults(EveryKind, Another):
    """Inherited fields with new defaults, from either base, and one told anew."""

    epochs: int = 20
    depth: int = 3
    scale: tuple[float, float] = (0.1, 0.2)
    rate: float = setting(2.0, at_most=5, help="larger")


@dataclass(frozen=True)
class NewerDefaults(NewDefaults):
    """A third level."""

    rate: float = 3.0


@pytest.mark.parametrize("kind", [NewDefaults, NewerDefaults])
def test_a_new_default_keeps_place_range_and_help_of_the_field_it_overrides(kind: type[EveryKind]) -> None:
    assert kind.field_names() == ("depth", *EveryKind.field_names())
    inherited = {item.name: item for base in (Another, EveryKind) for item in dataclasses.fields(base)}
    for item in dataclasses.fields(kind):
        if item.name != "rate":
            assert item.metadata == inherited[item.name].metadata
    assert (kind().epochs, kind().depth, kind().scale, EveryKind().epochs) == (20, 3, (0.1, 0.2), 10)
    with pytest.raises(ConfigError, match="epochs = 0 is not allowed; it must be at least 1 and at most 1000"):
        kind(epochs=0)
    with pytest.raises(ConfigError, match="depth = 0 is not allowed; it must be at least 1"):
        kind.from_mapping({"depth": 0})


def test_a_new_default_keeps_what_the_nearest_class_says() -> None:
    assert (NewDefaults().rate, NewerDefaults().rate) == (2.0, 3.0)
    assert {item.metadata["help"] for item in dataclasses.fields(NewerDefaults) if item.name == "rate"} == {"larger"}
    with pytest.raises(ConfigError, match=r"rate = 6\.0 is not allowed; it must be at most 5"):
        NewerDefaults(rate=6.0)


def test_a_new_default_outside_the_inherited_range_is_found_at_the_first_construction() -> None:
    @dataclass(frozen=True)
    class Wrong(EveryKind):
        epochs: int = 0

    with pytest.raises(ConfigError):
        Wrong()


def test_a_new_default_without_its_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="epochs"):

        @dataclass(frozen=True)
        class Wrong(EveryKind):
            epochs = 20


def test_an_unknown_field_is_refused_with_the_closest_match() -> None:
    with pytest.raises(UserError, match="'epoch'; did you mean 'epochs'") as caught:
        EveryKind.from_mapping({"epoch": 3})
    assert "test_config" in str(caught.value)


def test_an_unknown_field_unlike_any_lists_all() -> None:
    with pytest.raises(UserError, match="Known: epochs, flip, note, rate"):
        EveryKind.from_mapping({"zzzz": 3})


def test_config_errors_are_errors_of_users_and_of_values() -> None:
    assert issubclass(ConfigError, UserError)
    assert issubclass(ConfigError, ValueError)


@pytest.mark.parametrize("config", [EveryKind(), EveryKind.from_mapping(ANOTHER)], ids=["defaults", "another"])
def test_the_way_through_json_gives_the_same_configuration(config: EveryKind) -> None:
    text = json.dumps(config.to_dict(), allow_nan=False)
    assert EveryKind.from_mapping(json.loads(text)) == config
    assert json.loads(text) == config.to_dict()


def test_configurations_are_frozen_and_hashable() -> None:
    config = EveryKind()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.epochs = 3  # type: ignore[misc]
    assert len({config, EveryKind(), EveryKind(epochs=3)}) == 2


def test_replacing_a_field_checks_it() -> None:
    assert dataclasses.replace(EveryKind(), epochs=4).epochs == 4
    with pytest.raises(ConfigError):
        dataclasses.replace(EveryKind(), epochs=0)


def test_a_derived_configuration_checks_inherited_fields() -> None:
    @dataclass(frozen=True)
    class Derived(EveryKind):
        extra: int = setting(1, at_least=1)

    assert Derived.field_names() == (*EveryKind.field_names(), "extra")
    with pytest.raises(ConfigError):
        Derived(epochs=0)


@dataclass(frozen=True)
class Grown(EveryKind):
    """A configuration that got two fields after records were made with it."""

    start: str = setting("", help="text", added_later=True)
    range: tuple[float, float] = setting((0, 1), help="two numbers", added_later=True)


@dataclass(frozen=True)
class GrownWithItsOwnDefault(Grown):
    """What is left out is a class's own default."""

    start: str = "warm"


def test_a_field_that_was_added_later_leaves_the_text_of_older_configurations_as_it_was() -> None:
    assert canonical_json(Grown().to_dict()) == canonical_json(EveryKind().to_dict())
    assert Grown.from_mapping(EveryKind.from_mapping(ANOTHER).to_dict()) == Grown.from_mapping(ANOTHER)
    assert Grown.field_names() == (*EveryKind.field_names(), "start", "range")


@pytest.mark.parametrize("fields", [{"start": "warm"}, {"range": [0, 2]}, {"start": "x", "range": [0.5, 1]}])
def test_a_field_that_was_added_later_is_told_where_it_says_something(fields: dict[str, object]) -> None:
    config = Grown.from_mapping(fields)
    assert config.to_dict() == {**EveryKind().to_dict(), **fields}
    assert Grown.from_mapping(config.to_dict()) == config


def test_a_field_that_was_added_later_is_left_out_at_the_default_of_its_own_class() -> None:
    own = GrownWithItsOwnDefault
    assert own().to_dict() == EveryKind().to_dict()
    assert own(start="").to_dict() == {**EveryKind().to_dict(), "start": ""}
    for config in (own(), own(start="")):
        assert own.from_mapping(config.to_dict()) == config


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
plausible_values = st.sampled_from([0, 1, 32, 0.5, 1.0, True, "adam", "sgd", [0.5, 1], [1, 2, 3], ["b"], []])
mappings = st.dictionaries(
    st.sampled_from(EveryKind.field_names()) | st.text(max_size=8), plausible_values | json_values, max_size=6
)


@hypothesis_settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(mappings)
def test_any_mapping_gives_a_valid_configuration_or_a_user_error(values: Mapping[str, Any]) -> None:
    try:
        config = EveryKind.from_mapping(values)
    except UserError:
        return
    assert EveryKind.from_mapping(json.loads(canonical_json(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20", 20),
        ("-3", -3),
        ("1_000", 1000),
        ("1e-3", 1e-3),
        ("0.5", 0.5),
        ("true", True),
        ("false", False),
        ("[0.6, 1.0]", [0.6, 1.0]),
        ("[]", []),
        ('"quoted text"', "quoted text"),
        ("'4'", "4"),
        ("random", "random"),
        ("k-jem", "k-jem"),
        ("sepvae_32", "sepvae_32"),
        ("True", "True"),
        ("two words", "two words"),
        ("", ""),
        ("[0.6, 1.0", "[0.6, 1.0"),
    ],
)
def test_a_value_on_the_command_line_is_toml_or_else_text(text: str, value: object) -> None:
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_numbers_that_are_not_finite_reach_the_configuration_and_are_refused_there(text: str) -> None:
    with pytest.raises(ConfigError, match="finite"):
        EveryKind.from_mapping({"weight": parse_value(text)})


@pytest.mark.parametrize("value", ["2020-01-01", "12:30:00"])
def test_dates_are_refused_by_every_kind_of_field(value: str) -> None:
    for name in EveryKind.field_names():
        with pytest.raises(ConfigError):
            EveryKind.from_mapping({name: parse_value(value)})


def test_canonical_json_and_digest_do_not_depend_on_the_order_of_keys() -> None:
    one = {"b": [1, {"y": 2.5, "x": None}], "a": "ü"}
    other = {"a": "ü", "b": [1, {"x": None, "y": 2.5}]}
    assert canonical_json(one) == canonical_json(other)
    assert digest(one) == digest(other)


def test_canonical_json_has_no_white_space_and_reads_back() -> None:
    value = {"b": [1, 2.5, True, None], "a": "x y"}
    assert canonical_json(value) == '{"a":"x y","b":[1,2.5,true,null]}'
    assert json.loads(canonical_json(value)) == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_canonical_json_refuses_numbers_that_json_lacks(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": value})


def test_digest_is_the_known_sha256_and_changes_with_the_value() -> None:
    # printf '{"a":1}' | sha256sum
    assert digest({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    assert len({digest(value) for value in ({"a": 1}, {"a": 2}, {"b": 1}, {"a": [1]}, {"a": "1"}, {})}) == 6


@dataclass(frozen=True)
class Searched(Settings):
    """Two fields that are tuned, and one that is not."""

    weight: float = setting(1.0, at_least=0, search=Log(0.1, 10), help="of a term")
    size: int = setting(4, at_least=1, help="stays")
    share: float = setting(0.5, at_least=0, at_most=1, search=Linear(0, 1))


def test_what_is_searched_is_named_in_the_order_of_declaration() -> None:
    assert list(Searched.searched().items()) == [("weight", Log(0.1, 10)), ("share", Linear(0, 1))]
    assert EveryKind.searched() == {}


def test_a_new_bare_default_keeps_the_search_range() -> None:
    @dataclass(frozen=True)
    class Heavier(Searched):
        weight: float = 5.0

    assert Heavier.searched() == Searched.searched()
    assert Heavier().weight == 5.0


def test_a_field_declared_anew_has_the_search_range_that_it_names_or_none() -> None:
    @dataclass(frozen=True)
    class Other(Searched):
        weight: float = setting(1.0, at_least=0, search=Log(1, 100))
        share: float = setting(0.5, at_least=0, at_most=1)

    assert Other.searched() == {"weight": Log(1, 100)}


def test_a_search_range_bounds_no_value_that_is_given() -> None:
    assert Searched(weight=1000).weight == 1000
