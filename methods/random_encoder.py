"""Control: two encoders that were never trained.

Whatever can be read from their vectors is due to the architecture alone or, where `weights` are set, to what encoders
start from: only their last layers are drawn then. The salient vector of a background image is the salient encoder's
output.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from cabench.config import setting
from cabench.context import FitContext
from cabench.data.dataset import ContrastiveDataset, DataForm, DatasetInfo
from cabench.method import NetworkMethod, Representation
from cabench.methods.networks.choices import make_encoder
from cabench.methods.shared.pretrained import EncoderConfig, check_start, start_pretrained


@dataclass(frozen=True)
class RandomEncoderConfig(EncoderConfig):
    """Defaults: SepCLR's encoders."""

    d_common: int = setting(32, at_least=1, help="size of the common vector")
    d_salient: int = setting(32, at_least=1, help="size of the salient vector")


class RandomEncoder(NetworkMethod):
    """Two encoders with their initial weights."""

    name = "random_encoder"
    version = 1
    Config = RandomEncoderConfig
    config: RandomEncoderConfig
    takes = ("images", "tables")
    learns_from = ()

    def check(self, info: DatasetInfo) -> None:
        """Refuse examples that the encoder does not take."""
        check_start(self.config, info, self.name)

    def build(self, form: DataForm) -> nn.ModuleDict:
        """A common and a salient encoder."""
        sizes = {"common": self.config.d_common, "salient": self.config.d_salient}
        return nn.ModuleDict(
            {space: make_encoder(self.config.encoder, form.image_shape, size) for space, size in sizes.items()}
        )

    def fit(self, data: ContrastiveDataset, context: FitContext) -> None:
        """Draw the weights, and load those that the encoders start from."""
        self.prepare(data.info.form, context.device, context.randomness.initialisation())
        start_pretrained(self.network, self.config)

    def represent(self, images: Tensor) -> Representation:
        """The outputs of both encoders."""
        return Representation(self.network["common"](images), self.network["salient"](images))
