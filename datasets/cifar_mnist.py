"""Photographs with and without a digit blended in: the object is common, the digit salient.

The construction is that of SepCLR and SepVAE (card B1a). Of CIFAR-10's training images the first half are background,
at half intensity; the others are targets, blended half and half with the MNIST training image of the same index, padded
from 28 x 28 to 32 x 32. Nothing is drawn at random.

The test split takes all 10,000 test photographs, half of them background, where the papers take 1,000, which leaves 500
targets to score on; `test_split = "paper"` gives theirs. Deviation: images are kept as uint8, so that half intensities
are rounded down to whole numbers. Where CIFAR-10 comes from a folder per class, its original order is lost and images
go round the classes instead.

`pairing = "random"` with `fitting = "resized"`, and `size` 64 or 32, is Double InfoGAN's construction (card B1b):
training photographs are shuffled, the first half of them background; digits are drawn with replacement and scaled to
the whole image; the 10,000 test photographs keep their order. Deviations: digits of the test split come from MNIST's
test images, where the released code draws them from the training images, so that the same digit can stand in both
splits (decision D21); draws are seeded, the released ones are not; how photographs were brought to 64 x 64 is not
known, here it is by bilinear interpolation, as its digits are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cabench.data.dataset import Attribute
from cabench.datasets.sources.blend import BlendConfig, BlendedPhotographs
from cabench.datasets.sources.idx import MNIST


@dataclass(frozen=True)
class CifarMnistConfig(BlendConfig):
    """Defaults: the experiment of SepCLR and SepVAE (card B1a)."""


class CifarMnist(BlendedPhotographs):
    """Blends digits into photographs; see the module."""

    name = "cifar_mnist"
    version = 1
    Config = CifarMnistConfig
    overlays: ClassVar = MNIST
    salient = Attribute("digit", "salient", "class", tuple(str(digit) for digit in range(10)))
