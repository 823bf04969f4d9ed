"""Names in charts: within the plot, over nothing that must be read, and of a width that no font changes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest

from cabench.report.labels import HEIGHT, LONGEST, MARKER, Box, Label, place_labels, shortened, width_of

PLOT = Box(64, 16, 616, 432)
NAMES = ("sepclr_supervised", "additive_linear", "pca", "double_infogan", "cvae", "random_encoder", "uca", "chance")


MEANS_OF_DSPRITES = (
    ("sepclr_supervised", 90, 137),
    ("supervised", 205, 53),
    ("additive_linear", 160, 151),
    ("sepvae", 161, 166),
    ("ratio_pca", 180, 160),
    ("mmcvae", 192, 152),
    ("cpca", 216, 152),
    ("cplvm", 201, 166),
    ("clvm", 214, 162),
    ("cvae", 238, 144),
    ("convae", 237, 146),
    ("sepclr", 227, 154),
    ("bcnmf", 236, 149),
    ("kernel_cpca", 248, 144),
    ("double_infogan", 222, 170),
    ("scpca", 207, 220),
    ("uca", 325, 152),
    ("pcpca", 343, 142),
    ("beta_vae", 481, 158),
    ("pca", 488, 163),
    ("random_encoder", 394, 244),
    ("simclr", 513, 159),
)


def overlap(a: Box, b: Box) -> bool:
    return a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom


def square(x: float, y: float) -> Box:
    return Box(x - MARKER, y - MARKER, x + MARKER, y + MARKER)


def crowd(seed: int, count: int) -> tuple[list[str], list[tuple[float, float]]]:
    """Points around one place, and their names."""
    generator = np.random.default_rng(seed)
    places = generator.uniform([160, 100], [520, 350]) + generator.normal(0, [45, 18], (count, 2))
    return [NAMES[index % len(NAMES)] for index in range(count)], [(float(x), float(y)) for x, y in places]


def check(labels: Sequence[Label], points: Sequence[tuple[float, float]]) -> None:
    boxes = [label.box for label in labels]
    assert not any(overlap(a, b) for a, b in combinations(boxes, 2))
    assert not any(overlap(box, square(*point)) for box in boxes for point in points)
    assert all(PLOT.left <= b.left and b.right <= PLOT.right for b in boxes)
    assert all(PLOT.top <= b.top and b.bottom <= PLOT.bottom for b in boxes)


@pytest.mark.parametrize("seed", range(8))
def test_names_of_a_crowd_cover_neither_each_other_nor_a_point(seed: int) -> None:
    names, points = crowd(seed, 24)
    check(place_labels(names, points, PLOT), points)


def test_a_name_finds_room_near_its_point_among_methods_that_read_equally_much() -> None:
    """The means of `dsprites` under profile `tuned`: placed downwards alone, one name stood 205 pixels away."""
    names, across, down = zip(*MEANS_OF_DSPRITES, strict=True)
    points = list(zip(map(float, across), map(float, down), strict=True))
    labels = place_labels(names, points, PLOT)
    check(labels, points)
    ends = [(label.end, point) for label, point in zip(labels, points, strict=True) if label.end]
    assert max(np.hypot(x - left, y - top) for (x, y), (left, top) in ends) < 100


def test_names_stay_within_the_plot_at_its_corners() -> None:
    points = [(x, y) for x in (PLOT.left, PLOT.right) for y in (PLOT.top, PLOT.bottom)]
    check(place_labels(NAMES[:4], points, PLOT), points)


def test_a_name_alone_stands_beside_its_point_without_a_line() -> None:
    (label,) = place_labels(["pca"], [(300.0, 200.0)], PLOT)
    assert label.end is None
    assert label.box == Box(308.0, 193.0, 308.0 + width_of("pca"), 193.0 + HEIGHT)


def test_intervals_and_texts_are_left_free_where_there_is_room() -> None:
    point = (300.0, 200.0)
    interval, text = Box(200, 199, 400, 201), Box(280, 170, 420, 192)
    (label,) = place_labels(["pca"], [point], PLOT, [interval], [text])
    assert not overlap(label.box, interval)
    assert not overlap(label.box, text)
    assert label.box.top > point[1]


def test_no_name_seems_to_be_that_of_another_point() -> None:
    """Two points beside each other: the first one's name does not stand at the second."""
    points = [(300.0, 200.0), (330.0, 200.0)]
    first, second = place_labels(["first", "second"], points, PLOT)
    for label, own, other in ((first, *points), (second, *points[::-1])):
        middle = (label.box.left + label.box.right) / 2, (label.box.top + label.box.bottom) / 2
        assert np.hypot(middle[0] - own[0], middle[1] - own[1]) < np.hypot(middle[0] - other[0], middle[1] - other[1])


def test_places_do_not_depend_on_the_order_of_the_points() -> None:
    names, points = crowd(0, 12)
    names = [f"{name}{index}" for index, name in enumerate(names)]
    forwards = dict(zip(names, place_labels(names, points, PLOT), strict=True))
    backwards = dict(zip(names[::-1], place_labels(names[::-1], points[::-1], PLOT), strict=True))
    assert forwards == backwards


def test_more_names_than_there_is_room_for_are_placed_all_the_same() -> None:
    points = [(70.0, 30.0)] * 40
    labels = place_labels(["a name"] * 40, points, Box(64, 16, 164, 66))
    assert len(labels) == 40


def test_no_points_have_no_names() -> None:
    assert place_labels([], [], PLOT) == []


def test_widths_are_those_of_helvetica_to_a_tenth() -> None:
    """Helvetica's own widths, in thousandths of its size, from Adobe's font metrics."""
    helvetica = {"a": 556, "c": 500, "e": 556, "i": 222, "l": 222, "n": 556, "p": 556, "r": 333, "s": 500, "v": 500}
    for word in ("sepvae", "pca", "ncri"):
        known = sum(helvetica[letter] for letter in word) * 12 / 1000
        assert width_of(word) == pytest.approx(known, rel=0.1)


def test_of_a_long_name_both_ends_are_kept() -> None:
    name = "sepvae (learning_rate=0.001, beta=4.0, latent_size=16)"
    assert len(shortened(name)) == LONGEST
    assert shortened(name).startswith("sepvae (")
    assert shortened(name).endswith("latent_size=16)")
    assert shortened("pca") == "pca"
