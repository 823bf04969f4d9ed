"""The picture of a cell of any size: one image of either population, one pixel, long and narrow ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cabench.config import Settings
from cabench.data.dataset import Attribute, ContrastiveDataset, DatasetInfo, Population
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.method import Generative, Representation
from cabench.pictures.cell_picture import cell_picture
from cabench.pictures.maps import maps


class Flat(Generative):
    """The common vector is the image; the salient one is empty of meaning."""

    name = "flat"
    version = 1
    Config = Settings
    shape: tuple[int, ...]

    def fit(self, data, context):
        self.shape = data.info.image_shape

    def encode(self, images):
        return Representation(images.flatten(1), images.flatten(1) * 0)

    def decode(self, representation):
        return representation.common.reshape(-1, *self.shape)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def split(counts: tuple[int, int], shape: tuple[int, ...]) -> tuple[ContrastiveDataset, EncodedSplit]:
    """Images of noise, and vectors of noise."""
    generator = torch.Generator().manual_seed(0)
    pixels = [torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=generator) for count in counts]
    info = DatasetInfo("noise", 1, {}, "0" * 64, (), shape, (Attribute("level", "common", "real"),), {})
    levels = [{"level": np.arange(count, dtype=float)} for count in counts]
    vectors = [{space: np.random.default_rng(7).normal(size=(n, 2)) for space in ("common", "salient")} for n in counts]
    populations = map(Population, pixels, levels)
    return ContrastiveDataset(info, *populations), EncodedSplit(*map(EncodedPopulation, vectors, levels))


@pytest.mark.parametrize("counts", [(1, 1), (1, 30), (30, 1), (12, 6)])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 8, 8), (1, 1, 90), (3, 90, 1), (1, 33, 47)])
def test_there_is_a_picture_and_there_are_maps_whatever_the_size(counts, shape):
    test, encoded = split(counts, shape)
    method = Flat(Settings())
    method.fit(test, None)
    factor = max(1, -(-64 // max(shape[1:])))
    wide, high = (factor * side + 2 for side in reversed(shape[1:]))
    # Two neighbours in either space; of two images in all, each has one.
    rows = 1 + 2 * min(2, sum(counts) - 1)
    assert cell_picture(test, encoded).size == (130 + min(8, counts[1]) * wide, rows * high)
    assert cell_picture(test, encoded, method).size == (130 + min(8, *counts) * wide, 6 * high)
    mapped = maps(encoded, test.info.attributes)
    assert mapped["is_target"] == [0] * counts[0] + [1] * counts[1]
    assert np.isfinite(mapped["spaces"]["salient"]["points"]).all()
