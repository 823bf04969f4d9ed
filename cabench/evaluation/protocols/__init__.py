"""Papers' own protocols, so that a number from here can be set beside a printed one.

They are not what methods should be compared by: none looks at every attribute from both spaces and populations, and
their solvers stop after 100 steps whether or not they have converged. All run on representations in evaluation mode and
on whole training splits, where the released scripts use batch statistics and drop incomplete batches (method cards C1
to C4, decisions D5, D19 and D28).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from threadpoolctl import threadpool_limits

from cabench.data.dataset import Attribute
from cabench.errors import UserError, unknown
from cabench.evaluation.encoded import EncodedSplit
from cabench.evaluation.protocols import double_infogan, sepclr, sepvae
from cabench.evaluation.score import Score
from cabench.evaluation.scoring import Scoring


class Protocol(NamedTuple):
    """One paper's evaluation.

    Attributes:
        title: the paper's short name, and what it does, for tables.
        datasets: names of the data sets that it is defined for.
        score: adds the scores on one data set.
    """

    title: str
    datasets: tuple[str, ...]
    score: Callable[[Scoring, str, EncodedSplit, EncodedSplit, Sequence[Attribute]], None]


PROTOCOLS: Mapping[str, Protocol] = {
    "sepclr": Protocol(sepclr.TITLE, sepclr.DATASETS, sepclr.score),
    "sepvae": Protocol(sepvae.TITLE, sepvae.DATASETS, sepvae.score),
    "double-infogan": Protocol(double_infogan.TITLE, double_infogan.DATASETS, double_infogan.score),
}


def check_protocols(names: Sequence[str], datasets: Sequence[str]) -> None:
    """Refuse a protocol that does not exist, or is not defined for any of the data sets, where there are some.

    Raises:
        UserError: naming it and what there is.
    """
    for name in names:
        if name not in PROTOCOLS:
            raise unknown("protocol", name, list(PROTOCOLS))
        if datasets and not set(datasets) & set(PROTOCOLS[name].datasets):
            allowed, given = ", ".join(PROTOCOLS[name].datasets), ", ".join(map(repr, dict.fromkeys(datasets)))
            raise UserError(f"The protocol {name!r} is defined for {allowed}, not for {given}.")


def protocols_of(dataset: str, names: Sequence[str]) -> list[str]:
    """Those of the protocols that are defined for a data set."""
    return [name for name in names if dataset in PROTOCOLS[name].datasets]


def protocol_scores(
    name: str, dataset: str, train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute]
) -> tuple[Score, ...]:
    """The scores of one cell under a protocol.

    Args:
        name: a key of `PROTOCOLS`.
        dataset: the data set's name, one that the protocol is defined for.
        train: representations of the training images.
        test: those of the test images.
        attributes: of the data set.
    """
    scoring = Scoring()
    with threadpool_limits(limits=1):
        PROTOCOLS[name].score(scoring, dataset, train, test, attributes)
    return tuple(scoring.scores)
