"""AUC: the probability that a target image gets a higher score than a background image, ties counted half.

Range [0, 1]; chance is 0.5. The standard error is DeLong's (DeLong, DeLong and Clarke-Pearson, Biometrics 1988).
"""

import numpy as np
from scipy.stats import rankdata

from cabench.evaluation.measurement import Measurement, NotMeasurableError


def auc(is_target: np.ndarray, scores: np.ndarray) -> Measurement:
    """Area under the ROC curve of float64 `scores` (n,) for bool `is_target` (n,).

    Raises:
        NotMeasurableError: where a population has fewer than two images, too few for a standard error.
    """
    positive, negative = scores[is_target], scores[~is_target]
    if min(len(positive), len(negative)) < 2:
        raise NotMeasurableError(
            f"there are {len(positive)} target and {len(negative)} background images; two are needed"
        )
    ranks = rankdata(np.concatenate([positive, negative]))
    # For each image, the part of the other population that it is ranked rightly against (DeLong's placements).
    above = (ranks[: len(positive)] - rankdata(positive)) / len(negative)
    below = 1 - (ranks[len(positive) :] - rankdata(negative)) / len(positive)
    variance = above.var(ddof=1) / len(positive) + below.var(ddof=1) / len(negative)
    return Measurement(float(above.mean()), 0.5, float(np.sqrt(variance)))
