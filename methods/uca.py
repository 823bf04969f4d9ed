"""Unique component analysis: contrastive PCA whose alpha follows from a limit on the background's variance.

Paper: Tu, Foss, Zhao. "Capturing patterns of variation unique to a specific dataset", arXiv 2104.08157, 2021.
Reproduced: its mathematics alone, for one background; the released code is under the GPL and was not used.

The first salient direction is the unit vector of the largest target variance among those whose background variance is
at most that of the average value. By duality it is a leading eigenvector of C_target - tau C_background for the tau
that minimises (largest eigenvalue of C_target - tau C_background) + tau, in units in which the average background
variance is 1 (`cabench.methods.shared.background_constraint`). The salient directions are the leading eigenvectors at
that tau: this is contrastive PCA with alpha = tau over the average background variance, of the values that vary in the
background. tau is set by the first direction alone, and is 0, which is plain PCA, where the target's leading direction
keeps the limit by itself.

Deviations: the limit is bisected by the slope's sign and its upper end doubled until it holds, where the released code
runs L-BFGS-B or bisects within a fixed range; the limit is in units of the average background variance, which is what
it is for the standardised backgrounds of the paper's scripts, also where `standardize` is off; one background.

Preparation, the improvised common space, encoding, decoding and the salient vector of a background image are those of
`cpca`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import pad

from cabench.data.dataset import ContrastiveDataset
from cabench.methods.shared.background_constraint import constrained_weight
from cabench.methods.shared.linear_contrast import ContrastConfig, LinearContrast, Reduced
from cabench.methods.shared.moments import leading_directions


@dataclass(frozen=True)
class UCAConfig(ContrastConfig):
    """Defaults: two components, standardised populations, as the released scripts (card F3b)."""


class UCA(LinearContrast):
    """Contrastive PCA under a limit on the background's variance; see the module."""

    name = "uca"
    version = 2
    Config = UCAConfig
    config: UCAConfig

    def choose(self, reduced: Reduced, data: ContrastiveDataset) -> tuple[float, Tensor]:
        """The weight that the limit asks for, and the leading directions of the difference.

        Raises:
            UserError: where no direction keeps the limit.
        """
        limit = reduced.background_variance
        target, background = reduced.target, reduced.background
        if len(target) < len(reduced.basis):
            # One direction without any variance stands for all that are not in the basis.
            target, background = pad(target, (0, 1, 0, 1)), pad(background, (0, 1, 0, 1))
        # Backgrounds that never vary keep any limit.
        alpha = constrained_weight(target, background / limit) / limit if limit > 0 else 0.0
        directions = leading_directions(reduced.target - alpha * reduced.background, self.config.components)
        return alpha, reduced.basis @ directions
