"""Bilinear scaling, compared with torch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from cabench.datasets.sources.bilinear import bilinear_resized


@pytest.mark.parametrize(("side", "size"), [(28, 32), (28, 64), (32, 64)])
def test_is_bilinear_to_the_nearest_level(side: int, size: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 3, side, side), np.uint8)

    found = bilinear_resized(images, size)

    expected = interpolate(torch.from_numpy(images).double(), size, mode="bilinear", align_corners=False).numpy()
    assert found.dtype == np.uint8
    # Pillow rounds after each of the two directions.
    assert np.abs(found - expected).max() <= 1.0
    np.testing.assert_array_equal(found[1], bilinear_resized(images[1], size))


def test_the_size_that_images_have_is_left_alone() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), np.uint8)

    np.testing.assert_array_equal(bilinear_resized(images, 32), images)
