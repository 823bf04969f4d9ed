"""The interface of every method: fit on background and target images, then encode an image as two vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from cabench.config import Settings
from cabench.context import FitContext, drawing_from
from cabench.data.dataset import ContrastiveDataset, DataForm, DatasetInfo
from cabench.errors import UserError

Taken = Literal["images", "tables", "non-negative", "counts", "missing"]


class Representation(NamedTuple):
    """The two vectors of each of n images.

    Attributes:
        common: float32 (n, d_common), what background and target share.
        salient: float32 (n, d_salient), what only target images have.
    """

    common: Tensor
    salient: Tensor


class ContrastiveAnalysisMethod(ABC):
    """A contrastive analysis method. Each subclass has its own file in `methods/`, named like it.

    Constructing does no work and touches no device. The module docstring of a method names its paper, what is
    reproduced and every known deviation, and says what the salient vector of a background image is.

    Attributes:
        name: the registry name, equal to the file's name.
        version: raised whenever a change may change numbers; records of an older version are shown as stale.
        Config: the frozen, validated configuration.
        learns_from: the populations whose images the representation depends on. Controls that learn from none, or not
            from targets, are yardsticks: they are not compared.
        supervised: True for methods that learn from the images' attributes, and not only from which images are target.
        takes: what the method runs on: "images"; "tables", which are rows of standardised features (n, features);
            "non-negative", tables of numbers from 0 up, which are scaled as the data set says but not centred;
            "counts", tables of whole numbers from 0; "missing", tables where values are NaN. What a table holds and a
            method does not take is made into what it takes by `cabench.data.preparation`, where that can be; a method
            that takes none of what a data set holds is refused on it before its `check` is called. Missing values
            that reach `fit` or `encode` of a method that does not take them are refused there, whoever calls.
        improvised_common: True for methods without a common space, whose common vectors are projections on the
            background's leading principal directions; tables of results say so.
        one_space: True for controls that learn a single vector, which both spaces hold: they cannot separate.
        uses_device: False for methods that compute on the processor, whatever device a run is on: they are given the
            processor as `context.device`, and workers that hold a GPU take the other methods' cells first.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    Config: ClassVar[type[Settings]]
    learns_from: ClassVar[tuple[Literal["background", "target"], ...]] = ("background", "target")
    supervised: ClassVar[bool] = False
    takes: ClassVar[tuple[Taken, ...]] = ("images",)
    improvised_common: ClassVar[bool] = False
    one_space: ClassVar[bool] = False
    uses_device: ClassVar[bool] = True
    config: Settings

    def __init_subclass__(cls) -> None:
        """Have `fit` and `encode` refuse missing values that the method does not take: most would give NaN vectors."""
        super().__init_subclass__()
        for name, guard in (("fit", _fitting_complete_rows), ("encode", _encoding_complete_rows)):
            if name in vars(cls):
                setattr(cls, name, guard(vars(cls)[name]))

    def __init__(self, config: Settings | None = None) -> None:
        self.config = config if config is not None else self.Config()

    def check(self, info: DatasetInfo) -> None:  # noqa: B027 - most methods run on every data set
        """Refuse a data set that this configuration cannot run on, before any work starts.

        Raises:
            UserError: saying what does not fit, and which setting or data set does.
        """

    @abstractmethod
    def fit(self, data: ContrastiveDataset, context: FitContext) -> None:
        """Learn from the training split, with no randomness but `context.randomness`.

        Raises:
            NonFiniteLossError: when a loss term becomes infinite or NaN.
            StopRequested: when the context asks to stop; a later `fit` in the same folder continues.
        """

    @abstractmethod
    def encode(self, images: Tensor) -> Representation:
        """Represent images of any population, deterministically and in evaluation mode.

        Args:
            images: float32 (n, channels, height, width) in [0, 1]; of a table float32 (n, features).
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Tensor]:
        """Everything learned, as tensors by name."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load what `state_dict` of a method with the same configuration gave."""

    def parameter_count(self) -> int:
        """The number of learned values, without buffers such as running statistics. 0 if nothing is learned."""
        return sum(tensor.numel() for tensor in self.state_dict().values())


