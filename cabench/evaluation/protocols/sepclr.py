"""SepCLR's protocol (method card C1): logistic regression as it comes on unscaled features.

On `cifar_mnist` accuracy of both attributes, on target images alone; on the other data sets balanced accuracy of every
class attribute on target images, and of target against background on all images. (The age of CheXpert's patients, read
by linear regression in years, is not among these scores.)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from cabench.data.dataset import IS_TARGET, SPACES, Attribute
from cabench.evaluation.accuracy import accuracy
from cabench.evaluation.balanced_accuracy import balanced_accuracy
from cabench.evaluation.encoded import EncodedSplit
from cabench.evaluation.protocols.default_logistic import fit_default, has_classes
from cabench.evaluation.scoring import Place, Scoring

TITLE = "SepCLR (Louiset et al., ICLR 2024)"
DATASETS = ("cifar_mnist", "celeba", "chexpert", "odir")


def score(
    scoring: Scoring, dataset: str, train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute]
) -> None:
    """Add all scores of the protocol."""
    on_cifar_mnist = dataset == "cifar_mnist"
    name, metric = ("accuracy", accuracy) if on_cifar_mnist else ("balanced_accuracy", balanced_accuracy)
    for space in SPACES:
        for attribute in attributes:
            if attribute.kind == "class":
                features, labels = train.rows(attribute, space, ("target",))
                tested, truth = test.rows(attribute, space, ("target",))
                if not has_classes(labels, truth):
                    continue
                model, converged = fit_default(features, labels)
                measure = partial(metric, truth, model.predict(tested))
                place = Place(space, attribute.name, attribute.space, "target")
                scoring.measure(place, name, measure, len(truth), len(labels), converged)
        if not on_cifar_mnist:
            model, converged = fit_default(train.features(space), train.is_target())
            measure = partial(metric, test.is_target(), model.predict(test.features(space)))
            n_test, n_train = len(test.is_target()), len(train.is_target())
            scoring.measure(Place(space, IS_TARGET, "salient", "all"), name, measure, n_test, n_train, converged)
