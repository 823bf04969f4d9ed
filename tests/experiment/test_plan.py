"""From a request to its cells: every combination, and every mistake told before anything is built."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import h5py
import numpy as np
import pytest

from cabench.data.importing.arrays import Examples, write_arrays
from cabench.discovery import method_class, plugins
from cabench.errors import UserError
from cabench.experiment.plan import resolve
from cabench.experiment.request import Request
from cabench.experiment.store import ResultsStore
from cabench.experiment.survey import survey
from cabench.methods.pca import PCA


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
    found = survey(request(), ResultsStore(tmp_path / "results")).cells
    assert [(one.dataset, one.method, one.seed, one.key, one.said) for one in found] == [
        (one.dataset["label"], one.method["label"], one.seed, one.key, "missing") for one in cells
    ]


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
    with pytest.raises(UserError, match=r"planted-.*\.h5 is damaged .*\. Delete it, and it is built again\."):
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
    left_out = {name for name in plugins("methods") if name == "oracle" or "images" not in method_class(name).takes}
    assert [one.method["label"] for one in cells] == [name for name in plugins("methods") if name not in left_out]
    reasons = {text.split()[4]: text for text in said[1:]}
    assert reasons.keys() == left_out
    assert reasons["oracle"] == (
        "Left out on dsprites: oracle (oracle reads planted attributes and runs on 'planted' alone, not on 'dsprites')"
    )
    refused = survey(everything, ResultsStore(tmp_path / "results")).left_out
    assert [one.method for one in refused if one.reason.startswith("oracle reads")] == ["oracle"]


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
    of_images = [name for name in plugins("methods") if "images" in method_class(name).takes]
    assert labels == ["sepclr", *(name for name in of_images if name != "sepclr")]


def test_no_variant_may_be_called_all(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[variants.all]\nmethod = "pca"\ncomponents = 3\n', encoding="utf-8")
    with pytest.raises(UserError, match="the variant name 'all' is taken"):
        resolve(request(profile=str(tmp_path / "mine.toml")), lambda _: None)


@pytest.mark.parametrize("name", ["x.csv", "mine.H5", "./here", "below/x.npz"])
@pytest.mark.parametrize("command", ["verify", "info", "build"])
def test_a_path_that_is_no_data_set_file_is_told_what_makes_one(
    cabench_here: Callable[..., CompletedProcess[str]], tmp_path: Path, command: str, name: str
) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    (tmp_path / "here").mkdir()
    refused = cabench_here("data", command, name)
    assert refused.returncode == 2
    assert f"{name} is no data set: a file of your own must end in .h5. `cabench data import` makes" in refused.stderr


def test_a_mistyped_name_is_still_compared_with_names() -> None:
    with pytest.raises(UserError, match=r"Unknown data set 'planted\.2'; did you mean 'planted'"):
        resolve(request(datasets="planted.2"), lambda _: None)


# Controls


@pytest.fixture
def small_table(tmp_path: Path) -> Path:
    """A table of five features."""
    rows = np.random.default_rng(0).normal(size=(2, 100, 5)).astype(np.float32)
    return write_arrays(tmp_path / "small.h5", *map(Examples, rows)).path


def on_table(table: Path, **changes: object) -> Request:
    """A request under a profile with two controls, of which `oracle` runs on `planted` alone."""
    profile = table.with_name("mine.toml")
    profile.write_text('extends = "quick"\n[defaults]\ncontrols = ["oracle", "pca"]\n', encoding="utf-8")
    return request(datasets=[table], profile=str(profile), sets=(), seeds="0", controls=True, **changes)


def test_a_control_that_does_not_fit_leaves_itself_out_and_stops_nothing_that_was_asked_for(
    small_table: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    asked = on_table(small_table, methods="random_encoder")
    cells = resolve(asked, said.append).cells
    assert [cell.identity.method["label"] for cell in cells] == ["random_encoder", "pca"]
    (reason,) = [text for text in said if "Left out" in text]
    assert reason == ("Left out on small: oracle (oracle takes images, but small holds a table of 5 features)"), (
        "the file is called by its own name, not by that of its provider"
    )
    assert [one[:2] for one in survey(asked, ResultsStore(tmp_path)).left_out] == [("small", "oracle")]


@pytest.mark.parametrize("methods", ["random_encoder,oracle", "all,oracle"])
def test_a_control_that_was_asked_for_by_name_must_fit(small_table: Path, methods: str) -> None:
    with pytest.raises(UserError, match="oracle takes images, but small holds a table"):
        resolve(on_table(small_table, methods=methods), lambda _: None)


def test_a_control_that_fails_in_construction_leaves_itself_out(
    small_table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: PCA, config: object = None) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(PCA, "__init__", broken)
    said: list[str] = []
    cells = resolve(on_table(small_table, methods="random_encoder"), said.append).cells
    assert [cell.identity.method["label"] for cell in cells] == ["random_encoder"]
    assert any("Left out on small: pca (Method 'pca' cannot be used (RuntimeError: broken)" in text for text in said)
    with pytest.raises(UserError, match="'pca' cannot be used"):
        resolve(on_table(small_table, methods="pca"), lambda _: None)


def test_a_wrong_override_of_a_control_is_told_and_does_not_leave_it_out(small_table: Path) -> None:
    asked = on_table(small_table, methods="random_encoder")
    with pytest.raises(UserError, match=r"pca\.components = -1 is not allowed"):
        resolve(dataclasses.replace(asked, sets=("pca.components=-1",)), lambda _: None)
    fitting = resolve(dataclasses.replace(asked, sets=("pca.components=3",)), lambda _: None).cells
    assert [cell.identity.method["label"] for cell in fitting] == ["random_encoder", "pca"]


def test_a_control_that_does_not_exist_is_a_mistake_in_the_profile(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('extends = "smoke"\n[defaults]\ncontrols = ["chanse"]\n', encoding="utf-8")
    with pytest.raises(UserError, match="Unknown control of profile 'mine' 'chanse'; did you mean 'chance'"):
        resolve(request(profile=str(tmp_path / "mine.toml"), controls=True), lambda _: None)


# Limits of a profile


SLOW_METHOD = """
from dataclasses import dataclass
from cabench import Representation, Settings, setting
from cabench import ContrastiveAnalysisMethod

