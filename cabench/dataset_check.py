"""Whether a data set file keeps its contract, and what else its user should know before days of work rest on it.

An error is a broken contract: something in the file is not what `cabench.dataset_file` says, so that methods and probes
would fail on it or, worse, would not. A warning is about data that keeps the contract and can be used, but from which
less can be learned than it seems. These are errors:

- what is missing, misplaced, of another type, shape or range, declared differently in the splits, or not as hashed;
- a split without background or without target images: there would be nothing to contrast;
- salient values of background images, which say that the background is no background;
- an image in both splits: whoever has it by heart is rewarded. Told by a hash of its pixels.

And these are warnings:

- the same row of a table in both splits: with few or discrete features, two examples may well agree in all of them;
- an image twice in one split: it counts twice, and nothing else is wrong with it;
- classes with too few images for a probe: their scores are uncertain or left out, those of others stand;
- images that show next to nothing, constant features, and features that are not standardised: all methods run on them.

A file is read in pieces of a few megabytes; eight bytes an image are kept of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from cabench.dataset import Attribute
from cabench.dataset_file import SCHEMA, SPLITS, content_sha256
from cabench.errors import UserError
from cabench.evaluation.grid import FEWEST_ROWS, IS_TARGET
from cabench.hdf5_contents import UNREADABLE, check_contents

PIECE = 1 << 22  # bytes of images looked at together: as float64, eight times as much
NEAR_CONSTANT = 1.0  # standard deviation of all values of an image, in grey levels
STANDARDISED = 0.1  # how far a feature's mean may be from 0, and its standard deviation from 1
OPTIONAL_SPLIT = "validation"
POPULATIONS = ("background", "target")
MOST_NAMED = 8  # classes or features in one sentence


@dataclass
class Findings:
    """What was found in one file, each a sentence that names the file and the place in it.

    Attributes:
        path: the file.
        errors: where it breaks the contract.
        warnings: what its user should know.
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


class _Split(NamedTuple):
    """One split whose layout is sound.

    Attributes:
        name: e.g. "train".
        examples: its images or features, on disk.
        is_target: bool (n,).
        attributes: as declared.
        values: (n,) by attribute.
    """

    name: str
    examples: h5py.Dataset
    is_target: np.ndarray
    attributes: Mapping[str, Attribute]
    values: Mapping[str, np.ndarray]

    @property
    def is_table(self) -> bool:
        return bool(self.examples.ndim == 2)

    def row(self, index: int) -> str:
        return f"{self.examples.name}[{index}]"


def check_file(path: Path) -> Findings:
    """Check a data set file. Values are looked at where the layout is sound.

    Raises:
        UserError: when there is no such file.
    """
    return _found(path, _check_file)


def check_layout(path: Path) -> Findings:
    """Check groups, types and shapes alone, which is quick: whatever values there are can then be read.

    Raises:
        UserError: when there is no such file.
    """
    return _found(path, _check_splits)


def _found(path: Path, check: Callable[[h5py.File, Findings], object]) -> Findings:
    if not path.is_file():
        raise UserError(f"There is no data set file {path}; check the path or build the data set first.")
    findings = Findings(path)
    try:
        with h5py.File(path, "r") as file:
            check(file, findings)
    except UNREADABLE as error:  # of a file that is no HDF5, cut short or damaged
        findings.error(f"it cannot be read as HDF5 ({error})")
    return findings


def _check_splits(file: h5py.File, findings: Findings) -> list[_Split]:
    """The splits whose layout is sound; all that a file must have, where nothing was found."""
    try:
        check_contents(file)
    except ValueError as error:
        findings.error(str(error))
        return []
    _check_header(file, findings)
    names = [name for name in (*SPLITS, OPTIONAL_SPLIT) if name in SPLITS or name in file]
    found = [_check_layout(file, name, findings) for name in names]
    for name in file:
        if name not in names:
            findings.error(f"/{name} is no split; there are /train, /test and, where wanted, /{OPTIONAL_SPLIT}")
    splits = [split for split in found if split is not None]
    for other in splits[1:]:
        _check_alike(splits[0], other, findings)
    return splits


