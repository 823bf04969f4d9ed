"""Background contrastive NMF: non-negative parts that say much about targets and little about backgrounds.

Paper: Li, Yang, Li. "Background contrastive nonnegative matrix factorization", arXiv 2602.22387, 2026. Reproduced: the
updates of the released code (commit 9fcb053). With target rows X and background rows Y, and D the squared error or the
Poisson divergence (`cabench.methods.shared.factorisation`), parts W are sought for

    min over W of  D(X, H_x W^T) - alpha D(Y, H_y W^T),   each H fitted to its own rows, all from 0 up.

One round takes a multiplicative step of H_x and of H_y, then one of W. With up / down the factor of W's step in plain
NMF of one population, those of the background change sides:

    W <- W (up_x + alpha down_y) / (down_x + alpha up_y)

With alpha = 0 this is plain NMF of the target. For alpha > 1 the objective may rise in single rounds.

Deviations: the weight of the background does not grow with its number of rows or, for the squared error, its scale:
alpha is multiplied by ||X||^2 / ||Y||^2, for Poisson by n / m (the release: by 1). The start, uniform in (0, 1), is
drawn from the seed, and scaled to sqrt(mean(X) / K) times that (the release: unscaled and unseeded). Of `restarts`
starts and the second half of their rounds, the parts of lowest objective are kept (the release: the last of one).
Negative values are refused, missing ones filled by means (the release: unchecked, and by 0). The mini-batch and the
two-modality form are left out. There are at most as many parts as target rows and values of a row.

The release represents the rows that it is fitted on, by their H_x, of which it shows two rows. Here any row x is
encoded by all K coefficients of argmin_{h >= 0} D(x, W h), the columns of W scaled to length 1: by active sets for the
squared error, by 200 multiplicative steps from h = sum(x) / sum(W) for Poisson. This is the salient vector of a
background row too.

It has no common space. Here the common vector is the row's projection on the leading principal directions V of the
background, after subtracting the mean target row. Both are decoded together as V c + (I - V V^T) W s + what is left of
the mean target row on average. This keeps c as it is, and is right on average over training targets as far as their H_x
has come to what the encoder gives; but what of the salient part lies within V, c holds too, and removing s leaves it.
Values are at least 0, and at most 1 in images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cabench.config import Settings, setting
from cabench.context import FitContext
from cabench.data.dataset import ContrastiveDataset, DatasetInfo
from cabench.method import Generative, Representation
from cabench.methods.shared.factorisation import Divergence, Poisson, SquaredError, Terms, multiplied
from cabench.methods.shared.moments import check_values, principal_components
from cabench.methods.shared.non_negative import check_non_negative, row_batches
from cabench.search import Log

ENCODING_STEPS = 200
DIVERGENCES: Mapping[str, Divergence] = {"squared-error": SquaredError(), "poisson": Poisson()}


@dataclass(frozen=True)
class BCNMFConfig(Settings):
    """Parts and rounds as the release has them for its mice, alpha as its README (card F7)."""

    components: int = setting(5, at_least=1, help="parts, the largest size of both vectors")
    alpha: float = setting(
        1.0, at_least=0, search=Log(0.1, 10), help="weight of the background; see the module for its unit"
    )
    divergence: Literal["squared-error", "poisson"] = setting("squared-error", help="poisson: for counts")
    rounds: int = setting(100, at_least=1, help="multiplicative steps of codes and parts")
    restarts: int = setting(5, at_least=1, help="random starts, of which the best is kept")


class Factors(NamedTuple):
    """One state of a factorisation.

    Attributes:
        parts: float64 (p, K), W.
        target: float64 (n, K), H_x.
        background: float64 (m, K), H_y.
    """

    parts: Tensor
    target: Tensor
    background: Tensor


class BCNMF(Generative):
    """Background contrastive non-negative matrix factorisation; see the module."""

    name = "bcnmf"
    version = 2
    Config = BCNMFConfig
    config: BCNMFConfig
    takes = ("images", "non-negative", "counts")
    improvised_common = True
    uses_device = False

    def check(self, info: DatasetInfo) -> None:
        """Refuse rows of which there are too many for their size: the common space needs a covariance."""
        check_values(info, self.name)

    def fit(self, data: ContrastiveDataset, context: FitContext) -> None:
        """Keep the best parts of all starts, and the background's leading directions."""
        target, background = data.target.images, data.background.images
        check_non_negative(self.name, data)
        self.shape = torch.tensor(target.shape[1:])
        divergence, generator = DIVERGENCES[self.config.divergence], context.randomness.initialisation()
        alpha = self.config.alpha * _balance(self.config.divergence, target, background)
        starts = (self._start(target, background, generator) for _ in range(self.config.restarts))
        fits = (factorised(target, background, divergence, alpha, self.config.rounds, start) for start in starts)
        best = min(fits, key=itemgetter(0))[1]
        lengths = best.parts.norm(dim=0)
        parts = best.parts / lengths.clamp_min(torch.finfo(torch.float64).tiny)
        directions = principal_components([background], self.config.components)[1]
        mean = torch.stack([rows.sum(0) for _, rows in row_batches(target)]).sum(0) / len(target)
        explained = _outside(directions, parts) @ (best.target * lengths).mean(0)
        self.parts, self.mean, self.common, self.rest = (
            values.float().contiguous() for values in (parts, mean, directions, mean - explained)
        )

    def encode(self, images: Tensor) -> Representation:
        """The projections on background directions, and the coefficients from 0 up of the parts."""
        rows = images.flatten(1).cpu().double()
        common = (rows - self.mean.double()) @ self.common.double()
        codes = ENCODERS[self.config.divergence](rows, self.parts.double())
        return Representation(common.float(), codes.float())

    def decode(self, representation: Representation) -> Tensor:
        """Images in [0, 1], or rows of a table from 0 up: see the module."""
        common, salient = (vectors.cpu().double() for vectors in representation)
        directions, parts = self.common.double(), self.parts.double()
        rows = self.rest.double() + common @ directions.T + salient @ _outside(directions, parts).T
        largest = 1.0 if len(self.shape) > 1 else torch.inf
        images: Tensor = rows.clamp(0, largest).float().reshape(-1, *self.shape.tolist())
        return images

    def state_dict(self) -> dict[str, Tensor]:
        """Parts (p, K), the mean target row (p,), background directions (p, k), what they leave of the mean (p,)."""
        return {
            "parts": self.parts,
            "mean": self.mean,
            "common": self.common,
            "rest": self.rest,
            "shape": self.shape,
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` gave."""
        self.parts, self.mean, self.common = state["parts"], state["mean"], state["common"]
        self.rest, self.shape = state["rest"], state["shape"]

    def parameter_count(self) -> int:
        """The number of values of parts, means and directions."""
        return sum(values.numel() for values in (self.parts, self.mean, self.common, self.rest))

    def _start(self, target: Tensor, background: Tensor, generator: torch.Generator) -> Factors:
        values = target[0].numel()
        count = min(self.config.components, len(target), values)
        total = sum(float(rows.sum()) for _, rows in row_batches(target))
        scale = (total / len(target) / values / count) ** 0.5
        drawn = (
            scale * torch.rand(rows, count, dtype=torch.float64, generator=generator)
            for rows in (values, len(target), len(background))
        )
        return Factors(*drawn)


def factorised(
    target: Tensor, background: Tensor, divergence: Divergence, alpha: float, rounds: int, start: Factors
) -> tuple[float, Factors]:
    """The lowest `contrast` in the second half of some rounds from a start, and the factors that have it.

    In the first half codes are not fitted yet, and a background that they describe badly would count as success.

    Args:
        target: images or rows, as of `row_batches`.
        background: likewise.
        divergence: how far rows are from their factorisation.
        alpha: the weight of the background's divergence, as a sum.
        rounds: at least 1.
        start: where the first round begins.
    """
    factors, best = start, (math.inf, start)
    for done in range(1, rounds + 1):
        factors = contrastive_round(target, background, divergence, alpha, factors)
        if 2 * done > rounds:
            reached = contrast(target, background, divergence, alpha, factors), factors
            best = min(best, reached, key=itemgetter(0))
    return best


def contrastive_round(
    target: Tensor, background: Tensor, divergence: Divergence, alpha: float, factors: Factors
) -> Factors:
    """One round of multiplicative steps, of both populations' codes and then of the parts; see `factorised`."""
    codes_x, x = _codes_step(target, divergence, factors.target, factors.parts)
    codes_y, y = _codes_step(background, divergence, factors.background, factors.parts)
    terms = Terms(x.up + alpha * y.down, x.down + alpha * y.up)
    return Factors(multiplied(factors.parts, terms, divergence.floor), codes_x, codes_y)


def contrast(target: Tensor, background: Tensor, divergence: Divergence, alpha: float, factors: Factors) -> float:
    """The objective D(X, H_x W^T) - alpha D(Y, H_y W^T); see `factorised`."""
    of_target = _value(target, divergence, factors.target, factors.parts)
    return of_target - alpha * _value(background, divergence, factors.background, factors.parts)


def nearest_codes(rows: Tensor, parts: Tensor) -> Tensor:
    """argmin_{h >= 0} ||x - W h||^2 of each row, by the active sets of Lawson and Hanson (1974).

    Args:
        rows: float64 (n, p).
        parts: float64 (p, K), W.

    Returns:
        float64 (n, K), from 0 up.
    """
    from scipy.optimize import nnls  # Late: importing it takes a quarter of a second.

    # x - W h is as long as Q'x - R h, up to what does not depend on h: K numbers instead of p.
    basis, triangle = torch.linalg.qr(parts)
    matrix = triangle.numpy()
    found = [nnls(matrix, projected)[0] for projected in (rows @ basis).numpy()]
    return torch.from_numpy(np.array(found).reshape(len(rows), parts.shape[1]))


def likeliest_codes(rows: Tensor, parts: Tensor) -> Tensor:
    """The codes, float64 (n, K), of `ENCODING_STEPS` Poisson steps from equal codes that add up to the row's sum.

    Args:
        rows: float64 (n, p), from 0 up.
        parts: float64 (p, K), from 0 up.
    """
    poisson = DIVERGENCES["poisson"]
    codes = (rows.sum(1, keepdim=True) / parts.sum()).expand(-1, parts.shape[1])
    for _ in range(ENCODING_STEPS):
        codes = multiplied(codes, poisson.code_terms(rows, codes, parts), poisson.floor)
    return codes


ENCODERS = {"squared-error": nearest_codes, "poisson": likeliest_codes}


def _codes_step(images: Tensor, divergence: Divergence, codes: Tensor, parts: Tensor) -> tuple[Tensor, Terms]:
    """New codes (n, K) of a population, and with them its terms of the parts."""
    moved, up, down = torch.empty_like(codes), torch.zeros_like(parts), torch.zeros_like(parts)
    for place, rows in row_batches(images):
        terms = divergence.code_terms(rows, codes[place], parts)
        moved[place] = multiplied(codes[place], terms, divergence.floor)
        of_parts = divergence.part_terms(rows, moved[place], parts)
        up += of_parts.up
        down += of_parts.down
    return moved, Terms(up, down)


def _value(images: Tensor, divergence: Divergence, codes: Tensor, parts: Tensor) -> float:
    return sum(float(divergence.value(rows, codes[place], parts)) for place, rows in row_batches(images))


def _balance(divergence: str, target: Tensor, background: Tensor) -> float:
    """How much more the target's divergence counts than the background's: ||X||^2 / ||Y||^2, or n / m."""
    if divergence == "poisson":
        return len(target) / len(background)
    sizes = [sum(float(rows.square().sum()) for _, rows in row_batches(images)) for images in (target, background)]
    return sizes[0] / sizes[1]


def _outside(directions: Tensor, parts: Tensor) -> Tensor:
    """The parts (p, K) less their projections on orthonormal directions (p, k)."""
    return parts - directions @ (directions.T @ parts)
