"""Whether training went on until the loss no longer changed.

A line is fitted to the epochs' mean losses of the last two fifths of a run. The curve is flat at its end where the line
changes over a fifth by no more than a hundredth of the range of all losses, that of the first epoch left out. From 15
epochs on it is flat, too, where the line changes by no more than two standard errors, and so does not stand out from
the noise.

Of a method whose loss need not fall this says nothing: see `cabench.training.GradientTrainedMethod.loss_may_rise`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import linregress

FEWEST_EPOCHS = 5
FEWEST_NOISY = 15  # epochs that tell noise from a change
SHARE, CHANGE, ERRORS = 0.2, 0.01, 2.0


def is_flat(losses: Sequence[float]) -> bool:
    """Whether a curve of losses, one an epoch, is seen to be flat at its end: of fewer than five epochs none is.

    Args:
        losses: in order, finite.
    """
    if len(losses) < FEWEST_EPOCHS:
        return False
    fifth = round(SHARE * len(losses))
    last = losses[-max(2 * fifth, 3) :]
    line = linregress(np.arange(len(last)), last)
    noise = ERRORS * line.stderr * fifth if len(losses) >= FEWEST_NOISY else 0.0
    return bool(abs(line.slope) * fifth <= max(CHANGE * np.ptp(losses[1:]), noise))