def _check_file(file: h5py.File, findings: Findings) -> None:
    splits = _check_splits(file, findings)
    if findings.errors:
        return
    if content_sha256(file) != file.attrs["content_sha256"]:
        findings.error("it is damaged: its content hash is another; build or write it again")
    hashes = []
    for split in splits:
        _check_populations(split, findings)
        for name in split.attributes:
            _check_values(split, name, findings)
        hashes.append(_check_examples(split, findings))
    for index, split in enumerate(splits):
        _check_repeats(split, hashes[index], findings)
        for earlier in range(index):
            _check_overlap(splits[earlier], hashes[earlier], split, hashes[index], findings)


# The header


def _check_header(file: h5py.File, findings: Findings) -> None:
    """The attributes of the file itself."""
    attrs = file.attrs
    for name in ("schema", "name", "builder_version", "config", "sources", "content_sha256"):
        if name not in attrs:
            findings.error(f"the attribute {name!r} of / is missing")
    if "schema" in attrs and not _equals(attrs["schema"], SCHEMA):
        findings.error(f"its schema is {_plain(attrs['schema'])!r}, but this version reads {SCHEMA}")
    for name in ("name", "content_sha256"):
        if name in attrs and not isinstance(attrs[name], str):
            findings.error(f"the attribute {name!r} of / is not text")
    if "builder_version" in attrs and not _is_integer(attrs["builder_version"]):
        findings.error("the attribute 'builder_version' of / is not a whole number")
    _check_json(attrs, "config", "an object", lambda value: isinstance(value, dict), findings)
    _check_json(attrs, "sources", "a list of objects with a title", _are_sources, findings)
    _check_json(attrs, "notes", "a list of texts", _are_texts, findings)


def _check_json(
    attrs: h5py.AttributeManager, name: str, wanted: str, fits: Callable[[Any], bool], findings: Findings
) -> None:
    if name not in attrs:
        return
    try:
        sound = fits(json.loads(attrs[name]))
    except (ValueError, TypeError, RecursionError):
        sound = False
    if not sound:
        findings.error(f"the attribute {name!r} of / is not {wanted}, written as JSON")


def _are_sources(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(source, dict) and isinstance(source.get("title"), str) for source in value
    )


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


# The layout of a split


def _check_layout(file: h5py.File, name: str, findings: Findings) -> _Split | None:
    """Groups, types and shapes of one split; None where its values cannot be looked at."""
    before = len(findings.errors)
    group = file.get(name)
    if not isinstance(group, h5py.Group):
        findings.error(f"the group /{name} is missing")
        return None
    stored = _check_stored(group, findings)
    rows = len(stored) if stored is not None and stored.ndim else 0
    is_target = _check_column(group, "is_target", np.dtype(np.bool_), rows, findings)
    declared: dict[str, Attribute] = {}
    values: dict[str, np.ndarray] = {}
    attributes = group.get("attributes")
    if not isinstance(attributes, h5py.Group):
        findings.error(f"the group /{name}/attributes is missing")
    else:
        for key in attributes:
            attribute = _check_declaration(attributes, key, findings)
            if attribute is not None:
                declared[key] = attribute
                values[key] = _check_column(attributes, key, attribute.undefined().dtype, rows, findings)
    if len(findings.errors) > before:
        return None
    return _Split(name, stored, is_target, declared, values)


def _check_stored(group: h5py.Group, findings: Findings) -> h5py.Dataset | None:
    """The images or features of a split: there, of one kind, type and shape."""
    kinds = [name for name in ("images", "features") if name in group]
    if len(kinds) != 1:
        what = "both /images and /features" if kinds else "neither /images nor /features"
        findings.error(f"{group.name} holds {what}; it must hold one of them")
        return None
    (kind,) = kinds
    stored, dtype, sizes = group.get(kind), *_FORMS[kind]
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
    else:
        return stored
    return None


