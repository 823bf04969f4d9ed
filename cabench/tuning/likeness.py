"""Whether the trials of a method differ at all, or a choice among them is luck.

Gaps of all trials under one seed vary by settings and by luck; those of one trial under several seeds by luck alone.
An F-test compares both. The trials that ran under more seeds were chosen by their gap under the first, so that this
one is left out of their variance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import f

from cabench.tuning.tuning_record import TrialEntry

LEVEL = 0.05


def differ(trials: Sequence[TrialEntry]) -> bool | None:
    """Whether gaps vary more between trials than between seeds.

    Args:
        trials: of one method. What failed does not count.

    Returns:
        False where that is not shown; None where too few trials ended to say anything.
    """
    first = [trial.outcomes[0].gap for trial in trials if trial.outcomes and trial.outcomes[0].gap is not None]
    further = [[outcome.gap for outcome in trial.outcomes[1:] if outcome.gap is not None] for trial in trials]
    again = [np.array(gaps) for gaps in further if len(gaps) > 1]
    if len(first) < 2 or not again:
        return None
    degrees = sum(len(gaps) - 1 for gaps in again)
    by_luck = sum(float(((gaps - gaps.mean()) ** 2).sum()) for gaps in again) / degrees
    between = float(np.var(first, ddof=1))
    if by_luck == 0:
        return between > 0
    return bool(f.sf(between / by_luck, len(first) - 1, degrees) < LEVEL)
