"""What is said around tables: where numbers come from, what they mean, what to beware of, what went wrong."""

from __future__ import annotations

from collections.abc import Sequence

from cabench import discovery
from cabench.data.dataset import IS_TARGET
from cabench.errors import UserError
from cabench.evaluation.encoded import MISSING
from cabench.evaluation.score import Unmeasured
from cabench.experiment.record import Record
from cabench.report.multiplicity import LEVEL
from cabench.report.probe_tables import nuisances_alone
from cabench.report.ranking import Ranking
from cabench.report.summary import Row, Section, grouped
from cabench.report.tables import attribute_title

LOW_FLOOR = 0.01  # of what leaks by chance
FEW_GROUPS = 10  # that a correlation is read of
MEANINGLESS = "smoke"
"""The profile that shows that everything runs, in seconds."""
CONFOUNDED = 0.65  # the AUC of target against background from the nuisances alone


def origin(section: Section) -> str:
    """What a section was computed on, in one line."""
    seeds = ", ".join(map(str, section.seeds)) or "none"
    return (
        f"Built from {', '.join(section.sources)}. Profile {section.profile}{_extending(section)}, "
        f"precision {section.precision}, seeds {seeds}. Data content {section.content[:8]}."
    )


def problems(section: Section) -> list[tuple[str, list[str]]]:
    """Headed lists of what failed, did not converge, or could not be measured or made; none of them empty."""
    failed = [
        f"{row.name}, seed {record.seed}: {record.error['message'] if record.error else 'no cause recorded'}"
        for row in section.rows
        for record in row.failures
    ]
    lists = [
        ("Failed, and tried again by the next run:", failed),
        ("Probes that did not converge:", _unconverged(section)),
        ("Not measured:", _unmeasured(section)),
        ("Not made, which no score depends on:", _unmade(section)),
    ]
    return [(heading, lines) for heading, lines in lists if lines]


def notes(section: Section) -> list[str]:
    """Paragraphs on what the numbers are; none where there are no numbers."""
    if not any(row.records for row in section.rows):
        return []
    return [
        "Scores are of linear probes with class weights: balanced accuracy of classes, correlation of numbers, area "
        "under the ROC curve (AUC) of target or background, all in percent. ↑ marks the space that an attribute "
        "belongs to; where ↓ stands, the ideal is chance, and anything above it is a leak. Of "
        "classes wanted counts balanced accuracy, leaked the AUC of Hand and Till; each attribute counts once.",
        f"Compared are methods that learn and are not told the attributes, with two seeds or more; the others are "
        f"yardsticks. Two methods differ where three t-tests agree, over seeds, over {section.unit} and over both, by "
        "the distance from the ideal, where a leak below chance is none.",
    ]


def warnings(section: Section) -> list[str]:
    """What the data of a section do not allow to be read off its tables; empty where nothing is to be feared."""
    return [
        *_meaningless(section),
        *_untuned(section),
        *_validation(section),
        *_sample(section),
        *_improvised(section),
        *_prepared(section),
        *_floor(section),
        *_few_groups(section),
        *_confounded(section),
    ]


def ranking_sentence(ranking: Ranking) -> str:
    """What ranks over data sets show."""
    if ranking.p_value is None:
        return (
            f"{len(ranking.datasets)} data sets and {len(ranking.ranks)} methods are too few to test whether methods "
            "rank alike: these ranks describe the tables above and say nothing of other data sets."
        )
    over = f"Over {len(ranking.datasets)} data sets"
    tested = f"Friedman's test by permutations, p = {ranking.p_value:.4f}"
    if ranking.p_value >= LEVEL:
        return f"{over} the methods are not shown to rank differently ({tested})."
    return f"{over} some methods tend to rank before others ({tested}). That does not make the order the same on each."


def _unmeasured(section: Section) -> list[str]:
    """What could not be measured, once for all rows that say the same."""
    found: dict[str, set[str]] = {}
    for row in section.rows:
        for line in _unmeasured_of(row, section.examples):
            found.setdefault(line, set()).add(row.name)
    names = {row.name for row in section.rows if row.records}
    return [f"{line} ({_who(rows, names)})" for line, rows in found.items()]


def _unmeasured_of(row: Row, examples: str) -> list[str]:
    """One line for all metrics and spaces of an attribute that one reason leaves out."""
    items = [item for record in row.records for item in record.unmeasured]
    # A missing space leaves out dozens of scores for one and the same reason.
    general = dict.fromkeys(item.reason for item in items if item.reason in MISSING.values())
    special = [item for item in items if item.reason not in general]
    same = grouped(special, lambda item: (item.attribute, item.population, item.reason)).values()
    return [*general, *(_line(items, examples) for items in same)]


def _line(items: Sequence[Unmeasured], examples: str) -> str:
    first = items[0]
    metrics = dict.fromkeys(item.metric.replace("_", " ") for item in items)
    spaces = dict.fromkeys(item.space for item in items)
    where = "" if first.population == "all" else f", {first.population} {examples}"
    what = f"{', '.join(metrics)}, {attribute_title(first.attribute)}{where}, {' and '.join(spaces)} space"
    return f"{what}: {first.reason}"