_FORMS: Mapping[str, tuple[np.dtype[Any], tuple[str, ...]]] = {
    "images": (np.dtype(np.uint8), ("n", "channels", "height", "width")),
    "features": (np.dtype(np.float32), ("n", "features")),
}


def _check_column(group: h5py.Group, name: str, dtype: np.dtype[Any], rows: int, findings: Findings) -> np.ndarray:
    """The values of one column (n,); empty where they are not as they should be. Without rows any number will do."""
    column = group.get(name)
    place = f"{group.name}/{name}"
    if not isinstance(column, h5py.Dataset):
        findings.error(f"{place} is missing" if column is None else f"{place} is no HDF5 data set")
    elif column.dtype != dtype:
        findings.error(f"{place} is {column.dtype}, but must be {dtype}")
    elif column.ndim != 1:
        findings.error(f"{place} has shape {column.shape}, but must be (n,)")
    elif rows and len(column) != rows:
        findings.error(f"{place} has {len(column)} values for {rows} images")
    else:
        values: np.ndarray = column[:]
        return values
    return np.empty(0, dtype)


def _check_declaration(group: h5py.Group, name: str, findings: Findings) -> Attribute | None:
    """What one attribute says of itself."""
    column, place = group.get(name), f"{group.name}/{name}"
    if not isinstance(column, h5py.Dataset):
        findings.error(f"{place} is no HDF5 data set")
        return None
    before = len(findings.errors)
    space, kind = (_plain(column.attrs.get(key)) for key in ("space", "kind"))
    if not (isinstance(space, str) and space in ("common", "salient")):
        findings.error(f"{place} declares the space {space!r}, but must declare 'common' or 'salient'")
    if not (isinstance(kind, str) and kind in ("class", "real")):
        findings.error(f"{place} declares the kind {kind!r}, but must declare 'class' or 'real'")
    if not _is_integer(column.attrs.get("position", 0)):
        findings.error(f"{place} declares a position that is not a whole number")
    if name == IS_TARGET:
        findings.error(f"{place} has a name that is taken; tables call target against background so")
    declared = column.attrs.get("classes", ())
    classes = tuple(declared.tolist()) if isinstance(declared, np.ndarray) and declared.ndim == 1 else declared
    if not isinstance(classes, tuple) or not _are_texts(list(classes)):
        findings.error(f"{place} declares classes that are no list of texts")
    elif len(findings.errors) > before:
        return None
    elif kind == "class" and (not classes or len(set(classes)) < len(classes)):
        findings.error(f"{place} must declare the names of its classes, each once")
    elif kind == "real" and classes:
        findings.error(f"{place} is real, but declares classes")
    return Attribute(name, space, kind, classes) if len(findings.errors) == before else None


def _check_alike(first: _Split, other: _Split, findings: Findings) -> None:
    """Both splits hold the same kind of examples with the same attributes."""
    if first.is_table != other.is_table or first.examples.shape[1:] != other.examples.shape[1:]:
        findings.error(
            f"{other.examples.name} holds examples of shape {other.examples.shape[1:]}, but {first.examples.name} of "
            f"{first.examples.shape[1:]}"
        )
    for name in sorted(first.attributes.keys() ^ other.attributes.keys()):
        has, lacks = (first, other) if name in first.attributes else (other, first)
        findings.error(f"/{lacks.name}/attributes/{name} is missing, but /{has.name} has it")
    for name in sorted(first.attributes.keys() & other.attributes.keys()):
        if first.attributes[name] != other.attributes[name]:
            findings.error(f"/{other.name}/attributes/{name} is declared differently from /{first.name}")


