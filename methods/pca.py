"""Control: principal components of all training images, the same vector in both spaces.

It separates nothing. What a method adds to plain linear compression shows in the difference. A background image's
salient vector is its projection, like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cabench.config import Settings, setting
from cabench.context import FitContext
from cabench.dataset import ContrastiveDataset, DatasetInfo, float_batches
from cabench.errors import UserError
from cabench.method import ContrastiveAnalysisMethod, Representation


@dataclass(frozen=True)
class PCAConfig(Settings):
    """How many components."""

    components: int = setting(32, at_least=1, help="principal components, the size of both vectors")


class PCA(ContrastiveAnalysisMethod):
    """Principal component analysis of background and target pixels together."""

    name = "pca"
    version = 1
    Config = PCAConfig
    config: PCAConfig

    def check(self, info: DatasetInfo) -> None:
        """Refuse more components than an image has values."""
        channels, height, width = info.image_shape
        if self.config.components > channels * height * width:
            raise UserError(
                f"pca.components = {self.config.components} is more than the {channels * height * width} values of an "
                f"image of {info.name}; set it to that or less."
            )

    def fit(self, data: ContrastiveDataset, context: FitContext) -> None:
        """Accumulate mean and covariance over batches in float64, then keep the leading eigenvectors."""
        size = int(torch.tensor(data.info.image_shape).prod())
        total = torch.zeros(size, dtype=torch.float64)
        products = torch.zeros(size, size, dtype=torch.float64)
        for population in (data.background, data.target):
            for images in float_batches(population.images, torch.device("cpu")):
                rows = images.flatten(1)  # (n, size)
                total += rows.sum(0, dtype=torch.float64)
                # A batch's products are exact enough in float32; their sum over the data set is not.
                products += rows.T @ rows
        n = len(data.background) + len(data.target)
        self.mean = total / n
        covariance = products / n - torch.outer(self.mean, self.mean)
        eigenvectors = torch.linalg.eigh(covariance).eigenvectors  # columns, smallest eigenvalue first
        leading = eigenvectors.flip(1)[:, : self.config.components]
        # The sign of an eigenvector is arbitrary: the largest entry is made positive.
        signs = leading.gather(0, leading.abs().argmax(0, keepdim=True)).sign()
        self.mean, self.directions = self.mean.float(), (leading * signs).float()

    def encode(self, images: Tensor) -> Representation:
        """The (n, components) projections of the images, given twice."""
        projected = (images.flatten(1).cpu() - self.mean) @ self.directions
        return Representation(projected, projected)

    def state_dict(self) -> dict[str, Tensor]:
        """The mean image (values,) and the principal directions (values, components)."""
        return {"mean": self.mean, "directions": self.directions}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over mean and directions."""
        self.mean, self.directions = state["mean"], state["directions"]
