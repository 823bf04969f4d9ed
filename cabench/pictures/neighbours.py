"""A picture of some test images and of those that lie nearest to them in either space."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cabench.data.dataset import as_float, spaced
from cabench.data.drawing import labelled_rows
from cabench.evaluation.encoded import EncodedSplit
from cabench.evaluation.probes import Scaling

PICTURES = 8  # of either population
NEIGHBOURS = 2


def neighbour_grid(background: Tensor, target: Tensor, test: EncodedSplit) -> Image.Image:
    """Target test images, and below each the images nearest to it in the common and in the salient space.

    Where the common space holds what is common and nothing else, neighbours share that with the image and nothing else.

    Args:
        background: uint8 (n, channels, height, width), in the order of `test`.
        target: likewise.
        test: the representations of those images.
    """
    together = torch.cat([background, target])
    queries = spaced(np.flatnonzero(test.is_target()), PICTURES)
    rows = [("target", together[queries])]
    for space in test.target.spaces:
        features = test.features(space)
        scaled = Scaling.of(features)(features)
        nearest = np.stack([_nearest(scaled, query) for query in queries])
        rows += [(f"nearest in the\n{space} space", together[rank]) for rank in nearest.T]
    return labelled_rows([(label, as_float(pixels)) for label, pixels in rows])


def _nearest(features: np.ndarray, query: int) -> np.ndarray:
    """The rows nearest to one row, without itself; the first of equally near ones."""
    distances = ((features - features[query]) ** 2).sum(axis=1)
    distances[query] = np.inf
    return np.argsort(distances, kind="stable")[: min(NEIGHBOURS, len(features) - 1)]
