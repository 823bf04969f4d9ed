"""Keys are for ever: what was published is found again, byte for byte, by the code as it is now."""

from __future__ import annotations

from pathlib import Path

import pytest

import cabench
from cabench.data.named_files import without_folders
from cabench.experiment.identity import current_evaluation
from cabench.experiment.request import ResolvedProfile
from cabench.experiment.store import ResultsStore
from cabench.gate.baseline import Baseline
from cabench.profiles import load_profile

RESULTS = Path(cabench.__file__).parent.parent / "results"
OF_OWN_DATA = {"pneumonia_features": str(RESULTS / "pneumonia" / "tuned.toml")}
"""The profile that names an own file, by the label of its data set."""

pytestmark = pytest.mark.skipif(not RESULTS.exists(), reason="the package is installed, its results are not here")


def test_every_published_key_is_made_again_from_its_record() -> None:
    records = ResultsStore(RESULTS / "published").records()
    assert len(records) > 60
    for record in records:
        assert record.evaluation == current_evaluation()
        assert record.renewed() == record


def test_profiles_give_the_configurations_of_the_published_records() -> None:
    for record in ResultsStore(RESULTS / "published").records():
        label = record.dataset["label"]
        resolved = ResolvedProfile(load_profile(OF_OWN_DATA.get(label, record.profile)))
        method, provider = resolved.method(record.method["label"], label), resolved.dataset(label)
        assert (method.version, method.config.to_dict()) == (record.method["version"], record.method["config"])
        # Fields that a builder got later are not in older records; their defaults are what the builder did before.
        assert provider.version == record.dataset["builder_version"]
        assert without_folders(provider.config.to_dict()).items() >= record.dataset["config"].items()


def test_the_gates_profile_gives_the_configurations_of_its_baseline() -> None:
    resolved = ResolvedProfile(load_profile(str(RESULTS / "gate" / "gate.toml")))
    groups = Baseline.read(RESULTS / "gate" / "baseline.json").groups
    assert groups
    for place, group in groups.items():
        assert resolved.method(place.method, place.dataset).config.to_dict() == group.method["config"]
