"""Unique component analysis: its dual, the kink of the card's example, and its units."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from cabench.config import ConfigError
from cabench.conformance import context, load_subject
from cabench.data.dataset import ContrastiveDataset, Population
from cabench.errors import UserError
from cabench.methods.cpca import CPCA, CPCAConfig
from cabench.methods.shared.background_constraint import constrained_weight, slope
from cabench.methods.uca import UCA, UCAConfig

SIZE = 10


def table(background: np.ndarray, target: np.ndarray) -> ContrastiveDataset:
    parts = (Population(torch.from_numpy(rows.astype(np.float32)), {}) for rows in (background, target))
    return ContrastiveDataset(load_subject("pca").data.info, *parts)


def fitted(data: ContrastiveDataset, **fields: object) -> UCA:
    method = UCA(UCAConfig(**fields))
    method.fit(data, context())
    return method


def dual(c_target: np.ndarray, c_background: np.ndarray, tau: float) -> float:
    return np.linalg.eigvalsh(c_target - tau * c_background)[-1] + tau


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two covariances, the background's with an average variance of 1."""
    generator = np.random.default_rng(seed)
    spread = np.linspace(0.3, 2, SIZE)
    c_target, c_background = (np.cov((spread * generator.normal(size=(60, SIZE))).T) for _ in range(2))
    return c_target, c_background * SIZE / np.trace(c_background)


@pytest.fixture(scope="module")
def data() -> ContrastiveDataset:
    generator = np.random.default_rng(0)
    directions = np.linalg.qr(generator.normal(size=(SIZE, 4)))[0].T
    background = generator.normal(0, [5, 4], (300, 2)) @ directions[:2] + 0.5 * generator.normal(size=(300, SIZE))
    target = generator.normal(0, [5, 4, 3, 2.5], (300, 4)) @ directions + 0.5 * generator.normal(size=(300, SIZE))
    return table(background, target)


def test_a_kink_is_found():
    """The card's example: either pure direction misses the constraint; the best mixes two, by 1 to 10 in squares."""
    c_target, c_background = np.diag([5.0, 3.0, 1.0]), np.diag([3.0, 0.8, 0.2])
    tau = constrained_weight(torch.from_numpy(c_target), torch.from_numpy(c_background))
    assert tau == pytest.approx(10 / 11, rel=1e-6)
    assert dual(c_target, c_background, tau) == pytest.approx(35 / 11, rel=1e-6)
    values = np.linalg.eigvalsh(c_target - tau * c_background)
    assert values[-1] == pytest.approx(values[-2], rel=1e-5)
    mixed = np.sqrt([1 / 11, 10 / 11, 0])
    assert mixed @ c_background @ mixed == pytest.approx(1)
    assert mixed @ c_target @ mixed == pytest.approx(35 / 11)


@pytest.mark.parametrize("seed", range(4))
def test_the_weight_minimises_the_dual_and_its_direction_attains_it(seed):
    c_target, c_background = drawn(seed)
    tau = constrained_weight(torch.from_numpy(c_target), torch.from_numpy(c_background))
    theirs = minimize_scalar(lambda t: dual(c_target, c_background, t), bounds=(0, 50), method="bounded")
    assert dual(c_target, c_background, tau) <= theirs.fun + 1e-9
    best = np.linalg.eigh(c_target - tau * c_background)[1][:, -1]
    assert best @ c_background @ best == pytest.approx(1, abs=1e-4)
    assert best @ c_target @ best == pytest.approx(dual(c_target, c_background, tau), abs=1e-4)
    others = np.random.default_rng(seed).normal(size=(20_000, SIZE))
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    feasible = np.einsum("ni,ij,nj->n", others, c_background, others) <= 1
    assert feasible.sum() > 1000
    assert np.einsum("ni,ij,nj->n", others, c_target, others)[feasible].max() < best @ c_target @ best + 1e-4


def test_the_slope_is_that_of_the_dual_and_never_falls():
    c_target, c_background = drawn(1)
    tensors = torch.from_numpy(c_target), torch.from_numpy(c_background)
    weights = np.linspace(0.05, 4, 30)
    slopes = [slope(*tensors, tau) for tau in weights]
    numerical = [
        (dual(c_target, c_background, t + 1e-5) - dual(c_target, c_background, t - 1e-5)) / 2e-5 for t in weights
    ]
    np.testing.assert_allclose(slopes, numerical, atol=1e-4)
    assert (np.diff(slopes) > -1e-9).all()


