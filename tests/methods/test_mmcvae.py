"""MM-cVAE: its sizes, its objective put together, and what reaches which network."""

from __future__ import annotations

import pytest
import torch

from cabench.conformance import context
from cabench.data.dataset import DataForm
from cabench.method import Representation
from cabench.methods.losses.kernels import mmd
from cabench.methods.losses.vae import gaussian_kl, squared_error
from cabench.methods.mmcvae import MMcVAE, MMcVAEConfig
from cabench.methods.networks.vae_conv import sepvae_decoder_32, sepvae_encoder_32
from cabench.methods.networks.variational import Posterior
from cabench.training import Batch


def build(config: MMcVAEConfig, shape: tuple[int, int, int]) -> MMcVAE:
    method = MMcVAE(config)
    method.prepare(DataForm(shape), torch.device("cpu"), torch.Generator().manual_seed(0))
    method.optimizers = method.make_optimizers()
    return method


def test_default_size_is_the_published_one():
    assert build(MMcVAEConfig(), (3, 64, 64)).parameter_count() == 2_345_792


def test_sepvae_networks_have_the_published_sizes():
    def count(network: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in network.parameters())

    assert 2 * count(sepvae_encoder_32((3, 32, 32), 64)) == 528_832
    assert count(sepvae_decoder_32(128, (3, 32, 32))) == 264_291


@pytest.mark.parametrize(("architecture", "size"), [("mmcvae_64", 64), ("sepvae_32", 32)])
def test_images_come_back_in_their_own_shape(architecture, size):
    method = build(MMcVAEConfig(architecture=architecture), (1, size, size))
    images = torch.rand(3, 1, size, size)
    decoded = method.decode(method.encode(images))
    assert decoded.shape == images.shape
    assert decoded.min() >= 0
    assert decoded.max() <= 1


def test_terms_equal_the_formula_on_the_same_samples():
    config = MMcVAEConfig(architecture="sepvae_32", common_kl_weight=0.3, salient_kl_weight=0.7, common_mmd_weight=11)
    background, target = torch.rand(2, 6, 1, 32, 32, generator=torch.Generator().manual_seed(1)).unbind()
    method = build(config, (1, 32, 32))
    noise = context().randomness.noise
    with torch.no_grad():
        posteriors = [method.network[space](x) for x in (background, target) for space in ("common", "salient")]
        c_b, s_b, c_t, s_t = (
            mean + torch.exp(log_variance / 2) * torch.randn(mean.shape, generator=noise)
            for mean, log_variance in posteriors
        )
        decoded_b = method.network["decoder"](torch.cat([c_b, torch.zeros_like(s_b)], 1))
        decoded_t = method.network["decoder"](torch.cat([c_t, s_t], 1))
        expected = {
            "reconstruction": squared_error(background, decoded_b) + squared_error(target, decoded_t),
            "common_kl": gaussian_kl(*posteriors[0]) + gaussian_kl(*posteriors[2]),
            "salient_kl": gaussian_kl(*posteriors[3]),
            "common_mmd": mmd(c_b, c_t),
            "salient_mmd": mmd(s_b, torch.zeros_like(s_b)),
        }
        expected["total"] = (
            expected["reconstruction"]
            + 0.3 * expected["common_kl"]
            + 0.7 * expected["salient_kl"]
            + 11 * expected["common_mmd"]
            + 1000 * expected["salient_mmd"]
        )
    terms = method.training_step(Batch(background, {}), Batch(target, {}), context())
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, rtol=1e-5, atol=1e-5, msg=name)


def test_background_is_decoded_without_its_salient_sample():
    """With the salient penalty off, nothing that the salient encoder says of background images changes anything."""
    config = MMcVAEConfig(architecture="sepvae_32", salient_mmd_weight=0)
    background, target = torch.rand(2, 6, 1, 32, 32, generator=torch.Generator().manual_seed(1)).unbind()
    method = build(config, (1, 32, 32))
    expected = method.training_step(Batch(background, {}), Batch(target, {}), context())
    method = build(config, (1, 32, 32))
    encode = method.network["salient"].forward
    method.network["salient"].forward = lambda x: Posterior(
        *(part + 5 if torch.equal(x, background) else part for part in encode(x))
    )
    changed = method.training_step(Batch(background, {}), Batch(target, {}), context())
    assert changed["reconstruction"] == expected["reconstruction"]
    assert changed["salient_kl"] == expected["salient_kl"]
    assert changed["salient_mmd"] != expected["salient_mmd"]


def test_removing_the_salient_part_is_decoding_zeros():
    method = build(MMcVAEConfig(architecture="sepvae_32"), (1, 32, 32))
    common, salient = method.encode(torch.rand(2, 1, 32, 32))
    removed = method.decode(Representation(common, torch.zeros_like(salient)))
    assert not torch.equal(removed, method.decode(Representation(common, salient)))
