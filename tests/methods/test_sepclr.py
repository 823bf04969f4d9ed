"""SepCLR: its size, its objective put together, and what reaches which encoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from cabench.conformance import context
from cabench.data.dataset import DataForm
from cabench.methods.losses.contrastive import empty_background
from cabench.methods.sepclr import Heads, SepCLR, SepCLRConfig
from cabench.training import Batch


def build(config: SepCLRConfig, shape: tuple[int, int, int] = (3, 32, 32)) -> SepCLR:
    method = SepCLR(config)
    method.prepare(DataForm(shape), torch.device("cpu"), torch.Generator())
    return method


def heads(seed: int, rows: int = 12, size: int = 5) -> Heads:
    generator = torch.Generator().manual_seed(seed)
    common, salient = (torch.randn(rows, size, generator=generator, dtype=torch.float64) for _ in range(2))
    return Heads(normalize(common), salient.requires_grad_())


def test_default_size_is_the_published_one():
    assert build(SepCLRConfig()).parameter_count() == 22_387_712


def test_celeba_size_is_the_published_one():
    config = SepCLRConfig(encoder="standard_resnet18", d_common=16, d_salient=16)
    assert build(config).parameter_count() == 22_378_432


def test_defaults_are_those_of_the_released_script():
    config = SepCLRConfig()
    assert (config.epochs, config.batch_size, config.learning_rate) == (250, 512, 3e-4)
    assert (config.salient_weight, config.information_less_weight, config.independence_weight) == (1000, 1000, 10)
    assert (config.crop_size, config.crop_scale, config.jitter, config.grey) == (24, (0.2, 1.0), 0.8, 0.2)


def reference_total(first: Heads, second: Heads, backgrounds: int, config: SepCLRConfig) -> float:
    """The objective from the card's formula, in NumPy, with loops."""
    tau = config.temperature
    c = [h.common.detach().numpy() for h in (first, second)]
    s = [h.salient.detach().numpy() for h in (first, second)]
    emptied = [np.concatenate([np.zeros_like(x[:backgrounds]), x[backgrounds:]]) for x in s]

    def kernel(x: np.ndarray) -> np.ndarray:
        return np.exp(-((x[:, None] - x[None]) ** 2).sum(-1) / (2 * tau))

    def align(u: np.ndarray, v: np.ndarray) -> float:
        return float(np.mean(((u - v) ** 2).sum(1)) / (2 * tau))

    def unif(u: np.ndarray) -> float:
        return float(np.log(kernel(u)[np.triu_indices(len(u), 1)].mean()))

    common = align(*c) + config.uniformity_weight * (unif(c[0]) + unif(c[1])) / 2
    salient = align(s[0][backgrounds:], s[1][backgrounds:])
    salient += config.uniformity_weight * (unif(emptied[0]) + unif(emptied[1])) / 2
    empty = np.mean([(x[:backgrounds] ** 2).sum(1).mean() / (2 * tau) for x in s])
    jem = np.mean([np.log((kernel(e) * kernel(v)).mean(1)).mean() for v, e in zip(c, emptied, strict=True)])
    return float(
        common
        + config.salient_weight * salient
        + config.information_less_weight * empty
        + config.independence_weight * jem
    )


@pytest.mark.parametrize("backgrounds", [3, 6, 9])
def test_objective_equals_the_formula(backgrounds):
    config = SepCLRConfig(
        encoder="sepvae_32", salient_weight=3, information_less_weight=5, independence_weight=7, temperature=0.4
    )
    first, second = heads(0), heads(1)
    total = build(config).loss_terms(first, second, backgrounds)["total"].item()
    assert total == pytest.approx(reference_total(first, second, backgrounds, config), rel=1e-10)


def test_background_rows_reach_the_salient_space_through_the_information_less_term_alone():
    first, second = heads(0), heads(1)
    terms = build(SepCLRConfig(encoder="sepvae_32")).loss_terms(first, second, 4)
    for name in ("salient", "independence"):
        (gradient,) = torch.autograd.grad(terms[name], first.salient, retain_graph=True)
        assert torch.equal(gradient[:4], torch.zeros_like(gradient[:4])), name
        assert gradient[4:].abs().sum() > 0
    (gradient,) = torch.autograd.grad(terms["information_less"], first.salient)
    assert gradient[:4].abs().sum() > 0
    assert torch.equal(gradient[4:], torch.zeros_like(gradient[4:]))


def test_every_term_pulls_at_the_vectors_with_its_weight():
    config = SepCLRConfig(encoder="sepvae_32", salient_weight=3, information_less_weight=5, independence_weight=7)
    first, second = heads(0), heads(1)
    vectors = [first.common.requires_grad_(), first.salient]
    terms = build(config).loss_terms(first, second, 4)
    weights = {"common": 1, "salient": 3, "information_less": 5, "independence": 7}
    weighted = sum(weight * terms[name] for name, weight in weights.items())
    found, expected = (torch.autograd.grad(loss, vectors, retain_graph=True) for loss in (terms["total"], weighted))
    torch.testing.assert_close(found, expected)
    assert all(torch.autograd.grad(terms["independence"], vectors, retain_graph=True)[0].norm(dim=1) > 0)


def test_emptying_leaves_the_input_as_it_was():
    salient = torch.ones(4, 2)
    assert empty_background(salient, 1).tolist() == [[0, 0], [1, 1], [1, 1], [1, 1]]
    assert salient.sum() == 8


def test_the_representation_is_taken_before_the_projector():
    method = build(SepCLRConfig(encoder="sepvae_32"))
    images = torch.rand(2, 3, 32, 32)
    expected = method.network["salient"].encoder(images)
    torch.testing.assert_close(method.encode(images).salient, expected)


def test_bf16_and_fp32_steps_agree():
    config = SepCLRConfig(encoder="sepvae_32", batch_size=32, crop_size=32)
    images = torch.rand(32, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    batches = Batch(images[:16], {}), Batch(images[16:], {})
    totals = []
    for precision in ("fp32", "bf16"):
        method = build(config)
        method.optimizers = method.make_optimizers()
        totals.append(method.training_step(*batches, context(precision=precision))["common"].item())
    # bf16 keeps 8 bits of mantissa, and at the start batch normalisation divides by the small spread of untrained
    # features, which takes rounding of under a percent to a few percent.
    assert totals[1] == pytest.approx(totals[0], rel=0.1)
