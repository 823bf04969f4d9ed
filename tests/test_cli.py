"""The command line: what it prints, where, and how it ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from cabench.methods.chance import Chance

SMOKE = ("run", "--methods", "oracle", "--profile", "smoke", "--set", "planted.repeats=1")


def records(folder: Path) -> list[Path]:
    return sorted(folder.glob("results/runs/*/*/seed*/record.json"))


def test_a_run_writes_records_and_prints_a_table_with_the_controls(cabench, tmp_path):
    done = cabench(*SMOKE)
    assert done.returncode == 0, done.stderr
    assert [path.parent.parent.name for path in records(tmp_path)] == ["chance", "oracle", "pca"]
    assert "| oracle" in done.stdout
    assert "| pca" in done.stdout
    assert (tmp_path / "results/runs/report.md").read_text(encoding="utf-8") == done.stdout.removesuffix("\n")
    record = json.loads(records(tmp_path)[1].read_text(encoding="utf-8"))
    assert record["status"] == "ok"
    assert record["separation_gap"] < 1e-5


def test_the_same_command_again_computes_nothing(cabench_here, tmp_path):
    first = cabench_here(*SMOKE)
    before = [(path, path.stat().st_mtime_ns) for path in records(tmp_path)]
    second = cabench_here(*SMOKE)
    assert second.returncode == 0
    assert second.stdout == first.stdout
    assert [(path, path.stat().st_mtime_ns) for path in records(tmp_path)] == before
    assert "Building" not in second.stderr


def test_force_computes_again(cabench_here, tmp_path):
    cabench_here(*SMOKE, "--no-controls")
    (before,) = [path.stat().st_mtime_ns for path in records(tmp_path)]
    assert cabench_here(*SMOKE, "--no-controls", "--force").returncode == 0
    (after,) = [path.stat().st_mtime_ns for path in records(tmp_path)]
    assert after > before


def test_a_method_may_change_the_working_folder(cabench_here, tmp_path, monkeypatch):
    monkeypatch.setenv("CABENCH_CACHE", "cache")
    monkeypatch.setattr(Chance, "fit", lambda *_: os.chdir("/"))
    smoke = ("--profile", "smoke", "--no-controls", "--results", "r", "--data-root", ".")
    assert cabench_here("run", "--methods", "chance,oracle", *smoke).returncode == 0
    assert len(list((tmp_path / "r").glob("*/*/*/record.json"))) == 2


def test_controls_are_left_out_when_told(cabench_here, tmp_path):
    assert cabench_here(*SMOKE, "--no-controls").returncode == 0
    assert [path.parent.parent.name for path in records(tmp_path)] == ["oracle"]


def test_plan_shows_states_and_computes_nothing(cabench_here, tmp_path):
    request = ("--methods", "oracle", "--profile", "smoke", "--seeds", "0-1", "--no-controls")
    assert cabench_here("plan", *request).stdout.count("missing") == 2
    assert not records(tmp_path)
    cabench_here("run", "--methods", "oracle", "--profile", "smoke", "--no-controls")
    planned = cabench_here("plan", *request).stdout
    assert planned.count("done") == 1
    assert planned.count("missing") == 1


def test_report_writes_tidy_csv(cabench_here, tmp_path):
    cabench_here(*SMOKE)
    assert cabench_here("report", "--format", "csv", "--output", "scores.csv").returncode == 0
    table = pd.read_csv(tmp_path / "scores.csv")
    assert set(table.method) == {"oracle", "pca", "chance"}
    assert (table.value.notna() == table.reason.isna()).all()
    assert table.value.notna().sum() > 100


def test_a_method_that_fails_leaves_a_record_and_the_others_go_on(cabench_here, tmp_path):
    # A learning rate of 1e30 makes the loss overflow in the first epoch.
    done = cabench_here("run", "--methods", "mmcvae", "--profile", "smoke", "--set", "mmcvae.learning_rate=1e30")
    assert done.returncode == 1
    by_method = {path.parent.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in records(tmp_path)}
    assert by_method["mmcvae"]["status"] == "failed"
    assert by_method["mmcvae"]["error"]["type"] == "NonFiniteLossError"
    assert by_method["mmcvae"]["error"]["last_terms"]["total"] in ("nan", "inf")
    assert by_method["pca"]["status"] == "ok"
    assert "FAIL" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "--methods", "sepcrl"), "did you mean 'sepclr'"),
        (("run", "--methods", "sepclr", "--datasets", "dsprite"), "did you mean 'dsprites'"),
        (("run", "--methods", "sepclr", "--profile", "quik"), "did you mean 'quick'"),
        (("run", "--methods", "sepclr", "--profile", "absent.toml"), "absent.toml"),
        (("run", "--methods", "sepclr", "--set", "sepclr.epoch=3"), "did you mean 'epochs'"),
        (("run", "--methods", "sepclr", "--set", "sepclr.epochs=0"), "at least 1"),
        (("run", "--methods", "sepclr", "--set", "sepclr.epochs=many"), "whole number"),
        (("run", "--methods", "sepclr", "--set", "sepclr.encoder=resnet"), "small_conv"),
        (("run", "--methods", "sepclr", "--set", "sepclr.crop_scale=[1.0, 0.5]"), "smaller number comes first"),
        (("run", "--methods", "sepclr", "--profile", "smoke", "--set", "sepclr.crop_size=24"), "32 x 32"),
        (("run", "--methods", "sepclr", "--set", "mmcvae.epochs=3"), "--set"),
        (("run", "--methods", "sepclr", "--set", "epochs"), "NAME.FIELD=VALUE"),
        (("run", "--methods", "sepclr", "--seeds", "a"), "0-4"),
        (("run", "--methods", "sepclr", "--device", "tpu"), "cuda"),
        (("run", "--methods", "sepclr", "--device", "cuda:99"), "--device cpu"),
        (("run", "--methods", "sepclr", "--device", "cpu:"), "cuda:<number>"),
        (("run", "--methods", "sepclr", "--precision", "fp8"), "bf16"),
        (("run", "--methods", ","), "No method"),
        (("run", "--methods", "oracle", "--datasets", "dsprites"), "planted"),
        (("run", "--methods", "pca", "--datasets", "cifar_mnist", "--data-root", "absent"), "absent"),
        (("run", "--methods", "pca", "--results", "/proc/none"), "--results"),
        (("plan", "--methods", "sepcrl"), "did you mean 'sepclr'"),
        (("run", "--methods", "pca", "--protocol", "sepclrr"), "did you mean 'sepclr'"),
        (("run", "--methods", "pca", "--profile", "smoke", "--protocol", "sepclr"), "not for 'planted'"),
        (("evaluate", "--results", "absent"), "absent"),
        (("report", "--results", "absent"), "absent"),
        (("list", "things"), "methods"),
        (("data", "info", "absent.h5"), "absent.h5"),
        (("data", "build", "dsprite"), "did you mean 'dsprites'"),
        (("check-method", "sepcrl"), "did you mean 'sepclr'"),
        (("frobnicate",), "frobnicate"),
    ],
)
def test_a_wrong_request_ends_with_2_and_one_clear_sentence(cabench_here, tmp_path, arguments, said):
    done = cabench_here(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not records(tmp_path)


def test_an_unknown_protocol_is_told_before_a_data_set_is_built(cabench_here, tmp_path, monkeypatch):
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path / "cache"))
    done = cabench_here("run", "--methods", "pca", "--profile", "smoke", "--protocol", "sepclrr")
    assert done.returncode == 2
    assert not (tmp_path / "cache").exists()


def test_a_wrong_request_ends_so_in_a_real_process_too(cabench):
    done = cabench("run", "--methods", "sepcrl")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: Unknown method 'sepcrl'; did you mean 'sepclr'?")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("list", "methods"), "sepclr"),
        (("list", "datasets"), "cifar_mnist"),
        (("list", "profiles"), "quick"),
        (("--help",), "run"),
        (("run", "--help"), "--methods"),
    ],
)
def test_listings_and_help_do_not_import_torch(tmp_path, arguments, said):
    # A package called torch that cannot be imported stands before the real one.
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported')", encoding="utf-8")
    command = [sys.executable, "-m", "cabench", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


def test_methods_are_listed_with_the_variants_that_a_profile_names(cabench_here, tmp_path):
    listed = cabench_here("list", "methods").stdout
    assert re.search("sepclr_no_independence +sepclr with independence = none\n", listed)
    (tmp_path / "mine.toml").write_text('[variants.tiny]\nmethod = "pca"\ncomponents = 2\n', encoding="utf-8")
    listed = cabench_here("list", "methods", "--profile", "mine.toml").stdout
    assert "pca with components = 2\n" in listed
    assert "sepclr_no_independence" not in listed
    datasets = cabench_here("list", "datasets", "--profile", "paper").stdout
    assert "cifar_mnist with test_split = paper\n" in datasets
    assert "chexpert with split = leaky-as-released\n" in datasets


def test_data_commands_describe_and_verify(cabench_here, tmp_path):
    built = cabench_here("data", "build", "planted", "--profile", "smoke")
    assert built.returncode == 0, built.stderr
    path = built.stdout.splitlines()[0]
    for name in ("planted", path):
        described = cabench_here("data", "info", name, "--profile", "smoke")
        assert "450 background, 450 target" in described.stdout
        assert cabench_here("data", "verify", name, "--profile", "smoke").returncode == 0
    damaged = tmp_path / "damaged.h5"
    content = bytearray(Path(path).read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    verified = cabench_here("data", "verify", str(damaged))
    assert verified.returncode == 2
    assert "damaged" in verified.stderr


def test_checking_a_method_runs_the_conformance_suite(cabench_here):
    done = cabench_here("check-method", "pca")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("passed") >= 6


# Evaluation of what is there, and papers' protocols


PLANTED = ("--methods", "pca,chance", "--profile", "smoke", "--no-controls", "--set", "planted.repeats=1")
SPRITES = (
    *("run", "--methods", "pca", "--datasets", "dsprites", "--profile", "smoke", "--no-controls"),
    *("--set", "dsprites.train_size=120", "--set", "dsprites.test_size=80"),
)


def outdate(path: Path) -> Path:
    """Make a record one of an older evaluation, in the folder of another key, and give the new path."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content.update(evaluation={"version": 0, "config": {}}, key="0" * 64, scores=[], separation_gap=9.0)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path.parent.rename(path.parent.with_name("seed0-00000000")) / "record.json"


