"""Changes of colour at their edges: hues against Python's `colorsys`, neutral factors, and pixels without a hue."""

from __future__ import annotations

import colorsys
import itertools

import pytest
import torch
from torch import Tensor

from cabench.methods.shared.view_colours import JITTER, adjust_contrast, adjust_saturation, luma, shift_hue, turn_grey

CORNERS = list(itertools.product([0.0, 0.25, 1.0], repeat=3))
"""Colours with ties of every kind: greys, black and white, pure and mixed colours."""


def one_a_column(colours: list[tuple[float, ...]]) -> Tensor:
    return torch.tensor(colours).T[None, :, None]


def everywhere(value: float) -> Tensor:
    return torch.full((1, 1, 1, 1), value)


@pytest.mark.parametrize("turns", [-0.5, -1 / 6, -0.07, 0.0, 1e-9, 1 / 3, 0.5])
def test_hues_are_those_of_colorsys(turns):
    expected = []
    for colour in CORNERS:
        hue, saturation, value = colorsys.rgb_to_hsv(*colour)
        expected.append(colorsys.hsv_to_rgb((hue + turns) % 1, saturation, value))
    torch.testing.assert_close(
        shift_hue(one_a_column(CORNERS), everywhere(turns)), one_a_column(expected), rtol=0, atol=1e-6
    )


def test_a_hue_that_is_hardly_there_is_no_obstacle():
    nearly_grey = one_a_column([(0.3, 0.3, 0.3 + 1e-7), (1e-38, 0.0, 0.0), (1e-44, 0.0, 1e-45)])
    torch.testing.assert_close(shift_hue(nearly_grey.clone(), everywhere(0.2)), nearly_grey, rtol=0, atol=1e-6)


@pytest.mark.parametrize("step", JITTER)
def test_neutral_factors_change_nothing(step):
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    neutral = everywhere(0.0 if step == "hue" else 1.0)
    torch.testing.assert_close(JITTER[step](images.clone(), neutral), images, rtol=0, atol=1e-6)


def test_without_contrast_or_saturation_the_luma_is_left():
    images = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    grey = luma(images)
    torch.testing.assert_close(adjust_saturation(images.clone(), everywhere(0.0)), grey.expand(1, 3, 8, 8))
    torch.testing.assert_close(adjust_contrast(images.clone(), everywhere(0.0)), grey.mean().expand(1, 3, 8, 8))
    torch.testing.assert_close(turn_grey(images.clone(), everywhere(1.0)), grey.expand(1, 3, 8, 8))
    assert torch.equal(turn_grey(images.clone(), everywhere(0.0)), images)
