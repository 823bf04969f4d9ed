"""From NumPy arrays of background and target examples to a data set file: checked, split and written."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cabench.data.dataset import OWNERS, Attribute
from cabench.data.file import DatasetFile
from cabench.data.layout import SPLITS, is_storable
from cabench.data.split import held_out
from cabench.data.writing import DatasetWriter
from cabench.errors import UserError
from cabench.files.hdf5 import replacing_hdf5
from cabench.files.names import is_line, is_name

NAME, VERSION = "file", 1
LARGEST_SEED = 2**32
CHUNK_ROWS = 1000  # images written at a time: 3 MB of 32 x 32 colour
FEWEST_TESTED = 3  # test examples of a class that is split on its own: with fewer, rounding counts too much
MISSED = 0.05  # of a population: a note says if the test split is off by more


@dataclass(frozen=True)
class Examples:
    """Examples of one population.

    Attributes:
        images: uint8 (n, channels, height, width) in [0, 255], 1 or 3 channels; or a table of features, float32 (n, d).
        values: by attribute, (n,) class indices (-1 = undefined) or real numbers (NaN = undefined). An attribute that
            is left out is undefined for all of them.
        groups: (n,) equal for examples that must stay on one side of the split, such as the subject; whole numbers or
            text. None if examples are independent. The file keeps them, and evaluations take groups, not examples, as
            what was sampled.
        is_test: bool (n,), if the split is given; it is given for both populations or for none.
        names: (n,) the name of each example in its source, such as its file; "" = none. The file keeps them, so that
            results can be joined to examples.
    """

    images: np.ndarray
    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    groups: Sequence[object] | np.ndarray | None = None
    is_test: np.ndarray | None = None
    names: Sequence[str] | None = None


class Drawn(NamedTuple):
    """How a split is drawn if it is not given.

    Attributes:
        test_fraction: of each population's examples, in (0, 1).
        seed: from 0.
    """

    test_fraction: float = 0.2
    seed: int = 0

    def check(self) -> None:
        """Refuse a fraction or seed that no split can be drawn with.

        Raises:
            UserError: saying what is allowed.
        """
        if not 0 < self.test_fraction < 1:
            raise UserError(
                f"A test fraction of {self.test_fraction} is not allowed; it lies between 0 and 1, such as 0.2."
            )
        if not 0 <= self.seed < LARGEST_SEED:
            raise UserError(f"The seed {self.seed} of the split is not allowed; it is a whole number from 0.")


def write_arrays(
    path: Path,
    background: Examples,
    target: Examples,
    attributes: Sequence[Attribute] = (),
    *,
    test_fraction: float = 0.2,
    seed: int = 0,
    title: str = "own data",
    notes: Sequence[str] = (),
) -> DatasetFile:
    """Write a data set that `--datasets` takes like a built-in one.

    Unless the split is given, about `test_fraction` of each population, and of each of its salient classes, is held
    out, in the order of a hash of `seed` and group: see `held_out`. Examples of one group, and equal ones, stay on one
    side. Features are standardised by mean and standard deviation of the training rows; constant ones become 0.

    Args:
        path: the file to write, whole or not at all; it ends in .h5.
        background: examples that show only what is common.
        target: examples that show what is common and what is salient.
        attributes: what is known of the examples, in the order in which tables show it.
        test_fraction: in (0, 1).
        seed: of the split, from 0.
        title: what tables say the data set was built from.
        notes: sentences that users of the data must know.

    Returns:
        The file, opened again.

    Raises:
        UserError: for arrays of another kind, values that the attributes do not allow, an example in both populations,
            a split that would lack a population, and a path that cannot be written.
    """
    path = Path(path)
    check_output(path)
    drawn = Drawn(test_fraction, seed)
    drawn.check()
    parts = {"background": background, "target": target}
    _check_examples(parts)
    _check_attributes(attributes)
    for population, part in parts.items():
        _check_values(population, part, attributes)
    groups = _groups(parts)
    is_test = _split(parts, groups, attributes, drawn)
    notes = [*notes, *_said_of(parts, is_test, drawn)]
    images = {population: part.images for population, part in parts.items()}
    if background.images.dtype == np.float32:
        images = _standardised(images, is_test)
    try:
        with replacing_hdf5(path) as file:
            writer = DatasetWriter(file)
            writer.note(*notes)
            _write(writer, parts, images, is_test, attributes)
            writer.finish(NAME, VERSION, drawn._asdict(), [{"title": title}])
    except OSError as error:
        raise UserError(f"{path} could not be written ({error}); choose another --output or make room.") from error
    return DatasetFile.open(path)


def check_output(path: Path) -> None:
    """Refuse, before any work, a path that could not be used as a data set's name.

    Raises:
        UserError: saying what a path may look like.
    """
    if path.suffix != ".h5" or not is_name(path.stem):
        raise UserError(f"The data set file {str(path)!r} must have a name of letters, digits, _ and -, ending in .h5.")
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file that ends in .h5.")


def _check_examples(parts: Mapping[str, Examples]) -> None:
    for population, part in parts.items():
        images = part.images
        if not isinstance(images, np.ndarray):
            raise UserError(f"The {population} images are a {type(images).__name__}, not a NumPy array.")
        is_image = images.dtype == np.uint8 and images.ndim == 4 and images.shape[1] in (1, 3)
        is_table = images.dtype == np.float32 and images.ndim == 2
        if not (is_image or is_table) or 0 in images.shape[1:]:
            raise UserError(
                f"The {population} images are {images.dtype} of shape {images.shape}; wanted are uint8 "
                "(n, channels, height, width) with 1 or 3 channels, or features as float32 (n, d)."
            )
        if len(images) == 0:
            raise UserError(f"There are no {population} images; contrastive analysis needs both populations.")
        if is_table and not np.isfinite(images).all():
            row, column = np.argwhere(~np.isfinite(images))[0]
            raise UserError(f"Feature {column} of {_called(part, population, row)} is {images[row, column]}.")
        for what, column in (("groups", part.groups), ("is_test", part.is_test), ("names", part.names)):
            if column is not None and len(column) != len(images):
                raise UserError(f"{population}: {len(column)} {what} were given for {len(images)} images.")
        for row, name in enumerate(part.names if part.names is not None else ()):
            if not is_storable(str(name)):
                raise UserError(
                    f"The name of {population} image {row} is {name!r:.60}; names are short, printable texts."
                )
    shapes = [part.images.shape[1:] for part in parts.values()]
    if shapes[0] != shapes[1]:
        raise UserError(f"Background examples have shape {shapes[0]}, target examples {shapes[1]}; make them alike.")


def _check_attributes(attributes: Sequence[Attribute]) -> None:
    names = [attribute.name for attribute in attributes]
    for attribute in attributes:
        if not re.fullmatch(r"\w[\w -]*", attribute.name) or attribute.name == "is_target":
            raise UserError(
                f"{attribute.name!r} cannot be the name of an attribute; use letters, digits, spaces, _ and -, "
                "and not is_target."
            )
        if attribute.space not in OWNERS or attribute.kind not in ("class", "real"):
            raise UserError(
                f"Attribute {attribute.name!r} is declared as {attribute.space} and {attribute.kind}; "
                "it is common, salient or nuisance, and class or real."
            )
        _check_classes(attribute)
    if len(set(names)) != len(names):
        raise UserError("Two attributes have the same name.")


def _check_classes(attribute: Attribute) -> None:
    classes = attribute.classes
    if not isinstance(classes, tuple | list) or not all(isinstance(label, str) for label in classes):
        raise UserError(f"The classes of attribute {attribute.name!r} must be a tuple of texts, not {classes!r}.")
    for label in classes:
        if not is_line(label):
            raise UserError(f"{label!r} cannot be the name of a class of {attribute.name!r}; use printable characters.")
    if attribute.kind == "real" and classes:
        raise UserError(f"Attribute {attribute.name!r} is real and has no classes; leave them out or declare a class.")
    if attribute.kind == "class" and not classes:
        raise UserError(f"Attribute {attribute.name!r} is a class; name its classes.")
    if len(set(classes)) != len(classes):
        raise UserError(f"Two classes of attribute {attribute.name!r} have the same name.")


def _check_values(population: str, part: Examples, attributes: Sequence[Attribute]) -> None:
    known = {attribute.name for attribute in attributes}
    for name in part.values:
        if name not in known:
            raise UserError(f"There are {population} values of {name!r}, which is not declared as an attribute.")
    for attribute in attributes:
        if attribute.name not in part.values:
            continue
        values = np.asarray(part.values[attribute.name])
        if values.shape != (len(part.images),):
            raise UserError(
                f"The {population} values of {attribute.name!r} have shape {values.shape}, not ({len(part.images)},)."
            )
        kinds = (np.integer,) if attribute.kind == "class" else (np.floating, np.integer)
        if not any(np.issubdtype(values.dtype, kind) for kind in kinds):
            allowed = "class indices, -1 = undefined" if attribute.kind == "class" else "numbers, NaN = undefined"
            raise UserError(f"The {population} values of {attribute.name!r} are {values.dtype}; wanted are {allowed}.")
        fits = np.isin(values, range(-1, len(attribute.classes))) if attribute.kind == "class" else ~np.isinf(values)
        if not fits.all():
            row = int((~fits).argmax())
            raise UserError(
                f"{attribute.name!r} of {_called(part, population, row)} is {values[row]}, which "
                + ("names no class." if attribute.kind == "class" else "is not finite.")
            )
        if attribute.space == "salient" and population == "background" and attribute.is_defined(values).any():
            row = int(attribute.is_defined(values).argmax())
            raise UserError(
                f"The salient attribute {attribute.name!r} has a value for {_called(part, population, row)}, but what "
                "is salient is undefined for background images; leave it out there."
            )


def _called(part: Examples, population: str, row: int) -> str:
    return f"{population} image {row if part.names is None else repr(part.names[row])}"


def _groups(parts: Mapping[str, Examples]) -> np.ndarray:
    """Text (n_background + n_target,): equal where examples must stay on one side, because of their group or content.

    It is the group, or else the content, of the first example that it joins, so that a split depends neither on other
    examples nor on the names of files.

    Raises:
        UserError: for an example that is in both populations.
    """
    digests = [[hashlib.sha256(row.tobytes()).hexdigest() for row in part.images] for part in parts.values()]
    first = dict(zip(reversed(digests[0]), reversed(range(len(digests[0]))), strict=True))
    for row, digest in enumerate(digests[1]):
        if digest in first:
            raise UserError(
                f"{_called(parts['background'], 'background', first[digest])} and "
                f"{_called(parts['target'], 'target', row)} are equal; an example is background or target, not both."
            )
    content = pd.factorize(np.concatenate(digests))[0]
    given = [
        _named_groups(population, part, contents)
        for (population, part), contents in zip(parts.items(), digests, strict=True)
    ]
    groups = pd.factorize(np.concatenate(given))[0]
    rows = np.arange(len(content))
    # A graph of examples, groups and contents: connected examples stay together.
    nodes = len(rows) + groups.max() + 1 + content.max() + 1
    ends = np.concatenate([len(rows) + groups, len(rows) + groups.max() + 1 + content])
    links = coo_array((np.ones(2 * len(rows)), (np.tile(rows, 2), ends)), shape=(nodes, nodes))
    joined = connected_components(links, directed=False)[1][: len(rows)]
    _, first_rows, inverse = np.unique(joined, return_index=True, return_inverse=True)
    return np.concatenate(given)[first_rows][inverse]


def _named_groups(population: str, part: Examples, digests: Sequence[str]) -> np.ndarray:
    """Each example's group as text; its content if no groups are given."""
    if part.groups is None:
        return np.array([f"content {digest}" for digest in digests])
    for row, group in enumerate(part.groups):
        # pandas makes floats of whole numbers if one is missing: 1.0 would be another group than 1.
        kept = isinstance(group, str | int | np.integer) and not isinstance(group, bool | np.bool_) and str(group)
        if not (kept and is_storable(kept)):
            raise UserError(
                f"The group of {_called(part, population, row)} is {group!r:.60}; groups are whole numbers or short, "
                "printable texts, and each example has one."
            )
    return np.array([f"group {group}" for group in part.groups])


