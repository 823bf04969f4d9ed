"""Silhouette of target against background: whether the two populations form two separate clouds.

For each image (b - a) / max(a, b), with a the mean distance to its own population and b that to the other (Rousseeuw,
Journal of Computational and Applied Mathematics 1987); the mean over images. Range [-1, 1]; 0 where the populations
overlap wholly, which is chance. 1 asks for two points: a salient space that also tells target images apart stays below.
The standard error takes images for independent; as all are measured against the same others, it is about half of the
true one where the populations lie apart.
"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import silhouette_samples

from cabench.data.dataset import spaced
from cabench.evaluation.measurement import Measurement, NotMeasurableError
from cabench.evaluation.probes import Scaling

MOST_IMAGES = 1000  # of either population, evenly spaced: distances between all of them are needed


def silhouette(background: np.ndarray, target: np.ndarray) -> Measurement:
    """Mean silhouette of float64 vectors (n, d) and (m, d), standardised together.

    Raises:
        NotMeasurableError: where a population has fewer than two images, or all vectors are equal.
    """
    if min(len(background), len(target)) < 2:
        raise NotMeasurableError("a population has fewer than two images")
    parts = [spaced(part, MOST_IMAGES) for part in (background, target)]
    features = np.concatenate(parts)
    if not np.ptp(features, axis=0).any():
        raise NotMeasurableError("all vectors are equal")
    samples = silhouette_samples(Scaling.of(features)(features), np.repeat([0, 1], [len(part) for part in parts]))
    return Measurement(float(samples.mean()), 0.0, float(samples.std() / np.sqrt(len(samples))))
