"""The FactorVAE metric on representations that hold factors apart, mixed, or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from cabench.evaluation.factor_vae import VOTES, factor_vae
from cabench.evaluation.measurement import NotMeasurableError


def factors(seed: int = 0, n: int = 3000, levels: tuple[int, ...] = (4, 5, 3)) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return np.stack([generator.integers(0, level, n) for level in levels], axis=1).astype(float)


def test_one_dimension_for_each_factor_is_perfect() -> None:
    truth = factors()

    measured = factor_vae(truth[:, [2, 0, 1]], truth)

    assert (measured.value, measured.standard_error, measured.perfect) == (1.0, 0.0, 1.0)


def test_dimensions_that_hold_no_factor_are_not_in_the_way() -> None:
    truth = factors()
    useless = np.random.default_rng(1).normal(size=(3000, 2))

    assert factor_vae(np.c_[useless, truth * [1e-3, 1e3, 1]], truth).value == 1.0


def test_chance_is_the_share_of_the_most_frequent_factor() -> None:
    # Each of three factors is fixed in a third of 500 groups, but for 4 standard deviations of a multinomial share.
    assert 1 / 3 <= factor_vae(factors(), factors()).chance < 1 / 3 + 4 * np.sqrt(2 / 9 / VOTES)


def test_one_dimension_alone_reaches_chance_exactly() -> None:
    measured = factor_vae(np.random.default_rng(2).normal(size=(3000, 1)), factors())

    assert measured.value == measured.chance


def test_noise_reaches_chance_but_for_majorities_counted_on_the_same_votes() -> None:
    measured = factor_vae(np.random.default_rng(3).normal(size=(3000, 2)), factors())

    # Two dimensions of about 250 votes each: the largest of three shares lies about one deviation, 0.03, above 1/3.
    assert measured.chance <= measured.value < measured.chance + 0.06


def test_two_factors_mixed_evenly_are_not_told_apart() -> None:
    truth = factors(levels=(4, 5))
    first, second = ((truth - truth.mean(axis=0)) / truth.std(axis=0)).T

    # Either factor, once fixed, leaves both dimensions the same variance.
    measured = factor_vae(np.c_[first + second, first - second], truth)

    assert measured.chance <= measured.value < measured.chance + 0.06


def test_unit_of_a_dimension_does_not_matter() -> None:
    truth = factors()
    inexact = truth + 0.05 * np.random.default_rng(5).normal(size=truth.shape)

    assert factor_vae(inexact * [1e-3, 1e3, 1], truth).value == factor_vae(inexact, truth).value == 1.0


@pytest.mark.filterwarnings("error")
def test_a_constant_dimension_gets_no_vote() -> None:
    truth = factors()

    assert factor_vae(np.c_[np.full(3000, 7.0), truth], truth) == factor_vae(truth, truth)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("features", [np.ones((50, 3)), np.empty((0, 3))], ids=["constant", "empty"])
def test_what_does_not_vary_is_refused(features: np.ndarray) -> None:
    with pytest.raises(NotMeasurableError, match="no dimension varies"):
        factor_vae(features, factors(n=len(features)))


def test_repeats_itself() -> None:
    features, truth = np.random.default_rng(4).normal(size=(500, 3)), factors(n=500)

    assert factor_vae(features, truth) == factor_vae(features, truth)
