"""What stands around tables: where the numbers come from, what they mean, and what went wrong."""

from __future__ import annotations

from collections.abc import Sequence

from cabench.report.comparison import FEWEST_SEEDS, LEVEL
from cabench.report.summary import Section
from cabench.report.tables import attribute_title

_METRICS = {"balanced_accuracy": "balanced accuracy", "r2": "R²", "auc": "area under the ROC curve"}


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
    """What has no meaning on this data, once for all records that say the same."""
    found: dict[tuple[str, str, str, str], set[str]] = {}
    for row in section.rows:
        for record in row.records:
            for item in record.unmeasured:
                place = (item.metric, attribute_title(item.attribute), item.space, item.reason)
                found.setdefault(place, set()).add(row.name)
    names = {row.name for row in section.rows if row.records}
    return [
        f"{metric.replace('_', ' ')}, {attribute}, {space} space: {reason} ({_who(rows, names)})"
        for (metric, attribute, space, reason), rows in found.items()
    ]


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
    return "all methods" if rows == everyone else _sorted_names(rows)


def _sorted_names(names: set[str]) -> str:
    ordered: Sequence[str] = sorted(names)
    return ", ".join(ordered)
