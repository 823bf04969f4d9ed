"""Frozen, validated configurations of methods, data sets and evaluations.

A configuration is a frozen dataclass that derives from `Settings`. Each field carries its default, its allowed range
and one line of help, in that one place:

    @dataclass(frozen=True)
    class SepCLRConfig(cabench.Settings):
        epochs: int = setting(250, at_least=1, help="passes over the training images")

A subclass that overrides a field by a bare default, `epochs: int = 30`, keeps the ranges and the help of that field. A
configuration is checked when it is constructed, so an object that exists is valid.
"""

from __future__ import annotations

import math
import re
import tomllib
import types
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

from cabench.errors import UserError, unknown
from cabench.files.bounds import LARGEST_SETTINGS, read_whole
from cabench.files.json import DEEPEST, LARGEST_INTEGER, check_tree
from cabench.search import Range

_PART = r"""(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""
_DEEP_KEY = re.compile(rf"(?<![\w\\-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{DEEPEST}}}")


class ConfigError(UserError, ValueError):
    """A field of a configuration has a value outside its type or range."""


def setting(
    default: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    search: Range | None = None,
    help: str = "",
    added_later: bool = False,
) -> Any:
    """A dataclass field with a default, an allowed range, a line of help and, where it is tuned, the range of that.

    Args:
        default: the value where none is given.
        at_least: smallest allowed value, itself included.
        above: smallest allowed value, itself excluded.
        at_most: largest allowed value, itself included.
        search: what the field is tuned over, see `cabench.search`; None where it stays as it is.
        help: what the field means, its unit and where its default comes from.
        added_later: whether records were made before the field existed. `to_dict` leaves it out where it has its
            default, so that they keep their key; the default must stand for what was done before.
    """
    if search is not None and not isinstance(search, Range):
        raise TypeError(f"search = {search!r} is no range; give one of cabench.search, such as Log(1, 100)")
    bounds = {"at_least": at_least, "above": above, "at_most": at_most}
    told = {"bounds": bounds, "search": search, "help": help, "added_later": added_later}
    return field(default=default, metadata=told)


@dataclass(frozen=True)
class Settings:
    """Base of every configuration. Fields are int, float, bool, str, `Literal` choices, or tuples of numbers, of a
    fixed or of any length.

    Raises:
        ConfigError: at construction, when a value has the wrong type or lies outside the allowed range.
    """

    def __init_subclass__(cls) -> None:
        """Give new defaults of inherited fields the ranges and the help of what they override."""
        inherited = {k: v for base in cls.__mro__[:0:-1] for k, v in getattr(base, "__dataclass_fields__", {}).items()}
        for name, value in list(vars(cls).items()):
            if name in inherited and not isinstance(value, Field):
                setattr(cls, name, field(default=value, metadata=inherited[name].metadata))

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for item in fields(self):
            name = f"{config_title(type(self))}.{item.name}"
            value = _converted(name, getattr(self, item.name), hints[item.name])
            _check_bounds(name, value, item.metadata.get("bounds", {}))
            object.__setattr__(self, item.name, value)

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """The names of all fields, in the order of their declaration."""
        return tuple(item.name for item in fields(cls))

    @classmethod
    def searched(cls) -> dict[str, Range]:
        """What is tuned, by name of a field, in the order of their declaration."""
        return {item.name: found for item in fields(cls) if (found := item.metadata.get("search"))}

    @classmethod
    def from_mapping(cls, values: Mapping[str, object]) -> Self:
        """A configuration with the given fields and the defaults of all others.

        Raises:
            UserError: for an unknown field, with the closest match.
            ConfigError: for a value that is not allowed.
        """
        for name in values:
            if name not in cls.field_names():
                raise unknown(f"field of {config_title(cls)}", name, cls.field_names())
        return cls(**values)

    @classmethod
    def defaults_at_most(cls, limits: Mapping[str, float]) -> dict[str, object]:
        """The fields whose default is above a limit, each at its limit; one that may not be so small, at its least.

        Args:
            limits: by name of a field; names of others are passed over.
        """
        found: dict[str, object] = {}
        for item in fields(cls):
            limit = limits.get(item.name)
            if limit is not None and isinstance(item.default, int | float) and item.default > limit:
                found[item.name] = max(limit, item.metadata.get("bounds", {}).get("at_least") or limit)
        return found

    def to_dict(self) -> dict[str, object]:
        """Fields as plain JSON values (tuples become lists): all but those `added_later` that have their default."""
        return {
            item.name: _plain(value)
            for item in fields(self)
            if (value := getattr(self, item.name)) != item.default or not item.metadata.get("added_later")
        }


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file of at most a megabyte.

    Raises:
        OSError: when it cannot be read.
        ValueError: when it is no regular file (a pipe would be waited for) or too large, and as `parse_toml` does.
    """
    if path.exists() and not path.is_file():
        raise ValueError("it is no regular file")
    return parse_toml(read_whole(path, LARGEST_SETTINGS).decode())


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises:
        ValueError: for text that is no TOML, and as `check_tree` does.
    """
    # tomllib would take memory that grows with the square of the parts of a dotted key.
    if _DEEP_KEY.search(text):
        raise ValueError(f"it is nested deeper than {DEEPEST} levels")
    try:
        content = tomllib.loads(text)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels") from None
    check_tree(content)
    return content


def parse_value(text: str) -> object:
    """A value from the command line: read as TOML or, if that fails, as a string ("k-jem", "random")."""
    try:
        return parse_toml(f"value = {text}")["value"]
    except ValueError:
        return text


def config_title(config: type[Settings]) -> str:
    """The name by which users know a configuration: that of its module ("sepclr"), in a script or notebook its own."""
    return config.__name__ if config.__module__ == "__main__" else config.__module__.rsplit(".", 1)[-1]


def _plain(value: object) -> object:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _converted(name: str, value: object, hint: Any) -> object:
    """The value in the field's own type: integers become floats and lists tuples where the field asks for them."""
    origin = get_origin(hint)
    if origin is Literal:
        if not any(value == choice and type(value) is type(choice) for choice in get_args(hint)):
            raise ConfigError(
                f"{name} = {value!r} is not allowed; choose one of {', '.join(map(str, get_args(hint)))}."
            )
        return value
    if origin is tuple:
        kinds = get_args(hint)
        if kinds[-1] is Ellipsis:
            if not isinstance(value, list | tuple) or not value:
                raise ConfigError(f"{name} = {value!r} is not allowed; it takes a list of one or more values.")
            kinds = kinds[:1] * len(value)
        if not isinstance(value, list | tuple) or len(value) != len(kinds):
            raise ConfigError(f"{name} = {value!r} is not allowed; it takes {len(kinds)} values.")
        return tuple(_converted(name, item, kind) for item, kind in zip(value, kinds, strict=True))
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:  # also too long to be shown
        raise ConfigError(f"{name} is not allowed: the number is too large; whole numbers have at most 64 bits.")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        given = type(value).__name__
        raise ConfigError(f"{name} = {value!r} is not allowed; it takes {_kind(hint)}, not {given}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{name} = {value!r} is not allowed; it takes a finite number.")
    return value


def _kind(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return names.get(hint, hint.__name__ if isinstance(hint, type | types.GenericAlias) else str(hint))


def _check_bounds(name: str, value: object, bounds: Mapping[str, float | None]) -> None:
    if isinstance(value, tuple):
        for item in value:
            _check_bounds(name, item, bounds)
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    at_least, above, at_most = (bounds.get(key) for key in ("at_least", "above", "at_most"))
    wrong = (
        (at_least is not None and value < at_least)
        or (above is not None and value <= above)
        or (at_most is not None and value > at_most)
    )
    if wrong:
        limits = [
            f"at least {at_least:g}" if at_least is not None else "",
            f"above {above:g}" if above is not None else "",
            f"at most {at_most:g}" if at_most is not None else "",
        ]
        raise ConfigError(f"{name} = {value!r} is not allowed; it must be {' and '.join(filter(None, limits))}.")
