"""Representations with the attributes of their images: all that an evaluation sees of a method and a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cabench.data.dataset import SPACES, Attribute, Space
from cabench.evaluation.score import NotMeasurableError, PopulationName

MISSING: Mapping[Space, str] = {space: f"no {space} vectors were given" for space in SPACES}
"""The reason why what needs a space is not measured where there is none."""


class EncodedPopulation(NamedTuple):
    """Representations of one population of one split, with its attributes.

    Attributes:
        spaces: float32 (n, d) by space; vectors from elsewhere may lack one.
        attributes: (n,) by name, as in `cabench.data.dataset.Population`.
    """

    spaces: Mapping[Space, np.ndarray]
    attributes: Mapping[str, np.ndarray]

    def vectors(self, space: Space) -> np.ndarray:
        """Float64 (n, d): the vectors of one space.

        Raises:
            NotMeasurableError: where there are none.
        """
        if space not in self.spaces:
            raise NotMeasurableError(MISSING[space])
        return self.spaces[space].astype(np.float64)


class EncodedSplit(NamedTuple):
    """Representations of one split. Its functions raise NotMeasurableError for a space that has no vectors."""

    background: EncodedPopulation
    target: EncodedPopulation

    @property
    def spaces(self) -> list[Space]:
        """The spaces that there are vectors of, in the order of `SPACES`."""
        return [space for space in SPACES if space in self.target.spaces]

    def features(self, space: Space) -> np.ndarray:
        """Float64 (n, d): the vectors of one space, background images first."""
        return np.concatenate([part.vectors(space) for part in self])

    def is_target(self) -> np.ndarray:
        """Bool (n,): whether each row of `features` is of a target image."""
        return np.repeat([False, True], [len(next(iter(part.spaces.values()))) for part in self])

    def rows(
        self, attribute: Attribute, space: Space, populations: Sequence[PopulationName]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Float64 features (n, d) and values (n,) of the populations' images for which the attribute is defined."""
        parts: list[EncodedPopulation] = [getattr(self, population) for population in populations]
        features = np.concatenate([part.vectors(space) for part in parts])
        values = np.concatenate([part.attributes[attribute.name] for part in parts])
        defined = attribute.is_defined(values)
        return features[defined], values[defined]
