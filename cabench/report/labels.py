"""Where the names of points stand in a chart: near their point, within the plot, and over nothing that must be read.

Each name in turn takes the cheapest of some two hundred places around its point, compared by what they would cover, and
again when all others stand, until none moves, or eight times. Who comes first takes the room of others: where a name
stands far from its point, other orders are tried, and the arrangement that costs least is taken. Widths are those of
Pillow's own font, which has the proportions of Helvetica; written with that `textLength`, names are as wide in every
viewer, whatever fonts it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import ImageFont

FONT_SIZE = 12  # pixels, as `page/chart.css` has it
HEIGHT = 14  # of a name
LONGEST = 36  # letters of a name; what a longer one has in its middle is left out
MARKER = 6  # half the side of the square that a point takes

_DISTANCES = np.array([8, 11, 14, 18, 23, 29, 36, 44, 54, 66, 80, 96, 116, 140, 170, 205])  # pixels
# A quarter of a circle in steps of 22.5 degrees; written out, as cosines differ in their last bit between machines.
_QUARTER = [(1.0, 0.0), (0.924, 0.383), (0.707, 0.707), (0.383, 0.924)]
_DIRECTIONS = np.array([each for x, y in _QUARTER for each in ((x, y), (-y, x), (-x, -y), (y, -x))])
_STEPS = np.repeat(_DISTANCES, len(_DIRECTIONS)).astype(np.float64)
_OFFSETS = _STEPS[:, None] * np.tile(_DIRECTIONS, (len(_DISTANCES), 1))
_HANGING = (1 - np.tile(_DIRECTIONS, (len(_DISTANCES), 1))) / 2  # which part of a name lies before its end of the line
_ALONG = np.linspace(0.1, 1.0, 12)[:, None, None]  # where on a line to a name it is looked at what lies under it

_NEAR = 14  # pixels; a name further away is joined to its point by a line

# What a place costs, in pixels of distance: leaving the plot, covering a name, a point, or a line to a name, ...
_OUTSIDE, _NAME, _POINT, _LEADER = 1e6, 1e5, 1e4, 1e4
_CROSSING = 150.0  # ... a line to it that crosses another one, ...
_OVER_POINT = 60.0  # ... or passes over a point, ...
_BESIDE = 40.0  # ... standing so near to another point that it seems to be its name, ...
_LEVEL = 25.0  # ... a line to it that is level or upright, as intervals are, ...
_LINE = 60.0  # ... and covering an interval, or a piece of another line.
_APART = np.array([-5, -1, 5, 1])  # how far names are kept from each other
_AROUND = np.array([-9, -5, 9, 5])  # how near that is, on each side of a point's square
_LOOKED_AT = 96  # places, the cheapest without the line to them, of which that is looked at too

OTHER_ORDERS = 31  # tried where a name stands far away: 24 names take a second, and the last orders help them still
MOST_PAIRS = 20_000  # of names, over all other orders: of many names fewer orders are tried, none of more than 141
ROUNDS = 8  # most: names may push each other back and forth


class Box(NamedTuple):
    """A rectangle in pixels; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float


class Label(NamedTuple):
    """Where the name of a point stands.

    Attributes:
        text: the name, cut where it is too long.
        box: what it covers.
        end: of a line that joins the point and the name; None where the name is so near that it needs none.
    """

    text: str
    box: Box
    end: tuple[float, float] | None


def place_labels(
    names: Sequence[str],
    points: Sequence[tuple[float, float]],
    plot: Box,
    lines: Sequence[Box] = (),
    texts: Sequence[Box] = (),
) -> list[Label]:
    """Place the names of points.

    Args:
        names: one a point.
        points: in pixels.
        plot: where names may stand.
        lines: intervals, as thin boxes, that are better not covered.
        texts: what else is written in the plot.

    Returns:
        A label a point. Names cover each other only where the plot has no room for them.
    """
    shown = [shortened(name) for name in names]
    places = np.round(np.array(points, dtype=np.float64).reshape(-1, 2), 1)
    markers = np.concatenate([places - MARKER, places + MARKER], axis=1)
    surroundings = _Surroundings(np.array(plot), markers, _boxes(lines), _boxes(texts))
    widths = [width_of(name) for name in shown]
    downwards = np.lexsort((places[:, 0], places[:, 1]))
    best = _arranged(downwards, places, widths, surroundings)
    if any(choice.distance > _NEAR for choice in best):
        others = (_arranged(order, places, widths, surroundings) for order in _other_orders(downwards))
        best = min([best, *others], key=lambda chosen: sum(choice.cost for choice in chosen))
    return [_label(text, choice) for text, choice in zip(shown, best, strict=True)]


def shortened(name: str) -> str:
    """A name of at most `LONGEST` letters; of a longer one both ends, as rows of one method differ in the last."""
    half = LONGEST // 2
    return name if len(name) <= LONGEST else f"{name[: half - 1]}…{name[-half:]}"


@lru_cache(maxsize=4096)
def width_of(text: str) -> float:
    """How wide a text of `FONT_SIZE` is, in pixels."""
    return round(font().getlength(text) * FONT_SIZE / 100, 1)


@lru_cache(maxsize=1)
def font() -> ImageFont.FreeTypeFont:
    """Pillow's own font; large, so that widths are not those of letters fitted to a grid of pixels."""
    found = ImageFont.load_default(100)
    assert isinstance(found, ImageFont.FreeTypeFont)  # it is, where a size is given
    return found.font_variant(layout_engine=ImageFont.Layout.BASIC)  # the other engine is not everywhere


