"""Which images a network takes, so that a misfit is refused before any work starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cabench.dataset import DatasetInfo
from cabench.errors import UserError
from cabench.methods.networks import dcgan


class ImageSizes(NamedTuple):
    """The heights and widths that a network takes.

    Attributes:
        words: e.g. "images of 32 x 32".
        include: whether they include a height and width.
    """

    words: str
    include: Callable[[int, int], bool]

    def check(self, setting: str, info: DatasetInfo) -> None:
        """Refuse images of another size.

        Args:
            setting: the choice that brought the network in, e.g. "sepclr.encoder = sepvae_32".
            info: the data set.

        Raises:
            UserError: naming the setting and what it takes.
        """
        height, width = info.image_shape[1:]
        if not self.include(height, width):
            raise UserError(
                f"{setting} takes {self.words}, but those of {info.name} are {height} x {width}; "
                "choose another network or size."
            )


def exactly(size: int) -> ImageSizes:
    """Images of `size` x `size` alone."""
    return ImageSizes(f"images of {size} x {size}", lambda height, width: height == width == size)


ANY = ImageSizes("all images", lambda height, width: True)
POWERS_OF_TWO = ImageSizes(
    "square images whose side is a power of two from 16 on",
    lambda height, width: height == width and dcgan.fits(height),
)
