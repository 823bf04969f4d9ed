"""SepVAE's protocol (method card C2): logistic regression of target images' classes, accuracy.

Features are standardised by all training images, background ones too; on `celeba` only the salient attribute is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from cabench.data.dataset import SPACES, Attribute
from cabench.evaluation.accuracy import accuracy
from cabench.evaluation.encoded import EncodedSplit
from cabench.evaluation.probes import Scaling
from cabench.evaluation.protocols.default_logistic import fit_default, has_classes
from cabench.evaluation.scoring import Place, Scoring

TITLE = "SepVAE (Louiset et al., 2023)"
DATASETS = ("cifar_mnist", "celeba")


def score(
    scoring: Scoring, dataset: str, train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute]
) -> None:
    """Add all scores of the protocol."""
    for space in SPACES:
        scaling = Scaling.of(train.features(space))
        for attribute in attributes:
            if attribute.kind != "class" or (dataset == "celeba" and attribute.space == "common"):
                continue
            features, labels = train.rows(attribute, space, ("target",))
            tested, truth = test.rows(attribute, space, ("target",))
            if not has_classes(labels, truth):
                continue
            model, converged = fit_default(scaling(features), labels)
            measure = partial(accuracy, truth, model.predict(scaling(tested)))
            place = Place(space, attribute.name, attribute.space, "target")
            scoring.measure(place, "accuracy", measure, len(truth), len(labels), converged)
