"""Papers' own protocols, so that a number from here can be set beside a printed one.

They are not what methods should be compared by: none looks at every attribute from both spaces and populations, and
their solvers stop after 100 steps whether or not they have converged. All run on representations in evaluation mode and
on whole training splits, where the released scripts use batch statistics and drop incomplete batches (method cards C1
to C4, decisions D5, D19 and D28).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from cabench.data.dataset import IS_TARGET, Attribute
from cabench.errors import UserError, unknown
from cabench.evaluation.contributions import Tested
from cabench.evaluation.encoded import EVERYONE, TARGET, EncodedSplit
from cabench.evaluation.metrics.disentanglement import factor_vae
from cabench.evaluation.metrics.probing import accuracy, balanced_accuracy
from cabench.evaluation.probes import Scaling
from cabench.evaluation.score import Measurement, NotMeasurableError, Place, PopulationName, Score, Scoring
from cabench.evaluation.shape_scores import SALIENT_ATTRIBUTES, defined_everywhere

ITERATIONS = 100
FOLDS = 5


class Protocol(NamedTuple):
    """One paper's evaluation.

    Attributes:
        title: the paper's short name, for tables.
        datasets: names of the data sets that it is defined for.
        score: adds the scores on one data set.
    """

    title: str
    datasets: tuple[str, ...]
    score: Callable[[Scoring, str, EncodedSplit, EncodedSplit, Sequence[Attribute]], None]


def check_protocols(names: Sequence[str], datasets: Sequence[str]) -> None:
    """Refuse a protocol that does not exist, or is not defined for any of the data sets, where there are some.

    Raises:
        UserError: naming it and what there is.
    """
    for name in names:
        if name not in PROTOCOLS:
            raise unknown("protocol", name, list(PROTOCOLS))
        if datasets and not set(datasets) & set(PROTOCOLS[name].datasets):
            allowed, given = ", ".join(PROTOCOLS[name].datasets), ", ".join(map(repr, dict.fromkeys(datasets)))
            raise UserError(f"The protocol {name!r} is defined for {allowed}, not for {given}.")


def protocols_of(dataset: str, names: Sequence[str]) -> list[str]:
    """Those of the protocols that are defined for a data set."""
    return [name for name in names if dataset in PROTOCOLS[name].datasets]


def protocol_scores(
    name: str, dataset: str, train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute]
) -> tuple[Score, ...]:
    """The scores of one cell under a protocol.

    Args:
        name: a key of `PROTOCOLS`.
        dataset: the data set's name, one that the protocol is defined for.
        train: representations of the training images.
        test: those of the test images.
        attributes: of the data set.
    """
    scoring = Scoring(test.blocks.count)
    with threadpool_limits(limits=1):
        PROTOCOLS[name].score(scoring, dataset, train, test, attributes)
    return tuple(scoring.scores)


def fit_default(features: np.ndarray, labels: np.ndarray) -> tuple[LogisticRegression, bool]:
    """The probe that all papers use: scikit-learn's logistic regression as it comes, stopped after 100 steps.

    Args:
        features: float64 (n, d).
        labels: int64 or bool (n,).

    Returns:
        The model, and whether it converged.
    """
    model = LogisticRegression(max_iter=ITERATIONS)
    with warnings.catch_warnings():
        # Non-convergence is recorded with the score instead.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features, labels)
    return model, bool(model.n_iter_.max() < ITERATIONS)


def _sepclr(
    scoring: Scoring, dataset: str, train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute]
) -> None:
    """SepCLR's (method card C1): classes of target images, from unscaled features.

    On `cifar_mnist` accuracy of both attributes; on the other data sets balanced accuracy of every class attribute, and
    of target against background on all images. (The age of CheXpert's patients, read by linear regression in years, is
    not among these scores.)
    """
    on_cifar_mnist = dataset == "cifar_mnist"
    name, metric = ("accuracy", accuracy) if on_cifar_mnist else ("balanced_accuracy", balanced_accuracy)
    for space in train.spaces:
        for attribute in attributes:
            if attribute.kind == "class":
                fitted, tested = (split.rows(attribute, space, ("target",)) for split in (train, test))
                place = Place(space, attribute.name, attribute.space, "target")
                _read(scoring, place, name, metric, fitted, tested, _tested(test, attribute, ("target",)))
        if not on_cifar_mnist:
            fitted, tested = (split.rows(TARGET, space, EVERYONE) for split in (train, test))
            place = Place(space, IS_TARGET, "salient", "all")
            _read(scoring, place, name, metric, fitted, tested, _tested(test, TARGET, EVERYONE))


def _sepvae(
    scoring: Scoring, dataset: str, train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute]
) -> None:
    """SepVAE's (method card C2): accuracy of target images' classes.

    Features are standardised by all training images, background ones too; on `celeba` only the salient attribute is
    read.
    """
    for space in train.spaces:
        scaling = Scaling.of(train.features(space))
        for attribute in attributes:
            if attribute.kind == "class" and not (dataset == "celeba" and attribute.space == "common"):
                rows = [split.rows(attribute, space, ("target",)) for split in (train, test)]
                fitted, tested = ((scaling(features), labels) for features, labels in rows)
                place = Place(space, attribute.name, attribute.space, "target")
                _read(scoring, place, "accuracy", accuracy, fitted, tested, _tested(test, attribute, ("target",)))


def _double_infogan(
    scoring: Scoring, dataset: str, train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute]
) -> None:
    """Double InfoGAN's (method cards C3 and C4): five-fold cross-validation inside the test images.

    Mean accuracy on unscaled features over stratified folds that are not shuffled; the standard error is of that mean.
    Salient attributes are read on target images; on `cifar_mnist` the common one on all images. On `dsprites`, besides,
    the FactorVAE metric of the salient space. (The released script raises the limit of 100 steps to 1,000 for one
    method on one data set; here it is 100 for all.) The training images take no part.
    """
    for space in test.spaces:
        for attribute in attributes:
            on_all = attribute.space == "common" and dataset == "cifar_mnist"
            if attribute.kind != "class" or (attribute.space == "common" and not on_all):
                continue
            populations: tuple[PopulationName, ...] = ("background", "target") if on_all else ("target",)
            features, labels = test.rows(attribute, space, populations)
            place = Place(space, attribute.name, attribute.space, "all" if on_all else "target")
            accuracies, converged = _cross_validated(features, labels)
            measure = partial(_over_folds, accuracies, labels)
            scoring.measure(place, "accuracy", measure, _tested(test, attribute, populations), 0, converged)
    if dataset == "dsprites" and "salient" in test.spaces:
        salient = [attribute for attribute in attributes if attribute.space == "salient"]
        features, columns, defined = defined_everywhere(test, salient)
        place = Place("salient", SALIENT_ATTRIBUTES, "salient", "target")
        factors = np.stack([values for values, _ in columns], axis=1)
        everywhere = test.tested(len(test.background) + np.flatnonzero(defined))
        scoring.measure(place, "factor_vae", partial(factor_vae, features, factors), everywhere)


def _read(
    scoring: Scoring,
    place: Place,
    name: str,
    metric: Callable[[np.ndarray, np.ndarray], Measurement],
    fitted: tuple[np.ndarray, np.ndarray],
    tested: tuple[np.ndarray, np.ndarray],
    groups: Tested,
) -> None:
    """Add a metric of the papers' probe, unless there is one class to learn or no image to test on."""
    (features, labels), (rows, truth) = fitted, tested
    if len(np.unique(labels)) < 2 or not len(truth):
        return
    model, converged = fit_default(features, labels)
    measure = partial(metric, truth, model.predict(rows))
    scoring.measure(place, name, measure, groups, len(labels), converged)


def _tested(test: EncodedSplit, attribute: Attribute, populations: Sequence[PopulationName]) -> Tested:
    """The test rows for which an attribute is defined."""
    values = test.values(attribute, populations)
    return test.tested(test.indices(attribute, populations), values[attribute.is_defined(values)])


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


PROTOCOLS: Mapping[str, Protocol] = {
    "sepclr": Protocol("SepCLR (Louiset et al., ICLR 2024)", ("cifar_mnist", "celeba", "chexpert", "odir"), _sepclr),
    "sepvae": Protocol("SepVAE (Louiset et al., 2023)", ("cifar_mnist", "celeba"), _sepvae),
    "double-infogan": Protocol(
        "Double InfoGAN (Carton et al., AISTATS 2024)", ("cifar_mnist", "celeba", "dsprites"), _double_infogan
    ),
}
