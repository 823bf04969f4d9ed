"""A cell's identity: the key changes with all that determines the scores, and with nothing else."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pytest

from cabench.config import Settings, setting
from cabench.context import Precision
from cabench.data.dataset import Attribute, DatasetInfo
from cabench.evaluation.probes import ProbeConfig
from cabench.experiment import identity
from cabench.experiment.identity import Identity, identify, method_entry
from cabench.experiment.record import Record
from cabench.method import ContrastiveAnalysisMethod
from cabench.methods.chance import Chance, ChanceConfig

INFO = DatasetInfo(
    name="tiny",
    builder_version=1,
    config={"size": 8},
    content_sha256="0" * 64,
    sources=("nothing",),
    image_shape=(1, 8, 8),
    attributes=(Attribute("a", "common", "class", ("x", "y")),),
    counts={"train": {"background": 10, "target": 10}, "test": {"background": 10, "target": 10}},
)


@dataclass(frozen=True)
class OtherConfig(Settings):
    """The fields of `ChanceConfig` under another class."""

    d_common: int = setting(1)
    d_salient: int = setting(1)


class NewerChance(Chance):
    version = Chance.version + 1


class RenamedChance(Chance):
    name = "renamed"


def cell(
    method: ContrastiveAnalysisMethod | None = None,
    method_label: str = "chance",
    dataset: DatasetInfo = INFO,
    dataset_label: str = "tiny",
    seed: int = 0,
    precision: Precision = "fp32",
    profile: str = "quick",
) -> Identity:
    return identify(method_entry(method or Chance(), method_label), dataset, dataset_label, profile, seed, precision)


def test_the_key_is_a_sha256_and_the_same_for_equal_cells() -> None:
    key = cell().key
    assert len(key) == 64
    assert set(key) <= set("0123456789abcdef")
    assert cell(Chance(ChanceConfig())).key == key


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(cell(NewerChance()), id="method version"),
        pytest.param(cell(RenamedChance()), id="method name"),
        pytest.param(cell(Chance(ChanceConfig(d_common=2))), id="one field"),
        pytest.param(cell(Chance(ChanceConfig(d_salient=2))), id="another field"),
        pytest.param(cell(seed=1), id="seed"),
        pytest.param(cell(precision="bf16"), id="precision"),
        pytest.param(cell(dataset=dataclasses.replace(INFO, content_sha256="1" * 64)), id="data"),
    ],
)
def test_the_key_changes_with_all_that_determines_the_scores(changed: Identity) -> None:
    assert changed.key != cell().key


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROBES", ProbeConfig(folds=3)),
        ("PROBES", ProbeConfig(penalties=(1.0,))),
        ("VERSION", identity.VERSION + 1),
        ("SCHEMA", identity.SCHEMA + 1),
    ],
)
def test_the_key_changes_with_the_evaluation_and_the_schema(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    before = cell().key
    monkeypatch.setattr(identity, name, value)
    assert cell().key != before


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(cell(method_label="my_variant"), id="method label"),
        pytest.param(cell(dataset_label="my_data"), id="data set label"),
        pytest.param(cell(profile="paper"), id="profile"),
        pytest.param(cell(Chance(OtherConfig())), id="class of an equal configuration"),
        pytest.param(
            cell(dataset=dataclasses.replace(INFO, name="other", builder_version=2, config={}, sources=())),
            id="how equal data were made",
        ),
    ],
)
def test_the_key_does_not_change_with_names(changed: Identity) -> None:
    assert changed.key == cell().key


def record_of(one: Identity) -> Record:
    return Record.of(one, "ok", scores=(), separation_gap=0.5, cost={}, provenance={}, error=None)


@pytest.mark.parametrize(
    "one",
    [
        cell(),
        cell(NewerChance(ChanceConfig(d_common=3)), seed=7, precision="bf16", method_label="wide"),
        cell(dataset=dataclasses.replace(INFO, content_sha256="1" * 64)),
    ],
    ids=["plain", "another", "other data"],
)
def test_a_record_is_renewed_to_the_key_that_its_cell_has_under_the_newer_evaluation(
    monkeypatch: pytest.MonkeyPatch, one: Identity
) -> None:
    record = record_of(one)
    assert record.renewed().key == record.key
    monkeypatch.setattr(identity, "VERSION", identity.VERSION + 1)
    assert record.renewed().key == one.renewed().key != record.key


def test_a_record_of_an_older_method_stays_one_of_the_older_method() -> None:
    assert record_of(cell()).renewed().key != cell(NewerChance()).key


def test_the_folder_follows_the_documented_layout(tmp_path: Path) -> None:
    one = cell(method_label="my_variant", dataset_label="my_data", seed=12)
    assert one.folder(tmp_path) == tmp_path / "my_data" / "my_variant" / f"seed12-{one.key[:8]}"
    assert one.title == "my_data / my_variant / seed 12"


def test_vectors_differ_in_their_method_and_not_in_their_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    one = cell()
    other = cell(Chance(ChanceConfig(d_common=3)))
    assert one.is_same_but_for_its_method(other)
    assert not one.is_same_but_for_its_method(cell(Chance(ChanceConfig(d_common=3)), seed=1))
    monkeypatch.setattr(identity, "VERSION", identity.VERSION + 1)
    assert one.renewed().key != one.key
    assert not one.is_same_but_for_its_method(one.renewed())


def test_a_table_is_known_by_its_record_under_the_same_key() -> None:
    table = cell(dataset=dataclasses.replace(INFO, image_shape=(5,)))
    assert table.dataset.get("is_table") is True
    assert "is_table" not in cell().dataset
    assert table.key == cell().key  # the content hash says all that counts
