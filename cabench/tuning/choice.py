"""Which trial is chosen: the best few run again under more seeds, and the best mean of them is taken.

Taking the best of one seed takes luck for skill; in simulations with noise of 3 points the second look is worth 0.7
(statistics card, section 5.2). Of equals the earlier trial is taken, the profile's own settings first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cabench.tuning.rules import Costs, Rule
from cabench.tuning.tuning_record import TrialEntry

FINALISTS = 4


def first_look(trials: Sequence[TrialEntry]) -> list[TrialEntry]:
    """The trials with the seed that all have, and no other."""
    return [replace(trial, outcomes=trial.outcomes[:1]) for trial in trials]


def finalists(trials: Sequence[TrialEntry], rule: Rule) -> list[TrialEntry]:
    """The trials that run again: at most four, of different settings, the best by the seed that all have first, and
    none that failed.
    """
    different: dict[str, TrialEntry] = {}
    for trial in _in_order(trials, rule.costs(first_look(trials))):
        different.setdefault(trial.outcomes[0].key, trial)
    return list(different.values())[:FINALISTS]


def choose(trials: Sequence[TrialEntry], rule: Rule) -> TrialEntry:
    """The best of the finalists over all their seeds; the first trial where the rule judges none."""
    best = finalists(trials, rule)
    return next(iter(_in_order(best, rule.costs(best))), trials[0])


def _in_order(trials: Sequence[TrialEntry], costs: Costs) -> list[TrialEntry]:
    judged = [trial for trial in trials if trial.number in costs]
    return sorted(judged, key=lambda trial: (costs[trial.number], trial.number))
