from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cabench.data.importing.labels import parse_columns
from cabench.data.importing.splitting import Drawn
from cabench.data.importing.tables.files import TableForm, import_tables
from cabench.data.layout import SPLITS
from cabench.discovery import method_class, plugins

FEATURES = [f"gene{number}" for number in range(12)]


def write(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    rows = np.random.default_rng(0).normal(5, 2, (100, 12)).astype(object)
    rows[:, 7] = 3.25  # constant everywhere
    return write(tmp_path / "healthy.csv", [*FEATURES, "sex"], [[*row, "mf"[n % 2]] for n, row in enumerate(rows)])


@pytest.fixture
def ill(tmp_path: Path) -> Path:
    """The first gene says which of two stages it is."""
    rows = np.random.default_rng(1).normal(5, 2, (120, 12)).astype(object)
    rows[:, 7] = 3.25
    stages = np.arange(120) % 2
    rows[:, 0] = 20.0 * stages
    header = ["stage", "sex", *FEATURES[::-1]]  # in another order
    body = [["ab"[stage], "mf"[n % 2], *row[::-1]] for n, (stage, row) in enumerate(zip(stages, rows, strict=True))]
    return write(tmp_path / "ill.csv", header, body)


def imported(healthy: Path, ill: Path, common: str = "sex", salient: str = "stage", **given: str):
    columns = parse_columns(common=common, salient=salient, **given)
    return import_tables(healthy, ill, healthy.parent / "mine.h5", TableForm(), columns, Drawn())


def test_columns_that_are_not_declared_are_features(healthy: Path, ill: Path) -> None:
    file = imported(healthy, ill)
    file.verify()
    assert file.info.image_shape == (12,)
    assert [attribute.name for attribute in file.info.attributes] == ["sex", "stage"]
    assert file.info.counts["train"] == {"background": 80, "target": 96}
    train = file.read("train")
    together = np.concatenate([train.background.images.numpy(), train.target.images.numpy()])
    varying = np.arange(12) != 7
    np.testing.assert_allclose(together.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(together.std(axis=0)[varying], 1, rtol=1e-5)
    assert (together[:, 7] == 0).all()
    first = train.target.images.numpy()[:, 0]
    numbers = sorted(int(name) for split in SPLITS for name in file.read_rows(split)[1].names)
    assert numbers == list(range(1, 121))
    assert ((first > first.mean()) == (train.target.attributes["stage"] == 1)).all()


def test_a_nuisance_is_read_of_both_tables(healthy: Path, ill: Path, refusal) -> None:
    file = imported(healthy, ill, common="", nuisance="sex")
    stage, sex = file.info.attributes
    assert (stage.space, sex.space, sex.classes) == ("salient", "nuisance", ("f", "m"))
    given = [pd.read_csv(path)["sex"].tolist() for path in (healthy, ill)]
    for split in SPLITS:
        for known, rows, values in zip(given, file.read_rows(split), file.read_attributes(split), strict=True):
            assert values["sex"].tolist() == ["fm".index(known[int(name) - 1]) for name in rows.names]
    ill.write_bytes(ill.read_bytes().replace(b"sex", b"gender", 1))
    assert "sex" in refusal(lambda: imported(healthy, ill, common="", nuisance="sex"))


def test_a_table_is_run_by_its_path_with_the_methods_that_take_it(healthy: Path, ill: Path, cabench) -> None:
    def said(*words: str) -> str:
        done = cabench(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    tables = ("--background", "healthy.csv", "--target", "ill.csv", "--common", "sex", "--salient", "stage:class")
    said("data", "import", "--table", *tables, "--output", "mine.h5")
    asked = ("--datasets", "mine.h5", "--results", "results", "--set")
    planned = said("plan", "--methods", "all", *asked, "sepclr.epochs=1")
    left_out = {line.split()[1] for line in planned.splitlines() if "left out" in line}
    assert left_out == {name for name in plugins("methods") if "tables" not in method_class(name).takes}
    run = said("run", "--methods", "cpca,sepclr", *asked, "sepclr.epochs=1", "--set", "sepclr.batch_size=16")
    assert "## mine" in run


@pytest.mark.parametrize(
    ("change", "given", "words"),
    [
        (lambda text: text.replace("gene3", "gene33"), {}, "lacks 'gene3'"),
        (lambda text: text.replace("gene3,", "gene3,gene99,").replace("\r\n", ",1\r\n"), {}, "gene99"),
        (lambda text: text.replace(",m", ",x", 1), {"common": ""}, "sex of row 1 of"),
        (lambda text: text, {"common": "sec"}, "did you mean 'sex'"),
        (lambda text: text.partition("\r\n")[0] + "\r\n", {}, "no rows below its header"),
        (lambda text: text.replace("3.25", "inf", 1), {}, "gene7 of row 1 of"),
        (lambda text: text.replace("3.25", "x", 1), {}, "gene7 of row 1 of"),
        (lambda text: text.replace("3.25", "1e300", 1), {}, "gene7 of row 1 of"),
    ],
)
def test_tables_that_do_not_fit_are_refused(healthy: Path, ill: Path, refusal, change, given, words: str) -> None:
    healthy.write_bytes(change(healthy.read_bytes().decode()).encode())
    assert words in refusal(lambda: imported(healthy, ill, **given))
    assert not (healthy.parent / "mine.h5").exists()


def test_the_same_table_twice_is_refused(healthy: Path, refusal) -> None:
    assert "as background and as target" in refusal(lambda: imported(healthy, healthy, salient=""))


def test_a_column_has_one_meaning(healthy: Path, ill: Path, refusal) -> None:
    def asked(ignore: tuple[str, ...], features: tuple[str, ...]) -> str:
        form, columns = TableForm(ignore, features), parse_columns(common="sex", salient="stage")
        return refusal(lambda: import_tables(healthy, ill, healthy.parent / "mine.h5", form, columns, Drawn()))

    both = "is named with --features and with --ignore; choose one."
    assert asked(("gene3",), ("gene3", "gene4")) == f"The column 'gene3' {both}"
    assert asked(("gene*",), ("gene1",)) == f"The column 'gene1' {both}"
    assert asked(("sex",), ()) == "The column 'sex' is declared, and named with --ignore too; choose one."
    assert not (healthy.parent / "mine.h5").exists()
