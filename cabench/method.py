"""The interface of every method: fit on a background and a target data set, then encode images twice."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from torch import Tensor

from cabench.config import Settings
from cabench.context import FitContext
from cabench.dataset import ContrastiveDataset, DatasetInfo


class Representation(NamedTuple):
    """What a method says of n images.

    Attributes:
        common: float32 (n, d_common), what background and target share.
        salient: float32 (n, d_salient), what only target images have.
    """

    common: Tensor
    salient: Tensor


class ContrastiveAnalysisMethod(ABC):
    """A contrastive analysis method. One subclass stands in one file of `methods/`, named like it.

    Constructing does no work and touches no device. The module docstring of a method names its paper, what is
    reproduced and every known deviation, and says what the salient vector of a background image is.

    Attributes:
        name: the registry name, equal to the file's name.
        version: raised whenever a change may change numbers; records of an older version are shown as stale.
        Config: the frozen, validated configuration.
        learns: False for controls whose representation does not depend on the images they are fitted on.
        supervised: True for methods that learn from the images' attributes, and not only from which images are target.
        takes_tables: True for methods that also run on rows of features, (n, features), in place of images. Any other
            is refused on a data set of tables before its `check` is asked.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    Config: ClassVar[type[Settings]]
    learns: ClassVar[bool] = True
    supervised: ClassVar[bool] = False
    takes_tables: ClassVar[bool] = False
    config: Settings

    def __init__(self, config: Settings | None = None) -> None:
        self.config = config if config is not None else self.Config()

    def check(self, info: DatasetInfo) -> None:  # noqa: B027 - most methods run on every data set
        """Refuse a data set that this configuration cannot run on, before any work starts.

        Raises:
            UserError: saying what does not fit and which setting or data set would.
        """

    @abstractmethod
    def fit(self, data: ContrastiveDataset, context: FitContext) -> None:
        """Learn from the training split. The randomness used is `context.randomness` and nothing else.

        Raises:
            NonFiniteLossError: when a loss term becomes infinite or NaN.
            StopRequested: when the context asks to stop; a later `fit` in the same folder continues.
        """

    @abstractmethod
    def encode(self, images: Tensor) -> Representation:
        """Represent images, deterministically and in evaluation mode, whatever population they come from.

        Args:
            images: float32 (n, channels, height, width) in [0, 1]; of a table float32 (n, features).
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Tensor]:
        """Everything learned, as tensors by name."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` of a method with the same configuration gave."""

    def parameter_count(self) -> int:
        """The number of learned values, buffers such as running statistics left out. Zero where nothing is learned."""
        return sum(tensor.numel() for tensor in self.state_dict().values())


class Generative(ContrastiveAnalysisMethod):
    """A method with a decoder. Reconstructions, removals and swaps come from it alike: see `cabench.generation`."""

    @abstractmethod
    def decode(self, representation: Representation) -> Tensor:
        """Images float32 (n, channels, height, width) in [0, 1] of (n, d_common) and (n, d_salient) vectors.

        Rows of a table are float32 (n, features), of any size.
        """
