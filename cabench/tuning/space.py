"""The settings that a method is tried with: known before the first trial, so that trials are cells like others.

Trial 0 is what the profile says. The others are points of a scrambled Sobol sequence (Owen, 1998) over the ranges that
the fields of the method's configuration name, see `cabench.search`: they cover the space evenly, whatever their number,
and the first 16 of 32 are the 16. The scrambling follows from the ranges alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import qmc

from cabench.config import Settings
from cabench.errors import UserError
from cabench.files.json import digest
from cabench.search import Range

MOST_TRIALS = 1024


def trial_values(default: Settings, ranges: Mapping[str, Range], trials: int) -> list[dict[str, object]]:
    """The values of what is searched, by trial; none in trial 0, which has the default's.

    Args:
        default: of the profile. Whole numbers stay whole.
        ranges: by name of a field of it.
        trials: how many, from 1.

    Returns:
        As many; one alone where nothing is searched. Some may be equal, where there are few values to choose from.
    """
    if not ranges or trials == 1:
        return [{}]
    points = _points(ranges, trials - 1)
    return [{}, *(_values(default, ranges, point) for point in points.tolist())]


def check_trials(trials: int) -> None:
    """Refuse a number of trials that is not allowed.

    Raises:
        UserError: saying what is.
    """
    if not 1 <= trials <= MOST_TRIALS:
        raise UserError(f"{trials} trials are not allowed; give a number from 1 to {MOST_TRIALS:,}, such as 16 or 32.")


def space_digest(ranges: Mapping[str, Range]) -> str:
    """SHA-256 of what is searched: trials of equal digests and defaults are equal."""
    return digest({name: repr(found) for name, found in ranges.items()})


def _values(default: Settings, ranges: Mapping[str, Range], point: Sequence[float]) -> dict[str, object]:
    return {
        name: found.at(part, getattr(default, name)) for (name, found), part in zip(ranges.items(), point, strict=True)
    }


def _points(ranges: Mapping[str, Range], count: int) -> np.ndarray:
    """Float64 (count, ranges), in [0, 1)."""
    generator = np.random.default_rng(int(space_digest(ranges)[:16], 16))
    sequence = qmc.Sobol(len(ranges), scramble=True, rng=generator)
    points: np.ndarray = sequence.random_base2(math.ceil(math.log2(count)))[:count]
    return points