def contents(folder: Path) -> dict[Path, dict[str, object]]:
    """All records, without what they cost."""
    return {path: {**json.loads(path.read_text(encoding="utf-8")), "cost": {}} for path in records(folder)}


def test_evaluate_brings_outdated_records_up_to_date_and_a_run_then_finds_them_done(cabench, cabench_here, tmp_path):
    table = cabench_here("run", *PLANTED).stdout
    fresh = contents(tmp_path)
    for path in fresh:
        outdate(path)
    assert cabench_here("plan", *PLANTED).stdout.count("stale") == 2

    done = cabench("evaluate")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2 of 2 records are up to date.\n"
    assert done.stderr.count(": evaluated") == 2
    assert contents(tmp_path) == fresh

    before = [path.stat().st_mtime_ns for path in fresh]
    assert cabench_here("run", *PLANTED).stdout == table
    assert [path.stat().st_mtime_ns for path in fresh] == before


def test_a_record_that_cannot_be_evaluated_is_named_and_ends_with_1(cabench_here, tmp_path):
    cabench_here("run", *PLANTED)
    lost, renewed = (outdate(path) for path in records(tmp_path))
    (lost.parent / "representations.h5").unlink()
    before = lost.read_bytes()
    done = cabench_here("evaluate")
    assert done.returncode == 1
    assert done.stdout == "1 of 2 records are up to date.\n"
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("not evaluated: ")]
    assert line.startswith("not evaluated: planted / chance / seed 0: ")
    assert line.endswith("was not kept: the cell must be computed again.")
    assert lost.read_bytes() == before
    assert not renewed.exists()
    assert len(records(tmp_path)) == 2


