"""Photographs with and without a garment blended in: the object is common, the garment salient.

The same blend as `cifar_mnist`, with Fashion-MNIST (Xiao et al., 2017) in place of MNIST. It tells whether results
there depend on digits. No paper has used it; its settings and rules are those of `cifar_mnist`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cabench.data.dataset import Attribute
from cabench.datasets.sources.blend import BlendConfig, BlendedPhotographs
from cabench.datasets.sources.idx import FASHION_MNIST, GARMENTS


@dataclass(frozen=True)
class CifarFashionConfig(BlendConfig):
    """Defaults: those of `cifar_mnist`."""


class CifarFashion(BlendedPhotographs):
    """Blends garments into photographs; see the module."""

    name = "cifar_fashion"
    version = 1
    Config = CifarFashionConfig
    overlays: ClassVar = FASHION_MNIST
    salient = Attribute("garment", "salient", "class", GARMENTS)
