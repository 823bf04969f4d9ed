"""Norm ratio: the mean length of background images' salient vectors over that of target images'.

Range [0, infinity). 0 where background images have nothing salient, as contrastive analysis wants it; 1 where both
populations are of equal length, which is what vectors that know nothing of the population give. Lengths are taken from
the origin, as the method left it: for a method that has no origin by construction (a linear one centred elsewhere) the
ratio says less than the AUC does.
"""

import numpy as np

from cabench.evaluation.measurement import Measurement, NotMeasurableError


def norm_ratio(background: np.ndarray, target: np.ndarray) -> Measurement:
    """Norm ratio of float64 salient vectors (n, d) and (m, d), with the delta method's standard error.

    Raises:
        NotMeasurableError: where a population has no images, or all target vectors are zero.
    """
    if not min(len(background), len(target)):
        raise NotMeasurableError("a population has no images")
    above, below = np.linalg.norm(background, axis=1), np.linalg.norm(target, axis=1)
    if not below.any():
        raise NotMeasurableError("the salient vectors of all target images are zero")
    ratio = above.mean() / below.mean()
    variance = above.var() / len(above) + ratio**2 * below.var() / len(below)
    return Measurement(float(ratio), 1.0, float(np.sqrt(variance) / below.mean()), perfect=0.0)