def _unconverged(section: Section) -> list[str]:
    lines = []
    for row in section.rows:
        for record in row.records:
            scores = [score for score in record.scores if not score.converged]
            if scores:
                places = sorted({f"{attribute_title(score.attribute)} from {score.space}" for score in scores})
                lines.append(f"{row.name}, seed {record.seed}: {', '.join(places)}")
    return lines


def _unmade(section: Section) -> list[str]:
    return [
        f"{row.name}, seed {record.seed}: {name} ({reason})"
        for row in section.rows
        for record in row.records
        for name, reason in record.unmade.items()
    ]


def _who(rows: set[str], everyone: set[str]) -> str:
    """The methods of some rows by name, or those that are not among them where these are fewer."""
    others = everyone - rows
    if not others:
        return "all methods"
    few = len(others) + 1 < len(rows)
    return f"all methods but {', '.join(sorted(others))}" if few else ", ".join(sorted(rows))


def _improvised(section: Section) -> list[str]:
    """Which methods have no common space of their own."""
    names = [row.name for row in section.rows if any(record.improvised_common for record in row.records)]
    if not names:
        return []
    return [
        f"{', '.join(names)}: the common space is improvised, by the leading principal directions of the background, "
        "as the method has none."
    ]


def _prepared(section: Section) -> list[str]:
    """What methods were given in place of values that they do not take."""
    told: dict[str, set[str]] = {}
    for row in section.rows:
        for text in dict.fromkeys(text for record in row.records for text in record.prepared):
            told.setdefault(text, set()).add(row.name)
    everyone = {row.name for row in section.rows if row.records}
    return [f"Given to {_who(names, everyone)}: {text}." for text, names in told.items()]


def _records(section: Section) -> list[Record]:
    return [record for row in section.rows for record in (*row.records, *row.failures)]


def _extending(section: Section) -> str:
    """Which profiles a section's own extends, and what that says of itself; "" where it extends none."""
    if not (extended := _extended(section)):
        return ""
    told = next((text for record in _records(section) if (text := record.own_profile["description"])), "")
    return f" (extends {', '.join(extended)}{f': {told}' if told else ''})"


def _extended(section: Section) -> list[str]:
    return list(dict.fromkeys(str(name) for record in _records(section) for name in record.own_profile["extends"]))


def _meaningless(section: Section) -> list[str]:
    if section.profile == MEANINGLESS:
        return [f"Profile {MEANINGLESS}: its numbers mean nothing."]
    extends = MEANINGLESS in _extended(section)
    return [f"Profile {section.profile} extends {MEANINGLESS}: its numbers mean nothing."] if extends else []


def _untuned(section: Section) -> list[str]:
    """Which methods have settings to choose that nobody chose for these data, under a profile of chosen settings."""
    untuned = dict.fromkeys(row.name for row in section.current for record in row.records if _is_untuned(record))
    if not untuned:
        return []
    if not any(record.own_profile.get("tuned") for record in _records(section)):
        return [f"Profile {section.profile} holds settings that were chosen on other data; nobody tuned on these."]
    return [f"Not tuned on these data, as the others were: {', '.join(untuned)}."]


def _is_untuned(record: Record) -> bool:
    tuned, method = record.own_profile.get("tuned"), record.method
    if not isinstance(tuned, list) or method["label"] in tuned or method.get("origin") == "vectors":
        return False
    try:
        return bool(discovery.method_class(method["name"]).Config.searched())
    except UserError:  # it is not installed, or broken
        return True


def _validation(section: Section) -> list[str]:
    if not any(record.dataset.get("validation_of") for record in _records(section)):
        return []
    return [
        "These are trials of settings, scored on a part of the training split: they are no results, and the best of "
        "them is better than it would be on the test split."
    ]


def _sample(section: Section) -> list[str]:
    most = next((record.dataset.get("most_rows") for row in section.rows for record in row.records), None)
    if not most:
        return []
    told = " and ".join(f"{count:,} of the {split} split" for split, count in most.items())
    return [f"Of the rows of each population, at most {told} were used."]


def _floor(section: Section) -> list[str]:
    floors = [record.leak_floor for row in section.current for record in row.records if record.leak_floor is not None]
    floor = sum(floors) / len(floors) if floors else 0.0
    if floor < LOW_FLOOR:
        return []
    return [
        f"With so few {section.unit} a cell without any leak would read leaked {100 * floor:.1f} %, and its separation "
        f"gap would be {floor / 2:.3f} too large, as leaks by chance count and cannot be below 0."
    ]


def _few_groups(section: Section) -> list[str]:
    found: dict[str, int] = {}
    for column in section.columns_of("correlation"):
        counts = [score.n_groups for score in section.scores(column) if score.n_groups is not None]
        if counts and min(counts) < FEW_GROUPS and column.space != "nuisance":
            found[attribute_title(column.attribute)] = min(counts)
    unit = section.unit
    return [
        f"{name} is read of {count} {unit}; a correlation over so few says little." for name, count in found.items()
    ]


def _confounded(section: Section) -> list[str]:
    alone = nuisances_alone(section, IS_TARGET, "all")
    if alone is None or alone < CONFOUNDED:
        return []
    return [
        f"The nuisances alone tell target from background with an AUC of {100 * alone:.1f} %: what methods find in "
        "targets may be the nuisance. Adjusted scores, where the nuisances' levels allow them, show what is left."
    ]
