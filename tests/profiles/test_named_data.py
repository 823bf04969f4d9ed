"""What the profiles set for data sets with few training rows: every method fits, without anything being asked."""

from __future__ import annotations

import dataclasses
import json

import pytest

from cabench.datasets import mouse_protein
from cabench.discovery import method_class, plugins
from cabench.experiment.request import ResolvedProfile
from cabench.profiles import load_profile, profile_names

ON_TABLES = [name for name in plugins("methods") if "tables" in method_class(name).takes and name != "oracle"]
# The fewest training rows of background and target in any fold.
MICE = {"mouse_protein": (90, 177), "mouse_protein_drug": (180, 375), "mouse_protein_ds": (180, 330)}
FEWEST_IMAGES = {"medmnist": 97_477, "medmnist_pneumonia": 4_708, "medmnist_retina": 1_080}


@pytest.mark.parametrize("profile", profile_names())
@pytest.mark.parametrize("dataset", MICE)
@pytest.mark.parametrize("name", ON_TABLES)
def test_methods_fit_the_mice(profile, dataset, name, planted_info) -> None:
    resolved = ResolvedProfile(load_profile(profile))
    construction = mouse_protein.CONSTRUCTIONS[resolved.dataset(dataset).config.construction]
    info = dataclasses.replace(
        planted_info,
        image_shape=(70,),
        attributes=construction.attributes,
        counts={"train": dict(zip(("background", "target"), MICE[dataset], strict=True))},
    )
    method = resolved.method(name, dataset)

    method.check(info)

    if {"d_common", "d_salient"} <= set(method.config.field_names()) and profile != "smoke":
        assert method.config.d_common + method.config.d_salient < 70


def test_each_construction_has_a_name() -> None:
    resolved = ResolvedProfile(load_profile("quick"))
    assert [resolved.dataset(name).config.construction for name in MICE] == list(mouse_protein.CONSTRUCTIONS)
    subsets = [resolved.dataset(f"medmnist{suffix}").config.subset for suffix in ("", "_retina", "_derma", "_chest")]
    assert subsets == ["oct", "retina", "derma", "chest"]


@pytest.mark.parametrize("suffix", ["", "_retina", "_derma", "_pneumonia", "_chest"])
def test_the_features_of_each_medical_set_have_a_name(suffix) -> None:
    quick = ResolvedProfile(load_profile("quick"))
    config = quick.dataset(f"medmnist{suffix}_features").config
    assert (config.of, json.loads(config.of_config)) == (
        "medmnist",
        quick.dataset(f"medmnist{suffix}").config.to_dict(),
    )


@pytest.mark.parametrize("profile", profile_names())
@pytest.mark.parametrize("dataset", FEWEST_IMAGES)
def test_no_batch_is_larger_than_the_training_split(profile, dataset) -> None:
    resolved = ResolvedProfile(load_profile(profile))
    configs = [resolved.method(name, dataset).config for name in plugins("methods")]
    sizes = [config.batch_size for config in configs if "batch_size" in config.field_names()]
    assert sizes
    assert max(sizes) <= FEWEST_IMAGES[dataset]


def test_the_paper_profile_has_the_setting_of_contrastive_pca() -> None:
    config = ResolvedProfile(load_profile("paper")).method("cpca", "mouse_protein").config
    assert (config.components, config.standardize, config.alpha) == (2, True, 0)
