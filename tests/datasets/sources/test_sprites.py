"""dSprites from their factors: against the published frames, and by the properties of the outlines."""

import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from cabench.datasets.sources.sprites import ORIENTATIONS, POSITIONS, SCALES, SHAPES, SIDE, render

SQUARE, ELLIPSE, HEART = range(3)


def draw(shape=SQUARE, scale=1.0, orientation=0.0, position_x=0.5, position_y=0.5):
    """Render with any factor given as one number or as an array."""
    return render(*np.broadcast_arrays(*np.atleast_1d(shape, scale, orientation, position_x, position_y)))


def centroid(images):
    """Mean row and column of the white pixels of each image: (n, 2)."""
    white = images > 0
    index = np.arange(SIDE)
    moments = np.stack([white.sum(axis=2) @ index, white.sum(axis=1) @ index], axis=1)
    return moments / white.sum(axis=(1, 2))[:, None]


@pytest.fixture(scope="module")
def frames():
    path = Path(os.environ.get("CABENCH_DATA", "")) / "dsprites" / "dsprites.gif"
    if "CABENCH_DATA" not in os.environ or not path.is_file():
        pytest.skip("set CABENCH_DATA to a folder that holds dsprites/dsprites.gif")
    with Image.open(path) as gif:
        return np.stack([np.asarray(frame.convert("L")) > 127 for frame in ImageSequence.Iterator(gif)])


@pytest.fixture(scope="module")
def poses():
    """Every shape, scale and orientation of the published grid, 720 rows, with the white area and centroid of each."""
    shape, scale, orientation = np.array(list(product(range(3), SCALES, ORIENTATIONS))).T
    images = draw(shape.astype(np.int64), scale, orientation, 0.0, 0.0)
    return shape.astype(np.int64), scale, orientation, (images > 0).sum(axis=(1, 2)), centroid(images)


def best_match(frame, poses):
    """Highest intersection over union with the published grid, and the shape that reaches it.

    Each pose is tried at the grid position that brings its centroid nearest to the frame's. A pose whose area is under
    0.8 of the frame's, or the other way round, cannot reach 0.8 at any position and is left out.
    """
    shape, scale, orientation, area, centre = poses
    close = np.minimum(area, frame.sum()) >= 0.8 * np.maximum(area, frame.sum())
    steps = (centroid(frame[None]) - centre[close]) / 32 * (len(POSITIONS) - 1)
    y, x = POSITIONS[np.clip(np.rint(steps), 0, len(POSITIONS) - 1).astype(int)].T
    drawn = render(shape[close], scale[close], orientation[close], x, y) > 0
    overlap = (drawn & frame).sum(axis=(1, 2)) / (drawn | frame).sum(axis=(1, 2))
    return overlap.max(), shape[close][np.argmax(overlap)]


def test_published_frames(frames, poses):
    overlap, shape = map(np.array, zip(*(best_match(frame, poses) for frame in frames), strict=True))
    assert len(frames) == 320
    np.testing.assert_array_equal(shape, np.repeat([HEART, ELLIPSE, SQUARE], [192, 64, 64]))
    assert overlap.mean() >= 0.999
    assert overlap.min() >= 0.98


def test_published_turn(frames):
    # The turns of the three shapes: orientation by orientation in the order of the frames, not by the best match.
    for shape, first in ((HEART, 18), (ELLIPSE, 210), (SQUARE, 274)):
        drawn = draw(shape, orientation=ORIENTATIONS, position_x=0.0, position_y=0.0) > 0
        np.testing.assert_array_equal(drawn, frames[first : first + len(ORIENTATIONS)])


