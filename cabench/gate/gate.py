"""The gate itself: a baseline against the records of a results folder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cabench.errors import UserError
from cabench.experiment.provenance import commit
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.gate.baseline import Baseline, CellGroup, Metric, Place
from cabench.gate.compare import EFFECT, LEVEL, Comparisons, Pair, Result, Verdict, compare
from cabench.gate.selection import by_place, select
from cabench.gate.speed import WORTH_SAYING, changes
from cabench.report.summary import Column

RESULTS = "results folder"


@dataclass(frozen=True)
class Finding:
    """One metric of one cell group on both sides.

    Attributes:
        place: the cell group.
        column: the metric.
        old: the baseline's values.
        new: the results' values.
        result: what the comparison came to.
    """

    place: Place
    column: Column
    old: Metric
    new: Metric
    result: Result

    @property
    def fails(self) -> bool:
        """Whether the gate fails for it."""
        return self.result.verdict in (Verdict.WORSE, Verdict.UNTESTED)


@dataclass(frozen=True)
class Problem:
    """What keeps something from being compared, or is wrong with it. The gate fails for it.

    Attributes:
        title: of the cell group, or RESULTS.
        text: a clause.
    """

    title: str
    text: str


@dataclass(frozen=True)
class Outcome:
    """What the gate found.

    Attributes:
        findings: every metric that could be compared, in the order of the baseline.
        problems: in the same order.
        notes: sentences on what a reader should know and the gate does not fail for.
        comparisons: the statistics of the table.
        level: the false-alarm rate.
        effect: the loss that must be exceeded.
    """

    findings: tuple[Finding, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    comparisons: Comparisons
    level: float
    effect: float

    @property
    def passed(self) -> bool:
        """Whether nothing got worse and everything could be compared."""
        return not self.problems and not self.failures

    @property
    def failures(self) -> list[Finding]:
        """The metrics that the gate fails for, largest loss first."""
        failing = [finding for finding in self.findings if finding.fails]
        return sorted(failing, key=lambda finding: -finding.result.loss)


def read_results(results: Path) -> tuple[list[Record], list[str]]:
    """All records of a results folder that can be read, and why others cannot.

    Raises:
        UserError: when there is no such folder, or it has no records.
    """
    records, unreadable = ResultsStore(results).readable_records() if results.is_dir() else ([], [])
    if not (records or unreadable):
        raise UserError(f"There are no records in {results}; name a folder with --results or start with `cabench run`.")
    return records, unreadable


def check(
    baseline: Baseline,
    records: Sequence[Record],
    level: float = LEVEL,
    effect: float = EFFECT,
    max_slowdown: float | None = None,
    unreadable: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
) -> Outcome:
    """Compare records with a baseline.

    Args:
        baseline: what there was.
        records: those of a results folder.
        level: the share of comparisons without a change that may fail, above 0 and below 1.
        effect: the loss, as a fraction, that a metric must be shown to exceed; at least 0.
        max_slowdown: the part of the throughput on the same hardware that may be lost, from 0 and below 1; None fails
            for none.
        unreadable: why records that are in the folder as well cannot be read.
        seeds: those of the baseline that must be among the records, where they are not all that it has.

    Raises:
        UserError: for a level, effect or slowdown that is not allowed.
    """
    if not 0 < level < 1:
        raise UserError(f"--level {level} is not allowed; it must be above 0 and below 1, such as {LEVEL}.")
    if not (effect >= 0 and math.isfinite(effect)):
        raise UserError(f"--effect {effect} is not allowed; it must be a fraction of at least 0, such as {EFFECT}.")
    if max_slowdown is not None and not 0 <= max_slowdown < 1:
        raise UserError(f"--max-slowdown {max_slowdown} is not allowed; it must be from 0 and below 1, such as 0.2.")
    found = by_place(records)
    problems = [Problem(RESULTS, reason.rstrip(".")) for reason in unreadable]
    notes: list[str] = []
    both: dict[tuple[Place, Column], tuple[Metric, Metric]] = {}
    pairs: dict[tuple[Place, Column], Pair] = {}
    for place, old in baseline.groups.items():
        if place not in found:
            problems.append(Problem(place.title, "it is in the baseline but not in the results; run it, or --update"))
            continue
        selected = select(found[place], old)
        problems += [Problem(place.title, text) for text in selected.problems]
        if (new := selected.group) is None:
            continue
        if reason := _incomparable(old, new):
            problems.append(Problem(place.title, reason))
            continue
        notes += _deliberate(old, new)
        slower, said = _throughput(old, new, max_slowdown)
        problems += [Problem(place.title, text) for text in slower]
        notes += said
        problems += [Problem(place.title, text) for text in _missing(old, found[place], seeds)]
        problems += [Problem(place.title, text) for text in _unmeasured(old, new, found[place])]
        problems += [Problem(place.title, text) for text in _other_ideals(old, new)]
        shared = {
            column: (metric, new.metrics[column]) for column, metric in old.metrics.items() if column in new.metrics
        }
        both |= {(place, column): metrics for column, metrics in shared.items()}
        pairs |= {(place, column): pair for column, pair in _pairs(shared).items()}
    comparisons = compare(pairs, level, effect)
    findings = [Finding(*key, *both[key], comparisons.results[key]) for key in pairs]
    notes += _beside(baseline, found) + _other_commit(records)
    return Outcome(tuple(findings), tuple(problems), tuple(notes), comparisons, level, effect)


def new_baseline(records: Sequence[Record], unreadable: Sequence[str] = ()) -> Baseline:
    """The baseline that records make.

    Raises:
        UserError: when a record cannot be read, a cell failed, is stale or stands there under several configurations.
    """
    for reason in unreadable:
        raise UserError(f"No baseline was written: {reason}")
    groups = {}
    for place, there in by_place(records).items():
        selected = select(there)
        if selected.problems or selected.group is None:
            raise UserError(f"No baseline was written: {place.title}: {'; '.join(selected.problems)}.")
        groups[place] = selected.group
    return Baseline(groups)


def _incomparable(old: CellGroup, new: CellGroup) -> str:
    """Why two groups measure different things, as a clause; empty where they do not."""
    if old.dataset["content_sha256"] != new.dataset["content_sha256"]:
        contents = [group.dataset["content_sha256"][:8] for group in (old, new)]
        return "its data are others (content {} in the baseline, {} now); --update once that is meant".format(*contents)
    if old.evaluation != new.evaluation:
        versions = [group.evaluation["version"] for group in (old, new)]
        return (
            "it is measured in another way (evaluation version {} in the baseline, {} now); measure the old code "
            "with `cabench evaluate`, or --update".format(*versions)
        )
    return ""


def _deliberate(old: CellGroup, new: CellGroup) -> list[str]:
    """Changes that somebody meant; their effect is what the gate is for."""
    notes = []
    versions = [group.method["version"] for group in (old, new)]
    if versions[0] != versions[1]:
        notes.append(f"{old.place.title}: method version {versions[0]} in the baseline, {versions[1]} now.")
    then, now = old.method["config"], new.method["config"]
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name) or (name in then) != (name in now):
            notes.append(f"{old.place.title}: {name} = {then.get(name)} in the baseline, {now.get(name)} now.")
    return notes


def _throughput(old: CellGroup, new: CellGroup, allowed: float | None) -> tuple[list[str], list[str]]:
    """Slowdowns beyond what is allowed, as clauses; and what else there is to say, as sentences."""
    if not (old.speeds and new.speeds):
        return [], []
    found = changes(old.speeds, new.speeds)
    if not found:
        return [], [f"{old.place.title}: throughput is not compared, it ran on other hardware or other threads."]
    slower = [
        f"it trains {change.slowdown:.0%} slower on the same hardware ({change.old:,.0f} images/s in the baseline, "
        f"{change.new:,.0f} now)"
        for change in found
        if change.slowdown > (WORTH_SAYING if allowed is None else allowed)
    ]
    return ([], [f"{old.place.title}: {text}." for text in slower]) if allowed is None else (slower, [])


def _missing(old: CellGroup, records: Sequence[Record], seeds: Sequence[int] | None) -> list[str]:
    """Seeds of the baseline of which there is no record, as a clause. What is wrong with a record is said elsewhere."""
    there = {record.seed for record in records}
    absent = [str(seed) for seed in old.seeds if seed not in there and (seeds is None or seed in seeds)]
    if not absent:
        return []
    return [
        f"seed {', '.join(absent)} of the baseline is not in the results; run it, or name those that were (--seeds)"
    ]


def _other_ideals(old: CellGroup, new: CellGroup) -> list[str]:
    """Metrics whose ideal is another, which on the same data is a fault of the code, as clauses."""
    return [
        f"the ideal of {column.attribute} in the {column.space} space is {metric.ideal:g} in the baseline and "
        f"{new.metrics[column].ideal:g} now, on the same data"
        for column, metric in old.metrics.items()
        if column in new.metrics and new.metrics[column].ideal != metric.ideal
    ]


def _unmeasured(old: CellGroup, new: CellGroup, records: Sequence[Record]) -> list[str]:
    """Metrics that only the baseline has, altogether or under a seed, with the reason that records give."""
    clauses = []
    for column, metric in old.metrics.items():
        now = new.metrics[column].values if column in new.metrics else {}
        lost = [str(seed) for seed in new.seeds if seed in metric.values and seed not in now]
        if not now or lost:
            reasons = [
                item.reason
                for record in records
                for item in record.unmeasured
                if (item.space, item.attribute, item.metric) == (column.space, column.attribute, column.metric)
            ]
            reason = f" ({reasons[0]})" if reasons else ""
            under = f" under seed {', '.join(lost)}" if now else ""
            clauses.append(f"{column.attribute} is no longer measured in the {column.space} space{under}{reason}")
    return clauses


def _pairs(shared: dict[Column, tuple[Metric, Metric]]) -> dict[Column, Pair]:
    """Both sides of every metric of one cell group, as distances from the ideal."""
    distances = {column: (old.distances(column), new.distances(column)) for column, (old, new) in shared.items()}
    sides = [side for pair in distances.values() for side in pair]
    exact = any(len(side) > 1 for side in sides) and not any(len(set(side)) > 1 for side in sides)
    return {column: Pair(*distances[column], _is_unchanged(old, new), exact) for column, (old, new) in shared.items()}


def _is_unchanged(old: Metric, new: Metric) -> bool:
    """Whether every seed gives what it gave in the baseline, bit for bit."""
    return all(old.values.get(seed) == value for seed, value in new.values.items())


def _beside(baseline: Baseline, found: dict[Place, list[Record]]) -> list[str]:
    others = [place.title for place in found if place not in baseline.groups]
    return [f"Not in the baseline, and not compared: {', '.join(others)}."] if others else []


def _other_commit(records: Sequence[Record]) -> list[str]:
    """A finished cell is not computed again, so that its record may be of code that has changed since."""
    here, _ = commit()
    others = sorted({str(at)[:8] for record in records if (at := record.provenance.get("commit")) not in (None, here)})
    if here is None or not others:
        return []
    return [
        f"Some records were computed at other commits ({', '.join(others)}) than the one checked out ({here[:8]}); "
        "`cabench run --force` or an empty results folder computes them anew."
    ]
