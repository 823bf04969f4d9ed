"""Views equal those of kornia: the pictures for the same parameters, and the distribution of every parameter."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import chisquare, ks_2samp
from torch import Tensor

from cabench.methods.shared.view_colours import JITTER, Colours
from cabench.methods.shared.view_geometry import Boxes, compose, draw_angles, draw_boxes, draw_signs
from cabench.methods.shared.views import RandomViews, ViewConfig, ViewParameters, view_size

CLOSE = 5e-5
"""A hundredth of a step of 8 bits is 4e-5."""

EVERYTHING = ViewConfig(crop_size=24, vertical_flip=0.5, jitter=1.0, hue=0.3)
WHOLE = ViewConfig(crop_size=32, crop_scale=(1.0, 1.0), rotation=30.0, vertical_flip=0.5, jitter=0, grey=0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int, channels: int = 3, height: int = 32, width: int = 32) -> Tensor:
    return torch.rand(n, channels, height, width, generator=generator(1))


def boxes_of(kornia) -> Boxes:
    corners = kornia.crop._params["src"]
    (left, top), (right, bottom) = corners[:, 0].unbind(1), corners[:, 2].unbind(1)
    return Boxes(left, top, right - left + 1, bottom - top + 1)


def drawn_by(kornia, shape) -> ViewParameters:
    """Ours, for what kornia drew last."""
    config, n = kornia.config, shape[0]

    def coins(augmentation) -> Tensor:
        return augmentation._params["batch_prob"]

    angles = (
        kornia.rotation._params["degrees"].deg2rad() * coins(kornia.rotation) if config.rotation else torch.zeros(n)
    )
    upside_down = 1 - 2 * coins(kornia.vertical_flip) if config.vertical_flip else torch.ones(n)
    geometry = compose(
        boxes_of(kornia), angles, 1 - 2 * coins(kornia.flip), upside_down, shape[2:], view_size(config, shape[1:])
    )
    colour = kornia.colour._params if kornia.jittered else {}
    factors = [colour.get(f"{step}_factor", torch.ones(n)) for step in JITTER]
    grey = coins(kornia.grey) if config.grey else torch.zeros(n)
    steps = [list(JITTER)[i] for i in colour.get("order", [])]
    return ViewParameters(geometry, Colours(*factors, grey), tuple(step for step in steps if getattr(config, step)))


def both(kornia_views, config: ViewConfig, pictures: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """kornia's views and ours, with kornia's parameters."""
    kornia = kornia_views(config, tuple(pictures.shape[1:]))
    theirs = kornia(pictures, generator(seed))
    parameters = drawn_by(kornia, pictures.shape).on(pictures.device)
    return theirs, RandomViews(config).make(pictures, parameters)


# Pictures


@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 20, 40), (3, 40, 17)])
@pytest.mark.parametrize("seed", range(4))  # four orders of the steps of colour jitter
def test_views_that_are_not_rotated_are_equal(kornia_views, shape, seed):
    theirs, ours = both(kornia_views, EVERYTHING, images(64, *shape), seed)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=CLOSE)


def test_grey_images_are_equal(kornia_views):
    config = ViewConfig(crop_size=0, jitter=1.0, saturation=0, hue=0, grey=0)
    theirs, ours = both(kornia_views, config, images(64, 1, 28, 28))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=CLOSE)


def test_rotations_of_whole_images_are_equal(kornia_views):
    """A crop that is the whole image is not interpolated, so that kornia too interpolates once."""
    theirs, ours = both(kornia_views, WHOLE, images(64))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("shape", [(1, 32, 32), (1, 20, 40)])
def test_black_corners_are_equal_though_the_image_goes_on_outside_of_the_crop(kornia_views, shape):
    config = ViewConfig(crop_size=24, rotation=45.0, jitter=0, grey=0)
    theirs, ours = both(kornia_views, config, torch.ones(64, *shape))
    assert (theirs < 0.5).float().mean() > 0.01
    torch.testing.assert_close(ours, theirs, rtol=0, atol=CLOSE)


def test_one_interpolation_in_place_of_two_changes_smooth_images_little(kornia_views):
    waves = torch.linspace(0, 2 * math.pi, 64).sin()
    smooth = (0.5 + 0.25 * waves[:, None] + 0.25 * waves.roll(16)).expand(64, 3, 64, 64)
    config = ViewConfig(crop_size=64, rotation=45.0, jitter=0, grey=0)
    theirs, ours = both(kornia_views, config, smooth)
    # Measured: 0.006 at most, 0.00007 on average; 0.016 on average for noise, which kornia blurs twice.
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0.01)
    torch.testing.assert_close(ours.mean(), theirs.mean(), rtol=0, atol=2e-4)


# Distributions

DRAWS = 20_000


def alike(ours: Tensor, theirs: Tensor) -> bool:
    return bool(ks_2samp(ours.numpy(), theirs.numpy()).pvalue > 0.001)


@pytest.mark.parametrize(
    ("size", "scale"),
    [((32, 32), (0.2, 1.0)), ((28, 28), (0.6, 1.0)), ((20, 40), (0.2, 1.0)), ((40, 17), (0.8, 1.0)), ((8, 8), (1, 1))],
)
def test_crops_have_kornias_distribution(kornia_views, size, scale):
    kornia = kornia_views(ViewConfig(crop_scale=scale), (3, *size))
    torch.manual_seed(0)
    kornia.crop._params = kornia.crop.forward_parameters((DRAWS, 3, *size))
    ours, theirs = draw_boxes(DRAWS, size, scale, generator()), boxes_of(kornia)
    for mine, other in zip(ours, theirs, strict=True):
        assert alike(mine, other)
    assert alike(ours.width / ours.height, theirs.width / theirs.height)
    assert alike(ours.width * ours.height, theirs.width * theirs.height)
    assert (ours.left >= 0).all()
    assert (ours.left + ours.width <= size[1]).all()
    assert (ours.top + ours.height <= size[0]).all()


def test_angles_have_kornias_distribution(kornia_views):
    kornia = kornia_views(ViewConfig(rotation=25.0), (3, 32, 32))
    torch.manual_seed(0)
    drawn = kornia.rotation.forward_parameters((DRAWS, 3, 32, 32))
    assert alike(draw_angles(DRAWS, 25.0, generator()), (drawn["degrees"] * drawn["batch_prob"]).deg2rad())


@pytest.mark.parametrize("name", ["flip", "vertical_flip", "grey"])
@pytest.mark.parametrize("probability", [0.2, 0.5])
def test_coins_have_kornias_distribution(kornia_views, name, probability):
    config = ViewConfig(**{name: probability})
    torch.manual_seed(0)
    augmentation = getattr(kornia_views(config, (3, 32, 32)), name)
    theirs = augmentation.forward_parameters((DRAWS, 3, 32, 32))["batch_prob"]
    if name == "grey":
        ours = RandomViews(config).draw((DRAWS, 3, 32, 32), generator()).colours.grey
    else:
        ours = (draw_signs(DRAWS, probability, generator()) < 0).float()
    assert alike(ours, theirs)
    # Four standard deviations of 20,000 coins.
    assert ours.mean() == pytest.approx(probability, abs=4 * math.sqrt(probability * (1 - probability) / DRAWS))


@pytest.mark.parametrize("strength", [0.1, 0.5])
def test_colours_have_kornias_distribution(kornia_views, strength):
    config = ViewConfig(brightness=2 * strength, contrast=strength, saturation=strength / 2, hue=strength)
    torch.manual_seed(0)
    theirs = kornia_views(config, (3, 32, 32)).colour.forward_parameters((DRAWS, 3, 32, 32))
    ours = RandomViews(config).draw((DRAWS, 3, 32, 32), generator()).colours
    for step in JITTER:
        assert alike(getattr(ours, step), theirs[f"{step}_factor"])


def test_parameters_are_independent():
    """Each is drawn for itself: no two of the images' parameters are correlated, but for those of one box."""
    config = ViewConfig(rotation=25.0, vertical_flip=0.5)
    drawn = RandomViews(config).draw((DRAWS, 3, 32, 32), generator())
    geometry = drawn.geometry
    angles = torch.atan2(geometry.x_to_v * geometry.x_to_u.sign(), geometry.x_to_u.abs())
    columns = [geometry.centre_x, geometry.centre_y, geometry.x_to_u.sign(), geometry.y_to_v.sign(), angles]
    correlations = torch.corrcoef(torch.stack([*columns, geometry.width * geometry.height, *drawn.colours]))
    # 55 correlations of 20,000 draws: five standard errors.
    assert correlations.fill_diagonal_(0).abs().max() < 5 / math.sqrt(DRAWS)


def test_every_order_of_the_steps_is_equally_likely():
    views, stream = RandomViews(ViewConfig(jitter=1.0)), generator()
    orders = [views.draw((1, 3, 32, 32), stream).jitter for _ in range(4800)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 24
    assert chisquare(counts).pvalue > 0.001
