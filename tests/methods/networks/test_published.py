"""At the sizes that they were published for, networks keep every module, name, shape and drawn weight: keys last."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
import torch
from torch import nn

from cabench.context import drawing_from
from cabench.data.dataset import DataForm
from cabench.methods.double_infogan import DoubleInfoGAN, DoubleInfoGANConfig
from cabench.methods.networks.choices import ARCHITECTURES, make_encoder

Make = Callable[[], nn.Module]


def encoder(name: str, *shape: int) -> Make:
    return lambda: make_encoder(name, shape, 7)


def architecture(name: str, *shape: int) -> Make:
    chosen = ARCHITECTURES[name]
    return lambda: nn.ModuleList([chosen.encoder(shape, 7), chosen.decoder(9, shape)])


def double_infogan(resolution: int, width: int, *shape: int) -> Make:
    config = DoubleInfoGANConfig(resolution=resolution, width=width, d_common=5, d_salient=3, cr_steps=1)
    return lambda: DoubleInfoGAN(config).build(DataForm(shape))


NETWORKS: dict[str, Make] = {
    "encoder sepvae_32": encoder("sepvae_32", 3, 32, 32),
    "encoder sepclr_conv_64": encoder("sepclr_conv_64", 1, 64, 64),
    "encoder small_conv": encoder("small_conv", 3, 32, 32),
    "encoder small_image_resnet18": encoder("small_image_resnet18", 3, 32, 32),
    "encoder standard_resnet18": encoder("standard_resnet18", 1, 64, 64),
    "encoder mlp": encoder("mlp", 40),
    **{f"encoder dcgan {n}": encoder("dcgan", 1, n, n) for n in (16, 64)},
    **{f"encoder small_dcgan {n}": encoder("small_dcgan", 1, n, n) for n in (32, 128)},
    "sepvae_32": architecture("sepvae_32", 3, 32, 32),
    "sepvae_64": architecture("sepvae_64", 3, 64, 64),
    "mmcvae_64": architecture("mmcvae_64", 3, 64, 64),
    "mlp": architecture("mlp", 40),
    "dcgan 64": architecture("dcgan", 3, 64, 64),
    **{f"small_dcgan {n}": architecture("small_dcgan", 1, n, n) for n in (16, 32, 128)},
    "double_infogan 64": double_infogan(64, 64, 3, 32, 32),
    "double_infogan 32": double_infogan(32, 16, 1, 64, 64),
}
NORMAL = ("encoder small_image_resnet18", "encoder standard_resnet18", "double_infogan 64", "double_infogan 32")
"""Their weights are drawn from normal distributions, whose last digits depend on the processor."""
PUBLISHED: dict[str, tuple[int, str]] = {
    "encoder sepvae_32": (167_527, "4a855775a66cdb4d"),
    "encoder sepclr_conv_64": (2_811_879, "3b4b28ffde0bafdf"),
    "encoder small_conv": (97_063, "cfa03f894d64101b"),
    "encoder small_image_resnet18": (11_172_423, "8b04092309c7b7a2"),
    "encoder standard_resnet18": (11_173_831, "f594d31ec5adf0e1"),
    "encoder mlp": (79_111, "c2f26942926fdec0"),
    "encoder dcgan 16": (146_695, "c690af40505867d8"),
    "encoder dcgan 64": (2_812_679, "899e60802e1d199f"),
    "encoder small_dcgan 32": (48_583, "d3ce65e697e8cc5a"),
    "encoder small_dcgan 128": (726_215, "638f1f60bbe429dc"),
    "sepvae_32": (468_945, "0599eeba4545a0c7"),
    "sepvae_64": (1_419_235, "45371d9c397a6194"),
    "mmcvae_64": (1_479_040, "5b7923833350a2e6"),
    "mlp": (42_054, "5502c65759492bed"),
    "dcgan 64": (5_703_310, "3a95ca500d718acf"),
    "small_dcgan 16": (28_846, "469194fa9a4e9fc6"),
    "small_dcgan 32": (106_414, "6318297ed82fd28b"),
    "small_dcgan 128": (1_489_326, "9fa9e7b6f1a096e9"),
    "double_infogan 64": (8_447_360, "164adae8c221230f"),
    "double_infogan 32": (146_016, "a78505b9ade61491"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_names_and_weights_stay(name):
    with drawing_from(torch.Generator().manual_seed(0)):
        network = NETWORKS[name]()
    assert (sum(p.numel() for p in network.parameters()), digest(name, network)) == PUBLISHED[name]


def digest(name: str, network: nn.Module) -> str:
    hashed = hashlib.sha256()
    for key, tensor in network.state_dict().items():
        hashed.update(f"{key} {tuple(tensor.shape)} {tensor.dtype}".encode())
        if name not in NORMAL:
            hashed.update(tensor.numpy().tobytes())
    return hashed.hexdigest()[:16]
