"""Records: what an older evaluation wrote can still be read, and later fields come back as they were written."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cabench.errors import UserError
from cabench.record import Record, Score, Unmeasured
from cabench.store import ResultsStore

HISTORIC = Path(__file__).parent / "historic_results"


@pytest.fixture
def historic() -> Record:
    """The record of PCA on `dsprites`, written under version 1 of the evaluation."""
    (record,) = ResultsStore(HISTORIC).records()
    return record


@pytest.fixture
def current(historic: Record) -> Record:
    """The same with everything that records hold since."""
    score = dataclasses.replace(historic.scores[0], metric="hsic", value=0.1 + 0.2, standard_error=None, p_value=0.25)
    return dataclasses.replace(
        historic,
        scores=(*historic.scores, score),
        unmeasured=(Unmeasured("salient", "shape", "target", "mig", "no dimension varies"),),
        dimension_r2={"shape": [0.0, 1 / 3], "scale": [1.0, 0.0]},
        protocols={"sepclr": (score, historic.scores[1]), "sepvae": ()},
    )


def test_a_record_of_the_first_evaluation_still_loads(historic: Record) -> None:
    content = json.loads(next(HISTORIC.rglob("record.json")).read_text(encoding="utf-8"))
    assert not {"unmeasured", "dimension_r2", "protocols"} & set(content)
    assert content["evaluation"]["version"] == 1
    assert (historic.key, historic.method["name"], historic.seed) == (content["key"], "pca", 0)
    assert historic.separation_gap == content["separation_gap"]
    assert [score.value for score in historic.scores] == [score["value"] for score in content["scores"]]
    assert {score.p_value for score in historic.scores} == {None}
    assert (historic.unmeasured, historic.dimension_r2, historic.protocols) == ((), {}, {})
    assert historic.folder(HISTORIC) == next(HISTORIC.rglob("record.json")).parent


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