def _split(
    parts: Mapping[str, Examples], groups: np.ndarray, attributes: Sequence[Attribute], drawn: Drawn
) -> dict[str, np.ndarray]:
    """Bool (n,) by population: which examples are for testing."""
    given = [part.is_test for part in parts.values()]
    if any(choice is not None for choice in given):
        if any(choice is None or np.asarray(choice).dtype != np.bool_ for choice in given):
            raise UserError("Where a split is given, is_test is a bool array for background and for target.")
        is_test = np.concatenate([np.asarray(choice) for choice in given])
        both = np.intersect1d(groups[is_test], groups[~is_test])
        if len(both):
            rows = np.flatnonzero(groups == both[0])
            called = [_called(part, name, row) for name, part in parts.items() for row in range(len(part.images))]
            training, testing = (called[rows[is_test[rows] == side][0]] for side in (False, True))
            raise UserError(
                f"{training} is for training and {testing} for testing, but they are equal or of one group."
            )
    else:
        strata = np.concatenate(
            [_strata(population, part, attributes, drawn.test_fraction) for population, part in parts.items()]
        )
        is_test = held_out(pd.Series(groups), pd.Series(strata), drawn.test_fraction, drawn.seed)
    chosen = dict(zip(parts, np.split(is_test, [len(parts["background"].images)]), strict=True))
    for population, choice in chosen.items():
        if choice.all() or not choice.any():
            split = "training" if choice.all() else "test"
            raise UserError(
                f"No {population} example is left for the {split} split; give more examples or groups, or another "
                "test fraction."
            )
    return chosen


