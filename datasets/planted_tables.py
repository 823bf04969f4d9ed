"""Tables whose factors are known: rows are S z + W t, where the salient part W t is the target's alone.

A row has common factors z, and a target's row salient factors t. S and W, the loadings, are drawn once for a seed; both
splits draw rows of their own from the same loadings. The factors are the attributes. Kinds, most of them the worked
examples of a method's authors or of the reference notes of this project:

- `gaussian`: rows of the contrastive latent variable model (Severson et al., AAAI 2019), S z + W t + noise, all normal.
  30 features, 3 + 2 factors of standard deviation 5 along directions of length 1, noise of standard deviation 1.
- `groups`: the toy data of that paper's code, 30 features in three thirds. Of backgrounds the thirds have standard
  deviations of 10, 3 and 1. Of targets the first has 10, too, the others have 1, but come in four groups, which are
  offset by 0 or 6 in the second third and by 0 or 3 in the last. The group is salient; the ten features of the first
  third are what is common.
- `additive`: S z + W t without any noise, on directions that are not at right angles. 20 features, 4 + 2 factors.
- `nested`: the same with little noise, for the contrastive dimension (Hawke et al., NeurIPS 2024). 20 features, 3 + 2
  factors of standard deviation 3, noise of 0.3.
- `counts`: counts of the contrastive Poisson model (Jones et al., 2022) without its factors of features: Poisson with
  rates l (S z + W t), where all entries of S, W, z and t are Gamma(1, 1), and l differs between rows by a log-normal
  factor. 40 features, 3 + 2 factors.
- `parts`: these rates themselves, numbers from 0 up.

Features are centred over the training rows of both populations and divided by one number for all of them, the root of
their mean variance: how large features are beside each other is part of what is planted. Counts are as they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from cabench.config import Settings, setting
from cabench.data.builder import DatasetBuilder
from cabench.data.dataset import SPACES, Attribute, Space
from cabench.data.layout import SPLITS, Split
from cabench.data.sources import Source
from cabench.data.writing import DatasetWriter, SplitWriter

GROUPS = ("neither", "last third", "second third", "both")
"""Which thirds of features are offset, by index: 2 a + b for an offset of a in the second and b in the last third."""
DEPTH = 4.0  # what the size factors of rows are around: counts of about 13 a feature


class Loadings(NamedTuple):
    """What a factor of 1 adds to each feature.

    Attributes:
        common: float64 (features, k), S.
        salient: float64 (features, q), W.
    """

    common: np.ndarray
    salient: np.ndarray


class Drawn(NamedTuple):
    """Rows of one population before they are scaled, and what made them.

    Attributes:
        rows: float64 (n, features).
        common: float64 (n, k), z.
        salient: float64 (n, q), t; of backgrounds 0.
    """

    rows: np.ndarray
    common: np.ndarray
    salient: np.ndarray


class Scaling(NamedTuple):
    """What is taken off the features, and what they are then multiplied by.

    Attributes:
        mean: float64 (features,).
        scale: float64 (features,).
    """

    mean: np.ndarray
    scale: np.ndarray


class Model(ABC):
    """How one kind of table is drawn.

    Attributes:
        notes: what users of the table must know.
    """

    notes: ClassVar[tuple[str, ...]] = (
        "Features are divided by one number and not each by its own: how large they are beside each other is planted.",
    )

    @abstractmethod
    def loadings(self, generator: np.random.Generator) -> Loadings:
        """Draw S and W."""

    @abstractmethod
    def draw(self, loadings: Loadings, rows: int, is_target: bool, generator: np.random.Generator) -> Drawn:
        """Draw rows of one population."""

    def attributes(self, loadings: Loadings) -> tuple[Attribute, ...]:
        """Every factor as a number: common_1, ..., salient_1, ..."""
        sizes: tuple[tuple[Space, int], ...] = tuple(
            (space, directions.shape[1]) for space, directions in zip(SPACES, loadings, strict=True)
        )
        return tuple(
            Attribute(f"{space}_{number + 1}", space, "real") for space, count in sizes for number in range(count)
        )

    def values(self, drawn: Drawn, is_target: bool) -> dict[str, np.ndarray]:
        """The attributes' values (n,) that are defined for a population."""
        spaces = {"common": drawn.common} | ({"salient": drawn.salient} if is_target else {})
        return {f"{space}_{number + 1}": column for space, z in spaces.items() for number, column in enumerate(z.T)}

    def scaling(self, rows: np.ndarray) -> Scaling:
        """By what features are centred and divided, from the training rows (n, features) of both populations."""
        return Scaling(rows.mean(axis=0), np.full(rows.shape[1], 1 / np.sqrt(rows.var(axis=0).mean())))

    def declare(self, out: SplitWriter, scaling: Scaling) -> None:
        """Say in the file what the features are."""
        out.declare_scaling(*scaling)


