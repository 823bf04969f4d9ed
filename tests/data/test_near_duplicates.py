from __future__ import annotations

import gzip
import io
import os
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image, ImageFilter

from cabench.data.checks import check_file
from cabench.data.dataset import Attribute
from cabench.data.importing.arrays import write_arrays
from cabench.data.importing.examples import Examples
from cabench.data.near_duplicates import NO_HASH, closest, details, difference_hashes

WORDS = "look almost the same"


def scenes(count: int, seed: int = 0, size: int = 48) -> np.ndarray:
    """Smooth noise, like photographs: uint8 (count, 1, size, size)."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        noise = Image.fromarray(generator.integers(0, 256, (size, size), np.uint8)).filter(ImageFilter.GaussianBlur(3))
        pixels = np.asarray(noise, float)
        made.append(((pixels - pixels.min()) * (255 / np.ptp(pixels))).astype(np.uint8))
    return np.stack(made)[:, None]


def compressed(image: np.ndarray, quality: int = 75) -> np.ndarray:
    written = io.BytesIO()
    Image.fromarray(image[0]).save(written, "JPEG", quality=quality)
    return np.asarray(Image.open(written))[None]


def test_a_hash_says_which_averages_rise_to_the_right() -> None:
    """By hand: nine columns of equal width, each row a permutation of steps."""
    generator = np.random.default_rng(0)
    levels = np.stack([generator.permutation(9) for _ in range(8)]) * 25
    image = np.kron(levels, np.ones((3, 4), int)).astype(np.uint8)[None, None]
    expected = np.packbits(levels[:, 1:] > levels[:, :-1]).view(np.uint64)
    np.testing.assert_array_equal(difference_hashes(image), expected)


def test_flat_images_have_no_hash() -> None:
    flat = np.full((3, 3, 20, 30), 128, np.uint8)
    flat[1, :, 5, 5] = 129
    assert (difference_hashes(flat) == NO_HASH).all()


@pytest.mark.parametrize("shape", [(8, 8), (9, 31), (28, 28), (96, 64)])
def test_images_of_any_shape_have_a_hash_that_brightness_and_contrast_do_not_change(shape: tuple[int, int]) -> None:
    images = np.stack([np.asarray(Image.fromarray(i[0]).resize(shape[::-1])) for i in scenes(20)])[:, None]
    hashes = difference_hashes(images)
    assert len(set(hashes.tolist())) == 20
    fainter = (images // 2 + 40).astype(np.uint8)
    assert np.mean([(int(a) ^ int(b)).bit_count() for a, b in zip(hashes, difference_hashes(fainter), strict=True)]) < 2
    assert (details(images) * details(fainter)).sum(axis=1).min() > 0.99


def test_the_closest_hash_of_another_kind_is_found() -> None:
    generator = np.random.default_rng(0)
    hashes = generator.integers(1, 2**63, 3000).astype(np.uint64)
    kinds = np.arange(3000) % 3
    for row, bits in ((10, [3]), (20, [1, 17, 60]), (30, [5, 6, 40]), (40, [1, 2, 3, 4])):
        changed = hashes[row]
        for bit in bits:
            changed ^= np.uint64(1 << bit)
        hashes[row + 1] = changed
    hashes[53] = hashes[50]  # of one kind
    other, differ = closest(hashes, kinds)
    assert [(other[row], differ[row]) for row in (10, 11, 20, 31)] == [(11, 1), (10, 1), (21, 3), (30, 3)]
    assert np.flatnonzero(other >= 0).tolist() == [10, 11, 20, 21, 30, 31]


@pytest.fixture
def written(tmp_path: Path):
    """Writes scenes of 60 + 60, of which the last 20 of each are for testing."""

    def write(images: np.ndarray) -> list[str]:
        is_test = np.arange(60) >= 40
        parts = (Examples(part, is_test=is_test) for part in (images[:60], images[60:]))
        return check_file(write_arrays(tmp_path / "mine.h5", *parts).path).warnings

    return write


def test_a_compressed_copy_in_the_other_split_or_population_is_said(written) -> None:
    images = scenes(120)
    assert not any(WORDS in said for said in written(images))
    images[50] = compressed(images[7])  # background of the test split, and of the training split
    images[90] = compressed(images[20])  # training images: target, and background
    said = [text for text in written(images) if WORDS in text]
    assert len(said) == 2
    assert "1 of the 40 rows of /test/images look almost the same as rows of an earlier split, first" in said[0]
    assert "first /test/images[10] as /train/images[7]" in said[0]
    assert "1 of the 60 target images look almost the same as background images" in said[1]
    assert "first /train/images[70] as /train/images[20]" in said[1]


def test_within_one_split_and_population_nothing_is_said(written) -> None:
    images = scenes(120)
    images[8] = compressed(images[7])
    assert not any(WORDS in said for said in written(images))


def test_images_that_all_look_alike_are_said_once_and_quickly(written) -> None:
    images = np.repeat(scenes(1), 120, axis=0)
    images[:, 0, 0, 0] = np.arange(120)
    start = time.perf_counter()
    said = [text for text in written(images) if WORDS in text]
    assert len(said) <= 2
    assert "of the 40 rows of /test/images" in said[0]
    assert time.perf_counter() - start < 5


def test_handwritten_digits_are_no_near_duplicates(tmp_path: Path) -> None:
    """Ten thousand of MNIST, many of which are the same digit in much the same hand."""
    root = Path(os.environ.get("CABENCH_DATA", "/nonexistent"))
    source = root / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz"
    if not source.is_file():
        pytest.skip("MNIST is not here")
    content = gzip.decompress(source.read_bytes())
    digits = np.frombuffer(content, np.uint8, offset=16).reshape(-1, 1, 28, 28)
    parts = (Examples(part) for part in (digits[:5000], digits[5000:]))
    write_arrays(tmp_path / "digits.h5", *parts)
    assert not any(WORDS in said for said in check_file(tmp_path / "digits.h5").warnings)


def test_equal_rows_whose_labels_differ_are_said_to_disagree(tmp_path: Path) -> None:
    images, sex = scenes(120), np.arange(60) % 2
    images[11], images[13] = images[10], images[10]  # of another class, and of unknown
    sex[13] = -1
    attribute = Attribute("sex", "common", "class", ("f", "m"))
    parts = (
        Examples(part, {"sex": values}, is_test=np.arange(60) >= 40)
        for part, values in ((images[:60], sex), (images[60:], np.arange(60) % 2))
    )
    path = write_arrays(tmp_path / "mine.h5", *parts, attributes=[attribute]).path
    said = check_file(path).warnings
    assert any("labels disagree: sex differs between equal rows, first /train/images[10]" in text for text in said)
    with h5py.File(path) as file:
        assert file["train/attributes/sex"][[10, 11, 13]].tolist() == [0, 1, -1]
    images[13] = scenes(1, 9)[0]
    sex[11] = 0
    parts = (Examples(part, {"sex": sex}, is_test=np.arange(60) >= 40) for part in (images[:60], images[60:]))
    same = check_file(write_arrays(tmp_path / "same.h5", *parts, attributes=[attribute]).path).warnings
    assert any("repeats 1 of its 80 rows" in text for text in same)
    assert not any("disagree" in text for text in same)