class _Surroundings(NamedTuple):
    """What is there before names are: float64 (4,) of the plot, (n, 4) boxes of all else."""

    plot: np.ndarray
    markers: np.ndarray
    lines: np.ndarray
    texts: np.ndarray


class _Choice(NamedTuple):
    """A place: float64 (4,) box, (2,) start and end of the line to it, and what it costs."""

    box: np.ndarray
    start: np.ndarray
    end: np.ndarray
    distance: float
    cost: float


def _other_orders(order: np.ndarray) -> Iterator[np.ndarray]:
    """Orders of points, mixed by chance; the same ways for as many points, and fewer where there are many."""
    generator = np.random.default_rng(0)
    return (generator.permutation(order) for _ in range(min(OTHER_ORDERS, MOST_PAIRS // len(order) ** 2)))


def _arranged(order: np.ndarray, places: np.ndarray, widths: Sequence[float], around: _Surroundings) -> list[_Choice]:
    """The places of all names, chosen in an order, and anew until none moves, `ROUNDS` times at most."""
    chosen: dict[int, _Choice] = {}
    for _ in range(ROUNDS):
        before = dict(chosen)
        for index in order.tolist():
            others = [choice for other, choice in chosen.items() if other != index]
            chosen[index] = _cheapest(index, places[index], widths[index], around, others)
        if before and all(np.array_equal(before[index].box, chosen[index].box) for index in chosen):
            break
    return [chosen[index] for index in range(len(places))]


def _cheapest(index: int, point: np.ndarray, width: float, around: _Surroundings, others: Sequence[_Choice]) -> _Choice:
    """The cheapest place of one name, the first of equally cheap ones."""
    size = np.array([width, HEIGHT])
    ends = point + _OFFSETS
    corners = ends - size * _HANGING
    boxes = np.concatenate([corners, corners + size], axis=1)
    elsewhere = np.delete(around.markers, index, axis=0)
    names = np.concatenate([around.texts, _stacked([other.box for other in others], 4)])
    outside = (boxes[:, :2] < around.plot[:2]).any(axis=1) | (boxes[:, 2:] > around.plot[2:]).any(axis=1)
    costs = (
        _STEPS
        + _LEVEL * ((_OFFSETS == 0).any(axis=1) & (_STEPS > _NEAR))
        + _OUTSIDE * outside
        + _NAME * _overlaps(boxes, names + _APART)
        + _POINT * _overlaps(boxes, around.markers)
        + _BESIDE * _overlaps(boxes, elsewhere + _AROUND)
        + _LINE * _overlaps(boxes, around.lines)
    )
    kept = np.argsort(costs, kind="stable")[:_LOOKED_AT]
    boxes, ends = boxes[kept], ends[kept]
    under = point + _ALONG * (ends - point)
    starts, stops = (_stacked([getattr(other, name) for other in others], 2) for name in ("start", "end"))
    costs = (
        costs[kept]
        + _LEADER * _holds(boxes, starts + _ALONG * (stops - starts)).sum(axis=1)
        + _LEADER * _holds(names, under).sum(axis=0)
        + _OVER_POINT * _holds(elsewhere, under).sum(axis=0)
        + _CROSSING * _cross(point, ends, starts, stops).sum(axis=1)
    )
    best = int(np.argmin(costs))
    return _Choice(boxes[best], point, ends[best], float(_STEPS[kept[best]]), float(costs[best]))


def _label(text: str, choice: _Choice) -> Label:
    end = (float(choice.end[0]), float(choice.end[1]))
    return Label(text, Box(*map(float, choice.box)), end if choice.distance > _NEAR else None)


def _boxes(boxes: Sequence[Box]) -> np.ndarray:
    return _stacked([np.array(box, dtype=np.float64) for box in boxes], 4)


def _stacked(rows: Sequence[np.ndarray], width: int) -> np.ndarray:
    return np.array(rows, dtype=np.float64).reshape(-1, width)


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Int (n,): how many of (m, 4) boxes each of (n, 4) boxes overlaps."""
    lefts, tops, rights, bottoms = boxes.T[:, :, None]
    left, top, right, bottom = others.T
    covers = (lefts < right) & (rights > left) & (tops < bottom) & (bottoms > top)
    return np.asarray(covers.sum(axis=1))


def _holds(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Bool (n, m): which of (n, 4) boxes hold one of the (k, m, 2) points along each of m lines."""
    left, top, right, bottom = boxes.T[:, :, None, None]
    x, y = points[..., 0], points[..., 1]
    held = (x > left) & (x < right) & (y > top) & (y < bottom)
    found: np.ndarray = held.any(axis=1)
    return found


def _cross(point: np.ndarray, ends: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Bool (n, m): which of the lines from one point to (n, 2) ends cross which of (m, 2) starts to (m, 2) stops."""
    ends = ends[:, None]
    there = _side(starts, stops, point) != _side(starts, stops, ends)
    here = _side(point, ends, starts) != _side(point, ends, stops)
    crossing: np.ndarray = np.logical_and(there, here)
    return crossing


def _side(first: np.ndarray, second: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Bool: on which side of the line through two points a third lies."""
    a, b = second - first, point - first
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0] > 0)
