"""The layout of a data set's HDF5 file: what is stored where.

/                     attrs: schema, name, builder_version, config (JSON), sources (JSON), content_sha256;
                      optional: notes (JSON list of sentences) for users of the data
/<split>/images       uint8 (n, channels, height, width)
/<split>/features     float32 (n, features), in place of images: a data set of feature tables, whose columns are
                      standardised by mean and standard deviation over the training rows; NaN = missing
    attrs, both optional: values = "counts" (then they are whole numbers from 0, not standardised) or "non-negative"
        (they were numbers from 0 up before they were standardised), missing = how many values are missing
/train/mean, /train/scale   both optional: float64 (features,), what was taken off the columns of all splits, and what
                      they were then multiplied by, so that other rows can be brought to the same scale
/<split>/is_target    bool (n,)
/<split>/attributes/<attribute>   (n,) int64 class index, -1 = undefined; or float64, NaN = undefined
    attrs: space = "common" | "salient" | "nuisance", kind = "class" | "real", classes = [...] (no such attr where kind
        is "real"), position = place in tables, from 0
/<split>/names        optional: (n,) text, the name of each example in its source; "" = none
/<split>/groups       optional: (n,) text, equal for examples that belong together, such as one subject's; "" = none

Splits are train, test and, where there is one, validation: for choosing settings, never for scores in tables.
Names and groups are UTF-8 of variable length, uncompressed, each text in one line of at most 4,096 bytes.
`check_layout` checks that a file keeps this contract; `cabench.data.checks` checks the values as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import h5py
import numpy as np
from typing_extensions import TypedDict

from cabench.data.dataset import IS_TARGET, OWNERS, Attribute
from cabench.errors import UserError
from cabench.files.hdf5 import LONGEST_TEXT, TEXT, TEXTS, UNREADABLE, check_contents, reading_hdf5
from cabench.files.json import check_tree, parse_json
from cabench.files.names import is_line

SCHEMA = 1
Split = Literal["train", "test", "validation"]
SPLITS: tuple[Split, Split] = ("train", "test")
VALIDATION: Split = "validation"  # which a file may lack
SCALING = ("mean", "scale")  # what a table's columns were standardised with
COUNTS, NON_NEGATIVE = "counts", "non-negative"  # what the attribute `values` of features may say
MOST_NAMED = 8  # classes or features in one sentence
_Result = TypeVar("_Result")


class TitledSource(TypedDict):
    """An entry of the attribute `sources`, of which only the title is read back."""

    title: str


JSON_ATTRIBUTES: Mapping[str, tuple[Any, str]] = {
    "config": (dict[str, Any], "an object"),
    "sources": (list[TitledSource], "a list of objects with a title"),
    "notes": (tuple[str, ...], "a list of texts"),
}
_FORMS: Mapping[str, tuple[np.dtype[Any], tuple[str, ...]]] = {
    "images": (np.dtype(np.uint8), ("n", "channels", "height", "width")),
    "features": (np.dtype(np.float32), ("n", "features")),
}


@dataclass
class Findings:
    """What was found in one file, each in a sentence that names the file and the place in it.

    Attributes:
        path: the file.
        errors: how it breaks the contract.
        warnings: what its users should know.
    """

    path: Path
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def error(self, text: str) -> None:
        """Add an error, given as a sentence without its full stop."""
        self.errors.append(f"{self.path}: {text}.")

    def warn(self, text: str) -> None:
        """Add a warning, given likewise."""
        self.warnings.append(f"{self.path}: {text}.")


class StoredSplit(NamedTuple):
    """One split of an open file whose layout is sound.

    Attributes:
        group: its group.
        examples: its images or features, on disk.
        is_target: bool (n,).
        attributes: by name, in the order in which tables show them.
    """

    group: h5py.Group
    examples: h5py.Dataset
    is_target: np.ndarray
    attributes: Mapping[str, Attribute]

    @property
    def name(self) -> str:
        """E.g. "train"."""
        return str(self.group.name).removeprefix("/")

    @property
    def is_table(self) -> bool:
        """Whether the examples are rows of features."""
        return bool(self.examples.ndim == 2)

    @property
    def are_counts(self) -> bool:
        """Whether the features are counts."""
        return bool(self.examples.attrs.get("values", "") == COUNTS)

    @property
    def non_negative(self) -> bool:
        """Whether the features were, or are, 0 or more."""
        return bool(self.examples.attrs.get("values", "") in (COUNTS, NON_NEGATIVE))

    @property
    def missing(self) -> int:
        """How many values of the features are missing, as the file says."""
        return int(self.examples.attrs.get("missing", 0))

    def values(self, attribute: str) -> np.ndarray:
        """(n,) values of an attribute."""
        values: np.ndarray = self.group["attributes"][attribute][:]
        return values

    def row(self, index: int) -> str:
        """The name of an example in messages."""
        return f"{self.examples.name}[{index}]"


def examine(path: Path, look: Callable[[h5py.File, Findings], _Result]) -> tuple[_Result | None, Findings]:
    """Open a file and call `look` on it. If HDF5 cannot read it, that is an error found, and the result is None.

    Raises:
        UserError: when there is no such file, or it cannot be opened, as another process writes to it.
    """
    if not path.is_file():
        raise UserError(f"There is no data set file {path}; check the path or build the data set first.")
    findings = Findings(path)
    try:
        with reading_hdf5(path) as file:
            return look(file, findings), findings
    except UNREADABLE as error:  # of a file that is no HDF5, cut short or damaged
        findings.error(f"it cannot be read as HDF5 ({error})")
        return None, findings


def check_layout(file: h5py.File, findings: Findings) -> list[StoredSplit]:
    """The splits whose layout is sound; if no error was found, all that a file must have.

    Args:
        file: open for reading.
        findings: gets an error for everything that is wrong.
    """
    try:
        check_contents(file)
    except ValueError as error:
        findings.error(str(error))
        return []
    _check_header(file, findings)
    names = [name for name in (*SPLITS, VALIDATION) if name in SPLITS or name in file]
    found = [_check_split(file, name, findings) for name in names]
    for name in file:
        if name not in names:
            findings.error(f"/{name} is no split; there are /train, /test and, optionally, /{VALIDATION}")
    splits = [split for split in found if split is not None]
    for other in splits[1:]:
        _check_alike(splits[0], other, findings)
    return splits


def examples(split: h5py.Group) -> h5py.Dataset:
    """The images of a split or, in a data set of feature tables, its features."""
    return split["features"] if "features" in split else split["images"]


def texts(group: h5py.Group, kind: str, rows: int) -> np.ndarray:
    """The (rows,) names or groups, as `kind` says, in a group of a file; "" if it has none.

    Raises:
        ValueError: for text that is not UTF-8.
    """
    lines: np.ndarray = group[kind].asstr()[:] if kind in group else np.full(rows, "", object)
    return lines


def is_storable(text: str) -> bool:
    """Whether a file may hold this as a name or group."""
    return is_line(text) and len(text.encode()) <= LONGEST_TEXT


def plain(value: Any) -> Any:
    """A value of HDF5 as a Python number, text or list."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def listed(items: Sequence[object]) -> str:
    """The first few of many, and how many others there are."""
    names = ", ".join(str(item) for item in items[:MOST_NAMED])
    return names if len(items) <= MOST_NAMED else f"{names} and {len(items) - MOST_NAMED} more"