def _plain(value: Any) -> Any:
    """A value of HDF5 as one of Python, as messages show it."""
    return value.item() if isinstance(value, np.generic) else value


def _equals(value: Any, expected: int) -> bool:
    return bool(_is_integer(value) and int(value) == expected)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


# Values


def _check_populations(split: _Split, findings: Findings) -> None:
    for population, rows in zip(POPULATIONS, (~split.is_target, split.is_target), strict=True):
        if not rows.any():
            findings.error(f"/{split.name} holds no {population} images; contrastive analysis needs both populations")


def _check_values(split: _Split, name: str, findings: Findings) -> None:
    """The values of one attribute: in range, defined where they may be, and enough of them for a probe."""
    attribute, values, place = split.attributes[name], split.values[name], f"/{split.name}/attributes/{name}"
    before = len(findings.errors)
    if attribute.kind == "class":
        wrong = np.flatnonzero((values < -1) | (values >= len(attribute.classes)))
        if len(wrong):
            findings.error(
                f"{place}[{wrong[0]}] is {values[wrong[0]]}, which names none of the {len(attribute.classes)} classes "
                f"({len(wrong)} such values)"
            )
    else:
        wrong = np.flatnonzero(np.isinf(values))
        if len(wrong):
            findings.error(f"{place}[{wrong[0]}] is infinite ({len(wrong)} such values)")
    defined = attribute.is_defined(values)
    if attribute.space == "salient":
        wrong = np.flatnonzero(defined & ~split.is_target)
        if len(wrong):
            findings.error(
                f"{place}[{wrong[0]}] has a value, but that image is background, and the attribute salient "
                f"({len(wrong)} such values)"
            )
    if len(findings.errors) == before:
        _check_enough(split, attribute, defined, findings)


def _check_enough(split: _Split, attribute: Attribute, defined: np.ndarray, findings: Findings) -> None:
    """Whether probes have rows enough: fitted on both populations together where common, scored on each apart."""
    values, place = split.values[attribute.name], f"/{split.name}/attributes/{attribute.name}"
    groups = {"target": split.is_target}
    if attribute.space == "common":
        together = {"background and target": np.ones_like(split.is_target)}
        groups = together if split.name == "train" else groups | {"background": ~split.is_target}
    for words, rows in groups.items():
        known = values[defined & rows]
        if attribute.kind == "real":
            if len(known) < FEWEST_ROWS:
                findings.warn(f"{place} is defined for {len(known)} {words} images; a probe needs {FEWEST_ROWS}")
            elif len(np.unique(known)) < 2:
                findings.warn(f"{place} has one and the same value for all {words} images; there is nothing to probe")
            continue
        counts = np.bincount(known, minlength=len(attribute.classes))
        few = [f"{label} ({n})" for label, n in zip(attribute.classes, counts, strict=True) if n < FEWEST_ROWS]
        if few:
            findings.warn(f"{place} has classes with fewer than {FEWEST_ROWS} {words} images to probe: {_listed(few)}")


def _check_examples(split: _Split, findings: Findings) -> np.ndarray:
    """Images or features, piece by piece. Gives a hash of each, uint64 (n,)."""
    hashes = np.empty(len(split.examples), np.uint64)
    check = _Features(split) if split.is_table else _Images(split)
    for start, rows in _pieces(split.examples):
        # 64 bits: of a million different images, two agree by chance in one of thirty million data sets.
        digests = (hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rows)
        hashes[start : start + len(rows)] = np.frombuffer(b"".join(digests), np.uint64)
        check.look_at(start, rows)
    check.conclude(findings)
    return hashes


