"""Representations from anywhere, as plain arrays, checked before they are measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cabench.data.dataset import IS_TARGET, OWNERS, SPACES, Attribute
from cabench.errors import UserError, unknown
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit


@dataclass(frozen=True)
class Vectors:
    """Representations of the images of one split, from wherever they come.

    Attributes:
        is_target: bool (n,), which rows are of target images.
        values: by attribute, (n,) class indices (-1 = undefined) or numbers (NaN = undefined). Salient attributes are
            read of target rows alone; an attribute that is left out is undefined everywhere.
        common: (n, d_common) numbers; None where there is no common space. They are rounded to float32.
        salient: (n, d_salient) likewise.
        groups: (n,) text, equal for images that belong together, such as one subject's; "" or None where none is known.
    """

    is_target: np.ndarray
    values: Mapping[str, np.ndarray]
    common: np.ndarray | None = None
    salient: np.ndarray | None = None
    groups: np.ndarray | None = None

    def encoded(self, attributes: Sequence[Attribute], split: str) -> EncodedSplit:
        """The same by population, float32.

        Args:
            attributes: what is known of the images.
            split: what messages call the rows, such as "train".

        Raises:
            UserError: for arrays of another kind, shape or number of rows, and for vectors that are not finite.
        """
        is_target = np.asarray(self.is_target)
        if is_target.dtype != np.bool_ or is_target.ndim != 1:
            raise UserError(f"{split} is_target is {is_target.dtype} of shape {is_target.shape}; wanted is bool (n,).")
        given = {space: array for space in SPACES if (array := getattr(self, space)) is not None}
        if not given:
            raise UserError(f"There are no {split} vectors; give common vectors, salient ones or both.")
        spaces = {space: _vectors(f"{split}_{space}", array, len(is_target)) for space, array in given.items()}
        values = {attribute.name: _values(self.values, attribute, split, len(is_target)) for attribute in attributes}
        groups = _groups(self.groups, split, len(is_target))
        return EncodedSplit(
            *(
                EncodedPopulation(
                    {space: array[rows] for space, array in spaces.items()},
                    {name: column[rows] for name, column in values.items()},
                    groups[rows],
                )
                for rows in (~is_target, is_target)
            )
        )


def check_alike(train: EncodedSplit, test: EncodedSplit) -> None:
    """Refuse splits that cannot come from one encoder.

    Raises:
        UserError: where they differ in their spaces or the number of columns.
    """
    shapes = [{space: array.shape[1] for space, array in split.target.spaces.items()} for split in (train, test)]
    for space in SPACES:
        columns = [shape.get(space) for shape in shapes]
        if columns[0] != columns[1]:
            said = ["none" if count is None else f"{count} columns" for count in columns]
            raise UserError(f"Of {space} vectors, train has {said[0]} and test {said[1]}; encode both splits alike.")


def check_attributes(attributes: Sequence[Attribute]) -> None:
    """Refuse attributes that no data set could have.

    Raises:
        UserError: naming the first of an unknown kind or space, of a name that is taken, or given twice.
    """
    names = [attribute.name for attribute in attributes]
    for attribute in attributes:
        for what, allowed in (("space", OWNERS), ("kind", ("class", "real"))):
            if getattr(attribute, what) not in allowed:
                raise unknown(f"{what} of {attribute.name!r}", getattr(attribute, what), allowed)
        if attribute.name == IS_TARGET:
            raise UserError(f"{IS_TARGET!r} is what tables call target against background; choose another name.")
        if names.count(attribute.name) > 1:
            raise UserError(f"The attribute {attribute.name!r} is given twice; give it once.")


def check_groups(train: EncodedSplit, test: EncodedSplit) -> None:
    """Refuse groups that lie in both splits: what is read of a known subject may be its identity.

    Raises:
        UserError: naming one.
    """
    shared = sorted(set(train.group_names) & set(test.group_names) - {""})
    if shared:
        raise UserError(
            f"{len(shared)} groups, such as {shared[0]!r}, have rows in the training and in the test split; keep the "
            "rows of a group in one split, or give groups that do not meet."
        )


def _vectors(name: str, array: np.ndarray, rows: int) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype.kind not in "fiu" or array.ndim != 2 or array.shape[1] == 0:
        raise UserError(f"{name} is {array.dtype} of shape {array.shape}; wanted are numbers of shape (n, d).")
    if len(array) != rows:
        raise UserError(f"{name} has {len(array)} rows for {rows} images; give one row an image.")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        row = int((~np.isfinite(array)).any(axis=1).argmax())
        raise UserError(f"{name} holds a value in row {row} that is no finite float32 number; check the encoder.")
    return array


def _groups(groups: np.ndarray | None, split: str, rows: int) -> np.ndarray:
    if groups is None:
        return np.full(rows, "", object)
    texts = np.asarray(groups)
    if texts.shape != (rows,) or texts.dtype.kind not in "UO" or not all(isinstance(text, str) for text in texts):
        raise UserError(
            f"The {split} groups are {texts.dtype} of shape {texts.shape}; wanted is text of shape ({rows},)."
        )
    return texts.astype(object)


def _values(values: Mapping[str, np.ndarray], attribute: Attribute, split: str, rows: int) -> np.ndarray:
    undefined = attribute.undefined()
    if attribute.name not in values:
        return np.full(rows, undefined)
    column = np.asarray(values[attribute.name])
    wanted = "iu" if attribute.kind == "class" else "iuf"
    if column.shape != (rows,) or column.dtype.kind not in wanted:
        kind = "class indices" if attribute.kind == "class" else "numbers"
        raise UserError(
            f"The {split} values of {attribute.name!r} are {column.dtype} of shape {column.shape}; wanted are {kind} "
            f"of shape ({rows},)."
        )
    if attribute.kind == "class" and len(column) and not -1 <= column.min() <= column.max() < len(attribute.classes):
        raise UserError(
            f"The {split} values of {attribute.name!r} lie from {column.min()} to {column.max()}; class indices of it "
            f"are 0 to {len(attribute.classes) - 1}, and -1 where it is undefined."
        )
    return column.astype(undefined.dtype)
