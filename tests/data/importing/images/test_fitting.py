from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from PIL import Image, ImageOps

from cabench.data.importing.images.fitting import Size, fit_arrays, fit_image, parse_size, share_cut_off


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize(("text", "size"), [("64", (64, 64)), ("48x64", (48, 64)), (" 8x1024 ", (8, 1024))])
def test_sizes_are_height_and_width(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size
    assert parse_size(str(parse_size(text))) == size


@pytest.mark.parametrize("text", ["", "x", "64x", "64 x 48", "-64", "6.5", "٦٤", "64x48x3", "9" * 99])
def test_other_texts_are_no_sizes(refusal, text: str) -> None:
    assert "is not understood" in refusal(lambda: parse_size(text))


@pytest.mark.parametrize("text", ["7", "1025", "64x7", "2000x64"])
def test_sides_that_no_image_may_have_are_refused(refusal, text: str) -> None:
    assert "8 to 1024 pixels" in refusal(lambda: parse_size(text))


@pytest.mark.parametrize("shape", [(30, 40), (40, 30), (9, 200), (64, 48)])
@pytest.mark.parametrize("size", [Size(16, 16), Size(12, 20), Size(20, 12)])
@pytest.mark.parametrize("channels", [1, 3])
def test_fits_agree_with_pillows_own(shape: tuple[int, int], size: Size, channels: int) -> None:
    pixels = noise(*shape) if channels == 1 else noise(*shape, 3)
    image, wanted = Image.fromarray(pixels), (size.width, size.height)
    squashed = fit_image(image, size, "squash")
    np.testing.assert_array_equal(squashed, image.resize(wanted, Image.Resampling.BILINEAR))
    padded = ImageOps.pad(image, wanted, Image.Resampling.BILINEAR, color=0)
    difference = np.abs(np.asarray(fit_image(image, size, "pad"), int) - np.asarray(padded, int))
    # Where one row is left over, the bar above or below may get it.
    assert difference.max() == 0 or (size.height - round(size.width * shape[0] / shape[1])) % 2
    cropped, reference = (np.asarray(i, float) for i in (fit_image(image, size, "crop"), _fitted(image, wanted)))
    assert cropped.shape == reference.shape
    assert np.abs(cropped.mean() - reference.mean()) < 8  # Pillow crops by fractions of pixels


def _fitted(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return ImageOps.fit(image, size, Image.Resampling.BILINEAR)


def test_a_square_is_cut_out_of_the_middle() -> None:
    pixels = noise(20, 33)
    expected = Image.fromarray(pixels[:, 6:26]).resize((16, 16), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(fit_image(Image.fromarray(pixels), Size(16, 16), "crop"), expected)


def test_a_mark_at_the_edge_is_lost_by_cropping_and_kept_by_the_others() -> None:
    pixels = np.zeros((32, 64), np.uint8)
    pixels[:, :8] = 255
    brightest = {fit: np.asarray(fit_image(Image.fromarray(pixels), Size(32, 32), fit)).max() for fit in FITS}
    assert brightest == {"crop": 0, "pad": 255, "squash": 255}
    padded = np.asarray(fit_image(Image.fromarray(pixels), Size(32, 32), "pad"))
    assert not padded[:8].any()
    assert not padded[24:].any()


FITS = ("crop", "pad", "squash")


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_are_fitted_like_files(fit: str, channels: int) -> None:
    images = noise(5, channels, 28, 20)
    found = fit_arrays(images, Size(16, 24), fit)
    assert (found.shape, found.dtype) == ((5, channels, 16, 24), np.uint8)
    for image, one in zip(images, found, strict=True):
        planes = [np.asarray(fit_image(Image.fromarray(plane), Size(16, 24), fit)) for plane in image]
        np.testing.assert_array_equal(one, planes)


def test_arrays_of_the_size_stay_what_they_are() -> None:
    images = noise(3, 1, 8, 9)
    assert fit_arrays(images, Size(8, 9), "pad") is images


def test_fitting_arrays_takes_little_memory_beside_the_result() -> None:
    images = np.zeros((8000, 1, 28, 28), np.uint8)
    fit_arrays(images[:10], Size(32, 32), "crop")
    tracemalloc.start()
    fitted = fit_arrays(images, Size(32, 32), "crop")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < fitted.nbytes + 3e6


def test_the_share_that_is_cut_off() -> None:
    assert share_cut_off(64, 64, Size(32, 32)) == 0
    assert share_cut_off(64, 32, Size(32, 32)) == 0.5
    assert share_cut_off(64, 32, Size(16, 32)) == 0
    assert share_cut_off(30, 40, Size(48, 64)) == pytest.approx(1 - 30 * 22 / 1200)
