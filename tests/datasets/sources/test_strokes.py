"""Slant and thickness of bars whose slant and thickness are known."""

from __future__ import annotations

import numpy as np
import pytest

from cabench.datasets.sources.strokes import slant, thickness


def bar(width: float = 3, height: int = 20, shear: float = 0.0, centre: tuple[float, float] = (14, 14)) -> np.ndarray:
    """uint8 (1, 28, 28): a bar that leans to the right by `shear` columns a row, its edges shaded."""
    row, column = np.arange(28)[:, None], np.arange(28)
    middle = centre[1] + shear * (centre[0] - row)
    inside = np.clip(width / 2 + 0.5 - np.abs(column - middle), 0, 1)
    return np.rint(255 * inside * (np.abs(row - centre[0]) <= height / 2))[None].astype(np.uint8)


class TestSlant:
    @pytest.mark.parametrize("shear", [-0.8, -0.3, 0.1, 0.25, 0.5, 0.8])
    @pytest.mark.parametrize("width", [2, 4])
    def test_equals_the_shear_of_a_bar(self, shear: float, width: float) -> None:
        assert slant(bar(width, 18, shear)) == pytest.approx(shear, rel=0.02)

    @pytest.mark.parametrize("width", [1, 2, 3.5])
    def test_upright_bar_has_none(self, width: float) -> None:
        assert slant(bar(width)) == pytest.approx(0, abs=1e-12)

    def test_leaning_to_the_right_is_positive(self) -> None:
        image = np.zeros((1, 28, 28), np.uint8)
        image[0, [20, 14, 8], [8, 14, 20]] = 255  # from the lower left to the upper right

        assert slant(image) == pytest.approx(1.0)

    def test_mirror_image_leans_the_other_way(self) -> None:
        images = np.random.default_rng(0).integers(0, 256, (20, 28, 28), np.uint8)

        np.testing.assert_allclose(slant(images[:, :, ::-1]), -slant(images), atol=1e-12)

    def test_turning_upside_down_and_back_to_front_keeps_it(self) -> None:
        images = np.random.default_rng(1).integers(0, 256, (20, 28, 28), np.uint8)

        np.testing.assert_allclose(slant(images[:, ::-1, ::-1]), slant(images), atol=1e-12)

    def test_place_of_the_ink_does_not_matter(self) -> None:
        assert slant(bar(3, 12, 0.4, (9, 8))) == pytest.approx(slant(bar(3, 12, 0.4, (17, 18))), abs=1e-9)

    def test_intensity_does_not_matter(self) -> None:
        image = 2 * (bar(3, 18, 0.3) // 2)

        assert slant(image // 2) == pytest.approx(slant(image), abs=1e-12)


class TestThickness:
    def test_grows_in_proportion_to_the_width_of_a_bar(self) -> None:
        widths = np.array([1, 2, 3, 4])

        measured = np.concatenate([thickness(bar(width, 21)) for width in widths])

        # The radius of gyration takes the width in too, which costs 2 % at a width of 4 beside a height of 21.
        np.testing.assert_allclose(measured / measured[0], widths, rtol=0.025)

    def test_of_a_bar_by_hand(self) -> None:
        # 3 x 21 pixels: 63 of ink; their variances are (3² - 1) / 12 and (21² - 1) / 12.
        assert thickness(bar(3, 20)) == pytest.approx(63 / np.sqrt((9 - 1) / 12 + (441 - 1) / 12))

    def test_longer_strokes_are_no_thicker(self) -> None:
        assert thickness(bar(2, 22)) == pytest.approx(thickness(bar(2, 12)), rel=0.03)

    def test_enlarging_an_image_enlarges_it_alike(self) -> None:
        small = bar(3, 10)
        large = small.repeat(2, axis=1).repeat(2, axis=2)

        assert thickness(large) == pytest.approx(2 * thickness(small), rel=0.02)

    def test_mirror_image_and_place_do_not_matter(self) -> None:
        image = bar(3, 12, 0.4, (9, 8))

        assert thickness(image[:, :, ::-1]) == pytest.approx(thickness(image))
        assert thickness(np.roll(image, (5, 4), (1, 2))) == pytest.approx(thickness(image))

    def test_half_the_ink_counts_half(self) -> None:
        image = 2 * (bar(3, 18) // 2)

        assert thickness(image // 2) == pytest.approx(thickness(image) / 2)


@pytest.mark.parametrize("measure", [slant, thickness])
def test_each_image_is_measured_by_itself(measure) -> None:
    images = np.concatenate([bar(1), bar(3, shear=0.2), bar(2, 12, -0.4)])

    together = measure(images)

    assert together.shape == (3,)
    assert together.dtype == np.float64
    np.testing.assert_array_equal(together, [measure(image[None])[0] for image in images])
