"""Settings of a cluster, and options that go together: all that is refused before anything is done."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import cabench
from cabench.errors import UserError
from cabench.experiment.slurm import read_settings

pytest.importorskip("submitit")


@pytest.fixture
def slurm_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands with the names of SLURM's: settings are read and nothing is submitted."""
    for name in ("sbatch", "srun"):
        (tmp_path / name).touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


def write(folder: Path, text: str) -> Path:
    path = folder / "cluster.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.usefixtures("slurm_here")
def test_settings_have_defaults_and_keep_what_is_said(tmp_path: Path) -> None:
    text = '[slurm]\ntime = 240\npartition = "gpu"\nsetup = ["module load cuda"]\n'
    text += 'additional_parameters = {reservation = "x"}'
    settings = read_settings(write(tmp_path, text))
    assert settings["partition"] == "gpu"
    assert settings["setup"] == ["module load cuda"]
    assert settings["additional_parameters"] == {"reservation": "x"}
    assert settings["cpus_per_task"] == 1
    assert read_settings(write(tmp_path, "[slurm]\ntime = 5\ncpus_per_task = 4"))["cpus_per_task"] == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time = 5", r"must hold one table, \[slurm\]"),
        ("[slurm]\ntime = 5\n[other]", r"must hold one table, \[slurm\]"),
        ("[slurm", "cannot be read"),
        ("[slurm]", "has no time"),
        ("[slurm]\ntime = '4:00:00'", "whole number from 1, in minutes"),
        ("[slurm]\ntime = 0", "whole number from 1"),
        ("[slurm]\ntime = true", "whole number from 1"),
        ("[slurm]\ntime = 5\npartitoin = 'gpu'", "did you mean 'partition'"),
        ("[slurm]\ntime = 5\nnodes = 2", "Unknown setting"),
        ("[slurm]\ntime = 5\nsetup = 'module load cuda'", "a list of texts"),
        ("[slurm]\ntime = 5\nadditional_parameters = 1", "a table"),
        ("[slurm]\ntime = 5\npartition = ['a']", "text, a number, true or false"),
        ("[slurm]\ntime = 1", "leaves no time: a task writes its checkpoint 90 s before"),
        ("[slurm]\ntime = 2\nsignal_delay_s = 120", "leaves no time"),
    ],
)
@pytest.mark.usefixtures("slurm_here")
def test_other_settings_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_settings(write(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_settings(tmp_path / "absent.toml")


def test_a_machine_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="There is no SLURM on this machine"):
        read_settings(write(tmp_path, "[slurm]\ntime = 5"))


def test_without_submitit_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"pip install 'cabench\[slurm\]'"):
        read_settings(write(tmp_path, "[slurm]\ntime = 5"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"wait": True}, "--wait goes with --executor slurm"),
        ({"cluster": "cluster.toml"}, "--cluster goes with --executor slurm"),
        ({"executor": "slurm"}, "name one with --cluster"),
        ({"executor": "slurm", "cluster": "cluster.toml", "workers": "auto"}, "give a number of tasks"),
        ({"executor": "slurm", "cluster": "cluster.toml", "time_limit": "1h"}, "the time that --cluster says"),
        ({"executor": "slrum"}, "did you mean 'slurm'"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        cabench.run("pca", "planted", profile="smoke", results=tmp_path, **options)
    assert not any(tmp_path.iterdir())


@pytest.mark.usefixtures("slurm_here")
def test_devices_are_those_of_the_nodes_but_must_exist_somewhere(tmp_path: Path) -> None:
    cluster = write(tmp_path, "[slurm]\ntime = 5")
    with pytest.raises(UserError, match="Unknown device 'gpu'"):
        cabench.run("pca", "planted", profile="smoke", executor="slurm", cluster=cluster, device="gpu")
