"""Averaging over areas: exact where sides divide, the weighted mean where they do not."""

from __future__ import annotations

import numpy as np

from cabench.datasets.sources.area import area_resized


def test_whole_blocks_are_averaged():
    image = np.random.default_rng(0).integers(0, 256, (12, 20), np.uint8)
    means = image.reshape(4, 3, 4, 5).mean(axis=(1, 3))
    np.testing.assert_array_equal(area_resized(image, 4), np.rint(means))


def test_shared_pixels_count_by_the_part_that_is_covered():
    # Two new pixels over three old ones: the middle one counts half in each.
    row = np.array([[0, 90, 240]], np.uint8)
    np.testing.assert_array_equal(area_resized(row, 2), [[30, 190], [30, 190]])


def test_a_constant_image_stays_constant():
    for value in (0, 255):
        assert (area_resized(np.full((311, 377), value, np.uint8), 224) == value).all()
