"""A record that says what cannot be is refused wherever records are read, and is not ranked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cabench.errors import UserError
from cabench.experiment.record import Record

PUBLISHED = Path(__file__).parents[2] / "results" / "published" / "dsprites"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A published record, in a results folder of its own."""
    place = next((PUBLISHED / "mmcvae").glob("seed0-*"))
    return shutil.copytree(place, tmp_path / "runs" / "dsprites" / "mmcvae" / place.name) / "record.json"


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def failed(content: dict[str, Any]) -> None:
    error = {"type": "E", "message": "m", "traceback": "", "step": None, "last_terms": None}
    content.update(status="failed", error=error)


EDITS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a gap below 0": (lambda c: c.update(separation_gap=-3), r"separation gap is -3\.0, but its scores give 0\.\d+"),
    "a gap below 0 by older measures": (
        lambda c: (c.update(separation_gap=-3), c["evaluation"].update(version=2)),
        "a separation gap of -3 cannot be",
    ),
    "what a dimension shares": (
        lambda c: c.update(dimension_r2={"shape": [0.5, 1.5]}),
        "what dimensions share with shape is not between 0 and 1",
    ),
    "a score that is there twice": (
        lambda c: c["scores"].append(c["scores"][0]),
        "a score is there twice, in its scores",
    ),
    "another gap": (lambda c: c.update(separation_gap=c["separation_gap"] - 0.01), "but its scores give"),
    "no gap": (lambda c: (c.update(separation_gap=None), c["method"].update(origin="vectors")), "gap is None"),
    "an accuracy": (lambda c: c["scores"][0].update(value=7.5), r"7\.5 of .* cannot be, in its scores"),
    "a protocol": (
        lambda c: c.update(protocols={"sepclr": [{**c["scores"][0], "value": 7.5}]}),
        "cannot be, in its sepclr",
    ),
    "images seen": (lambda c: c["cost"].update(images_seen=-1e99), "a cost below 0"),
    "a leak floor": (lambda c: c.update(leak_floor=-0.5), r"its leak floor is -0\.5"),
    "chance that is perfect": (lambda c: [s.update(chance=1.0) for s in c["scores"]], "but its scores give none"),
    "scores of a failed cell": (failed, "it says that it failed, and has scores"),
    "an error of a cell that is done": (
        lambda c: c.update(error={"type": "E", "message": "", "traceback": "", "step": None, "last_terms": None}),
        "it says that it is done, and has an error",
    ),
}


@pytest.mark.parametrize(("edit", "said"), EDITS.values(), ids=EDITS)
def test_what_cannot_be_is_refused(path: Path, edit: Callable[[dict[str, Any]], object], said: str) -> None:
    Record.load(path)
    change(path, edit)

    with pytest.raises(UserError, match=said):
        Record.load(path)


def test_a_report_says_what_it_leaves_out(path: Path, tmp_path: Path, cabench_here) -> None:
    change(path, EDITS["a gap below 0"][0])

    done = cabench_here("report", "--results", str(tmp_path / "runs"), "--format", "csv")

    assert done.returncode == 1
    assert done.stderr.startswith("not reported: ")
    assert "its separation gap is -3.0" in done.stderr
    assert "mmcvae" not in done.stdout
