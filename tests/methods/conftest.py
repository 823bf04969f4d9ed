"""What the tests of single methods share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cabench.config import Settings
from cabench.conformance import Subject, load_subject
from cabench.data.builder import DatasetBuilder
from cabench.data.dataset import Attribute, DataForm, Population
from cabench.data.file import DatasetFile
from cabench.data.layout import SPLITS
from cabench.data.sources import Source
from cabench.training import Batch, GradientTrainedMethod

Prepare = Callable[..., GradientTrainedMethod]
MakeBatches = Callable[..., tuple[Batch, Batch]]


@pytest.fixture(scope="session")
def small_subject() -> Callable[..., Subject]:
    """Loads a method as `load_subject` does, with every fourth image: three steps an epoch instead of fourteen."""

    def load(*request: object) -> Subject:
        subject = load_subject(*request)
        background, target = (
            Population(part.images[::4], {name: values[::4] for name, values in part.attributes.items()})
            for part in (subject.data.background, subject.data.target)
        )
        return replace(subject, data=subject.data._replace(background=background, target=target))

    return load


@pytest.fixture
def prepared() -> Prepare:
    """Gives a method freshly drawn weights and optimizers, in training mode, as the loop does."""

    def prepare(method, shape=(1, 32, 32), attributes=()):
        method.prepare(DataForm(shape, attributes), torch.device("cpu"), torch.Generator().manual_seed(0))
        method.optimizers = method.make_optimizers()
        method.network.train()
        return method

    return prepare


@pytest.fixture
def batches() -> MakeBatches:
    """Makes a background and a target batch of noise."""

    def make(shape=(1, 32, 32), half=6):
        images = torch.rand(2, half, *shape, generator=torch.Generator().manual_seed(1))
        return Batch(images[0], {}), Batch(images[1], {})

    return make


COUNT_ATTRIBUTES = (
    Attribute("common_class", "common", "class", ("first", "second", "third")),
    Attribute("salient_class", "salient", "class", ("first", "second")),
)


class PlantedCounts(DatasetBuilder):
    """Tables of counts of 40 genes, which are expressed to different degrees.

    Each class of both populations raises eight genes, and each of targets alone eight others. Rows differ in their
    library, by an order of magnitude; and a tenth of all counts are lost.
    """

    name = "planted_counts"
    version = 1
    Config = Settings
    ROWS, GENES = 100, 40

    def locate(self, root):
        return [Source("planted counts")]

    def build(self, sources, writer):
        generator = np.random.default_rng(0)
        level = generator.gamma(1, 4, self.GENES) + 0.5
        raised = 1 + 6 * np.kron(np.eye(5), np.ones(8))[:, generator.permutation(self.GENES)]
        for split in SPLITS:
            with writer.split(split, 2 * self.ROWS, (self.GENES,), COUNT_ATTRIBUTES) as out:
                out.declare_counts()
                for is_target in (False, True):
                    common, salient = (generator.integers(classes, size=self.ROWS) for classes in (3, 2))
                    rates = level * raised[common] * (raised[3 + salient] if is_target else 1)
                    library = generator.lognormal(0, 0.6, (self.ROWS, 1))
                    counts = generator.poisson(library * rates) * (generator.random(rates.shape) > 0.1)
                    values = {"common_class": common} | ({"salient_class": salient} if is_target else {})
                    out.append(counts.astype(np.float32), is_target, values)


@pytest.fixture(scope="session")
def planted_counts(cache: Path) -> DatasetFile:
    """A data set of counts: 100 rows of each population and split."""
    return PlantedCounts().obtain(None)


class SquareMatrices(TorchDispatchMode):
    """Lists the operations that make a matrix of `size` x `size`, within the block."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.made: list[str] = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        parts = result if isinstance(result, tuple | list) else (result,)
        if any(isinstance(part, torch.Tensor) and part.shape[-2:] == (self.size, self.size) for part in parts):
            self.made.append(str(operation))
        return result


@pytest.fixture
def square_matrices() -> type[SquareMatrices]:
    """Measures whether a matrix of all pairs of values is made."""
    return SquareMatrices
