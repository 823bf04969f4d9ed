"""Scores: what a metric gives, where in the grid it stands, and what stands in its place where it has no meaning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from pydantic import ConfigDict, with_config

from cabench.data.dataset import Space

PopulationName = Literal["target", "background", "all"]

_nothing_else = with_config(ConfigDict(extra="forbid"))


class NotMeasurableError(ValueError):
    """A metric has no meaning on the rows that it was given. The message says why, as a clause."""


class Measurement(NamedTuple):
    """One metric on one set of images.

    Attributes:
        value: the metric.
        chance: what is reached without information on the same labels.
        standard_error: of `value`, over the draw of the test images; None where the metric has none.
        p_value: how often `value` or more is reached without information; None where that was not tested.
        perfect: what is reached with all the information there is.
    """

    value: float
    chance: float
    standard_error: float | None
    p_value: float | None = None
    perfect: float = 1.0


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


@dataclass(frozen=True)
class Place:
    """Where in the grid a score stands; the fields are those of `Score`."""

    space: Space
    attribute: str
    attribute_space: Space
    population: PopulationName


@dataclass(frozen=True)
class Scoring:
    """The scores of one cell, as they come.

    Attributes:
        scores: what was measured.
        unmeasured: what has no meaning on these images.
    """

    scores: list[Score] = field(default_factory=list)
    unmeasured: list[Unmeasured] = field(default_factory=list)

    def measure(
        self,
        place: Place,
        metric: str,
        measure: Callable[[], Measurement],
        n_test: int,
        n_train: int = 0,
        converged: bool = True,
    ) -> None:
        """Add what `measure` gives, or the reason why it gives nothing.

        Args:
            place: where the score stands.
            metric: its name.
            measure: called here.
            n_test: images that are scored.
            n_train: images that were fitted on.
            converged: whether the solver of the fit reached its tolerance.
        """
        try:
            measured = measure()
        except NotMeasurableError as reason:
            self.skip(place, metric, str(reason))
            return
        self.scores.append(
            Score(
                space=place.space,
                attribute=place.attribute,
                attribute_space=place.attribute_space,
                population=place.population,
                metric=metric,
                value=measured.value,
                chance=measured.chance,
                ideal=measured.perfect if place.space == place.attribute_space else measured.chance,
                standard_error=measured.standard_error,
                n_train=n_train,
                n_test=n_test,
                converged=converged,
                p_value=measured.p_value,
            )
        )

    def skip(self, place: Place, metric: str, reason: str) -> None:
        """Add a reason, given as a clause, why there is no such score."""
        self.unmeasured.append(Unmeasured(place.space, place.attribute, place.population, metric, reason))
