"""PCA against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import decomposition

from cabench.conformance import context, load_subject
from cabench.data.dataset import Population, as_float
from cabench.errors import UserError
from cabench.methods.pca import PCA, PCAConfig


def test_projections_equal_those_of_scikit_learn_up_to_sign():
    # Random pixels whose spread differs from row to row: no two principal components are alike.
    generator = np.random.default_rng(0)
    spread = np.linspace(5, 60, 1024).reshape(1, 32, 32)
    pixels = generator.normal(128, spread, size=(600, 1, 32, 32)).clip(0, 255).astype(np.uint8)
    background, target = (Population(torch.from_numpy(half), {}) for half in np.split(pixels, 2))
    data = load_subject("pca").data._replace(background=background, target=target)
    method = PCA(PCAConfig(components=6))
    method.fit(data, context())
    images = as_float(torch.cat([data.background.images, data.target.images]))
    ours = method.encode(images).common.numpy()
    theirs = decomposition.PCA(6, svd_solver="full").fit_transform(images.flatten(1).double().numpy())
    signs = np.sign((ours * theirs).sum(0))
    np.testing.assert_allclose(ours, theirs * signs, atol=1e-4)


def test_both_spaces_are_the_same():
    subject = load_subject("pca")
    common, salient = subject.fitted().encode(subject.images())
    assert torch.equal(common, salient)


def test_more_components_than_pixels_are_refused(planted_info):
    with pytest.raises(UserError, match="1024 values"):
        PCA(PCAConfig(components=1025)).check(planted_info)
