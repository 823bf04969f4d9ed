"""Methods whose representation comes from a neural network, trained or not."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cabench.dataset import DataForm
from cabench.method import ContrastiveAnalysisMethod, Representation
from cabench.randomness import drawing_from


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
        """Build the network on `device`. Weights are drawn on the CPU, so that all devices start from the same."""
        with drawing_from(generator):
            network = self.build(form)
        self.form = form
        self.network = network.to(device).to(memory_format=torch.channels_last)

    @contextmanager
    def evaluating(self) -> Iterator[torch.device]:
        """Inside the block the network is in eval mode and records no gradients. Gives the network's device."""
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
