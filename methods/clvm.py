"""CLVM: a linear Gaussian model with factors that both populations share, and factors of the target alone.

Paper: Severson, Ghosh, Ng. "Unsupervised learning with contrastive latent variable models", AAAI 2019, arXiv
1811.06094; released code at commit b35e2c2. Reproduced: its model,

    target      x = mean_t + S z + W t + e        background      y = mean_b + S z + e

with z ~ N(0, I) of `d_common` values, t ~ N(0, I) of `d_salient` values and e ~ N(0, noise I). S, W and the noise
maximise the plain sum of both log-likelihoods, so that the larger population weighs more.

Deviations: the release maximises a mean-field variational bound by noisy gradient steps (Adam, one sample a step); here
the likelihood itself is maximised, by L-BFGS from a spectral start, and by EM where values are missing. Means are not
parameters but the sample's, unless values are missing. Missing values are left out exactly; the release fills them with
zeros and adds latent values. Robust noise and automatic relevance determination are left out. Values are divided by
one standard deviation for both populations, around the mean of each; the mouse script of the release takes that of
the background after the target was overwritten. Complete rows of more than `preprocess_components` values have loadings
in the span of that many leading principal components of both populations; the likelihood counts what lies outside as
noise. Constant values are left out, and rows of which nothing is known. The noise has a floor of 1e-6 of the mean
variance, below which the likelihood of few rows has no bound.

The representation is the posterior mean of z and t given the row as a target's, for rows of either population: the
salient vector of a background row is the t that would explain it best, and not 0 as in the model. The difference of
both means shows in it. S and W have orthogonal columns, the longest first, whose largest entry is positive.

Decoding gives mean_t + S z + W t. A salient vector of exactly 0 stands for a background row: mean_b + S z.

Where the data allow fewer factors than asked for (k + q has to be less than the values that vary, and than the target's
rows less one; k less than the background's rows less one), both vectors are shortened in proportion.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from cabench.config import Settings, setting
from cabench.context import FitContext
from cabench.data.dataset import ContrastiveDataset, DatasetInfo
from cabench.errors import UserError
from cabench.method import Generative, Representation
from cabench.methods.shared.contrastive_factors import Factors, Spread, maximise, spectral_start
from cabench.methods.shared.implicit_covariance import Covariance, ImplicitCovariance
from cabench.methods.shared.incomplete_factors import Model, expectation_maximisation, known_means
from cabench.methods.shared.low_rank_gaussian import orthogonal, posterior
from cabench.methods.shared.moments import (
    check_values,
    deviations,
    moments,
    principal_directions,
    principal_directions_of_rows,
)
from cabench.search import OneOf

CONSTANT = 1e-24
"""Of a value's variance, relative to its mean square: what is below is rounding of its mean."""
FEWEST = {"background": 3, "target": 4}
"""Training rows, with which one factor of each kind can be told from noise."""


@dataclass(frozen=True)
class CLVMConfig(Settings):
    """Defaults: the released class (card F1)."""

    d_common: int = setting(10, at_least=1, help="largest size of the common vector; too few leak into the salient one")
    d_salient: int = setting(2, at_least=1, help="largest size of the salient vector")
    scaling: Literal["pooled", "none"] = setting(
        "pooled", search=OneOf("pooled", "none"), help="by which standard deviation every value is divided"
    )
    preprocess_components: int = setting(1000, at_least=2, help="of larger rows, the directions loadings may have")
    iterations: int = setting(2000, at_least=1, help="at most so many steps of L-BFGS, and of EM")


class Fitted(NamedTuple):
    """What a fit finds.

    Attributes:
        mean: float64 (2, values), of background and target before scaling.
        scale: float64 (values,), by which values were divided: one number for all where they are not scaled.
        factors: float64 loadings of scaled values, (values, k) and (values, q), and the variance of the noise.
    """

    mean: Tensor
    scale: Tensor
    factors: Factors


class _Reduced(NamedTuple):
    """Both populations, scaled, in the directions that loadings may have.

    Attributes:
        mean: float64 (2, values), of background and target before scaling.
        scale: float64 (values,), as in `Fitted`.
        basis: float64 (values, d), orthonormal; None stands for the values themselves.
        background: its moments in that basis.
        target: likewise.
    """

    mean: Tensor
    scale: Tensor
    basis: Tensor | None
    background: Spread
    target: Spread