def test_a_protocol_adds_its_scores_to_new_cells_and_to_finished_ones(cabench_here, tmp_path):
    assert cabench_here(*SPRITES).returncode == 0
    (path,) = records(tmp_path)
    before = json.loads(path.read_text(encoding="utf-8"))
    assert before["protocols"] == {}
    assert cabench_here(*SPRITES, "--protocol", "double-infogan").returncode == 0
    added = json.loads(path.read_text(encoding="utf-8"))
    assert {score["metric"] for score in added["protocols"]["double-infogan"]} == {"accuracy", "factor_vae"}
    assert {**added, "protocols": {}} == before

    path.write_text(json.dumps(before), encoding="utf-8")
    assert cabench_here("evaluate", "--protocol", "double-infogan").returncode == 0
    assert json.loads(path.read_text(encoding="utf-8")) == added

    assert cabench_here(*SPRITES, "--force", "--protocol", "double-infogan").returncode == 0
    fresh = json.loads(path.read_text(encoding="utf-8"))
    assert (fresh["protocols"], fresh["scores"]) == (added["protocols"], added["scores"])


def test_a_finished_cell_without_its_representations_is_shown_without_the_protocol(cabench_here, tmp_path):
    table = cabench_here(*SPRITES).stdout
    (path,) = records(tmp_path)
    (path.parent / "representations.h5").unlink()
    done = cabench_here(*SPRITES, "--protocol", "double-infogan")
    assert done.returncode == 1
    assert done.stdout == table
    assert "dsprites / pca / seed 0: " in done.stderr
    assert "was not kept" in done.stderr
    assert "are left" not in done.stderr


