"""scikit-learn's digits in MNIST's format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from cabench.datasets.sources import sklearn_digits


def test_source_needs_no_files(tmp_path: Path) -> None:
    source = sklearn_digits.locate(None)

    assert source.title == "scikit-learn digits"
    assert source.files == ()
    assert sklearn_digits.locate(tmp_path / "absent") == source


def test_splits_are_the_rows_in_their_order() -> None:
    train, test = sklearn_digits.read(sklearn_digits.locate(None))

    assert train.images.shape == (1287, 28, 28)
    assert test.images.shape == (510, 28, 28)
    assert train.images.dtype == test.images.dtype == np.uint8
    assert train.labels.dtype == test.labels.dtype == np.int64
    np.testing.assert_array_equal(np.concatenate([train.labels, test.labels]), load_digits().target)


def test_every_class_is_well_represented() -> None:
    train, test = sklearn_digits.read(sklearn_digits.locate(None))

    assert np.bincount(train.labels).min() == 127
    assert np.bincount(test.labels).min() == 47


def test_placement_and_polarity_are_those_of_mnist() -> None:
    train, test = sklearn_digits.read(sklearn_digits.locate(None))
    images = np.concatenate([train.images, test.images])

    margin = np.ones((28, 28), bool)
    margin[4:24, 4:24] = False
    ink_rows = (images > 0).any(axis=2).sum(axis=1)
    ink_columns = (images > 0).any(axis=1).sum(axis=1)

    assert not images[:, margin].any()
    assert images.max() == 255
    # Bright ink on black: most of the frame is dark. MNIST's mean grey value is 33.
    assert 30 < images.mean() < 45
    assert (ink_rows == 20).mean() > 0.95
    assert 16 < ink_columns.mean() < 18


def test_enlarged_images_show_the_digits() -> None:
    train, _ = sklearn_digits.read(sklearn_digits.locate(None))
    small = load_digits().images[: len(train.images)]

    digits = train.images[:, 4:24, 4:24].astype(float)
    # Means over 5x5 pixels of the enlarged digits against means over 2x2 of the originals, both 4x4.
    enlarged = digits.reshape(-1, 4, 5, 4, 5).mean(axis=(2, 4))
    original = small.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)) * 255 / 16

    assert np.corrcoef(enlarged.ravel(), original.ravel())[0, 1] > 0.98


def test_reading_twice_gives_the_same() -> None:
    first, _ = sklearn_digits.read(sklearn_digits.locate(None))
    second, _ = sklearn_digits.read(sklearn_digits.locate(None))

    np.testing.assert_array_equal(first.images, second.images)
