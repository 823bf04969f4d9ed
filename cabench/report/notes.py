"""What is said around tables: where numbers come from, what they mean, what follows from them, what went wrong."""

from __future__ import annotations

from collections.abc import Sequence

from cabench.evaluation.encoded import MISSING
from cabench.report.comparison import FEWEST_SEEDS, LEVEL, Comparison, Ranking, compare, takes_part
from cabench.report.summary import Row, Section, Spread, leaked_of, separation_gap_of, spread
from cabench.report.tables import attribute_title

_METRICS = {"balanced_accuracy": "balanced accuracy", "r2": "R²", "auc": "area under the ROC curve"}
_TESTED = f"paired t-tests of all pairs, Holm-corrected, {100 * LEVEL:.0f} %"


def origin(section: Section) -> str:
    """What a section was computed on, in one line."""
    seeds = ", ".join(map(str, section.seeds)) or "none"
    return (
        f"Built from {', '.join(section.sources)}. Profile {section.profile}, precision {section.precision}, "
        f"seeds {seeds}. Data content {section.content[:8]}."
    )


def problems(section: Section) -> list[tuple[str, list[str]]]:
    """Headed lists of what failed, what could not be measured and what did not converge; none of them empty."""
    failed = [
        f"{row.name}, seed {record.seed}: {record.error['message'] if record.error else 'no cause recorded'}"
        for row in section.rows
        for record in row.failures
    ]
    lists = [
        ("Failed, and tried again by the next run:", failed),
        ("Probes that did not converge:", _unconverged(section)),
        ("Not measured:", _unmeasured(section)),
    ]
    return [(heading, lines) for heading, lines in lists if lines]


def notes(section: Section) -> list[str]:
    """Paragraphs on what the numbers are; none where there are no numbers."""
    names: dict[str, list[str]] = {}
    for column in section.columns:
        name = attribute_title(column.attribute)
        if name not in names.setdefault(column.metric, []):
            names[column.metric].append(name)
    if not names:
        return []
    metrics = "; ".join(f"{_METRICS[metric]} for {', '.join(attributes)}" for metric, attributes in names.items())
    return [
        f"Scores of linear probes are in percent ({metrics}; R² below 0 is shown as 0, its ± and what is made from it "
        "are of the true values). ↑ marks the space that an attribute belongs to; where ↓ stands, the ideal is chance, "
        "and anything above it is a leak. ± is the 95 % t-interval over seeds. Separation gap = mean of "
        "|score - ideal| over all linear probes, as a fraction. "
        "Wanted and leaked = mean of (score - chance) / (1 - chance), 0 below chance, in percent, over the probes of "
        "the right and of the wrong space. The draw of the test images alone gives standard errors up to "
        f"{100 * section.largest_error():.1f}.",
        *_marks(section),
    ]


def conclusion(section: Section) -> str:
    """What separation gaps and leaks of one section show."""
    taking_part = [row for row in section.rows if takes_part(row)]
    rows = [row for row in taking_part if row.spread(separation_gap_of)]
    left_out = _left_out(section, [row.name for row in taking_part if row not in rows])
    if len(rows) < 2:
        stale = sum(row.stale for row in section.rows)
        reason = f": {stale} rows are of an older version, and stale" if stale and not section.with_stale else ""
        return " ".join([f"There are no two methods to compare{reason}.", *left_out])
    gaps, leaks = compare(rows, separation_gap_of), compare(rows, leaked_of)
    if gaps is None or leaks is None:
        nothing = (
            f"Nothing can be concluded about the order of the methods: that takes at least {FEWEST_SEEDS} seeds that "
            "all of them share."
        )
        return " ".join([nothing, *left_out])
    best = spread(gaps.best.under(gaps.seeds).over_seeds(separation_gap_of))
    first = (
        f"Over {len(gaps.seeds)} seeds, {gaps.best.name} has the smallest separation gap ({_number(best)}) of the "
        f"{len(gaps.p_values) + 1} methods compared, which learn without being told the attributes."
    )
    few = [row.name for row in rows if row.name not in (gaps.best.name, *gaps.p_values)]
    if few:
        left_out.append(f"Not compared, with fewer than {FEWEST_SEEDS} seeds: {', '.join(few)}.")
    return " ".join(filter(None, [first, _others(gaps, "worse"), _leaks(leaks, rows), *left_out, _limits(gaps)]))


def _left_out(section: Section, one_space: Sequence[str]) -> list[str]:
    """Sentences on rows that cannot be compared by separation gaps."""
    reasons = {"of one space alone": one_space}
    if section.with_stale:
        reasons["measured by another evaluation"] = [row.name for row in section.rows if row.stale]
    return [f"Not compared, {reason}: {', '.join(names)}." for reason, names in reasons.items() if names]


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


def _marks(section: Section) -> list[str]:
    if len(section.seeds) < FEWEST_SEEDS:
        return []
    return [
        "Bold is the best mean over the seeds that all compared methods share, ° what is not shown to be worse by "
        f"paired t-tests over these seeds (Holm-corrected over all pairs of the column, {100 * LEVEL:.0f} %), by the "
        f"distance from the ideal, where a leak below chance is none. Compared are methods with {FEWEST_SEEDS} seeds "
        "or more that learn and are not told the attributes; the others are yardsticks."
    ]


def _unmeasured(section: Section) -> list[str]:
    """What could not be measured, once for all records that say the same."""
    found: dict[tuple[str, str], set[str]] = {}
    for row in section.rows:
        for record in row.records:
            for item in record.unmeasured:
                metric, attribute = item.metric.replace("_", " "), attribute_title(item.attribute)
                # A missing space leaves out dozens of scores for one and the same reason.
                is_known = item.reason in MISSING.values()
                place = ("" if is_known else f"{metric}, {attribute}, {item.space} space: ", item.reason)
                found.setdefault(place, set()).add(row.name)
    names = {row.name for row in section.rows if row.records}
    return [f"{what}{reason} ({_who(rows, names)})" for (what, reason), rows in found.items()]


def _unconverged(section: Section) -> list[str]:
    lines = []
    for row in section.rows:
        for record in row.records:
            scores = [score for score in record.scores if not score.converged]
            if scores:
                places = sorted({f"{attribute_title(score.attribute)} from {score.space}" for score in scores})
                lines.append(f"{row.name}, seed {record.seed}: {', '.join(places)}")
    return lines


def _who(rows: set[str], everyone: set[str]) -> str:
    return "all methods" if rows == everyone else ", ".join(sorted(rows))


def _leaks(found: Comparison, rows: Sequence[Row]) -> str:
    leaks = {row.name: row.under(found.seeds).over_seeds(leaked_of) for row in rows if row.name in found.p_values}
    most = max(leaks, key=lambda name: spread(leaks[name]).mean)
    least, worst = spread(found.best.under(found.seeds).over_seeds(leaked_of)), spread(leaks[most])
    if worst.mean == least.mean:
        return f"All leak alike ({_percent(worst)})."
    return (
        f"{found.best.name} leaks least ({_percent(least)}), {most} most ({_percent(worst)}). "
        f"{_others(found, 'more leaky')}"
    )


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
