"""Scores: what a metric gives, where in the grid it stands, and the reason in its place where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import ConfigDict, Field, with_config

from cabench.data.dataset import Owner
from cabench.evaluation.contributions import Contributions, Tested

PopulationName = Literal["target", "background", "all"]
Probed = Owner
"""What is probed: one of the two spaces or, for comparison, the nuisance attributes themselves."""

# Where a score is read from a file, these are checked.
_Rows = Annotated[int, Field(ge=0)]
_Probability = Annotated[float, Field(ge=0, le=1)]
_nothing_else = with_config(ConfigDict(extra="forbid"))


class NotMeasurableError(ValueError):
    """A metric cannot be taken of the rows that it was given. The message says why, as a clause."""


class Measurement(NamedTuple):
    """One metric on one set of images.

    Attributes:
        value: the metric.
        chance: what is reached without information on the same labels.
        standard_error: of `value`, over what its metric says; None where the metric has none, or has an influence.
        p_value: how often `value` or more is reached without information; None where that was not tested.
        perfect: what is reached with all the information there is.
        influence: float64 (n,), what `value` would lose without each image: to first order, or as the metric says. Sums
            to 0. None where the metric has none.
    """

    value: float
    chance: float
    standard_error: float | None = None
    p_value: float | None = None
    perfect: float = 1.0
    influence: np.ndarray | None = None


@_nothing_else
@dataclass(frozen=True, slots=True)  # of ten thousand records there are a million
class Score:
    """One probe's result on the test split.

    Attributes:
        space: the representation that was probed; "nuisance" where the nuisance attributes themselves were.
        attribute: what was predicted from it; "is_target" is target against background.
        attribute_space: the space that the attribute belongs to, or "nuisance".
        population: the test images it was scored on.
        metric: what was measured: "balanced_accuracy" (a fraction), "correlation", "auc", or another of
            `cabench.evaluation`.
        value: the score.
        chance: what a representation without information reaches on these test labels.
        ideal: where the attribute belongs to the space, what a perfect representation reaches (1, or 0 for a ratio of
            norms); where it must not be there, `chance`; None where neither is asked, as of a nuisance attribute in the
            common space.
        standard_error: of `value`, over the draw of the test groups unless the metric's module says otherwise; None
            where the metric has none.
        n_train: images that were fitted on, 0 for a metric that fits nothing.
        n_test: images that it was scored on.
        converged: whether the solver reached its tolerance.
        p_value: how often the metric, or what `cabench.evaluation.permutation` takes for it, comes as high without
            information: with test labels permuted, within levels of the nuisances; None where that was not tested.
        n_groups: groups of images, such as subjects, that it was scored on; each image is one where no groups are
            known. None in records of older evaluations.
        p_familywise: how often, without information, any leak of the cell stands out as much; None likewise.
        p_smallest: the smallest p-value that so few groups can give; None likewise.
    """

    space: Probed
    attribute: str
    attribute_space: Owner
    population: PopulationName
    metric: str
    value: float
    chance: float
    ideal: float | None
    standard_error: Annotated[float, Field(ge=0)] | None
    n_train: _Rows
    n_test: _Rows
    converged: bool
    p_value: _Probability | None = None
    n_groups: _Rows | None = None
    p_familywise: _Probability | None = None
    p_smallest: _Probability | None = None


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

    space: Probed
    attribute: str
    population: PopulationName
    metric: str
    reason: str


@dataclass(frozen=True)
class Place:
    """Where in the grid a score stands; the fields are those of `Score`."""

    space: Probed
    attribute: str
    attribute_space: Owner
    population: PopulationName

    def ideal(self, measured: Measurement) -> float | None:
        """What a score here should be."""
        if self.space == self.attribute_space:
            return measured.perfect
        return None if self.space == "nuisance" or self._is_free else measured.chance

    @property
    def _is_free(self) -> bool:
        """Whether it is open how much of the attribute the space holds: a common space may hold a nuisance or not."""
        return self.attribute_space == "nuisance" and self.space == "common"


@dataclass(frozen=True)
class Scoring:
    """The scores of one cell, as they come.

    Attributes:
        blocks: how many blocks the test rows are in, for contributions.
        scores: what was measured.
        unmeasured: what cannot be measured on these images.
        contributions: of the test rows to each of the scores.
    """

    blocks: int
    scores: list[Score] = field(default_factory=list)
    unmeasured: list[Unmeasured] = field(default_factory=list)
    contributions: list[Contributions] = field(default_factory=list)

    def add(
        self, place: Place, metric: str, measured: Measurement, tested: Tested, n_train: int = 0, converged: bool = True
    ) -> None:
        """Add a score.

        Args:
            place: where it stands.
            metric: its name.
            measured: what the metric gave.
            tested: the images that were scored.
            n_train: images that were fitted on.
            converged: whether the solver of the fit reached its tolerance.
        """
        error = measured.standard_error
        if measured.influence is not None:
            error = tested.standard_error(measured.influence)
        self.contributions.append(tested.contributions(measured.influence, self.blocks))
        self.scores.append(
            Score(
                space=place.space,
                attribute=place.attribute,
                attribute_space=place.attribute_space,
                population=place.population,
                metric=metric,
                value=measured.value,
                chance=measured.chance,
                ideal=place.ideal(measured),
                standard_error=error,
                n_train=n_train,
                n_test=len(tested.groups),
                converged=converged,
                p_value=measured.p_value,
                n_groups=tested.n_groups,
            )
        )

    def measure(
        self,
        place: Place,
        metric: str,
        measure: Callable[[], Measurement],
        tested: Tested,
        n_train: int = 0,
        converged: bool = True,
    ) -> None:
        """Add what `measure` gives, or the reason why it gives nothing; see `add`."""
        with self.skipping([place], [metric]):
            self.add(place, metric, measure(), tested, n_train, converged)

    @contextmanager
    def skipping(self, places: Iterable[Place], metrics: Sequence[str]) -> Iterator[None]:
        """Add the reason of a NotMeasurableError that is raised inside, for each of the places and metrics."""
        try:
            yield
        except NotMeasurableError as reason:
            self.skip(places, metrics, str(reason))

    def skip(self, places: Iterable[Place], metrics: Sequence[str], reason: str) -> None:
        """Add a reason, a clause, for each of the places and metrics."""
        self.unmeasured.extend(
            Unmeasured(place.space, place.attribute, place.population, metric, reason)
            for place in places
            for metric in metrics
        )
