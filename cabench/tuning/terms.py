"""What all methods on a data set must share for one profile to hold their settings: budget, criterion and data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from cabench.errors import UserError
from cabench.tuning.tuning_record import TuningRecord


class Terms(NamedTuple):
    """On what terms a method was tuned on a data set.

    Attributes:
        budget: trials that were asked for.
        criterion: what the choice was made by.
        content_sha256: of the whole data set.
    """

    budget: int
    criterion: str
    content_sha256: str

    def __str__(self) -> str:
        return f"budget {self.budget}, criterion {self.criterion} and data content {self.content_sha256[:8]}"


Placed = tuple[str, str]
"""The labels of a data set and of a method."""


def terms_of(records: Iterable[TuningRecord]) -> dict[Placed, Terms]:
    """The terms of each record by its place."""
    return {(r.dataset, r.method): Terms(r.budget, r.criterion, r.content_sha256) for r in records}


def check_terms(terms: Mapping[Placed, Terms]) -> None:
    """Refuse methods that were, or are to be, tuned on other terms than others on the same data set.

    Raises:
        UserError: naming two methods and their terms.
    """
    for dataset, places in groupby(sorted(terms), key=lambda place: place[0]):
        first, *others = places
        for other in others:
            if terms[other] != terms[first]:
                raise UserError(
                    f"On {dataset} these terms differ: {first[1]} has {terms[first]}, {other[1]} has {terms[other]}. "
                    "One profile compares methods on equal terms: tune them together with the same --trials, "
                    "--criterion and data, or choose another --records folder."
                )


def check_profile_of(folder: Path, records: Sequence[TuningRecord], profile: str) -> None:
    """Refuse to write records of one profile beside those of another.

    Args:
        folder: of tuning records.
        records: that are there.
        profile: of those that are to come.

    Raises:
        UserError: saying so.
    """
    if others := {record.profile for record in records} - {profile}:
        raise UserError(
            f"{folder} holds tuning records of profile {', '.join(sorted(others))}, and a tuned profile extends one; "
            "choose another --records folder."
        )