class CLVM(Generative):
    """Contrastive latent variable model; see the module.

    Attributes:
        mean: float64 (2, values), of background and target; set by `fit`, as all others.
        scale: float64 (values,), by which values were divided.
        factors: float64 loadings of scaled values, (values, k) and (values, q), and the variance of the noise.
        image_shape: (channels, height, width); of a table (features,).
    """

    name = "clvm"
    version = 2
    Config = CLVMConfig
    config: CLVMConfig
    takes = ("images", "tables", "missing")
    uses_device = False
    mean: Tensor
    scale: Tensor
    factors: Factors
    image_shape: tuple[int, ...]

    def check(self, info: DatasetInfo) -> None:
        """Refuse rows of which there are too many for their size, too few of them, and fewer than three values."""
        check_values(info, self.name)
        _check_sizes(info, info.counts["train"])

    def fit(self, data: ContrastiveDataset, context: FitContext) -> None:
        """Find means, loadings and noise.

        Raises:
            UserError: where nothing varies, and where too few rows have a value that is known.
        """
        self.image_shape = tuple(data.info.image_shape)
        # A row of which nothing is known tells nothing, but would count as one more to find factors with.
        background, target = (part.images[~part.images.flatten(1).isnan().all(1)] for part in data[1:])
        _check_sizes(data.info, {"background": len(background), "target": len(target)})
        incomplete = bool(background.isnan().any() or target.isnan().any())
        mean, self.scale, factors = (fitted_to_known if incomplete else fitted)(background, target, self.config)
        # Saved tensors are contiguous.
        self.mean = mean.contiguous()
        common, salient = (_canonical(loadings) for loadings in (factors.common, factors.salient))
        self.factors = Factors(common, salient, factors.noise)

    def encode(self, images: Tensor) -> Representation:
        """The posterior means (n, k) of z and (n, q) of t; of rows with missing values, given those that are known."""
        rows = (images.flatten(1).cpu().double() - self.mean[1]) / self.scale
        noise = torch.tensor(self.factors.noise, dtype=torch.float64)
        means = posterior(rows, self.factors.both, noise).means.float()
        common = self.factors.common.shape[1]
        return Representation(means[:, :common], means[:, common:])

    def decode(self, representation: Representation) -> Tensor:
        """Images in [0, 1], or rows of any values; those of a salient vector of 0 are a background's."""
        common, salient = (vectors.cpu().double() for vectors in representation)
        mean = self.mean[(salient != 0).any(1).long()]
        rows = mean + self.scale * (common @ self.factors.common.T + salient @ self.factors.salient.T)
        if len(self.image_shape) > 1:
            rows = rows.clamp(0, 1)
        return rows.float().reshape(-1, *self.image_shape)

    def state_dict(self) -> dict[str, Tensor]:
        """Means (2, values), scale (values,), loadings (values, k) and (values, q), the noise and the images' shape."""
        return {
            "mean": self.mean,
            "scale": self.scale,
            "common": self.factors.common,
            "salient": self.factors.salient,
            "noise": torch.tensor(self.factors.noise, dtype=torch.float64),
            "image_shape": torch.tensor(self.image_shape),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` gave."""
        self.mean, self.scale = state["mean"], state["scale"]
        self.factors = Factors(state["common"], state["salient"], float(state["noise"]))
        self.image_shape = tuple(state["image_shape"].tolist())

    def parameter_count(self) -> int:
        """The number of values of both means and all loadings, and the noise."""
        return self.mean.numel() + self.factors.both.numel() + 1


def fitted(background: Tensor, target: Tensor, config: CLVMConfig) -> Fitted:
    """The model of largest likelihood of complete rows.

    Args:
        background: uint8 (m, channels, height, width) images, or float (m, values) rows of a table.
        target: likewise, n of them.
        config: sizes and scaling.
    """
    few = math.prod(background.shape[1:]) > max(len(background), len(target))
    reduced = (_reduced_from_rows if few else _reduced_from_moments)(background, target, config)
    start = spectral_start(reduced.background, reduced.target, *_sizes(config, reduced))
    found = maximise(reduced.background, reduced.target, start, config.iterations)
    if reduced.basis is not None:
        found = Factors(reduced.basis @ found.common, reduced.basis @ found.salient, found.noise)
    return Fitted(reduced.mean, reduced.scale, found)


def fitted_to_known(background: Tensor, target: Tensor, config: CLVMConfig) -> Fitted:
    """The model of largest likelihood of the known values of rows, searched from that of rows filled by means.

    Args:
        background: float (m, values), NaN = missing.
        target: float (n, values), likewise.
        config: sizes and scaling.
    """
    background, target = background.double(), target.double()
    mean = torch.stack([known_means(background, target), known_means(target, background)])
    centred = [background - mean[0], target - mean[1]]
    scale, varies = _scale(torch.cat(centred).square().nanmean(0).nan_to_num(0.0), mean, config)
    scaled = [rows[:, varies] / scale[varies] for rows in centred]
    without, having = (rows.nan_to_num(0.0) for rows in scaled)
    at_zero = torch.zeros(without.shape[1], dtype=torch.float64)
    filled = fitted(without, having, replace(config, scaling="none"))
    unit, factors = float(filled.scale[0]), filled.factors
    start = Model(Factors(factors.common * unit, factors.salient * unit, factors.noise * unit**2), at_zero, at_zero)
    model = expectation_maximisation(scaled[0], scaled[1], start, config.iterations)
    mean[:, varies] += torch.stack([model.background, model.target]) * scale[varies]
    common, salient = (_at(loadings, varies) for loadings in (model.factors.common, model.factors.salient))
    return Fitted(mean, scale, Factors(common, salient, model.factors.noise))


def _reduced_from_moments(background: Tensor, target: Tensor, config: CLVMConfig) -> _Reduced:
    parts = [moments([images]) for images in (background, target)]
    rows, mean = [part.rows for part in parts], torch.stack([part.mean for part in parts])
    scale, varies = _scale(_mean([part.covariance.diagonal() for part in parts], rows), mean, config)
    factor = varies / scale
    covariances = [part.covariance * factor[:, None] * factor for part in parts]
    basis = principal_directions(_mean(covariances, rows), config.preprocess_components)
    spreads = (
        Spread(count, int(varies.sum()), float(covariance.trace()), basis.T @ covariance @ basis)
        for count, covariance in zip(rows, covariances, strict=True)
    )
    return _Reduced(mean, scale, basis, *spreads)


def _reduced_from_rows(background: Tensor, target: Tensor, config: CLVMConfig) -> _Reduced:
    """The same where the rows of each population are fewer than values, without a covariance of all values."""
    parts = [deviations([images]) for images in (background, target)]
    mean = torch.stack([part.mean for part in parts])
    scale, varies = _scale(torch.cat([part.rows for part in parts]).square().mean(0), mean, config)
    scaled = [part.rows * (varies / scale) for part in parts]
    basis: Tensor | None
    covariances: list[Covariance]
    if len(varies) <= min(sum(map(len, scaled)), config.preprocess_components):
        basis, covariances = None, [ImplicitCovariance.of(rows) for rows in scaled]
    else:
        basis = principal_directions_of_rows(torch.cat(scaled), config.preprocess_components)
        covariances = [_covariance(rows @ basis) for rows in scaled]
    spreads = (
        Spread(len(rows), int(varies.sum()), float(rows.square().sum(1).mean()), covariance)
        for rows, covariance in zip(scaled, covariances, strict=True)
    )
    return _Reduced(mean, scale, basis, *spreads)


def _mean(values: list[Tensor], counts: list[int]) -> Tensor:
    """The mean of two populations' moments over the rows of both."""
    mean: Tensor = (counts[0] * values[0] + counts[1] * values[1]) / sum(counts)
    return mean


def _covariance(centred: Tensor) -> Tensor:
    return centred.T @ centred / len(centred)


def _scale(variance: Tensor, mean: Tensor, config: CLVMConfig) -> tuple[Tensor, Tensor]:
    """What every value is divided by, (values,), and which values vary at all, bool (values,).

    Args:
        variance: (values,), around the mean of each population.
        mean: (2, values).
        config: whether to scale.

    Raises:
        UserError: when no value varies.
    """
    varies = variance > CONSTANT * mean.square().amax(0)
    if not varies.any():
        raise UserError("clvm has nothing to learn from: each training row equals the mean of its population.")
    # One number for all values is no scaling, but the search depends on the unit that values have.
    alike = variance[varies].mean()
    return torch.where(varies & (config.scaling == "pooled"), variance, alike).sqrt(), varies


def _sizes(config: CLVMConfig, reduced: _Reduced) -> tuple[int, int]:
    """How many common and salient factors the data allow, at least one of each."""
    asked = config.d_common + config.d_salient
    allowed = min(asked, reduced.target.values - 1, reduced.target.rows - 2)
    salient = max(1, allowed * config.d_salient // asked)
    return max(1, min(allowed - salient, reduced.background.rows - 2)), salient


def _check_sizes(info: DatasetInfo, rows: Mapping[str, int]) -> None:
    """Refuse too few rows of a population, and rows of fewer than three values."""
    values = math.prod(info.image_shape)
    if values >= 3 and all(rows[population] >= fewest for population, fewest in FEWEST.items()):
        return
    raise UserError(
        f"clvm needs rows of at least 3 values, and to learn from {FEWEST['background']} background and "
        f"{FEWEST['target']} target rows of which something is known, but {info.called} has {values} values, "
        f"{rows['background']} such background and {rows['target']} such target rows; choose a larger data set, or pca."
    )


def _canonical(loadings: Tensor) -> Tensor:
    """The same loadings (values, r), up to a rotation of the factors, with orthogonal columns, the longest first."""
    directions, lengths = orthogonal(loadings)
    return (directions * lengths).contiguous()


def _at(loadings: Tensor, places: Tensor) -> Tensor:
    """Loadings (values, r) that are 0 but for those (used, r) at bool (values,) places."""
    spread = loadings.new_zeros(len(places), loadings.shape[1])
    spread[places] = loadings
    return spread
