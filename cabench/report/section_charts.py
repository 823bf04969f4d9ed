"""The charts of a section, as SVG text without style: what is wanted against what leaks, and time against the gap."""

from __future__ import annotations

from collections.abc import Sequence

from cabench.evaluation.gap import Estimate
from cabench.report.charts import Point, linear_axis, logarithmic_axis, percent_axis, scatter
from cabench.report.comparison import takes_part
from cabench.report.quantities import Quantity, gap_of, leaked_of, wanted_of
from cabench.report.row_values import interval_of, over_seeds
from cabench.report.summary import Row, Section


def leakage_points(section: Section) -> list[Point]:
    """What leaks and what is wanted, of each method that is not stale and has a separation gap."""
    return _points(section.current, leaked_of, wanted_of)


def leakage_chart(points: Sequence[Point]) -> str:
    """Wanted against leaked with the 95 % intervals of both, as far as they are known."""
    description = "Information read from the right space against information leaked into the wrong one, by method."
    wanted, leaked = (
        percent_axis("wanted: read from the right space"),
        percent_axis("leaked: read from the wrong space"),
    )
    return scatter(points, leaked, wanted, description, "below: no separation")


def cost_chart(section: Section) -> str:
    """Training time against the separation gap, of the methods that have seen images; nothing where there is none."""
    trained = [
        row for row in section.current if all(min(r.cost["images_seen"], r.cost["train_s"]) > 0 for r in row.records)
    ]
    points = _points(trained, lambda record: Estimate(float(record.cost["train_s"]), {}), gap_of)
    if not points:
        return ""
    seconds = logarithmic_axis("training time in seconds", [value for point in points for value in point.x])
    highest = [value + (point.y_interval or 0.0) for point in points for value in point.y]
    gaps = linear_axis("separation gap, less is better", highest)
    return scatter(points, seconds, gaps, "Training time against separation gap, by method.")


def _points(rows: Sequence[Row], x: Quantity, y: Quantity) -> list[Point]:
    """The rows that have both quantities."""
    points = []
    for row in rows:
        across, up = over_seeds(row, x), over_seeds(row, y)
        if across and up:
            points.append(Point(row.name, tuple(across), tuple(up), _half(row, x), _half(row, y), takes_part(row)))
    return points


def _half(row: Row, quantity: Quantity) -> float | None:
    """Half the width of the interval of a row's mean; none of what test groups add nothing to, such as times."""
    found = interval_of(row, quantity)
    return found.half_width if found else None
