"""What a table allows to be said, and what it does not, in a few sentences of plain text."""

from __future__ import annotations

from collections.abc import Sequence

from cabench.report.comparison import FEWEST_SEEDS, LEVEL, Comparison, compare, takes_part
from cabench.report.ranking import Ranking
from cabench.report.summary import Row, Section, Spread, leaked_of, separation_gap_of

_TESTED = f"paired t-tests of all pairs, Holm-corrected, {100 * LEVEL:.0f} %"


def conclusion(section: Section) -> str:
    """What separation gaps and leaks of one section show."""
    rows = [row for row in section.rows if takes_part(row)]
    if len(rows) < 2:
        stale = sum(row.stale for row in section.rows)
        reason = f": {stale} rows are of an older version, and stale" if stale else ""
        return f"There are no two methods to compare{reason}."
    gaps, leaks = compare(rows, separation_gap_of), compare(rows, leaked_of)
    if gaps is None or leaks is None:
        return (
            f"Nothing can be concluded about the order of the methods: that takes at least {FEWEST_SEEDS} seeds that "
            "all of them share."
        )
    best = gaps.best.under(gaps.seeds).spread(separation_gap_of)
    first = (
        f"Over {len(gaps.seeds)} seeds, {gaps.best.name} has the smallest separation gap ({_number(best)}) of the "
        f"{len(gaps.p_values) + 1} methods compared, which learn without being told the attributes."
    )
    few = [row.name for row in rows if row.name not in (gaps.best.name, *gaps.p_values)]
    left_out = f"Not compared, with fewer than {FEWEST_SEEDS} seeds: {', '.join(few)}." if few else ""
    return " ".join(filter(None, [first, _others(gaps, "worse"), _leaks(leaks, rows), left_out, _limits(gaps)]))


def ranking_sentence(ranking: Ranking) -> str:
    """What ranks over data sets show."""
    if ranking.p_value is None:
        return (
            f"{len(ranking.datasets)} data sets and {len(ranking.ranks)} methods are too few to test whether methods "
            "rank alike: these ranks describe the tables above and say nothing of other data sets."
        )
    verdict = "rank differently" if ranking.p_value < LEVEL else "are not shown to rank differently"
    tested = f"Friedman's test by permutations, p = {ranking.p_value:.4f}"
    return f"Over {len(ranking.datasets)} data sets the methods {verdict} ({tested})."


def _leaks(found: Comparison, rows: Sequence[Row]) -> str:
    spreads = {row.name: row.under(found.seeds).spread(leaked_of) for row in rows if row.name in found.p_values}
    most = max(spreads, key=lambda name: spreads[name].mean)
    if spreads[most].mean == found.best.under(found.seeds).spread(leaked_of).mean:
        return f"All leak alike ({_percent(spreads[most])})."
    least, worst = _percent(found.best.under(found.seeds).spread(leaked_of)), _percent(spreads[most])
    return f"{found.best.name} leaks least ({least}), {most} most ({worst}). {_others(found, 'more leaky')}"


def _others(found: Comparison, worse: str) -> str:
    equal = found.not_worse()[1:]
    shown = [name for name in found.p_values if name not in equal]
    if not equal:
        return f"All others are {worse} ({_TESTED})."
    if not shown:
        return f"No other is shown to be {worse} ({_TESTED})."
    return f"Shown to be {worse} ({_TESTED}): {', '.join(shown)}. Not shown to be: {', '.join(equal)}."


def _limits(found: Comparison) -> str:
    if found.detectable is None:
        return ""
    return (
        f"With {len(found.seeds)} seeds and the spread seen here, even a single comparison finds a difference of "
        f"separation gaps with 80 % probability only from {found.detectable:.3f} on; the order of methods closer than "
        "that says little."
    )


def _number(value: Spread) -> str:
    return f"{value.mean:.3f}" + ("" if value.half_width is None else f" ± {value.half_width:.3f}")


def _percent(value: Spread) -> str:
    half_width = "" if value.half_width is None else f" ± {100 * value.half_width:.1f}"
    return f"{100 * value.mean:.1f}{half_width} %"
