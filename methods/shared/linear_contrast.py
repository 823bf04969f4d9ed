"""Directions in which a target's covariance exceeds a background's, times a weight alpha: what contrastive PCAs share.

Both populations are centred by their own mean and, if `standardize`, divided by their own standard deviation (a
constant value becomes 0). Images are first reduced to at most `preprocess_components` principal components of the rows
of both populations together. Where each population has fewer images than an image has values, covariances are not
formed; only where the images of both together span all values, and `preprocess_components` keeps these, the basis is as
large, and no larger than the images. How alpha and the salient directions are chosen is up to each method; see
`cabench.methods.cpca`.

Decoding is algebra. With S the salient and B the common directions of scaled images, both vectors say where an image
lies along them, s = S' z and c = B' z. The image that is decoded is a mean plus, without the scaling,

    P_S z + (I - P_S) P_B z,    P_S z = S (S'S)^-1 s,    P_B z = B (B'B)^-1 c,

the orthogonal projections on both spans: of the common part, only what is at right angles to the salient directions.
So an image's salient part is what its salient vector says. The mean is the target's or, for a salient vector of zeros,
the background's: how populations differ on average is in neither space. Such zeros (a removal) take away P_S z and that
difference; another image's salient vector (a swap) puts that image's part in its place. What a reconstruction lacks is
(I - P_S)(I - P_B) z, which is nothing for images in the span of B, or of both where these are at right angles. Values
that are constant in the target are decoded as the mean.
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
from cabench.method import Generative, Representation, Taken
from cabench.methods.shared.moments import (
    check_values,
    deviations,
    few_rows,
    inverse_deviations,
    moments,
    principal_directions,
    principal_directions_of_rows,
    resolved,
)
from cabench.search import OneOf

INDEPENDENT = torch.finfo(torch.float32).eps ** 0.5
"""Directions are decoded as one where no more of the shorter is at right angles to the other: vectors are float32."""


@dataclass(frozen=True)
class ContrastConfig(Settings):
    """What contrastive PCA is computed from, however its alpha is chosen."""

    components: int = setting(2, at_least=1, help="largest size of both vectors")
    standardize: bool = setting(
        True, search=OneOf(True, False), help="divide every value by its standard deviation in its own population"
    )
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
        background_mean: float64 (values,).
        target_mean: likewise.
        scale: float64 (values,), the factors of the target's values.
        basis: float64 (values, reduced), orthonormal.
        background: float64 (reduced, reduced), the unbiased covariance of scaled background images in this basis.
        target: likewise.
        background_variance: the mean variance of those scaled values that vary in the background; 0 if none does.
    """

    background_mean: Tensor
    target_mean: Tensor
    scale: Tensor
    basis: Tensor
    background: Tensor
    target: Tensor
    background_variance: float


