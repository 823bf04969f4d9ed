"""Double InfoGAN: both objectives from their formulas, who learns when, and what is read and decoded."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from cabench.config import ConfigError
from cabench.conformance import checks as conformance
from cabench.conformance import context
from cabench.method import Representation
from cabench.methods.double_infogan import DoubleInfoGAN, DoubleInfoGANConfig

EPS = 1e-8  # what the released code adds inside its logarithms

SMALL = {"resolution": 32, "width": 4, "d_common": 5, "d_salient": 3}
WEIGHTS = {
    "background_weight": 0.5,
    "target_weight": 0.9,
    "adversarial_weight": 0.4,
    "classification_weight": 0.6,
    "common_information_weight": 1.1,
    "salient_information_weight": 1.3,
    "reconstruction_weight": 1.7,
    "empty_weight": 1.9,
}


def array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def parameters(method: DoubleInfoGAN) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in method.network.named_parameters()}


def moved(method: DoubleInfoGAN, before: dict[str, Tensor]) -> set[str]:
    return {
        name.split(".")[0] for name, value in method.network.named_parameters() if not torch.equal(value, before[name])
    }


def test_optimizers_are_the_released_ones(prepared):
    for optimizer in prepared(DoubleInfoGAN(DoubleInfoGANConfig(**SMALL))).optimizers.values():
        assert optimizer.defaults["betas"] == (0.5, 0.999)
        assert optimizer.defaults["lr"] == 2e-4


def test_published_size(prepared):
    assert prepared(DoubleInfoGAN(), (3, 32, 32)).parameter_count() == 3_822_336 + 3_806_080


def test_weights_start_as_the_released_ones(prepared):
    method = prepared(DoubleInfoGAN(DoubleInfoGANConfig(**SMALL, cr_steps=1)))
    for name, network in method.network.items():
        weights = torch.cat([p.detach().flatten() for p in network.parameters() if p.ndim == 4])
        assert weights.std().item() == pytest.approx(0.02, rel=0.05), name


def test_defaults_are_the_released_ones():
    config = DoubleInfoGANConfig()
    assert (config.epochs, config.batch_size, config.learning_rate) == (1000, 128, 2e-4)
    assert (config.background_weight, config.target_weight, config.adversarial_weight) == (0.5, 1, 0.5)
    assert (config.classification_weight, config.reconstruction_weight, config.empty_weight) == (0.5, 1, 1)
    assert (config.common_information_weight, config.salient_information_weight, config.cr_weight) == (1, 1, 0)


class Draws:
    """The method's random numbers in the order in which the released code's steps need them."""

    def __init__(self) -> None:
        self.generator = context().randomness.noise

    def latents(self, rows: int) -> list[Tensor]:
        z_b, z_t, s_t = (torch.randn(rows, size, generator=self.generator) for size in (5, 5, 3))
        return [torch.cat([z_b, torch.zeros(rows, 3)], 1), torch.cat([z_t, s_t], 1)]


def bce(logits: Tensor, label: int) -> float:
    p = 1 / (1 + np.exp(-array(logits)))
    return float(np.mean(-np.log((p if label else 1 - p) + EPS)))


def l1(x: Tensor, y: Tensor) -> float:
    return float(np.abs(array(x) - array(y)).mean())


def information(verdicts: list, latents: list[Tensor], w: list[float]) -> tuple[float, float]:
    common = sum(k * l1(v.common, part[:, :5]) for k, v, part in zip(w, verdicts, latents, strict=True))
    salient = sum(k * l1(v.salient, part[:, 5:]) for k, v, part in zip(w, verdicts, latents, strict=True))
    return common, salient


def reconstruction(method: DoubleInfoGAN, read: list, images: list[Tensor], w: list[float]) -> float:
    generate = method.network["generator"]
    back = [
        generate(torch.cat([read[0].common, torch.zeros(4, 3)], 1)),
        generate(torch.cat([read[1].common, read[1].salient], 1)),
    ]
    return sum(k * l1(x, y) for k, x, y in zip(w, back, images, strict=True))


def check(found: dict[str, Tensor], expected: dict[str, float]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value, rel=2e-5), name


def total(terms: dict[str, float]) -> float:
    return (
        0.4 * terms["adversarial"]
        + 0.6 * terms["classification"]
        + 1.1 * terms["common_information"]
        + 1.3 * terms["salient_information"]
        + 1.7 * terms["reconstruction"]
    )


def test_the_generator_minimises_its_formula(prepared, batches):
    method = prepared(DoubleInfoGAN(DoubleInfoGANConfig(**SMALL, **WEIGHTS)))
    images = [2 * batch.images - 1 for batch in batches(half=4)]
    draws, w = Draws(), [0.5, 0.9]
    generate, discriminate = method.network["generator"], method.network["discriminator"]
    with torch.no_grad():
        latents = draws.latents(8)
        verdicts = [discriminate(generate(part), draws.generator) for part in latents]
        read = [discriminate(x, draws.generator) for x in images]
        common, salient = information(verdicts, latents, w)
        expected = {
            "adversarial": sum(k * bce(v.validity, 1) for k, v in zip(w, verdicts, strict=True)),
            "classification": 0.5 * bce(verdicts[0].target, 0) + 0.9 * bce(verdicts[1].target, 1),
            "common_information": common,
            "salient_information": salient,
            "reconstruction": reconstruction(method, read, images, w),
        }
    expected["total"] = total(expected)
    check(method.generator_terms(*images, context()), expected)


def test_the_discriminator_minimises_its_formula(prepared, batches):
    method = prepared(DoubleInfoGAN(DoubleInfoGANConfig(**SMALL, **WEIGHTS)))
    images = [2 * batch.images - 1 for batch in batches(half=4)]
    draws, w = Draws(), [0.5, 0.9]
    generate, discriminate = method.network["generator"], method.network["discriminator"]
    with torch.no_grad():
        latents = draws.latents(8)
        real = [discriminate(x, draws.generator) for x in images]
        fake = [discriminate(x, draws.generator) for x in [generate(part) for part in latents]]
        common, salient = information(fake, latents, w)
        expected = {
            "adversarial": sum(
                k * (bce(r.validity, 1) + bce(f.validity, 0)) for k, r, f in zip(w, real, fake, strict=True)
            ),
            "classification": 0.5 * bce(real[0].target, 0) + 0.9 * bce(real[1].target, 1),
            "common_information": common,
            "salient_information": salient,
            "reconstruction": reconstruction(method, real, images, w),
            "empty": l1(real[0].salient, torch.zeros(4, 3)),
        }
    expected["total"] = total(expected) + 1.9 * expected["empty"]
    check(method.discriminator_terms(*images, context()), expected)


def test_the_generator_also_minimises_what_the_cr_network_says_of_its_fakes(prepared, batches):
    method = prepared(DoubleInfoGAN(DoubleInfoGANConfig(**SMALL, **WEIGHTS, cr_weight=0.7, cr_steps=1)))
    images = [2 * batch.images - 1 for batch in batches()]
    terms = {name: term.item() for name, term in method.generator_terms(*images, context()).items()}
    assert terms["total"] == pytest.approx(total(terms) + 0.7 * terms["cr"], rel=1e-5)


def test_pairs_for_the_cr_network_share_the_common_vector_and_one_salient_dimension(prepared):
    method = prepared(DoubleInfoGAN(DoubleInfoGANConfig(**SMALL, cr_steps=1)))
    seen = []
    method.network["generator"].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    expected = []
    reader = method.network["cr"]
    reader.register_forward_hook(lambda _, __, logits: expected.append(logits))
    loss = method.cr_term(50, context())
    first, second = seen
    assert torch.equal(first[:, :5], second[:, :5])
    shared = first[:, 5:] == second[:, 5:]
    assert (shared.sum(1) == 1).all()
    assert 5 < shared[:, 0].sum() < 30
    logits, dimension = array(expected[0]), shared.int().argmax(1).tolist()
    by_hand = np.mean([math.log(np.exp(row).sum()) - row[k] for row, k in zip(logits, dimension, strict=True)])
    assert loss.item() == pytest.approx(by_hand, rel=1e-5)


def test_each_network_learns_in_its_own_turn(prepared, batches):
    config = DoubleInfoGANConfig(**SMALL, generator_steps=2, discriminator_steps=3, cr_steps=1, cr_weight=1.0)
    method = prepared(DoubleInfoGAN(config))
    turns = []
    for name, optimizer in method.optimizers.items():

        def step(name=name, take=optimizer.step):
            with_gradients = {key.split(".")[0] for key, p in method.network.named_parameters() if p.requires_grad}
            before = parameters(method)
            take()
            turns.append((name, moved(method, before), with_gradients))

        optimizer.step = step
    method.training_step(*batches(), context())
    order = ["generator"] * 2 + ["discriminator"] * 3 + ["cr"]
    assert turns == [(name, {name}, {name}) for name in order]
    assert all(parameter.requires_grad for parameter in method.network.parameters())


def test_there_is_a_cr_network_only_where_it_is_used(prepared):
    assert "cr" not in prepared(DoubleInfoGAN(DoubleInfoGANConfig(**SMALL))).network
    assert "cr" in prepared(DoubleInfoGAN(DoubleInfoGANConfig(**SMALL, cr_steps=1))).network


@pytest.mark.parametrize(
    "check",
    [
        conformance.check_every_parameter_moves,
        conformance.check_resuming_continues_exactly,
        conformance.check_saving_and_loading,
    ],
    ids=lambda check: check.__name__.removeprefix("check_"),
)
def test_conformance_with_the_cr_network(small_subject, check):
    sets = ["double_infogan.cr_steps=1", "double_infogan.cr_weight=1.0", "double_infogan.generator_steps=2"]
    check(small_subject("double_infogan", sets))


def test_populations_pass_the_discriminator_apart(prepared, batches):
    """Batch statistics are those of one population: four calls in either step."""
    method = prepared(DoubleInfoGAN(DoubleInfoGANConfig(**SMALL)))
    seen = []
    method.network["discriminator"].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    background, target = batches(half=6)
    method.training_step(background, target, context())
    assert [len(images) for images in seen] == [12, 12, 6, 6, 6, 6, 12, 12]
    for images, batch in zip(seen[2:6], [background, target] * 2, strict=True):
        assert torch.equal(images, 2 * batch.images - 1)


def test_the_total_is_that_of_generator_and_discriminator(prepared, batches):
    terms = prepared(DoubleInfoGAN(DoubleInfoGANConfig(**SMALL))).training_step(*batches(), context())
    assert terms["total"] == terms["generator_total"] + terms["discriminator_total"]


@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 64, 64), (3, 28, 28), (1, 33, 47), (3, 64, 8)])
def test_images_of_other_sizes_are_resized_and_come_back(shape, prepared):
    method = prepared(DoubleInfoGAN(DoubleInfoGANConfig(**SMALL)), shape)
    images = torch.rand(3, *shape)
    encoded = method.encode(images)
    assert encoded.common.shape == (3, 5)
    assert encoded.salient.shape == (3, 3)
    decoded = method.decode(encoded)
    assert decoded.shape == images.shape
    assert decoded.min() >= 0
    assert decoded.max() <= 1


def test_images_shrink_with_antialiasing(prepared):
    """Every fourth column is white; interpolation between the two pixels nearest to a point would miss them all."""
    method = prepared(DoubleInfoGAN(DoubleInfoGANConfig(**SMALL | {"resolution": 16})), (1, 64, 64))
    seen = []
    method.network["discriminator"].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    images = torch.zeros(1, 1, 64, 64)
    images[..., ::4] = 1
    method.encode(images)
    assert seen[0].shape == (1, 1, 16, 16)
    assert seen[0].mean().item() == pytest.approx(2 * 0.25 - 1, abs=0.02)


def test_decoding_brings_the_generators_images_from_minus_one_to_zero(prepared):
    method = prepared(DoubleInfoGAN(DoubleInfoGANConfig(**SMALL)))
    common, salient = torch.randn(4, 5), torch.randn(4, 3)
    decoded = method.decode(Representation(common, salient))
    generated = method.network["generator"].eval()(torch.cat([common, salient], 1))
    assert generated.min() < 0
    torch.testing.assert_close(decoded, (generated + 1) / 2)


def test_the_representation_is_what_the_heads_read_without_noise(prepared):
    method = prepared(DoubleInfoGAN(DoubleInfoGANConfig(**SMALL)))
    images = torch.rand(3, 1, 32, 32)
    network = method.network["discriminator"].eval()
    verdict = network(2 * images - 1)
    assert torch.equal(method.encode(images).salient, verdict.salient)
    assert not torch.equal(network(2 * images - 1, torch.Generator().manual_seed(0)).salient, verdict.salient)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("resolution", 7, "at least 8, or 0 for the images' own size"),
        ("width", 0, "at least 1"),
        ("d_salient", 0, "at least 1"),
        ("noise", -0.1, "at least 0"),
        ("reconstruction_weight", -1.0, "at least 0"),
        ("generator_steps", 0, "at least 1"),
    ],
)
def test_wrong_values_are_refused_with_field_value_and_range(field, value, allowed):
    with pytest.raises(ConfigError, match=rf"double_infogan\.{field} = {value} is not allowed; it must be .*{allowed}"):
        DoubleInfoGANConfig(**{field: value})


@pytest.mark.parametrize(
    ("shape", "resolution", "expected"),
    [
        pytest.param((1, 64, 64), 32, (32, 32), id="square"),
        pytest.param((1, 64, 48), 32, (32, 24), id="the longer side has the resolution"),
        pytest.param((1, 33, 47), 64, (45, 64), id="small images grow"),
        pytest.param((1, 10, 200), 32, (8, 32), id="a strip keeps 8 rows"),
        pytest.param((1, 33, 47), 0, (33, 47), id="their own size"),
        pytest.param((1, 28, 28), 48, (48, 48), id="no power of two"),
    ],
)
def test_the_networks_images_keep_the_proportions(shape, resolution, expected, prepared):
    method = prepared(DoubleInfoGAN(DoubleInfoGANConfig(**SMALL | {"resolution": resolution})), shape)
    seen = []
    method.network["discriminator"].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    decoded = method.decode(method.encode(torch.rand(2, *shape)))
    assert seen[0].shape == (2, 1, *expected)
    assert decoded.shape == (2, *shape)


def test_a_cr_network_that_never_learns_is_refused():
    with pytest.raises(ConfigError, match=r"cr_weight = 0\.5 is not allowed with cr_steps = 0"):
        DoubleInfoGANConfig(cr_weight=0.5)
