"""All that is measured of one cell, from its representations alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from cabench.data.dataset import Attribute
from cabench.evaluation.encoded import EncodedSplit
from cabench.evaluation.probe_scores import score_grid
from cabench.evaluation.probes import ProbeConfig
from cabench.evaluation.score import Score, Scoring, Unmeasured
from cabench.evaluation.shape_scores import dimensions, score_structure

VERSION = 2  # raised whenever a change may change a score
PROBES = ProbeConfig()
"""The configuration under which every cell is measured."""


class Measured(NamedTuple):
    """What an evaluation gives; the fields are those of `cabench.experiment.record.Record`."""

    scores: tuple[Score, ...]
    unmeasured: tuple[Unmeasured, ...]
    dimension_r2: Mapping[str, Sequence[float]]


def evaluate(
    train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute], config: ProbeConfig = PROBES
) -> Measured:
    """All scores of one cell: the probe grid, then what the shape of the spaces tells.

    Vectors from elsewhere may lack one of the two spaces: what needs it is unmeasured.

    Raises:
        ValueError: when a representation is not finite, or its populations are not all of the same spaces.
    """
    _check(train, test)
    scoring = Scoring()
    # One thread: these products are too small to share (on two cores the probes of one cell, 8,000 images in 32
    # dimensions, took 15 s with two threads and 3 s with one), and sums do not depend on the number of cores.
    with threadpool_limits(limits=1):
        score_grid(scoring, train, test, attributes, config)
        score_structure(scoring, train, test, attributes, config)
        return Measured(tuple(scoring.scores), tuple(scoring.unmeasured), dimensions(test, attributes))


def _check(*splits: EncodedSplit) -> None:
    parts = [part for split in splits for part in split]
    if not parts[0].spaces or any(part.spaces.keys() != parts[0].spaces.keys() for part in parts):
        raise ValueError("Every population needs vectors of the same spaces: common, salient or both.")
    for part in parts:
        for space, features in part.spaces.items():
            if not np.isfinite(features).all():
                raise ValueError(f"The {space} representation holds values that are not finite.")
