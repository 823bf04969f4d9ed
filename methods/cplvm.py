"""Contrastive Poisson latent variable model, fitted by its mode: non-negative factors that both share, or targets have.

Paper: Jones, Townes, Li, Engelhardt. "Contrastive latent variable modeling with application to case-control sequencing
experiments", Annals of Applied Statistics 16(3), 2022, arXiv 2102.06731. Reproduced: the model of its released code
(commit fb5fa34), not the inference. Counts of feature g in row i are Poisson with rates

    background: l_i d_g (S z_i)_g      target: l_i (S z_i + W t_i)_g

with all entries of S, W, z, t from 0 up under a Gamma(1, 1) prior. Here the mode of the posterior is found by EM steps
that only multiply, so that it never falls. With Q = counts / (rates without l and d), u = (z, t) and L = (S, W):

    background z_i <- z_i (S'Q_i) / (1 + l_i S'd)      target u_i <- u_i (L'Q_i) / (1 + l_i L'1)
    S <- S (Q_b Z_b + Q_t Z_t) / (1 + d sum_b l_i z_i + sum_t l_i z_i)      W <- W (Q_t T) / (1 + sum_t l_i t_i)
    d_g <- background counts of g / sum_b l_i (S z_i)_g, if `feature_factors` is "learned"

Deviations: the mode in place of a log-normal mean-field posterior by 5,000 steps of Adam, which is left out, as are its
tests by comparing evidences and the log-linked variant (cglvm). Size factors l_i are a row's total over the mean total
of training rows, known and with mean 1, or all 1 (the release: drawn from a log-normal of the log totals, near the
total itself, against which the priors of S and z are then far too large). d is either 1, as in the release's toy
example, or set to its likeliest value, without its log-normal prior. Of `restarts` starts, drawn from the prior, the
one of highest posterior is kept. A row of nothing but zeros has codes of 0, and neither teaches nor counts in the mean
total (the release: an infinite logarithm). Pixels in [0, 1] and other numbers from 0 up are taken like counts.

The release represents the rows that it is fitted on. Here any row, background rows too, is encoded with S and W fixed,
by 200 of the target's steps from u = 1, with l from its own total: the salient vector of a background row is what W
says of it. The columns of S and W are scaled to a mean of 1, and z and t with them; what is given is log(1 + z) and
log(1 + t), as they are skewed. Decoded are the target's rates S z + W t of a row of size factor 1: a row's own total is
in neither vector. Without size factors that is the row itself, in images at most 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from cabench.config import Settings, setting
from cabench.context import FitContext
from cabench.data.dataset import ContrastiveDataset
from cabench.method import Generative, Representation
from cabench.methods.shared.factorisation import Poisson, poisson_rates
from cabench.methods.shared.non_negative import check_non_negative, row_batches
from cabench.search import OneOf


@dataclass(frozen=True)
class CPLVMConfig(Settings):
    """The sizes have no published default; steps and restarts are those of card F5."""

    d_common: int = setting(10, at_least=1, help="factors of both populations")
    d_salient: int = setting(5, at_least=1, help="factors of the target alone")
    size_factors: Literal["totals", "none"] = setting(
        "totals", search=OneOf("totals", "none"), help="what a row's rates are multiplied by"
    )
    feature_factors: Literal["none", "learned"] = setting(
        "none", search=OneOf("none", "learned"), help="of the background's rates, one a feature"
    )
    steps: int = setting(500, at_least=1, help="most EM steps from one start")
    tolerance: float = setting(1e-6, at_least=0, help="relative change of the log posterior that ends the steps")
    restarts: int = setting(5, at_least=1, help="random starts, of which the best is kept")
    encoding_steps: int = setting(200, at_least=1, help="steps by which a row is encoded")


class Rows(NamedTuple):
    """One population.

    Attributes:
        images: as of `row_batches`.
        sizes: float64 (n,), the size factors l.
        totals: float64 (p,), sums of each feature over the rows.
    """

    images: Tensor
    sizes: Tensor
    totals: Tensor


class Factors(NamedTuple):
    """One state of the fit; all float64 and from 0 up.

    Attributes:
        shared: (p, k), S.
        own: (p, q), W.
        background: (m, k), z of background rows.
        target: (n, k + q), z and t of target rows.
        features: (p,), d.
    """

    shared: Tensor
    own: Tensor
    background: Tensor
    target: Tensor
    features: Tensor


class Swept(NamedTuple):
    """What one pass over a population gives.

    Attributes:
        codes: (n, k), after their step.
        pull: (p, k), Q' codes, with Q of the new codes.
        weights: (k,), sum of l_i codes_i.
        log_likelihood: of the codes before their step, but for what no step changes.
    """

    codes: Tensor
    pull: Tensor
    weights: Tensor
    log_likelihood: float


class CPLVM(Generative):
    """The mode of the contrastive Poisson latent variable model; see the module."""

    name = "cplvm"
    version = 2
    Config = CPLVMConfig
    config: CPLVMConfig
    takes = ("images", "non-negative", "counts")
    uses_device = False

    def fit(self, data: ContrastiveDataset, context: FitContext) -> None:
        """Find the factors of highest posterior of all starts."""
        parts = [data.background.images, data.target.images]
        check_non_negative(self.name, data)
        self.shape = torch.tensor(data.target.images.shape[1:])
        self.mean_total = mean_total(parts)
        background, target = (self._rows(images) for images in parts)
        generator = context.randomness.initialisation()
        starts = (self._start(background, target, generator) for _ in range(self.config.restarts))
        best = max((self._climbed(background, target, start) for start in starts), key=itemgetter(0))[1]
        self.shared, self.own, self.features = best.shared, best.own, best.features

    def encode(self, images: Tensor) -> Representation:
        """log(1 + z), float32 (n, k), and log(1 + t), float32 (n, q)."""
        rows = images.flatten(1).cpu().double()
        parts = torch.cat([self.shared, self.own], dim=1)
        sizes, codes = self._sizes(rows), torch.ones(len(rows), parts.shape[1], dtype=torch.float64)
        for _ in range(self.config.encoding_steps):
            codes = codes_step(rows / poisson_rates(codes, parts), sizes, codes, parts, parts.sum(0))
        scaled, k = (codes * parts.mean(0)).log1p().float(), self.shared.shape[1]
        return Representation(scaled[:, :k].contiguous(), scaled[:, k:].contiguous())

    def decode(self, representation: Representation) -> Tensor:
        """The rates of rows of size factor 1: images in [0, 1], or rows of a table from 0 up."""
        parts = torch.cat([self.shared, self.own], dim=1)
        parts = parts / parts.mean(0).clamp_min(torch.finfo(parts.dtype).tiny)
        rates = torch.cat(representation, dim=1).cpu().double().expm1() @ parts.T
        images: Tensor = rates.clamp(0, 1.0 if len(self.shape) > 1 else torch.inf).float()
        return images.reshape(-1, *self.shape.tolist())

    def state_dict(self) -> dict[str, Tensor]:
        """S (p, k), W (p, q), d (p,) and the mean total of training rows, in float64; and the shape of one of them."""
        return {
            "shared": self.shared,
            "own": self.own,
            "features": self.features,
            "mean_total": self.mean_total,
            "shape": self.shape,
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` gave."""
        self.shared, self.own, self.features = state["shared"], state["own"], state["features"]
        self.mean_total, self.shape = state["mean_total"], state["shape"]

    def parameter_count(self) -> int:
        """The number of entries of S and W, and of d if it is learned."""
        learned = self.features.numel() if self.config.feature_factors == "learned" else 0
        return self.shared.numel() + self.own.numel() + learned

    def _sizes(self, rows: Tensor) -> Tensor:
        """The size factors l (n,) of float64 rows (n, p)."""
        totals = rows.sum(1)
        return torch.ones_like(totals) if self.config.size_factors == "none" else totals / self.mean_total

    def _rows(self, images: Tensor) -> Rows:
        read = [(self._sizes(rows), rows.sum(0)) for _, rows in row_batches(images)]
        return Rows(images, torch.cat([sizes for sizes, _ in read]), torch.stack([sums for _, sums in read]).sum(0))

    def _start(self, background: Rows, target: Rows, generator: torch.Generator) -> Factors:
        """Draws from the prior, Gamma(1, 1)."""
        values, k, q = len(target.totals), self.config.d_common, self.config.d_salient

        def drawn(rows: int, columns: int) -> Tensor:
            return torch.empty(rows, columns, dtype=torch.float64).exponential_(generator=generator)

        shared, own = drawn(values, k), drawn(values, q)
        codes = drawn(len(background.sizes), k), drawn(len(target.sizes), k + q)
        return Factors(shared, own, *codes, torch.ones_like(target.totals))

    def _climbed(self, background: Rows, target: Rows, factors: Factors) -> tuple[float, Factors]:
        """The log posterior before the last step from a start, and the factors after it."""
        before = -math.inf
        for _ in range(self.config.steps):
            factors, reached = em_step(background, target, factors)
            if self.config.feature_factors == "learned":
                factors = with_features(background, factors)
            if reached - before <= self.config.tolerance * abs(reached):
                break
            before = reached
        return reached, factors


