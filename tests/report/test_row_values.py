"""Quantities of a row: found at once for records that were measured alike, they are those of record by record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.report import row_values
from cabench.report.quantities import distance_of, gap_of, leaked_of, score_of, unwanted_of, wanted_of
from cabench.report.row_values import Sampled, over_seeds, rows_of_blocks, sampled
from cabench.report.summary import Row, Section, sections


@pytest.fixture(scope="module")
def section() -> Section:
    store = ResultsStore(Path("results/published"))
    records = [store.load_in_its_folder(path) for path in store.paths() if path.parts[-4] == "dsprites"]
    return sections(records)[0]


def again(row: Row) -> Row:
    """The row, of which nothing has been found yet."""
    return replace(row)


def quantities(section: Section) -> list[row_values.Quantity]:
    columns = section.columns_of(*{score.metric for score in section.rows[0].records[0].scores})
    of_columns = [quantity_of(column) for column in columns for quantity_of in (score_of, distance_of)]
    return [*of_columns, gap_of, wanted_of, unwanted_of, leaked_of]


def test_what_is_found_at_once_is_what_is_found_record_by_record(
    section: Section, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = quantities(section)
    at_once = [again(row) for row in section.rows]
    found = [(over_seeds(row, kind), over_seeds(row, kind) and sampled(row, kind)) for row in at_once for kind in kinds]
    monkeypatch.setattr(row_values, "_are_alike", lambda row: False)
    by_record = [again(row) for row in section.rows]
    assert len(section.rows) > 10
    assert not any(row_values._all_made(row) for row in by_record)
    for (values, one), (row, kind) in zip(found, [(row, kind) for row in by_record for kind in kinds], strict=True):
        assert values == over_seeds(row, kind)
        other = values and sampled(row, kind)  # nothing is asked of what no seed has
        if not isinstance(one, Sampled) or not isinstance(other, Sampled):
            assert one == other
            continue
        assert one.sample.deterministic == other.sample.deterministic
        for mine, theirs in zip((*one.sample[:2], *one.groups), (*other.sample[:2], *other.groups), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_contributions_are_read_once_and_let_go(section: Section, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    kept = Record.read_contributions
    monkeypatch.setattr(Record, "read_contributions", lambda record: reads.append(record.key) or kept(record))
    row = again(section.rows[0])
    for kind in quantities(section):
        sampled(row, kind)
    assert all(rows_of_blocks(row, column) for column in section.columns_of("auc"))
    assert sorted(reads) == sorted(record.key for record in row.records)
    assert "tables" not in vars(row)


def test_records_of_which_one_was_measured_otherwise_are_taken_one_by_one(section: Section) -> None:
    first, *others = section.rows[0].records
    fewer = replace(first, scores=first.scores[:-1])
    row = replace(section.rows[0], records=(fewer, *others))
    kind = score_of(section.columns_of("auc")[0])
    assert over_seeds(row, kind) == over_seeds(again(section.rows[0]), kind)
    assert not row_values._all_made(row)
