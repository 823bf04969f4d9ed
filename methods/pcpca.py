"""Probabilistic contrastive PCA: a Gaussian that fits targets well and backgrounds badly; fills unknown values.

Paper: Li, Jones, Engelhardt. "Probabilistic contrastive principal component analysis", Annals of Applied Statistics
18(3), 2024. Reproduced: the objective and the closed form of the released code (pcpca, commit 763e61c).

Both populations, each centred by its own mean, are rows of N(0, W W' + noise I). Maximised over W and the noise is

    sum over targets of log p(x) - gamma (n / m) sum over backgrounds of log p(y)

with n targets and m backgrounds. This `gamma` is the grid of the paper's scripts, m / n times the gamma of its
formulas, and the alpha of contrastive PCA. The maximum is a formula (`cabench.methods.shared.contrastive_ppca`).

The salient vector is E[t | x] = (W' W + noise I)^-1 W' (x - mean), with the target's mean. As the columns of W are
orthogonal, these are the scores of contrastive PCA of the same alpha, each rescaled: probes that scale what they read
cannot tell the two apart. What this method alone has is a density: `log_likelihood` of a row, and `impute`, the
expectation of unknown values given the known ones. Tables with unknown values are fitted on their known values alone.

There is a maximum only for a `gamma` below a bound, which is computed exactly; 0 takes `bound_share` of it.

Deviations from the released code: its bound counts one eigenvalue too many, and beyond the true one its noise is
negative without a word: here such a gamma is refused. Populations are centred in `fit`, and not scaled (its scripts
standardise each population by itself before). gamma is chosen without labels, where its scripts compare silhouettes of
known classes. With unknown values, the code takes 500 steps of Adam on rows that are not centred, with the noise
floored at 1e-4; here L-BFGS climbs the same likelihood from the closed form of filled rows, the target's mean
included, and the background's mean is that of its own model with gamma = 0. The bound is then that of rows filled by
each population's own such model. Where the known values have no maximum at a chosen gamma, it is halved until they
have, and after three times 0; a given one is refused. A maximum may be a local one. A value that no target knows has no
part in W. As many components as values are an error there; here there are at most one fewer than the directions in
which targets vary, and of common ones likewise.

With a third of the values unknown or more, maxima at a large gamma can have a huge W and impute worse than means do:
set a small one.

Probabilistic contrastive PCA has no common space. Here the common vector is the row's projection on the leading
principal directions of the background, unknown values filled by the background's own model. The salient vector of a
background image is E[t | x] as for a target. `decode` gives mean + W t + the part of the common vector's directions
that is orthogonal to W: an image's salient part is exactly what its salient vector says. The mean is the target's or,
for a salient vector of zeros, the background's: how populations differ on average is in neither space.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from cabench.config import ConfigError, Settings, setting
from cabench.context import FitContext
from cabench.data.dataset import ContrastiveDataset, DatasetInfo, example_shape
from cabench.errors import UserError
from cabench.method import Generative, Representation
from cabench.methods.shared.contrastive_ppca import (
    JointCovariances,
    closed_form,
    gamma_bound,
    joint_covariances,
    most_components,
    of_known_values,
)
from cabench.methods.shared.incomplete_factors import known_means
from cabench.methods.shared.low_rank_gaussian import LowRankGaussian
from cabench.methods.shared.moments import check_values
from cabench.search import Linear

HALVED = 3
"""How many times a chosen gamma is halved where the likelihood of known values has no maximum, before it is 0."""

TOO_FLAT = (
    "pcpca models a signal and noise around it, but the target's training rows vary in fewer than two directions, next "
    "to the largest variance; use more rows or features, or standardise them."
)
LEARNED = ("directions", "lengths", "noise")
"""Of each of both models, which have one mean."""


@dataclass(frozen=True)
class PCPCAConfig(Settings):
    """Defaults: two components as in the paper's scripts; gamma at nine tenths of its bound (card F4)."""

    components: int = setting(2, at_least=1, help="largest size of both vectors")
    gamma: float = setting(
        0.0, at_least=0, help="weight of a background row's log-likelihood; 0 takes bound_share of the largest allowed"
    )
    bound_share: float = setting(
        0.9,
        at_least=0,
        at_most=0.999,
        search=Linear(0, 0.99),
        help="where gamma is 0, its share of its bound; 0 is probabilistic PCA",
    )

    def __post_init__(self) -> None:
        """Refuse a gamma that no data allow."""
        super().__post_init__()
        if self.gamma >= 1:
            raise ConfigError(
                f"pcpca.gamma = {self.gamma} is not allowed; it must be below 1, as a background row may not weigh as "
                "much as a target row, and for most data below a smaller bound; 0 chooses one."
            )


