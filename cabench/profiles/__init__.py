"""Profiles: readable TOML files that say how much to compute, per data set and method.

description = "..."
own_methods = ["my_method"] # that do not come with cabench; where they are missing, their settings are passed over
extends = "quick"           # another profile that this one changes field by field: a name, or a path ending in .toml
                            # (this and all other paths in a profile are relative to its file)
[defaults]                  # what a run takes when the command line does not say
datasets = ["dsprites"]     # names, or paths ending in .h5
controls = ["pca"]          # methods added to every run
seeds = "0-2"
precision = "fp32"
[datasets.dsprites]         # fields of a builder's configuration
[every_method]              # fields of every method whose configuration has them
[at_most]                   # limits of fields that nobody sets: a method's own default counts up to here
epochs = 2
[rows]                      # of each population, at most so many rows of a split are taken
train = 1000
[methods.sepclr]            # fields of a method's configuration, on every data set
[on.cifar_mnist.sepclr]     # the same on one data set
[like]                      # data sets on which methods take another's fields, where they set none of their own
cifar_fashion = "cifar_mnist"
[tuned]                     # by data set, the methods whose settings were chosen by trials; tables name the others
dsprites = ["sepclr"]
[variants.my_name]          # another name for a method or data set with some fields changed
method = "sepclr"           # or: dataset = "dsprites"
epochs = 3

Built-in files whose name starts with an underscore are not listed: other profiles extend them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from cabench.config import parse_toml, read_toml
from cabench.data.named_files import is_path
from cabench.errors import UserError, unknown
from cabench.files.bounds import TooLargeError
from cabench.files.names import NAME_LETTERS, is_name

Fields = Mapping[str, Any]

OWN_METHODS = "own_methods"
_TABLES = ("defaults", "datasets", "every_method", "at_most", "rows", "methods", "on", "like", "tuned", "variants")
_FLAT = ("defaults", "every_method", "at_most", "rows", "like", "tuned")
_SPLITS = ("train", "validation", "test")
_FEWEST_ROWS = 10  # that a probe is fitted on
_MOST_EXTENDED = 20  # profiles, one by the other
_DEFAULTS = {"datasets": "a list of names", "controls": "a list of names", "seeds": "text", "precision": "text"}


@dataclass(frozen=True)
class Variant:
    """A named variant: its base, and the fields that differ."""

    base: str
    fields: Fields

    @property
    def summary(self) -> str:
        """One line for listings."""
        return f"{self.base} with " + ", ".join(f"{name} = {value}" for name, value in self.fields.items())


class ProfileEntry(TypedDict):
    """What records keep of the profile that they were computed under.

    Where it holds settings that were chosen by trials, `tuned` names the methods for which that was done on the data
    of the record.
    """

    name: str
    description: str
    extends: list[str]
    tuned: NotRequired[list[str]]


@dataclass(frozen=True)
class Profile:
    """A parsed profile.

    Attributes:
        name: "quick", or the stem of a user's own file.
        description: one line for listings.
        extends: the names of the listed profiles and files that it changes, directly or through others, nearest first.
        defaults: `datasets`, `controls`, `seeds`, `precision`.
        datasets: fields by builder name.
        every_method: fields of every method whose configuration has them.
        at_most: numbers by field: the defaults of methods are taken up to these. What a profile or request sets stays.
        rows: by split, the most rows of each population that are taken.
        methods: fields by method name.
        on: fields by data set and method.
        like: by data set, another one whose fields in `on` hold there too.
        tuned: by data set, the methods whose settings were chosen by trials; empty where none were.
        own_methods: names of methods that do not come with cabench.
        method_variants: by name.
        dataset_variants: by name.
    """

    name: str
    description: str
    extends: tuple[str, ...] = ()
    defaults: Fields = field(default_factory=dict)
    datasets: Mapping[str, Fields] = field(default_factory=dict)
    every_method: Fields = field(default_factory=dict)
    at_most: Mapping[str, float] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    methods: Mapping[str, Fields] = field(default_factory=dict)
    on: Mapping[str, Mapping[str, Fields]] = field(default_factory=dict)
    like: Mapping[str, str] = field(default_factory=dict)
    tuned: Mapping[str, list[str]] = field(default_factory=dict)
    own_methods: tuple[str, ...] = ()
    method_variants: Mapping[str, Variant] = field(default_factory=dict)
    dataset_variants: Mapping[str, Variant] = field(default_factory=dict)

    def entry_on(self, dataset_label: str) -> ProfileEntry:
        """What the records of a data set keep of it."""
        entry: ProfileEntry = {"name": self.name, "description": self.description, "extends": list(self.extends)}
        return {**entry, "tuned": list(self.tuned.get(dataset_label, []))} if self.tuned else entry

    def method_fields(self, label: str, dataset_label: str) -> tuple[str, dict[str, Any]]:
        """The method behind a label and the fields that this profile sets for it on a data set.

        Later ones win: the method's own, those on the data set, the variant's, those of the variant on the data set.
        On a data set that is like another, the other's fields are laid first, below its own.
        """
        variant = self.method_variants.get(label, Variant(label, {}))
        dataset = self.dataset_variants.get(dataset_label, Variant(dataset_label, {})).base
        places = dict.fromkeys((self.like.get(dataset, dataset), dataset, dataset_label))
        merged = dict(self.methods.get(variant.base, {}))
        for place in places:
            merged |= self.on.get(place, {}).get(variant.base, {})
        merged |= variant.fields
        for place in places:
            merged |= self.on.get(place, {}).get(label, {}) if label != variant.base else {}
        return variant.base, merged

    def dataset_fields(self, label: str) -> tuple[str, dict[str, Any]]:
        """The builder behind a label and the fields that this profile sets for it."""
        variant = self.dataset_variants.get(label, Variant(label, {}))
        return variant.base, {**self.datasets.get(variant.base, {}), **variant.fields}


def profile_names() -> list[str]:
    """The names of the profiles that come with the package."""
    return [name for name in _built_in() if not name.startswith("_")]


def variant_names() -> set[str]:
    """The names of all variants of the profiles that come with the package."""
    return {variant for name in _built_in() for variant in _read(name, Path()).get("variants", {})}


def _built_in() -> list[str]:
    return sorted(
        entry.name.removesuffix(".toml") for entry in files(__name__).iterdir() if entry.name.endswith(".toml")
    )


def load_profile(name: str) -> Profile:
    """Read a profile by name, or from a path that ends in .toml, with the profiles that it extends.

    Raises:
        UserError: for an unknown name, a missing file, text that is no TOML, a table of an unknown name or kind, or
            profiles that extend each other in a circle.
    """
    return _profile(_called(name), _content(name, Path(), ()))


def _called(name: str) -> str:
    return Path(name).stem if name.endswith(".toml") else name


def _content(name: str, folder: Path, extending: tuple[str, ...]) -> dict[str, Any]:
    """The tables of a profile laid over those of the profile that it extends. Paths are relative to `folder`.

    In place of the profile that it extends stand the names of all of them, but for those that are not listed.
    """
    content = _read(name, folder)
    if name.endswith(".toml"):
        content = _located(content, (folder / name).parent)
    where = str((folder / name).resolve()) if name.endswith(".toml") else name
    if where in extending:
        raise UserError(f"Profiles extend each other in a circle: {' -> '.join((*extending, where))}.")
    if len(extending) > _MOST_EXTENDED:
        raise UserError(
            f"The profile {extending[0]!r} extends more than {_MOST_EXTENDED} others, one by the other; write what it "
            "needs into fewer files."
        )
    base = content.pop("extends", None)
    if base is None:
        return content
    if not isinstance(base, str):
        raise UserError(f"Profile {name!r}: extends must be the name of a profile or a path, not {base!r}.")
    below = _content(base, (folder / name).parent if name.endswith(".toml") else folder, (*extending, where))
    below.pop("description", None)
    if own := {*below.get(OWN_METHODS, ()), *content.get(OWN_METHODS, ())}:
        content[OWN_METHODS] = sorted(own)
    listed = [] if base.startswith("_") else [_called(base)]
    return _merged(below, content) | {"extends": [*listed, *below.get("extends", [])]}


def _located(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The tables of a file with the paths in them made absolute; those that are relative start at the file's folder."""
    located: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            value = _located(value, folder)
        elif isinstance(value, str):
            value = _located_text(key, value, folder)
        elif key == "datasets" and _is_list_of_names(value):
            value = [_located_text(key, item, folder) for item in value]
        located[key] = value
    return located


