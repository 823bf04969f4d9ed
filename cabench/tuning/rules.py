"""Rules by which a trial can be chosen, each a number for every trial, of which the least is taken.

A criterion of a trial is its mean over the trial's seeds. A trial that failed, or of which a rule's criterion is not
known under all of its seeds, is not judged by that rule.

`label-free` is the mean rank of a trial among the others by `told`, `apart` and, where all of them ran under more
seeds, `stable`: each alone can be fooled, and not by the same (statistics card, section 5.3). Trials whose salient
space has collapsed rank behind all others; where all have, as where it has one dimension, none is set back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from cabench.errors import unknown
from cabench.tuning.criteria import (
    APART,
    FEW_LABELS,
    FEWEST_DIRECTIONS,
    LOSS,
    MORE_IS_BETTER,
    SALIENT_RANK,
    STABLE,
    TOLD,
)
from cabench.tuning.tuning_record import TrialEntry

LABELS, LABEL_FREE = "labels", "label-free"
Costs = Mapping[int, float]
"""By number of a trial, what it is judged by; less is better."""


class Rule(NamedTuple):
    """One way to choose.

    Attributes:
        name: as tables show it.
        labels: what it needs of them: "all", "100" or "none".
        criteria: what it needs to know of trials.
        costs: judges trials.
    """

    name: str
    labels: str
    criteria: tuple[str, ...]
    costs: Callable[[Sequence[TrialEntry]], Costs]


def has_ended(trial: TrialEntry) -> bool:
    """Whether a trial has a gap under the seed that all trials have."""
    return bool(trial.outcomes) and trial.outcomes[0].gap is not None


def mean_criterion(trial: TrialEntry, name: str) -> float | None:
    """A criterion's mean over the seeds of a trial; None where it is not known under all of them."""
    values = [outcome.criteria.get(name) for outcome in trial.outcomes]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _by_gap(trials: Sequence[TrialEntry]) -> Costs:
    return {trial.number: trial.mean_gap for trial in trials if has_ended(trial)}


def _by_criterion(name: str, trials: Sequence[TrialEntry]) -> Costs:
    sign = -1.0 if name in MORE_IS_BETTER else 1.0
    values = {trial.number: mean_criterion(trial, name) for trial in trials}
    return {number: sign * value for number, value in values.items() if value is not None}


def _label_free(trials: Sequence[TrialEntry]) -> Costs:
    costs = [_by_criterion(name, trials) for name in (TOLD, APART)]
    ranks = _by_criterion(SALIENT_RANK, trials)
    judged = [number for number in costs[0] if number in costs[1] and number in ranks]
    stable = _by_criterion(STABLE, trials)
    if all(number in stable for number in judged):
        costs.append(stable)
    full = [number for number in judged if ranks[number] >= FEWEST_DIRECTIONS] or judged
    by_criterion = [rankdata([cost[number] for number in full]) for cost in costs]
    behind = dict.fromkeys(judged, float(len(judged) + 1))
    return {**behind, **dict(zip(full, np.mean(by_criterion, axis=0).tolist(), strict=True))}


RULES: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(LABELS, "all", (), _by_gap),
        Rule(FEW_LABELS, "100", (FEW_LABELS,), partial(_by_criterion, FEW_LABELS)),
        Rule(LABEL_FREE, "none", (TOLD, APART, STABLE, SALIENT_RANK), _label_free),
        *(Rule(name, "none", (name,), partial(_by_criterion, name)) for name in (TOLD, APART, LOSS)),
    )
}
"""All that can be compared, by name; the first takes the labels of all rows and is the upper envelope.

`stable` is no rule by itself: all trials would have to run under more seeds.
"""
TUNED_BY = (LABELS, FEW_LABELS, LABEL_FREE)
"""The rules that settings can be tuned by."""


def tuning_rule(name: str) -> Rule:
    """The rule of a name.

    Raises:
        UserError: for one that settings cannot be tuned by.
    """
    if name not in TUNED_BY:
        raise unknown("criterion", name, TUNED_BY)
    return RULES[name]
