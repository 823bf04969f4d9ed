"""Double InfoGAN's protocol (method cards C3 and C4): five-fold cross-validation inside the test images.

Logistic regression as it comes on unscaled features, mean accuracy over stratified folds that are not shuffled; the
standard error is of that mean. Salient attributes are read on target images; on `cifar_mnist` the common one on all
images. On `dsprites`, besides, the FactorVAE metric of the salient space. (The released script raises the limit of 100
steps to 1,000 for one method on one data set; here it is 100 for all.)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from sklearn.model_selection import StratifiedKFold

from cabench.data.dataset import SPACES, Attribute
from cabench.evaluation.encoded import EncodedSplit
from cabench.evaluation.factor_vae import factor_vae
from cabench.evaluation.measurement import Measurement, NotMeasurableError
from cabench.evaluation.protocols.default_logistic import fit_default
from cabench.evaluation.score import PopulationName
from cabench.evaluation.scoring import Place, Scoring
from cabench.evaluation.structure import SALIENT_ATTRIBUTES, defined_everywhere

TITLE = "Double InfoGAN (Carton et al., AISTATS 2024)"
DATASETS = ("cifar_mnist", "celeba", "dsprites")
FOLDS = 5


def score(
    scoring: Scoring, dataset: str, train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute]
) -> None:
    """Add all scores of the protocol; `train` takes no part in it."""
    for space in SPACES:
        for attribute in attributes:
            on_all = attribute.space == "common" and dataset == "cifar_mnist"
            if attribute.kind != "class" or (attribute.space == "common" and not on_all):
                continue
            populations: tuple[PopulationName, ...] = ("background", "target") if on_all else ("target",)
            features, labels = test.rows(attribute, space, populations)
            place = Place(space, attribute.name, attribute.space, "all" if on_all else "target")
            accuracies, converged = _cross_validated(features, labels)
            measure = partial(_over_folds, accuracies, labels)
            scoring.measure(place, "accuracy", measure, len(labels), 0, converged)
    if dataset == "dsprites":
        salient = [attribute for attribute in attributes if attribute.space == "salient"]
        features, columns = defined_everywhere(test, salient)
        place = Place("salient", SALIENT_ATTRIBUTES, "salient", "target")
        factors = np.stack([values for values, _ in columns], axis=1)
        scoring.measure(place, "factor_vae", partial(factor_vae, features, factors), len(features))


def _cross_validated(features: np.ndarray, labels: np.ndarray) -> tuple[list[float], bool]:
    """Accuracy of every fold, and whether all fits converged; nothing where a class has fewer rows than folds."""
    if np.unique(labels, return_counts=True)[1].min(initial=len(labels)) < FOLDS or len(np.unique(labels)) < 2:
        return [], True
    accuracies, converged = [], True
    for fitted, tested in StratifiedKFold(FOLDS).split(features, labels):
        model, ended = fit_default(features[fitted], labels[fitted])
        accuracies.append(float(model.score(features[tested], labels[tested])))
        converged = converged and ended
    return accuracies, converged


def _over_folds(accuracies: list[float], labels: np.ndarray) -> Measurement:
    if not accuracies:
        raise NotMeasurableError(f"a class has fewer than {FOLDS} test images, or there is one class")
    majority = np.unique(labels, return_counts=True)[1].max() / len(labels)
    error = np.std(accuracies, ddof=1) / np.sqrt(FOLDS)
    return Measurement(float(np.mean(accuracies)), float(majority), float(error))