def _strata(population: str, part: Examples, attributes: Sequence[Attribute], fraction: float) -> np.ndarray:
    """The kinds of examples that are split in proportion: the population and its salient classes, as text.

    Kinds with too few examples to hold out a fraction in whole examples are merged.
    """
    salient = [a.name for a in attributes if a.space == "salient" and a.kind == "class" and a.name in part.values]
    strata = np.full(len(part.images), population, dtype=object)
    for name in salient:
        strata += np.char.add("/", np.asarray(part.values[name]).astype(str)).astype(object)
    counts = pd.Series(strata).map(pd.Series(strata).value_counts()).to_numpy()
    return np.where(counts < FEWEST_TESTED / fraction, population, strata)


def _said_of(parts: Mapping[str, Examples], is_test: Mapping[str, np.ndarray], drawn: Drawn) -> list[str]:
    """What users of a split must know: that it differs from what was asked for."""
    said = []
    for population, part in parts.items():
        tested, count = int(is_test[population].sum()), len(part.images)
        if part.is_test is None and abs(tested - drawn.test_fraction * count) > max(1, MISSED * count):
            said.append(
                f"{tested:,} of {count:,} {population} examples are for testing, where {drawn.test_fraction:.0%} were "
                "asked for: groups are few or large."
            )
    return said


