"""Scores: what a metric gives, where in the grid it stands, and the reason in its place where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from pydantic import ConfigDict, with_config

from cabench.data.dataset import Space

PopulationName = Literal["target", "background", "all"]

_nothing_else = with_config(ConfigDict(extra="forbid"))


class NotMeasurableError(ValueError):
    """A metric cannot be taken of the rows that it was given. The message says why, as a clause."""


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
    """A score that cannot be taken of these images.

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
        unmeasured: what cannot be measured on these images.
    """

    scores: list[Score] = field(default_factory=list)
    unmeasured: list[Unmeasured] = field(default_factory=list)

    def add(
        self, place: Place, metric: str, measured: Measurement, n_test: int, n_train: int = 0, converged: bool = True
    ) -> None:
        """Add a score.

        Args:
            place: where it stands.
            metric: its name.
            measured: what the metric gave.
            n_test: images that were scored.
            n_train: images that were fitted on.
            converged: whether the solver of the fit reached its tolerance.
        """
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

    def measure(
        self,
        place: Place,
        metric: str,
        measure: Callable[[], Measurement],
        n_test: int,
        n_train: int = 0,
        converged: bool = True,
    ) -> None:
        """Add what `measure` gives, or the reason why it gives nothing; see `add`."""
        with self.skipping([place], [metric]):
            self.add(place, metric, measure(), n_test, n_train, converged)

    @contextmanager
    def skipping(self, places: Iterable[Place], metrics: Sequence[str]) -> Iterator[None]:
        """Add the reason of a NotMeasurableError that is raised inside, for each of the places and metrics."""
        try:
            yield
        except NotMeasurableError as reason:
            self.unmeasured.extend(
                Unmeasured(place.space, place.attribute, place.population, metric, str(reason))
                for place in places
                for metric in metrics
            )
