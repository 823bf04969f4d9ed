"""What to read of HDF5 files that other programs write for their own ends, and may hold anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import h5py

from cabench.files.hdf5 import LARGEST_RATIO, check_storage

DEEPEST = 8  # links from a place to an array
MOST = 100_000  # arrays and groups


Item: TypeAlias = h5py.Group | h5py.Dataset


def items_below(file: h5py.File, places: Sequence[str]) -> list[Item]:
    """Every group, and every array of numbers or texts, at or below some places of a file.

    What holds other things, such as compounds or single values, is passed over.

    Args:
        file: open for reading.
        places: paths from the root; those that the file lacks are passed over.

    Raises:
        ValueError: for a link, an array that is kept in other files or compressed by a filter that is not installed,
            and more or larger arrays than a file of this length can hold.
    """
    found: dict[object, Item] = {}
    left = [(_reached(file, place), f"/{place}", 0) for place in places if place in file]
    declared = 0
    while left:
        item, place, depth = left.pop()
        identity = h5py.h5o.get_info(item.id).addr
        if identity in found:
            continue
        if depth > DEEPEST or len(found) > MOST:
            raise ValueError(f"{place} is nested too deep, or holds too much")
        if isinstance(item, h5py.Group):
            left += [(_linked(item, name, place), f"{place}/{name}", depth + 1) for name in item]
        elif isinstance(item, h5py.Dataset) and item.shape and (item.dtype.kind in "buif" or is_text(item)):
            check_storage(item, place)
            declared += int(item.size) * item.dtype.itemsize
        else:
            continue
        found[identity] = item
    if declared > LARGEST_RATIO * file.id.get_filesize():
        raise ValueError(f"it declares {declared:,} bytes of arrays, far more than it has")
    return list(found.values())


def is_text(dataset: h5py.Dataset) -> bool:
    """Whether an array holds text, of any length."""
    return h5py.check_string_dtype(dataset.dtype) is not None


def _reached(file: h5py.File, place: str) -> Item:
    """What is at a place, without following a link on the way."""
    item: Item = file
    for name in place.split("/"):
        item = _linked(item, name, f"/{place}")
    return item


def _linked(group: h5py.Group, name: str, place: str) -> Item:
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{place} is or holds a link to somewhere else, {name!r}")
    item: Item = group[name]
    return item
