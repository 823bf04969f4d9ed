"""No linear method makes a matrix of all pairs of values where each population has fewer rows than values.

Where the rows of both together span all values, that takes a reduction: a basis of what they span is such a matrix.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cabench.conformance import context, load_subject
from cabench.data.dataset import ContrastiveDataset, Population
from cabench.discovery import method_class
from cabench.method import Generative

METHODS = ["pca", "cpca", "uca", "scpca", "kernel_cpca", "ratio_pca", "additive_linear"]
SMALL = {
    "scpca": {"alpha_count": 2, "penalties": (0.0, 0.1)},
    "additive_linear": {"d_common": 5, "d_salient": 3},
    "pca": {"components": 5},
}


class Shapes(TorchDispatchMode):
    """Notes the shape of every tensor that an operation within the block makes."""

    def __init__(self) -> None:
        super().__init__()
        self.made: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        self.made |= {tuple(leaf.shape) for leaf in tree_leaves(made) if isinstance(leaf, torch.Tensor)}
        return made


@pytest.fixture
def table() -> Callable[[int, int, int], ContrastiveDataset]:
    def make(targets: int, backgrounds: int, values: int) -> ContrastiveDataset:
        generator = np.random.default_rng(0)
        spread = np.geomspace(4, 0.5, values)
        parts = (
            Population(torch.from_numpy((generator.normal(size=(rows, values)) * spread).astype(np.float32)), {})
            for rows in (backgrounds, targets)
        )
        return ContrastiveDataset(dataclasses.replace(load_subject("pca").data.info, image_shape=(values,)), *parts)

    return make


def shapes(name: str, data: ContrastiveDataset, **fields: object) -> set[tuple[int, ...]]:
    """Of all tensors that are made while a method is fitted, encodes and decodes."""
    kind = method_class(name)
    method = kind(kind.Config(**SMALL.get(name, {}), **fields))
    with Shapes() as found:
        method.fit(data, context())
        vectors = method.encode(data.target.images)
        if isinstance(method, Generative):
            method.decode(vectors)
    return found.made


@pytest.mark.parametrize("name", METHODS)
def test_fewer_rows_than_values(name, table):
    """Nothing is larger than the rows."""
    assert max(math.prod(shape) for shape in shapes(name, table(30, 20, 2000))) == 50 * 2000


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("targets", "backgrounds"), [(70, 20), (20, 70)])
def test_fewer_rows_of_each_population_than_values(name, targets, backgrounds, table):
    """Together they are more."""
    reduced = {"preprocess_components": 60} if name not in ("pca", "kernel_cpca") else {}
    assert (85, 85) not in shapes(name, table(targets, backgrounds, 85), **reduced)
