"""SepCLR's protocol against plain scikit-learn code written from method card C1."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.preprocessing import StandardScaler

from cabench.data.dataset import SPACES
from cabench.evaluation.protocols import protocol_scores


def predicted(features: np.ndarray, labels: np.ndarray, tested: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression().fit(features, labels).predict(tested)


def table(dataset: str, cell) -> dict[tuple[str, ...], float]:
    scores = protocol_scores("sepclr", dataset, *cell)
    values = {(s.space, s.attribute, s.population, s.metric): s.value for s in scores}
    assert len(values) == len(scores)
    return values


def test_on_cifar_mnist_both_attributes_are_read_on_targets_alone(cell):
    expected = {}
    for space in SPACES:
        for name in ("object", "digit"):
            features, tested = (split.target.spaces[space].astype(float) for split in (cell.train, cell.test))
            labels, truth = (split.target.attributes[name] for split in (cell.train, cell.test))
            value = accuracy_score(truth, predicted(features, labels, tested))
            expected[space, name, "target", "accuracy"] = pytest.approx(value, abs=1e-12)
    assert table("cifar_mnist", cell) == expected


@pytest.mark.parametrize("dataset", ["celeba", "chexpert", "odir"])
def test_elsewhere_balanced_accuracy_and_target_against_background_on_all_images(dataset, cell):
    expected = {}
    for space in SPACES:
        for name in ("object", "digit"):
            features, tested = (split.target.spaces[space].astype(float) for split in (cell.train, cell.test))
            labels, truth = (split.target.attributes[name] for split in (cell.train, cell.test))
            value = balanced_accuracy_score(truth, predicted(features, labels, tested))
            expected[space, name, "target", "balanced_accuracy"] = pytest.approx(value, abs=1e-12)
        features, tested = (
            np.concatenate([split.background.spaces[space], split.target.spaces[space]]).astype(float)
            for split in (cell.train, cell.test)
        )
        value = balanced_accuracy_score([0] * 200 + [1] * 250, predicted(features, [0] * 400 + [1] * 300, tested))
        expected[space, "is_target", "all", "balanced_accuracy"] = pytest.approx(value, abs=1e-12)
    assert table(dataset, cell) == expected


def test_features_are_not_scaled(cell):
    scaler = StandardScaler().fit(cell.train.target.spaces["salient"])
    features, tested = (scaler.transform(split.target.spaces["salient"]) for split in (cell.train, cell.test))
    labels, truth = (split.target.attributes["digit"] for split in (cell.train, cell.test))
    scaled = accuracy_score(truth, predicted(features, labels, tested))
    assert table("cifar_mnist", cell)["salient", "digit", "target", "accuracy"] != pytest.approx(scaled, abs=1e-3)


def test_scores_carry_chance_ideal_and_how_many_images(cell):
    (score,) = [
        s for s in protocol_scores("sepclr", "cifar_mnist", *cell) if (s.space, s.attribute) == ("common", "digit")
    ]
    majority = np.bincount(cell.test.target.attributes["digit"]).max() / 250
    assert (score.attribute_space, score.chance, score.ideal) == ("salient", majority, majority)
    assert (score.n_train, score.n_test) == (300, 250)
