"""Examples of one population as arrays, and what they must be before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cabench.data.dataset import Attribute
from cabench.data.layout import is_storable
from cabench.errors import UserError

LARGEST_COUNT = 2**24  # up to it, float32 holds every whole number
LARGEST = float(np.finfo(np.float32).max)
PIECE = 1000  # rows looked at, or written, at a time: 3 MB of 32 x 32 colour


@dataclass(frozen=True)
class Examples:
    """Examples of one population.

    Attributes:
        images: uint8 (n, channels, height, width) in [0, 255], 1 or 3 channels; or a table of features, float32 or
            float64 (n, d), NaN = missing.
        values: by attribute, (n,) class indices (-1 = undefined) or real numbers (NaN = undefined). An attribute that
            is left out is undefined for all of them.
        groups: (n,) equal for examples that must stay on one side of the split, such as the subject; whole numbers or
            text. None if examples are independent. The file keeps them, and evaluations take groups, not examples, as
            what was sampled.
        is_test: bool (n,), if the split is given; it is given for both populations or for none.
        names: (n,) the name of each example in its source, such as its file; "" = none. The file keeps them, so that
            results can be joined to examples.
        is_validation: bool (n,), the examples that are neither trained nor tested on, but kept for choosing settings;
            given with `is_test`.
    """

    images: np.ndarray
    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    groups: Sequence[object] | np.ndarray | None = None
    is_test: np.ndarray | None = None
    names: Sequence[str] | None = None
    is_validation: np.ndarray | None = None

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.images)

    @property
    def is_table(self) -> bool:
        """Whether the examples are rows of features."""
        return self.images.ndim == 2


def check_examples(parts: Mapping[str, Examples], features: Sequence[str], counts: bool) -> None:
    """Refuse arrays of another kind, and populations that differ in it.

    Args:
        parts: background and target by name.
        features: names of the columns of a table, for messages; may be empty.
        counts: whether features are declared as counts.

    Raises:
        UserError: saying what is wrong, and of which example.
    """
    for population, part in parts.items():
        images = part.images
        if not isinstance(images, np.ndarray):
            raise UserError(f"The {population} images are a {type(images).__name__}, not a NumPy array.")
        is_image = images.dtype == np.uint8 and images.ndim == 4 and images.shape[1] in (1, 3)
        is_table = images.dtype in (np.float32, np.float64) and images.ndim == 2
        if not (is_image or is_table) or 0 in images.shape[1:]:
            raise UserError(
                f"The {population} images are {images.dtype} of shape {images.shape}; wanted are uint8 "
                "(n, channels, height, width) with 1 or 3 channels, or features as float32 or float64 (n, d)."
            )
        if len(images) == 0:
            raise UserError(f"There are no {population} images; contrastive analysis needs both populations.")
        if is_table:
            _check_features(population, part, features, counts)
        elif counts:
            raise UserError(f"The {population} images are images, not counts; counts are float32 or float64 (n, d).")
        columns = (
            ("groups", part.groups),
            ("is_test", part.is_test),
            ("is_validation", part.is_validation),
            ("names", part.names),
        )
        for what, column in columns:
            if column is not None and len(column) != len(images):
                raise UserError(f"{population}: {len(column)} {what} were given for {len(images)} images.")
        for row, name in enumerate(part.names if part.names is not None else ()):
            if not is_storable(str(name)):
                raise UserError(
                    f"The name of {population} image {row} is {name!r:.60}; names are short, printable texts."
                )
    background, target = (part.images for part in parts.values())
    if background.shape[1:] != target.shape[1:]:
        raise UserError(
            f"Background examples have shape {background.shape[1:]}, target examples {target.shape[1:]}; make them "
            "alike."
        )
    if background.dtype != target.dtype:
        raise UserError(f"Background examples are {background.dtype}, target examples {target.dtype}; make them alike.")


def _check_features(population: str, part: Examples, features: Sequence[str], counts: bool) -> None:
    """Features are missing or what float32 can hold; counts are whole numbers from 0."""
    for start in range(0, len(part), PIECE):
        rows = part.images[start : start + PIECE]
        wrong, wanted = (
            np.abs(rows) > LARGEST,
            f"numbers are from -{LARGEST:.1e} to {LARGEST:.1e}, and NaN where missing",
        )
        if counts:
            with np.errstate(invalid="ignore"):
                wrong |= (rows < 0) | (rows > LARGEST_COUNT) | ((np.floor(rows) != rows) & ~np.isnan(rows))
            wanted = f"counts are whole numbers from 0 to {LARGEST_COUNT:,}"
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            name = features[column] if len(features) else f"Feature {column}"
            raise UserError(f"{name} of {called(part, population, start + row)} is {rows[row, column]:g}; {wanted}.")


def check_values(population: str, part: Examples, attributes: Sequence[Attribute]) -> None:
    """Refuse values that attributes do not allow.

    Raises:
        UserError: naming the attribute and, where it is one, the example.
    """
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
                f"{attribute.name!r} of {called(part, population, row)} is {values[row]}, which "
                + ("names no class." if attribute.kind == "class" else "is not finite.")
            )
        if attribute.space == "salient" and population == "background" and attribute.is_defined(values).any():
            row = int(attribute.is_defined(values).argmax())
            raise UserError(
                f"The salient attribute {attribute.name!r} has a value for {called(part, population, row)}, but what "
                "is salient is undefined for background images; leave it out there."
            )


def called(part: Examples, population: str, row: int) -> str:
    """What messages call an example, such as "target image 'scan-3'"."""
    example = "row" if part.is_table else "image"
    return f"{population} {example} {row if part.names is None else repr(part.names[row])}"
