"""NT-Xent against its formula by loops, and its properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cabench.methods.losses.nt_xent import nt_xent


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_loops(u: np.ndarray, v: np.ndarray, temperature: float) -> float:
    z = [*u, *v]

    def similarity(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))) / temperature

    losses = []
    for i, anchor in enumerate(z):
        other = z[(i + len(u)) % len(z)]
        total = sum(math.exp(similarity(anchor, z[k])) for k in range(len(z)) if k != i)
        losses.append(-similarity(anchor, other) + math.log(total))
    return float(np.mean(losses))


@pytest.mark.parametrize(("rows", "temperature"), [(1, 0.5), (2, 0.5), (7, 0.1), (12, 2.0)])
def test_nt_xent_is_its_formula(rows, temperature):
    u, v = normal(rows, 4), normal(rows, 4, seed=1)
    expected = by_loops(u.numpy(), v.numpy(), temperature)
    assert nt_xent(u, v, temperature).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_lengths_of_vectors_and_order_of_views_do_not_matter():
    u, v = normal(6, 3), normal(6, 3, seed=1)
    scales = torch.linspace(0.1, 9, 6, dtype=torch.float64)[:, None]
    assert nt_xent(scales * u, v).item() == pytest.approx(nt_xent(u, v).item(), rel=1e-12)
    assert nt_xent(v, u).item() == pytest.approx(nt_xent(u, v).item(), rel=1e-12)


def test_vectors_that_all_coincide_cost_the_logarithm_of_the_others():
    assert nt_xent(torch.ones(4, 3), torch.ones(4, 3)).item() == pytest.approx(math.log(7), rel=1e-6)


def test_matched_views_cost_less_than_mismatched_ones():
    u = normal(8, 5)
    assert nt_xent(u, u) < nt_xent(u, u.roll(1, 0))


def test_gradients():
    assert torch.autograd.gradcheck(nt_xent, (normal(4, 3).requires_grad_(), normal(4, 3, seed=1).requires_grad_()))


def test_autocast_does_not_lower_the_precision():
    u, v = normal(6, 3).float(), normal(6, 3, seed=1).float()
    with torch.autocast("cpu", torch.bfloat16):
        inside = nt_xent(u, v)
    assert inside.dtype == torch.float32
    assert inside == nt_xent(u, v)


@pytest.mark.parametrize(("u", "v"), [((3, 2), (4, 2)), ((3,), (3,)), ((0, 2), (0, 2))])
def test_misfitting_shapes_are_refused(u, v):
    with pytest.raises(ValueError, match="two equal shapes"):
        nt_xent(torch.zeros(u), torch.zeros(v))
