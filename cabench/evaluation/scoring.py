"""Gathers scores, each with its place in the grid, and what could not be measured, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cabench.data.dataset import Space
from cabench.evaluation.measurement import Measurement, NotMeasurableError
from cabench.evaluation.score import PopulationName, Score, Unmeasured


@dataclass(frozen=True)
class Place:
    """Where in the grid a score stands; the fields are those of `cabench.evaluation.score.Score`."""

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
