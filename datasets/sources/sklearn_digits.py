"""scikit-learn's digits: 1,797 grey images bundled with the package, brought to MNIST's format.

A stand-in for MNIST that needs no file and no network.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from cabench.data.sources import LabelledImages, Source

TITLE = "scikit-learn digits"

_FRAME = 28
# MNIST's digits were fitted into 20x20 pixels before they were centred in the frame; the 8x8 digits fill their height.
_DIGIT = 20
_INK_MAX = 16
_TRAIN = 1287  # rows; the next ones are by other writers


def locate(root: Path | None) -> Source:
    """The source without files, since the images come with scikit-learn.

    Args:
        root: not used; every source module has this signature.
    """
    del root
    return Source(TITLE)


def read(source: Source) -> tuple[LabelledImages, LabelledImages]:
    """Read the images and enlarge them to MNIST's size, polarity and placement.

    The 8x8 images with values 0 to 16 are enlarged (bicubic) to 20x20 in the middle of a 28x28 frame. Measured over
    all images, ink (above 0) is then 20 rows high and 17 columns wide in the mean, with a mean grey value of 40; over
    MNIST's training images these are 20, 16 and 33.

    Rows are ordered by writer; the pattern of the labels restarts after row 1,287, among others. They are split there:
    train is the first 1,287 rows, test the other 510, by other writers. All classes have at least 127 images in train
    and 47 in test.

    Args:
        source: what `locate` gave.

    Returns:
        Train and test: images uint8 (n, 28, 28) in [0, 255] with bright ink on black, labels int64 (n,) in [0, 9].
    """
    from sklearn.datasets import load_digits  # Late: importing scikit-learn takes a second.

    del source
    small, labels = load_digits(return_X_y=True)
    images = np.stack([_enlarged(image) for image in small.reshape(-1, 8, 8)])
    labels = labels.astype(np.int64)
    return LabelledImages(images[:_TRAIN], labels[:_TRAIN]), LabelledImages(images[_TRAIN:], labels[_TRAIN:])


def _enlarged(small: np.ndarray) -> np.ndarray:
    """One image, float64 (8, 8) in [0, 16], as uint8 (28, 28) in [0, 255]."""
    grey = np.rint(small * (255 / _INK_MAX)).astype(np.uint8)
    frame = np.zeros((_FRAME, _FRAME), np.uint8)
    margin = (_FRAME - _DIGIT) // 2
    digit = Image.fromarray(grey).resize((_DIGIT, _DIGIT), Image.Resampling.BICUBIC)
    frame[margin : margin + _DIGIT, margin : margin + _DIGIT] = np.asarray(digit)
    return frame
