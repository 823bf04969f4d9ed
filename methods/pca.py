"""Control: principal components of all training images, the same vector in both spaces.

It separates nothing: the difference to it shows what a method adds to plain linear compression. The salient vector of a
background image is its projection, as for a target image. Where the images vary in fewer directions than `components`,
as those of a table of two features do, vectors have only as many dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from cabench.config import Settings, setting
from cabench.context import FitContext
from cabench.data.dataset import ContrastiveDataset, DatasetInfo
from cabench.method import ContrastiveAnalysisMethod, Representation
from cabench.methods.shared.moments import check_values, principal_components


@dataclass(frozen=True)
class PCAConfig(Settings):
    """How many components."""

    components: int = setting(32, at_least=1, help="principal components, the largest size of both vectors")


class PCA(ContrastiveAnalysisMethod):
    """Principal component analysis of background and target pixels together."""

    name = "pca"
    version = 2
    Config = PCAConfig
    config: PCAConfig
    takes = ("images", "tables")
    one_space = True
    uses_device = False

    def check(self, info: DatasetInfo) -> None:
        """Refuse images of which there are too many for their size."""
        check_values(info, self.name)

    def fit(self, data: ContrastiveDataset, context: FitContext) -> None:
        """Keep the leading eigenvectors of the covariance of all images."""
        images = [data.background.images, data.target.images]
        self.mean, self.directions = (part.float() for part in principal_components(images, self.config.components))

    def encode(self, images: Tensor) -> Representation:
        """The projections (n, at most `components`) of the images as both vectors."""
        projected = (images.flatten(1).cpu() - self.mean) @ self.directions
        return Representation(projected, projected)

    def state_dict(self) -> dict[str, Tensor]:
        """The mean image (values,) and the principal directions (values, k)."""
        return {"mean": self.mean, "directions": self.directions}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over mean and directions."""
        self.mean, self.directions = state["mean"], state["directions"]
