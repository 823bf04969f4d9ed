"""Contrastive PCA: directions in which targets vary much and backgrounds little.

Paper: Abid, Zhang, Bagaria, Zou. "Exploring patterns enriched in a dataset with contrastive principal component
analysis", Nature Communications 9:2134, 2018. Reproduced: the released library (commit f0d3c33), whose values are the
defaults of `CPCAConfig`.

With both populations centred by their own mean and, if `standardize`, divided by their own standard deviation (a
constant value becomes 0), and C their covariances, the salient directions are the leading eigenvectors of

    C_target - alpha C_background

Images are first reduced to at most `preprocess_components` principal components of both populations together.

Where alpha is not given, it is chosen without labels. The library computes directions for alpha = 0 and 40 values from
0.1 to 1000. Two sets of directions are as alike as the product of the first two singular values of Q_i^T Q_j, where Q
is an orthonormal basis of the projected target data. The library clusters the sets spectrally into four and offers 0
and the medoid of each cluster without 0; a person picks by eye. Here the middle one of those three medoids is taken.
The bases are computed from covariances, which is exact and needs no copy of the data.

Deviations: that choice of alpha; the reduction is exact (the library's PCA is scikit-learn's, which takes a randomised
solver for large inputs); directions in which neither population varies by more than rounding are left out (at large
alpha they would have the largest eigenvalue, zero), and a value counts as constant where it varies by float32's
rounding alone; the eigen-solver is symmetric, and spans the same subspace; clustering is seeded; images are encoded
with the target's training statistics, by which they are centred, scaled and projected (the library transforms new data
without any).

Where each population has fewer images than an image has values, the same is computed from the images and not from
covariances.

Contrastive PCA has no common space. Here the common vector is the image's projection on the leading principal
directions of the background. The salient vector of a background image is its projection on the salient directions.
Where the images, or those of the background alone, vary in fewer directions than `components`, vectors have only as
many dimensions. Images are decoded by algebra (`cabench.methods.shared.linear_contrast`), which is not in the library:
without the salient vector an image has nothing along the salient directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cabench.config import ConfigError, setting
from cabench.data.dataset import ContrastiveDataset
from cabench.methods.shared.linear_contrast import ContrastConfig, LinearContrast, Reduced
from cabench.methods.shared.moments import NO_VARIANCE, leading_directions
from cabench.search import Log

CLUSTERS = 4


@dataclass(frozen=True)
class CPCAConfig(ContrastConfig):
    """Defaults: the released library (card A9)."""

    components: int = setting(2, at_least=2, help="largest size of both vectors; alphas are compared by two directions")
    alpha: float = setting(
        0.0, at_least=0, search=Log(0.1, 1000), help="weight of the background's covariance; 0 chooses it automatically"
    )
    alpha_count: int = setting(40, at_least=4, help="candidates for alpha besides 0, evenly spaced in their logarithm")
    alpha_range: tuple[float, float] = setting((0.1, 1000.0), above=0, help="smallest and largest candidate besides 0")

    def __post_init__(self) -> None:
        """Refuse a range that ends before it starts."""
        super().__post_init__()
        if self.alpha_range[0] >= self.alpha_range[1]:
            raise ConfigError(f"cpca.alpha_range = {list(self.alpha_range)} is not allowed; the smaller comes first.")


class CPCA(LinearContrast):
    """Contrastive principal component analysis of pixels; see the module."""

    name = "cpca"
    version = 2
    Config = CPCAConfig
    config: CPCAConfig

    def choose(self, reduced: Reduced, data: ContrastiveDataset) -> tuple[float, Tensor]:
        """The given alpha, or that of `_choose_alpha`, and the leading directions of the difference."""
        alpha = self.config.alpha or self._choose_alpha(reduced.target, reduced.background)
        directions = leading_directions(reduced.target - alpha * reduced.background, self.config.components)
        return alpha, reduced.basis @ directions

    def _choose_alpha(self, c_target: Tensor, c_background: Tensor) -> float:
        """The middle one of the medoids that the library would offer beside 0."""
        alphas = np.concatenate([[0.0], np.geomspace(*self.config.alpha_range, self.config.alpha_count)])
        bases = [
            _orthonormal(leading_directions(c_target - alpha * c_background, self.config.components), c_target)
            for alpha in alphas
        ]
        # If every alpha gives the same projection, there is no other cluster, and any alpha will do.
        medoids = sorted(medoids_without_first(affinity(bases, c_target))) or [len(alphas) // 2]
        return float(alphas[medoids[len(medoids) // 2]])


def affinity(bases: Sequence[Tensor], covariance: Tensor) -> np.ndarray:
    """How alike projections of the data are: (m, m) products of the first two cosines of their principal angles.

    Args:
        bases: m times (size, k) directions; data projected on them are orthonormal up to the number of rows.
        covariance: (size, size), of the data.
    """
    projected = torch.stack([covariance @ basis for basis in bases])  # (m, size, k)
    cosines = torch.linalg.svdvals(torch.einsum("isk,jsl->ijkl", torch.stack(list(bases)), projected))
    alike: np.ndarray = cosines[..., :2].prod(-1).clamp(0, 1).numpy()
    return alike


def medoids_without_first(similarities: np.ndarray) -> list[int]:
    """The medoids of the four spectral clusters of (m, m) similarities that do not hold the first row."""
    from sklearn.cluster import SpectralClustering  # Late: importing it takes most of a second.

    symmetric = (similarities + similarities.T) / 2
    clusters = SpectralClustering(CLUSTERS, affinity="precomputed", random_state=0).fit_predict(symmetric)
    medoids = []
    for cluster in set(clusters.tolist()) - {int(clusters[0])}:
        members = np.flatnonzero(clusters == cluster)
        medoids.append(int(members[symmetric[np.ix_(members, members)].sum(1).argmax()]))
    return medoids


def _orthonormal(directions: Tensor, covariance: Tensor) -> Tensor:
    """Directions of the same span, on which the projected data have unit covariance."""
    variances, rotation = torch.linalg.eigh(directions.T @ covariance @ directions)
    varies = variances > NO_VARIANCE * variances.max()
    # A direction without variance becomes zero, which resembles no other.
    lengths = torch.where(varies, 1 / torch.where(varies, variances, 1).sqrt(), 0)
    orthonormal: Tensor = directions @ rotation * lengths
    return orthonormal
