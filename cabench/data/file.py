"""The HDF5 file that a data set is: how it is written, read and hashed. `cabench.data.checks` verifies it.

/                     attrs: schema, name, builder_version, config (JSON), sources (JSON), content_sha256;
                      notes (JSON list of sentences) where the builder had something to tell
/<split>/images       uint8 (n, channels, height, width)
/<split>/features     float32 (n, features), finite, in place of images: a data set of feature tables, whose columns are
                      standardised by mean and standard deviation over the training rows
/<split>/is_target    bool (n,)
/<split>/attributes/<attribute>   (n,) int64 class index, -1 = undefined; or float64, NaN = undefined
    attrs: space = "common" | "salient", kind = "class" | "real", classes = [...] (no such attr where kind is "real"),
        position = place in tables, from 0
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import torch
from typing_extensions import TypedDict

from cabench.data.dataset import Attribute, ContrastiveDataset, DatasetInfo, Population, example_shape
from cabench.errors import UserError
from cabench.files.hdf5 import UNREADABLE, check_contents
from cabench.files.json import canonical_json, check_tree, parse_json
from cabench.hardening.trial import try_reading

SCHEMA = 1
Split = Literal["train", "test"]
SPLITS: tuple[Split, Split] = ("train", "test")
CHUNK_ROWS = 1000  # images copied or hashed at a time: 3 MB of 32 x 32 colour, 150 MB of 224 x 224


class SplitWriter:
    """Receives the images of one split, or the rows of its table, chunk by chunk, in their final order."""

    def __init__(
        self, group: h5py.Group, rows: int, image_shape: tuple[int, ...], attributes: Sequence[Attribute]
    ) -> None:
        name, dtype = ("features", np.float32) if len(example_shape(image_shape)) == 1 else ("images", np.uint8)
        self._images = group.create_dataset(name, (rows, *image_shape), dtype)
        self._is_target = group.create_dataset("is_target", (rows,), np.bool_)
        self._values = {}
        values = group.create_group("attributes")
        for position, attribute in enumerate(attributes):
            undefined = attribute.undefined()
            dataset = values.create_dataset(attribute.name, (rows,), undefined.dtype, fillvalue=undefined)
            dataset.attrs.update(space=attribute.space, kind=attribute.kind, position=position)
            if attribute.classes:
                dataset.attrs["classes"] = attribute.classes
            self._values[attribute.name] = dataset
        self._written = 0
        self._rows = rows

    def append(self, images: np.ndarray, is_target: bool, attributes: Mapping[str, np.ndarray]) -> None:
        """Write the next images, all of one population.

        Args:
            images: uint8 (n, channels, height, width); of a table float32 (n, features), finite and standardised.
            is_target: whether they are target images.
            attributes: (n,) values by name; an attribute that is left out is undefined for these images.

        Raises:
            ValueError: for anything else, and for more images than were declared.
        """
        start, end = self._written, self._written + len(images)
        if images.dtype != self._images.dtype:
            stored = "uint8 in [0, 255]" if self._images.dtype == np.uint8 else "float32"
            raise ValueError(f"{self._images.name} is stored as {stored}, but {images.dtype} was given.")
        if images.shape[1:] != self._images.shape[1:]:
            raise ValueError(f"{images.shape[1:]} was given where {self._images.shape[1:]} was declared.")
        if images.ndim == 2 and not np.isfinite(images).all():
            raise ValueError("Features must be finite.")
        for name, values in attributes.items():
            if len(values) != len(images):
                raise ValueError(f"{len(values)} values of {name!r} were given for {len(images)} images.")
        if end > self._rows:
            raise ValueError(f"{end} images appended to a split that was declared with {self._rows}.")
        self._images[start:end] = images
        self._is_target[start:end] = is_target
        for name, values in attributes.items():
            self._values[name][start:end] = values
        self._written = end

    def check_complete(self) -> None:
        """Raise ValueError when fewer images were appended than were declared."""
        if self._written != self._rows:
            raise ValueError(f"{self._written} images appended to a split that was declared with {self._rows}.")


class DatasetWriter:
    """Writes one data set to an open HDF5 file."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._notes: list[str] = []

    def note(self, text: str) -> None:
        """Keep a sentence that whoever uses the data must know, e.g. that fewer images were found than wanted."""
        self._notes.append(text)

    @contextmanager
    def split(
        self, name: Split, rows: int, image_shape: tuple[int, ...], attributes: Sequence[Attribute]
    ) -> Iterator[SplitWriter]:
        """Open a split of `rows` images for writing; exactly that many must be appended inside the block.

        Args:
            name: "train" or "test".
            rows: how many images, or rows of a table.
            image_shape: (channels, height, width); of a table (features,).
            attributes: in the order in which tables of results show them.
        """
        writer = SplitWriter(self._file.create_group(name), rows, image_shape, attributes)
        yield writer
        writer.check_complete()

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


