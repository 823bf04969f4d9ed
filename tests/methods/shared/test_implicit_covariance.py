"""Eigenvectors by products against those of formed matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cabench.methods.shared.implicit_covariance import (
    ImplicitCovariance,
    leading_directions_of_difference,
    variances_along,
)


@pytest.mark.parametrize(
    ("shape", "count", "weight", "decay"),
    [
        ((200, 200, 300), 2, 0.5, 0.0),
        ((200, 220, 300), 10, 0.9, 1.0),
        ((200, 220, 300), 10, 0.9, 4.0),
        ((40, 5, 60), 3, 0.0, 0.0),
        ((3, 3, 4), 2, 0.5, 0.0),
        ((2, 2, 3), 9, 0.5, 0.0),
    ],
)
def test_directions_are_those_of_the_formed_difference(shape, count, weight, decay):
    n, m, size = shape
    generator = np.random.default_rng(0)
    scales = np.geomspace(10**decay, 1, size)
    one, other = generator.normal(size=(n, size)) * scales, generator.normal(size=(m, size)) * scales[::-1]
    implicit = [ImplicitCovariance.of(torch.from_numpy(rows)) for rows in (one, other)]
    found = leading_directions_of_difference(implicit[0], implicit[1], weight, count).numpy()

    strengths, vectors = np.linalg.eigh(one.T @ one / n - weight * other.T @ other / m)
    count = min(count, size)
    np.testing.assert_allclose(found.T @ found, np.eye(count), atol=1e-12)
    overlap = found.T @ vectors[:, ::-1][:, :count]
    np.testing.assert_allclose(np.abs(overlap), np.eye(count), atol=1e-7)
    along = variances_along(torch.from_numpy(found), implicit[0])
    along = along - weight * variances_along(torch.from_numpy(found), implicit[1])
    np.testing.assert_allclose(along, strengths[::-1][:count], rtol=1e-12)


def test_rows_that_repeat_have_directions_as_well():
    """Two eigenvalues that are not 0: products span two directions more, and no further ones."""
    rows = torch.ones(40, 60, dtype=torch.float64)
    rows[20:, :30] = -1
    covariance = ImplicitCovariance.of(rows)
    found = leading_directions_of_difference(covariance, covariance, 0.0, 5)
    torch.testing.assert_close(found.T @ found, torch.eye(5, dtype=torch.float64))
    expected = torch.tensor([30, 30, 0, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(variances_along(found, covariance), expected, atol=1e-9, rtol=0)


def test_global_randomness_is_left_alone():
    state = torch.get_rng_state()
    covariance = ImplicitCovariance.of(torch.ones(3, 9, dtype=torch.float64))
    once, again = (leading_directions_of_difference(covariance, covariance, 0.5, 2) for _ in range(2))
    assert torch.equal(once, again)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_formed_matrix_takes_away_what_is_not_formed():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(9, 5, dtype=torch.float64, generator=generator)
    implicit = ImplicitCovariance.of(rows)
    formed = rows.T @ rows / 9
    torch.testing.assert_close(implicit.trace(), formed.trace())
    torch.testing.assert_close(implicit @ torch.eye(5, dtype=torch.float64), formed)
    half = leading_directions_of_difference(formed, implicit, 0.5, 5)
    torch.testing.assert_close(half.T @ formed @ half, torch.linalg.eigvalsh(formed).flip(0).diag())