def test_a_limit_that_does_not_bind_gives_plain_pca():
    assert constrained_weight(torch.diag(torch.tensor([5.0, 1.0]).double()), 0.5 * torch.eye(2).double()) == 0


def test_a_limit_that_nothing_keeps_is_refused():
    """The card's C_b = 2 I: the dual falls for ever."""
    twice = 2 * torch.eye(3, dtype=torch.float64)
    assert slope(torch.eye(3, dtype=torch.float64), twice, 5.0) == pytest.approx(-1)
    with pytest.raises(UserError, match=r"No direction has a background variance as small .* choose alpha .* \(cpca\)"):
        constrained_weight(torch.eye(3, dtype=torch.float64), twice)


@pytest.mark.parametrize("standardize", [True, False])
def test_it_is_contrastive_pca_at_its_own_alpha(data, standardize):
    method = fitted(data, standardize=standardize)
    assert method.alpha > 0
    contrastive = CPCA(CPCAConfig(alpha=method.alpha, standardize=standardize))
    contrastive.fit(data, context())
    assert torch.equal(method.salient, contrastive.salient)
    assert torch.equal(method.common, contrastive.common)


def test_the_first_direction_has_the_average_background_variance(data):
    method = fitted(data, standardize=False)
    rows = data.background.images.double()
    variances = rows.var(0)
    leading = method.salient[:, 0].double()
    assert (rows @ leading).var().item() == pytest.approx(variances.mean().item(), rel=1e-3)


def test_units_do_not_matter(data):
    """The limit moves with the background's scale: all values in other units give the same directions."""
    scaled = data._replace(
        background=Population(10 * data.background.images, {}), target=Population(10 * data.target.images, {})
    )
    first, second = fitted(data, standardize=False), fitted(scaled, standardize=False)
    assert second.alpha == pytest.approx(first.alpha, rel=1e-4)
    torch.testing.assert_close(first.salient, second.salient, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_a_single_feature_keeps_its_own_limit(seed, standardize):
    background, target = np.random.default_rng(seed).normal(size=(2, 40, 1))
    assert fitted(table(background, target), standardize=standardize).alpha == 0


def test_equal_leading_values_end_the_search():
    """The slope is negative at 0 alone, if at all: which of both directions is found there is arbitrary."""
    c_target = torch.diag(torch.tensor([5.0, 5.0, 1.0]).double())
    for variances in ([3.0, 0.5, 0.1], [0.5, 3.0, 0.1]):
        tau = constrained_weight(c_target, torch.diag(torch.tensor(variances).double()))
        assert tau == pytest.approx(0, abs=1e-7)
    assert constrained_weight(0 * c_target, c_target) == 0


def test_a_background_that_never_varies_limits_nothing(data):
    method = fitted(data._replace(background=Population(torch.ones(20, SIZE), {})))
    assert method.alpha == 0
    assert method.encode(data.target.images).salient.isfinite().all()


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("standardize", [True, False])
def test_tables_that_vary_in_few_directions_keep_the_limit_in_another(data, rank, standardize):
    """Where nothing varies the limit holds, and f is tau: the minimum is where the two branches meet."""
    generator = np.random.default_rng(0)
    basis = np.linalg.qr(generator.normal(size=(SIZE, SIZE)))[0][:, :rank].T
    rows = [(generator.normal(size=(100, rank)) * scale) @ basis for scale in (1.0, np.linspace(2, 1, rank))]
    background, target = (Population(torch.from_numpy(part.astype(np.float32)), {}) for part in rows)
    method = fitted(data._replace(background=background, target=target), standardize=standardize, components=1)
    scaled = [part.std(0) if standardize else np.ones(SIZE) for part in rows]
    c_background, c_target = (np.cov((part / by).T) for part, by in zip(rows, scaled, strict=True))
    unit = np.trace(c_background) / SIZE
    weights = np.linspace(0, 10, 20001)
    best = min(weights, key=lambda w: np.linalg.eigvalsh(c_target - w * c_background)[-1].clip(0) + w * unit)
    assert method.alpha == pytest.approx(best, abs=2e-3)
    assert method.salient.shape[1] == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"components": 0}, r"uca.components = 0 is not allowed; it must be at least 1"),
        (
            {"components": 8, "preprocess_components": 4},
            r"uca.preprocess_components = 4 .* at least uca.components = 8",
        ),
    ],
)
def test_wrong_values_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        UCAConfig(**fields)
