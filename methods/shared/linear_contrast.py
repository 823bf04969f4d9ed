"""Directions in which a target's covariance exceeds a background's, times a weight alpha: what contrastive PCAs share.

Both populations are centred by their own mean and, if `standardize`, divided by their own standard deviation (a
constant value becomes 0). Images are first reduced to at most `preprocess_components` principal components of both
populations together. Where there are fewer images than values of an image, covariances are not formed. How alpha and
the salient directions are chosen is up to each method; see `cabench.methods.cpca`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from cabench.config import ConfigError, Settings, config_title, setting
from cabench.context import FitContext
from cabench.data.dataset import ContrastiveDataset, DatasetInfo
from cabench.method import ContrastiveAnalysisMethod, Representation, Taken
from cabench.methods.shared.moments import (
    Moments,
    check_values,
    deviations,
    few_rows,
    leading_directions,
    moments,
    principal_directions,
    principal_directions_of_rows,
)


@dataclass(frozen=True)
class ContrastConfig(Settings):
    """What contrastive PCA is computed from, however its alpha is chosen."""

    components: int = setting(2, at_least=2, help="largest size of both vectors")
    standardize: bool = setting(True, help="divide every value by its standard deviation in its own population")
    preprocess_components: int = setting(1000, at_least=2, help="larger images are first reduced to this many values")

    def __post_init__(self) -> None:
        """Refuse fewer preprocessed values than components."""
        super().__post_init__()
        if self.preprocess_components < self.components:
            name = config_title(type(self))
            raise ConfigError(
                f"{name}.preprocess_components = {self.preprocess_components} is not allowed; "
                f"it must be at least {name}.components = {self.components}."
            )


class Reduced(NamedTuple):
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


class LinearContrast(ContrastiveAnalysisMethod):
    """Salient directions of two covariances, whose difference has a weight alpha that a subclass chooses.

    Attributes:
        alpha: weight of the background's covariance, given or chosen; set by `fit`.
    """

    config: ContrastConfig
    takes: ClassVar[tuple[Taken, ...]] = ("images", "tables")
    improvised_common = True
    alpha: float

    @abstractmethod
    def choose(self, reduced: Reduced, data: ContrastiveDataset) -> tuple[float, Tensor]:
        """Alpha, and the salient directions float64 (values, at most `components`) of scaled images."""

    def check(self, info: DatasetInfo) -> None:
        """Refuse images of which there are too many for their size."""
        check_values(info, self.name)

    def fit(self, data: ContrastiveDataset, context: FitContext) -> None:
        """Choose alpha if it is not given, and find both sets of directions."""
        few = few_rows([data.background.images, data.target.images])
        reduced = (_reduced_from_images if few else _reduced_from_covariances)(data, self.config)
        self.alpha, salient = self.choose(reduced, data)
        common = reduced.basis @ leading_directions(reduced.background, self.config.components)
        self.mean = reduced.mean.float()
        # The scaling of the images goes into the directions, so that encoding is one product.
        self.salient, self.common = ((reduced.scale[:, None] * part).float() for part in (salient, common))

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


def _reduced_from_covariances(data: ContrastiveDataset, config: ContrastConfig) -> Reduced:
    background, target = (moments([part.images]) for part in (data.background, data.target))
    scales = [_scale(part.covariance.diagonal(), config.standardize) for part in (background, target)]
    c_background, c_target = (_scaled(part, scale) for part, scale in zip((background, target), scales, strict=True))
    pooled = (background.rows * c_background + target.rows * c_target) / (background.rows + target.rows)
    basis = principal_directions(pooled, config.preprocess_components)
    return Reduced(target.mean, scales[1], basis, *(basis.T @ c @ basis for c in (c_background, c_target)))


def _reduced_from_images(data: ContrastiveDataset, config: ContrastConfig) -> Reduced:
    """The same where the scaled images themselves are smaller than covariances, which are their products."""
    parts = [deviations([part.images]) for part in (data.background, data.target)]
    scales = [_scale(part.rows.square().mean(0), config.standardize) for part in parts]
    counts = [len(part.rows) for part in parts]
    factors = [part.rows * (scale / max(n - 1, 1) ** 0.5) for part, scale, n in zip(parts, scales, counts, strict=True)]
    pooled = torch.cat([factor * (n / sum(counts)) ** 0.5 for factor, n in zip(factors, counts, strict=True)])
    basis = principal_directions_of_rows(pooled, config.preprocess_components)
    projected = (factor @ basis for factor in factors)
    return Reduced(parts[1].mean, scales[1], basis, *(rows.T @ rows for rows in projected))


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
