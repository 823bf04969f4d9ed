"""What a network takes, images of some sizes or rows of a table, so that a misfit is refused before any work starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cabench.data.dataset import DatasetInfo
from cabench.errors import UserError
from cabench.methods.networks import dcgan


class Inputs(NamedTuple):
    """The examples that a network takes.

    Attributes:
        words: e.g. "images of 32 x 32".
        include: whether they include examples of a shape: (channels, height, width), or (features,) of a table.
    """

    words: str
    include: Callable[[tuple[int, ...]], bool]

    def check(self, setting: str, choice: str, info: DatasetInfo) -> None:
        """Refuse examples of another shape.

        Args:
            setting: what brought the network in, e.g. "sepclr.encoder".
            choice: its value, e.g. "sepvae_32".
            info: the data set.

        Raises:
            UserError: naming the setting and what it takes.
        """
        if self.include(info.image_shape):
            return
        if info.is_table:
            found, advice = f"{info.name} holds a table of {info.image_shape[0]} features", f"set {setting}=mlp"
        else:
            height, width = info.image_shape[1:]
            found, advice = f"the images of {info.name} are {height} x {width}", "choose another network or size"
        raise UserError(f"{setting} = {choice} takes {self.words}, but {found}; {advice}.")


def exactly(size: int) -> Inputs:
    """Images of `size` x `size` alone."""
    return Inputs(f"images of {size} x {size}", lambda shape: shape[1:] == (size, size))


def _is_power_of_two(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[1] == shape[2] and dcgan.fits(shape[1])


IMAGES = Inputs("images", lambda shape: len(shape) == 3)
POWERS_OF_TWO = Inputs("square images whose side is a power of two from 16 on", _is_power_of_two)
TABLES = Inputs("rows of a table of features", lambda shape: len(shape) == 1)
