"""That factorisations of rows with many values make nothing larger than the rows, such as a covariance."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cabench.conformance import context, load_subject
from cabench.data.dataset import ContrastiveDataset, Population
from cabench.method import Generative
from cabench.methods.bcnmf import BCNMF, BCNMFConfig
from cabench.methods.cplvm import CPLVM, CPLVMConfig

ROWS, VALUES = 30, 2000


class Largest(TorchDispatchMode):
    """Within it, `values` is the size of the largest tensor that an operation gave."""

    values = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        given = operation(*args, **(kwargs or {}))
        for tensor in given if isinstance(given, tuple | list) else (given,):
            if isinstance(tensor, torch.Tensor):
                self.values = max(self.values, tensor.numel())
        return given


@pytest.mark.parametrize(
    "method",
    [
        BCNMF(BCNMFConfig(rounds=3, restarts=1)),
        BCNMF(BCNMFConfig(rounds=3, restarts=1, divergence="poisson")),
        CPLVM(CPLVMConfig(steps=3, restarts=1, encoding_steps=3)),
    ],
    ids=["bcnmf", "bcnmf_poisson", "cplvm"],
)
def test_nothing_is_larger_than_the_rows(method: Generative) -> None:
    generator = torch.Generator().manual_seed(0)
    parts = [Population(torch.poisson(torch.full((ROWS, VALUES), 2.0), generator), {}) for _ in range(2)]
    counts = {"train": {"background": ROWS, "target": ROWS}}
    info = replace(load_subject("pca").data.info, image_shape=(VALUES,), counts=counts, are_counts=True)
    with Largest() as largest:
        method.fit(ContrastiveDataset(info, *parts), context())
        method.decode(method.encode(parts[1].images))
    assert largest.values == ROWS * VALUES
