"""Sparse contrastive PCA: alpha and a sparsity penalty chosen by how clearly targets fall into clusters.

Paper: Boileau, Hejazi, Dudoit. "Exploring high-dimensional biological data with sparse contrastive principal component
analysis", Bioinformatics 36(11), 2020. Reproduced: the choice of the released package (scPCA, commit 4329b9a) with its
grids, without cross-validation, and sparse loadings by variable projection, one of its algorithms.

For each alpha and each penalty, H is the positive part of C_target - alpha C_background and the salient directions are
its sparse principal directions (`cabench.methods.shared.sparse_directions`); a penalty of 0 gives those of contrastive
PCA. The centred targets are projected on them and clustered by k-means, and the pair of the largest mean silhouette is
taken, the first of equals. No label is read, and the number of clusters is a setting: it is not the number of classes.

Deviations: the penalties are relative to the largest eigenvalue of H (the published grid is in units of the
covariance), and two smaller ones come before the published 20; k-means starts ten times from a fixed seed (once,
without one); silhouettes are of at most `scored_rows` targets, evenly spaced; clusters are k-means' alone; a
column is dropped where all its loadings are 0.

Preparation, the improvised common space, encoding, decoding and the salient vector of a background image are those of
`cpca`, but that values are not scaled unless `standardize` is set. The salient vector has as many dimensions as
directions are left with any loading. Directions are not orthogonal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cabench.config import ConfigError, setting
from cabench.data.dataset import ContrastiveDataset, as_float, spaced
from cabench.errors import UserError
from cabench.methods.shared.cluster_score import cluster_score
from cabench.methods.shared.linear_contrast import ContrastConfig, LinearContrast, Reduced
from cabench.methods.shared.moments import NO_VARIANCE, leading_directions
from cabench.methods.shared.sparse_directions import sparse_directions
from cabench.search import Linear, OneOf

PUBLISHED = tuple(round(0.05 * step, 2) for step in range(1, 21))


@dataclass(frozen=True)
class SCPCAConfig(ContrastConfig):
    """Defaults: the released package's grids, with two smaller penalties (card F3c)."""

    standardize: bool = setting(
        False, search=OneOf(True, False), help="divide every value by its standard deviation in its own population"
    )
    clusters: int = setting(
        2, at_least=2, search=Linear(2, 10), help="clusters that k-means looks for among projected targets"
    )
    alpha_count: int = setting(40, at_least=1, help="candidates for alpha, evenly spaced in their logarithm")
    alpha_range: tuple[float, float] = setting((0.1, 1000.0), above=0, help="smallest and largest candidate")
    penalties: tuple[float, ...] = setting(
        (0.001, 0.01, *PUBLISHED), at_least=0, help="candidates for the penalty of loadings; 0 leaves them dense"
    )
    scored_rows: int = setting(2000, at_least=10, help="targets, at most, that a candidate is scored on")

    def __post_init__(self) -> None:
        """Refuse a range that ends before it starts."""
        super().__post_init__()
        if self.alpha_range[0] >= self.alpha_range[1]:
            raise ConfigError(f"scpca.alpha_range = {list(self.alpha_range)} is not allowed; the smaller comes first.")


class _Candidate(NamedTuple):
    """One pair and its directions, float64 (values, k)."""

    alpha: float
    penalty: float
    directions: Tensor


class SCPCA(LinearContrast):
    """Sparse contrastive PCA; see the module.

    Attributes:
        penalty: of the loadings, chosen by `fit`.
    """

    name = "scpca"
    version = 2
    Config = SCPCAConfig
    config: SCPCAConfig
    penalty: float

    def choose(self, reduced: Reduced, data: ContrastiveDataset) -> tuple[float, Tensor]:
        """The pair whose projected targets cluster best, and its directions.

        Raises:
            UserError: where no pair leaves a direction in which targets cluster.
        """
        targets = data.target.images
        rows = targets[torch.from_numpy(spaced(np.arange(len(targets)), self.config.scored_rows))]
        scaled = (as_float(rows).flatten(1).double() - reduced.target_mean) * reduced.scale
        best, best_score = None, -np.inf
        for candidate in _candidates(reduced, self.config):
            score = cluster_score((scaled @ candidate.directions).numpy(), self.config.clusters)
            if score is not None and score > best_score:
                best, best_score = candidate, score
        if best is None:
            raise UserError(
                f"scpca finds no direction in which the targets fall into {self.config.clusters} clusters, with alpha "
                f"from {self.config.alpha_range[0]:g} and penalties from {min(self.config.penalties):g}; give smaller "
                "scpca.penalties, a smaller scpca.alpha_range or more rows."
            )
        self.penalty = best.penalty
        return best.alpha, best.directions


def _candidates(reduced: Reduced, config: SCPCAConfig) -> Iterator[_Candidate]:
    """Every pair that leaves any direction, alpha by alpha."""
    for alpha in np.geomspace(*config.alpha_range, config.alpha_count).tolist():
        difference = reduced.target - alpha * reduced.background
        directions = leading_directions(difference, len(difference))
        eigenvalues = (directions * (difference @ directions)).sum(0)
        positive = eigenvalues > NO_VARIANCE * eigenvalues.abs().max()
        if not positive.any():
            continue
        unit = reduced.basis @ directions[:, positive]
        factor = unit * eigenvalues[positive].sqrt()
        for penalty in config.penalties:
            sparse = sparse_directions(factor, unit[:, : config.components], penalty)
            if sparse.shape[1]:
                yield _Candidate(alpha, penalty, sparse)
