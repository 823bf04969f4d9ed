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

Deviations: that choice of alpha; directions in which neither population varies by more than rounding are left out (at
large alpha they would have the largest eigenvalue, zero); the eigen-solver is symmetric, and spans the same subspace;
clustering is seeded; images are encoded with the target's training statistics, by which they are centred, scaled and
projected (the library transforms new data without any).

Where there are fewer images than values of an image, the same is computed from the images and not from covariances.

Contrastive PCA has no common space. Here the common vector is the image's projection on the leading principal
directions of the background. The salient vector of a background image is its projection on the salient directions.
Where the images vary in fewer directions than `components`, vectors have only as many dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cabench.config import ConfigError, Settings, setting
from cabench.context import FitContext
from cabench.data.dataset import ContrastiveDataset, DatasetInfo
from cabench.method import ContrastiveAnalysisMethod, Representation
from cabench.methods.shared.moments import (
    NO_VARIANCE,
    Moments,
    check_values,
    deviations,
    few_rows,
    leading_directions,
    moments,
    principal_directions,
    principal_directions_of_rows,
)

CLUSTERS = 4


@dataclass(frozen=True)
class CPCAConfig(Settings):
    """Defaults: the released library (card A9)."""

    components: int = setting(2, at_least=2, help="largest size of both vectors")
    standardize: bool = setting(True, help="divide every value by its standard deviation in its own population")
    preprocess_components: int = setting(1000, at_least=2, help="larger images are first reduced to this many values")
    alpha: float = setting(0.0, at_least=0, help="weight of the background's covariance; 0 chooses it automatically")
    alpha_count: int = setting(40, at_least=4, help="candidates for alpha besides 0, evenly spaced in their logarithm")
    alpha_range: tuple[float, float] = setting((0.1, 1000.0), above=0, help="smallest and largest candidate besides 0")

    def __post_init__(self) -> None:
        """Refuse a range that ends before it starts, and fewer preprocessed values than components."""
        super().__post_init__()
        if self.alpha_range[0] >= self.alpha_range[1]:
            raise ConfigError(f"cpca.alpha_range = {list(self.alpha_range)} is not allowed; the smaller comes first.")
        if self.preprocess_components < self.components:
            raise ConfigError(
                f"cpca.preprocess_components = {self.preprocess_components} is not allowed; "
                f"it must be at least cpca.components = {self.components}."
            )


class _Reduced(NamedTuple):
    """Both populations in the leading principal components, of both together, that vary at all.

    Attributes:
        mean: float64 (values,), of the target.
        scale: float64 (values,), the factors of the target's values.
        basis: float64 (values, reduced), orthonormal.
        background: float64 (reduced, reduced), the covariance of scaled background images in this basis.
        target: likewise.
    """

    mean: Tensor
    scale: Tensor
    basis: Tensor
    background: Tensor
    target: Tensor


class CPCA(ContrastiveAnalysisMethod):
    """Contrastive principal component analysis of pixels; see the module.

    Attributes:
        alpha: weight of the background's covariance, given or chosen; set by `fit`.
    """

    name = "cpca"
    version = 1
    Config = CPCAConfig
    config: CPCAConfig
    takes = ("images", "tables")
    improvised_common = True
    alpha: float

    def check(self, info: DatasetInfo) -> None:
        """Refuse images of which there are too many for their size."""
        check_values(info, self.name)

    def fit(self, data: ContrastiveDataset, context: FitContext) -> None:
        """Choose alpha if it is not given, and find both sets of directions."""
        config = self.config
        few = few_rows([data.background.images, data.target.images])
        reduced = (_reduced_from_images if few else _reduced_from_covariances)(data, config)
        self.alpha = config.alpha or self._choose_alpha(reduced.target, reduced.background)
        directions = {
            "salient": leading_directions(reduced.target - self.alpha * reduced.background, config.components),
            "common": leading_directions(reduced.background, config.components),
        }
        self.mean = reduced.mean.float()
        # The scaling of the images goes into the directions, so that encoding is one product.
        self.salient, self.common = (
            (reduced.scale[:, None] * (reduced.basis @ directions[space])).float() for space in ("salient", "common")
        )

    def encode(self, images: Tensor) -> Representation:
        """The projections (n, at most `components`) on background directions and on salient directions."""
        centred = images.flatten(1).cpu() - self.mean
        return Representation(centred @ self.common, centred @ self.salient)

    def state_dict(self) -> dict[str, Tensor]:
        """The mean target image (values,), the scaled directions (values, k) and alpha."""
        alpha = torch.tensor(self.alpha, dtype=torch.float64)
        return {"mean": self.mean, "common": self.common, "salient": self.salient, "alpha": alpha}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over mean, directions and alpha."""
        self.mean, self.common, self.salient = state["mean"], state["common"], state["salient"]
        self.alpha = float(state["alpha"])

    def parameter_count(self) -> int:
        """The number of values of the mean and of both sets of directions."""
        return self.mean.numel() + self.common.numel() + self.salient.numel()

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


def _reduced_from_covariances(data: ContrastiveDataset, config: CPCAConfig) -> _Reduced:
    background, target = (moments([part.images]) for part in (data.background, data.target))
    scales = [_scale(part.covariance.diagonal(), config.standardize) for part in (background, target)]
    c_background, c_target = (_scaled(part, scale) for part, scale in zip((background, target), scales, strict=True))
    pooled = (background.rows * c_background + target.rows * c_target) / (background.rows + target.rows)
    basis = principal_directions(pooled, config.preprocess_components)
    return _Reduced(target.mean, scales[1], basis, *(basis.T @ c @ basis for c in (c_background, c_target)))


def _reduced_from_images(data: ContrastiveDataset, config: CPCAConfig) -> _Reduced:
    """The same where the scaled images themselves are smaller than covariances, which are their products."""
    parts = [deviations([part.images]) for part in (data.background, data.target)]
    scales = [_scale(part.rows.square().mean(0), config.standardize) for part in parts]
    counts = [len(part.rows) for part in parts]
    factors = [part.rows * (scale / max(n - 1, 1) ** 0.5) for part, scale, n in zip(parts, scales, counts, strict=True)]
    pooled = torch.cat([factor * (n / sum(counts)) ** 0.5 for factor, n in zip(factors, counts, strict=True)])
    basis = principal_directions_of_rows(pooled, config.preprocess_components)
    projected = (factor @ basis for factor in factors)
    return _Reduced(parts[1].mean, scales[1], basis, *(rows.T @ rows for rows in projected))


def _scale(variance: Tensor, standardize: bool) -> Tensor:
    """The factor of every value: 1, or one over its standard deviation (0 where it is constant)."""
    if not standardize:
        return torch.ones_like(variance)
    # Below this the variance of values in [0, 1] is rounding: one grey level in one of a million images gives more.
    varies = variance > 1e-12
    return torch.where(varies, 1 / torch.where(varies, variance, 1).sqrt(), 0)


def _scaled(part: Moments, scale: Tensor) -> Tensor:
    """The unbiased covariance of scaled values."""
    return part.covariance * scale[:, None] * scale * (part.rows / max(part.rows - 1, 1))


def _orthonormal(directions: Tensor, covariance: Tensor) -> Tensor:
    """Directions of the same span, on which the projected data have unit covariance."""
    variances, rotation = torch.linalg.eigh(directions.T @ covariance @ directions)
    varies = variances > NO_VARIANCE * variances.max()
    # A direction without variance becomes zero, which resembles no other.
    lengths = torch.where(varies, 1 / torch.where(varies, variances, 1).sqrt(), 0)
    orthonormal: Tensor = directions @ rotation * lengths
    return orthonormal
