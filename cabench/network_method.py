"""Methods whose representation comes from a neural network, trained or not."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cabench.method import ContrastiveAnalysisMethod, Representation
from cabench.randomness import drawing_from


class NetworkMethod(ContrastiveAnalysisMethod):
    """A method that holds all its weights in one `network`.

    Attributes:
        network: every module of the method, on the training device in channels-last memory; set by `prepare`.
        image_shape: (channels, height, width) that the network was built for.
    """

    network: nn.ModuleDict
    image_shape: tuple[int, int, int]

    @abstractmethod
    def build(self, image_shape: tuple[int, int, int]) -> nn.ModuleDict:
        """Make the modules for images of (channels, height, width), with freshly initialised weights."""

    @abstractmethod
    def represent(self, images: Tensor) -> Representation:
        """Represent float32 (n, channels, height, width) images on the network's device; called in eval mode."""

    def prepare(self, image_shape: tuple[int, int, int], device: torch.device, generator: torch.Generator) -> None:
        """Build the network on `device`. Weights are drawn on the CPU, so that all devices start from the same."""
        with drawing_from(generator):
            network = self.build(image_shape)
        self.image_shape = image_shape
        self.network = network.to(device).to(memory_format=torch.channels_last)

    def encode(self, images: Tensor) -> Representation:
        """See `ContrastiveAnalysisMethod.encode`. Runs in float32 whatever the training precision was."""
        was_training = self.network.training
        self.network.eval()
        try:
            with torch.inference_mode():
                return self.represent(images.to(next(self.network.parameters()).device))
        finally:
            self.network.train(was_training)

    def state_dict(self) -> dict[str, Tensor]:
        """The network's state, and the image shape that it was built for."""
        network = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        return {"image_shape": torch.tensor(self.image_shape), **network}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Build the network on the CPU and give it the state's weights."""
        channels, height, width = state["image_shape"].tolist()
        self.prepare((channels, height, width), torch.device("cpu"), torch.Generator())
        prefix = "network."
        self.network.load_state_dict(
            {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
        )

    def parameter_count(self) -> int:
        """The number of the network's parameters."""
        return sum(parameter.numel() for parameter in self.network.parameters())
