"""Every gradient-trained method takes a step under the large profiles too, on images of the shape that they are for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from cabench.conformance import context
from cabench.dataset import Attribute, DataForm
from cabench.discovery import load_method, plugins
from cabench.experiment import make_method
from cabench.profiles import load_profile
from cabench.training import Batch, GradientTrainedMethod

TRAINED = [name for name in plugins("methods") if issubclass(load_method(name), GradientTrainedMethod)]
SHAPES = {"cifar_mnist": (3, 32, 32), "dsprites": (1, 64, 64)}
# Names of the paper profile alone, whose images are of other shapes or whose methods have other settings.
PAPER_SHAPES = {"cifar_mnist_double_infogan": (3, 64, 64)}
CASES = [(profile, name) for profile in ("paper", "matched") for name in SHAPES] + [
    ("paper", name) for name in PAPER_SHAPES
]
ATTRIBUTES = (Attribute("digit", "common", "class", ("zero", "one")), Attribute("scale", "salient", "real"))


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize(("profile", "dataset"), CASES)
def test_a_step_of_a_small_batch(profile, dataset, name, planted_info):
    shape = {**SHAPES, **PAPER_SHAPES}[dataset]
    method = make_method(name, dataset, load_profile(profile), {})
    info = dataclasses.replace(planted_info, image_shape=shape, attributes=ATTRIBUTES, counts=big())
    method.check(info)
    method.prepare(DataForm(shape, ATTRIBUTES), torch.device("cpu"), torch.Generator().manual_seed(0))
    method.optimizers = method.make_optimizers()
    method.network.train()
    images = torch.rand(2, 4, *shape, generator=torch.Generator().manual_seed(1))
    labels = {"digit": torch.arange(4) % 2, "scale": torch.linspace(0, 1, 4)}
    method.begin_epoch()
    terms = method.training_step(*(Batch(half, labels) for half in images), context())
    assert np.isfinite([term.item() for term in terms.values()]).all(), terms
    common, salient = method.encode(images[0])
    assert common.isfinite().all()
    assert salient.isfinite().all()


def big() -> dict[str, dict[str, int]]:
    """Counts that no batch is too large for."""
    return {"train": {"background": 25_000, "target": 25_000}}
