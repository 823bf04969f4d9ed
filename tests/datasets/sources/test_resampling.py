"""Bilinear scaling, compared with torch's; averages over areas: exact where sides divide, else the weighted mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from cabench.datasets.sources.resampling import area_resized, bilinear_resized


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


def test_whole_blocks_are_averaged():
    image = np.random.default_rng(0).integers(0, 256, (12, 20), np.uint8)
    means = image.reshape(4, 3, 4, 5).mean(axis=(1, 3))
    np.testing.assert_array_equal(area_resized(image, 4), np.rint(means))


def test_shared_pixels_count_by_the_part_that_is_covered():
    # Two new pixels over three old ones: the middle one counts half in each.
    row = np.array([[0, 90, 240]], np.uint8)
    np.testing.assert_array_equal(area_resized(row, 2), [[30, 190], [30, 190]])


def test_each_channel_is_scaled_on_its_own():
    image = np.random.default_rng(0).integers(0, 256, (3, 128, 128), np.uint8)
    pieces = image.repeat(7, axis=1).repeat(7, axis=2)  # 16 x 16 of them make a pixel: 128 * 7 = 56 * 16
    means = pieces.reshape(3, 56, 16, 56, 16).mean(axis=(2, 4))
    np.testing.assert_array_equal(area_resized(image, 56), np.rint(means))


def test_a_constant_image_stays_constant():
    for value in (0, 255):
        assert (area_resized(np.full((311, 377), value, np.uint8), 224) == value).all()
