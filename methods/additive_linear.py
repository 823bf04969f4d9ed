"""Additive separation in closed form: the linear map that takes the salient part out of a row, and leaves the common.

No paper: derived for this benchmark, as the linear case of Diff-CA (Soumm et al., arXiv 2606.06120), whose theorem says
when it is right. A target row is the sum of a common part, which has the same distribution as backgrounds, and of a
salient part that is independent of it; backgrounds have no salient part. If both lie in linear subspaces that share no
direction, then with C the covariances

    A = (C_target - C_background) C_target^-1

is the oblique projector on the salient subspace along the common one: A (x - m) is the salient part of a row and the
rest the common one, m being the mean of the backgrounds. Under the Gaussian model of contrastive latent variable models
(Severson, Ghosh, Ng, AAAI 2019) it is the expected salient part. An orthogonal projector would leave both correlated.

In the directions v of ratio PCA (see `ratio_pca`), C_target v = ratio * C_background v, scaled such that
v^T (C_target + C_background) v = 1,

    A = sum over directions of (C_target + C_background) v * (1 - 1 / ratio) * v^T

The sum ends after `d_salient` directions, the highest ratios first. Those with a ratio below `least_ratio` are left
out: such a direction says that the target varies as much as the background, or less, which this model does not know.
One is kept in any case. Where none varies more in the target, its weight is 0.

- The salient vector has an entry (1 - 1 / ratio) v^T (x - m) for each direction. That of a background row is made
  likewise and is 0 but for noise.
- The common vector is the projection of the rest, (I - A) (x - m), on the `d_common` leading principal directions of
  the background.
- Rows are decoded by algebra: m, the common directions times their entries, and the salient ones (C_target +
  C_background) v times theirs. Zeros for the salient vector make a background row.

`ridge` is that of `ratio_pca`, (1 - ridge) C + ridge * g * I for both covariances; 0 is allowed, even where the
background does not vary in some directions. Large data are first reduced to `preprocess_components` principal
components of both populations. Decisions: entries are scaled by the sum of both variances and not by the background's,
which may be 0; what common directions leave out of the rest is in neither space. Where the data vary in fewer
directions than asked for, vectors have only as many dimensions. A difference of means between the populations, such as
of two sites, counts as salient as far as it lies along salient directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cabench.config import ConfigError, Settings, setting
from cabench.context import FitContext
from cabench.data.dataset import ContrastiveDataset, DatasetInfo
from cabench.method import Generative, Representation
from cabench.methods.shared.moments import check_values, principal_directions
from cabench.methods.shared.ratios import Directions, joint, leading_ratios, signs
from cabench.search import Log


@dataclass(frozen=True)
class AdditiveLinearConfig(Settings):
    """Defaults: cards F2 and F8."""

    d_common: int = setting(32, at_least=1, help="largest size of common vectors")
    d_salient: int = setting(16, at_least=1, help="largest size of salient vectors")
    ridge: float = setting(
        0.01, at_least=0, at_most=0.99, search=Log(1e-4, 0.5), help="share of equal noise in both covariances"
    )
    least_ratio: float = setting(
        2.0,
        at_least=1,
        search=Log(1, 10),
        help="salient directions vary so many times as much in the target as in the background",
    )
    preprocess_components: int = setting(2000, at_least=1, help="larger data are first reduced to this many values")

    def __post_init__(self) -> None:
        """Refuse fewer preprocessed values than dimensions of a vector."""
        super().__post_init__()
        for name in ("d_common", "d_salient"):
            if self.preprocess_components < getattr(self, name):
                raise ConfigError(
                    f"additive_linear.preprocess_components = {self.preprocess_components} is not allowed; "
                    f"it must be at least additive_linear.{name} = {getattr(self, name)}."
                )


class AdditiveLinear(Generative):
    """The oblique projector on what only targets have; see the module."""

    name = "additive_linear"
    version = 1
    Config = AdditiveLinearConfig
    config: AdditiveLinearConfig
    takes = ("images", "tables")
    uses_device = False

    def check(self, info: DatasetInfo) -> None:
        """Refuse data that are too many and large."""
        check_values(info, self.name)

    def fit(self, data: ContrastiveDataset, context: FitContext) -> None:
        """Find the directions of both spaces, to encode and to decode.

        Raises:
            UserError: where nothing varies.
        """
        config = self.config
        plain = joint(data, config.preprocess_components)
        noisy = plain.with_ridge(config.ridge)
        found = _kept(leading_ratios(noisy.target, noisy.background, config.d_salient), config.least_ratio)
        weights = (2 - 1 / found.shares).clamp(min=0)  # 1 - 1 / ratio
        sign = signs(plain.basis @ found.vectors)
        self.salient = plain.basis @ (found.vectors * sign * weights)
        self.salient_parts = plain.basis @ ((noisy.target + noisy.background) @ (found.vectors * sign))
        self.common_parts = plain.basis @ principal_directions(plain.background, config.d_common)
        # The common vector is read from what the salient part leaves: (I - A)^T before the projection.
        self.common = self.common_parts - self.salient @ (self.salient_parts.T @ self.common_parts)
        self.mean = plain.background_mean
        self.shape = torch.tensor(data.background.images.shape[1:])

    def encode(self, images: Tensor) -> Representation:
        """Common (n, at most `d_common`) and salient (n, at most `d_salient`) vectors."""
        centred = images.flatten(1).cpu().double() - self.mean
        return Representation((centred @ self.common).float(), (centred @ self.salient).float())

    def decode(self, representation: Representation) -> Tensor:
        """See `Generative.decode`: the background's mean and the parts that both vectors stand for."""
        common, salient = (vectors.cpu().double() for vectors in representation)
        rows = self.mean + common @ self.common_parts.T + salient @ self.salient_parts.T
        images = rows.float().reshape(-1, *self.shape.tolist())
        return images if len(self.shape) == 1 else images.clamp(0, 1)

    def state_dict(self) -> dict[str, Tensor]:
        """Float64: the mean background row (values,), encoding and decoding directions (values, k); a row's shape."""
        return {
            "shape": self.shape,
            "mean": self.mean,
            "common": self.common,
            "salient": self.salient,
            "common_parts": self.common_parts,
            "salient_parts": self.salient_parts,
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over mean, directions and shape."""
        self.shape, self.mean = state["shape"], state["mean"]
        self.common, self.salient = state["common"], state["salient"]
        self.common_parts, self.salient_parts = state["common_parts"], state["salient_parts"]

    def parameter_count(self) -> int:
        """The number of values of the mean and of all directions."""
        return sum(tensor.numel() for name, tensor in self.state_dict().items() if name != "shape")


def _kept(directions: Directions, least_ratio: float) -> Directions:
    """The directions with at least a ratio; the first in any case."""
    kept = directions.shares >= least_ratio / (1 + least_ratio)
    kept[0] = True
    return Directions(directions.shares[kept], directions.vectors[:, kept])
