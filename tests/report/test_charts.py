"""Charts, read back as XML: where points stand, and what their names are joined by."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from cabench.report.charts import (
    Axis,
    Point,
    curves,
    heat,
    linear_axis,
    logarithmic_axis,
    percent_axis,
    scatter,
    strip,
)
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

    def test_the_mean_of_one_seed_is_not_drawn_twice(self) -> None:
        one, two = Point("one", (0.5,), (0.5,), None, None, True), point("two", 0.2, 0.2)
        assert len(drawn(scatter([one], PERCENT, PERCENT, ""), "seed")) == 0
        assert len(drawn(scatter([two], PERCENT, PERCENT, ""), "seed")) == 2

    def test_markup_in_names_is_text(self) -> None:
        name = "<script>&\"'"
        assert [item.text for item in drawn(scatter([point(name, 0, 0)], PERCENT, PERCENT, ""), "name", "text")] == [
            name
        ]


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
