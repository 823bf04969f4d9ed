"""Features of a pretrained network in place of images: a table made of another data set, frozen and pooled.

`of` names the data set, `backbone` the network: `cabench.datasets.sources.backbones` says which there are, what is read
from them and how images are prepared. Columns are standardised by mean and standard deviation of the training rows;
those that are constant there become 0. Everything else, such as attributes, names, groups and splits, is that of the
other data set, in its order, background first.

On the processor the table is the same to the bit, however many cores compute it; other kinds of processors and GPUs
round differently. The network, the hash of its weights and the preparation of images are in the file's sources and
notes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import h5py
import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn

from cabench import discovery
from cabench.config import setting
from cabench.data.builder import DatasetBuilder, DatasetProvider
from cabench.data.dataset import Attribute
from cabench.data.derived import DerivedConfig
from cabench.data.file import DatasetFile
from cabench.data.importing.standardising import Standardisation
from cabench.data.layout import SPLITS, VALIDATION, Split, texts
from cabench.data.named_files import without_folders
from cabench.data.progress import shown
from cabench.data.sources import Source
from cabench.data.writing import DatasetWriter
from cabench.datasets.sources.backbones import find_backbone, find_weights, load_network, locate_weights
from cabench.datasets.sources.extraction import BATCH, Extractor
from cabench.errors import UserError
from cabench.files.hdf5 import TEXTS
from cabench.files.json import parse_json


@dataclass(frozen=True)
class FeaturesConfig(DerivedConfig):
    """Of which images, by which network."""

    backbone: str = setting("efficientnet_lite0", help="efficientnet_lite0 or a classification model of torchvision")
    weights_path: str = setting("", help="file of the network's state dict; where it is not set, the published weights")
    size: int = setting(
        0, at_least=0, at_most=1024, help="height and width that images are scaled to, in pixels; 0 for a fitting one"
    )
    device: Literal["cpu", "cuda"] = setting("cpu", help="where to compute; bits differ between the two")


@dataclass(frozen=True)
class _Origin(Source):
    """The data set of images, identified by its content."""

    file: DatasetFile = field(kw_only=True)

    def identity(self) -> dict[str, object]:
        """Title and content hash."""
        return {"title": self.title, "sha256": [self.file.info.content_sha256]}

    def provenance(self) -> list[dict[str, object]]:
        """One entry, which holds those of the data set."""
        info = self.file.info
        with h5py.File(self.file.path, "r") as file:
            sources = parse_json(file.attrs["sources"], list[dict[str, Any]])
        known = {
            "config": without_folders(info.config),
            "builder_version": info.builder_version,
            "sources": [without_folders(source) for source in sources],
        }
        return [{"title": self.title, "content_sha256": info.content_sha256, **known}]


class _Form(NamedTuple):
    """What all splits of a table of features have alike.

    Attributes:
        attributes: those of the images.
        learned: how features are standardised.
        non_negative: whether no training row had a feature below 0, as of networks that end in a ReLU.
    """

    attributes: Sequence[Attribute]
    learned: Standardisation
    non_negative: bool


class Features(DatasetBuilder):
    """Computes a table of features; see the module."""

    name = "features"
    version = 3
    Config = FeaturesConfig
    config: FeaturesConfig

    def find(self, root: Path | None) -> DatasetFile | None:
        """See `DatasetBuilder`; None also while the data set of images or the weights are missing."""
        origin = self._provider().find(root)
        weights = find_weights(find_backbone(self.config.backbone), self.config.weights_path)
        if origin is None or weights is None:
            return None
        path = self.cached_path([_source(origin), weights])
        return self.open_cached(path) if path.exists() else None

    def locate(self, root: Path | None) -> Sequence[Source]:
        """The data set of images, built now if it is not there, and the weights, downloaded likewise."""
        self._check_device()
        weights = locate_weights(find_backbone(self.config.backbone), self.config.weights_path)
        return [_source(self._provider().obtain(root)), weights]

    def build(self, sources: Sequence[Source], writer: DatasetWriter) -> None:
        """Write every split that the data set of images has. The training table is held in memory, nothing else is."""
        origin, weights = sources
        assert isinstance(origin, _Origin)
        origin.file.check_content()
        info, backbone = origin.file.info, find_backbone(self.config.backbone)
        size = self.config.size or backbone.input_size(info.image_shape)
        network = load_network(backbone, weights.files[0], size)
        extractor = Extractor(network, backbone, size, torch.device(self.config.device))
        (entry,) = weights.provenance()
        writer.note(
            *info.notes,
            f"Rows are pooled features of {backbone.name}, weights of SHA-256 {entry['sha256']}, of "
            f"{backbone.describe(size)}. Columns are standardised over the training rows.",
        )
        with h5py.File(origin.file.path, "r") as file:
            splits = [file[name] for name in (*SPLITS, VALIDATION) if name in file]
            total = sum(len(split["is_target"]) for split in splits)
            columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            with shown("Computing", f"features of {info.name}", total, 0, columns) as advance:
                train = {str(number): part for number, part in enumerate(_features(extractor, splits[0], advance))}
                learned = Standardisation.of(train, {number: np.arange(len(part)) for number, part in train.items()})
                form = _Form(info.attributes, learned, all((part >= 0).all() for part in train.values()))
                _write(writer, splits[0], form, train.values())
                for split in splits[1:]:
                    _write(writer, split, form, _features(extractor, split, advance))

    def _provider(self) -> DatasetProvider:
        """What gives the data set of images."""
        if not self.config.of:
            raise UserError(
                f"{self.name!r} stands for the features of another data set; name a variant of the profile, such as "
                f"cifar_mnist_features, or set {self.name}.of to a data set of images."
            )
        try:
            fields = parse_json(self.config.of_config or "{}", dict[str, Any])
        except ValueError as error:
            raise UserError(
                f"{self.name}.of_config is no JSON object ({error}); leave it out to take the profile's configuration."
            ) from error
        provider = discovery.dataset_class(self.config.of)
        return provider(provider.Config.from_mapping(fields))

    def _check_device(self) -> None:
        if self.config.device == "cuda" and not torch.cuda.is_available():
            raise UserError("Features are to be computed on cuda, but there is no CUDA device here; choose cpu.")


def _source(origin: DatasetFile) -> _Origin:
    info = origin.info
    if info.is_table:
        raise UserError(
            f"{info.name} ({origin.path}) holds a table of {info.image_shape[0]} features; features are computed from "
            "images alone, and methods that take tables run on this data set as it is."
        )
    return _Origin(f"{info.name} ({', '.join(info.sources)})", file=origin)


def _batches(split: h5py.Group) -> Iterator[tuple[bool, np.ndarray]]:
    """Rows of a split to compute at a time, with their population, background first."""
    is_target = split["is_target"][:]
    for population in (False, True):
        rows = np.flatnonzero(is_target == population)
        for start in range(0, len(rows), BATCH):
            yield population, rows[start : start + BATCH]


def _features(extractor: Extractor, split: h5py.Group, advance: Callable[[int], None]) -> Iterator[np.ndarray]:
    """Features of every batch, float32 (n, d), as the network gives them."""
    images = split["images"]
    batches = (images[rows[0] : rows[-1] + 1][rows - rows[0]] for _, rows in _batches(split))
    for part in extractor.features(batches):
        if not np.isfinite(part).all():
            raise UserError(
                f"{extractor.backbone.name} gives features that are not finite numbers; its weights are damaged. Get "
                "them again, or choose another backbone."
            )
        advance(len(part))
        yield part


def _write(
    writer: DatasetWriter,
    split: h5py.Group,
    form: _Form,
    parts: Iterable[np.ndarray],
) -> None:
    """One split: standardised features, and all else as the split of images has it."""
    rows = len(split["is_target"])
    values = {name: column[:] for name, column in split["attributes"].items()}
    lines = [texts(split, kind, rows) for kind in TEXTS]
    name = cast("Split", split.name.removeprefix("/"))
    with writer.split(name, rows, form.learned.mean.shape, form.attributes) as out:
        out.declare_scaling(form.learned.mean, form.learned.scale)
        if form.non_negative:
            out.declare_non_negative()
        for (is_target, chosen), part in zip(_batches(split), parts, strict=True):
            labels = {name: column[chosen] for name, column in values.items()}
            out.append(form.learned.rows(part), is_target, labels, *(column[chosen] for column in lines))
