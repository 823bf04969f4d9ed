"""Real disks that fill up or become read-only, as small file systems in memory; mounting them takes root."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CommandLine = Callable[..., subprocess.CompletedProcess[str]]
RUN = ("run", "--profile", "smoke", "--no-controls", "--set", "planted.repeats=1", "--checkpoint-seconds", "0")


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a file system of some KiB on a folder, or mounts it again with other options."""
    folder = tmp_path / "disk"

    def mount(options: str) -> Path:
        folder.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
        if "remount" in options:
            command = ["mount", "-o", options, str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no mount command")
        if done.returncode != 0:
            pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
        return folder

    yield mount
    subprocess.run(["umount", str(folder)], capture_output=True, check=False)


def check_one_error(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert all(word in error for word in words), error
    assert "Traceback" not in done.stderr
    assert len(done.stderr) < 1500, "more was said than one message"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size_kib", "title"),
    [
        pytest.param(400, "planted / mmcvae / seed 0", id="checkpoint"),
        pytest.param(100, "planted / pca / seed 0", id="representations"),
    ],
)
def test_a_disk_that_fills_up_ends_the_run_with_one_error_and_the_same_command_goes_on(
    tmp_path: Path, cabench: CommandLine, mount: Callable[..., Path], size_kib: int, title: str
) -> None:
    disk = mount(f"size={size_kib}k")
    methods = title.split(" / ")[1]
    done = cabench(*RUN, "--methods", methods, "--results", str(disk / "results"))
    check_one_error(done, title, "could not be saved", "No space left on device")
    assert not list(disk.rglob("record.json")), "a full disk is no failure of the method"
    assert not list(disk.rglob(".*.tmp"))
    mount("remount,size=20m")
    done = cabench(*RUN, "--methods", methods, "--results", str(disk / "results"))
    assert done.returncode == 0, done.stderr
    assert len(list(disk.rglob("record.json"))) == 1


def test_a_full_cache_is_one_error_and_nothing_half_built_remains(
    cabench: CommandLine, mount: Callable[..., Path]
) -> None:
    disk = mount("size=1m")
    done = cabench("data", "build", "planted", "--profile", "smoke", CABENCH_CACHE=str(disk))
    check_one_error(done, "'planted' could not be built", "No space left on device", "CABENCH_CACHE")
    assert [path.suffix for path in disk.rglob("*") if path.is_file()] == [".lock"]


@pytest.mark.slow
def test_a_folder_that_is_read_only_can_be_planned_and_reported_and_refuses_a_run(
    cabench: CommandLine, mount: Callable[..., Path]
) -> None:
    disk = mount("size=20m")
    results = ("--results", str(disk))
    assert cabench(*RUN, "--methods", "pca,chance", *results).returncode == 0
    next(disk.glob("*/chance/seed0-*/record.json")).unlink()
    mount("remount,ro")
    plan = cabench("plan", *RUN[1:-2], "--methods", "pca,chance", *results)
    assert plan.returncode == 0, plan.stderr
    assert [line.split()[-1] for line in plan.stdout.splitlines()[2:]] == ["done", "missing"]
    report = cabench("report", *results)
    assert (report.returncode, report.stderr) == (0, "")
    check_one_error(cabench(*RUN, "--methods", "pca,chance", *results), "cannot be written to", "Read-only file system")
