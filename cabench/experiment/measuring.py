"""From a cell's vectors to what its record says of them, for fitted methods and vectors from elsewhere alike."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from cabench.data.dataset import SPACES, Attribute
from cabench.evaluation.encoded import EncodedSplit
from cabench.evaluation.evaluate import evaluate
from cabench.evaluation.probe_scores import separation_gap


def measure(train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute]) -> tuple[dict[str, Any], float]:
    """Measure the vectors of one cell.

    Args:
        train: what probes are fitted on.
        test: what they are scored on.
        attributes: of the data set.

    Returns:
        The fields of a `Record` that tell what was measured, and the seconds that it took. There is no separation gap
        where one space is missing.

    Raises:
        ValueError: when a vector is not finite.
    """
    started = time.monotonic()
    measured = evaluate(train, test, attributes)
    both = all(space in test.target.spaces for space in SPACES)
    gap = separation_gap(measured.scores) if both else None
    return {**measured._asdict(), "separation_gap": gap}, time.monotonic() - started
