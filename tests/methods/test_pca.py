"""PCA against scikit-learn's."""

from __future__ import annotations

import numpy as np
import torch
from sklearn import decomposition

from cabench.conformance import context, load_subject
from cabench.data.dataset import Population, as_float
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


def test_new_images_do_not_explode_where_there_are_fewer_images_than_components():
    """With a direction for which nothing varied, standardised vectors of the test had values of 1e9."""
    pixels = np.random.default_rng(1).integers(0, 256, (30, 1, 32, 32), dtype=np.uint8)
    few, new = np.split(torch.from_numpy(pixels), [20])
    data = load_subject("pca").data._replace(background=Population(few[:10], {}), target=Population(few[10:], {}))
    method = PCA(PCAConfig(components=32))
    method.fit(data, context())
    learned, found = (method.encode(as_float(images)).common for images in (few, new))
    assert learned.shape == (20, 19)
    assert (found.std(0) / learned.std(0)).max() < 2


def test_a_table_of_two_features_has_two_components():
    rows = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    data = load_subject("pca").data._replace(background=Population(rows[:25], {}), target=Population(rows[25:], {}))
    method = PCA(PCAConfig(components=10))
    method.fit(data, context())
    assert method.encode(rows).salient.shape == (50, 2)
