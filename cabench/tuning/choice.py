"""Which trial is chosen: the best few run again under more seeds, and the best mean of them is taken.

Taking the best of one seed takes luck for skill; in simulations with noise of 3 points the second look is worth 0.7
(statistics card, section 5.2). Of equals the earlier trial is taken, the profile's own settings first.
"""

from __future__ import annotations

from collections.abc import Sequence

from cabench.files.json import canonical_json
from cabench.tuning.tuning_record import TrialEntry

FINALISTS = 4


def finalists(trials: Sequence[TrialEntry]) -> list[TrialEntry]:
    """The trials that run again: at most four, of different settings, the smallest gap first, and none that failed."""
    ended = [trial for trial in trials if trial.outcomes and trial.outcomes[0].gap is not None]
    different: dict[str, TrialEntry] = {}
    for trial in sorted(ended, key=lambda trial: (trial.gap, trial.number)):
        different.setdefault(canonical_json(dict(trial.settings)), trial)
    return list(different.values())[:FINALISTS]


def choose(trials: Sequence[TrialEntry]) -> TrialEntry:
    """The finalist with the smallest mean gap over all its seeds; the first trial where every one failed."""
    return min(finalists(trials), key=lambda trial: (trial.mean_gap, trial.number), default=trials[0])
