"""The CSV report, read back with pandas."""

from __future__ import annotations

import csv
import dataclasses
import io

import numpy as np
import pandas as pd
import pytest

from cabench.evaluation.score import Score, Unmeasured
from cabench.experiment.identity import current_evaluation
from cabench.experiment.record import Record
from cabench.report.tidy_csv import tidy_csv


def make_score(space: str = "salient", value: float = 0.9, metric: str = "balanced_accuracy", **changes) -> Score:
    usual = {
        "space": space,
        "attribute": "digit",
        "attribute_space": "salient",
        "population": "target",
        "metric": metric,
        "value": value,
        "chance": 0.1,
        "ideal": 1.0,
        "standard_error": 0.01,
        "n_train": 900,
        "n_test": 450,
        "converged": True,
    }
    return Score(**{**usual, **changes})


def make_record(seed: int = 0, scores: tuple[Score, ...] = (), label: str = "pca", **changes) -> Record:
    usual = {
        "key": f"{seed:064x}",
        "status": "ok",
        "method": {"name": "pca", "label": label, "version": 1, "config": {}},
        "dataset": {"name": "planted", "label": "planted", "builder_version": 1, "content_sha256": "ab", "sources": []},
        "evaluation": current_evaluation(),
        "profile": "quick",
        "seed": seed,
        "precision": "fp32",
        "scores": scores or (make_score("common"), make_score("salient")),
        "separation_gap": 0.1,
        "cost": {},
        "provenance": {},
        "error": None,
    }
    return Record(**{**usual, **changes})


def make_failed(seed: int = 0, label: str = "pca") -> Record:
    error = {"type": "ValueError", "message": "no", "traceback": "", "step": None, "last_terms": None}
    record = make_record(seed, label=label, status="failed", separation_gap=None, error=error)
    return dataclasses.replace(record, scores=())


def parse(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text))


def test_one_row_a_score_with_the_cell_repeated() -> None:
    table = parse(tidy_csv([make_record(0), make_record(1)]))

    assert len(table) == 4
    assert list(table["seed"]) == [0, 0, 1, 1]
    assert list(table["space"]) == ["common", "salient"] * 2
    assert set(table["method"]) == {"pca"}


def test_columns_are_those_of_the_cell_the_protocol_every_field_of_a_score_and_a_reason() -> None:
    table = parse(tidy_csv([make_record()]))

    assert list(table.columns) == [
        *("dataset", "method", "profile", "precision", "seed", "key", "status"),
        *("separation_gap", "wanted", "leaked", "leak_floor"),
        "protocol",
        *(item.name for item in dataclasses.fields(Score)),
        "reason",
        "origin",
        "loss_is_flat",
    ]


def test_scores_of_a_protocol_are_told_from_others() -> None:
    table = parse(tidy_csv([make_record(protocols={"sepclr": (make_score(value=0.7),)})]))

    assert list(table["value"][table["protocol"] == "sepclr"]) == [0.7]
    assert table["protocol"].isna().sum() == 2


def test_what_could_not_be_measured_has_a_reason_and_no_value() -> None:
    unmeasured = (Unmeasured("salient", "digit", "target", "mig", "all values are equal"),)
    table = parse(tidy_csv([make_record(unmeasured=unmeasured)]))

    (row,) = table[table["reason"].notna()].to_dict("records")
    assert (row["metric"], row["reason"]) == ("mig", "all values are equal")
    assert np.isnan(row["value"])


def test_every_number_survives_at_full_precision() -> None:
    generator = np.random.default_rng(0)
    values = [*generator.normal(size=20), 0.1 + 0.2, 1 / 3, 1e-300, -5e-324, 123456789.123456789]
    records = [
        make_record(seed, (make_score(value=value, standard_error=abs(value)),), separation_gap=value)
        for seed, value in enumerate(map(float, values))
    ]

    # Python's own reader: that of pandas rounds the last digit unless told otherwise.
    rows = list(csv.DictReader(io.StringIO(tidy_csv(records))))

    assert [float(row["value"]) for row in rows] == values
    assert [float(row["separation_gap"]) for row in rows] == values
    assert [float(row["standard_error"]) for row in rows] == [abs(value) for value in values]


def test_r2_below_zero_is_kept() -> None:
    table = parse(tidy_csv([make_record(scores=(make_score(value=-0.731, metric="r2"),))]))

    assert list(table["value"]) == [-0.731]


def test_accuracy_is_there_beside_balanced_accuracy() -> None:
    table = parse(tidy_csv([make_record(scores=(make_score(), make_score(metric="accuracy", value=0.8)))]))

    assert dict(zip(table["metric"], table["value"], strict=True)) == {"balanced_accuracy": 0.9, "accuracy": 0.8}


def test_failed_cell_is_one_row_without_a_score() -> None:
    table = parse(tidy_csv([make_record(0), make_failed(1)]))

    failed = table[table["status"] == "failed"]
    assert len(failed) == 1
    assert failed[["space", "attribute", "value", "n_test", "separation_gap"]].isna().all(axis=None)
    assert list(failed["seed"]) == [1]


def test_counts_are_written_as_whole_numbers_beside_a_failed_cell() -> None:
    text = tidy_csv([make_record(0), make_failed(1)])

    cells = pd.read_csv(io.StringIO(text), dtype=str)

    assert list(cells["n_train"].dropna()) == ["900", "900"]
    assert list(cells["n_test"].dropna()) == ["450", "450"]


def test_flag_of_a_probe_that_did_not_converge_is_kept() -> None:
    table = parse(tidy_csv([make_record(scores=(make_score(converged=False), make_score("common")))]))

    assert list(table["converged"]) == [False, True]


@pytest.mark.parametrize("label", ["a,b", 'quo"ted', "two\nlines", "pipe|d", "<script>", " spaced ", "naïve"])
def test_odd_names_survive(label: str) -> None:
    table = parse(tidy_csv([make_record(label=label)]))

    assert list(table["method"]) == [label, label]


def test_no_records_give_the_header_alone() -> None:
    table = parse(tidy_csv([]))

    assert len(table) == 0
    assert "value" in table.columns
