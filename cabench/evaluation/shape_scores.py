"""What the shape of the two spaces tells beyond probes: lengths, clouds, clusters, dependence, disentanglement.

All are taken on test images; what predicts them is fitted on training images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cabench.data.dataset import FEWEST_ROWS, IS_TARGET, SPACES, Attribute, Space
from cabench.evaluation.encoded import EncodedSplit
from cabench.evaluation.metrics.disentanglement import dci, dimension_r2, mig
from cabench.evaluation.metrics.shape import cluster_scores, hsic, norm_ratio, silhouette, space_r2
from cabench.evaluation.probes import ProbeConfig
from cabench.evaluation.score import Measurement, NotMeasurableError, Place, Scoring

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
    for attribute in attributes if "salient" in test.spaces else ():
        features, values = test.rows(attribute, "salient", ("target",))
        if attribute.space == "salient" and len(values) >= FEWEST_ROWS:
            shared[attribute.name] = dimension_r2(features, values, attribute.kind == "class")
    return shared


def _populations(scoring: Scoring, test: EncodedSplit) -> None:
    """How background and target images lie to each other."""
    is_target = test.is_target()
    tested = test.tested(np.arange(len(is_target)), is_target)
    measures: list[tuple[str, Space, Callable[[np.ndarray, np.ndarray], Measurement]]] = [
        ("norm_ratio", "salient", norm_ratio),
        *(("silhouette", space, silhouette) for space in SPACES),
    ]
    for metric, space, measure in measures:
        place = Place(space, IS_TARGET, "salient", "all")
        with scoring.skipping([place], [metric]):
            scoring.add(place, metric, measure(*(part.vectors(space) for part in test)), tested)


def _dependence(scoring: Scoring, train: EncodedSplit, test: EncodedSplit, config: ProbeConfig) -> None:
    """What the two spaces say of each other, on target images."""
    fitted, vectors = train.target.vectors, test.target.vectors
    n_train, places = len(train.target), len(test.background) + np.arange(len(test.target))
    tested = test.tested(places)
    place = Place("common", OTHER_SPACE, "salient", "target")
    scoring.measure(place, "hsic", lambda: hsic(vectors("common"), vectors("salient"), tested.groups), tested)
    for one, other in (SPACES, SPACES[::-1]):
        place = Place(one, OTHER_SPACE, other, "target")
        with scoring.skipping([place], ["space_r2"]):
            groups = train.groups[len(train.background) :]
            measured = space_r2(fitted(one), fitted(other), groups, vectors(one), vectors(other), config)
            scoring.add(place, "space_r2", measured, tested, n_train)


def _clusters(scoring: Scoring, test: EncodedSplit, attribute: Attribute) -> None:
    """Whether k-means on target images finds the classes of a salient attribute."""
    place, metrics = Place("salient", attribute.name, "salient", "target"), ("kmeans_ari", "kmeans_nmi")
    with scoring.skipping([place], metrics):
        features, labels = test.rows(attribute, "salient", ("target",))
        for metric, measured in zip(metrics, cluster_scores(features, labels), strict=True):
            scoring.add(place, metric, measured, test.tested(test.indices(attribute, ("target",))))


def _disentanglement(scoring: Scoring, test: EncodedSplit, attributes: Sequence[Attribute]) -> None:
    """Whether the dimensions of the salient space hold one salient attribute each, on target images."""
    for attribute in attributes:
        place = Place("salient", attribute.name, "salient", "target")
        with scoring.skipping([place], ["mig"]):
            features, values = test.rows(attribute, "salient", ("target",))
            _check_enough(len(values), "define it")
            tested = test.tested(test.indices(attribute, ("target",)))
            scoring.add(place, "mig", mig(features, values, attribute.kind == "class"), tested)
    place, metrics = (
        Place("salient", SALIENT_ATTRIBUTES, "salient", "target"),
        ("dci_disentanglement", "dci_completeness"),
    )
    with scoring.skipping([place], metrics):
        features, columns, defined = defined_everywhere(test, attributes)
        _check_enough(len(features), "define all of them")
        for metric, measured in zip(metrics, dci(features, columns), strict=True):
            tested = test.tested(len(test.background) + np.flatnonzero(defined))
            scoring.add(place, metric, measured, tested)


def _check_enough(images: int, define: str) -> None:
    if images < FEWEST_ROWS:
        raise NotMeasurableError(f"only {images} test images {define}; {FEWEST_ROWS} are needed")


def defined_everywhere(
    test: EncodedSplit, attributes: Sequence[Attribute]
) -> tuple[np.ndarray, list[tuple[np.ndarray, bool]], np.ndarray]:
    """Float64 salient features (n, d) of the target images for which all attributes are defined, their values, and
    which of the target images these are: bool (targets,).
    """
    values = [test.target.attributes[attribute.name] for attribute in attributes]
    defined = np.logical_and.reduce([a.is_defined(v) for a, v in zip(attributes, values, strict=True)])
    features = test.target.vectors("salient")[defined]
    columns = [(v[defined], a.kind == "class") for a, v in zip(attributes, values, strict=True)]
    return features, columns, defined
