"""Control: principal components of the background images as common vector, and nothing as salient one.

It does not look at targets at all. Where the background's main directions do not tell the salient attributes, nothing
is leaked, and a method whose salient space holds little is not better than this one. Where the background varies in
fewer directions than `components`, the common vector has only as many dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cabench.config import Settings, setting
from cabench.context import FitContext
from cabench.data.dataset import ContrastiveDataset, DatasetInfo
from cabench.method import ContrastiveAnalysisMethod, Representation
from cabench.methods.shared.moments import check_values, principal_components


@dataclass(frozen=True)
class BackgroundPCAConfig(Settings):
    """How many components."""

    components: int = setting(32, at_least=1, help="principal components, the largest size of the common vector")


class BackgroundPCA(ContrastiveAnalysisMethod):
    """Principal component analysis of background pixels alone; the salient vector is one zero."""

    name = "background_pca"
    version = 1
    Config = BackgroundPCAConfig
    config: BackgroundPCAConfig
    takes = ("images", "tables")
    learns_from = ("background",)
    uses_device = False

    def check(self, info: DatasetInfo) -> None:
        """Refuse images of which there are too many for their size."""
        check_values(info, self.name)

    def fit(self, data: ContrastiveDataset, context: FitContext) -> None:
        """Keep the leading eigenvectors of the covariance of the background images."""
        found = principal_components([data.background.images], self.config.components)
        self.mean, self.directions = (part.float() for part in found)

    def encode(self, images: Tensor) -> Representation:
        """The projections (n, at most `components`) of the images as common vectors, and zeros (n, 1) as salient."""
        projected = (images.flatten(1).cpu() - self.mean) @ self.directions
        return Representation(projected, torch.zeros(len(images), 1))

    def state_dict(self) -> dict[str, Tensor]:
        """The mean background image (values,) and the principal directions (values, k)."""
        return {"mean": self.mean, "directions": self.directions}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over mean and directions."""
        self.mean, self.directions = state["mean"], state["directions"]
