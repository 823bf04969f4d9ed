"""Disentanglement and completeness of representations whose importances are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cabench.evaluation.dci import dci
from cabench.evaluation.measurement import NotMeasurableError

KINDS, LEVELS = (np.tile(np.ravel(part), 20) for part in np.meshgrid(np.arange(4), np.arange(5)))
BOTH = ((KINDS, True), (LEVELS / 4, False))


def scores(features: np.ndarray, attributes=BOTH) -> tuple[float, float]:
    disentanglement, completeness = dci(features.astype(float), attributes)
    return disentanglement.value, completeness.value


def test_one_dimension_for_each_attribute_is_perfect() -> None:
    assert scores(np.c_[LEVELS, KINDS]) == (pytest.approx(1.0), pytest.approx(1.0))


def test_dimensions_that_hold_nothing_are_not_in_the_way() -> None:
    useless = np.random.default_rng(0).normal(size=(400, 6))

    assert scores(np.c_[useless, LEVELS, KINDS]) == (pytest.approx(1.0, abs=1e-3), pytest.approx(1.0, abs=1e-3))


def test_attributes_mixed_evenly_in_two_dimensions_are_neither() -> None:
    generator = np.random.default_rng(1)
    first, second = generator.normal(size=(2, 1500))

    mixed = scores(np.c_[first + second, first - second], ((first, False), (second, False)))

    assert mixed == (pytest.approx(0.0, abs=0.02), pytest.approx(0.0, abs=0.02))


def test_noise_gives_chance() -> None:
    generator = np.random.default_rng(2)

    measured = dci(generator.normal(size=(400, 4)), BOTH)

    for item in measured:
        assert item.value == pytest.approx(item.chance, abs=0.02)


def test_permuted_labels_give_chance() -> None:
    generator = np.random.default_rng(3)
    features = np.c_[LEVELS, KINDS] + 0.1 * generator.normal(size=(400, 2))

    permuted = scores(features, [(generator.permutation(values), is_class) for values, is_class in BOTH])

    assert permuted == (pytest.approx(0.0, abs=0.02), pytest.approx(0.0, abs=0.02))


def test_one_dimension_of_two_attributes_is_complete_and_not_disentangled() -> None:
    useless = np.random.default_rng(4).normal(size=400)

    disentanglement, completeness = scores(np.c_[KINDS * 5 + LEVELS, useless])

    assert completeness > 0.98
    assert disentanglement < 0.02


def test_a_one_hot_code_is_disentangled_and_as_complete_as_its_entropy_says() -> None:
    disentanglement, completeness = scores(np.c_[np.eye(4)[KINDS], LEVELS])

    # Four of five dimensions serve the class alike, one the level; both attributes weigh the same.
    assert disentanglement == pytest.approx(1.0)
    assert completeness == pytest.approx((1 - math.log(4) / math.log(5) + 1) / 2, abs=0.03)


def test_an_attribute_that_cannot_be_predicted_has_no_weight() -> None:
    constant = (np.zeros(400), False)

    assert scores(np.c_[KINDS, LEVELS], (*BOTH, constant)) == (pytest.approx(1.0), pytest.approx(1.0))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1e9, 3e37])
def test_scale_of_the_features_does_not_matter(scale: float) -> None:
    assert scores(scale * np.c_[LEVELS, KINDS]) == (pytest.approx(1.0), pytest.approx(1.0))


@pytest.mark.filterwarnings("error")
def test_nearly_as_many_classes_as_images_are_classes_all_the_same() -> None:
    generator = np.random.default_rng(5)

    for item in dci(generator.normal(size=(40, 3)), ((np.arange(40) // 1, True), (np.arange(40) % 2, True))):
        assert 0 <= item.value <= 1


def test_a_single_dimension_is_refused() -> None:
    with pytest.raises(NotMeasurableError, match="one dimension"):
        dci(KINDS[:, None].astype(float), BOTH)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
def test_constant_dimensions_are_refused(constant: float) -> None:
    with pytest.raises(NotMeasurableError, match="no dimension helps"):
        dci(np.full((400, 3), constant), BOTH)
