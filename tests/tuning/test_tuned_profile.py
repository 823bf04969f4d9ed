"""The profile of chosen settings: it says what was chosen and no more, and can be read by people and by `run`."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from cabench.config import Settings
from cabench.discovery import dataset_class, method_class
from cabench.errors import UserError
from cabench.experiment.plan import outline
from cabench.experiment.request import Request, ResolvedProfile
from cabench.profiles import load_profile
from cabench.tuning.space import trial_values
from cabench.tuning.tuned_profile import (
    FIRST_LINE,
    check_own_profile,
    tuned_profile,
    write_tuned_profile,
)
from cabench.tuning.tuning_record import Outcome, TrialEntry, TuningRecord


def trial_settings(default: Settings, trials: int) -> list[Settings]:
    """Every configuration that a method is tried with."""
    return [replace(default, **values) for values in trial_values(default, type(default).searched(), trials)]


def tuned(method: str, dataset: str = "planted", profile: str = "smoke", chosen: int = 1, **changes) -> TuningRecord:
    """A record of four trials, as tuning leaves it but for outcomes."""
    resolved = ResolvedProfile.read(profile, ())
    kind, default = resolved.configuration(method, dataset)
    trials = tuple(
        TrialEntry(number=number, settings=searched(settings), refused="", outcomes=())
        for number, settings in enumerate(trial_settings(default, 4))
    )
    provider = resolved.dataset(dataset)
    record = TuningRecord(
        dataset=dataset,
        data={"name": provider.name, "config": provider.config.to_dict()},
        content_sha256="ab" * 32,
        profile=profile,
        method=method,
        name=kind.name,
        version=kind.version,
        supervised=False,
        one_space=False,
        precision="fp32",
        budget=4,
        space={},
        fixed=default.to_dict(),
        criterion="labels",
        chosen=chosen if len(trials) > 1 else 0,
        trials=trials,
    )
    return replace(record, **changes)


def searched(settings: Settings) -> dict[str, object]:
    return {name: settings.to_dict()[name] for name in type(settings).searched()}


def configuration(path: Path, method: str, dataset: str) -> dict[str, object]:
    """What a run under the profile gives a method."""
    return ResolvedProfile.read(str(path), ()).configuration(method, dataset)[1].to_dict()


@pytest.mark.parametrize("profile", ["smoke", "quick", "paper"])
def test_under_it_every_method_has_the_settings_that_were_chosen(tmp_path: Path, profile: str) -> None:
    records = [
        tuned(method, dataset, profile, chosen)
        for dataset in ("planted", "dsprites")
        for chosen, method in enumerate(("sepclr", "cpca", "mmcvae", "pca"))
    ]
    path = tmp_path / "tuned.toml"
    write_tuned_profile(records, path)
    for record in records:
        assert configuration(path, record.method, record.dataset) == record.settings


def test_what_the_profile_says_already_is_not_repeated(tmp_path: Path) -> None:
    text = tuned_profile([tuned("cpca", chosen=0), tuned("uca", chosen=1)], tmp_path / "tuned.toml")
    table = tomllib.loads(text)
    assert table["on"]["planted"]["cpca"] == {}
    assert set(table["on"]["planted"]["uca"]) <= {"standardize"}
    assert "datasets" not in table
    assert "[on.planted.cpca]  # trial 0 of 4" in text


def test_other_methods_and_data_sets_keep_what_the_profile_says(tmp_path: Path) -> None:
    path = tmp_path / "tuned.toml"
    write_tuned_profile([tuned("sepclr")], path)
    assert configuration(path, "sepclr", "dsprites") == configuration(Path("smoke"), "sepclr", "dsprites")
    assert configuration(path, "mmcvae", "planted") == configuration(Path("smoke"), "mmcvae", "planted")


def test_the_head_says_where_it_comes_from(tmp_path: Path) -> None:
    text = tuned_profile([tuned("cpca"), tuned("uca")], tmp_path / "tuned.toml")
    head = text.split("\n\n")[0].splitlines()
    assert head[0] == FIRST_LINE
    assert head[1].startswith("# Budget, trials of every method: 4; under seed 1000, the best 4 again")
    assert head[2] == "# Chosen by: labels; judged on a fifth of the training groups."
    assert re.fullmatch("# Digest of the records: [0-9a-f]{64}", head[3])


def test_the_head_says_where_data_sets_differ(tmp_path: Path) -> None:
    records = [tuned("cpca"), tuned("uca"), tuned("cpca", "dsprites", budget=16, criterion="label-free")]
    head = tuned_profile(records, tmp_path / "tuned.toml").splitlines()
    assert head[1].startswith("# Budget, trials of every method: 4 on planted; 16 on dsprites; under seed")
    assert head[2].startswith("# Chosen by: labels on planted; label-free on dsprites; judged")


def test_the_digest_changes_with_the_records(tmp_path: Path) -> None:
    records = [tuned("cpca"), tuned("cpca", chosen=2), tuned("cpca", content_sha256="cd" * 32)]
    heads = {tuned_profile([record], tmp_path / "tuned.toml").splitlines()[3] for record in records}
    assert len(heads) == 3


def test_it_runs_report_seeds_on_its_data_sets(tmp_path: Path) -> None:
    table = tomllib.loads(tuned_profile([tuned("cpca", "dsprites"), tuned("cpca")], tmp_path / "tuned.toml"))
    assert table["defaults"] == {"datasets": ["dsprites", "planted"], "controls": [], "seeds": "0-4"}


def test_records_under_it_say_what_was_tuned_on_their_data(tmp_path: Path) -> None:
    path = tmp_path / "tuned.toml"
    judged = [
        judged_once(tuned("sepclr", "dsprites")),
        judged_once(tuned("cpca", "dsprites")),
        tuned("pca", "dsprites"),
    ]
    write_tuned_profile([*judged, tuned("uca", "dsprites"), judged_once(tuned("cpca"))], path)
    profile = load_profile(str(path))
    assert profile.entry_on("dsprites")["tuned"] == ["cpca", "pca", "sepclr"], "no trial of uca could be judged"
    assert profile.entry_on("planted")["tuned"] == ["cpca"]
    assert profile.entry_on("cifar_mnist")["tuned"] == []
    assert "tuned" not in load_profile("smoke").entry_on("planted")


def judged_once(record: TuningRecord) -> TuningRecord:
    outcome = Outcome(seed=1000, key="ab" * 32, error="", gap=0.3, criteria={}, train_s=1.0, images_seen=100.0)
    return replace(record, trials=tuple(replace(trial, outcomes=(outcome,)) for trial in record.trials))


def test_a_data_set_of_another_configuration_is_written_too(tmp_path: Path) -> None:
    config = dataset_class("planted").Config(repeats=1)
    path = tmp_path / "tuned.toml"
    write_tuned_profile([tuned("cpca", data={"name": "planted", "config": config.to_dict()})], path)
    assert ResolvedProfile.read(str(path), ()).dataset("planted").config == config


def test_a_profile_of_one_s_own_is_extended_wherever_the_tuned_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text('extends = "smoke"\n[methods.cpca]\ncomponents = 3\n')
    path = tmp_path / "folder" / "tuned.toml"
    record = tuned("cpca", profile="mine.toml")
    write_tuned_profile([record], path)
    assert tomllib.loads(path.read_text())["extends"] == "../mine.toml"
    assert configuration(path, "cpca", "planted") == record.settings
    assert record.settings["components"] == 3


def test_a_variant_is_written_under_its_own_label(tmp_path: Path) -> None:
    record = tuned("sepclr_no_information_less", "dsprites", "quick", chosen=0)
    path = tmp_path / "tuned.toml"
    write_tuned_profile([record], path)
    assert configuration(path, "sepclr_no_information_less", "dsprites") == record.settings


def test_of_a_method_that_is_not_installed_all_settings_are_written(tmp_path: Path) -> None:
    record = replace(tuned("cpca"), method="mine", name="mine")
    table = tomllib.loads(tuned_profile([record], tmp_path / "tuned.toml"))
    assert table["on"]["planted"]["mine"] == record.settings


def test_other_methods_run_without_one_that_is_not_installed(tmp_path: Path) -> None:
    path = tmp_path / "tuned.toml"
    write_tuned_profile([replace(tuned("cpca"), method="mine", name="mine"), tuned("uca")], path)
    path.with_name("further.toml").write_text(f'extends = "{path}"\nown_methods = ["yours"]\n')
    for profile in (path, path.with_name("further.toml")):
        outlined = outline(Request("uca", "planted", profile=str(profile), device="cpu"))
        assert outlined.methods["planted"]["uca"].config.to_dict() == tuned("uca").settings
        with pytest.raises(UserError, match=r"'mine' of profile .* is not installed; name its file among the methods"):
            outline(Request("mine", "planted", profile=str(profile), device="cpu"))


def test_a_method_that_is_misspelt_is_no_own_one(tmp_path: Path) -> None:
    path = tmp_path / "tuned.toml"
    path.write_text('extends = "smoke"\nown_methods = ["mine"]\n[on.planted.cpac]\ncomponents = 3\n')
    with pytest.raises(UserError, match="Unknown method 'cpac'; did you mean 'cpca'"):
        outline(Request("uca", "planted", profile=str(path), device="cpu"))
    path.write_text('own_methods = "mine"\n')
    with pytest.raises(UserError, match="own_methods must be a list of names, not 'mine'"):
        outline(Request("uca", "planted", profile=str(path), device="cpu"))


def test_records_of_two_profiles_make_none(tmp_path: Path) -> None:
    records = [tuned("cpca"), tuned("uca", profile="quick")]
    with pytest.raises(UserError, match="belong to the profiles smoke, quick; a tuned one extends one"):
        tuned_profile(records, tmp_path / "tuned.toml")


@pytest.mark.parametrize("other", [{"budget": 5}, {"criterion": "label-free"}, {"content_sha256": "cd" * 32}])
def test_records_on_other_terms_make_none(tmp_path: Path, other: dict) -> None:
    with pytest.raises(UserError, match=r"On planted these terms differ: cpca has budget 4, .*, uca has "):
        tuned_profile([tuned("cpca"), tuned("uca", **other)], tmp_path / "tuned.toml")


def test_only_what_was_generated_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "tuned.toml"
    check_own_profile(path)
    write_tuned_profile([tuned("cpca")], path)
    write_tuned_profile([tuned("uca")], path)
    assert "[on.planted.uca]" in path.read_text()
    by_hand = path.read_text().replace("# Generated by", "# Once generated by")
    path.write_text(by_hand)
    with pytest.raises(UserError, match="was not generated by `cabench tune` and is not replaced"):
        write_tuned_profile([tuned("cpca")], path)
    assert path.read_text() == by_hand


def test_every_installed_method_can_be_written(tmp_path: Path) -> None:
    for method in ("clvm", "scpca", "ratio_pca", "double_infogan"):
        record = tuned(method, chosen=3)
        path = tmp_path / f"{method}.toml"
        write_tuned_profile([record], path)
        kind = method_class(method).Config
        assert kind.from_mapping(configuration(path, method, "planted")) == kind.from_mapping(record.settings)