class LinearContrast(Generative):
    """Salient directions of two covariances, whose difference has a weight alpha that a subclass chooses.

    Attributes:
        alpha: weight of the background's covariance, given or chosen; set by `fit`.
    """

    config: ContrastConfig
    takes: ClassVar[tuple[Taken, ...]] = ("images", "tables")
    improvised_common = True
    uses_device = False
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
        reduced = (_reduced_from_rows if few else _reduced_from_covariances)(data, self.config)
        self.alpha, salient = self.choose(reduced, data)
        common = reduced.basis @ principal_directions(reduced.background, self.config.components)
        self.shape = torch.tensor(data.target.images.shape[1:])
        self.background_mean, self.mean = reduced.background_mean.float(), reduced.target_mean.float()
        # The scaling of the images goes into the directions, so that encoding and decoding are one product.
        scale = reduced.scale[:, None]
        self.salient, self.common = ((scale * part).float() for part in (salient, common))
        parts = _decoding(torch.where(scale > 0, salient, 0), torch.where(scale > 0, common, 0))
        self.salient_parts, self.common_parts = (torch.where(scale > 0, part / scale, 0).float() for part in parts)

    def encode(self, images: Tensor) -> Representation:
        """The projections (n, at most `components`) on background directions and on salient directions."""
        centred = images.flatten(1).cpu() - self.mean
        return Representation(centred @ self.common, centred @ self.salient)

    def decode(self, representation: Representation) -> Tensor:
        """See `Generative.decode` and the module: a population's mean and the parts that both vectors stand for."""
        common, salient = (vectors.cpu() for vectors in representation)
        mean = torch.where((salient != 0).any(1)[:, None], self.mean, self.background_mean)
        rows = mean + common @ self.common_parts.T + salient @ self.salient_parts.T
        images = rows.reshape(-1, *self.shape.tolist())
        return images if len(self.shape) == 1 else images.clamp(0, 1)

    def state_dict(self) -> dict[str, Tensor]:
        """Both means (values,), encoding and decoding directions (values, k), an image's shape and alpha."""
        return {
            "shape": self.shape,
            "mean": self.mean,
            "background_mean": self.background_mean,
            "common": self.common,
            "salient": self.salient,
            "common_parts": self.common_parts,
            "salient_parts": self.salient_parts,
            "alpha": torch.tensor(self.alpha, dtype=torch.float64),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over shape, mean, directions and alpha."""
        self.shape = state["shape"]
        self.mean, self.background_mean = state["mean"], state["background_mean"]
        self.common, self.salient = state["common"], state["salient"]
        self.common_parts, self.salient_parts = state["common_parts"], state["salient_parts"]
        self.alpha = float(state["alpha"])

    def parameter_count(self) -> int:
        """The number of values that encoding takes: of the target's mean and of both sets of directions."""
        return self.mean.numel() + self.common.numel() + self.salient.numel()


def _decoding(salient: Tensor, common: Tensor) -> tuple[Tensor, Tensor]:
    """What vectors are multiplied by to give scaled images: (values, k) for the salient and for the common ones.

    Args:
        salient: float64 (values, k), of any lengths and angles.
        common: likewise.
    """
    own, shared = (torch.linalg.pinv(part, rtol=INDEPENDENT).T for part in (salient, common))
    return own, shared - own @ (salient.T @ shared)


def _reduced_from_covariances(data: ContrastiveDataset, config: ContrastConfig) -> Reduced:
    parts = [moments([part.images]) for part in (data.background, data.target)]
    variances = [resolved(part.covariance.diagonal(), part.mean) for part in parts]
    scales = [_scale(variance, config.standardize) for variance in variances]
    free = [max(part.rows - 1, 1) for part in parts]
    scatters = [
        part.covariance.mul_(scale[:, None]).mul_(part.rows * scale) for part, scale in zip(parts, scales, strict=True)
    ]
    basis = principal_directions(scatters[0] + scatters[1], config.preprocess_components)
    background, target = (basis.T @ scatter @ basis / n for scatter, n in zip(scatters, free, strict=True))
    average = _average(variances[0] * scales[0].square()) * parts[0].rows / free[0]
    return Reduced(parts[0].mean, parts[1].mean, scales[1], basis, background, target, average)


def _reduced_from_rows(data: ContrastiveDataset, config: ContrastConfig) -> Reduced:
    """The same where the scaled images themselves are smaller than covariances, which are their products."""
    parts = [deviations([part.images]) for part in (data.background, data.target)]
    variances = [resolved(part.rows.square().mean(0), part.mean) for part in parts]
    scales = [_scale(variance, config.standardize) for variance in variances]
    free = [max(len(part.rows) - 1, 1) for part in parts]
    scaled = [part.rows.mul_(scale) for part, scale in zip(parts, scales, strict=True)]
    basis = principal_directions_of_rows(torch.cat(scaled), config.preprocess_components)
    projected = [rows @ basis for rows in scaled]
    background, target = (rows.T @ rows / n for rows, n in zip(projected, free, strict=True))
    average = _average(variances[0] * scales[0].square()) * len(parts[0].rows) / free[0]
    return Reduced(parts[0].mean, parts[1].mean, scales[1], basis, background, target, average)


def _scale(variance: Tensor, standardize: bool) -> Tensor:
    """The factor of every value: 1, or one over its standard deviation (0 where it is constant)."""
    return inverse_deviations(variance) if standardize else torch.ones_like(variance)


def _average(variance: Tensor) -> float:
    """The mean of the variances (values,) that are not 0; 0 if all are."""
    varies = variance > 0
    return (variance.sum() / varies.sum().clamp(min=1)).item()