def mean_total(populations: Sequence[Tensor]) -> Tensor:
    """The mean of the totals of rows, of which those of nothing but zeros are left out; 0-d float64."""
    totals = torch.cat([rows.sum(1) for images in populations for _, rows in row_batches(images)])
    return totals[totals > 0].mean()


def em_step(background: Rows, target: Rows, factors: Factors) -> tuple[Factors, float]:
    """One step of z and t, then one of S and W; and the log posterior before it, but for what no step changes."""
    features = factors.features
    swept_b = swept(background, factors.background, factors.shared, factors.shared.T @ features)
    both = torch.cat([factors.shared, factors.own], dim=1)
    swept_t = swept(target, factors.target, both, both.sum(0))
    k = factors.shared.shape[1]
    down = 1 + torch.outer(features, swept_b.weights) + swept_t.weights[:k]
    shared = factors.shared * (swept_b.pull + swept_t.pull[:, :k]) / down
    own = factors.own * swept_t.pull[:, k:] / (1 + swept_t.weights[k:])
    log_prior = -sum(float(values.sum()) for values in (both, factors.background, factors.target))
    log_features = float(torch.xlogy(background.totals, features).sum())
    log_posterior = swept_b.log_likelihood + swept_t.log_likelihood + log_features + log_prior
    return Factors(shared, own, swept_b.codes, swept_t.codes, features), log_posterior