def _standardised(features: Mapping[str, np.ndarray], is_test: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Both float32 tables with mean 0 and variance 1 over the training rows; columns constant there become 0."""
    training = np.concatenate([features[population][~chosen] for population, chosen in is_test.items()])
    mean, deviation = training.mean(axis=0, dtype=np.float64), training.std(axis=0, dtype=np.float64)
    # A constant column varies only by rounding.
    varies = deviation > 1e-6 * np.abs(mean)
    scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=varies)
    return {population: ((table - mean) * scale).astype(np.float32) for population, table in features.items()}


def _write(
    writer: DatasetWriter,
    parts: Mapping[str, Examples],
    images: Mapping[str, np.ndarray],
    is_test: Mapping[str, np.ndarray],
    attributes: Sequence[Attribute],
) -> None:
    """Both splits, background first, each population in the order given."""
    for split in SPLITS:
        rows = {population: np.flatnonzero(is_test[population] == (split == "test")) for population in parts}
        count = sum(len(chosen) for chosen in rows.values())
        with writer.split(split, count, images["background"].shape[1:], attributes) as out:
            for population, part in parts.items():
                for start in range(0, len(rows[population]), CHUNK_ROWS):
                    chosen = rows[population][start : start + CHUNK_ROWS]
                    values = {name: np.asarray(column)[chosen] for name, column in part.values.items()}
                    texts = [None if c is None else [str(c[row]) for row in chosen] for c in (part.names, part.groups)]
                    out.append(images[population][chosen], population == "target", values, *texts)