@dataclass(frozen=True)
class Normal(Model):
    """Normal factors along random directions of length 1, and noise that is the same for all features.

    Attributes:
        features: how many.
        common: how many factors both populations have.
        salient: how many the target has besides.
        deviation: standard deviation along each direction.
        noise: standard deviation of the noise.
    """

    features: int
    common: int
    salient: int
    deviation: float
    noise: float

    def loadings(self, generator: np.random.Generator) -> Loadings:
        """See `Model`."""
        directions = generator.normal(size=(self.features, self.common + self.salient))
        directions *= self.deviation / np.linalg.norm(directions, axis=0)
        return Loadings(directions[:, : self.common], directions[:, self.common :])

    def draw(self, loadings: Loadings, rows: int, is_target: bool, generator: np.random.Generator) -> Drawn:
        """See `Model`."""
        z, t = generator.normal(size=(rows, self.common)), generator.normal(size=(rows, self.salient)) * is_target
        noise = self.noise * generator.normal(size=(rows, self.features))
        return Drawn(z @ loadings.common.T + t @ loadings.salient.T + noise, z, t)


class Groups(Model):
    """Ten features that vary most, the common factors, beside twenty in which the target has four groups."""

    third = 10
    background_noise = np.repeat([0.0, 3.0, 1.0], third)
    target_noise = np.repeat([0.0, 1.0, 1.0], third)

    def loadings(self, generator: np.random.Generator) -> Loadings:
        """The same for all seeds: 10 for each feature of the first third; 6 and 3 for all of the other two."""
        features = np.eye(3 * self.third)
        offsets = np.repeat([[0.0, 0.0], [6.0, 0.0], [0.0, 3.0]], self.third, axis=0)
        return Loadings(10 * features[:, : self.third], offsets)

    def draw(self, loadings: Loadings, rows: int, is_target: bool, generator: np.random.Generator) -> Drawn:
        """Salient factors are two bits; the four groups are equally large, but for what does not divide by four."""
        z = generator.normal(size=(rows, self.third))
        group = generator.permutation(np.arange(rows) % 4)
        t = np.stack([group // 2, group % 2], axis=1).astype(np.float64) * is_target
        noise = generator.normal(size=(rows, 3 * self.third))
        noise *= self.target_noise if is_target else self.background_noise
        return Drawn(z @ loadings.common.T + t @ loadings.salient.T + noise, z, t)

    def attributes(self, loadings: Loadings) -> tuple[Attribute, ...]:
        """The common factors as numbers, and the group."""
        common = tuple(a for a in super().attributes(loadings) if a.space == "common")
        return (*common, Attribute("group", "salient", "class", GROUPS))

    def values(self, drawn: Drawn, is_target: bool) -> dict[str, np.ndarray]:
        """See `Model`."""
        common = super().values(drawn, is_target=False)
        return common | ({"group": (drawn.salient @ [2, 1]).astype(np.int64)} if is_target else {})


class Parts(Model):
    """Rates l (S z + W t) of numbers from 0 up, where l is the size of a row."""

    features, common, salient = 40, 3, 2

    def loadings(self, generator: np.random.Generator) -> Loadings:
        """See `Model`."""
        return Loadings(*(generator.gamma(1, 1, (self.features, count)) for count in (self.common, self.salient)))

    def draw(self, loadings: Loadings, rows: int, is_target: bool, generator: np.random.Generator) -> Drawn:
        """See `Model`."""
        z, t = (generator.gamma(1, 1, (rows, count)) for count in (self.common, self.salient))
        t *= is_target
        size = DEPTH * generator.lognormal(0, 0.5, (rows, 1))
        return Drawn(size * (z @ loadings.common.T + t @ loadings.salient.T), z, t)

    def declare(self, out: SplitWriter, scaling: Scaling) -> None:
        """Real numbers that were not negative before they were centred."""
        super().declare(out, scaling)
        out.declare_non_negative()


class Counts(Parts):
    """Poisson counts with these rates."""

    notes = ()

    def draw(self, loadings: Loadings, rows: int, is_target: bool, generator: np.random.Generator) -> Drawn:
        """See `Model`."""
        drawn = super().draw(loadings, rows, is_target, generator)
        return drawn._replace(rows=generator.poisson(drawn.rows).astype(np.float64))

    def scaling(self, rows: np.ndarray) -> Scaling:
        """None: counts stay as they are."""
        return Scaling(np.zeros(rows.shape[1]), np.ones(rows.shape[1]))

    def declare(self, out: SplitWriter, scaling: Scaling) -> None:
        """Counts, which have no scaling."""
        out.declare_counts()


MODELS: Mapping[str, Model] = {
    "gaussian": Normal(features=30, common=3, salient=2, deviation=5, noise=1),
    "groups": Groups(),
    "additive": Normal(features=20, common=4, salient=2, deviation=5, noise=0),
    "nested": Normal(features=20, common=3, salient=2, deviation=3, noise=0.3),
    "counts": Counts(),
    "parts": Parts(),
}


@dataclass(frozen=True)
class PlantedTablesConfig(Settings):
    """Which kind of rows, and how many."""

    kind: Literal["gaussian", "groups", "additive", "nested", "counts", "parts"] = setting(
        "gaussian", help="what rows are made of"
    )
    train_size: int = setting(400, at_least=10, at_most=100_000, help="training rows of each population")
    test_size: int = setting(400, at_least=10, at_most=100_000, help="test rows of each population")
    seed: int = setting(0, at_least=0, help="seed of loadings and rows")


class PlantedTables(DatasetBuilder):
    """Draws tables; see the module."""

    name = "planted_tables"
    version = 1
    Config = PlantedTablesConfig
    config: PlantedTablesConfig

    def locate(self, root: Path | None) -> Sequence[Source]:
        """A source without files: the rows are computed."""
        return [Source("planted factors")]

    def build(self, sources: Sequence[Source], writer: DatasetWriter) -> None:
        """Write both splits, background first."""
        loadings = self.loadings()
        shape, attributes = (len(loadings.common),), self.model.attributes(loadings)
        drawn = {split: self.draw(split) for split in SPLITS}
        scaling = self.model.scaling(np.concatenate([part.rows for part in drawn["train"]]))
        for split, populations in drawn.items():
            with writer.split(split, sum(len(part.rows) for part in populations), shape, attributes) as out:
                self.model.declare(out, scaling)
                for is_target, part in zip((False, True), populations, strict=True):
                    features = ((part.rows - scaling.mean) * scaling.scale).astype(np.float32)
                    out.append(features, is_target, self.model.values(part, is_target))
        writer.note(*self.model.notes)

    @property
    def model(self) -> Model:
        """How rows of the kind asked for are drawn."""
        return MODELS[self.config.kind]

    def loadings(self) -> Loadings:
        """S and W behind both splits, before features are scaled."""
        return self.model.loadings(np.random.default_rng([self.config.seed, 0]))

    def draw(self, split: Split) -> tuple[Drawn, Drawn]:
        """Background and target rows of a split before they are scaled, and the factors behind them."""
        rows = {"train": self.config.train_size, "test": self.config.test_size}[split]
        generator = np.random.default_rng([self.config.seed, 1 + SPLITS.index(split)])
        background, target = (self.model.draw(self.loadings(), rows, flag, generator) for flag in (False, True))
        return background, target
