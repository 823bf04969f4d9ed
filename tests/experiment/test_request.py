"""Requests: seeds, overrides and names as they are written; and what the key of a cell depends on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import h5py
import pytest

from cabench.config import Settings, setting
from cabench.context import Precision
from cabench.data.dataset import Attribute, DatasetInfo
from cabench.discovery import plugins
from cabench.errors import UserError
from cabench.evaluation.probes import ProbeConfig
from cabench.experiment import identity
from cabench.experiment.identity import Identity, identify, method_entry
from cabench.experiment.plan import resolve, survey
from cabench.experiment.record import Record
from cabench.experiment.request import Request, ResolvedProfile, parse_overrides, parse_seeds
from cabench.experiment.store import ResultsStore
from cabench.method import ContrastiveAnalysisMethod
from cabench.methods.chance import Chance, ChanceConfig
from cabench.profiles import Profile, Variant

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
EMPTY = Profile("empty", "")


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


# Seeds


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0", [0]),
        ("7", [7]),
        ("0-4", [0, 1, 2, 3, 4]),
        ("3-3", [3]),
        ("0,2,5", [0, 2, 5]),
        ("5,2,0", [5, 2, 0]),
        ("0-2,7,9-10", [0, 1, 2, 7, 9, 10]),
        ("0-2,1-3,0", [0, 1, 2, 3]),
        (" 0 , 2-3 ", [0, 2, 3]),
        ("007", [7]),
    ],
)
def test_seeds_are_numbers_and_ranges_in_order_without_repeats(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


def test_more_seeds_than_anybody_runs_are_refused_before_they_are_listed() -> None:
    for text in ("0-999999999", "0-9000,0-9000"):
        with pytest.raises(UserError, match="more than 10,000"):
            parse_seeds(text)


@pytest.mark.parametrize(
    "text",
    ["", ",", "0,", "-1", "3-", "4-0", "0--4", "0-4-8", "1.5", "a", "0 1", "0;1", "0:4", "²", "9" * 10, "9" * 5000],
)
def test_other_seeds_are_refused_and_repeated_with_the_right_form(text: str) -> None:
    with pytest.raises(UserError, match="not understood; write numbers and ranges such as 0,2 or 0-4") as caught:
        parse_seeds(text)
    assert repr(text) in str(caught.value)


# Overrides


def test_overrides_are_grouped_by_label_with_values_as_toml() -> None:
    texts = ["sepclr.epochs=20", "sepclr.encoder=small_conv", "planted.noise = 3", "sepclr.crop_scale=[0.5, 1.0]"]
    assert parse_overrides(texts) == {
        "sepclr": {"epochs": 20, "encoder": "small_conv", "crop_scale": [0.5, 1.0]},
        "planted": {"noise": 3},
    }


def test_the_last_of_two_overrides_of_a_field_wins() -> None:
    assert parse_overrides(["a.b=1", "a.b=2"]) == {"a": {"b": 2}}


def test_a_value_may_hold_an_equals_sign_and_a_dot() -> None:
    assert parse_overrides(["a.b=x=1.5"]) == {"a": {"b": "x=1.5"}}


def test_no_overrides_are_an_empty_mapping() -> None:
    assert parse_overrides([]) == {}


@pytest.mark.parametrize(
    "text", ["", "sepclr", "sepclr.epochs", "epochs=20", ".epochs=20", "sepclr.=20", "=20", "=", "."]
)
def test_other_overrides_are_refused_and_repeated_with_the_right_form(text: str) -> None:
    with pytest.raises(UserError, match=r"write NAME\.FIELD=VALUE, such as sepclr\.epochs=20") as caught:
        parse_overrides([text])
    assert repr(text) in str(caught.value)


def test_an_override_of_something_outside_the_run_is_refused() -> None:
    ResolvedProfile(EMPTY, {"pca": {}}).check_overrides(["pca", "planted"])
    with pytest.raises(UserError, match="'pcaa'; did you mean 'pca'"):
        ResolvedProfile(EMPTY, {"pcaa": {"x": 1}}).check_overrides(["pca", "planted"])


# Construction


def test_an_override_wins_over_the_profile_and_goes_by_label() -> None:
    profile = Profile(
        "p",
        "",
        methods={"chance": {"d_common": 2, "d_salient": 2}},
        datasets={"planted": {"noise": 1}},
        method_variants={"wide": Variant("chance", {"d_common": 8})},
    )
    overrides = {"wide": {"d_salient": 9}, "planted": {"noise": 4}}
    assert ResolvedProfile(profile, overrides).method("wide", "planted").config == ChanceConfig(d_common=8, d_salient=9)
    assert ResolvedProfile(profile, overrides).method("chance", "planted").config == ChanceConfig(
        d_common=2, d_salient=2
    )
    assert ResolvedProfile(profile, overrides).dataset("planted").config.to_dict()["noise"] == 4


def test_an_unknown_method_field_or_value_is_refused() -> None:
    with pytest.raises(UserError, match="Unknown method 'chanse'; did you mean 'chance'"):
        ResolvedProfile(EMPTY).method("chanse", "planted")
    with pytest.raises(UserError, match="Unknown data set 'plantet'; did you mean 'planted'"):
        ResolvedProfile(EMPTY).dataset("plantet")
    with pytest.raises(UserError, match=r"chance\.d_common = 0"):
        ResolvedProfile(EMPTY, {"chance": {"d_common": 0}}).method("chance", "planted")


# Keys


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


# Plans


def request(**changes: object) -> Request:
    plain = Request(
        methods="pca,chance",
        datasets="planted",
        seeds="0-1",
        profile="smoke",
        sets=("planted.repeats=1",),
        device="cpu",
        precision="fp32",
        data_root=None,
        controls=False,
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_plan_has_every_combination_with_seeds_innermost(tmp_path: Path) -> None:
    built: list[str] = []
    planned = resolve(request(), built.append).cells
    cells = [one.identity for one in planned]
    assert [(one.dataset["label"], one.method["label"], one.seed) for one in cells] == [
        ("planted", "pca", 0),
        ("planted", "pca", 1),
        ("planted", "chance", 0),
        ("planted", "chance", 1),
    ]
    assert planned[0].new_method() is not planned[0].new_method(), "fits would share a method object"
    assert built == ["Building data set planted"]
    resolve(request(), built.append)
    assert len(built) == 1, "the data set was built twice"
    lines = survey(request(), ResultsStore(tmp_path / "results")).lines
    assert lines == [(one.dataset["label"], one.method["label"], one.seed, one.key[:8], "missing") for one in cells]


def test_controls_are_added_once() -> None:
    labels = [one.identity.method["label"] for one in resolve(request(seeds="0", controls=True), lambda _: None).cells]
    assert labels == ["pca", "chance"]


def test_an_override_changes_the_key_of_its_method_alone() -> None:
    plain = resolve(request(seeds="0"), lambda _: None).cells
    sets = ("planted.repeats=1", "chance.d_common=2")
    changed = resolve(request(seeds="0", sets=sets), lambda _: None).cells
    assert [a.identity.key == b.identity.key for a, b in zip(plain, changed, strict=True)] == [True, False]


def test_a_run_does_not_begin_on_data_that_are_damaged() -> None:
    file = resolve(request(seeds="0"), lambda _: None).cells[0].data
    with h5py.File(file.path, "r+") as opened:
        opened["test/images"][0, 0, 0, 0] ^= 1
    with pytest.raises(UserError, match=r"planted-.*\.h5 is damaged .*; delete it, and it is built again\."):
        resolve(request(seeds="0"), lambda _: None)
    file.path.unlink()
    assert resolve(request(seeds="0"), lambda _: None).cells[0].data.info == file.info


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ""}, "No method was named"),
        ({"methods": " , "}, "No method was named"),
        ({"methods": "pca,chanse"}, "Unknown method 'chanse'"),
        ({"datasets": "plantd", "sets": ()}, "Unknown data set 'plantd'"),
        ({"datasets": ","}, "No data set was named"),
        ({"seeds": "x"}, "Seeds 'x'"),
        ({"profile": "quik"}, "Unknown profile 'quik'"),
        ({"sets": ["chance.d_comon=2"]}, "Unknown field of chance 'd_comon'"),
        ({"sets": ["oracle.x=2"]}, "Unknown name in --set 'oracle'"),
        ({"sets": ["chance.d_common=0"]}, "d_common = 0 is not allowed"),
        ({"device": "gpu"}, "Unknown device 'gpu'"),
        ({"precision": "fp16"}, "Unknown precision 'fp16'"),
    ],
)
def test_a_mistake_in_a_request_is_told_before_anything_is_built(
    cache_folder: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        resolve(request(**changes), lambda text: pytest.fail(text))
    assert not cache_folder.exists()


def test_a_misspelt_name_is_reported_before_an_override_that_spells_it_rightly() -> None:
    with pytest.raises(UserError, match="Unknown data set 'plantd'; did you mean 'planted'"):
        resolve(request(datasets="plantd", sets=["planted.repeats=1"]), lambda text: pytest.fail(text))


# All methods at once


def test_all_stands_for_every_method_that_takes_the_data_set(tmp_path: Path) -> None:
    small = ("dsprites.train_size=1200", "dsprites.test_size=20")
    everything = request(methods="all", datasets="dsprites", profile="quick", seeds="0", sets=small)
    said: list[str] = []
    cells = [one.identity for one in resolve(everything, said.append).cells]
    left_out = {"oracle"}
    assert [one.method["label"] for one in cells] == [name for name in plugins("methods") if name not in left_out]
    assert said[1:] == [
        "Left out on dsprites: oracle (oracle reads planted attributes and runs on 'planted' alone, not on 'dsprites')"
    ]
    lines = survey(everything, ResultsStore(tmp_path / "results")).lines
    assert [line[1] for line in lines if line[4].startswith("left out (oracle reads")] == ["oracle"]


def test_a_method_that_is_named_as_well_must_take_the_data_set() -> None:
    small = ("dsprites.train_size=40", "dsprites.test_size=20")
    with pytest.raises(UserError, match="oracle reads planted attributes"):
        resolve(
            request(methods="all,oracle", datasets="dsprites", profile="quick", seeds="0", sets=small), lambda _: None
        )


def test_all_takes_variants_and_controls_beside_it_once() -> None:
    labels = [
        one.identity.method["label"]
        for one in resolve(
            request(methods="sepclr,all", profile="smoke", seeds="0", controls=True), lambda _: None
        ).cells
    ]
    assert labels == ["sepclr", *(name for name in plugins("methods") if name != "sepclr")]


def test_no_variant_may_be_called_all(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[variants.all]\nmethod = "pca"\ncomponents = 3\n', encoding="utf-8")
    with pytest.raises(UserError, match="the variant name 'all' is taken"):
        resolve(request(profile=str(tmp_path / "mine.toml")), lambda _: None)
