"""How clearly projected rows fall into clusters, without labels: the mean silhouette of k-means."""

from __future__ import annotations

import numpy as np

STARTS = 10
STEPS = 10


def cluster_score(projected: np.ndarray, clusters: int) -> float | None:
    """The mean silhouette, in [-1, 1], of the clusters that k-means finds; None where there are none to be found.

    Exact duplicates count once. All columns are divided by the range of the first, so they keep their relative sizes.

    Args:
        projected: float64 (n, k).
        clusters: how many to look for, at least 2.
    """
    from sklearn.cluster import KMeans  # Late: importing it takes most of a second.
    from sklearn.metrics import silhouette_score

    if not len(projected) or projected.shape[1] == 0 or not np.abs(projected).any(0).all():
        return None
    rows = np.unique(projected, axis=0)
    spread = np.ptp(rows[:, 0])
    if spread == 0 or len(rows) <= clusters:
        return None
    rows = rows / spread
    found = KMeans(clusters, n_init=STARTS, max_iter=STEPS, random_state=0).fit_predict(rows)
    return float(silhouette_score(rows, found)) if 1 < len(set(found.tolist())) < len(rows) else None
