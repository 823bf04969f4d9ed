"""Representations with the attributes of their images: all that an evaluation sees of a method and a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cabench.data.dataset import IS_TARGET, SPACES, Attribute, Space
from cabench.data.groups import group_codes
from cabench.evaluation.contributions import Tested
from cabench.evaluation.score import NotMeasurableError, PopulationName

MISSING: Mapping[Space, str] = {space: f"no {space} vectors were given" for space in SPACES}
"""The reason why what needs a space is not measured where there is none."""
BLOCKS = 100  # that the rows of one population are pooled into where no groups are known
EVERYONE: tuple[PopulationName, PopulationName] = ("background", "target")
TARGET = Attribute(IS_TARGET, "salient", "class", EVERYONE)
"""Target against background, as an attribute that salient vectors should tell and common ones must not."""


@dataclass(frozen=True)
class EncodedPopulation:
    """Representations of one population of one split, with its attributes.

    Attributes:
        spaces: float32 (n, d) by space; vectors from elsewhere may lack one.
        attributes: (n,) by name, as in `cabench.data.dataset.Population`.
        groups: (n,) text, equal for images that belong together, such as one subject's; "" = none. None where no groups
            are known.
    """

    spaces: Mapping[Space, np.ndarray]
    attributes: Mapping[str, np.ndarray]
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        """The number of images."""
        return len(next(iter(self.spaces.values())))

    def vectors(self, space: Space) -> np.ndarray:
        """Float64 (n, d): the vectors of one space.

        Raises:
            NotMeasurableError: where there are none.
        """
        if space not in self.spaces:
            raise NotMeasurableError(MISSING[space])
        return self.spaces[space].astype(np.float64)


@dataclass(frozen=True)
class Blocks:
    """The blocks that the rows of a split are pooled into, see `cabench.evaluation.contributions`.

    Attributes:
        codes: int64 (n,), the block of each row, background rows first.
        count: how many there are.
        names: of groups in the data, one a block, "" = none; empty where no groups are known.
    """

    codes: np.ndarray
    count: int
    names: Sequence[str]


@dataclass(frozen=True)
class EncodedSplit:
    """Representations of one split; iterating gives background and target.

    Functions that take a space raise NotMeasurableError where it has no vectors.
    """

    background: EncodedPopulation
    target: EncodedPopulation

    def __iter__(self) -> Iterator[EncodedPopulation]:
        """Background, then target."""
        return iter((self.background, self.target))

    @property
    def spaces(self) -> list[Space]:
        """The spaces that there are vectors of, in the order of `SPACES`."""
        return [space for space in SPACES if space in self.target.spaces]

    @property
    def has_groups(self) -> bool:
        """Whether any image is known to belong to a group."""
        return bool(np.any(self.group_names != ""))

    @cached_property
    def group_names(self) -> np.ndarray:
        """(n,) text, the name of each row's group, background first; "" = none."""
        return np.concatenate([np.full(len(p), "", object) if p.groups is None else p.groups for p in self])

    @cached_property
    def groups(self) -> np.ndarray:
        """Int64 (n,): the group of each row, background first; a row without one is a group of its own."""
        codes: np.ndarray = np.unique(group_codes(self.group_names), return_inverse=True)[1]
        return codes

    @cached_property
    def blocks(self) -> Blocks:
        """The groups; the rows of either population that have none are dealt out to at most `BLOCKS` blocks."""
        is_target, alone = self.is_target(), self.group_names == ""
        keys = group_codes(self.group_names)
        for flag in (False, True):
            rows = np.flatnonzero(alone & (is_target == flag))
            keys[rows] = -1 - 2 * (np.arange(len(rows)) % BLOCKS) - flag
        _, first, codes = np.unique(keys, return_index=True, return_inverse=True)
        return Blocks(codes, len(first), self.group_names[first].tolist() if self.has_groups else ())

    def features(self, space: Space) -> np.ndarray:
        """Float64 (n, d): the vectors of one space, background images first."""
        return np.concatenate([part.vectors(space) for part in self])

    def is_target(self) -> np.ndarray:
        """Bool (n,): whether each row of `features` is of a target image."""
        return np.repeat([False, True], [len(part) for part in self])

    def values(self, attribute: Attribute, populations: Sequence[PopulationName]) -> np.ndarray:
        """(n,): an attribute's values, undefined ones too; of `TARGET` 0 and 1."""
        if attribute is TARGET:
            return np.concatenate([np.full(len(getattr(self, name)), int(name == "target")) for name in populations])
        return np.concatenate([part.attributes[attribute.name] for part in self._parts(populations)])

    def rows(
        self, attribute: Attribute, space: Space, populations: Sequence[PopulationName]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Float64 features (n, d) and values (n,) of the populations' images for which the attribute is defined."""
        values = self.values(attribute, populations)
        defined = attribute.is_defined(values)
        return np.concatenate([part.vectors(space) for part in self._parts(populations)])[defined], values[defined]

    def indices(self, attribute: Attribute, populations: Sequence[PopulationName]) -> np.ndarray:
        """Int64 (n,): the places of the rows that `rows` gives among all rows of the split, background first."""
        starts = {"background": 0, "target": len(self.background)}
        places = [starts[name] + np.arange(len(getattr(self, name))) for name in populations]
        indices: np.ndarray = np.concatenate(places)[attribute.is_defined(self.values(attribute, populations))]
        return indices

    def tested(self, indices: np.ndarray, kinds: np.ndarray | None = None) -> Tested:
        """The rows that a score is taken of.

        Args:
            indices: int64 (n,), their places among all rows of the split.
            kinds: (n,) the class or population of each; None where they have none.
        """
        kinds = np.zeros(len(indices), dtype=np.int64) if kinds is None else kinds
        return Tested(self.groups[indices], self.blocks.codes[indices], kinds)

    def _parts(self, populations: Sequence[PopulationName]) -> list[EncodedPopulation]:
        return [getattr(self, population) for population in populations]


def check_vectors(*splits: EncodedSplit) -> None:
    """Refuse what cannot be measured.

    Raises:
        ValueError: when a representation is not finite, or the populations are not all of the same spaces.
    """
    parts = [part for split in splits for part in split]
    if not parts[0].spaces or any(part.spaces.keys() != parts[0].spaces.keys() for part in parts):
        raise ValueError("Every population needs vectors of the same spaces: common, salient or both.")
    for part in parts:
        for space, features in part.spaces.items():
            if not np.isfinite(features).all():
                raise ValueError(f"The {space} representation holds values that are not finite.")
