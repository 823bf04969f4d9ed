"""cVAE, ConVAE, SepVAE and beta-VAE: sizes, every term from its formula, and what is trained by what."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cabench.config import ConfigError
from cabench.conformance import context
from cabench.data.dataset import DataForm
from cabench.errors import UserError
from cabench.methods.beta_vae import BetaVAE, BetaVAEConfig
from cabench.methods.convae import ConVAE, ConVAEConfig
from cabench.methods.cvae import CVAE, CVAEConfig
from cabench.methods.mmcvae import MMcVAE, MMcVAEConfig
from cabench.methods.networks.vae_conv import sepvae_decoder_64, sepvae_encoder_64
from cabench.methods.networks.variational import Posterior
from cabench.methods.sepvae import SepVAE, SepVAEConfig
from cabench.pictures.generation import remove_salient

ADVERSARIAL = (
    CVAE(CVAEConfig(architecture="sepvae_32")),
    ConVAE(ConVAEConfig()),
    SepVAE(SepVAEConfig(classification_weight=0.1)),
)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


def array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


# Sizes and defaults


def test_cvae_has_the_published_size(prepared):
    assert prepared(CVAE(), (3, 64, 64)).parameter_count() == 2_345_815


def test_sepvae_has_the_published_sizes(prepared):
    network = prepared(SepVAE(), (3, 32, 32)).network
    assert count(network["common"]) + count(network["salient"]) == 528_832
    assert [count(network[name]) for name in ("decoder", "classifier", "discriminator")] == [264_291, 4_225, 33_153]


@pytest.mark.parametrize(("common", "salient"), [(16, 16), (128, 128), (32, 16)])
def test_hidden_layers_of_sepvae_and_convae_are_as_wide_as_what_they_read(prepared, common, salient):
    def widths(network: nn.Module) -> list[tuple[int, int]]:
        return [(layer.in_features, layer.out_features) for layer in network if isinstance(layer, nn.Linear)]

    sizes, both = {"d_common": common, "d_salient": salient}, common + salient
    for method in (SepVAE(SepVAEConfig(**sizes)), ConVAE(ConVAEConfig(**sizes))):
        network = prepared(method, (3, 32, 32)).network
        assert widths(network["discriminator"]) == [(both, both), (both, both), (both, 1)]
    assert widths(prepared(SepVAE(SepVAEConfig(**sizes)), (3, 32, 32)).network["classifier"]) == [
        (salient, salient),
        (salient, 1),
    ]


@pytest.mark.parametrize(("size", "encoders", "decoder"), [(16, 1_431_680, 714_755), (128, 1_676_288, 772_099)])
def test_sepvae_networks_for_larger_images_have_the_published_sizes(size, encoders, decoder):
    assert 2 * count(sepvae_encoder_64((3, 64, 64), size)) == encoders
    assert count(sepvae_decoder_64(2 * size, (3, 64, 64))) == decoder


def test_larger_images_come_back_in_their_own_shape():
    mean, log_variance = sepvae_encoder_64((3, 64, 64), 16)(torch.rand(2, 3, 64, 64))
    assert mean.shape == log_variance.shape == (2, 16)
    assert sepvae_decoder_64(16, (3, 64, 64))(mean).shape == (2, 3, 64, 64)


def test_defaults_are_the_released_ones():
    sepvae, convae, cvae = SepVAEConfig(), ConVAEConfig(), CVAEConfig()
    assert (sepvae.d_common, sepvae.d_salient, 1 / sepvae.prior_variance) == (64, 64, 100)
    assert (sepvae.common_kl_weight, sepvae.salient_kl_weight, sepvae.total_correlation_weight) == (0.5, 0.5, 2)
    assert (sepvae.background_variance, sepvae.classification_weight) == (0.1, 1e-10)
    assert (sepvae.epochs, sepvae.batch_size, sepvae.learning_rate) == (250, 512, 1e-3)
    assert (convae.epochs, convae.batch_size, convae.total_correlation_weight) == (250, 512, 1)
    assert (cvae.epochs, cvae.batch_size, cvae.d_common, cvae.d_salient, cvae.architecture) == (
        100,
        128,
        16,
        6,
        "mmcvae_64",
    )


# Every term from its formula


class Sampled(NamedTuple):
    """What the networks say of a batch under given noise, as float64 arrays."""

    mean: np.ndarray
    log_variance: np.ndarray
    sample: Tensor


def sampled(posterior: Posterior, noise: torch.Generator) -> Sampled:
    drawn = torch.randn(posterior.mean.shape, generator=noise)
    sample = posterior.mean + torch.exp(posterior.log_variance / 2) * drawn
    return Sampled(array(posterior.mean), array(posterior.log_variance), sample)


def kl(part: Sampled) -> float:
    mean, log_variance = part.mean, part.log_variance
    return float(0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum())


def square(x: Tensor, y: Tensor) -> float:
    return float(((array(x) - array(y)) ** 2).sum())


def probabilities(discriminator: nn.Module, *latents: Tensor) -> np.ndarray:
    return 1 / (1 + np.exp(-array(discriminator(torch.cat(latents, 1)))))[:, 0]


def cross_entropy(joint: np.ndarray, shuffled: np.ndarray) -> float:
    return float(-np.log(joint).sum() - np.log(1 - shuffled).sum())


def check(terms: dict[str, Tensor], expected: dict[str, float]) -> None:
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value, rel=1e-5, abs=1e-6), name


def frozen_optimizers(method) -> None:
    """Let a step compute its terms without moving anything, so that both updates can be followed from outside."""
    for optimizer in method.optimizers.values():
        optimizer.step = lambda: None


def test_terms_of_cvae_are_its_formula(prepared, batches):
    config = CVAEConfig(
        architecture="sepvae_32", common_kl_weight=0.3, salient_kl_weight=0.7, total_correlation_weight=2.5
    )
    method = prepared(CVAE(config))
    frozen_optimizers(method)
    background, target = batches(half=6)
    d, noise = method.network["discriminator"], context().randomness.noise
    with torch.no_grad():
        c, s = (sampled(p, noise).sample for p in method.posteriors(target.images))
        first, second = slice(0, 3), slice(3, 6)
        joint = probabilities(d, c, s)
        crossed = probabilities(d, torch.cat([c[first], c[second]]), torch.cat([s[second], s[first]]))

        common_b, _ = method.posteriors(background.images)
        common_t, salient_t = method.posteriors(target.images)
        c_b, c_t, s_t = (sampled(p, noise) for p in (common_b, common_t, salient_t))
        decoder = method.network["decoder"]
        decoded_b = decoder(torch.cat([c_b.sample, torch.zeros(6, 6)], 1))
        decoded_t = decoder(torch.cat([c_t.sample, s_t.sample], 1))
        p = probabilities(d, c_t.sample, s_t.sample)
    expected = {
        "reconstruction": square(background.images, decoded_b) + square(target.images, decoded_t),
        "common_kl": kl(c_b) + kl(c_t),
        "salient_kl": kl(s_t),
        "total_correlation": float(np.log(p / (1 - p)).sum()),
        "discriminator": cross_entropy(joint, crossed),
    }
    expected["total"] = (
        expected["reconstruction"]
        + 0.3 * expected["common_kl"]
        + 0.7 * expected["salient_kl"]
        + 2.5 * expected["total_correlation"]
    )
    check(method.training_step(background, target, context()), expected)


def rows_a_quarter_on(s: Tensor) -> Tensor:
    return torch.stack([s[(i + len(s) // 4) % len(s)] for i in range(len(s))])


@pytest.mark.parametrize("kind", [ConVAE, SepVAE])
def test_terms_of_convae_and_sepvae_are_their_formulas(kind, prepared, batches):
    weights = {"common_kl_weight": 0.3, "salient_kl_weight": 0.7, "total_correlation_weight": 3.0}
    is_sepvae = kind is SepVAE
    if is_sepvae:
        weights |= {"prior_variance": 0.05, "background_variance": 0.2, "classification_weight": 0.4}
    method = prepared(kind(kind.Config(d_common=8, d_salient=5, **weights)))
    frozen_optimizers(method)
    background, target = batches(half=4)
    images = torch.cat([background.images, target.images])
    d, noise = method.network["discriminator"], context().randomness.noise

    def posteriors() -> tuple[Posterior, Posterior]:
        common, salient = method.posteriors(images)
        if is_sepvae:
            salient.log_variance[:4] = math.log(0.2)
        return common, salient

    with torch.no_grad():
        c, s = (sampled(p, noise).sample for p in posteriors())
        discriminator = cross_entropy(probabilities(d, c, s), probabilities(d, c, rows_a_quarter_on(s)))
        common, salient = (sampled(p, noise) for p in posteriors())
        emptied = salient.sample.clone()
        emptied[:4] = 0
        decoded = method.network["decoder"](torch.cat([common.sample, emptied], 1))
        p = probabilities(d, common.sample, salient.sample)
        if is_sepvae:
            h = 1 / (1 + np.exp(-array(method.network["classifier"](salient.sample))[:, 0]))
    targets = Sampled(salient.mean[4:], salient.log_variance[4:], salient.sample[4:])
    expected = {
        "reconstruction": square(images, decoded),
        "common_kl": kl(common),
        "salient_kl": kl(targets),
        "total_correlation": float(sum(max(0, math.log(q / (1 - q))) for q in p)),
        "discriminator": discriminator,
    }
    expected["total"] = (
        expected["reconstruction"]
        + 0.3 * expected["common_kl"]
        + 0.7 * expected["salient_kl"]
        + 3.0 * expected["total_correlation"]
    )
    if is_sepvae:
        alpha = 1 / 0.05
        expected["background_prior"] = alpha / 2 * float((salient.mean[:4] ** 2).sum())
        expected["classification"] = float(-np.log(1 - h[:4]).sum() - np.log(h[4:]).sum())
        expected["total"] += 0.7 * expected["background_prior"] + 0.4 * expected["classification"]
    check(method.training_step(background, target, context()), expected)


def test_terms_of_beta_vae_are_its_formula(prepared, batches):
    method = prepared(BetaVAE(BetaVAEConfig(dimensions=7, beta=3.0)))
    background, target = batches()
    images = torch.cat([background.images, target.images])
    with torch.no_grad():
        posterior = method.network["encoder"](images)
        z = sampled(posterior, context().randomness.noise)
        reconstruction = square(images, method.network["decoder"](z.sample))
    expected = {"reconstruction": reconstruction, "kl": kl(z), "total": reconstruction + 3 * kl(z)}
    check(method.training_step(background, target, context()), expected)


# Who learns from what


@pytest.mark.parametrize("method", ADVERSARIAL, ids=lambda method: method.name)
def test_discriminator_and_vae_learn_in_turns_and_apart(method, prepared, batches):
    method = prepared(method)
    moved, optimizers = [], method.optimizers

    def following(name):
        step = optimizers[name].step

        def take():
            before = weights(method.network)
            step()
            after = method.network.named_parameters()
            moved.append((name, {key.split(".")[0] for key, value in after if not torch.equal(value, before[key])}))

        return take

    for name in optimizers:
        optimizers[name].step = following(name)
    method.training_step(*batches(), context())
    (first, discriminator), (second, rest) = moved
    assert (first, second) == ("discriminator", "vae")
    assert discriminator == {"discriminator"}
    assert rest == set(method.network) - {"discriminator"}


@pytest.mark.parametrize("method", ADVERSARIAL, ids=lambda method: method.name)
def test_the_penalty_reaches_both_encoders(method, prepared, batches):
    method = prepared(method)
    common, salient = method.posteriors(batches()[1].images)
    method.logits(torch.cat([common.mean, salient.mean], 1)).sum().backward()
    for space in ("common", "salient"):
        assert any(parameter.grad.abs().sum() > 0 for parameter in method.network[space].parameters())


@pytest.mark.parametrize("method", ADVERSARIAL[1:], ids=lambda method: method.name)
def test_optimizers_are_made_anew_every_epoch(method, prepared, batches):
    method = prepared(method)
    method.training_step(*batches(), context())
    assert all(optimizer.state for optimizer in method.optimizers.values())
    method.begin_epoch()
    assert not any(optimizer.state for optimizer in method.optimizers.values())
    before = weights(method.network)
    method.training_step(*batches(), context())
    assert any(not torch.equal(value, before[name]) for name, value in method.network.named_parameters())


def test_cvae_keeps_its_optimizers(prepared, batches):
    method = prepared(ADVERSARIAL[0])
    method.training_step(*batches(), context())
    method.begin_epoch()
    assert all(optimizer.state for optimizer in method.optimizers.values())


def test_the_classification_term_of_sepvae_is_numerically_absent(prepared, batches):
    gradients = []
    for weight in (0.0, 1e-10):
        method = prepared(SepVAE(SepVAEConfig(classification_weight=weight)))
        method.training_step(*batches(), context())
        gradients.append([parameter.grad for parameter in method.network["salient"].parameters()])
    for without, with_it in zip(*gradients, strict=True):
        torch.testing.assert_close(without, with_it, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("method", ADVERSARIAL, ids=lambda method: method.name)
def test_removing_the_salient_part_decodes_as_background_is_decoded(method, prepared, batches):
    method = prepared(method)
    images = batches()[1].images
    common = method.encode(images).common
    zeros = torch.zeros(len(images), method.config.d_salient)
    with torch.no_grad():
        expected = method.network["decoder"](torch.cat([common, zeros], 1))
    torch.testing.assert_close(remove_salient(method, images), expected)


def test_beta_vae_says_the_same_in_both_spaces_and_decodes_the_common_one(prepared, batches):
    method = prepared(BetaVAE(BetaVAEConfig(dimensions=7)))
    encoded = method.encode(batches()[0].images)
    assert torch.equal(encoded.common, encoded.salient)
    assert torch.equal(method.decode(encoded), method.decode(encoded._replace(salient=0 * encoded.salient)))


# Wrong values


@pytest.mark.parametrize(
    ("config", "field", "value", "allowed"),
    [
        (CVAEConfig, "total_correlation_weight", -1.0, "at least 0"),
        (ConVAEConfig, "d_salient", 0, "at least 1"),
        (SepVAEConfig, "prior_variance", 0.0, "above 0"),
        (SepVAEConfig, "background_variance", -0.1, "above 0"),
        (BetaVAEConfig, "dimensions", 0, "at least 1"),
        (BetaVAEConfig, "beta", -0.5, "at least 0"),
        (MMcVAEConfig, "architecture", "resnet", "choose one of sepvae_32, sepvae_64, mmcvae_64"),
    ],
)
def test_wrong_values_are_refused_with_field_value_and_range(config, field, value, allowed):
    with pytest.raises(ConfigError, match=rf"\w+\.{field} = {value!r} is not allowed; .*{allowed}"):
        config(**{field: value})


@pytest.mark.parametrize("architecture", ["sepvae_64", "mmcvae_64"])
@pytest.mark.parametrize("kind", [CVAE, ConVAE, MMcVAE, SepVAE, BetaVAE])
def test_tiny_images_are_refused(kind, architecture, planted_info):
    info = dataclasses.replace(planted_info, image_shape=(1, 4, 32))
    with pytest.raises(UserError, match=rf"{kind.name}.architecture = {architecture} takes images of at least 8"):
        kind(kind.Config(architecture=architecture, batch_size=64)).check(info)


@pytest.mark.parametrize("architecture", ["dcgan", "small_dcgan"])
@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 64, 64)])
def test_shared_networks_take_several_sizes(architecture, shape):
    method = SepVAE(SepVAEConfig(architecture=architecture))
    method.prepare(DataForm(shape), torch.device("cpu"), torch.Generator().manual_seed(0))
    images = torch.rand(2, *shape)
    assert method.decode(method.encode(images)).shape == images.shape
