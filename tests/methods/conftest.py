"""What the tests of single methods share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from cabench.conformance import Subject, load_subject
from cabench.data.dataset import DataForm, Population
from cabench.training import Batch, GradientTrainedMethod

Prepare = Callable[..., GradientTrainedMethod]
MakeBatches = Callable[..., tuple[Batch, Batch]]


@pytest.fixture(scope="session")
def small_subject() -> Callable[..., Subject]:
    """Loads a method as `load_subject` does, with every fourth image: three steps an epoch instead of fourteen."""

    def load(*request: object) -> Subject:
        subject = load_subject(*request)
        background, target = (
            Population(part.images[::4], {name: values[::4] for name, values in part.attributes.items()})
            for part in (subject.data.background, subject.data.target)
        )
        return replace(subject, data=subject.data._replace(background=background, target=target))

    return load


@pytest.fixture
def prepared() -> Prepare:
    """Gives a method freshly drawn weights and optimizers, in training mode, as the loop does."""

    def prepare(method, shape=(1, 32, 32), attributes=()):
        method.prepare(DataForm(shape, attributes), torch.device("cpu"), torch.Generator().manual_seed(0))
        method.optimizers = method.make_optimizers()
        method.network.train()
        return method

    return prepare


@pytest.fixture
def batches() -> MakeBatches:
    """Makes a background and a target batch of noise."""

    def make(shape=(1, 32, 32), half=6):
        images = torch.rand(2, half, *shape, generator=torch.Generator().manual_seed(1))
        return Batch(images[0], {}), Batch(images[1], {})

    return make
