"""What follows from a section's separation gaps and leaks, and what limits it, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.special import stdtrit

from cabench.report.comparison import Comparison, Limits, against, compare, takes_part
from cabench.report.crossed import POWER, Difference
from cabench.report.multiplicity import LEVEL
from cabench.report.quantities import Quantity, gap_of, leaked_of
from cabench.report.row_values import interval_of, over_seeds
from cabench.report.summary import Row, Section
from cabench.report.tables import FRACTION, PERCENT, Kind, untested_sentence

FEW_DEGREES = 10  # of freedom of the test groups, below which their number is the limit
_ONLY = "All of this holds for this training split."


def conclusion(section: Section) -> str:
    """What separation gaps and leaks of one section show."""
    taking_part = [row for row in section.rows if takes_part(row)]
    rows = [row for row in taking_part if over_seeds(row, gap_of)]
    left_out = _left_out(section, [row for row in taking_part if row not in rows])
    if section.reference in [row.name for row in section.current]:
        return " ".join(filter(None, [*_declared(section), *left_out, _ONLY]))
    if section.reference:
        left_out.append(f"{section.reference} has no current record here, so that all pairs are compared.")
    if len(rows) < 2:
        stale = sum(row.stale for row in section.rows)
        rows_are = "1 row is" if stale == 1 else f"{stale} rows are"
        reason = f": {rows_are} of an older version, and stale" if stale and not section.with_stale else ""
        return " ".join([f"There are no two methods to compare{reason}.", *left_out])
    gaps, leaks = compare(rows, gap_of), compare(rows, leaked_of)
    left_out = [*filter(None, [untested_sentence(dict(gaps.untested))]), *left_out]
    if len(gaps.means) < 2:
        over = f", over {_tested(section, gaps)}" if gaps.groups else ""
        return " ".join([f"Nothing can be said about the order of the methods{over}.", *left_out])
    said = [_best(section, gaps, rows), _others(gaps, "worse", FRACTION), _leaks(leaks, rows), *left_out]
    said += _limits(section, gaps.limits)
    return " ".join(filter(None, [*said, _ONLY]))


def _left_out(section: Section, without_gap: Sequence[Row]) -> list[str]:
    """Sentences on rows that have no separation gap to compare."""
    of_one_space = [row.name for row in without_gap if all(record.separation_gap is None for record in row.records)]
    reasons = {"of one space alone": of_one_space}
    older = [row.name for row in without_gap if row.name not in of_one_space]
    if section.with_stale:
        older += [row.name for row in section.rows if row.stale]
    reasons["measured by another evaluation"] = older
    return [f"Not compared, {reason}: {', '.join(names)}." for reason, names in reasons.items() if names]


def _best(section: Section, gaps: Comparison, rows: Sequence[Row]) -> str:
    counts = sorted({len(row.records) for row in rows if row.name in gaps.means})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return (
        f"Over {seeds} seeds and {_tested(section, gaps)}, {gaps.best} has the smallest separation gap "
        f"({_mean(rows, gaps.best, gap_of, FRACTION)}) of the {len(gaps.means)} methods compared, which learn without "
        "being told the attributes."
    )


def _tested(section: Section, found: Comparison | Limits) -> str:
    """How many test groups or images methods are compared over."""
    assert found.groups is not None
    count = (found.groups.rows > 0).sum() if section.is_grouped else found.groups.rows.sum()
    return f"{int(count):,} {section.unit}"


def _others(found: Comparison, worse: str, kind: Kind) -> str:
    pairs = len(found.p_values)
    corrected = f"p < {LEVEL}, corrected for {pairs} pairs" if pairs > 1 else f"p < {LEVEL}"
    shown = ", ".join(f"{name} ({_by(found.from_best(name), kind)})" for name in found.worse)
    if not found.worse:
        return f"No other is shown to be {worse} than {found.best} ({corrected})."
    if not found.not_worse:
        return f"All others are {worse} ({corrected}): {shown}."
    return (
        f"Shown to be {worse} than {found.best} ({corrected}): {shown}. Not shown to be: {', '.join(found.not_worse)}."
    )


def _by(found: Difference, kind: Kind) -> str:
    """How large a difference is, with its 95 % interval."""
    half_width = "" if found.half_width is None else f" ± {kind.text(min(found.half_width, kind.widest))}"
    return f"by {kind.text(abs(found.difference))}{half_width}"


def _leaks(found: Comparison, rows: Sequence[Row]) -> str:
    if len(found.means) < 2:
        return ""
    least, most = found.best, list(found.means)[-1]
    if found.means[least] == found.means[most]:
        return f"All leak alike ({_mean(rows, least, leaked_of, PERCENT)} %)."
    return (
        f"{least} leaks least ({_mean(rows, least, leaked_of, PERCENT)} %), {most} most "
        f"({_mean(rows, most, leaked_of, PERCENT)} %). {_others(found, 'more leaky', PERCENT)}"
    )


def _declared(section: Section) -> list[str]:
    """What is shown of one method that was named beforehand."""
    declared = against(section.rows, gap_of, section.reference)
    untested = untested_sentence(dict(declared.untested))
    parts = {
        "better": [f"{name} ({_by(declared.differences[name], FRACTION)})" for name in declared.better],
        "worse": [f"{name} ({_by(declared.differences[name], FRACTION)})" for name in declared.worse],
        "not told apart": declared.alike,
    }
    told = [f"{verdict}: {', '.join(names)}" for verdict, names in parts.items() if names]
    if not told:
        nothing = f"Against {section.reference}, declared beforehand, no method can be compared by separation gap."
        return [nothing, untested]
    count = sum(map(len, parts.values()))
    corrected = f"separation gap, p < {LEVEL}" + (f", corrected for {count} differences" if count > 1 else "")
    said = f"Against {section.reference}, declared beforehand ({corrected}): {'; '.join(told)}."
    return [said, "Bold compares all methods.", untested, *_limits(section, declared.limits)]


def _limits(section: Section, found: Limits) -> list[str]:
    """What limits the comparison: seeds or test groups, and how small a difference it can find."""
    said = []
    if found.group_share is not None and found.detectable is not None:
        share, unit = found.group_share, section.unit
        more, not_more = (unit, "seeds") if share > 0.5 else ("seeds", unit)
        said.append(
            f"{100 * share:.0f} % of the variance of a difference from {found.method} comes from the {unit}, the rest "
            f"from the seeds: more {more} would help more than more {not_more}."
            if share < 0.995
            else f"The variance of a difference from {found.method} comes from the {unit}: more of them would help, "
            "not more seeds."
        )
        said.append(
            "Even a single comparison finds a difference of gaps with 80 % probability at best from "
            f"{found.detectable:.3f} on; the order of closer methods says little."
        )
    if found.degrees < FEW_DEGREES:
        shift = float(stdtrit(found.degrees, 1 - LEVEL / 2) + stdtrit(found.degrees, POWER))
        said.append(
            f"{_tested(section, found)} are few: differences below about {shift:.1f} standard errors can hardly be "
            "seen."
        )
    return said


def _mean(rows: Sequence[Row], name: str, quantity: Quantity, kind: Kind) -> str:
    """A method's mean with its interval."""
    (row,) = [row for row in rows if row.name == name]
    values, interval = over_seeds(row, quantity), interval_of(row, quantity)
    return kind.text(sum(values) / len(values)) + (f" ± {kind.text(interval.half_width)}" if interval else "")