def _pieces(examples: h5py.Dataset) -> Iterator[tuple[int, np.ndarray]]:
    """The index of the first row, and rows flattened to (m, values), of one piece after another."""
    size = int(np.prod(examples.shape[1:])) * examples.dtype.itemsize
    count = max(1, PIECE // size)
    for start in range(0, len(examples), count):
        rows = examples[start : start + count]
        yield start, rows.reshape(len(rows), -1)


class _Images:
    """Counts images that show next to nothing."""

    def __init__(self, split: _Split) -> None:
        self._split = split
        self._empty: list[int] = []

    def look_at(self, start: int, rows: np.ndarray) -> None:
        self._empty += (start + np.flatnonzero(rows.std(axis=1) < NEAR_CONSTANT)).tolist()

    def conclude(self, findings: Findings) -> None:
        if self._empty:
            findings.warn(
                f"{self._split.examples.name} has {len(self._empty)} of {len(self._split.examples)} images that show "
                f"next to nothing (standard deviation below {NEAR_CONSTANT:g} grey level), the first "
                f"{self._split.row(self._empty[0])}"
            )


class _Features:
    """Checks that features are finite and, in the training split, standardised."""

    def __init__(self, split: _Split) -> None:
        self._split = split
        self._infinite: list[int] = []
        self._sum = np.zeros(split.examples.shape[1])
        self._squares = np.zeros(split.examples.shape[1])

    def look_at(self, start: int, rows: np.ndarray) -> None:
        finite = np.isfinite(rows)
        self._infinite += (start + np.flatnonzero(~finite.all(axis=1))).tolist()
        exact = np.where(finite, rows, 0).astype(np.float64)
        self._sum += exact.sum(axis=0)
        self._squares += (exact**2).sum(axis=0)

    def conclude(self, findings: Findings) -> None:
        place = self._split.examples.name
        if self._infinite:
            findings.error(
                f"{self._split.row(self._infinite[0])} holds a value that is not finite "
                f"({len(self._infinite)} such rows)"
            )
        elif self._split.name == "train":
            mean = self._sum / len(self._split.examples)
            deviation = np.sqrt(np.maximum(self._squares / len(self._split.examples) - mean**2, 0))
            constant = deviation < 1e-6
            off = ~constant & ((np.abs(mean) > STANDARDISED) | (np.abs(deviation - 1) > STANDARDISED))
            if constant.any():
                findings.warn(
                    f"{place} has columns of one and the same value: {_listed(np.flatnonzero(constant).tolist())}"
                )
            if off.any():
                findings.warn(
                    f"{place} has columns that are not standardised to mean 0 and standard deviation 1, as methods "
                    f"expect: {_listed(np.flatnonzero(off).tolist())}"
                )


def _check_repeats(split: _Split, hashes: np.ndarray, findings: Findings) -> None:
    """Examples that are in a split more than once."""
    order = np.argsort(hashes, kind="stable")
    again = np.sort(order[1:][hashes[order][1:] == hashes[order][:-1]])
    if len(again):
        first = int(np.flatnonzero(hashes == hashes[again[0]])[0])
        findings.warn(
            f"{split.examples.name} repeats {len(again)} of its {len(hashes)} rows, first {split.row(first)} as "
            f"{split.row(int(again[0]))}"
        )


def _check_overlap(
    earlier: _Split, earlier_hashes: np.ndarray, later: _Split, later_hashes: np.ndarray, findings: Findings
) -> None:
    """Examples that are in two splits."""
    shared = np.flatnonzero(np.isin(later_hashes, earlier_hashes))
    if len(shared):
        first = int(np.flatnonzero(earlier_hashes == later_hashes[shared[0]])[0])
        say = findings.warn if later.is_table else findings.error
        say(
            f"{len(shared)} of the {len(later_hashes)} rows of {later.examples.name} are in {earlier.examples.name} "
            f"too, first {later.row(int(shared[0]))} as {earlier.row(first)}; no example may be in two splits"
        )


def _listed(items: Sequence[object]) -> str:
    """The first few of many, and how many there are."""
    names = ", ".join(str(item) for item in items[:MOST_NAMED])
    return names if len(items) <= MOST_NAMED else f"{names} and {len(items) - MOST_NAMED} more"
