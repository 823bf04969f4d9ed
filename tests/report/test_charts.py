"""Charts, read back as XML: where points stand, and what their names are joined by."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from cabench.report.charts import (
    COLOURS,
    MOST_BESIDE,
    TO_FRAME,
    Axis,
    Place,
    Point,
    Trend,
    axis_around,
    curves,
    heat,
    linear_axis,
    logarithmic_axis,
    percent_axis,
    scatter,
    strip,
    trends,
)
from cabench.report.labels import HEIGHT as NAME_HEIGHT
from cabench.report.labels import width_of

PERCENT = percent_axis("part")


def point(name: str, x: float, y: float, filled: bool = True) -> Point:
    return Point(name, (x, x), (y, y), 0.1, None, filled)


def drawn(text: str, kind: str, name: str = "circle") -> list[ElementTree.Element]:
    return [item for item in ElementTree.fromstring(text).iter(name) if item.get("class", "") == kind]


class TestAxis:
    @pytest.mark.parametrize(("value", "part"), [(0.0, 0.0), (0.25, 0.25), (1.0, 1.0), (-3.0, 0.0), (7.0, 1.0)])
    def test_values_outside_are_set_on_the_nearer_end(self, value: float, part: float) -> None:
        assert PERCENT.part(value) == pytest.approx(part)

    def test_equal_ratios_are_equal_distances_on_a_logarithmic_axis(self) -> None:
        axis = Axis("", (1.0, 10.0, 100.0), logarithmic=True)
        assert [axis.part(value) for value in (1.0, 10.0, 100.0)] == pytest.approx([0.0, 0.5, 1.0])

    @pytest.mark.parametrize("largest", [1e-9, 0.03, 0.442, 1.0, 7.3, 999.0, 12345.6])
    def test_a_linear_axis_has_a_few_ticks_that_hold_all_values(self, largest: float) -> None:
        ticks = linear_axis("", [0.0, largest]).ticks
        assert 2 <= len(ticks) <= 8
        assert ticks[0] == 0.0
        assert ticks[-1] >= largest * (1 - 1e-9)

    @pytest.mark.parametrize("values", [[0.3], [0.31, 0.33], [-2.0, 5.0], [0.0], [1e-9, 1.0], [0.4, 0.4]])
    def test_an_axis_around_values_holds_them_between_a_few_ticks(self, values: list[float]) -> None:
        ticks = axis_around("", values).ticks
        assert 2 <= len(ticks) <= 8
        assert ticks[0] <= min(values) + 1e-12
        assert ticks[-1] >= max(values) - 1e-12

    @pytest.mark.parametrize("values", [[3.0], [10.0], [0.2, 900.0]])
    def test_a_logarithmic_axis_holds_all_values(self, values: list[float]) -> None:
        ticks = logarithmic_axis("", values).ticks
        assert ticks[0] <= min(values)
        assert ticks[-1] >= max(values)
        assert len(ticks) >= 2


class TestScatter:
    def test_more_is_up_and_to_the_right(self) -> None:
        text = scatter([point("low", 0.1, 0.2), point("high", 0.7, 0.9)], PERCENT, PERCENT, "two points")
        low, high = [group.findall("circle")[-1] for group in drawn(text, "point", "g")]
        assert float(low.get("cx", "")) < float(high.get("cx", ""))
        assert float(low.get("cy", "")) > float(high.get("cy", ""))

    def test_yardsticks_are_told_apart(self) -> None:
        text = scatter([point("a", 0.1, 0.2), point("b", 0.3, 0.2, filled=False)], PERCENT, PERCENT, "")
        assert len(drawn(text, "point", "g")) == len(drawn(text, "point yardstick", "g")) == 1

    def test_names_are_written_in_the_width_that_they_were_placed_with(self) -> None:
        (name,) = drawn(scatter([point("sepclr", 0.5, 0.5)], PERCENT, PERCENT, ""), "name", "text")
        assert float(name.get("textLength", "")) == pytest.approx(width_of("sepclr"), abs=0.11)
        assert name.get("lengthAdjust") == "spacingAndGlyphs"

    def test_a_name_far_from_its_point_is_joined_to_it(self) -> None:
        points = [point(f"method_{i}", 0.5 + 0.002 * i, 0.5) for i in range(9)]
        text = scatter(points, PERCENT, PERCENT, "")
        leaders = drawn(text, "leader", "line")
        assert leaders
        places = [group.findall("circle")[-1] for group in drawn(text, "point", "g")]
        centres = {(place.get("cx"), place.get("cy")) for place in places}
        assert {(line.get("x1"), line.get("y1")) for line in leaders} <= centres

    def test_the_diagonal_and_intervals_run_through_no_name(self) -> None:
        names = ("chance", "double_infogan", "cvae", "pca")
        points = [
            Point(name, (x,), (x + 0.03,), None, 0.05, True)
            for name, x in zip(names, (0.1, 0.35, 0.6, 0.85), strict=True)
        ]
        text = scatter(points, PERCENT, PERCENT, "", diagonal="below: no separation")
        (guide,) = drawn(text, "guide", "line")
        for line in (guide, *drawn(text, "interval", "line")):
            ends = [[float(line.get(f"{axis}{end}", "")) for axis in "xy"] for end in (1, 2)]
            along = np.linspace(*ends, 2000)
            for name in drawn(text, "name", "text"):
                left, bottom = float(name.get("x", "")), float(name.get("y", "")) + 3.5
                corner, size = [left, bottom - NAME_HEIGHT], [float(name.get("textLength", "")), NAME_HEIGHT]
                assert not ((along > corner) & (along < np.add(corner, size))).all(axis=1).any(), name.text

    def test_the_mean_of_one_seed_is_not_drawn_twice(self) -> None:
        one, two = Point("one", (0.5,), (0.5,), None, None, True), point("two", 0.2, 0.2)
        assert len(drawn(scatter([one], PERCENT, PERCENT, ""), "seed")) == 0
        assert len(drawn(scatter([two], PERCENT, PERCENT, ""), "seed")) == 2

    def test_markup_in_names_is_text(self) -> None:
        name = "<script>&\"'"
        assert [item.text for item in drawn(scatter([point(name, 0, 0)], PERCENT, PERCENT, ""), "name", "text")] == [
            name
        ]


class TestTrends:
    NUMBERS = Axis("n", (1.0, 2.0, 4.0, 8.0), logarithmic=True)

    @staticmethod
    def drawn(series: list[Trend]) -> list[ElementTree.Element]:
        text = trends(series, TestTrends.NUMBERS, axis_around("gap", [0.0, 1.0]), "")
        return [item for item in ElementTree.fromstring(text).iter("g") if item.get("class", "").startswith("trend")]

    @staticmethod
    def trend(name: str, *values: float, band: float = 0.05) -> Trend:
        return Trend(name, tuple(Place(2.0**i, value, value - band, value + band) for i, value in enumerate(values)))

    def test_equal_ratios_are_equally_far_apart_and_less_is_lower(self) -> None:
        (group,) = self.drawn([self.trend("a", 0.9, 0.5, 0.3, 0.2)])
        places = [(float(dot.get("cx", "")), float(dot.get("cy", ""))) for dot in group.iter("circle")]
        assert np.ptp(np.diff([x for x, _ in places])) < 0.2
        assert [y for _, y in places] == sorted(y for _, y in places)

    def test_bars_reach_as_far_as_the_numbers_say(self) -> None:
        (group,) = self.drawn([self.trend("a", 0.5, 0.5, band=0.25)])
        dots = [float(dot.get("cy", "")) for dot in group.iter("circle")]
        bars = [line for line in group.iter("line") if line.get("class") == "band"]
        assert len(bars) == 2
        below, above = (abs(float(bars[0].get(end, "")) - dots[0]) for end in ("y1", "y2"))
        height = 480 - 16 - 48
        assert below == pytest.approx(0.25 * height, abs=0.2)
        assert above == pytest.approx(0.25 * height, abs=0.2)

    def test_there_is_no_bar_where_nothing_is_known(self) -> None:
        (group,) = self.drawn([self.trend("a", 0.5, 0.4, band=0.0)])
        assert not [line for line in group.iter("line") if line.get("class") == "band"]

    def test_many_lines_stand_side_by_side_are_told_apart_and_their_names_have_room(self) -> None:
        series = [self.trend(f"m{i}", 0.5, 0.5 + 0.001 * i) for i in range(14)]
        text = trends(series, self.NUMBERS, axis_around("gap", [0.0, 1.0]), "")
        groups = self.drawn(series)
        first = [float(next(group.iter("circle")).get("cx", "")) for group in groups]
        assert np.diff(first) == pytest.approx([MOST_BESIDE / 14] * 13, abs=0.11)
        looks = {(group.get("stroke"), next(group.iter("polyline")).get("stroke-dasharray")) for group in groups}
        assert len(looks) == 14 <= 2 * len(COLOURS)
        heights = sorted(float(name.get("y", "")) for name in drawn(text, "name", "text"))
        assert np.diff(heights).min() >= NAME_HEIGHT - 0.11

    def test_neither_marks_nor_names_touch_the_frame(self) -> None:
        text = trends(
            [self.trend(f"method{i}", 0.5, 0.4) for i in range(6)], self.NUMBERS, axis_around("", [0.0, 1.0]), ""
        )
        dots = [float(dot.get("cx", "")) for dot in ElementTree.fromstring(text).iter("circle")]
        ends = [float(name.get("x", "")) + float(name.get("textLength", "")) for name in drawn(text, "name", "text")]
        assert min(dots) >= 64 + TO_FRAME
        assert max(ends) <= 640 - 24 - TO_FRAME + 0.2

    def test_names_at_the_edges_stay_within(self) -> None:
        for value in (0.0, 1.0):
            text = trends(
                [self.trend(f"m{i}", value) for i in range(14)], self.NUMBERS, axis_around("", [0.0, 1.0]), ""
            )
            heights = [float(name.get("y", "")) for name in drawn(text, "name", "text")]
            assert min(heights) > 10
            assert max(heights) < 480 - 40

    def test_long_names_have_room_and_longer_ones_are_cut(self) -> None:
        text = trends([self.trend("m" * 200, 0.5, 0.4)], self.NUMBERS, axis_around("", [0.0, 1.0]), "")
        (name,) = drawn(text, "name", "text")
        assert float(name.get("x", "")) + float(name.get("textLength", "")) <= 640 - 24 + 0.1
        assert len(name.text or "") == 36

    def test_markup_in_names_is_text(self) -> None:
        (group,) = self.drawn([self.trend("<b>&\"'", 0.5)])
        assert [title.text for title in group.iter("title")] == ["<b>&\"'"]


def test_curves_draw_a_line_a_seed_from_edge_to_edge() -> None:
    text = curves([[(1, 5.0), (2, 3.0), (3, 1.0)], [(1, 4.0), (2, 2.0), (3, 1.5)]], "loss")
    lines = drawn(text, "curve", "polyline")
    assert len(lines) == 2
    heights = [float(pair.split(",")[1]) for pair in lines[0].get("points", "").split()]
    assert heights == sorted(heights)


def test_heat_has_a_square_for_every_value_and_is_darker_for_more() -> None:
    squares = drawn(heat({"shape": [0.0, 0.5, 1.0], "size": [1.0, 0.0, 0.0]}, ""), "shade", "rect")
    assert len(squares) == 6
    shades = [float(square.get("fill-opacity", "")) for square in squares[:3]]
    assert shades == sorted(shades)
    assert shades[2] == 1.0


def test_a_constant_or_single_value_is_drawn_in_the_middle() -> None:
    assert "nan" not in curves([[(1, 2.0)]], "") + curves([[(1, 2.0), (2, 2.0)]], "")
    (dot,) = ElementTree.fromstring(strip([0.3], None, (0.3, 0.3))).iter("circle")
    assert float(dot.get("cx", "")) == 32.0
