"""A data set on disk: opened, read and checked. `cabench.data.layout` describes the file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch

from cabench.data.cache import cache_folder
from cabench.data.checks import check_file
from cabench.data.dataset import ContrastiveDataset, DatasetInfo, Population, example_shape
from cabench.data.layout import SCALING, SPLITS, Findings, Split, TitledSource, check_layout, examine, examples, texts
from cabench.data.scaling import Scale
from cabench.data.writing import content_sha256
from cabench.errors import UserError
from cabench.files.hdf5 import UNREADABLE, pieces, reading_hdf5
from cabench.files.json import parse_json
from cabench.hardening.trial import try_reading


class Rows(NamedTuple):
    """Names and groups of the examples of one population.

    Attributes:
        names: (n,) text, the name of each in its source; "" = none.
        groups: (n,) text, equal for examples that belong together, such as one subject's; "" = none.
    """

    names: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class DatasetFile:
    """A built data set on disk.

    Attributes:
        path: the HDF5 file.
        info: what it holds.
        verified: the state of the file when all of it was found sound; None if that was not checked.
    """

    path: Path
    info: DatasetInfo
    verified: tuple[int, ...] | None = field(default=None, compare=False)

    @classmethod
    def open(cls, path: Path) -> DatasetFile:
        """Read the description of a data set file.

        Raises:
            UserError: when the file is missing, in use, no HDF5 file, or does not follow the layout.
        """
        info, findings = examine(path, _describe)
        if info is not None:
            return cls(path, info)
        raise UserError(
            f"{findings.errors[0]} {path.name} is not a data set file of cabench, or damaged; `cabench data verify "
            f"{path}` says all that is wrong with it. {_remedy(path)}"
        )

    @classmethod
    def open_from_elsewhere(cls, path: Path) -> DatasetFile:
        """Open a file that cabench did not write into its own folders, after another process has read it as a trial.

        Raises:
            UserError: as `open`, and when the other process died while reading.
        """
        try_reading(path)
        return cls.open(path)

    def read(self, split: Split) -> ContrastiveDataset:
        """Read one split. It takes the memory of its images, once, and a constant."""
        with reading_hdf5(self.path) as file:
            images = _read_images(examples(file[split]), file[split]["is_target"][:])
        attributes = self.read_attributes(split)
        return ContrastiveDataset(self.info, *map(Population, images, attributes))

    def read_attributes(self, split: Split) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The attributes of background and of target images, by name, as in `Population`; images stay on disk."""
        with reading_hdf5(self.path) as file:
            is_target = file[split]["is_target"][:]
            attributes = {name: values[:] for name, values in file[split]["attributes"].items()}
        background, target = (
            {name: values[is_target == flag] for name, values in attributes.items()} for flag in (False, True)
        )
        return background, target

    def read_scale(self) -> Scale | None:
        """The scale of a table's columns; None where the file keeps none."""
        with reading_hdf5(self.path) as file:
            train = file["train"]
            kept = [torch.from_numpy(train[name][:]) for name in SCALING if name in train]
        return Scale(*kept) if len(kept) == len(SCALING) else None

    def read_rows(self, split: Split) -> tuple[Rows, Rows]:
        """Names and groups of background and of target examples, in the order of `read`."""
        with reading_hdf5(self.path) as file:
            is_target = file[split]["is_target"][:]
            columns = [texts(file[split], kind, len(is_target)) for kind in Rows._fields]
        background, target = (Rows(*(column[is_target == flag] for column in columns)) for flag in (False, True))
        return background, target

    def read_all_rows(self) -> dict[Split, tuple[Rows, Rows]]:
        """Likewise for both splits."""
        return {split: self.read_rows(split) for split in SPLITS}

    def check_content(self) -> None:
        """Check the content's hash before long work; a verified file is not checked again.

        A gigabyte takes a few seconds.

        Raises:
            UserError: when it differs from the one in the file, or the file cannot be read to its end.
        """
        if self.verified == _state(self.path):
            return
        try:
            with reading_hdf5(self.path) as file:
                if content_sha256(file) == self.info.content_sha256:
                    return
                reason = "its content has another hash than when it was written"
        except UNREADABLE as error:
            reason = str(error)
        raise UserError(f"{self.path} is damaged ({reason}). {_remedy(self.path)}")

    def verify(self) -> DatasetFile:
        """Check the file as `cabench.data.checks` does, and return it as verified; warnings are dropped.

        Raises:
            UserError: for the first error, with the number of others.
        """
        state = _state(self.path)
        errors = check_file(self.path).errors
        if errors:
            raise UserError(errors[0] + (f" ({len(errors) - 1} more errors.)" if len(errors) > 1 else ""))
        return replace(self, verified=state)


def _remedy(path: Path) -> str:
    """What to do about a damaged file. Only what cabench built into its own cache is ever deleted on advice."""
    if path.resolve().is_relative_to(cache_folder().resolve() / "datasets"):
        return "Delete it, and it is built again."
    return "Import or write it again, or get another copy."


def _state(path: Path) -> tuple[int, ...]:
    """What changes when somebody writes to a file."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _describe(file: h5py.File, findings: Findings) -> DatasetInfo | None:
    splits = check_layout(file, findings)
    if findings.errors:
        return None
    attrs, train = file.attrs, splits[0]
    sources = [source["title"] for source in parse_json(attrs["sources"], list[TitledSource])]
    return DatasetInfo(
        name=attrs["name"],
        builder_version=int(attrs["builder_version"]),
        config=parse_json(attrs["config"], dict[str, Any]),
        content_sha256=attrs["content_sha256"],
        sources=tuple(dict.fromkeys(sources)),
        image_shape=example_shape(train.examples.shape[1:]),
        attributes=tuple(train.attributes.values()),
        counts={split.name: _count(split.is_target) for split in splits},
        notes=parse_json(attrs.get("notes", "[]"), tuple[str, ...]),
        are_counts=train.are_counts,
        non_negative=train.non_negative,
        missing=sum(split.missing for split in splits) / sum(split.examples.size for split in splits),
    )


def _count(is_target: np.ndarray) -> dict[str, int]:
    targets = int(is_target.sum())
    return {"background": len(is_target) - targets, "target": targets}


def _read_images(dataset: h5py.Dataset, is_target: np.ndarray) -> list[torch.Tensor]:
    """Images of the background and of the target, in one pass over the file."""
    images = [np.empty((int((is_target == flag).sum()), *dataset.shape[1:]), dataset.dtype) for flag in (False, True)]
    filled = [0, 0]
    for start, rows in pieces(dataset):
        here = is_target[start : start + len(rows)]
        for flag in (False, True):
            chosen = rows[here == flag]
            images[flag][filled[flag] : filled[flag] + len(chosen)] = chosen
            filled[flag] += len(chosen)
    return [torch.from_numpy(part) for part in images]
