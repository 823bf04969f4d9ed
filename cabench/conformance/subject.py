"""A method under test: found by name, in a Python file or handed over, with a few images to test it on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from cabench import discovery
from cabench.config import Settings
from cabench.context import FitContext, Randomness
from cabench.data.dataset import ContrastiveDataset, Population, as_float
from cabench.data.preparation import Preparation
from cabench.experiment.given_method import check_given
from cabench.experiment.request import MethodLike, ResolvedProfile, check_method
from cabench.method import ContrastiveAnalysisMethod
from cabench.training import TrainingConfig

IMAGES = 24  # of each population, encoded by most checks
FEW = 8  # of each population, where images of another shape are tried
ROWS, FEATURES = 40, 12  # of each population, where values are missing
MISSING = 0.1  # of these
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Subject:
    """A method under test, and images to test it on.

    Attributes:
        kind: the method's class.
        config: the configuration to test; one that trains in seconds.
        data: a small training split that the method accepts.
    """

    kind: type[ContrastiveAnalysisMethod]
    config: Settings
    data: ContrastiveDataset

    def new(self) -> ContrastiveAnalysisMethod:
        """A method that has not been fitted."""
        return self.kind(self.config)

    def fitted(self, data: ContrastiveDataset | None = None) -> ContrastiveAnalysisMethod:
        """A method freshly fitted on `data`, else on the subject's own."""
        method = self.new()
        method.fit(data or self.data, context())
        return method

    @cached_property
    def usual(self) -> ContrastiveAnalysisMethod:
        """A method fitted on the subject's own data, for all checks that only look at it."""
        return self.fitted()

    def on_images(self, shape: tuple[int, int, int]) -> Subject:
        """The method on random images of a shape, 8 of each population, with attributes of the subject's own.

        If it is trained by gradient steps, it takes two.
        """
        generator = torch.Generator().manual_seed(0)
        parts = [
            Population(
                torch.randint(256, (FEW, *shape), dtype=torch.uint8, generator=generator),
                {name: values[:FEW] for name, values in part.attributes.items()},
            )
            for part in (self.data.background, self.data.target)
        ]
        counts = {split: {"background": FEW, "target": FEW} for split in self.data.info.counts}
        info = dataclasses.replace(self.data.info, image_shape=shape, counts=counts)
        config = self.config
        if isinstance(config, TrainingConfig):
            config = dataclasses.replace(config, epochs=1, batch_size=FEW)
        return Subject(self.kind, config, ContrastiveDataset(info, *parts))

    def on_incomplete_rows(self) -> Subject:
        """The method on a small table that lacks a tenth of its values, with attributes of the subject's own.

        Rows have two directions in common, and targets one of their own. They are real numbers or, for a method that
        takes counts or numbers from 0 up alone, counts. If it is trained by gradient steps, it takes three epochs.
        """
        generator = torch.Generator().manual_seed(0)
        own = torch.tensor([0.0, 1.0])[:, None, None] * torch.randn(2, ROWS, 1, generator=generator)
        factors = torch.cat([torch.randn(2, ROWS, 2, generator=generator), 2 * own], dim=2)
        values = factors @ torch.randn(3, FEATURES, generator=generator)
        values += 0.3 * torch.randn(values.shape, generator=generator)
        are_counts = "tables" not in self.kind.takes
        if are_counts:
            values = values.exp().clamp(max=100).round()
        values[torch.rand(values.shape, generator=generator) < MISSING] = torch.nan
        parts = [
            Population(rows, {name: column[:ROWS] for name, column in part.attributes.items()})
            for rows, part in zip(values, (self.data.background, self.data.target), strict=True)
        ]
        counts = {split: {"background": ROWS, "target": ROWS} for split in self.data.info.counts}
        info = dataclasses.replace(
            self.data.info, image_shape=(FEATURES,), counts=counts, are_counts=are_counts, missing=MISSING
        )
        config = self.config
        if isinstance(config, TrainingConfig):
            config = dataclasses.replace(config, epochs=3, batch_size=ROWS)
        return Subject(self.kind, config, ContrastiveDataset(info, *parts))

    def images(self) -> Tensor:
        """A few images of both populations, float32 in [0, 1]; rows of a table as they are."""
        return as_float(torch.cat([self.data.background.images[:IMAGES], self.data.target.images[:IMAGES]]))


def load_subject(method: MethodLike, sets: Sequence[str] = ()) -> Subject:
    """A method in the smoke profile's configuration, with that profile's default data set.

    A method that takes no images is given their pixels as a table of counts, prepared as a run prepares a table.

    Args:
        method: a name, a Python file ("mine.py", "mine.py:MyMethod"), a class, or an object with its configuration.
        sets: changes of its configuration, such as "mine.epochs=3".

    Raises:
        UserError: for an unknown method, one that lacks something, and one that does not take the data set.
    """
    if isinstance(method, str):
        method = discovery.class_in_file(method) or method
    name = method if isinstance(method, str) else check_given(method)
    resolved = ResolvedProfile.read("smoke", sets, [name])
    if not isinstance(method, str):
        resolved = dataclasses.replace(resolved, given={name: method})
    (dataset,) = resolved.profile.defaults["datasets"]
    configured = resolved.method(name, dataset)
    data = resolved.dataset(dataset).obtain(None).read("train")
    if not data.info.is_table and "images" not in configured.takes:
        data = _as_counts(data)
    check_method(configured, data.info)
    preparation = Preparation.learned(data, configured.takes)
    return Subject(type(configured), configured.config, preparation.split(data) if preparation else data)


def _as_counts(data: ContrastiveDataset) -> ContrastiveDataset:
    """Images as a table of their pixels, which are counts: for methods that take tables alone."""
    parts = [Population(part.images.flatten(1).float(), part.attributes) for part in data[1:]]
    info = dataclasses.replace(data.info, image_shape=tuple(parts[0].images.shape[1:]), are_counts=True)
    return ContrastiveDataset(info, *parts)


def context(**changes: object) -> FitContext:
    """A context on the CPU in float32 with the random streams of seed 0, and with some fields changed."""
    plain = FitContext(device=CPU, precision="fp32", randomness=Randomness(0, "conformance", CPU))
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]
