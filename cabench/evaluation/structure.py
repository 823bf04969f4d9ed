"""What the shape of the two spaces tells beyond probes: lengths, clouds, clusters, dependence, disentanglement.

All are taken on test images; what predicts them is fitted on training images.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

import numpy as np

from cabench.data.dataset import FEWEST_ROWS, IS_TARGET, SPACES, Attribute
from cabench.evaluation.disentanglement import dci, dimension_r2, mig
from cabench.evaluation.encoded import EncodedSplit
from cabench.evaluation.probes import ProbeConfig
from cabench.evaluation.score import Place, Scoring
from cabench.evaluation.shape_metrics import cluster_scores, hsic, norm_ratio, silhouette, space_r2

OTHER_SPACE = "other_space"
SALIENT_ATTRIBUTES = "salient_attributes"


def score_structure(
    scoring: Scoring, train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute], config: ProbeConfig
) -> None:
    """Add all scores but those of probes."""
    _populations(scoring, test)
    _dependence(scoring, train, test, config)
    salient = [attribute for attribute in attributes if attribute.space == "salient"]
    for attribute in salient:
        if attribute.kind == "class":
            _clusters(scoring, test, attribute)
    if len(salient) > 1:  # disentanglement is of attributes from each other
        _disentanglement(scoring, test, salient)


def dimensions(test: EncodedSplit, attributes: Sequence[Attribute]) -> dict[str, list[float]]:
    """By salient attribute, what each dimension of the salient space shares with it on target test images."""
    shared = {}
    for attribute in attributes:
        features, values = test.rows(attribute, "salient", ("target",))
        if attribute.space == "salient" and len(values) >= FEWEST_ROWS:
            shared[attribute.name] = dimension_r2(features, values, attribute.kind == "class")
    return shared


def _populations(scoring: Scoring, test: EncodedSplit) -> None:
    """How background and target images lie to each other."""
    n_test = len(test.is_target())
    background, target = (part.spaces["salient"].astype(np.float64) for part in test)
    place = Place("salient", IS_TARGET, "salient", "all")
    measure = partial(norm_ratio, background, target)
    scoring.measure(place, "norm_ratio", measure, n_test)
    for space in SPACES:
        parts = (part.spaces[space].astype(np.float64) for part in test)
        place = Place(space, IS_TARGET, "salient", "all")
        scoring.measure(place, "silhouette", partial(silhouette, *parts), n_test)


def _dependence(scoring: Scoring, train: EncodedSplit, test: EncodedSplit, config: ProbeConfig) -> None:
    """What the two spaces say of each other, on target images."""
    fitted, tested = (
        {space: split.target.spaces[space].astype(np.float64) for space in SPACES} for split in (train, test)
    )
    n_test, n_train = len(tested["common"]), len(fitted["common"])
    place = Place("common", OTHER_SPACE, "salient", "target")
    scoring.measure(place, "hsic", partial(hsic, tested["common"], tested["salient"]), n_test)
    for one, other in (SPACES, SPACES[::-1]):
        measure = partial(space_r2, fitted[one], fitted[other], tested[one], tested[other], config)
        scoring.measure(Place(one, OTHER_SPACE, other, "target"), "space_r2", measure, n_test, n_train)


def _clusters(scoring: Scoring, test: EncodedSplit, attribute: Attribute) -> None:
    """Whether k-means on target images finds the classes of a salient attribute."""
    features, labels = test.rows(attribute, "salient", ("target",))
    scores = cache(partial(cluster_scores, features, labels))
    place = Place("salient", attribute.name, "salient", "target")
    scoring.measure(place, "kmeans_ari", lambda: scores()[0], len(labels))
    scoring.measure(place, "kmeans_nmi", lambda: scores()[1], len(labels))


def _disentanglement(scoring: Scoring, test: EncodedSplit, attributes: Sequence[Attribute]) -> None:
    """Whether the dimensions of the salient space hold one salient attribute each, on target images."""
    for attribute in attributes:
        features, values = test.rows(attribute, "salient", ("target",))
        place = Place("salient", attribute.name, "salient", "target")
        if len(values) < FEWEST_ROWS:
            scoring.skip(place, "mig", f"only {len(values)} test images define it; {FEWEST_ROWS} are needed")
            continue
        scoring.measure(place, "mig", partial(mig, features, values, attribute.kind == "class"), len(values))
    features, columns = defined_everywhere(test, attributes)
    place = Place("salient", SALIENT_ATTRIBUTES, "salient", "target")
    if len(features) < FEWEST_ROWS:
        for metric in ("dci_disentanglement", "dci_completeness"):
            scoring.skip(
                place, metric, f"only {len(features)} test images define all of them; {FEWEST_ROWS} are needed"
            )
        return
    scores = cache(partial(dci, features, columns))
    scoring.measure(place, "dci_disentanglement", lambda: scores()[0], len(features))
    scoring.measure(place, "dci_completeness", lambda: scores()[1], len(features))


def defined_everywhere(
    test: EncodedSplit, attributes: Sequence[Attribute]
) -> tuple[np.ndarray, list[tuple[np.ndarray, bool]]]:
    """Float64 salient features (n, d) of the target images for which all attributes are defined, and their values."""
    values = [test.target.attributes[attribute.name] for attribute in attributes]
    defined = np.logical_and.reduce([a.is_defined(v) for a, v in zip(attributes, values, strict=True)])
    features = test.target.spaces["salient"][defined].astype(np.float64)
    columns = [(v[defined], a.kind == "class") for a, v in zip(attributes, values, strict=True)]
    return features, columns
