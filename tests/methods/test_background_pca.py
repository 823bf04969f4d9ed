"""PCA of the background against scikit-learn's; the salient space is empty."""

from __future__ import annotations

import numpy as np
import torch
from sklearn import decomposition

from cabench.conformance import context, load_subject
from cabench.data.dataset import Population
from cabench.methods.background_pca import BackgroundPCA, BackgroundPCAConfig


def test_common_vectors_are_scikit_learn_s_projections_on_the_background_s_directions_and_salient_ones_are_empty():
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(300, 8)) * np.arange(1, 9) + 5
    background, target = (Population(torch.from_numpy(half.astype(np.float32)), {}) for half in np.split(rows, 2))
    method = BackgroundPCA(BackgroundPCAConfig(components=3))
    method.fit(load_subject("pca").data._replace(background=background, target=target), context())
    common, salient = method.encode(target.images)
    theirs = decomposition.PCA(3, svd_solver="full").fit(rows[:150]).transform(rows[150:])
    np.testing.assert_allclose(common.numpy(), theirs * np.sign((common.numpy() * theirs).sum(0)), atol=1e-4)
    assert torch.equal(salient, torch.zeros(150, 1))


def test_targets_change_nothing():
    subject = load_subject("pca")
    other = subject.data._replace(target=subject.data.background)
    found = []
    for data in (subject.data, other):
        method = BackgroundPCA(BackgroundPCAConfig())
        method.fit(data, context())
        found.append(method.encode(subject.images()).common)
    assert torch.equal(*found)
