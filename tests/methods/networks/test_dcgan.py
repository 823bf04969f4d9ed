"""DCGAN's networks: published sizes, formulas, noise and initial weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu

from cabench.methods.networks.dcgan import (
    Discriminator,
    Generator,
    SharedDimensionReader,
    Trunk,
    dcgan_decoder,
    dcgan_encoder,
    dcgan_vae_encoder,
    doubled_widths,
    initialise,
    with_noise,
)
from cabench.methods.networks.sizes import plan


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("channels", "d_common", "d_salient", "discriminator", "generator"),
    [
        pytest.param(3, 64, 64, 3_822_336, 3_806_080, id="CIFAR-MNIST"),
        pytest.param(3, 95, 5, 3_592_960, 3_576_704, id="CelebA"),
        pytest.param(1, 95, 15, 3_672_832, 3_656_576, id="dSprites"),
    ],
)
def test_sizes_are_the_published_ones(channels, d_common, d_salient, discriminator, generator):
    assert count(Discriminator((channels, 64, 64), d_common, d_salient, 64, 0.2)) == discriminator
    assert count(Generator(d_common + d_salient, (channels, 64, 64), 64, nn.Tanh())) == generator


def test_channels_double_with_each_halving():
    assert doubled_widths(plan((3, 64, 64)), 64) == [64, 128, 256, 512]
    assert doubled_widths(plan((1, 28, 28)), 16) == [16, 32]


@pytest.mark.parametrize(("height", "width"), [(16, 16), (32, 32), (64, 64), (28, 28), (33, 47), (8, 8)])
def test_images_go_in_and_come_out(height, width):
    shape = (3, height, width)
    images = torch.rand(2, *shape)
    trunk = Trunk(shape, 8)
    assert trunk(images).shape == (2, trunk.features, *trunk.remaining)
    assert Generator(5, shape, 8, nn.Tanh())(torch.randn(2, 5)).shape == images.shape
    verdict = Discriminator(shape, 6, 4, 8, 0.2)(images)
    assert [tuple(part.shape) for part in verdict] == [(2,), (2,), (2, 6), (2, 4)]
    assert SharedDimensionReader(shape, 4, 8)(images, images).shape == (2, 4)
    assert dcgan_encoder(shape, 7, 8)(images).shape == (2, 7)
    mean, log_variance = dcgan_vae_encoder(shape, 7, 8)(images)
    assert mean.shape == log_variance.shape == (2, 7)
    decoded = dcgan_decoder(7, shape, 8)(mean)
    assert decoded.shape == images.shape
    assert decoded.min() >= 0
    assert decoded.max() <= 1


def normalised(x: torch.Tensor) -> torch.Tensor:
    mean = x.mean((0, 2, 3), keepdim=True)
    return (x - mean) / (((x - mean) ** 2).mean((0, 2, 3), keepdim=True) + 1e-5).sqrt()


def weights(network: nn.Module) -> list[torch.Tensor]:
    return [module.weight for module in network.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)]


def test_the_trunk_is_its_formula():
    trunk = Trunk((2, 32, 32), 4).double()
    images = torch.rand(3, 2, 32, 32, dtype=torch.float64)
    first, second, third = weights(trunk)
    x = leaky_relu(conv2d(images, first, stride=2, padding=1), 0.2)
    x = leaky_relu(normalised(conv2d(x, second, stride=2, padding=1)), 0.2)
    x = leaky_relu(normalised(conv2d(x, third, stride=2, padding=1)), 0.2)
    torch.testing.assert_close(trunk(images), x)


def test_the_generator_is_its_formula():
    generator = Generator(5, (2, 16, 16), 4, nn.Tanh()).double()
    latents = torch.randn(3, 5, dtype=torch.float64)
    first, second, third = weights(generator)
    x = normalised(conv_transpose2d(latents[:, :, None, None], first)).relu()
    x = normalised(conv_transpose2d(x, second, stride=2, padding=1)).relu()
    x = conv_transpose2d(x, third, stride=2, padding=1).tanh()
    torch.testing.assert_close(generator(latents), x)


def test_noise_comes_from_the_generator_alone():
    x = torch.zeros(50, 50)
    assert with_noise(x, 0.2, None) is x
    first, second = (with_noise(x, 0.2, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.std().item() == pytest.approx(0.2, rel=0.05)


def test_every_convolution_and_every_head_has_noise_of_its_own():
    network = Discriminator((1, 32, 32), 3, 2, 4, 0.5)
    seen: dict[str, torch.Tensor] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, inputs, __, name=name: seen.update({name: inputs[0]}))
    images = torch.rand(4, 1, 32, 32)
    network(images, torch.Generator().manual_seed(0))
    assert len(seen) == 3 + 4
    assert (seen["trunk.blocks.0.0"] - images).std().item() == pytest.approx(0.5, rel=0.1)
    heads = [tensor for name, tensor in seen.items() if name.startswith("heads")]
    for index, one in enumerate(heads):
        for other in heads[index + 1 :]:
            assert (one - other).std().item() == pytest.approx(0.5 * 2**0.5, rel=0.1)


def test_the_shared_dimension_reader_has_noise_before_all_but_its_head():
    network = SharedDimensionReader((1, 32, 32), 2, 4)
    features: list[torch.Tensor] = []
    inputs: dict[str, torch.Tensor] = {}
    network.trunk.register_forward_hook(lambda _, __, output: features.append(output))
    network.trunk.blocks[0].register_forward_hook(lambda _, arguments, __: inputs.update(first=arguments[0]))
    network.head.register_forward_hook(lambda _, arguments, __: inputs.update(head=arguments[0]))
    first, second = torch.rand(2, 4, 1, 32, 32)
    network(first, second, torch.Generator().manual_seed(0))
    noise = inputs["first"] - torch.cat([first, second], 1)
    assert noise.std().item() == pytest.approx(0.1, rel=0.05)
    assert torch.equal(features[0], inputs["head"])


def test_initial_weights():
    network = Discriminator((3, 64, 64), 16, 16, 32, 0.2)
    torch.manual_seed(0)
    initialise(network)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.15)
            assert module.bias is None
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
