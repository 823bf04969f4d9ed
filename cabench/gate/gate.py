"""The gate itself: a baseline against the records of a results folder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from types import MappingProxyType
from typing import NamedTuple

from cabench.errors import UserError
from cabench.experiment.provenance import commit
from cabench.experiment.record import Record
from cabench.gate.baseline import Baseline, CellGroup, GroupName, Metric
from cabench.gate.judgement import EFFECT, LEVEL, Judgement, Pair, Result, Verdict, judge
from cabench.gate.selection import by_group, select
from cabench.report.summary import Column

RESULTS = "results folder"
WORTH_SAYING = 0.3  # of the throughput, lost on the same hardware


@dataclass(frozen=True)
class Finding:
    """One metric of one cell group on both sides.

    Attributes:
        group: the cell group.
        column: the metric.
        old: the baseline's values.
        new: the results' values.
        result: what the comparison came to.
    """

    group: GroupName
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
        judgement: the statistics of the table.
        level: the false-alarm rate.
        effect: the loss that must be exceeded.
    """

    findings: tuple[Finding, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    judgement: Judgement
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
    found = by_group(records)
    problems = [Problem(RESULTS, reason.rstrip(".")) for reason in unreadable]
    notes: list[str] = []
    both: dict[tuple[GroupName, Column], tuple[Metric, Metric]] = {}
    pairs: dict[tuple[GroupName, Column], Pair] = {}
    for name, old in baseline.groups.items():
        there = _there(old, found.get(name, []), seeds, max_slowdown)
        problems += [Problem(name.title, text) for text in there.problems]
        notes += [f"{name.title}: {text}." for text in there.notes]
        both |= {(name, column): metrics for column, metrics in there.metrics.items()}
        pairs |= {(name, column): pair for column, pair in _pairs(there.metrics).items()}
    judgement = judge(pairs, level, effect)
    findings = [Finding(*key, *both[key], judgement.results[key]) for key in pairs]
    notes += _beside(baseline, found) + _other_commit(records)
    return Outcome(tuple(findings), tuple(problems), tuple(notes), judgement, level, effect)


def new_baseline(records: Sequence[Record], unreadable: Sequence[str] = ()) -> Baseline:
    """The baseline that records make.

    Raises:
        UserError: when a record cannot be read, a cell failed, is stale or stands there under several configurations.
    """
    for reason in unreadable:
        raise UserError(f"No baseline was written: {reason}")
    groups = {}
    for name, there in by_group(records).items():
        selected = select(there)
        if selected.problems or selected.group is None:
            raise UserError(f"No baseline was written: {name.title}: {'; '.join(selected.problems)}.")
        groups[name] = selected.group
    return Baseline(groups)


class _There(NamedTuple):
    """What the results have of one cell group of the baseline: problems and notes as clauses, both sides' metrics."""

    problems: Sequence[str]
    notes: Sequence[str] = ()
    metrics: Mapping[Column, tuple[Metric, Metric]] = MappingProxyType({})


def _there(
    old: CellGroup, records: Sequence[Record], seeds: Sequence[int] | None, max_slowdown: float | None
) -> _There:
    if not records:
        return _There(["it is in the baseline but not in the results; run it, or --update"])
    new, problems = (selected := select(records, old)).group, list(selected.problems)
    if new is None:
        return _There(problems)
    if reason := _incomparable(old, new):
        return _There([*problems, reason])
    slower, said = _throughput(old, new, max_slowdown)
    problems += [*slower, *_missing(old, records, seeds), *_unmeasured(old, new, records), *_other_ideals(old, new)]
    shared = {column: (metric, new.metrics[column]) for column, metric in old.metrics.items() if column in new.metrics}
    return _There(problems, [*_deliberate(old, new), *said], shared)


def _incomparable(old: CellGroup, new: CellGroup) -> str:
    """Why two groups measure different things, as a clause; empty where they do not."""
    if old.dataset["content_sha256"] != new.dataset["content_sha256"]:
        contents = [group.dataset["content_sha256"][:8] for group in (old, new)]
        return "its data changed (content {} in the baseline, {} now); run --update if intended".format(*contents)
    if old.evaluation != new.evaluation:
        versions = [group.evaluation["version"] for group in (old, new)]
        return (
            "the evaluation changed (version {} in the baseline, {} now); measure the old records anew with "
            "`cabench evaluate`, or run --update if intended".format(*versions)
        )
    return ""


def _deliberate(old: CellGroup, new: CellGroup) -> list[str]:
    """Changes that somebody meant, as clauses; their effect is what the gate is for."""
    notes = []
    versions = [group.method["version"] for group in (old, new)]
    if versions[0] != versions[1]:
        notes.append(f"method version {versions[0]} in the baseline, {versions[1]} now")
    then, now = old.method["config"], new.method["config"]
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name) or (name in then) != (name in now):
            notes.append(f"{name} = {then.get(name)} in the baseline, {now.get(name)} now")
    return notes


def _throughput(old: CellGroup, new: CellGroup, allowed: float | None) -> tuple[list[str], list[str]]:
    """Slowdowns beyond what is allowed, and what else there is to say, as clauses.

    Compared are medians over seeds, on the same hardware. They fail nothing unless that is asked for: machines are
    shared.
    """
    shared = [hardware for hardware in old.speeds if hardware in new.speeds]
    if old.speeds and new.speeds and not shared:
        return [], ["throughput is not compared, it ran on other hardware or other threads"]
    slower = []
    for hardware in shared:
        then, now = (median(side.speeds[hardware].values()) for side in (old, new))
        if 1 - now / then > (WORTH_SAYING if allowed is None else allowed):
            slower.append(
                f"it trains {1 - now / then:.0%} slower on the same hardware ({then:,.0f} images/s in the baseline, "
                f"{now:,.0f} now)"
            )
    return ([], slower) if allowed is None else (slower, [])


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
            place = (column.space, column.attribute, column.population, column.metric)
            reasons = [
                item.reason
                for record in records
                for item in record.unmeasured
                if (item.space, item.attribute, item.population, item.metric) == place
            ]
            reason = f" ({reasons[0]})" if reasons else ""
            under = f" under seed {', '.join(lost)}" if now else ""
            clauses.append(f"{column.attribute} is no longer measured in the {column.space} space{under}{reason}")
    return clauses


def _pairs(shared: Mapping[Column, tuple[Metric, Metric]]) -> dict[Column, Pair]:
    """Both sides of every metric of one cell group, as distances from the ideal."""
    distances = {column: (old.distances(column), new.distances(column)) for column, (old, new) in shared.items()}
    sides = [side for pair in distances.values() for side in pair]
    exact = any(len(side) > 1 for side in sides) and not any(len(set(side)) > 1 for side in sides)
    return {column: Pair(*distances[column], _is_unchanged(old, new), exact) for column, (old, new) in shared.items()}


def _is_unchanged(old: Metric, new: Metric) -> bool:
    """Whether every seed gives what it gave in the baseline, bit for bit."""
    return all(old.values.get(seed) == value for seed, value in new.values.items())


def _beside(baseline: Baseline, found: Mapping[GroupName, Sequence[Record]]) -> list[str]:
    others = [name.title for name in found if name not in baseline.groups]
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
