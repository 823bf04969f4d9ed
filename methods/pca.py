"""Control: principal components of all training images, the same vector in both spaces.

It separates nothing: the difference to it shows what a method adds to plain linear compression. The salient vector of a
background image is its projection, as for a target image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from cabench.config import Settings, setting
from cabench.context import FitContext
from cabench.data.dataset import ContrastiveDataset, DatasetInfo
from cabench.method import ContrastiveAnalysisMethod, Representation
from cabench.methods.shared.moments import check_values, leading_directions, moments


@dataclass(frozen=True)
class PCAConfig(Settings):
    """How many components."""

    components: int = setting(32, at_least=1, help="principal components, the size of both vectors")


class PCA(ContrastiveAnalysisMethod):
    """Principal component analysis of background and target pixels together."""

    name = "pca"
    version = 2
    Config = PCAConfig
    config: PCAConfig
    takes = ("images", "tables")

    def check(self, info: DatasetInfo) -> None:
        """Refuse more components than an image has values, and images too large for a covariance."""
        check_values(info, self.config.components, self.name)

    def fit(self, data: ContrastiveDataset, context: FitContext) -> None:
        """Keep the leading eigenvectors of the covariance of all images."""
        _, mean, covariance = moments([data.background.images, data.target.images])
        self.mean, self.directions = mean.float(), leading_directions(covariance, self.config.components).float()

    def encode(self, images: Tensor) -> Representation:
        """The (n, components) projections of the images as both vectors."""
        projected = (images.flatten(1).cpu() - self.mean) @ self.directions
        return Representation(projected, projected)

    def state_dict(self) -> dict[str, Tensor]:
        """The mean image (values,) and the principal directions (values, components)."""
        return {"mean": self.mean, "directions": self.directions}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over mean and directions."""
        self.mean, self.directions = state["mean"], state["directions"]
