"""CSV in tidy form: one score a row, failed cells as one row without a score."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pandas as pd

from cabench.record import Record, Score

_CELL = ("dataset", "method", "profile", "precision", "seed", "key", "status", "separation_gap")
_SCORE = tuple(item.name for item in dataclasses.fields(Score))


def tidy_csv(records: Sequence[Record]) -> str:
    """All scores of all records, at full precision."""
    rows = []
    for record in records:
        cell = (
            record.dataset["label"],
            record.method["label"],
            record.profile,
            record.precision,
            record.seed,
            record.key,
            record.status,
            record.separation_gap,
        )
        rows += [(*cell, *dataclasses.astuple(score)) for score in record.scores] or [(*cell, *[None] * len(_SCORE))]
    table = pd.DataFrame(rows, columns=[*_CELL, *_SCORE])
    # Int64 knows missing values: failed cells do not turn counts into floats.
    return table.astype({"n_train": "Int64", "n_test": "Int64"}).to_csv(index=False)
