"""Photographs with and without a digit blended in: the object is common, the digit salient.

The construction is that of SepCLR and SepVAE (card B1a). Of CIFAR-10's training images the first half are background,
at half intensity; the others are targets, blended half and half with the MNIST training image of the same index, padded
from 28 x 28 to 32 x 32. Nothing is drawn at random.

The test split takes all 10,000 test photographs, half of them background. The papers take 1,000, which leaves 500
targets to score on; `test_split = "paper"` does so too. Deviation: images are kept as uint8, so half intensities are
rounded down. Where CIFAR-10 comes as a folder per class, its original order is lost, and images take classes in turn.

`pairing = "random"` with `fitting = "resized"`, and `size` 64 or 32, is Double InfoGAN's construction (card B1b):
training photographs are shuffled, the first half of them background; digits are drawn with replacement and scaled to
the whole image; the 10,000 test photographs keep their order. Deviations: digits of the test split come from MNIST's
test images, while the released code draws them from the training images, so that a digit can be in both splits
(decision D21); draws are seeded, the released ones are not; photographs are scaled to 64 x 64 by bilinear
interpolation, like the release's digits; how the release scales photographs is not known.
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
