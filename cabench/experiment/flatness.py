"""Whether training went on until the loss no longer fell.

The epochs' mean losses of the last fifth of a run are compared with those of the fifth before: the curve is flat where
the two means differ by no more than a hundredth of the range of all. Losses of methods in which an adversary learns too
say nothing; see `cabench.training.GradientTrainedMethod.loss_may_rise`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FEWEST_EPOCHS = 5
SHARE, CHANGE = 0.2, 0.01


def is_flat(losses: Sequence[float]) -> bool:
    """Whether a curve of losses, one an epoch, is seen to be flat at its end: of fewer than five epochs none is.

    Args:
        losses: in order, finite.
    """
    if len(losses) < FEWEST_EPOCHS:
        return False
    fifth = round(SHARE * len(losses))
    last, before = np.mean(losses[-fifth:]), np.mean(losses[-2 * fifth : -fifth])
    return bool(abs(last - before) <= CHANGE * np.ptp(losses))
