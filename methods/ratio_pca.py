"""Ratio PCA: directions in which targets vary many times as much as backgrounds; one generalised eigenproblem.

Papers, which are all one method: de Oliveira, Garg, Hjerling-Leffler, Batista-Brito, Sjulson. "Identifying patterns
differing between high-dimensional datasets with generalized contrastive PCA", PLOS Computational Biology, 2025 (gcPCA,
versions 2 to 4); rhoPCA (Pachter's group, code of 2025); Salloum, Kuo, cPCA++; discriminative PCA, arXiv 1710.09429.
Reproduced is their mathematics, in code of our own: with both populations centred by their own mean and C their
covariances, the salient directions are the leading eigenvectors of

    C_target v = ratio * C_background v,      with v^T C_background v = 1

Background vectors then have variance 1, target vectors the variance `ratio`. gcPCA's version 2, rhoPCA, cPCA++ and dPCA
give `ratio` as the value of a direction, version 3 gives ratio - 1, version 4 (ratio - 1) / (ratio + 1): the directions
and their order are the same. Any invertible linear map of the values of both populations leaves the vectors as they are
(without ridge and reduction). There is no weight of the background to choose, as contrastive PCA's alpha.

- `ridge` moves both covariances towards the same noise, (1 - ridge) C + ridge * g * I, where g is the mean variance of
  a value over both. Without it, directions in which the background happens not to vary have an infinite ratio.
- `scaling`: "none"; "pooled" divides each value by one standard deviation, the root of its mean variance in both
  populations; "population" by its own in each, gcPCA's default, which hides that a value varies more in the target.
- `directions`: "joint" are the eigenvectors, uncorrelated in both populations but not at right angles; "orthogonal"
  takes the first, then the first among directions at right angles to it, and so on (of scaled values).
- Data are first reduced to at most `preprocess_components` principal components of both populations, each population
  weighing the same.

Deviations: gcPCA scales by population unless told otherwise (rhoPCA does not scale), gives unit directions and scores
of unit norm, and scores the raw rows of what it fitted to normalised ones; here rows are scored as they were fitted,
with the target's training mean and scaling, new ones too (gcPCA stores neither; rhoPCA does not centre the rows that it
projects; cPCA++ centres both populations by the background's mean). The published ridges change the background alone
(gcPCA, where it is ill-conditioned, by its largest eigenvalue / 1e13; rhoPCA by 1e-6 of its mean variance): pure noise
then has high ratios; here the same noise in both pulls its ratio to 1. Directions in which neither population varies by
more than rounding are left out. gcPCA keeps all directions, and its orthogonal versions take the highest and the lowest
value in turn; here only the highest are kept. gcPCA's sparse variant and its test by shuffling are not here.

There is no common space. Here the common vector is the row's projection on the leading principal directions of the
background. The salient vector of a background row is its projection on the salient directions, as for a target row.
Where the data vary in fewer directions than `components`, vectors have only as many dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from cabench.config import ConfigError, Settings, setting
from cabench.context import FitContext
from cabench.data.dataset import ContrastiveDataset, DatasetInfo
from cabench.errors import UserError
from cabench.method import ContrastiveAnalysisMethod, Representation
from cabench.methods.shared.moments import NO_VARIANCE, check_values, inverse_deviations, principal_directions
from cabench.methods.shared.ratios import Scaling, joint, leading_ratios, orthogonal_ratios, signs, unscaled
from cabench.search import Log, OneOf


@dataclass(frozen=True)
class RatioPCAConfig(Settings):
    """Defaults: card F2, two components as of contrastive PCA."""

    components: int = setting(2, at_least=1, help="largest size of both vectors")
    ridge: float = setting(
        0.01, at_least=0, at_most=0.99, search=Log(1e-4, 0.5), help="share of equal noise in both covariances"
    )
    scaling: Literal["none", "pooled", "population"] = setting(
        "none",
        search=OneOf("none", "pooled", "population"),
        help="by what standard deviation every value is divided: none, one of both populations, or its own",
    )
    directions: Literal["joint", "orthogonal"] = setting(
        "joint", search=OneOf("joint", "orthogonal"), help="eigenvectors, or one after the other at right angles"
    )
    preprocess_components: int = setting(2000, at_least=1, help="larger data are first reduced to this many values")

    def __post_init__(self) -> None:
        """Refuse fewer preprocessed values than components."""
        super().__post_init__()
        if self.preprocess_components < self.components:
            raise ConfigError(
                f"ratio_pca.preprocess_components = {self.preprocess_components} is not allowed; "
                f"it must be at least ratio_pca.components = {self.components}."
            )


class RatioPCA(ContrastiveAnalysisMethod):
    """Principal component analysis by the ratio of variances; see the module.

    Attributes:
        ratios: float64 (k,), the variance of the target's salient vectors, where the background's is 1; set by `fit`.
    """

    name = "ratio_pca"
    version = 2
    Config = RatioPCAConfig
    config: RatioPCAConfig
    takes = ("images", "tables")
    improvised_common = True
    uses_device = False
    ratios: Tensor

    def check(self, info: DatasetInfo) -> None:
        """Refuse data that are too many and large, and, without a ridge, too few background rows."""
        check_values(info, self.name)
        rows = info.counts["train"]["background"]
        values = min(math.prod(info.image_shape), self.config.preprocess_components)
        if self.config.ridge == 0 and rows <= values:
            raise UserError(
                f"ratio_pca.ridge = 0 needs more background rows than values, but {info.called} has {rows} to learn "
                f"from, of {values} values each; set ratio_pca.ridge above 0, such as 0.01, or "
                f"ratio_pca.preprocess_components below {rows}."
            )

    def fit(self, data: ContrastiveDataset, context: FitContext) -> None:
        """Find both sets of directions.

        Raises:
            UserError: where nothing varies, or the background does not in a direction, and there is no ridge.
        """
        config = self.config
        plain = joint(data, config.preprocess_components, SCALINGS[config.scaling])
        noisy = plain.with_ridge(config.ridge)
        find = {"joint": leading_ratios, "orthogonal": orthogonal_ratios}[config.directions]
        shares, vectors = find(noisy.target, noisy.background, config.components)
        background = 1 - shares  # of the sum of both variances, which is 1
        if background.min() <= NO_VARIANCE:
            raise UserError(
                f"The background of {data.info.called} does not vary in some directions in which the target does, so "
                "the ratio of variances is infinite; set ratio_pca.ridge above 0, such as 0.01."
            )
        self.ratios = shares / background
        self.mean = plain.target_mean
        # The scaling of the values goes into the directions, so that encoding is one product.
        scaled_basis = plain.target_scale[:, None] * plain.basis
        salient = scaled_basis @ (vectors / background.sqrt())
        self.salient = salient * signs(salient)
        self.common = scaled_basis @ principal_directions(plain.background, config.components)

    def encode(self, images: Tensor) -> Representation:
        """The projections (n, at most `components`) on background directions and on salient directions."""
        centred = images.flatten(1).cpu().double() - self.mean
        return Representation((centred @ self.common).float(), (centred @ self.salient).float())

    def state_dict(self) -> dict[str, Tensor]:
        """Float64: the mean target row (values,), the scaled directions (values, k) and the ratios (k,)."""
        return {"mean": self.mean, "common": self.common, "salient": self.salient, "ratios": self.ratios}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over mean, directions and ratios."""
        self.mean, self.common, self.salient = state["mean"], state["common"], state["salient"]
        self.ratios = state["ratios"]

    def parameter_count(self) -> int:
        """The number of values of the mean and of both sets of directions."""
        return self.mean.numel() + self.common.numel() + self.salient.numel()


def _pooled(background: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    factors = inverse_deviations((background + target) / 2)
    return factors, factors


def _by_population(background: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return inverse_deviations(background), inverse_deviations(target)


SCALINGS: Mapping[str, Scaling] = {"none": unscaled, "pooled": _pooled, "population": _by_population}