class _Fit(NamedTuple):
    """Both models, and the gamma of the target's."""

    target: LowRankGaussian
    background: LowRankGaussian
    gamma: float


class PCPCA(Generative):
    """Probabilistic contrastive principal component analysis; see the module.

    Attributes:
        gamma: weight of a background row, given or chosen; set by `fit`.
        target: the model of the target, float64; set by `fit`.
        background: probabilistic PCA of the background, with the target's mean.
        background_mean: float64 (values,), the background's; decoded where a salient vector is 0.
        image_shape: of one image or row.
    """

    name = "pcpca"
    version = 2
    Config = PCPCAConfig
    config: PCPCAConfig
    takes = ("images", "tables", "missing")
    improvised_common = True
    uses_device = False
    gamma: float
    target: LowRankGaussian
    background: LowRankGaussian
    background_mean: Tensor
    image_shape: tuple[int, ...]

    def check(self, info: DatasetInfo) -> None:
        """Refuse images of which there are too many for their size."""
        check_values(info, self.name)

    def fit(self, data: ContrastiveDataset, context: FitContext) -> None:
        """Choose gamma if it is not given, and find both models.

        Raises:
            UserError: for a gamma beyond its bound, naming it, for targets that vary in fewer than two directions, and
                where nothing is known of any background row.
        """
        background, target = data.background.images, data.target.images
        self.image_shape = tuple(target.shape[1:])
        unknown = target.ndim == 2 and bool(data.images.isnan().any())
        found = self._fit_known(background.double(), target.double()) if unknown else self._fit(background, target)
        # New rows are centred by the target's mean, whatever population they are of.
        self.target, self.background = found.target, found.background._replace(mean=found.target.mean)
        self.background_mean = found.background.mean
        self.gamma = found.gamma

    def encode(self, images: Tensor) -> Representation:
        """Projections (n, k) on background directions, and E[t | x] (n, at most `components`); NaN = unknown."""
        rows = _rows(images)
        centred = self.background.filled(rows) - self.background.mean
        return Representation((centred @ self.background.directions).float(), self.target.codes(rows).float())

    def decode(self, representation: Representation) -> Tensor:
        """See `Generative.decode`."""
        common, salient = (vectors.cpu().double() for vectors in representation)
        shared, own = common @ self.background.directions.T, self.target.directions
        mean = torch.where((salient != 0).any(1)[:, None], self.target.mean, self.background_mean)
        rows = mean + salient @ self.target.loadings.T + shared - shared @ own @ own.T
        decoded = rows.float().reshape(-1, *self.image_shape)
        return decoded if len(self.image_shape) == 1 else decoded.clamp(0, 1)

    def impute(self, images: Tensor) -> Tensor:
        """Rows with each unknown value replaced by its expectation under the target's model.

        Args:
            images: float32 (n, features), NaN = unknown; images have no unknown values.
        """
        return self.target.filled(_rows(images)).float().reshape(images.shape)

    def log_likelihood(self, images: Tensor) -> Tensor:
        """The log-density of the known values of each image under the target's model, float64 (n,).

        Args:
            images: as of `encode`.
        """
        return self.target.log_likelihood(_rows(images))

    def state_dict(self) -> dict[str, Tensor]:
        """Both models, gamma and the shape of an image."""
        models = {
            f"{part}.{name}": getattr(model, name).contiguous()
            for part, model in (("target", self.target), ("background", self.background))
            for name in LEARNED
        }
        gamma = torch.tensor(self.gamma, dtype=torch.float64)
        means = {"mean": self.target.mean, "background_mean": self.background_mean}
        return {**means, "gamma": gamma, "image_shape": torch.tensor(self.image_shape), **models}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over both models, gamma and the shape of an image."""
        self.target, self.background = (
            LowRankGaussian(state["mean"], *(state[f"{part}.{name}"] for name in LEARNED))
            for part in ("target", "background")
        )
        self.background_mean = state["background_mean"]
        self.gamma = float(state["gamma"])
        self.image_shape = example_shape(state["image_shape"].tolist())

    def parameter_count(self) -> int:
        """The number of values of the mean, both sets of directions with their lengths, and both noises."""
        return sum(value.numel() for value in (*self.target, *self.background[1:]))

    def _fit(self, background: Tensor, target: Tensor) -> _Fit:
        """By the closed form."""
        joint = joint_covariances(background, target)
        count, gamma = self._settled(joint)
        return _Fit(closed_form(joint, count, gamma), _own(joint.exchanged(), self.config.components), gamma)

    def _fit_known(self, background: Tensor, target: Tensor) -> _Fit:
        """By L-BFGS on known values, from the closed form of rows that each population's own model has filled.

        Values that no target knows are no part of the target's model: their loadings could only grow.
        """
        # Rows of which nothing is known tell nothing, but would count as rows.
        background, target = (rows[~rows.isnan().all(1)] for rows in (background, target))
        if not (len(background) and len(target)):
            raise UserError("pcpca has nothing to learn from: no value is known of any training row of a population.")
        known = ~target.isnan().all(0)
        if known.sum() < 2:
            raise UserError(TOO_FLAT)
        of_background, _ = _of_own_known_values(background, self.config.components)
        filled, background, target = of_background.filled(background)[:, known], background[:, known], target[:, known]
        of_target, is_maximum = _of_own_known_values(target, self.config.components)
        joint = joint_covariances(filled, of_target.filled(target))
        count, gamma = self._settled(joint)
        means = of_background.mean
        for lowered in [gamma] if self.config.gamma else _halves(gamma) if is_maximum else []:
            found = of_known_values(background, target, lowered, closed_form(joint, count, lowered), means[known])
            if found is not None:
                return _Fit(_among(found, known, means), of_background, lowered)
        if self.config.gamma:
            raise UserError(
                f"pcpca.gamma = {gamma:.4g} is not allowed on these data: with {count} components the likelihood "
                "of the known values grows without limit. Set a smaller one, or 0 to choose one."
            )
        return _Fit(_among(of_target, known, means), of_background, 0.0)

    def _settled(self, joint: JointCovariances) -> tuple[int, float]:
        """The number of columns of W, and gamma."""
        count = most_components(joint.target, self.config.components)
        if count == 0:
            raise UserError(TOO_FLAT)
        bound = gamma_bound(joint, count)
        gamma = self.config.gamma or self.config.bound_share * bound
        if gamma >= bound:
            raise UserError(
                f"pcpca.gamma = {gamma:.4g} is not allowed on these data; with {count} components it must be below "
                f"{bound:.4g}, from where on the likelihood has no maximum. Set a smaller one, or 0 to choose."
            )
        return count, gamma


def _halves(gamma: float) -> list[float]:
    return [gamma * 0.5**times for times in range(HALVED + 1)]


def _among(model: LowRankGaussian, known: Tensor, mean: Tensor) -> LowRankGaussian:
    """A model of the `known` values, bool (values,), as one of all, the others about their `mean` (values,)."""
    directions = mean.new_zeros(len(mean), model.lengths.numel())
    directions[known] = model.directions
    return LowRankGaussian(torch.where(known, 0, mean).index_put((known,), model.mean), directions, *model[2:])


def _own(joint: JointCovariances, count: int) -> LowRankGaussian:
    """Probabilistic PCA of the target alone."""
    return closed_form(joint, min(count, max(most_components(joint.target, count), 1)), 0.0)


def _of_own_known_values(rows: Tensor, count: int) -> tuple[LowRankGaussian, bool]:
    """Probabilistic PCA of one population by its known values, and whether these have a maximum.

    Where they have none, as each row knows too few, it is that of rows filled by means, from which the search begins.
    """
    means = known_means(rows, rows)
    joint = joint_covariances(*[torch.where(rows.isnan(), means, rows)] * 2)
    start = _own(joint, count)
    found = of_known_values(rows, rows, 0.0, start, means)
    return (start, False) if found is None else (found, True)


def _rows(images: Tensor) -> Tensor:
    """Float64 (n, values) on the CPU."""
    return images.flatten(1).cpu().double()
