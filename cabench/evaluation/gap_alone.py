"""The separation gap of one cell and nothing else, for choosing settings: a fraction of the work of an evaluation.

The terms are those of `cabench.evaluation.evaluate`, to the last bit; nearest neighbours, permutations, adjusted scores
and the shape of the spaces are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from cabench.data.dataset import Attribute
from cabench.evaluation.encoded import EncodedSplit, check_vectors
from cabench.evaluation.evaluate import PROBES
from cabench.evaluation.gap import LEAK_METRICS, WANTED_METRICS, Separation, separation
from cabench.evaluation.probe_scores import EVERY, ProbeGrid
from cabench.evaluation.questions import questions
from cabench.evaluation.score import Scoring


def gap_of_vectors(train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute]) -> Separation | None:
    """The separation gap with its halves; None where one space is missing. Arguments and errors as of `gap_terms`, and
    ValueError where nothing can be probed that is wanted or may leak.
    """
    return separation(gap_terms(train, test, attributes).scores)


def gap_terms(train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute]) -> Scoring:
    """The scores that the gap is made of, and others of the same metrics.

    Args:
        train: what probes are fitted on.
        test: what they are scored on.
        attributes: of the data set.

    Raises:
        ValueError: when a representation is not finite, or its populations are not all of the same spaces.
    """
    check_vectors(train, test)
    scoring = Scoring(test.blocks.count)
    every_row = np.zeros(len(test.groups), np.int64)
    metrics = EVERY.among((*WANTED_METRICS, *LEAK_METRICS))
    with threadpool_limits(limits=1):  # as in an evaluation
        grid = ProbeGrid(scoring, train, test, every_row, PROBES, metrics)
        for question in questions(attributes):
            grid.read(question)
    return scoring
