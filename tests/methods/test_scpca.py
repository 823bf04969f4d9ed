"""Sparse contrastive PCA: its loadings against their objective, and its choice of alpha and penalty."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from sklearn.metrics import silhouette_score

from cabench.config import ConfigError
from cabench.conformance import context, load_subject
from cabench.data.dataset import ContrastiveDataset, Population
from cabench.errors import UserError
from cabench.methods.cpca import CPCA, CPCAConfig
from cabench.methods.scpca import SCPCA, SCPCAConfig
from cabench.methods.shared.cluster_score import cluster_score
from cabench.methods.shared.sparse_directions import descent, sparse_directions

SIZE = 20
OWN = [3, 7, 11]


def table(background: np.ndarray, target: np.ndarray) -> ContrastiveDataset:
    parts = (Population(torch.from_numpy(rows.astype(np.float32)), {}) for rows in (background, target))
    return ContrastiveDataset(load_subject("pca").data.info, *parts)


def fitted(data: ContrastiveDataset, **fields: object) -> SCPCA:
    method = SCPCA(SCPCAConfig(**{"alpha_count": 8, "penalties": (0.0, 0.05, 0.1), **fields}))
    method.fit(data, context())
    return method


@pytest.fixture(scope="module")
def data() -> ContrastiveDataset:
    """Two strong dense directions in both; in the target, two clusters along three features alone."""
    generator = np.random.default_rng(0)
    directions = np.linalg.qr(generator.normal(size=(SIZE, 2)))[0].T
    shared = lambda: generator.normal(0, [5, 4], (150, 2)) @ directions + 0.5 * generator.normal(size=(150, SIZE))  # noqa: E731
    target = shared()
    target[:, OWN] += 2.5 * np.sign(generator.normal(size=(150, 1)))
    return table(shared(), target)


def factor(size: int, seed: int, k: int = 2) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
    """A positive semi-definite matrix, its factor and its leading unit eigenvectors."""
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(50, size)) * np.linspace(1, 2, size)
    matrix = rows.T @ rows / 50
    values, vectors = np.linalg.eigh(matrix)
    unit = torch.from_numpy(vectors[:, ::-1].copy())
    return matrix, unit * torch.from_numpy(values[::-1].copy()).sqrt(), unit[:, :k]


@pytest.mark.parametrize("penalty", [0.01, 0.1, 0.3])
def test_the_objective_falls_in_every_round_and_is_that_of_the_formula(penalty):
    matrix, root, start = factor(6, 0)
    loadings, objectives = descent(root, start, penalty)
    assert (np.diff(objectives) <= 1e-12).all()
    largest = np.linalg.eigvalsh(matrix)[-1]
    symmetric = np.linalg.cholesky(matrix).T
    found = loadings.numpy()
    # The best A for these loadings can only lower what the last round ended at.
    left, _, right = np.linalg.svd(matrix @ found, full_matrices=False)
    error = symmetric @ (np.eye(6) - found @ (left @ right).T)
    expected = (error**2).sum() / 2 + penalty * largest * np.abs(found).sum() + 5e-7 * largest * (found**2).sum()
    assert expected <= objectives[-1] + 1e-9
    assert expected == pytest.approx(objectives[-1], rel=1e-3)


def test_without_penalty_the_eigenvectors_span_is_kept():
    _, root, start = factor(8, 1, k=3)
    assert subspace_angles(sparse_directions(root, start, 0.0).numpy(), start.numpy()).max() < 1e-6


def test_loadings_vanish_as_the_penalty_grows():
    """Of 12 loadings of 6 values: at 0.5 nearly all are gone, so the published grid is the upper part of the range."""
    _, root, start = factor(6, 0)
    left = [int((descent(root, start, penalty)[0] != 0).sum()) for penalty in (0.0, 0.01, 0.1, 0.5)]
    assert left == sorted(left, reverse=True)
    assert left[0] == 12
    assert left[-1] <= 3


def test_directions_are_of_unit_length_and_columns_of_zeros_are_dropped():
    _, root, start = factor(6, 0)
    sparse = sparse_directions(root, start, 0.3)
    torch.testing.assert_close(sparse.norm(dim=0), torch.ones(sparse.shape[1], dtype=torch.float64))
    assert (sparse.gather(0, sparse.abs().argmax(0, keepdim=True)) > 0).all()
    assert sparse_directions(root, start, 2.0).shape == (6, 0)


def test_the_score_is_the_silhouette_of_two_plain_clusters():
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(80, 2)) + 8 * np.repeat([[0, 0], [1, 1]], 40, axis=0)
    truth = np.repeat([0, 1], 40)
    assert cluster_score(rows, 2) == pytest.approx(silhouette_score(rows, truth), abs=1e-9)
    assert cluster_score(np.concatenate([rows, rows[:10]]), 2) == pytest.approx(cluster_score(rows, 2))
    assert cluster_score(100 * rows, 2) == pytest.approx(cluster_score(rows, 2))


@pytest.mark.parametrize("rows", [np.zeros((9, 2)), np.ones((9, 0)), np.eye(9)[:, :1] * [[1.0, 0.0]], np.ones((9, 1))])
def test_what_cannot_be_clustered_has_no_score(rows):
    assert cluster_score(rows, 2) is None


def test_the_sparse_features_that_split_the_targets_are_found(data):
    method = fitted(data, penalties=(0.05, 0.1))
    (found,) = method.salient[:, 0].nonzero().T
    assert len(found) >= 2
    assert set(found.tolist()) <= set(OWN)
    assert (method.salient == 0).any()
    assert method.alpha in np.geomspace(0.1, 1000, 8)


def test_it_is_the_pair_of_the_largest_silhouette(data):
    method = fitted(data)
    targets = data.target.images.double() - data.target.images.double().mean(0)
    chosen = cluster_score((targets @ method.salient.double()).numpy(), 2)
    for alpha in np.geomspace(0.1, 1000, 8):
        for penalty in (0.0, 0.05, 0.1):
            try:
                one = fitted(data, alpha_count=1, alpha_range=(float(alpha), 2000.0), penalties=(penalty,))
            except UserError:  # at this alpha no direction has more variance in the target
                continue
            assert cluster_score((targets @ one.salient.double()).numpy(), 2) <= chosen + 1e-6


def test_without_penalty_it_is_contrastive_pca_with_alpha_by_silhouette(data):
    method = fitted(data, penalties=(0.0,))
    contrastive = CPCA(CPCAConfig(alpha=method.alpha, standardize=False))
    contrastive.fit(data, context())
    assert subspace_angles(method.salient.double().numpy(), contrastive.salient.double().numpy()).max() < 1e-3
    assert torch.equal(method.common, contrastive.common)


def test_no_global_randomness_is_read_or_changed(data):
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - to see that it is left alone
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = fitted(data)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert torch.equal(first.salient, fitted(data).salient)


def test_penalties_that_leave_nothing_are_refused(data):
    with pytest.raises(
        UserError, match=r"scpca finds no direction .* into 2 clusters, .* penalties from 5; give smaller"
    ):
        fitted(data, penalties=(5.0,))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"clusters": 1}, r"scpca.clusters = 1 is not allowed; it must be at least 2"),
        ({"alpha_range": (5, 1)}, r"scpca.alpha_range = \[5.0, 1.0\] is not allowed; the smaller comes first"),
        ({"penalties": ()}, r"scpca.penalties = \(\) is not allowed; it takes a list of one or more values"),
        ({"penalties": (-0.1,)}, r"scpca.penalties .* is not allowed"),
    ],
)
def test_wrong_values_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        SCPCAConfig(**fields)
