"""Every gradient-trained method takes a step under the large profiles too, on images of the shape that they are for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from cabench.conformance import context
from cabench.data.dataset import Attribute, DataForm
from cabench.datasets import celeba, chexpert, odir
from cabench.discovery import method_class, plugins
from cabench.experiment.request import ResolvedProfile
from cabench.profiles import load_profile
from cabench.training import Batch, GradientTrainedMethod

TRAINED = [
    name
    for name in plugins("methods")
    if issubclass(method_class(name), GradientTrainedMethod) and "images" in method_class(name).takes
]
DIGITS = (Attribute("digit", "common", "class", ("zero", "one")), Attribute("scale", "salient", "real"))
SETS = {"cifar_mnist": ((3, 32, 32), DIGITS), "dsprites": ((1, 64, 64), DIGITS), "file": ((1, 28, 28), DIGITS)}
# Names of the paper profile alone.
PAPER_SETS = {
    "cifar_mnist_double_infogan": ((3, 64, 64), DIGITS),
    "celeba": ((3, 128, 128), celeba.ATTRIBUTES),
    "celeba_64": ((3, 64, 64), celeba.ATTRIBUTES),
    "chexpert": ((1, 224, 224), chexpert.ATTRIBUTES),
    "odir": ((3, 224, 224), odir.ATTRIBUTES),
}
CASES = [(profile, name) for profile in ("paper", "matched") for name in SETS] + [
    ("paper", name) for name in PAPER_SETS
]


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize(("profile", "dataset"), CASES)
def test_a_step_of_a_small_batch(profile, dataset, name, planted_info):
    shape, attributes = {**SETS, **PAPER_SETS}[dataset]
    method = ResolvedProfile(load_profile(profile)).method(name, dataset)
    info = dataclasses.replace(planted_info, image_shape=shape, attributes=attributes, counts=big())
    method.check(info)
    method.prepare(DataForm(shape, attributes), torch.device("cpu"), torch.Generator().manual_seed(0))
    method.optimizers = method.make_optimizers()
    method.network.train()
    images = torch.rand(2, 2, *shape, generator=torch.Generator().manual_seed(1))
    method.begin_epoch()
    batches = [
        Batch(half, labels(attributes, is_target)) for half, is_target in zip(images, (False, True), strict=True)
    ]
    terms = method.training_step(*batches, context())
    assert np.isfinite([term.item() for term in terms.values()]).all(), terms
    common, salient = method.encode(images[0])
    assert common.isfinite().all()
    assert salient.isfinite().all()


def labels(attributes, is_target):
    """Values of two images: of a common attribute the first alone is known, of a salient one those of targets."""
    values = {}
    for attribute in attributes:
        known = [True, False] if attribute.space == "common" else [is_target] * 2
        column = torch.arange(2) if attribute.classes else torch.linspace(0, 1, 2)
        values[attribute.name] = column.where(torch.tensor(known), torch.tensor(attribute.undefined()).to(column.dtype))
    return values


def big() -> dict[str, dict[str, int]]:
    """Counts that no batch is too large for."""
    return {"train": {"background": 25_000, "target": 25_000}}
