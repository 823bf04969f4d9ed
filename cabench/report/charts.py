"""Charts of the HTML page, as SVG text. Colours and fonts are the page's own, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from cabench.report.labels import HEIGHT as NAME_HEIGHT
from cabench.report.labels import Box, Label, place_labels, shortened, width_of

WIDTH, HEIGHT = 640, 480
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 16, 48
COLOURS = ("#2b84c4", "#d1602b", "#2a9d6f", "#b8609a", "#a8842a", "#7b6fd0", "#c0504d", "#5f8a8b")
"""Of lines: each stands out from white and from the page's dark paper by a contrast of 3 or more."""
BESIDE = 4.0  # pixels between the intervals of neighbouring lines, where there are few
MOST_BESIDE = 30.0
"""Pixels between those of the first and of the last line: points of one x stand near each other."""
TO_NAMES = 14.0  # pixels from the ends of lines to their names
TO_FRAME = 8.0  # pixels from what is drawn, names among it, to the frame
CLEAR = 3.0  # pixels on both sides of a line that names keep clear of


class Point(NamedTuple):
    """One method in a scatter chart.

    Attributes:
        name: its label.
        x: a value for each seed.
        y: likewise.
        x_interval: half the width of the mean's interval; None where there is none.
        y_interval: likewise.
        filled: whether it is one of the compared methods, and not a yardstick.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    x_interval: float | None
    y_interval: float | None
    filled: bool


class Place(NamedTuple):
    """A point of a trend, and the ends of its interval: both equal to `y` where there is none."""

    x: float
    y: float
    low: float
    high: float


class Trend(NamedTuple):
    """One method in a chart of trends.

    Attributes:
        name: its label.
        places: in the order of their x, one or more.
    """

    name: str
    places: tuple[Place, ...]


class Axis(NamedTuple):
    """One axis of a chart.

    Attributes:
        title: written along it.
        ticks: values that are labelled, the first and the last being its ends.
        logarithmic: whether equal distances are equal ratios.
        text: writes a tick.
    """

    title: str
    ticks: tuple[float, ...]
    logarithmic: bool = False
    text: Callable[[float], str] = "{:g}".format

    def part(self, value: float) -> float:
        """Where a value lies between the ends, from 0 to 1; values outside are set on the nearer end."""
        first, last = self.ticks[0], self.ticks[-1]
        inside = min(max(value, first), last)
        if self.logarithmic:
            return math.log(inside / first) / math.log(last / first)
        return (inside - first) / (last - first)


def percent_axis(title: str) -> Axis:
    """From 0 to 100 percent, of fractions."""
    return Axis(title, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), text=lambda value: f"{100 * value:.0f} %")


def linear_axis(title: str, values: Sequence[float]) -> Axis:
    """From 0 to a round number above all values."""
    largest = max([*values, 1e-9])
    step = _step(largest)
    return Axis(title, tuple(step * index for index in range(math.ceil(largest / step) + 1)))


def axis_around(title: str, values: Sequence[float]) -> Axis:
    """From a round number below all values to one above them."""
    step = _step(max(max(values) - min(values), 1e-3 * max(map(abs, values)), 1e-9))
    first, last = math.floor(min(values) / step), math.ceil(max(values) / step)
    return Axis(title, tuple(step * index for index in range(first, max(last, first + 1) + 1)))


def logarithmic_axis(title: str, values: Sequence[float]) -> Axis:
    """Over the powers of ten around all values, which are above 0."""
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    powers = range(first, max(last, first + 1) + 1)
    return Axis(title, tuple(10.0**power for power in powers), True, lambda value: f"{value:g}")


def scatter(points: Sequence[Point], x: Axis, y: Axis, description: str, diagonal: str = "") -> str:
    """Points with their intervals and names, and a small dot for each seed.

    Args:
        points: in any order.
        x: the horizontal axis.
        y: the vertical axis.
        description: read aloud in place of the picture.
        diagonal: a label; where given, the line of equal parts of both axes is drawn.
    """
    root = _figure(WIDTH, HEIGHT, description)
    _axes(root, x, y)
    written = [_diagonal(root, diagonal)] if diagonal else []
    places = [(_x_of(float(np.mean(p.x)), x), _y_of(float(np.mean(p.y)), y)) for p in points]
    drawn = _along_diagonal() if diagonal else []
    for point, (left, top) in zip(points, places, strict=True):
        group = _add(root, "g", **{"class": "point" if point.filled else "point yardstick"})
        _add(group, "title").text = point.name
        for a, b in _seeds(point):
            _add(group, "circle", cx=_x_of(a, x), cy=_y_of(b, y), r=1.5, **{"class": "seed"})
        drawn += _intervals(group, point, x, y, left, top)
        _add(group, "circle", cx=left, cy=top, r=4)
    plot = Box(LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM)
    labels = place_labels([point.name for point in points], places, plot, drawn, written)
    for label, place in zip(labels, places, strict=True):
        _name(root, label, place)
    return _written(root)


def curves(series: Sequence[Sequence[tuple[float, float]]], title: str) -> str:
    """Lines over epochs, one a seed, on an axis of their own.

    Args:
        series: (epoch, value) pairs, in order; values are finite.
        title: what is drawn, read aloud in place of the picture.
    """
    width, height, margin = 240, 110, 6
    root = _figure(width, height, title)
    values = [value for line in series for _, value in line]
    first, last = min(values), max(values)
    most = max(epoch for line in series for epoch, _ in line)
    for line in series:
        points = [
            (
                margin + (width - 2 * margin) * (epoch - 1) / max(most - 1, 1),
                height - margin - (height - 2 * margin) * ((value - first) / (last - first) if last > first else 0.5),
            )
            for epoch, value in line
        ]
        drawn = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        if len(points) == 1:
            _add(root, "circle", cx=points[0][0], cy=points[0][1], r=2, **{"class": "seed"})
        _add(root, "polyline", points=drawn, **{"class": "curve"})
    return _written(root)


def strip(values: Sequence[float], interval: float | None, ends: tuple[float, float]) -> str:
    """Dots of one cell of a table, one a seed, over the interval of their mean; a scale shared by a column.

    Args:
        values: one a seed.
        interval: half its width.
        ends: of the scale.
    """
    width, height = 64, 10
    scale = Axis("", ends if ends[1] > ends[0] else (ends[0] - 1, ends[0] + 1))
    root = ElementTree.Element("svg", {"viewBox": f"0 0 {width} {height}", "class": "strip", "aria-hidden": "true"})

    def place(value: float) -> float:
        return 4 + (width - 8) * scale.part(value)

    mean = float(np.mean(values))
    if interval is not None:
        _line(root, place(mean - interval), height / 2, place(mean + interval), height / 2, "interval")
    for value in values:
        _add(root, "circle", cx=place(value), cy=height / 2, r=2)
    return _written(root)


def trends(series: Sequence[Trend], x: Axis, y: Axis, description: str) -> str:
    """A line a method with the intervals of its points, side by side so that none covers another.

    Args:
        series: in the order of the colours; after as many as there are, lines are dashed.
        x: the horizontal axis, logarithmic.
        y: the vertical axis.
        description: read aloud in place of the picture.
    """
    root = _figure(WIDTH, HEIGHT, description)
    names = [shortened(trend.name) for trend in series]
    beside = min(BESIDE, MOST_BESIDE / len(series))
    half = beside * len(series) / 2
    wider = _with_room(x, half + TO_FRAME, half + TO_NAMES + max(map(width_of, names)) + TO_FRAME)
    _axes(root, wider, y)
    shifts = [beside * (index + 0.5) - half for index in range(len(series))]
    groups = [_trend_group(root, trend.name, index) for index, trend in enumerate(series)]
    ends = [
        _draw_trend(group, [(_x_of(place.x, wider) + shift, place) for place in trend.places], y)
        for group, trend, shift in zip(groups, series, shifts, strict=True)
    ]
    edge = _x_of(x.ticks[-1], wider) + half + TO_NAMES
    for group, name, end, height in zip(groups, names, ends, _apart([top for _, top in ends]), strict=True):
        _line(group, end[0] + 4, end[1], edge - 3, height, "to-name")
        box = Box(edge, height - NAME_HEIGHT / 2, edge + width_of(name), height + NAME_HEIGHT / 2)
        _name(root, Label(name, box, None), end)
    return _written(root)


def heat(rows: Mapping[str, Sequence[float]], title: str) -> str:
    """A matrix of fractions as squares, darker for more; values are shown when pointed at.

    Args:
        rows: fractions by the name of their row, all of one length.
        title: read aloud in place of the picture.
    """
    names_width, square = 110, 16
    columns = max(len(values) for values in rows.values())
    root = _figure(names_width + square * max(columns, 8), 18 * len(rows) + 4, title)
    for row, (name, values) in enumerate(rows.items()):
        _text(root, names_width - 6, 18 * row + 14, name, "tick", "end")
        for column, value in enumerate(values):
            place = {"x": names_width + square * column, "y": 18 * row + 3, "width": square - 2, "height": square - 2}
            shade = _add(root, "rect", **place, **{"class": "shade", "fill-opacity": f"{0.04 + 0.96 * value:.2f}"})
            _add(shade, "title").text = f"{name}, dimension {column + 1}: {value:.2f}"
    return _written(root)


def _trend_group(root: ElementTree.Element, name: str, index: int) -> ElementTree.Element:
    """What a trend is drawn into, in a colour of its own."""
    colour = COLOURS[index % len(COLOURS)]
    group = _add(root, "g", **{"class": "trend" if index < len(COLOURS) else "trend dashed"})
    group.attrib.update(stroke=colour, fill=colour)
    _add(group, "title").text = name
    return group


def _draw_trend(group: ElementTree.Element, places: Sequence[tuple[float, Place]], y: Axis) -> tuple[float, float]:
    """Draw a line with its points, each with how far across it stands, and their intervals; gives where it ends."""
    corners = [(left, _y_of(place.y, y)) for left, place in places]
    line = _add(group, "polyline", points=" ".join(f"{a:.1f},{b:.1f}" for a, b in corners), fill="none")
    line.set("stroke-width", "1.5")
    if "dashed" in group.get("class", ""):
        line.set("stroke-dasharray", "5 3")
    for (left, place), (_, top) in zip(places, corners, strict=True):
        if place.low < place.high:
            _line(group, left, _y_of(place.low, y), left, _y_of(place.high, y), "band")
        _add(group, "circle", cx=left, cy=top, r=2.5)
    return corners[-1]


def _step(reach: float) -> float:
    """A round step, at most six of which go into a length."""
    power: float = 10 ** math.floor(math.log10(reach))
    return next(step for step in (power / 5, power / 2, power, 2 * power) if reach / step <= 6)


def _with_room(axis: Axis, before: float, behind: float) -> Axis:
    """A logarithmic axis with so many pixels of room on its left and on its right."""
    first, last = axis.ticks[0], axis.ticks[-1]
    plot = WIDTH - LEFT - RIGHT
    pixel = math.log(last / first) / (plot - before - behind)
    ends = first * math.exp(-before * pixel), last * math.exp(behind * pixel)
    written = dict(zip(axis.ticks, map(axis.text, axis.ticks), strict=True))
    return axis._replace(ticks=(ends[0], *axis.ticks, ends[1]), text=lambda value: written.get(value, ""))


def _apart(heights: Sequence[float]) -> list[float]:
    """Where names stand, in their order: each at its height, or as little away as leaves room for all."""
    placed = dict.fromkeys(range(len(heights)), 0.0)
    lowest = float(HEIGHT - BOTTOM)
    for count, index in enumerate(sorted(placed, key=lambda index: heights[index], reverse=True)):
        lowest = placed[index] = min(heights[index], lowest - (NAME_HEIGHT if count else 0))
    highest = float(TOP)
    for index in sorted(placed, key=placed.__getitem__):
        placed[index] = max(placed[index], highest)
        highest = placed[index] + NAME_HEIGHT
    return [placed[index] for index in range(len(heights))]


def _figure(width: int, height: int, description: str) -> ElementTree.Element:
    root = ElementTree.Element("svg", {"viewBox": f"0 0 {width} {height}", "role": "img", "class": "chart"})
    root.set("aria-label", description)
    return root


def _axes(root: ElementTree.Element, x: Axis, y: Axis) -> None:
    for tick in x.ticks:
        left = _x_of(tick, x)
        _line(root, left, TOP, left, HEIGHT - BOTTOM, "grid")
        _text(root, left, HEIGHT - BOTTOM + 16, x.text(tick), "tick", "middle")
    for tick in y.ticks:
        top = _y_of(tick, y)
        _line(root, LEFT, top, WIDTH - RIGHT, top, "grid")
        _text(root, LEFT - 8, top + 4, y.text(tick), "tick", "end")
    _text(root, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x.title, "axis", "middle")
    text = _text(root, 0, 0, y.title, "axis", "middle")
    text.set("transform", f"translate(14 {(TOP + HEIGHT - BOTTOM) / 2:.1f}) rotate(-90)")


def _seeds(point: Point) -> list[tuple[float, float]]:
    """The values of each seed; none where one is all there is, which is the mean."""
    return list(zip(point.x, point.y, strict=True)) if len(point.x) > 1 else []


def _name(root: ElementTree.Element, label: Label, place: tuple[float, float]) -> None:
    """A name in the width that it was placed with, and the line that joins it to its point."""
    if label.end:
        _line(root, *place, *label.end, "leader")
    left, _, right, bottom = label.box
    text = _text(root, left, bottom - 3.5, label.text, "name")
    text.set("textLength", f"{right - left:.1f}")
    text.set("lengthAdjust", "spacingAndGlyphs")


def _diagonal(root: ElementTree.Element, words: str) -> Box:
    """The line of equal parts of both axes; gives where its label stands."""
    _line(root, _across(0), _up(0), _across(1), _up(1), "guide")
    right, bottom = _across(0.95), _up(1) + 16
    _text(root, right, bottom - 4, words, "note", "end")
    return Box(right - width_of(words), bottom - NAME_HEIGHT, right, bottom)


def _along_diagonal() -> list[Box]:
    """What the line of equal parts covers, as boxes in a row."""
    ends = np.linspace(0, 1, 41).tolist()
    return [Box(_across(a), _up(b) - CLEAR, _across(b), _up(a) + CLEAR) for a, b in pairwise(ends)]


def _intervals(group: ElementTree.Element, point: Point, x: Axis, y: Axis, left: float, top: float) -> list[Box]:
    """Lines through a point, as long as its intervals; gives what they cover."""
    drawn = []
    if point.x_interval is not None:
        mean = float(np.mean(point.x))
        ends = (_x_of(mean - point.x_interval, x), _x_of(mean + point.x_interval, x))
        _line(group, ends[0], top, ends[1], top, "interval")
        drawn.append(Box(ends[0] - CLEAR, top - CLEAR, ends[1] + CLEAR, top + CLEAR))
    if point.y_interval is not None:
        mean = float(np.mean(point.y))
        ends = (_y_of(mean + point.y_interval, y), _y_of(mean - point.y_interval, y))
        _line(group, left, ends[0], left, ends[1], "interval")
        drawn.append(Box(left - CLEAR, ends[0] - CLEAR, left + CLEAR, ends[1] + CLEAR))
    return drawn


def _across(part: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * part


def _up(part: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part


def _x_of(value: float, axis: Axis) -> float:
    return _across(axis.part(value))


def _y_of(value: float, axis: Axis) -> float:
    return _up(axis.part(value))


def _line(parent: ElementTree.Element, x1: float, y1: float, x2: float, y2: float, kind: str) -> ElementTree.Element:
    return _add(parent, "line", x1=x1, y1=y1, x2=x2, y2=y2, **{"class": kind})


def _text(
    parent: ElementTree.Element, x: float, y: float, words: str, kind: str, anchor: str = "start"
) -> ElementTree.Element:
    text = _add(parent, "text", x=x, y=y, **{"class": kind, "text-anchor": anchor})
    text.text = words
    return text


def _add(parent: ElementTree.Element, name: str, **attributes: float | str) -> ElementTree.Element:
    texts = {key: f"{value:.1f}" if isinstance(value, float) else str(value) for key, value in attributes.items()}
    return ElementTree.SubElement(parent, name, texts)


def _written(root: ElementTree.Element) -> str:
    return ElementTree.tostring(root, encoding="unicode")