@dataclass(frozen=True)
class SlowConfig(Settings):
    epochs: int = setting(10, at_least=1)
    batch_size: int = setting(500, at_least=100)
    width: int = setting(7)

class Slow(ContrastiveAnalysisMethod):
    name = "slow"
    version = 1
    Config = SlowConfig

    def fit(self, data, context): ...
    def encode(self, images): return Representation(images.flatten(1), images.flatten(1))
    def state_dict(self): return {}
    def load_state_dict(self, state): ...
"""


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """3,000 background and 2,000 target rows, a fifth of them tested."""
    generator = np.random.default_rng(0)
    parts = [Examples(generator.normal(size=(count, 3)).astype(np.float32)) for count in (3000, 2000)]
    return write_arrays(tmp_path / "large.h5", *parts).path


def test_the_smoke_profile_limits_any_method_and_any_data(large: Path, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW_METHOD.replace('name = "slow"', 'name = "slow"\n    takes = ("tables",)'))
    asked = request(methods=str(tmp_path / "slow.py"), datasets=[large], sets=(), seeds="0")
    (cell,) = resolve(asked, lambda _: None).cells
    # Its own least batch is larger than the limit.
    assert cell.identity.method["config"] == {"epochs": 2, "batch_size": 100, "width": 7}
    assert cell.identity.dataset["most_rows"] == {"train": 1000, "test": 500}
    assert [len(part) for part in cell.data.read("train")[1:]] == [1000, 1000]
    assert [len(part) for part in cell.data.read("test")[1:]] == [500, 400]


def test_what_a_request_or_profile_sets_is_not_limited(large: Path, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW_METHOD)
    (tmp_path / "mine.toml").write_text('extends = "smoke"\n[every_method]\nepochs = 5\n', encoding="utf-8")
    asked = request(methods=str(tmp_path / "slow.py"), seeds="0", sets=("slow.epochs=30",))
    assert resolve(asked, lambda _: None).cells[0].identity.method["config"]["epochs"] == 30
    asked = request(methods=str(tmp_path / "slow.py"), seeds="0", sets=(), profile=str(tmp_path / "mine.toml"))
    assert resolve(asked, lambda _: None).cells[0].identity.method["config"]["epochs"] == 5


def test_a_cell_on_a_sample_is_another_than_one_on_all_rows(large: Path, tmp_path: Path) -> None:
    (tmp_path / "whole.toml").write_text('extends = "smoke"\n[rows]\ntrain = 9000\ntest = 9000\n', encoding="utf-8")
    asked = request(methods="pca", datasets=[large], sets=("pca.components=2",), seeds="0")
    (part,) = resolve(asked, lambda _: None).cells
    (whole,) = resolve(dataclasses.replace(asked, profile=str(tmp_path / "whole.toml")), lambda _: None).cells
    assert part.identity.method == whole.identity.method
    assert part.identity.key != whole.identity.key
    assert "most_rows" not in whole.identity.dataset
    with h5py.File(large) as file:
        assert whole.identity.dataset["content_sha256"] == file.attrs["content_sha256"]
