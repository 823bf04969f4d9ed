"""Double InfoGAN's protocol against plain scikit-learn code written from method cards C3 and C4."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from cabench.data.dataset import SPACES, Attribute
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.evaluation.protocols import protocol_scores
from cabench.evaluation.score import Score

SHAPE = Attribute("shape", "salient", "class", ("square", "ellipse", "heart"))
FACTORS = (SHAPE, *(Attribute(name, "salient", "real") for name in ("scale", "orientation", "x", "y")))


def folds(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return cross_val_score(LogisticRegression(), features.astype(float), labels, cv=5)


def by_place(scores: tuple[Score, ...]) -> dict[tuple[str, ...], Score]:
    return {(s.space, s.attribute, s.population, s.metric): s for s in scores}


def test_on_cifar_mnist_the_digit_is_read_on_targets_and_the_object_on_all_images(cell):
    scores = by_place(protocol_scores("double-infogan", "cifar_mnist", *cell))
    test = cell.test
    expected = {}
    for space in SPACES:
        expected[space, "digit", "target", "accuracy"] = folds(
            test.target.spaces[space], test.target.attributes["digit"]
        )
        expected[space, "object", "all", "accuracy"] = folds(
            np.concatenate([part.spaces[space] for part in test]),
            np.concatenate([part.attributes["object"] for part in test]),
        )
    assert set(scores) == set(expected)
    for place, accuracies in expected.items():
        assert scores[place].value == pytest.approx(accuracies.mean(), abs=1e-12)
        assert scores[place].standard_error == pytest.approx(accuracies.std(ddof=1) / 5**0.5, abs=1e-12)
    assert {(s.attribute, s.n_train, s.n_test) for s in scores.values()} == {("digit", 0, 250), ("object", 0, 450)}


def test_on_celeba_only_the_salient_attribute_is_read(cell):
    scores = by_place(protocol_scores("double-infogan", "celeba", *cell))
    assert {place[1:] for place in scores} == {("digit", "target", "accuracy")}


def test_training_images_take_no_part(cell):
    shuffled = np.random.default_rng(1).permutation(300)
    target = cell.train.target
    spaces = {space: values[shuffled] for space, values in target.spaces.items()}
    other = cell.train._replace(target=target._replace(spaces=spaces))
    assert protocol_scores("double-infogan", "cifar_mnist", other, *cell[1:]) == protocol_scores(
        "double-infogan", "cifar_mnist", *cell
    )


@pytest.mark.parametrize("rare", [0, 4])
def test_a_class_with_fewer_images_than_folds_gives_no_score(cell, rare):
    values = np.repeat([0, 1], [250 - rare, rare])
    target = cell.test.target
    test = cell.test._replace(target=target._replace(attributes={**target.attributes, "digit": values}))
    scores = by_place(protocol_scores("double-infogan", "cifar_mnist", cell.train, test, cell.attributes))
    assert {place[1] for place in scores} == {"object"}


# FactorVAE


def sprites(features: np.ndarray, factors: np.ndarray) -> EncodedSplit:
    values = {a.name: factors[:, k].astype(int if a.kind == "class" else float) for k, a in enumerate(FACTORS)}
    spaces = {"common": features.astype(np.float32), "salient": features.astype(np.float32)}
    part = EncodedPopulation(spaces, values)
    undefined = {a.name: np.full(len(factors), a.undefined()) for a in FACTORS}
    return EncodedSplit(part._replace(attributes=undefined), part)


def factor_vae_of(features: np.ndarray, factors: np.ndarray) -> Score:
    split = sprites(features, factors)
    scores = by_place(protocol_scores("double-infogan", "dsprites", split, split, FACTORS))
    return scores["salient", "salient_attributes", "target", "factor_vae"]


def drawn_factors(generator: np.random.Generator) -> np.ndarray:
    return generator.integers(0, [3, 6, 10, 8, 8], (2000, 5))


def test_one_dimension_a_factor_gives_a_factor_vae_score_of_one() -> None:
    generator = np.random.default_rng(0)
    factors = drawn_factors(generator)
    disentangled = factors[:, [3, 0, 4, 2, 1]] * np.array([1e-3, 5.0, -100.0, 1.0, 7.0])
    score = factor_vae_of(disentangled, factors)
    assert (score.value, score.ideal, score.n_test) == (1.0, 1.0, 2000)


def test_noise_gives_a_factor_vae_score_near_chance() -> None:
    generator = np.random.default_rng(0)
    score = factor_vae_of(generator.normal(size=(2000, 5)), drawn_factors(generator))
    assert 0.2 <= score.chance < 0.25
    # Each dimension's majority is counted on the votes themselves, which is worth a few points.
    assert score.chance < score.value < score.chance + 0.1


def test_a_mixed_space_gives_what_another_draw_of_groups_gives() -> None:
    generator = np.random.default_rng(0)
    factors = drawn_factors(generator)
    features = np.concatenate([factors[:, :2] + 0.3 * generator.normal(size=(2000, 2)), factors @ np.ones((5, 3))], 1)
    features = features + generator.normal(size=features.shape) * [0, 0, 1, 1, 1]
    votes = np.zeros((5, 5))
    for _ in range(500):
        factor = generator.integers(5)
        group = generator.choice(np.flatnonzero(factors[:, factor] == factors[generator.integers(2000), factor]), 100)
        votes[(features[group].var(axis=0) / features.var(axis=0)).argmin(), factor] += 1
    assert 0.3 < votes.max(axis=1).sum() / 500 < 0.9
    assert factor_vae_of(features, factors).value == pytest.approx(votes.max(axis=1).sum() / 500, abs=0.06)


def test_a_constant_salient_space_has_no_factor_vae_score() -> None:
    split = sprites(np.ones((100, 5)), drawn_factors(np.random.default_rng(0))[:100])
    scores = protocol_scores("double-infogan", "dsprites", split, split, FACTORS)
    assert {s.metric for s in scores} == {"accuracy"}
