"""What is said of an outcome, in words and figures. `cabench.gate.formats` lays it out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cabench.gate.baseline import SEPARATION_GAP, Metric
from cabench.gate.gate import Finding, Outcome
from cabench.gate.judgement import Verdict
from cabench.report.summary import Column
from cabench.report.tables import attribute_title

_METRICS = {"balanced_accuracy": "balanced accuracy", "auc": "AUC"}
MOST_SENTENCES = 10
HEADERS = ("cell", "metric", "ideal", "baseline", "now", "loss", "p", "")
CELL_HEADERS = ("cell", "seeds then", "seeds now", "metrics", "unchanged", "failed", "largest loss")


def headline(outcome: Outcome) -> str:
    """The outcome in one sentence."""
    if outcome.passed:
        return f"The gate passed: none of {_count(len(outcome.findings), 'metric')} is shown to be worse."
    parts = []
    if worse := sum(finding.result.verdict is Verdict.WORSE for finding in outcome.findings):
        parts.append(f"{worse} of {_count(len(outcome.findings), 'metric')} got worse")
    if untested := sum(finding.result.verdict is Verdict.UNTESTED for finding in outcome.findings):
        parts.append(f"{_count(untested, 'loss', 'losses')} could not be tested")
    if outcome.problems:
        parts.append(_count(len(outcome.problems), "problem"))
    return f"The gate failed: {', '.join(parts)}."


def metric_title(column: Column) -> str:
    """A metric's name as readers see it."""
    if column == SEPARATION_GAP:
        return "separation gap"
    images = ", background images" if column.population == "background" else ""
    metric = _METRICS.get(column.metric, column.metric)
    return f"{attribute_title(column.attribute)}, {column.space} space{images}, {metric}"


def line(finding: Finding) -> tuple[str, ...]:
    """A finding as a table's line, under `HEADERS`. Scores are in percent."""
    column, result = finding.column, finding.result
    return (
        finding.group.title,
        metric_title(column),
        _number(column, finding.new.ideal),
        _over_seeds(column, finding.old),
        _over_seeds(column, finding.new),
        _number(column, result.loss, signed=True),
        "" if result.p_value is None else _probability(result.p_value),
        result.verdict.value,
    )


def sentence(finding: Finding, outcome: Outcome) -> str:
    """Which metric, how much, and why it counts."""
    column, seeds = finding.column, [len(metric.values) for metric in (finding.old, finding.new)]
    return (
        f"{finding.group.title}: {_meaning(column)}. {metric_title(column)} went from "
        f"{_over_seeds(column, finding.old)} ({_count(seeds[0], 'seed')}) to {_over_seeds(column, finding.new)} "
        f"({_count(seeds[1], 'seed')}), a loss of {_amount(column, finding.result.loss)}. {_reason(finding, outcome)}"
    )


def failure_sentences(outcome: Outcome) -> list[str]:
    """The sentences on the largest losses, and how many there are besides, which the table below has."""
    failures = outcome.failures
    said = [sentence(finding, outcome) for finding in failures[:MOST_SENTENCES]]
    more = len(failures) - len(said)
    return [*said, f"{_count(more, 'smaller loss', 'smaller losses')} in the table below."] if more > 0 else said


def cell_lines(outcome: Outcome) -> list[tuple[str, ...]]:
    """A line for each cell group that was compared, under `CELL_HEADERS`."""
    lines: list[tuple[str, ...]] = []
    for group in dict.fromkeys(finding.group for finding in outcome.findings):
        there = [finding for finding in outcome.findings if finding.group == group]
        largest = max(there, key=lambda finding: finding.result.loss)
        unchanged = sum(finding.result.verdict is Verdict.SAME for finding in there)
        loss = f"{_amount(largest.column, largest.result.loss)} ({metric_title(largest.column)})"
        lines.append(
            (
                group.title,
                _seeds([finding.old for finding in there]),
                _seeds([finding.new for finding in there]),
                str(len(there)),
                str(unchanged),
                str(sum(finding.fails for finding in there)),
                loss if largest.result.loss > 0 else "none",
            )
        )
    return lines


def method_of_testing(outcome: Outcome) -> str:
    """What was tested, at which rate, and what it could have found; empty where nothing was compared."""
    if not outcome.findings:
        return ""
    found = outcome.judgement
    same = sum(finding.result.verdict is Verdict.SAME for finding in outcome.findings)
    are = "is" if same == 1 else "are"
    said = [f"Of {_count(len(outcome.findings), 'metric')}, {same} {are} the baseline's to the last bit."]
    if found.tests:
        were = "was" if found.tests == 1 else "were"
        said.append(
            f"{found.tests} {were} tested for a loss of more than {100 * outcome.effect:g} points "
            f"({outcome.effect:g} of the separation gap): one-sided t-tests with variances drawn towards the table's, "
            f"corrected for their number (Holm), so that at most {100 * outcome.level:g} % of comparisons without a "
            "change fail."
        )
    if found.detectable is not None and found.usual_spread is not None:
        said.append(
            f"Over seeds a metric usually spreads by {100 * found.usual_spread:.1f} points; of such a metric, a loss "
            f"of {100 * found.detectable:.1f} points is found with a probability of 95 %."
        )
    return " ".join(said)


def problem_sentences(outcome: Outcome) -> list[str]:
    """What kept cells from being compared, or is wrong with them."""
    return [f"{problem.title}: {problem.text}." for problem in outcome.problems]


def _meaning(column: Column) -> str:
    """Why a loss in this metric matters."""
    if column == SEPARATION_GAP:
        return "The spaces are further from holding what each should, and nothing else"
    if column.space == column.attribute_space:
        return f"The {column.space} space tells less of what it is there for"
    return f"The {column.space} space tells more of what it should not know"


def _reason(finding: Finding, outcome: Outcome) -> str:
    result, column = finding.result, finding.column
    if result.verdict is Verdict.UNTESTED:
        return (
            "It cannot be tested: there is one seed on each side, and nothing tells how much scores vary over seeds. "
            "Run more seeds."
        )
    if result.p_value is None:
        return "It counts, as no seed changes what this method scores: nothing of it is chance."
    tests = _count(outcome.judgement.tests, "test")
    return (
        f"It counts: a loss of more than {_amount(column, outcome.effect)} is shown "
        f"(p {_probability(result.p_value, relation=True)}, corrected for {tests}, below {outcome.level:g})."
    )


def _over_seeds(column: Column, metric: Metric) -> str:
    """Mean and standard deviation over seeds."""
    values = np.array(list(metric.values.values()))
    mean = _number(column, float(values.mean()))
    return mean if len(values) < 2 else f"{mean} ± {_number(column, float(values.std(ddof=1)))}"


def _number(column: Column, value: float, signed: bool = False) -> str:
    sign = "+" if signed else ""
    return f"{value:{sign}.3f}" if column == SEPARATION_GAP else f"{100 * value:{sign}.1f}"


def _amount(column: Column, value: float) -> str:
    return f"{value:.3f}" if column == SEPARATION_GAP else f"{100 * value:.1f} points"


def _probability(p_value: float, relation: bool = False) -> str:
    equals = "= " if relation else ""
    return "< 0.0001" if p_value < 0.0001 else f"{equals}{p_value:.2g}"


def _seeds(metrics: Sequence[Metric]) -> str:
    return ", ".join(map(str, sorted({seed for metric in metrics for seed in metric.values})))


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
