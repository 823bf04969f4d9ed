"""Speed of one training step in the quick profile: batch, data and networks as a user's first run has them."""

from __future__ import annotations

import pytest
import torch

from cabench.conformance import context
from cabench.dataset import as_float
from cabench.dataset_builder import obtain
from cabench.experiment import make_builder, make_method
from cabench.profiles import load_profile
from cabench.training import Batch


@pytest.mark.parametrize("name", ["sepclr", "mmcvae"])
def test_training_step(benchmark, name):
    profile = load_profile("quick")
    data = obtain(make_builder("dsprites", profile, {}), None).read("train")
    method = make_method(name, "dsprites", profile, {})
    surroundings = context()
    method.prepare(data.info.form, torch.device("cpu"), surroundings.randomness.initialisation())
    method.optimizers = method.make_optimizers()
    method.network.train()
    half = method.config.batch_size // 2
    background, target = (Batch(as_float(part.images[:half]), {}) for part in (data.background, data.target))
    benchmark.extra_info["images"] = 2 * half
    benchmark(method.training_step, background, target, surroundings)
