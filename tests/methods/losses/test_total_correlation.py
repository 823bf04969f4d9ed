"""Pairs, discriminator loss and log-ratios: against loops, and where a sigmoid would saturate."""

from __future__ import annotations

import math

import pytest
import torch

from cabench.methods.losses.total_correlation import (
    density_ratio,
    discriminator_loss,
    halves_swapped,
    positive_density_ratio,
    shuffled,
)


def logits(*shape: int, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def probability(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def test_shuffling_pairs_every_row_with_another_and_half_of_them_across_populations():
    of_target = torch.arange(16)[:, None] >= 8
    partners = shuffled(torch.arange(16)[:, None])
    assert partners[:, 0].tolist() == [*range(4, 16), *range(4)]
    assert (shuffled(of_target) != of_target).sum() == 8


@pytest.mark.parametrize("rows", [2, 3])
def test_shuffling_a_few_rows_leaves_none_in_place(rows):
    assert (shuffled(torch.arange(rows)[:, None])[:, 0] != torch.arange(rows)).all()


@pytest.mark.parametrize("rows", [4, 5])
def test_halves_are_swapped_and_an_odd_row_is_left_out(rows):
    c = torch.arange(rows)[:, None].float()
    joint, crossed = halves_swapped(c, 10 * c)
    assert joint.tolist() == [[0, 0], [1, 10], [2, 20], [3, 30]]
    assert crossed.tolist() == [[0, 20], [1, 30], [2, 0], [3, 10]]


def test_halves_need_rows_that_fit():
    with pytest.raises(ValueError, match="same n"):
        halves_swapped(torch.zeros(4, 1), torch.zeros(5, 1))


@pytest.mark.parametrize("shape", [(7,), (7, 1)])
def test_terms_are_their_formulas(shape):
    joint, crossed = logits(*shape), logits(*shape, seed=1)
    d, e = ([probability(x) for x in part.flatten().tolist()] for part in (joint, crossed))
    loss = -sum(math.log(p) for p in d) - sum(math.log(1 - q) for q in e)
    assert discriminator_loss(joint, crossed).item() == pytest.approx(loss, rel=1e-10)
    ratios = [math.log(p / (1 - p)) for p in d]
    assert density_ratio(joint).item() == pytest.approx(sum(ratios), rel=1e-9)
    assert positive_density_ratio(joint).item() == pytest.approx(sum(max(0, r) for r in ratios), rel=1e-9)


def test_sums_grow_with_the_rows():
    x = logits(6)
    for term in (density_ratio, positive_density_ratio):
        assert term(torch.cat([x, x])).item() == pytest.approx(2 * term(x).item(), rel=1e-12)


def test_only_rows_taken_for_joint_are_penalised():
    x = torch.tensor([2.0, -3.0], requires_grad=True)
    positive_density_ratio(x).backward()
    assert x.grad.tolist() == [1, 0]


def test_saturated_discriminators_stay_finite():
    x = torch.tensor([200.0, -200.0], requires_grad=True)
    value = discriminator_loss(x, x) + density_ratio(x) + positive_density_ratio(x)
    value.backward()
    assert value.item() == 600
    assert x.grad.isfinite().all()


def test_one_optimizer_for_both_losses_cancels_what_makes_a_discriminator():
    """The published cVAE's sum, log D/(1-D) - log D - log(1-D^), has no term that makes D recognise joint pairs."""
    joint, crossed = logits(5), logits(5, seed=1)
    expected = -sum(math.log(1 - probability(x)) for x in [*joint.tolist(), *crossed.tolist()])
    assert (density_ratio(joint) + discriminator_loss(joint, crossed)).item() == pytest.approx(expected, rel=1e-10)


def test_half_precision_is_computed_in_float32():
    x = logits(5).bfloat16()
    assert discriminator_loss(x, x).dtype == torch.float32
    assert density_ratio(x) == density_ratio(x.float())
