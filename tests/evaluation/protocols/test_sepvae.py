"""SepVAE's protocol against plain scikit-learn code written from method card C2."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import StandardScaler

from cabench.data.dataset import SPACES
from cabench.evaluation.protocols import protocol_scores


def expected_accuracy(cell, space: str, name: str, scaled_by: str = "all") -> float:
    """Accuracy on target images, of features standardised by all training rows or by target rows alone."""
    parts = {"all": list(cell.train), "target": [cell.train.target]}[scaled_by]
    scaler = StandardScaler().fit(np.concatenate([part.spaces[space] for part in parts]).astype(float))
    features, tested = (scaler.transform(split.target.spaces[space].astype(float)) for split in (cell.train, cell.test))
    labels, truth = (split.target.attributes[name] for split in (cell.train, cell.test))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(max_iter=100).fit(features, labels)
    return accuracy_score(truth, model.predict(tested))


@pytest.mark.parametrize(("dataset", "names"), [("cifar_mnist", ("object", "digit")), ("celeba", ("digit",))])
def test_scores_are_those_of_scikit_learn_on_targets(cell, dataset, names):
    scores = protocol_scores("sepvae", dataset, *cell)
    assert {(s.space, s.attribute, s.population, s.metric): s.value for s in scores} == {
        (space, name, "target", "accuracy"): pytest.approx(expected_accuracy(cell, space, name), abs=1e-12)
        for space in SPACES
        for name in names
    }
    assert {(s.n_train, s.n_test) for s in scores} == {(300, 250)}


def test_background_images_take_part_in_the_scaling(cell):
    values = {(s.space, s.attribute): s.value for s in protocol_scores("sepvae", "cifar_mnist", *cell)}
    alone = {place: expected_accuracy(cell, *place, scaled_by="target") for place in values}
    assert values != pytest.approx(alone, abs=1e-3)


def test_a_constant_feature_does_no_harm(cell):
    def widened(split):
        parts = {}
        for name, part in split._asdict().items():
            constant = np.full((len(part.spaces["common"]), 1), 0.1, np.float32)
            parts[name] = part._replace(
                spaces={space: np.concatenate([values, constant], axis=1) for space, values in part.spaces.items()}
            )
        return split._replace(**parts)

    plain = protocol_scores("sepvae", "cifar_mnist", *cell)
    wide = protocol_scores("sepvae", "cifar_mnist", widened(cell.train), widened(cell.test), cell.attributes)
    assert [s.value for s in wide] == pytest.approx([s.value for s in plain], abs=0.005)