def _fitting_complete_rows(fit: Callable[..., None]) -> Callable[..., None]:
    @wraps(fit)
    def guarded(method: ContrastiveAnalysisMethod, data: ContrastiveDataset, context: FitContext) -> None:
        for population in (data.background, data.target):
            _refuse_missing(method, population.images)
        fit(method, data, context)

    return guarded


def _encoding_complete_rows(encode: Callable[..., Representation]) -> Callable[..., Representation]:
    @wraps(encode)
    def guarded(method: ContrastiveAnalysisMethod, images: Tensor) -> Representation:
        _refuse_missing(method, images)
        return encode(method, images)

    return guarded


def _refuse_missing(method: ContrastiveAnalysisMethod, rows: Tensor) -> None:
    """Raise UserError for float (n, features) rows that lack values, where the method does not take them."""
    if rows.ndim != 2 or "missing" in method.takes:
        return
    lacking = int(rows.isnan().any(1).sum())
    if lacking:
        raise UserError(
            f"{method.name} takes no missing values, but there are some (NaN) in {lacking:,} of {len(rows):,} rows; "
            "fill them with means of the training rows, as a run does, or choose a method that takes missing values."
        )


class Generative(ContrastiveAnalysisMethod):
    """A method with a decoder, from which `cabench.pictures.generation` makes reconstructions, removals and swaps."""

    @abstractmethod
    def decode(self, representation: Representation) -> Tensor:
        """Images float32 (n, channels, height, width) in [0, 1], decoded from (n, d_common) and (n, d_salient) vectors.

        Rows of a table are float32 (n, features), from 0 up if the method learns such rows alone, else unbounded.
        """


class NetworkMethod(ContrastiveAnalysisMethod):
    """A method that holds all its weights in one `network`.

    Attributes:
        network: every module of the method, on the training device in channels-last memory; set by `prepare`.
        form: the image shape and the attributes that the network was built for.
    """

    network: nn.ModuleDict
    form: DataForm

    @abstractmethod
    def build(self, form: DataForm) -> nn.ModuleDict:
        """Make the modules for data of a form, with freshly initialised weights."""

    @abstractmethod
    def represent(self, images: Tensor) -> Representation:
        """Represent float32 images, or rows of a table, on the network's device; called in eval mode."""

    def prepare(self, form: DataForm, device: torch.device, generator: torch.Generator) -> None:
        """Build the network on `device`. Weights are drawn on the CPU, so they are the same on every device."""
        with drawing_from(generator):
            network = self.build(form)
        self.form = form
        self.network = network.to(device).to(memory_format=torch.channels_last)

    @contextmanager
    def evaluating(self) -> Iterator[torch.device]:
        """Put the network in eval mode, without gradients, for the block. Gives the network's device."""
        was_training = self.network.training
        self.network.eval()
        try:
            with torch.inference_mode():
                yield next(self.network.parameters()).device
        finally:
            self.network.train(was_training)

    def encode(self, images: Tensor) -> Representation:
        """See `ContrastiveAnalysisMethod.encode`. Runs in float32 whatever the training precision was."""
        with self.evaluating() as device:
            return self.represent(images.to(device))

    def state_dict(self) -> dict[str, Tensor]:
        """The network's state, and the form of data that it was built for."""
        network = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        return {"form": self.form.to_tensor(), **network}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Build the network on the CPU and give it the state's weights."""
        self.prepare(DataForm.from_tensor(state["form"]), torch.device("cpu"), torch.Generator())
        prefix = "network."
        self.network.load_state_dict(
            {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
        )

    def parameter_count(self) -> int:
        """The number of the network's parameters."""
        return sum(parameter.numel() for parameter in self.network.parameters())
