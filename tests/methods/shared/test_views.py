"""Random views: shapes, ranges, what is drawn per image and what per batch, and from which generator."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from cabench.errors import UserError
from cabench.methods.sepclr import SepCLR, SepCLRConfig
from cabench.methods.shared.views import RandomViews, ViewConfig
from cabench.methods.simclr import SimCLR, SimCLRConfig

PLAIN = ViewConfig(crop_size=32, crop_scale=(1.0, 1.0), flip=0, jitter=0, grey=0)


def images(n: int = 64, channels: int = 3) -> torch.Tensor:
    return torch.rand(n, channels, 32, 32, generator=torch.Generator().manual_seed(0))


def changed(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    return (before - after).abs().amax((1, 2, 3)) > 1e-5


def test_views_have_the_crop_size_and_stay_in_range():
    views = RandomViews(ViewConfig())(images(), torch.Generator().manual_seed(0))
    assert views.shape == (64, 3, 24, 24)
    assert views.dtype == torch.float32
    assert views.min() >= 0
    assert views.max() <= 1


def test_equal_generators_give_equal_views_and_the_global_one_is_left_alone():
    before = torch.get_rng_state()
    first, second = (RandomViews(ViewConfig())(images(), torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)
    third = RandomViews(ViewConfig())(images(), torch.Generator().manual_seed(4))
    assert not torch.equal(first, third)


def test_two_views_from_one_generator_differ():
    generator = torch.Generator().manual_seed(3)
    views = RandomViews(ViewConfig())
    assert not torch.equal(views(images(), generator), views(images(), generator))


def test_jitter_is_decided_once_a_batch():
    views = RandomViews(dataclasses.replace(PLAIN, jitter=0.8))
    generator = torch.Generator().manual_seed(0)
    fractions = [changed(images(), views(images(), generator)).float().mean().item() for _ in range(100)]
    assert set(fractions) == {0.0, 1.0}
    # 100 coins of 0.8: four standard deviations are 0.16.
    assert 0.64 < sum(fractions) / 100 < 0.96


@pytest.mark.parametrize(("flip", "side"), [("flip", -1), ("vertical_flip", -2)])
def test_half_of_the_images_are_mirrored_along_the_side_that_is_asked_for(flip: str, side: int):
    views = RandomViews(dataclasses.replace(PLAIN, **{flip: 0.5}))(images(400), torch.Generator().manual_seed(0))
    mirrored = changed(images(400), views)
    # 400 coins of 0.5: four standard deviations are 0.1.
    assert 0.4 < mirrored.float().mean() < 0.6
    torch.testing.assert_close(views[mirrored], images(400)[mirrored].flip(side), rtol=0, atol=1e-5)


def test_crops_differ_between_images_of_a_batch():
    same = images(1).expand(8, -1, -1, -1)
    views = RandomViews(dataclasses.replace(PLAIN, crop_scale=(0.3, 0.6)))(same, torch.Generator().manual_seed(0))
    assert len({view.sum().item() for view in views}) == 8


def test_nothing_to_do_leaves_the_images_as_they_are():
    torch.testing.assert_close(RandomViews(PLAIN)(images(), torch.Generator()), images(), rtol=0, atol=1e-5)


def test_grey_images_can_be_jittered_in_brightness_and_contrast():
    config = dataclasses.replace(PLAIN, jitter=1.0, saturation=0, hue=0)
    views = RandomViews(config)(images(8, channels=1), torch.Generator().manual_seed(0))
    assert views.shape == (8, 1, 32, 32)
    assert changed(images(8, channels=1), views).all()


def test_colour_augmentation_of_grey_images_is_refused(planted_info):
    with pytest.raises(UserError, match=r"sepclr\.saturation"):
        SepCLR(SepCLRConfig(encoder="small_conv")).check(planted_info)


def test_rotation_turns_half_of_the_images_and_leaves_black_corners():
    bright = torch.ones(1000, 1, 32, 32)
    grey = dataclasses.replace(PLAIN, saturation=0, hue=0)
    rotated = RandomViews(dataclasses.replace(grey, rotation=25.0))(bright, torch.Generator().manual_seed(0))
    turned = changed(bright, rotated)
    # 1000 coins of 0.5: four standard deviations are 0.063.
    assert 0.43 < turned.float().mean() < 0.57
    corners = rotated[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners[turned].median() < 0.5
    assert (rotated[:, 0, 16, 16] > 0.99).all()


def test_what_is_off_changes_no_other_draw():
    config = ViewConfig(rotation=25.0)
    everything = RandomViews(config).draw((8, 3, 32, 32), torch.Generator().manual_seed(5))
    without = dataclasses.replace(config, flip=0, rotation=0, hue=0, grey=0)
    less = RandomViews(without).draw((8, 3, 32, 32), torch.Generator().manual_seed(5))
    assert torch.equal(everything.geometry.centre_x, less.geometry.centre_x)
    assert torch.equal(everything.colours.contrast, less.colours.contrast)
    assert [step for step in everything.jitter if step != "hue"] == list(less.jitter)


def test_parameters_reach_the_device_in_one_transfer(monkeypatch):
    parameters = RandomViews(ViewConfig()).draw((8, 3, 32, 32), torch.Generator().manual_seed(0))
    moves = []
    move = torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, *a, **k: moves.append(k) or move(tensor, *a, **k))
    moved = parameters.on(torch.device("meta"))
    assert moves == [{"non_blocking": True}]
    assert {t.device.type for t in (*moved.geometry, *moved.colours)} == {"meta"}
    assert {t.shape for t in (*moved.geometry, *moved.colours)} == {(8, 1, 1, 1)}


@pytest.mark.parametrize("rotation", [0.0, 25.0])
def test_views_are_made_where_the_images_are(rotation):
    """A tensor made on the CPU on the way would not meet others on the device "meta"."""
    views = RandomViews(ViewConfig(rotation=rotation, jitter=1.0))
    made = views(torch.empty(8, 3, 32, 40, device="meta"), torch.Generator().manual_seed(0))
    assert made.device.type == "meta"
    assert made.is_contiguous(memory_format=torch.channels_last)


def test_views_do_not_change_the_images():
    before = images(8)
    RandomViews(ViewConfig(jitter=1.0, rotation=25.0))(before, torch.Generator().manual_seed(0))
    assert torch.equal(before, images(8))


# Rows of a table


def rows(n: int = 2000, features: int = 50) -> torch.Tensor:
    return torch.randn(n, features, generator=torch.Generator().manual_seed(1))


def test_views_of_rows_have_noise_of_the_brightness_setting():
    views = RandomViews(ViewConfig(jitter=1.0, brightness=0.25))(rows(), torch.Generator().manual_seed(0))
    noise = views - rows()
    assert views.shape == rows().shape
    # 100,000 draws: four standard errors of the deviation are 0.0023, of the mean 0.0032.
    assert noise.std() == pytest.approx(0.25, abs=0.0023)
    assert noise.mean() == pytest.approx(0.0, abs=0.0032)


def test_noise_on_rows_is_decided_once_a_batch():
    views, generator = RandomViews(ViewConfig(jitter=0.8)), torch.Generator().manual_seed(0)
    changed_rows = [(views(rows(8), generator) != rows(8)).any(1).float().mean().item() for _ in range(100)]
    assert set(changed_rows) == {0.0, 1.0}
    assert 0.64 < sum(changed_rows) / 100 < 0.96


def test_noise_on_rows_comes_from_the_generator_alone():
    before = torch.get_rng_state()
    views = RandomViews(ViewConfig(jitter=1.0))
    first, second = (views(rows(8), torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first, views(rows(8), torch.Generator().manual_seed(4)))


def test_colours_and_sizes_are_no_obstacle_for_a_table(planted_info):
    SepCLR(SepCLRConfig(encoder="mlp", crop_size=24)).check(dataclasses.replace(planted_info, image_shape=(40,)))


def test_views_must_have_the_size_that_an_encoder_is_built_for(planted_info):
    def check(encoder, crop_size):
        SimCLR(SimCLRConfig(encoder=encoder, crop_size=crop_size, saturation=0, hue=0, grey=0)).check(planted_info)

    check("sepvae_32", 32)
    check("dcgan", 0)
    check("small_conv", 24)
    with pytest.raises(UserError, match=r"dcgan is built .* 32 x 32, but simclr.crop_size is 24; set it to 0"):
        check("dcgan", 24)


@pytest.mark.parametrize(
    ("crop_size", "shape", "expected"),
    [(24, (1, 28, 28), (24, 24)), (64, (1, 28, 28), (28, 28)), (24, (3, 20, 40), (20, 24)), (0, (3, 20, 40), (20, 40))],
)
def test_views_are_never_larger_than_the_images(crop_size, shape, expected):
    views = RandomViews(dataclasses.replace(PLAIN, crop_size=crop_size, saturation=0, hue=0))
    assert views(torch.rand(2, *shape), torch.Generator().manual_seed(0)).shape == (2, shape[0], *expected)
