"""Speed of one random view of every image of a batch, ours and kornia's.

One thread; colours are always jittered. Single runs on a busy machine mislead: compare the columns `min`.
"""

from __future__ import annotations

import pytest
import torch

from cabench.methods.shared.views import RandomViews, ViewConfig

SIZES = [4, 64, 512]


def time_views(benchmark, views, n: int) -> None:
    batch = torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    benchmark.extra_info["images"] = n
    benchmark(views, batch.contiguous(memory_format=torch.channels_last), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("rotation", [0.0, 25.0])
@pytest.mark.parametrize("n", SIZES)
def test_our_views(benchmark, n, rotation):
    time_views(benchmark, RandomViews(ViewConfig(crop_size=32, jitter=1.0, rotation=rotation)), n)


@pytest.mark.parametrize("rotation", [0.0, 25.0])
@pytest.mark.parametrize("n", SIZES)
def test_kornias_views(benchmark, kornia_views, n, rotation):
    config = ViewConfig(crop_size=32, jitter=1.0, rotation=rotation)
    time_views(benchmark, kornia_views(config, (3, 32, 32)), n)
