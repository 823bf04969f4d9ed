"""FactorVAE metric: whether the dimension that varies least while a factor is fixed tells which factor it is.

(Kim and Mnih, ICML 2018, as Double InfoGAN's script computes it: method card C4.) Groups of 100 images share the value
of one factor; every dimension is divided by its standard deviation over all images; the dimension of least variance in
the group is the group's vote. The score is how many of 500 votes are right when each dimension stands for the factor
that it most often belongs to, counted on the same votes. Range [0, 1]; chance is what one dimension for all would
reach, the share of the most frequent factor among the groups.
"""

from __future__ import annotations

import numpy as np

from cabench.evaluation.measurement import Measurement, NotMeasurableError

VOTES = 500
GROUP = 100


def factor_vae(features: np.ndarray, factors: np.ndarray) -> Measurement:
    """FactorVAE metric; groups are drawn with replacement under a fixed seed.

    Args:
        features: float64 (n, d).
        factors: float64 (n, number of factors).

    Raises:
        NotMeasurableError: where there are no images, or every dimension is constant.
    """
    spread = features.std(axis=0) if len(features) else np.zeros(1)
    varying = spread > 0
    if not varying.any():
        raise NotMeasurableError("no dimension varies")
    scaled = features[:, varying] / spread[varying]
    generator = np.random.default_rng(0)
    votes = np.zeros((scaled.shape[1], factors.shape[1]), dtype=int)
    for _ in range(VOTES):
        factor = generator.integers(factors.shape[1])
        shared = np.flatnonzero(factors[:, factor] == generator.choice(factors[:, factor]))
        group = scaled[generator.choice(shared, GROUP)]
        votes[group.var(axis=0).argmin(), factor] += 1
    right = votes.max(axis=1).sum() / VOTES
    error = np.sqrt(right * (1 - right) / VOTES)
    return Measurement(float(right), float(votes.sum(axis=0).max() / VOTES), float(error))