def counted(count: int, what: str) -> str:
    """A number of things, such as "1 image" and "2,000 images"."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


# The header


def _check_header(file: h5py.File, findings: Findings) -> None:
    """The attributes of the file itself."""
    attrs = file.attrs
    for name in ("schema", "name", "builder_version", "config", "sources", "content_sha256"):
        if name not in attrs:
            findings.error(f"the attribute {name!r} of / is missing")
    if "schema" in attrs and not (_is_integer(attrs["schema"]) and attrs["schema"] == SCHEMA):
        findings.error(f"its schema is {plain(attrs['schema'])!r}, but this version reads {SCHEMA}")
    for name in ("name", "content_sha256"):
        if name in attrs and not _is_text(attrs[name]):
            findings.error(f"the attribute {name!r} of / is not text")
    if "builder_version" in attrs and not _is_integer(attrs["builder_version"]):
        findings.error("the attribute 'builder_version' of / is not a whole number")
    for name, (kind, wanted) in JSON_ATTRIBUTES.items():
        if name in attrs and not _passes(parse_json, attrs[name], kind):
            findings.error(f"the attribute {name!r} of / is not {wanted}, written as JSON")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and _passes(check_tree, value)


def _passes(check: Callable[..., object], *given: Any) -> bool:
    try:
        check(*given)
    except (ValueError, TypeError):
        return False
    return True


# The layout of a split


def _check_split(file: h5py.File, name: str, findings: Findings) -> StoredSplit | None:
    """Groups, types and shapes of one split; None where its values cannot be looked at."""
    before = len(findings.errors)
    group = file.get(name)
    if not isinstance(group, h5py.Group):
        findings.error(f"the group /{name} is missing")
        return None
    stored = _check_examples(group, findings)
    rows = 0 if stored is None else len(stored)
    _check_column(group, "is_target", np.dtype(np.bool_), rows, findings)
    for kind in TEXTS:
        if kind in group:
            _check_column(group, kind, TEXT, rows, findings)
    for kind in SCALING:
        if kind in group and stored is not None:
            _check_column(group, kind, np.dtype(np.float64), stored.shape[1], findings)
    declared: list[Attribute] = []
    attributes = group.get("attributes")
    if isinstance(attributes, h5py.Group):
        for key in attributes:
            attribute = _check_declaration(attributes, key, findings)
            if attribute is not None:
                declared.append(attribute)
                _check_column(attributes, key, attribute.undefined().dtype, rows, findings)
    else:
        findings.error(f"the group /{name}/attributes is missing")
    if stored is None or len(findings.errors) > before:
        return None
    declared.sort(key=lambda attribute: (int(attributes[attribute.name].attrs.get("position", 0)), attribute.name))
    return StoredSplit(group, stored, group["is_target"][:], {attribute.name: attribute for attribute in declared})


def _check_examples(group: h5py.Group, findings: Findings) -> h5py.Dataset | None:
    """The images or features of a split: present, of one kind, of the right type and shape."""
    kinds = [name for name in _FORMS if name in group]
    if len(kinds) != 1:
        what = "both /images and /features" if kinds else "neither /images nor /features"
        findings.error(f"{group.name} holds {what}; it must hold one of them")
        return None
    (kind,) = kinds
    stored, (dtype, sizes) = group.get(kind), _FORMS[kind]
    if not isinstance(stored, h5py.Dataset):
        findings.error(f"{group.name}/{kind} is no HDF5 data set")
    elif stored.dtype != dtype:
        findings.error(f"{stored.name} is {stored.dtype}, but {kind} are {dtype}")
    elif stored.ndim != len(sizes):
        findings.error(f"{stored.name} has shape {stored.shape}, but {kind} are ({', '.join(sizes)})")
    elif 0 in stored.shape:
        findings.error(f"{stored.name} has shape {stored.shape}, which is empty")
    elif kind == "images" and stored.shape[1] not in (1, 3):
        findings.error(f"{stored.name} has {stored.shape[1]} channels, but images are grey (1) or in colour (3)")
    elif not _describes_values(stored, findings):
        return None
    else:
        return stored
    return None


def _describes_values(stored: h5py.Dataset, findings: Findings) -> bool:
    """Whether what examples say of their values, if anything, is what features may say."""
    values, missing = stored.attrs.get("values"), stored.attrs.get("missing", 0)
    known = isinstance(values, str) and values in (COUNTS, NON_NEGATIVE) and stored.ndim == 2
    if values is not None and not known:
        findings.error(
            f"{stored.name} declares its values as {plain(values)!r}; features may declare {COUNTS!r} or "
            f"{NON_NEGATIVE!r}"
        )
        return False
    if not (_is_integer(missing) and 0 <= missing <= (stored.size if stored.ndim == 2 else 0)):
        findings.error(f"{stored.name} declares {plain(missing)!r} missing values, which it cannot have")
        return False
    return True


def _check_column(group: h5py.Group, name: str, dtype: np.dtype[Any], rows: int, findings: Findings) -> None:
    """A column of (n,) values; any n will do if `rows` is 0."""
    column, place = group.get(name), f"{group.name}/{name}"
    if not isinstance(column, h5py.Dataset):
        findings.error(f"{place} is missing" if column is None else f"{place} is no HDF5 data set")
    elif column.dtype != dtype:
        findings.error(f"{place} is {column.dtype}, but must be {'text' if dtype == TEXT else dtype}")
    elif column.ndim != 1:
        findings.error(f"{place} has shape {column.shape}, but must be (n,)")
    elif rows and len(column) != rows:
        findings.error(f"{place} has {len(column)} values for {rows} images")


def _check_declaration(group: h5py.Group, name: str, findings: Findings) -> Attribute | None:
    """The declaration of one attribute."""
    column, place = group.get(name), f"{group.name}/{name}"
    if not isinstance(column, h5py.Dataset):
        findings.error(f"{place} is no HDF5 data set")
        return None
    before = len(findings.errors)
    space, kind = column.attrs.get("space"), column.attrs.get("kind")
    if not (isinstance(space, str) and space in OWNERS):
        findings.error(
            f"{place} declares the space {plain(space)!r}, but must declare 'common', 'salient' or 'nuisance'"
        )
    if not (isinstance(kind, str) and kind in ("class", "real")):
        findings.error(f"{place} declares the kind {plain(kind)!r}, but must declare 'class' or 'real'")
    if not _is_integer(column.attrs.get("position", 0)):
        findings.error(f"{place} declares a position that is not a whole number")
    if name == IS_TARGET:
        findings.error(f"{place} has a reserved name: tables use it for target against background")
    declared = column.attrs.get("classes", ())
    classes = tuple(declared.tolist()) if isinstance(declared, np.ndarray) and declared.ndim == 1 else declared
    if not isinstance(classes, tuple) or not all(map(_is_text, classes)):
        findings.error(f"{place} declares classes that are no list of texts")
    elif len(findings.errors) > before:
        return None
    elif kind == "class" and (not classes or len(set(classes)) < len(classes)):
        findings.error(f"{place} must declare the names of its classes, each once")
    elif kind == "real" and classes:
        findings.error(f"{place} is real, but declares classes")
    return Attribute(name, space, kind, classes) if len(findings.errors) == before else None


def _check_alike(first: StoredSplit, other: StoredSplit, findings: Findings) -> None:
    """Both splits hold the same kind of examples with the same attributes."""
    if first.is_table != other.is_table or first.examples.shape[1:] != other.examples.shape[1:]:
        findings.error(
            f"{other.examples.name} holds examples of shape {other.examples.shape[1:]}, but {first.examples.name} of "
            f"{first.examples.shape[1:]}"
        )
    if first.are_counts != other.are_counts or first.non_negative != other.non_negative:
        findings.error(f"{first.examples.name} and {other.examples.name} declare their values differently")
    for name in sorted(first.attributes.keys() ^ other.attributes.keys()):
        has, lacks = (first, other) if name in first.attributes else (other, first)
        findings.error(f"/{lacks.name}/attributes/{name} is missing, but /{has.name} has it")
    for name in sorted(first.attributes.keys() & other.attributes.keys()):
        if first.attributes[name] != other.attributes[name]:
            findings.error(f"/{other.name}/attributes/{name} is declared differently from /{first.name}")
