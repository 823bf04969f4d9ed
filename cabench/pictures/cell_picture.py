"""The picture that a cell keeps: what its decoder makes of images, or which images its spaces hold to be alike."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torch import Tensor

from cabench.data.dataset import ContrastiveDataset, Population, as_float, spaced
from cabench.evaluation.encoded import EncodedSplit
from cabench.method import ContrastiveAnalysisMethod, Generative
from cabench.pictures.generation import picture_grid
from cabench.pictures.neighbours import neighbour_grid

PICTURES = 8  # of either population, in the grid of a method with a decoder


def cell_picture(
    test: ContrastiveDataset, encoded: EncodedSplit, method: ContrastiveAnalysisMethod | None = None
) -> Image.Image | None:
    """A grid of test images; None for a table, of which there are no pictures.

    Args:
        test: the test split.
        encoded: its vectors.
        method: fitted; None where the vectors are all there is. One with a decoder shows what it makes of images.
    """
    if test.info.is_table:
        return None
    if isinstance(method, Generative):
        return picture_grid(method, _some(test.background), _some(test.target))
    return neighbour_grid(test.background.images, test.target.images, encoded)


def _some(population: Population) -> Tensor:
    """A few images from all over a population, as floats; all where there are few."""
    return as_float(population.images[spaced(np.arange(len(population)), PICTURES)])
