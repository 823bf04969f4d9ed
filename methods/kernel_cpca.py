"""Kernel contrastive PCA: contrastive PCA in the feature space of a kernel.

Source: Abid, Zhang, Bagaria, Zou, Nature Communications 9:2134, 2018, whose released library (commit f0d3c33) names
such a method, but cannot run it: names are undefined, and no data ever reach it. Reproduced: the mathematics that it
intends, completed, and its alpha, degree and constant as defaults.

Both populations are centred by their own mean in the feature space. The salient directions are those in which targets
vary most, minus alpha times what backgrounds vary (`cabench.methods.shared.kernel_contrast`). With a linear kernel this
is contrastive PCA of values that are not standardised. A new row's vector is its projection, centred by the targets.

Deviations: the width of a kernel is one over the number of values times their average variance where `scale` is 0 (10
in the library); rows are taken as they are, not standardised in each population; covariances have the divisor n, not
n - 1. The kernel is that of at most `most_rows` rows, half of each population, evenly spaced.

The method has no common space. Here the common vector is the projection on the leading principal directions of the
background in the same feature space, of which there are no more than it varies in. The salient vector of a background
row is its projection, as of a target's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from cabench.config import Settings, setting
from cabench.context import FitContext
from cabench.data.dataset import ContrastiveDataset, as_float, spaced
from cabench.method import ContrastiveAnalysisMethod, Representation
from cabench.methods.shared.kernel_contrast import centred_by_population, contrast, factor_of, principal
from cabench.search import Log


@dataclass(frozen=True)
class KernelCPCAConfig(Settings):
    """Defaults: the library's alpha, degree and constant, and the rows that the card allows (card F3d)."""

    components: int = setting(2, at_least=1, help="largest size of both vectors")
    alpha: float = setting(2.0, at_least=0, search=Log(0.1, 100), help="weight of the background")
    kernel: Literal["rbf", "polynomial", "linear"] = setting("rbf", help="the kernel of two rows")
    scale: float = setting(
        0.0, at_least=0, help="factor of squared distances or products; 0 is one over values times average variance"
    )
    degree: int = setting(2, at_least=1, help="of the polynomial kernel")
    constant: float = setting(1.0, at_least=0, help="of the polynomial kernel, added before the power")
    most_rows: int = setting(3000, at_least=4, help="training rows that the kernel is of; its cost is their cube")


class KernelCPCA(ContrastiveAnalysisMethod):
    """Contrastive PCA in the feature space of a kernel; see the module.

    Attributes:
        rows: float32 (n, values), the training rows that the kernel is of, targets first.
        scale: of the kernel, given or chosen.
        salient: float64 (n, at most `components`), weights of the kernel's values in the salient vector.
        common: likewise.
    """

    name = "kernel_cpca"
    version = 2
    Config = KernelCPCAConfig
    config: KernelCPCAConfig
    takes = ("images", "tables")
    improvised_common = True
    uses_device = False
    rows: Tensor
    scale: float
    salient: Tensor
    common: Tensor

    def fit(self, data: ContrastiveDataset, context: FitContext) -> None:
        """Find both sets of directions in the span of at most `most_rows` rows."""
        parts = [_some(part.images, self.config.most_rows // 2) for part in (data.target, data.background)]
        counts = [len(part) for part in parts]
        self.rows = torch.cat(parts)
        spread = centred_by_population(self.rows.double(), counts).square().mean().item() * self.rows.shape[1]
        self.scale = self.config.scale or (1 / spread if spread > 0 else 1.0)
        kernel = self._kernel(self.rows)
        factor = factor_of(centred_by_population(centred_by_population(kernel, counts).T, counts))
        of_target, of_background = (torch.full((count,), 1 / count, dtype=torch.float64) for count in counts)
        salient = contrast(factor, torch.cat([of_target, -self.config.alpha * of_background]), self.config.components)
        common = principal(factor, torch.cat([0 * of_target, of_background]), self.config.components)
        self.salient, self.common = (centred_by_population(part, counts) for part in (salient, common))
        self.offset = kernel[: counts[0]].mean(0)

    def encode(self, images: Tensor) -> Representation:
        """The projections (n, at most `components`) on background directions and on salient directions."""
        centred = self._kernel(images.flatten(1).cpu()) - self.offset
        return Representation((centred @ self.common).float(), (centred @ self.salient).float())

    def state_dict(self) -> dict[str, Tensor]:
        """The rows, the kernel's scale, the targets' mean kernel (n,) and both weights."""
        scale = torch.tensor(self.scale, dtype=torch.float64)
        learned = {"rows": self.rows, "offset": self.offset, "common": self.common, "salient": self.salient}
        return {"scale": scale, **{name: value.contiguous() for name, value in learned.items()}}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over rows, scale, mean kernel and weights."""
        self.rows, self.offset = state["rows"], state["offset"]
        self.common, self.salient = state["common"], state["salient"]
        self.scale = float(state["scale"])

    def _kernel(self, rows: Tensor) -> Tensor:
        """The kernel float64 (m, n) of new rows (m, values) and `self.rows`."""
        new, known = rows.double(), self.rows.double()
        if self.config.kernel == "polynomial":
            return (self.scale * (new @ known.T) + self.config.constant) ** self.config.degree
        # These two, once centred, are the same for rows from any origin; far from it, rounding would take digits.
        new, known = new - known[0], known - known[0]
        products = new @ known.T
        if self.config.kernel == "linear":
            return products
        squares = new.square().sum(1, keepdim=True) + known.square().sum(1) - 2 * products
        return torch.exp(-self.scale * squares.clamp(min=0))


def _some(images: Tensor, most: int) -> Tensor:
    """At most `most` images, evenly spaced, as float32 (n, values)."""
    return as_float(images[torch.from_numpy(spaced(np.arange(len(images)), most))]).flatten(1)
