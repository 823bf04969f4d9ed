"""The plan of sizes: how often images are halved, what remains, and that the way back ends where it began."""

from __future__ import annotations

import pytest
import torch

from cabench.methods.networks.sizes import doubling, fitted, halving, plan


@pytest.mark.parametrize(
    ("height", "width", "halvings", "remaining"),
    [
        pytest.param(32, 32, 3, (4, 4), id="SepVAE's, published"),
        pytest.param(64, 64, 4, (4, 4), id="DCGAN's, published"),
        pytest.param(256, 256, 6, (4, 4), id="a power of two"),
        pytest.param(8, 8, 1, (4, 4), id="the smallest"),
        pytest.param(28, 28, 2, (7, 7), id="MedMNIST"),
        pytest.param(224, 224, 5, (7, 7), id="photographs"),
        pytest.param(33, 47, 3, (4, 5), id="odd"),
        pytest.param(64, 48, 4, (4, 3), id="upright"),
        pytest.param(8, 200, 3, (1, 25), id="a strip ends at one row"),
    ],
)
def test_images_are_halved_until_little_remains(height, width, halvings, remaining):
    way = plan((3, height, width))
    assert (way.halvings, way.remaining) == (halvings, remaining)


def test_sepclrs_network_halves_once_more():
    assert plan((1, 64, 64), smallest=2).remaining == (2, 2)


def test_published_widths_are_cut_or_their_last_one_is_repeated():
    assert fitted((32, 64, 128), 3) == [32, 64, 128]
    assert fitted((32, 64, 128), 1) == [32]
    assert fitted((32, 64, 128), 5) == [32, 64, 128, 128, 128]


@pytest.mark.parametrize("size", [(8, 8), (9, 8), (31, 33), (28, 28), (8, 200), (50, 77)])
def test_the_way_back_ends_where_it_began(size):
    way = plan((1, *size))
    maps = torch.rand(1, 1, *size)
    seen = [size]
    for _ in range(way.halvings):
        maps = halving(1, 1)(maps)
        seen.append(tuple(maps.shape[2:]))
    assert tuple(seen) == way.sizes
    for doubled in way.way_back:
        maps = doubling(1, 1, doubled)(maps)
        assert tuple(maps.shape[2:]) == doubled
    assert way.way_back[-1] == size