def _located_text(key: str, value: str, folder: Path) -> str:
    return str((folder / value).resolve()) if is_path(key, value) else value


def _read(name: str, folder: Path) -> dict[str, Any]:
    """The tables of one file, checked to be tables that a profile may have."""
    if name.endswith(".toml"):
        path = folder / name
        try:
            if not path.is_file():
                raise UserError(f"There is no profile file {path}; built-in profiles: {', '.join(profile_names())}.")
            content = read_toml(path)
        except (OSError, UnicodeDecodeError, TooLargeError) as error:
            raise UserError(f"The profile file {path} cannot be read ({error}).") from error
        except ValueError as error:
            raise UserError(f"Profile {name!r} is not valid TOML: {error}.") from error
    elif name in _built_in():
        content = parse_toml((files(__name__) / f"{name}.toml").read_text(encoding="utf-8"))
    else:
        raise unknown("profile", name, profile_names())
    for table, value in content.items():
        if table in ("description", "extends"):
            continue
        if table == OWN_METHODS:
            if not _is_list_of_names(value):
                raise UserError(f"Profile {name!r}: {OWN_METHODS} must be a list of names, not {value!r}.")
            continue
        if table not in _TABLES:
            raise unknown(f"table of profile {name!r}", table, _TABLES)
        _require_tables(f"{name}: [{table}]", value, depth=0 if table in _FLAT else 2 if table == "on" else 1)
    return content


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both tables in one, inner tables likewise; where both have a value, that of `above`."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _profile(name: str, content: dict[str, Any]) -> Profile:
    description = content.pop("description", "")
    _check_defaults(name, content.get("defaults", {}))
    _check_limits(name, content.get("at_most", {}), content.get("rows", {}))
    for dataset, other in content.get("like", {}).items():
        if not isinstance(other, str):
            raise UserError(f"Profile {name!r}: like.{dataset} must be the name of a data set, not {other!r}.")
    for dataset, tuned in content.get("tuned", {}).items():
        if not _is_list_of_names(tuned):
            raise UserError(f"Profile {name!r}: tuned.{dataset} must be a list of names of methods, not {tuned!r}.")
    variants = content.pop("variants", {})
    own_methods = tuple(content.pop(OWN_METHODS, ()))
    return Profile(
        name=name,
        description=str(description),
        extends=tuple(content.pop("extends", ())),
        own_methods=own_methods,
        method_variants=_variants(name, variants, "method", "dataset"),
        dataset_variants=_variants(name, variants, "dataset", "method"),
        **content,
    )


