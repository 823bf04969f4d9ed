"""What each image adds to a metric: it sums to 0, and is what the metric loses without a group of images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import log_softmax

from cabench.evaluation.contributions import Tested as Images
from cabench.evaluation.metrics.levels import within_levels
from cabench.evaluation.metrics.probing import accuracy, auc, balanced_accuracy, correlation, hand_till, r2
from cabench.evaluation.metrics.shape import silhouette
from cabench.evaluation.score import Measurement

N, GROUPS = 400, 40
Metric = Callable[[np.ndarray], Measurement]  # of some of the images


def metrics() -> dict[str, Metric]:
    """Every metric of a probe, as a function of the images that it is taken of."""
    generator = np.random.default_rng(0)
    codes = generator.choice(4, N, p=[0.4, 0.3, 0.2, 0.1])
    evidence = log_softmax(1.5 * np.eye(4)[codes] + generator.normal(size=(N, 4)), axis=1)
    values = generator.uniform(size=N)
    predicted = 0.5 * values + 0.2 * generator.normal(size=N)
    levels = generator.choice(3, N, p=[0.5, 0.3, 0.2])
    two = codes > 1
    return {
        "accuracy": lambda rows: accuracy(codes[rows], evidence[rows].argmax(axis=1)),
        "balanced_accuracy": lambda rows: balanced_accuracy(codes[rows], evidence[rows].argmax(axis=1)),
        "auc": lambda rows: auc(two[rows], evidence[rows, 3]),
        "hand_till": lambda rows: hand_till(codes[rows], evidence[rows]),
        "tied": lambda rows: hand_till(codes[rows], np.round(evidence[rows])),
        "correlation": lambda rows: correlation(values[rows], predicted[rows]),
        "r2": lambda rows: r2(values[rows], predicted[rows]),
        "classes within levels": lambda rows: within_levels(codes[rows], evidence[rows], levels[rows]),
        "numbers within levels": lambda rows: within_levels(values[rows], predicted[rows], levels[rows]),
    }


METRICS = metrics()
ALL = np.arange(N)


def jackknife(metric: Metric, groups: np.ndarray) -> np.ndarray:
    """What the metric loses without each group, brought to the scale of a sum over groups."""
    count = groups.max() + 1
    without = [metric(ALL[groups != group]).value for group in range(count)]
    return (count - 1) / count * (metric(ALL).value - np.array(without))


def groupings() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    weights = np.arange(1, GROUPS + 1) / np.arange(1, GROUPS + 1).sum()
    return {
        "rows": ALL,
        "equal": ALL % GROUPS,
        "unequal": np.r_[np.arange(GROUPS), generator.choice(GROUPS, N - GROUPS, p=weights)],
    }


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_influence_sums_to_zero(metric: Metric) -> None:
    assert np.sum(metric(ALL).influence) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("groups", groupings().values(), ids=groupings())
@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_influence_agrees_with_leaving_out_one_group_at_a_time(metric: Metric, groups: np.ndarray) -> None:
    found, expected = np.bincount(groups, metric(ALL).influence), jackknife(metric, groups)

    assert np.corrcoef(found, expected)[0, 1] > 0.99
    np.testing.assert_allclose(found, expected, atol=0.15 * np.abs(expected).max())


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_error_of_groups_is_the_spread_over_draws_of_groups(metric: Metric) -> None:
    groups = groupings()["equal"]
    members = [np.flatnonzero(groups == group) for group in range(GROUPS)]
    generator = np.random.default_rng(2)
    drawn = [
        metric(np.concatenate([members[group] for group in generator.integers(GROUPS, size=GROUPS)])).value
        for _ in range(300)
    ]

    error = Images(groups, groups, np.zeros(N, np.int64)).standard_error(metric(ALL).influence)

    # 300 draws tell their spread to 4 %; 40 groups drawn with replacement vary by 39 / 40 of the variance.
    assert error == pytest.approx(np.std(drawn), rel=0.12)


def test_the_stated_error_of_a_silhouette_is_that_of_fresh_draws() -> None:
    """Populations apart by one deviation, each drawn apart; 200 draws."""
    values, errors = [], []
    for seed in range(200):
        generator = np.random.default_rng(seed)
        background, target = generator.normal(size=(60, 3)), generator.normal([1, 0, 0], size=(60, 3))
        measured = silhouette(background, target)
        rows = np.arange(120)
        tested = Images(rows, rows, rows >= 60)
        values.append(measured.value)
        errors.append(tested.standard_error(np.asarray(measured.influence)))

    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.15)
