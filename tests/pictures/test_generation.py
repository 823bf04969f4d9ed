"""Reconstructions, removals and swaps of a method whose algebra is plain, and the grid that a run leaves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from cabench.config import Settings
from cabench.data.drawing import LABELS_WIDTH
from cabench.method import Generative, Representation
from cabench.pictures.generation import picture_grid, reconstruct, remove_salient, swap


class Halves(Generative):
    """The upper half of an image is common, the lower half salient: it decodes by putting them together."""

    name = "halves"
    version = 1
    Config = Settings

    def fit(self, data, context):
        pass

    def encode(self, images: Tensor) -> Representation:
        return Representation(*(part.flatten(1) for part in images.split(4, dim=2)))

    def decode(self, representation: Representation) -> Tensor:
        return torch.cat([part.reshape(len(part), -1, 4, 8) for part in representation], dim=2)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def images(seed: int, channels: int = 1) -> Tensor:
    return torch.rand(5, channels, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("channels", [1, 3])
def test_parts_go_where_they_should(channels):
    first, second = images(0, channels), images(1, channels)
    method = Halves(Settings())
    assert torch.equal(reconstruct(method, first), first)
    removed = remove_salient(method, first)
    assert torch.equal(removed[:, :, :4], first[:, :, :4])
    assert (removed[:, :, 4:] == 0).all()
    swapped = swap(method, common_of=first, salient_of=second)
    assert torch.equal(swapped[:, :, :4], first[:, :, :4])
    assert torch.equal(swapped[:, :, 4:], second[:, :, 4:])


def test_a_swap_of_unequal_numbers_of_images_is_refused():
    with pytest.raises(ValueError, match="as many images of both, but got 3 and 2"):
        swap(Halves(Settings()), torch.zeros(3, 1, 4, 4), torch.zeros(2, 1, 4, 4))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_shows_every_picture_in_its_place(channels):
    background, target = images(0, channels), images(1, channels)
    method = Halves(Settings())
    grid = np.asarray(picture_grid(method, background, target))
    side, gap = 64, 2
    assert grid.shape == (6 * (side + gap), LABELS_WIDTH + 5 * (side + gap), 3)
    rows = [
        target,
        target,
        remove_salient(method, target),
        background,
        remove_salient(method, background),
        swap(method, background, target),
    ]
    for row, expected in enumerate(rows):
        for column in range(5):
            top, left = row * (side + gap), LABELS_WIDTH + column * (side + gap)
            found = grid[top : top + side : 8, left : left + side : 8]
            pixels = (expected[column] * 255).round().to(torch.uint8).permute(1, 2, 0).expand(8, 8, 3)
            np.testing.assert_array_equal(found, pixels.numpy())
    labels = grid[:, :LABELS_WIDTH]
    for row in range(6):
        assert (labels[row * (side + gap) : (row + 1) * (side + gap)] < 128).any(), "a row has no label"


@pytest.mark.parametrize(("background", "target"), [(3, 2), (1, 5), (5, 1)])
def test_a_grid_has_a_column_for_each_pair_that_is_there(background, target):
    method, pairs = Halves(Settings()), min(background, target)
    grid = picture_grid(method, images(0)[:background], images(1)[:target])
    assert grid.size == (LABELS_WIDTH + pairs * 66, 6 * 66)
    whole = np.asarray(picture_grid(method, images(0)[:pairs], images(1)[:pairs]))
    np.testing.assert_array_equal(np.asarray(grid), whole)


def test_large_images_are_not_enlarged():
    big = torch.rand(2, 1, 8, 8).repeat_interleave(16, 2).repeat_interleave(16, 3)

    class Same(Halves):
        def encode(self, images):
            return Representation(images.flatten(1), images.flatten(1))

        def decode(self, representation):
            return representation.common.reshape(-1, 1, 128, 128)

    assert picture_grid(Same(Settings()), big, big).size == (LABELS_WIDTH + 2 * 130, 6 * 130)


def test_a_run_leaves_pictures_of_what_is_decoded_or_else_of_what_is_alike(cabench_here, tmp_path):
    ended = cabench_here("run", "--profile", "smoke", "--methods", "mmcvae,pca", "--no-controls", "--results", "out")
    assert ended.returncode == 0, ended.stderr
    (folder,) = (tmp_path / "out" / "planted" / "mmcvae").iterdir()
    with Image.open(folder / "pictures.png") as picture:
        picture.load()
        assert picture.size == (LABELS_WIDTH + 8 * 66, 6 * 66)
    (folder,) = (tmp_path / "out" / "planted" / "pca").iterdir()
    with Image.open(folder / "pictures.png") as picture:
        picture.load()
        assert picture.size == (LABELS_WIDTH + 8 * 66, 5 * 66)