def _require_tables(where: str, value: object, depth: int) -> None:
    if not isinstance(value, dict):
        raise UserError(f"Profile {where} must be a table, not {value!r}.")
    if depth:
        for key, inner in value.items():
            _require_tables(f"{where}.{key}", inner, depth - 1)


def _check_defaults(name: str, defaults: Fields) -> None:
    for key, value in defaults.items():
        if key not in _DEFAULTS:
            raise unknown(f"default of profile {name!r}", key, _DEFAULTS)
        fits = isinstance(value, str) if _DEFAULTS[key] == "text" else _is_list_of_names(value)
        if not fits:
            raise UserError(f"Profile {name!r}: defaults.{key} must be {_DEFAULTS[key]}, not {value!r}.")


def _check_limits(name: str, at_most: Fields, rows: Fields) -> None:
    for key, value in at_most.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise UserError(f"Profile {name!r}: at_most.{key} must be a number, not {value!r}.")
    for split, value in rows.items():
        if split not in _SPLITS:
            raise unknown(f"split in [rows] of profile {name!r}", split, _SPLITS)
        if not isinstance(value, int) or value < _FEWEST_ROWS:
            raise UserError(
                f"Profile {name!r}: rows.{split} must be a whole number from {_FEWEST_ROWS}, not {value!r}."
            )


def _is_list_of_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _variants(profile: str, tables: Mapping[str, Fields], kind: str, other: str) -> dict[str, Variant]:
    found = {}
    for label, table in tables.items():
        if not is_name(label):
            raise UserError(f"Profile {profile!r}: {label!r} is no name for a variant; use {NAME_LETTERS}.")
        if (kind in table) == (other in table):
            raise UserError(
                f"Profile {profile!r}: variant {label!r} must name either a method or a dataset as its base."
            )
        if kind in table:
            fields = {key: value for key, value in table.items() if key != kind}
            found[label] = Variant(str(table[kind]), fields)
    return found
