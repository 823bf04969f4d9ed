"""How a data set is written, and the hash of its content. `cabench.data.layout` describes the file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import h5py
import numpy as np

from cabench.data.dataset import Attribute, example_shape
from cabench.data.layout import COUNTS, NON_NEGATIVE, SCALING, SCHEMA, Split, examples, plain, texts
from cabench.files.hdf5 import TEXT, TEXTS, pieces
from cabench.files.json import canonical_json


class SplitWriter:
    """Receives the images of one split, or the rows of its table, chunk by chunk, in their final order."""

    def __init__(
        self, group: h5py.Group, rows: int, image_shape: tuple[int, ...], attributes: Sequence[Attribute]
    ) -> None:
        name, dtype = ("features", np.float32) if len(example_shape(image_shape)) == 1 else ("images", np.uint8)
        self._images = group.create_dataset(name, (rows, *image_shape), dtype)
        self._is_target = group.create_dataset("is_target", (rows,), np.bool_)
        self._missing = 0
        self._values = {}
        values = group.create_group("attributes")
        for position, attribute in enumerate(attributes):
            undefined = attribute.undefined()
            dataset = values.create_dataset(attribute.name, (rows,), undefined.dtype, fillvalue=undefined)
            dataset.attrs.update(space=attribute.space, kind=attribute.kind, position=position)
            if attribute.classes:
                dataset.attrs["classes"] = attribute.classes
            self._values[attribute.name] = dataset
        self._group = group
        self._texts = {kind: np.full(rows, "", object) for kind in TEXTS}
        self._written = 0
        self._rows = rows

    def append(
        self,
        images: np.ndarray,
        is_target: bool,
        attributes: Mapping[str, np.ndarray],
        names: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
    ) -> None:
        """Write the next images, all of one population.

        Args:
            images: uint8 (n, channels, height, width); of a table float32 (n, features), standardised, NaN = missing;
                of a table of counts whole numbers from 0.
            is_target: whether they are target images.
            attributes: (n,) values by name; an attribute that is left out is undefined for these images.
            names: (n,) the name of each in its source.
            groups: (n,) equal for images that belong together.

        Raises:
            ValueError: for anything else, and for more images than were declared.
        """
        start, end = self._written, self._written + len(images)
        if images.dtype != self._images.dtype:
            stored = "uint8 in [0, 255]" if self._images.dtype == np.uint8 else "float32"
            raise ValueError(f"{self._images.name} is stored as {stored}, but {images.dtype} was given.")
        if images.shape[1:] != self._images.shape[1:]:
            raise ValueError(f"{images.shape[1:]} was given where {self._images.shape[1:]} was declared.")
        if images.ndim == 2:
            self._count_missing(images)
        given = {kind: lines for kind, lines in zip(TEXTS, (names, groups), strict=True) if lines is not None}
        counts = {name: len(values) for name, values in attributes.items()} | {k: len(v) for k, v in given.items()}
        for name, count in counts.items():
            if count != len(images):
                raise ValueError(f"{count} values of {name!r} were given for {len(images)} images.")
        if end > self._rows:
            raise ValueError(f"{end} images appended to a split that was declared with {self._rows}.")
        self._images[start:end] = images
        self._is_target[start:end] = is_target
        for name, values in attributes.items():
            self._values[name][start:end] = values
        for kind, lines in given.items():
            self._texts[kind][start:end] = lines
        self._written = end

    def declare_scaling(self, mean: np.ndarray, scale: np.ndarray) -> None:
        """Keep what was taken off the columns of a table, and what they were multiplied by, float64 (features,)."""
        for name, values in zip(SCALING, (mean, scale), strict=True):
            self._group.create_dataset(name, data=values)

    def declare_counts(self) -> None:
        """Say that the features are counts."""
        self._images.attrs["values"] = COUNTS

    def declare_non_negative(self) -> None:
        """Say that the features were all 0 or more before they were standardised; give their scaling too."""
        self._images.attrs["values"] = NON_NEGATIVE

    def _count_missing(self, features: np.ndarray) -> None:
        if np.isinf(features).any():
            raise ValueError("Features must be finite, or NaN where they are missing.")
        self._missing += int(np.isnan(features).sum())

    def finish(self) -> None:
        """Write names and groups, if there are any. Raise ValueError for fewer images than were declared."""
        if self._missing:
            self._images.attrs["missing"] = self._missing
        if self._written != self._rows:
            raise ValueError(f"{self._written} images appended to a split that was declared with {self._rows}.")
        for kind, lines in self._texts.items():
            if lines.any():
                self._group.create_dataset(kind, data=lines, dtype=TEXT)


class DatasetWriter:
    """Writes one data set to an open HDF5 file."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._notes: list[str] = []

    def note(self, *texts: str) -> None:
        """Keep sentences that users of the data must know, e.g. that fewer images were found than wanted."""
        self._notes += texts

    @contextmanager
    def split(
        self, name: Split, rows: int, image_shape: tuple[int, ...], attributes: Sequence[Attribute]
    ) -> Iterator[SplitWriter]:
        """Open a split of `rows` images for writing; exactly that many must be appended inside the block.

        Args:
            name: "train", "test" or "validation".
            rows: how many images, or rows of a table.
            image_shape: (channels, height, width); of a table (features,).
            attributes: in the order in which tables of results show them.
        """
        writer = SplitWriter(self._file.create_group(name), rows, image_shape, attributes)
        yield writer
        writer.finish()

    def finish(
        self, name: str, builder_version: int, config: Mapping[str, object], sources: Sequence[Mapping[str, object]]
    ) -> None:
        """Write the attributes of the file, the content's hash last."""
        if self._notes:
            self._file.attrs["notes"] = canonical_json(self._notes)
        self._file.attrs.update(
            schema=SCHEMA,
            name=name,
            builder_version=builder_version,
            config=canonical_json(config),
            sources=canonical_json(sources),
            content_sha256=content_sha256(self._file),
        )


def content_sha256(file: h5py.File, look_at: Callable[[str, int, np.ndarray], None] | None = None) -> str:
    """SHA-256 of every split's images, populations, attribute values and declarations, and groups if it has any.

    Names are left out: no score depends on them.

    Args:
        file: open for reading, of sound layout.
        look_at: called with the images or features while they are read: split, index of the first row, rows.
    """
    result = hashlib.sha256()
    for split in sorted(file):
        group = file[split]
        values = group["attributes"]
        shown = examples(group)
        for dataset in (shown, group["is_target"], *(values[name] for name in sorted(values))):
            declared = {key: plain(value) for key, value in dataset.attrs.items()}
            result.update(canonical_json([dataset.name, list(dataset.shape), str(dataset.dtype), declared]).encode())
            for start, rows in pieces(dataset):
                result.update(np.ascontiguousarray(rows).data)
                if look_at is not None and dataset == shown:
                    look_at(split, start, rows)
        for name in SCALING:
            if name in group:
                result.update(canonical_json([group[name].name, group[name][:].tolist()]).encode())
        if "groups" in group:
            result.update(
                canonical_json(
                    [group["groups"].name, texts(group, "groups", len(group["is_target"])).tolist()]
                ).encode()
            )
    return result.hexdigest()