LONG = "x" * 300
PLAN = ("plan", "--methods", "pca")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("report", "--results", LONG), "File name too long"),
        (("data", "info", f"{LONG}.h5"), "File name too long"),
        ((*PLAN, "--profile", f"{LONG}.toml"), "File name too long"),
        (("plan", "--methods", "\x1b[2Jpca"), "Unknown method '\\x1b[2Jpca'"),
        ((*PLAN, "--seeds", "0-99999999999"), "not understood"),
        ((*PLAN, "--device", "cuda:" + "9" * 5000), "Unknown device"),
        ((*PLAN, "--set", "pca.components=0x" + "f" * 5000), "takes a whole number"),
        (("report", "--output", "pipe", "--results", "."), "no regular file"),
        (("gate", "--baseline", "pipe", "--results", "."), "no records"),
        *(((*SMOKE, "--checkpoint-seconds", text), "must be from 0") for text in ("nan", "inf", "-1")),
    ],
)
def test_a_hostile_request_is_answered_in_one_sentence(cabench_here, tmp_path, arguments, message):
    os.mkfifo(tmp_path / "pipe")
    done = cabench_here(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize("label", ["../../../outside", "..", "a/../../b"])
@pytest.mark.parametrize("command", [("report",), ("evaluate",)])
def test_a_record_cannot_lead_out_of_the_results_folder(cabench_here, tmp_path, label, command):
    assert cabench_here("run", "--methods", "chance", "--profile", "smoke", "--no-controls").returncode == 0
    (path,) = records(tmp_path)
    content = json.loads(path.read_text(encoding="utf-8"))
    content["dataset"]["label"] = label
    content["evaluation"]["version"] = 1  # so that evaluate has to write it anew
    path.write_text(json.dumps(content), encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    done = cabench_here(*command)
    assert (done.returncode, "is no name for a method or data set" in done.stderr) == (1, True)
    assert sorted(tmp_path.rglob("*")) == before