def with_features(background: Rows, factors: Factors) -> Factors:
    """The same factors with the likeliest d; 0 where the background has nothing."""
    rates = factors.shared @ (background.sizes @ factors.background)
    return factors._replace(features=background.totals / rates.clamp_min(Poisson.floor))


def swept(population: Rows, codes: Tensor, parts: Tensor, exposures: Tensor) -> Swept:
    """One step of a population's codes, and what the step of the parts needs.

    Args:
        population: the rows.
        codes: float64 (n, k).
        parts: float64 (p, k).
        exposures: float64 (k,), the sums of the parts, of the background weighted by d.
    """
    moved, pull, log_likelihood = torch.empty_like(codes), torch.zeros_like(parts), 0.0
    for place, rows in row_batches(population.images):
        sizes, before = population.sizes[place], codes[place]
        rates = poisson_rates(before, parts)
        log_likelihood += float((rows * rates.log()).sum() - sizes @ before @ exposures)
        moved[place] = codes_step(rows / rates, sizes, before, parts, exposures)
        pull += (rows / poisson_rates(moved[place], parts)).T @ moved[place]
    return Swept(moved, pull, population.sizes @ moved, log_likelihood)


def codes_step(ratios: Tensor, sizes: Tensor, codes: Tensor, parts: Tensor, exposures: Tensor) -> Tensor:
    """One EM step of codes: codes (parts' Q) / (1 + l exposures), float64 (n, k); that of a row depends on no other.

    Args:
        ratios: float64 (n, p), Q.
        sizes: float64 (n,), l.
        codes: float64 (n, k).
        parts: float64 (p, k).
        exposures: as of `swept`.
    """
    stepped: Tensor = codes * (ratios @ parts) / (1 + torch.outer(sizes, exposures))
    return stepped
