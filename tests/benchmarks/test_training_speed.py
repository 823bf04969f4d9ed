"""Speed of one training step in the quick profile: batch, data and networks as a user's first run has them."""

from __future__ import annotations

import pytest
import torch

from cabench.conformance import context
from cabench.data.dataset import Population, as_float
from cabench.discovery import method_class, plugins
from cabench.experiment.request import ResolvedProfile
from cabench.profiles import load_profile
from cabench.training import Batch, GradientTrainedMethod

TRAINED = [
    name
    for name in plugins("methods")
    if issubclass(method_class(name), GradientTrainedMethod) and "images" in method_class(name).takes
]


def batch(population: Population, rows: int) -> Batch:
    attributes = {name: torch.from_numpy(values[:rows]) for name, values in population.attributes.items()}
    floats = {name: t.float() if t.is_floating_point() else t for name, t in attributes.items()}
    return Batch(as_float(population.images[:rows]), floats)


@pytest.mark.parametrize("name", TRAINED)
def test_training_step(benchmark, name):
    profile = load_profile("quick")
    data = ResolvedProfile(profile).dataset("dsprites").obtain(None).read("train")
    method = ResolvedProfile(profile).method(name, "dsprites")
    surroundings = context()
    method.prepare(data.info.form, torch.device("cpu"), surroundings.randomness.initialisation())
    method.optimizers = method.make_optimizers()
    method.network.train()
    half = method.config.batch_size // 2
    batches = batch(data.background, half), batch(data.target, half)
    benchmark.extra_info["images"] = 2 * half
    benchmark(method.training_step, *batches, surroundings)
