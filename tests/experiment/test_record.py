"""Records: what an older evaluation wrote can still be read, and later fields come back as they were written."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cabench.errors import UserError
from cabench.evaluation.evaluate import VERSION
from cabench.evaluation.score import Score, Unmeasured
from cabench.experiment.record import SCHEMA, Record
from cabench.experiment.store import ResultsStore

CommandLine = Callable[..., subprocess.CompletedProcess[str]]

# One record of every shape that has been written; see `test_every_shape_is_there`. Each new shape adds one, none goes.
HISTORIC = Path(__file__).parents[1] / "historic_results"
FIRST = HISTORIC / "dsprites" / "pca" / "seed0-fa55f7a4" / "record.json"


@pytest.fixture
def historic() -> Record:
    """The record of PCA on `dsprites`, written under version 1 of the evaluation."""
    return Record.load(FIRST)


@pytest.fixture
def current(historic: Record) -> Record:
    """The same with everything that records hold since."""
    score = dataclasses.replace(historic.scores[0], metric="hsic", value=0.1 + 0.2, standard_error=None, p_value=0.25)
    score = dataclasses.replace(score, n_groups=12, p_familywise=0.5, p_smallest=1 / 70, ideal=None)
    return dataclasses.replace(
        historic,
        scores=(*historic.scores, score),
        unmeasured=(Unmeasured("salient", "shape", "target", "mig", "no dimension varies"),),
        dimension_r2={"shape": [0.0, 1 / 3], "scale": [1.0, 0.0]},
        leak_floor=1 / 7,
        vectors_sha256="a" * 64,
        protocols={"sepclr": (score, historic.scores[1]), "sepvae": ()},
    )


def test_a_record_of_the_first_evaluation_still_loads(historic: Record) -> None:
    content = json.loads(FIRST.read_text(encoding="utf-8"))
    assert not {"unmeasured", "dimension_r2", "protocols", "leak_floor", "vectors_sha256"} & set(content)
    assert content["evaluation"]["version"] == 1
    assert (historic.key, historic.method["name"], historic.seed) == (content["key"], "pca", 0)
    assert historic.separation_gap == content["separation_gap"]
    assert [score.value for score in historic.scores] == [score["value"] for score in content["scores"]]
    assert {(score.p_value, score.n_groups, score.p_smallest) for score in historic.scores} == {(None, None, None)}
    assert (historic.leak_floor, historic.vectors_sha256, historic.contributions) == (None, "", None)
    assert (historic.unmeasured, historic.dimension_r2, historic.protocols) == ((), {}, {})
    assert historic.folder(HISTORIC) == FIRST.parent


def shape(content: dict[str, Any]) -> tuple[object, ...]:
    """What tells the kinds of records apart."""
    scores = content["scores"]
    return (
        content["evaluation"]["version"],
        content["status"],
        "unmeasured" in content and bool(content["unmeasured"]),
        bool(content.get("protocols")),
        any(score["standard_error"] is None for score in scores),
        any(score.get("p_value") is not None for score in scores),
    )


def test_every_shape_is_there() -> None:
    contents = [json.loads(path.read_text(encoding="utf-8")) for path in HISTORIC.rglob("record.json")]
    assert sorted(shape(content) for content in contents) == [
        (1, "failed", False, False, False, False),
        (1, "ok", False, False, False, False),
        (2, "failed", False, False, False, False),
        (2, "ok", False, True, True, True),
        (2, "ok", True, False, True, False),
        (3, "ok", True, True, True, True),
    ]


def test_contributions_that_were_ever_written_are_read() -> None:
    (record,) = [record for record in ResultsStore(HISTORIC).records() if record.evaluation["version"] == 3]
    assert record.contributions is not None
    assert len(record.contributions.scores) == len(record.scores)
    assert record.contributions.rows.sum() == 80


def as_written_now(score: dict[str, Any]) -> dict[str, Any]:
    """With the fields that came later."""
    return {**dict.fromkeys(("p_value", "n_groups", "p_familywise", "p_smallest")), **score}


@pytest.mark.parametrize("path", sorted(HISTORIC.rglob("record.json")), ids=lambda path: "/".join(path.parts[-3:-1]))
def test_every_record_that_was_ever_written_loads_with_all_it_holds(path: Path) -> None:
    content, record = json.loads(path.read_text(encoding="utf-8")), Record.load(path)
    written = json.loads(record.to_json())
    added = {
        "unmeasured": [],
        "dimension_r2": {},
        "protocols": {},
        "leak_floor": None,
        "vectors_sha256": "",
        "prepared": [],
        "unmade": {},
        "loss_is_flat": None,
        "improvised_common": False,
    }
    scores = [as_written_now(score) for score in content["scores"]]
    protocols = {name: [as_written_now(s) for s in found] for name, found in content.get("protocols", {}).items()}
    assert written == {**added, **content, "scores": scores, "protocols": protocols}
    assert record.folder(HISTORIC) == path.parent


def test_reports_show_every_record_that_was_ever_written(cabench_here: CommandLine) -> None:
    for format in ("markdown", "csv", "latex", "html", "summary"):
        done = cabench_here("report", "--results", str(HISTORIC), "--format", format)
        assert (done.returncode, done.stderr) == (0, "")
        if format == "csv":
            lines = done.stdout.splitlines()
            for record in ResultsStore(HISTORIC).records():
                assert any(record.key in line for line in lines), record.folder(HISTORIC)


@pytest.mark.parametrize("options", [(), ("--stale",)], ids=["", "stale"])
@pytest.mark.parametrize("format", ["markdown", "csv", "latex", "html", "summary"])
def test_reports_show_no_gap_of_the_measure_before_this_one(
    cabench_here: CommandLine, format: str, options: tuple[str, ...]
) -> None:
    older = [record for record in ResultsStore(HISTORIC).records() if record.evaluation["version"] < VERSION]
    gaps = [record.separation_gap for record in older if record.separation_gap is not None]
    assert len(gaps) >= 3
    done = cabench_here("report", "--results", str(HISTORIC), "--format", format, *options)
    assert "pca" in done.stdout
    assert not [gap for gap in gaps if f"{gap:.3f}" in done.stdout]
    assert options or format == "csv" or "stale" in done.stdout


def test_plan_shows_records_of_older_evaluations(tmp_path: Path, cabench_here: CommandLine) -> None:
    shutil.copytree(HISTORIC, tmp_path / "results" / "runs")
    sets = ("--profile", "smoke", "--set", "dsprites.train_size=120", "--set", "dsprites.test_size=80")
    assert cabench_here("data", "build", "dsprites", *sets).returncode == 0
    method = ("--set", "mmcvae.batch_size=32", "--set", "mmcvae.learning_rate=1e30")
    done = cabench_here("plan", "--methods", "mmcvae,chance", "--datasets", "dsprites", "--no-controls", *sets, *method)
    mmcvae, chance = (line.split(maxsplit=4)[4].strip() for line in done.stdout.splitlines()[2:])
    # Either is stale once the version of the data set, the method or the evaluation is another.
    assert mmcvae in ("failed (NonFiniteLossError at step 3)", "stale"), done.stdout
    assert chance in ("done", "stale"), done.stdout


@pytest.mark.parametrize("schema", [SCHEMA + 1, 99])
def test_a_record_of_a_newer_schema_says_so_and_is_not_to_be_deleted(
    tmp_path: Path, cabench_here: CommandLine, schema: int
) -> None:
    content = {**json.loads(FIRST.read_text(encoding="utf-8")), "schema": schema, "something": "new"}
    path = tmp_path / "results" / "runs" / FIRST.relative_to(HISTORIC)
    shutil.copytree(HISTORIC, tmp_path / "results" / "runs")
    path.write_text(json.dumps(content), encoding="utf-8")
    done = cabench_here("report")
    assert done.returncode == 1
    assert "mmcvae" in done.stdout, "the other records are reported"
    assert f"{path.relative_to(tmp_path)} follows a schema of records that a newer cabench wrote" in done.stderr
    assert "delete" not in done.stderr


def test_all_fields_come_back_to_the_last_digit(tmp_path: Path, current: Record) -> None:
    (tmp_path / "record.json").write_text(current.to_json(), encoding="utf-8")
    back = Record.load(tmp_path / "record.json")
    assert back == current
    assert isinstance(back.unmeasured[0], Unmeasured)
    assert isinstance(back.protocols["sepclr"][0], Score)
    assert back.to_json() == current.to_json()


def change(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content.update(fields)


@pytest.mark.parametrize(
    "damage",
    [
        change(unmeasured=None),
        change(unmeasured=["mig"]),
        change(unmeasured=[{"metric": "mig"}]),
        change(dimension_r2=None),
        change(dimension_r2=[0.5]),
        change(leak_floor="low"),
        change(vectors_sha256=None),
        change(contributions=[]),
        change(protocols=None),
        change(protocols=[]),
        change(protocols={"sepclr": None}),
        change(protocols={"sepclr": [0.5]}),
        change(protocols={"sepclr": [{"space": "common"}]}),
        lambda content: content["protocols"]["sepclr"][0].update(value="high"),
        lambda content: content["protocols"]["sepclr"][0].update(metric=None),
        lambda content: content["protocols"]["sepclr"][0].update(more=1),
    ],
)
def test_a_later_field_of_another_kind_makes_a_record_malformed(
    tmp_path: Path, current: Record, damage: Callable[[dict[str, Any]], None]
) -> None:
    content = json.loads(current.to_json())
    damage(content)
    (tmp_path / "record.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match=r"record\.json is not a record of cabench"):
        Record.load(tmp_path / "record.json")
