"""One score of a cell, and what stands in its place where it has no meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict, with_config

from cabench.data.dataset import Space

PopulationName = Literal["target", "background", "all"]

_nothing_else = with_config(ConfigDict(extra="forbid"))


@_nothing_else
@dataclass(frozen=True)
class Score:
    """One probe's result on the test split.

    Attributes:
        space: the representation that was probed.
        attribute: what was predicted from it; "is_target" is target against background.
        attribute_space: the space that the attribute belongs to.
        population: the test images it was scored on.
        metric: what was measured: "balanced_accuracy" (a fraction), "r2" (may be negative), "auc", or another of
            `cabench.evaluation`.
        value: the score.
        chance: what a representation without information reaches on these test labels.
        ideal: where the attribute belongs to the space, what a perfect representation reaches (1, or 0 for a ratio of
            norms); else `chance`.
        standard_error: of `value`, over the draw of the test images unless the metric's module says otherwise; None
            where the metric has none.
        n_train: images that were fitted on, 0 for a metric that fits nothing.
        n_test: images that it was scored on.
        converged: whether the solver reached its tolerance.
        p_value: how often `value` or more is reached without information; None where that was not tested.
    """

    space: Space
    attribute: str
    attribute_space: Space
    population: PopulationName
    metric: str
    value: float
    chance: float
    ideal: float
    standard_error: float | None
    n_train: int
    n_test: int
    converged: bool
    p_value: float | None = None


@_nothing_else
@dataclass(frozen=True)
class Unmeasured:
    """A score that has no meaning on these images.

    Attributes:
        space: as in `Score`.
        attribute: likewise.
        population: likewise.
        metric: likewise.
        reason: why, as a clause.
    """

    space: Space
    attribute: str
    population: PopulationName
    metric: str
    reason: str
