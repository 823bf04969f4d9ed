"""The statistics of the gate: their rates by simulation, agreement with other computations, and degenerate cases."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import special, stats

from cabench.experiment.store import ResultsStore
from cabench.gate.judgement import EFFECT, LEVEL, SMALLEST_SPREAD, Pair, Verdict, judge, usual_spread
from cabench.gate.selection import by_group, select

PUBLISHED = Path(__file__).parents[2] / "results/published"
POINT = 0.01
COMPARISONS = 200
METRICS = 60

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return generator.normal(size=shape)


def heavy(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Student's t with 3 degrees of freedom, scaled to a variance of 1."""
    return generator.standard_t(3, shape) / np.sqrt(3)


def correlated(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Normal; the 20 metrics of a cell share half of their variance, under every seed."""
    metrics, seeds = shape
    cells = np.repeat(generator.normal(size=(metrics // 20, seeds)), 20, axis=0)
    return np.sqrt(0.5) * (cells + generator.normal(size=shape))


DRAWS = pytest.mark.parametrize("draw", [normal, heavy, correlated])


def alike(generator: np.random.Generator) -> np.ndarray:
    return np.full(METRICS, POINT)


def log_normal(generator: np.random.Generator) -> np.ndarray:
    """Half of the spreads lie between 0.6 and 1.6 points, a twentieth below 0.3 or above 4."""
    return POINT * np.exp(0.7 * generator.normal(size=METRICS))


def published(generator: np.random.Generator) -> np.ndarray:
    """Spreads of the gated metrics in the published records: 0.01 to 30 points."""
    return generator.choice(_published_spreads(), METRICS)


def some_wild(generator: np.random.Generator) -> np.ndarray:
    """One in twenty spreads by 5 points, the others by half a point."""
    return np.where(np.arange(METRICS) % 20 == 0, 5 * POINT, 0.5 * POINT)


@cache
def _published_spreads() -> np.ndarray:
    """Standard deviations over seeds of the distances from the ideal of gated metrics, those of 0 left out."""
    records = ResultsStore(PUBLISHED).records()
    groups = [selected.group for there in by_group(records).values() if (selected := select(there)).group]
    spreads = [
        np.std(metric.distances(column), ddof=1)
        for group in groups
        for column, metric in group.metrics.items()
        if len(metric.values) > 2
    ]
    assert spreads, f"no cell in {PUBLISHED} has current records of three seeds; measure them anew: `cabench evaluate`"
    return np.array([spread for spread in spreads if spread > 1e-4])


SPREADS = pytest.mark.parametrize("spreads", [alike, log_normal, published, some_wild])


def pairs(old: np.ndarray, new: np.ndarray) -> dict[int, Pair]:
    return {index: Pair(*values) for index, values in enumerate(zip(old.tolist(), new.tolist(), strict=True))}


def is_worse(old: np.ndarray, new: np.ndarray) -> list[int]:
    found = judge(pairs(old, new)).results
    return [index for index, result in found.items() if result.verdict is Verdict.WORSE]


@DRAWS
@SPREADS
@pytest.mark.parametrize("seeds", [3, 5])
def test_comparisons_without_a_change_fail_no_more_often_than_stated(
    draw: Draw, spreads: Callable[[np.random.Generator], np.ndarray], seeds: int
) -> None:
    generator = np.random.default_rng(0)
    alarms = 0
    for _ in range(COMPARISONS):
        scale = spreads(generator)[:, None]
        old, new = (scale * draw(generator, (METRICS, seeds)) for _ in range(2))
        alarms += bool(is_worse(old, new))

    assert alarms <= stats.binom.ppf(0.95, COMPARISONS, LEVEL)


@DRAWS
def test_five_points_lost_in_one_metric_are_found_over_three_seeds(draw: Draw) -> None:
    generator = np.random.default_rng(1)
    found = 0
    for _ in range(COMPARISONS):
        old, new = (POINT * draw(generator, (METRICS, 3)) for _ in range(2))
        new[7] += 5 * POINT
        found += 7 in is_worse(old, new)

    assert found >= (0.9 if draw is heavy else 0.95) * COMPARISONS


@DRAWS
@pytest.mark.parametrize("spreads", [log_normal, published, some_wild])
def test_five_points_lost_are_found_among_metrics_that_spread_otherwise_over_five_seeds(
    draw: Draw, spreads: Callable[[np.random.Generator], np.ndarray]
) -> None:
    generator = np.random.default_rng(2)
    found = 0
    for _ in range(COMPARISONS):
        scale = spreads(generator)[:, None]
        scale[7] = POINT
        old, new = (scale * draw(generator, (METRICS, 5)) for _ in range(2))
        new[7] += 5 * POINT
        found += 7 in is_worse(old, new)

    assert found >= 0.93 * COMPARISONS


@pytest.mark.parametrize("seeds", [3, 5])
def test_what_is_said_to_be_detectable_is_found_with_the_probability_stated(seeds: int) -> None:
    generator = np.random.default_rng(3)
    found, stated = 0, []
    for _ in range(COMPARISONS):
        old, new = (POINT * generator.normal(size=(METRICS, seeds)) for _ in range(2))
        stated.append(judge(pairs(old, new)).detectable)
        new[7] += stated[-1]
        found += 7 in is_worse(old, new)

    assert stats.binom.ppf(0.001, COMPARISONS, 0.95) <= found
    assert found <= stats.binom.ppf(0.999, COMPARISONS, 0.97)


def test_a_loss_of_less_than_the_effect_fails_nothing_however_clear() -> None:
    generator = np.random.default_rng(0)
    old, new = (1e-3 * generator.normal(size=(METRICS, 500)) for _ in range(2))
    new += 0.8 * EFFECT

    assert is_worse(old, new) == []
    assert is_worse(old, new + 0.8 * EFFECT) == list(range(METRICS))


def test_gains_fail_nothing() -> None:
    generator = np.random.default_rng(0)
    old, new = (POINT * generator.normal(size=(METRICS, 5)) for _ in range(2))

    assert is_worse(old, new - 0.2) == []


def test_the_usual_spread_is_that_of_metrics_that_spread_as_the_model_says() -> None:
    generator = np.random.default_rng(0)
    weight, variance, metrics = 6.0, 4 * POINT**2, 20_000
    variances = variance * weight / generator.chisquare(weight, metrics)
    old, new = (np.sqrt(variances)[:, None] * generator.normal(size=(metrics, 3)) for _ in range(2))

    found = usual_spread(list(pairs(old, new).values()))

    assert found.variance == pytest.approx(variance, rel=0.03)
    assert found.weight == pytest.approx(weight, rel=0.1)
    assert found.total == 4 * metrics


def test_metrics_that_spread_alike_are_tested_with_their_common_variance() -> None:
    generator = np.random.default_rng(4)
    old, new = (POINT * generator.normal(size=(METRICS, 3)) for _ in range(2))
    usual = usual_spread(list(pairs(old, new).values()))
    assert usual.weight == np.inf
    pooled = np.maximum((old.var(axis=1, ddof=1) + new.var(axis=1, ddof=1)) / 2, SMALLEST_SPREAD**2).mean()

    new[7] += 0.1  # the smallest p-value by far, and the same spread
    t = (new[7].mean() - old[7].mean() - EFFECT) / np.sqrt(pooled * 2 / 3)

    assert usual.variance == pytest.approx(pooled)
    assert judge(pairs(old, new)).results[7].p_value == pytest.approx(METRICS * stats.t.sf(t, 4 * METRICS))


def test_variance_and_degrees_of_freedom_are_those_of_the_formula() -> None:
    generator = np.random.default_rng(5)
    scale = POINT * np.exp(generator.normal(size=METRICS))[:, None]
    old, new = (scale * generator.normal(size=(METRICS, 3)) for _ in range(2))
    usual = usual_spread(list(pairs(old, new).values()))
    own = np.maximum((old.var(axis=1, ddof=1) + new.var(axis=1, ddof=1)) / 2, SMALLEST_SPREAD**2)
    logarithms = np.log(own) - special.digamma(2) + np.log(2)
    excess = logarithms.var(ddof=1) * (1 + np.sqrt(2 / (METRICS - 1))) - special.polygamma(1, 2)
    assert special.polygamma(1, usual.weight / 2) == pytest.approx(excess)

    def p_value(changed: int, variance: float, degrees: float) -> float:
        t = (new[changed].mean() - old[changed].mean() - EFFECT) / np.sqrt(variance * 2 / 3)
        return float(METRICS * stats.t.sf(t, degrees))

    is_wild = own > usual.variance * stats.f.isf(0.01, 4, usual.weight)
    drawn, wild = (int(np.flatnonzero(kind)[0]) for kind in (~is_wild, is_wild))
    new[drawn] += 1.0  # the smallest p-value by far, and the same variance
    found = judge(pairs(old, new))
    variance = (usual.weight * usual.variance + 4 * own[drawn]) / (usual.weight + 4)
    assert found.results[drawn].p_value == pytest.approx(p_value(drawn, variance, usual.weight + 4))
    assert found.usual_spread == pytest.approx(np.sqrt(usual.variance))

    new[drawn] -= 1.0
    new[wild] += 10.0
    assert judge(pairs(old, new)).results[wild].p_value == pytest.approx(p_value(wild, own[wild], 4))


class TestDegenerate:
    spread = (0.1, 0.12, 0.11)

    def others(self) -> dict[str, Pair]:
        generator = np.random.default_rng(0)
        return {f"other {i}": Pair(*(POINT * generator.normal(size=(2, 3))).tolist()) for i in range(10)}

    def test_equal_values_are_no_change_and_are_not_tested(self) -> None:
        found = judge({"a": Pair(self.spread, self.spread, unchanged=True)})

        assert (found.results["a"].verdict, found.results["a"].p_value, found.tests) == (Verdict.SAME, None, 0)

    @pytest.mark.parametrize(("loss", "verdict"), [(0.004, Verdict.HELD), (0.006, Verdict.WORSE)])
    def test_a_method_that_no_seed_changes_is_compared_exactly(self, loss: float, verdict: Verdict) -> None:
        found = judge({"a": Pair([0.1] * 3, [0.1 + loss] * 2, exact=True), **self.others()})

        assert (found.results["a"].verdict, found.tests) == (verdict, 10)

    @pytest.mark.parametrize(("loss", "verdict"), [(0.02, Verdict.HELD), (0.2, Verdict.WORSE)])
    def test_one_seed_on_each_side_rests_on_the_spread_of_the_others(self, loss: float, verdict: Verdict) -> None:
        found = judge({"a": Pair([0.1], [0.1 + loss]), **self.others()})

        assert found.results["a"].verdict is verdict

    @pytest.mark.parametrize(
        ("loss", "verdict"), [(-0.3, Verdict.HELD), (0.004, Verdict.HELD), (0.3, Verdict.UNTESTED)]
    )
    def test_one_seed_on_each_side_of_all_metrics_cannot_be_tested(self, loss: float, verdict: Verdict) -> None:
        found = judge({name: Pair([0.1], [0.1 + loss]) for name in "ab"})

        assert [found.results[name].verdict for name in "ab"] == [verdict] * 2
        assert (found.tests, found.usual_spread, found.detectable) == (0, None, None)

    def test_a_single_metric_is_tested_by_its_own_spread(self) -> None:
        new = [value + 0.04 for value in self.spread]
        found = judge({"a": Pair(self.spread, new)})

        expected = stats.ttest_ind(np.array(new) - EFFECT, self.spread, alternative="greater").pvalue
        assert found.results["a"].p_value == pytest.approx(expected)

    def test_metrics_without_spread_are_not_taken_for_certain(self) -> None:
        # Three seeds at a ceiling on both sides, of a method whose other metrics vary.
        found = judge({"a": Pair([0.0] * 3, [0.006] * 3), **self.others()})

        assert found.results["a"].verdict is Verdict.HELD

    def test_unequal_numbers_of_seeds(self) -> None:
        found = judge({"a": Pair([0.1] * 8, [0.4]), **self.others()})

        assert found.results["a"].verdict is Verdict.WORSE

    def test_no_metrics(self) -> None:
        assert judge({}).results == {}
