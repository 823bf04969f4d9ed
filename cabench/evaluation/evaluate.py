"""All that is measured of one cell, from its representations alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from cabench.data.dataset import Attribute
from cabench.evaluation.contributions import ContributionTable
from cabench.evaluation.encoded import EncodedSplit, check_vectors
from cabench.evaluation.grouped import strata_of
from cabench.evaluation.nuisances import NuisanceReader, nuisances_of
from cabench.evaluation.probe_scores import ProbeGrid
from cabench.evaluation.probes import ProbeConfig
from cabench.evaluation.questions import questions
from cabench.evaluation.score import Score, Scoring, Unmeasured
from cabench.evaluation.shape_scores import dimensions, score_structure

VERSION = 3  # raised whenever a change may change a score
PROBES = ProbeConfig()
"""The configuration under which every cell is measured."""


class Measured(NamedTuple):
    """What an evaluation gives; the fields are those of `cabench.experiment.record.Record`."""

    scores: tuple[Score, ...]
    unmeasured: tuple[Unmeasured, ...]
    dimension_r2: Mapping[str, Sequence[float]]
    leak_floor: float | None
    contributions: ContributionTable


def evaluate(
    train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute], config: ProbeConfig = PROBES
) -> Measured:
    """All scores of one cell: the probe grid, what nuisances explain of it, then what the shape of the spaces tells.

    Vectors from elsewhere may lack one of the two spaces: what needs it is unmeasured.

    Raises:
        ValueError: when a representation is not finite, or its populations are not all of the same spaces.
    """
    check_vectors(train, test)
    scoring = Scoring(test.blocks.count)
    # One thread: these products are too small to share (on two cores the probes of one cell, 8,000 images in 32
    # dimensions, took 15 s with two threads and 3 s with one), and sums do not depend on the number of cores.
    with threadpool_limits(limits=1):
        nuisances = nuisances_of(train, test, attributes)
        grid = ProbeGrid(scoring, train, test, nuisances.test_levels, config)
        for question in questions(attributes):
            grid.read(question)
        leak_floor = grid.test_leaks()
        if nuisances.are_there:
            reader = NuisanceReader(scoring, train, test, nuisances, config)
            for question in questions(attributes):
                if question.attribute.space != "nuisance":
                    reader.read(question)
        score_structure(scoring, train, test, attributes, config)
        shared = dimensions(test, attributes)
    return Measured(tuple(scoring.scores), tuple(scoring.unmeasured), shared, leak_floor, _contributions(scoring, test))


def _contributions(scoring: Scoring, test: EncodedSplit) -> ContributionTable:
    blocks = test.blocks
    strata = np.zeros(blocks.count, dtype=np.int64)
    strata[blocks.codes] = strata_of(blocks.codes, test.is_target())
    return ContributionTable(scoring.contributions, np.bincount(blocks.codes), strata, blocks.names)
