"""CSV in tidy form: one score a row.

`separation_gap` and its halves, `wanted` and `leaked`, are empty for records of another version of the evaluation.
`origin` is "vectors" where vectors from elsewhere were scored, and empty where a method was trained. `loss_is_flat` is
False where the loss still changed when training ended, and empty where there is no loss that tells. A score under a
paper's own protocol names it in the column `protocol`, which is empty for all others. What could not be measured has no
value and a `reason`; a failed cell is one row without a score, its error as the reason. Texts are in quotes, and what a
spreadsheet would take for a formula has an apostrophe before it: see `cabench.files.csv`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pandas as pd

from cabench.evaluation.evaluate import VERSION
from cabench.evaluation.score import Score, Unmeasured
from cabench.experiment.record import Record
from cabench.files.csv import csv_lines
from cabench.report.quantities import leaked_of, wanted_of

CELL = (  # the first columns; whatever comes later comes behind the seventh
    "dataset",
    "method",
    "profile",
    "precision",
    "seed",
    "key",
    "status",
    "separation_gap",
    "wanted",
    "leaked",
    "leak_floor",
)
_SCORE = tuple(item.name for item in dataclasses.fields(Score))
_COUNTS = ("n_train", "n_test", "n_groups")
_COLUMNS = (*CELL, "protocol", *_SCORE, "reason", "origin", "loss_is_flat")


def tidy_csv(records: Sequence[Record], with_stale: bool = False) -> str:
    """All scores of all records, at full precision, as text that no spreadsheet takes for formulas."""
    return "".join(csv_lines(tidy_table(records, with_stale)))


def tidy_table(records: Sequence[Record], with_stale: bool = False) -> pd.DataFrame:
    """All scores of all records, one a row, at full precision.

    Args:
        records: of one results folder.
        with_stale: whether the names of methods of which there are several versions tell them, as "mine (version 1)".
    """
    rows: list[dict[str, object]] = []
    versions: dict[str, set[int]] = {}
    for record in records:
        versions.setdefault(record.method["label"], set()).add(record.method["version"])
    for record in records:
        label, version = record.method["label"], record.method["version"]
        cell = (
            record.dataset["label"],
            f"{label} (version {version})" if with_stale and len(versions[label]) > 1 else label,
            record.profile,
            record.precision,
            record.seed,
            record.key,
            record.status,
            record.separation_gap if record.evaluation["version"] == VERSION else None,
            *(found and found.value for found in (wanted_of(record), leaked_of(record))),
            record.leak_floor,
        )
        origin = "vectors" if record.from_vectors else ""
        named = {**dict(zip(CELL, cell, strict=True)), "origin": origin, "loss_is_flat": record.loss_is_flat}
        items: list[Score | Unmeasured] = [*record.scores, *record.unmeasured]
        rows += [{**named, **_fields(item)} for item in items] or [_failed(named, record)]
        rows += [
            {**named, "protocol": name, **_fields(score)}
            for name, scores in record.protocols.items()
            for score in scores
        ]
    return _table(rows, _COLUMNS)


def score_table(items: Sequence[Score | Unmeasured]) -> pd.DataFrame:
    """The scores of one cell, one a row, with the columns of `tidy_table` that tell of them."""
    return _table([_fields(item) for item in items], (*_SCORE, "reason"))


def _table(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> pd.DataFrame:
    # Int64 knows missing values: failed cells do not turn counts into floats.
    return pd.DataFrame(rows, columns=list(columns)).astype(dict.fromkeys(_COUNTS, "Int64"))


def _fields(item: Score | Unmeasured) -> dict[str, object]:
    return {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}


def _failed(named: Mapping[str, object], record: Record) -> dict[str, object]:
    return {**named, "reason": record.error and record.error["message"]}