def examples(split: h5py.Group) -> h5py.Dataset:
    """The images of a split or, in a data set of feature tables, its features."""
    return split["features"] if "features" in split else split["images"]


def content_sha256(file: h5py.File) -> str:
    """SHA-256 of every split's images, populations, attribute values and attribute declarations."""
    result = hashlib.sha256()
    for split in sorted(file):
        group = file[split]
        values = group["attributes"]
        datasets = [examples(group), group["is_target"], *(values[name] for name in sorted(values))]
        for dataset in datasets:
            declared = {key: _plain(value) for key, value in dataset.attrs.items()}
            result.update(canonical_json([dataset.name, list(dataset.shape), str(dataset.dtype), declared]).encode())
            for start in range(0, len(dataset), CHUNK_ROWS):
                result.update(np.ascontiguousarray(dataset[start : start + CHUNK_ROWS]).tobytes())
    return result.hexdigest()


@dataclass(frozen=True)
class DatasetFile:
    """A built data set on disk.

    Attributes:
        path: the HDF5 file.
        info: what it holds.
    """

    path: Path
    info: DatasetInfo

    @classmethod
    def open(cls, path: Path) -> DatasetFile:
        """Read the description of a data set file.

        Raises:
            UserError: when the file is missing, is no HDF5 file, or does not follow the layout above.
        """
        if not path.is_file():
            raise UserError(f"There is no data set file {path}; check the path or build the data set first.")
        try:
            with h5py.File(path, "r") as file:
                check_contents(file)
                _check_arrays(file)
                return cls(path, _read_info(file))
        except UNREADABLE as error:
            raise UserError(
                f"{path} is not a data set file of cabench ({error}); `cabench data verify {path}` says all that is "
                "wrong with it. Delete it and build or write it again."
            ) from error

    @classmethod
    def open_from_elsewhere(cls, path: Path) -> DatasetFile:
        """Open a file that cabench did not write into its own folders, once another process has read it as a trial.

        Raises:
            UserError: as `open`, and when the other process died of it.
        """
        try_reading(path)
        return cls.open(path)

    def read(self, split: Split) -> ContrastiveDataset:
        """Read one split into memory: its images, once, and a constant."""
        with h5py.File(self.path, "r") as file:
            is_target = file[split]["is_target"][:]
            images = [_read_images(examples(file[split]), is_target == flag) for flag in (False, True)]
        attributes = self.read_attributes(split)
        return ContrastiveDataset(self.info, *map(Population, images, attributes))

    def read_attributes(self, split: Split) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The attributes of background and of target images, by name, as in `Population`; images stay on disk."""
        with h5py.File(self.path, "r") as file:
            is_target = file[split]["is_target"][:]
            attributes = {name: values[:] for name, values in file[split]["attributes"].items()}
        background, target = (
            {name: values[is_target == flag] for name, values in attributes.items()} for flag in (False, True)
        )
        return background, target

    def check_content(self) -> None:
        """Compute the content's hash, as before days of work rest on it. A gigabyte takes a few seconds.

        Raises:
            UserError: when it is another than the file says, or the file cannot be read to its end.
        """
        try:
            with h5py.File(self.path, "r") as file:
                if content_sha256(file) == self.info.content_sha256:
                    return
                reason = "its content has another hash than when it was written"
        except UNREADABLE as error:
            reason = str(error)
        raise UserError(f"{self.path} is damaged ({reason}); delete it, and it is built again.")

    def verify(self) -> None:
        """Check the file as `cabench.data.checks` does; warnings are not told.

        Raises:
            UserError: for the first error, and with how many others there are.
        """
        from cabench.data.checks import check_file  # Late: it reads files through this module.

        errors = check_file(self.path).errors
        if errors:
            raise UserError(errors[0] + (f" ({len(errors) - 1} more errors.)" if len(errors) > 1 else ""))


class TitledSource(TypedDict):
    """An entry of the attribute `sources`, of which the title alone is read again."""

    title: str


def _check_arrays(file: h5py.File) -> None:
    """Raise ValueError for arrays of other types or numbers of rows than the layout says."""
    for split in SPLITS:
        group = file[split]
        rows, attributes = examples(group), group["attributes"].values()
        wanted = [(rows, *(("float32", 2) if "features" in group else ("uint8", 4))), (group["is_target"], "bool", 1)]
        wanted += [(values, "float64" if values.attrs["kind"] == "real" else "int64", 1) for values in attributes]
        for array, kind, dimensions in wanted:
            if array.dtype != kind or array.ndim != dimensions or len(array) != len(rows):
                raise ValueError(
                    f"{array.name} is {array.dtype} of shape {array.shape}, where {len(rows)} rows of {kind} in "
                    f"{dimensions} dimension{'s' if dimensions > 1 else ''} are wanted"
                )
    train, test = (file[split] for split in SPLITS)
    if examples(train).shape[1:] != examples(test).shape[1:]:
        raise ValueError(f"{examples(test).name} holds examples of another shape than {examples(train).name}")
    first, second = _declarations(train), _declarations(test)
    for name in sorted(first.keys() | second.keys()):
        if first.get(name) != second.get(name):
            raise ValueError(f"{test.name}/attributes/{name} is declared differently from {train.name}")


def _declarations(split: h5py.Group) -> dict[str, Attribute]:
    return {name: _read_attribute(name, values) for name, values in split["attributes"].items()}


def _read_info(file: h5py.File) -> DatasetInfo:
    if file.attrs["schema"] != SCHEMA:
        raise ValueError(f"schema {file.attrs['schema']}, expected {SCHEMA}")
    attributes = file["train/attributes"]
    names = sorted(attributes, key=lambda name: (int(attributes[name].attrs.get("position", 0)), name))
    check_tree(file.attrs["name"])
    sources = [source["title"] for source in parse_json(file.attrs["sources"], list[TitledSource])]
    return DatasetInfo(
        name=str(file.attrs["name"]),
        builder_version=int(file.attrs["builder_version"]),
        config=parse_json(file.attrs["config"], dict[str, Any]),
        content_sha256=str(file.attrs["content_sha256"]),
        sources=tuple(dict.fromkeys(sources)),
        image_shape=example_shape(examples(file["train"]).shape[1:]),
        attributes=tuple(_read_attribute(name, attributes[name]) for name in names),
        counts={split: _count(file[split]["is_target"][:]) for split in SPLITS},
        notes=parse_json(file.attrs.get("notes", "[]"), tuple[str, ...]),
    )


def _read_attribute(name: str, dataset: h5py.Dataset) -> Attribute:
    space, kind = dataset.attrs["space"], dataset.attrs["kind"]
    if space not in ("common", "salient") or kind not in ("class", "real"):
        raise ValueError(f"attribute {name} declares space {space!r} and kind {kind!r}")
    declared = dataset.attrs.get("classes", ())
    classes = tuple(declared)
    check_tree(list(classes))
    if isinstance(declared, str) or not all(isinstance(label, str) for label in classes):
        raise ValueError(f"attribute {name} declares classes that are not text")
    return Attribute(name, space, kind, classes)


def _count(is_target: np.ndarray) -> dict[str, int]:
    targets = int(is_target.sum())
    return {"background": len(is_target) - targets, "target": targets}


def _read_images(dataset: h5py.Dataset, wanted: np.ndarray) -> torch.Tensor:
    images = np.empty((int(wanted.sum()), *dataset.shape[1:]), np.uint8 if dataset.ndim == 4 else np.float32)
    filled = 0
    for start in range(0, len(dataset), CHUNK_ROWS):
        chunk = dataset[start : start + CHUNK_ROWS][wanted[start : start + CHUNK_ROWS]]
        images[filled : filled + len(chunk)] = chunk
        filled += len(chunk)
    return torch.from_numpy(images)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value