def test_published_grid():
    assert SHAPES == ("square", "ellipse", "heart")
    assert (len(SCALES), len(ORIENTATIONS), len(POSITIONS)) == (6, 40, 32)
    np.testing.assert_allclose(SCALES, [0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert (ORIENTATIONS[0], ORIENTATIONS[-1], POSITIONS[0], POSITIONS[-1]) == (0.0, 2 * np.pi, 0.0, 1.0)


def test_square_widths():
    images = draw(scale=SCALES) > 0
    widths = np.array([10, 12, 14, 16, 18, 20])
    np.testing.assert_array_equal(images.any(axis=1).sum(axis=1), widths)
    np.testing.assert_array_equal(images.any(axis=2).sum(axis=1), widths)
    np.testing.assert_array_equal(images.sum(axis=(1, 2)), widths**2)


def test_output_is_binary_and_deterministic():
    rng = np.random.default_rng(0)
    factors = (
        rng.integers(0, 3, 1000),
        rng.uniform(0.5, 1, 1000),
        rng.uniform(-9, 9, 1000),
        *rng.uniform(0, 1, (2, 1000)),
    )
    images = render(*factors)
    assert images.shape == (1000, 64, 64)
    assert images.dtype == np.uint8
    assert set(np.unique(images)) == {0, 255}
    # A row's image depends on that row alone, whatever stands beside it.
    np.testing.assert_array_equal(images[::-7], render(*(factor[::-7] for factor in factors)))


def test_no_rows():
    assert draw(np.zeros(0, dtype=np.int64)).shape == (0, 64, 64)


@pytest.mark.parametrize(("shape", "period"), [(SQUARE, np.pi / 2), (ELLIPSE, np.pi), (HEART, 2 * np.pi)])
def test_turning_period(shape, period):
    angles = np.random.default_rng(0).uniform(0, 2 * np.pi, 200)
    pose = {"shape": shape, "scale": 0.83, "position_x": 0.3, "position_y": 0.7}
    once, again = draw(orientation=angles, **pose), draw(orientation=angles + period, **pose)
    assert (once != again).sum() == 0
    assert (once != draw(orientation=angles + period / 2, **pose)).any()


@pytest.mark.parametrize("shape", range(3))
def test_quarter_turn_is_anticlockwise(shape):
    # At the centre of the canvas, the image's own quarter turn is the sprite's.
    upright, turned = draw(shape, orientation=np.array([0.0, np.pi / 2]))
    np.testing.assert_array_equal(turned, np.rot90(upright))


@pytest.mark.parametrize("shape", range(3))
def test_whole_pixel_moves_are_exact(shape):
    images = draw(shape, orientation=0.7, position_x=np.arange(33) / 32, position_y=0.25)
    for pixels, image in enumerate(images):
        np.testing.assert_array_equal(image, np.roll(images[0], pixels, axis=1))


@pytest.mark.parametrize("shape", range(3))
def test_centroid_follows_position(shape):
    x, y = np.random.default_rng(0).uniform(0, 1, (2, 200))
    offset = centroid(draw(shape, orientation=1.1, position_x=x, position_y=y)) - 15.5 - 32 * np.stack([y, x], axis=1)
    # One outline's centroid keeps its place from the centre, up to how the pixels fall on its edge.
    assert np.abs(offset - offset.mean(axis=0)).max() < 0.25


def test_sprites_at_the_corners_are_whole():
    # A whole pixel move apart at least, a sprite at the corner holds as many pixels as one in the middle.
    shape, scale, orientation = np.array(list(product(range(3), SCALES, ORIENTATIONS))).T
    whole = draw(shape.astype(np.int64), scale, orientation).sum(axis=(1, 2))
    for x, y in product((0.0, 1.0), repeat=2):
        images = draw(shape.astype(np.int64), scale, orientation, x, y)
        np.testing.assert_array_equal(images.sum(axis=(1, 2)), whole)
        assert not images[:, [0, -1]].any()
        assert not images[:, :, [0, -1]].any()


@pytest.mark.parametrize("shape", range(3))
def test_area_grows_with_scale(shape):
    area = (draw(shape, scale=SCALES, orientation=0.4) > 0).sum(axis=(1, 2))
    assert (np.diff(area) > 0).all()
    assert area[0] / area[-1] == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize(
    ("factor", "value", "allowed"),
    [
        ("shape", 3, "one of 0, 1, 2"),
        ("shape", -1, "one of 0, 1, 2"),
        ("scale", 0.49, r"in \[0.5, 1\]"),
        ("scale", 1.01, r"in \[0.5, 1\]"),
        ("orientation", np.inf, "finite"),
        ("position_x", -0.01, r"in \[0, 1\]"),
        ("position_y", 1.01, r"in \[0, 1\]"),
        ("position_y", np.nan, r"in \[0, 1\]"),
    ],
)
def test_values_out_of_range(factor, value, allowed):
    usual = {"shape": 0, "scale": 0.7, "orientation": 0.0, "position_x": 0.5, "position_y": 0.5}[factor]
    with pytest.raises(ValueError, match=f"{factor} must be {allowed}, but row 1 holds {value}"):
        draw(**{factor: np.array([usual, value])})


def test_lengths_that_differ():
    one, two = np.ones(1), np.ones(2)
    with pytest.raises(ValueError, match="1-D arrays of one length"):
        render(np.ones(1, dtype=np.int64), one, two, one, one)
    with pytest.raises(ValueError, match="1-D arrays of one length"):
        render(np.int64(0), *(np.float64(1.0),) * 4)
