"""How often a network halves an image, and which map remains: the one plan from which all are built for a shape.

A convolution of kernel 4, stride 2 and padding 1 halves height and width, rounded down. The transposed one of the way
back doubles them, and output padding gives back the row or the column that rounding lost. Halving ends when the longer
side is below twice `smallest`, which for powers of two leaves just that and else up to twice as much: 32 and 64 end at
4, 28 and 224 at 7. What remains is taken by one layer, whose kernel is the whole map.

Networks that were published for one size thus keep their depth there; smaller images take fewer halvings, larger ones
more, so that the last layer, which has most of the weights, stays small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

SMALLEST = 4
SMALLEST_IMAGE = 8
"""Height and width from which on images are taken: from there on every network has a layer to halve them."""


class Plan(NamedTuple):
    """The heights and widths that an image has on its way through a network.

    Attributes:
        sizes: (height, width) of the image, then of the map after each halving.
    """

    sizes: tuple[tuple[int, int], ...]

    @property
    def halvings(self) -> int:
        """How often the image is halved."""
        return len(self.sizes) - 1

    @property
    def remaining(self) -> tuple[int, int]:
        """Height and width of the map that remains."""
        return self.sizes[-1]

    @property
    def way_back(self) -> tuple[tuple[int, int], ...]:
        """The size after each doubling of the map that remains; the last is the image's."""
        return self.sizes[-2::-1]


def plan(shape: tuple[int, ...], smallest: int = SMALLEST) -> Plan:
    """The plan for images of a shape (channels, height, width), of at least 8 x 8.

    Args:
        shape: of an image.
        smallest: the side at which halving ends for powers of two. A map that is one pixel high or wide ends it too.
    """
    sizes = [(shape[1], shape[2])]
    while max(sizes[-1]) >= 2 * smallest and min(sizes[-1]) > 1:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return Plan(tuple(sizes))


def fitted(widths: Sequence[int], halvings: int) -> list[int]:
    """Published channels, one for each halving: the first ones where there are fewer, the last one again where more."""
    return [*widths, *[widths[-1]] * halvings][:halvings]


def halving(before: int, after: int, bias: bool = True) -> nn.Conv2d:
    """A convolution that halves (n, before, height, width) maps, rounded down."""
    return nn.Conv2d(before, after, 4, 2, 1, bias=bias)


def doubling(before: int, after: int, size: tuple[int, int], bias: bool = True) -> nn.ConvTranspose2d:
    """Its way back, to maps of a size whose halves it is given."""
    odd = (size[0] % 2, size[1] % 2)
    return nn.ConvTranspose2d(before, after, 4, 2, 1, output_padding=odd, bias=bias)
