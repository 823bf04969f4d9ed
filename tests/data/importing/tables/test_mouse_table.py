"""The table that every linear paper of the field reports, as downloaded: imported and run in two commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cabench.data.file import DatasetFile

IMPORT = (
    *("--population", "class", "--background", "c-CS-s", "--target", "c-SC-s,t-SC-s", "--salient", "Genotype"),
    *("--group", "MouseID", "--group-until", "_", "--ignore", "Treatment,Behavior", "--output", "mouse.h5"),
)


@pytest.fixture
def downloaded(data_root: Path) -> Path:
    path = data_root / "mouse_protein" / "Data_Cortex_Nuclear.csv"
    if not path.exists():
        pytest.skip(f"needs {path}")
    return path


def test_the_table_is_imported_and_run_without_editing(downloaded: Path, cabench_here, tmp_path: Path) -> None:
    done = cabench_here("data", "import", "--input", str(downloaded), *IMPORT)
    assert done.returncode == 0, done.stderr
    for said in (
        "523 of 31,185 values are missing (1.7%), in 49 of 77 features, most in BCL2_N (105 of 405)",
        "Features that are equal in every row count twice: ARC_N and pS6_N.",
        "Left out as features: Treatment, Behavior.",
        "150 rows are left out, as 'class' is 'c-CS-m'.",
    ):
        assert f"Note: {said}" in done.stderr
    file = DatasetFile.open(tmp_path / "mouse.h5")
    table = pd.read_csv(downloaded, encoding="utf-8-sig", index_col="MouseID", float_precision="high")
    features = table.select_dtypes("number")
    trained = features.loc[[name for part in file.read_rows("train") for name in part.names]]
    mice: dict[str, set[str]] = {}
    for split in ("train", "test"):
        data = file.read(split)
        for part, rows in zip((data.background, data.target), file.read_rows(split), strict=True):
            mice.setdefault(split, set()).update(rows.groups)
            assert list(rows.groups) == [name.rpartition("_")[0] for name in rows.names]
            expected = (features.loc[rows.names] - trained.mean()) / trained.std(ddof=0)
            np.testing.assert_allclose(part.images.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert len(mice["train"]) + len(mice["test"]) == 27
    assert not mice["train"] & mice["test"]
    genotypes = [file.info.attributes[0].classes[code] for code in file.read("test").target.attributes["Genotype"]]
    assert genotypes == table.loc[file.read_rows("test")[1].names, "Genotype"].tolist()

    done = cabench_here("run", "--methods", "pca,cpca", "--datasets", "mouse.h5", "--seeds", "0", "--no-controls")
    assert done.returncode == 0, done.stderr
    assert "missing values (1.7%) filled by means of the training rows" in done.stdout
    records = [json.loads(path.read_text("utf-8")) for path in tmp_path.glob("results/runs/mouse/*/*/record.json")]
    assert [record["status"] for record in records] == ["ok", "ok"]


def test_what_is_forgotten_is_named(downloaded: Path, cabench_here) -> None:
    """A user who declares nothing is told which columns hold no numbers, and which of them holds groups."""
    few = ("--population", "class", "--background", "c-CS-s", "--target", "c-SC-s,t-SC-s", "--output", "mouse.h5")
    done = cabench_here("data", "import", "--input", str(downloaded), *few)
    assert done.returncode == 2
    assert "MouseID of row 301 of" in done.stderr
    assert "--ignore MouseID,Genotype,Treatment,Behavior" in done.stderr
    assert "--group MouseID --group-until _" in done.stderr
