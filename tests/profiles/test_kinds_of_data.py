"""Under every profile methods have settings for each kind of data that they take, and refuse others in a sentence."""

from __future__ import annotations

import dataclasses

import pytest

from cabench.data.dataset import Attribute, DatasetInfo
from cabench.discovery import method_class, plugins
from cabench.errors import UserError
from cabench.experiment.request import ResolvedProfile, check_method
from cabench.profiles import load_profile, profile_names

ATTRIBUTES = (Attribute("sex", "common", "class", ("f", "m")), Attribute("stage", "salient", "class", ("a", "b")))
IMAGES, NON_NEGATIVE = {"images"}, {"tables", "non-negative"}
# By kind: the data set whose settings hold, what is known of the data, and of what a method must take one.
KINDS = {
    "grey images": ("file", {"image_shape": (1, 28, 28)}, IMAGES),
    "colour images": ("file", {"image_shape": (3, 64, 64)}, IMAGES),
    "large images": ("file", {"image_shape": (1, 224, 224)}, IMAGES),
    "tiny images": ("file", {"image_shape": (3, 8, 8)}, IMAGES),
    "MedMNIST": ("medmnist", {"image_shape": (1, 28, 28)}, IMAGES),
    "a table": ("table", {"image_shape": (70,)}, {"tables"}),
    "a table of three features": ("table", {"image_shape": (3,)}, {"tables"}),
    "a table with gaps": ("table", {"image_shape": (70,), "missing": 0.1}, {"tables"}),
    "a table from 0 up": ("table", {"image_shape": (70,), "non_negative": True}, NON_NEGATIVE),
    "mice": ("mouse_protein", {"image_shape": (70,), "non_negative": True}, NON_NEGATIVE),
    "counts": ("table", {"image_shape": (70,), "are_counts": True, "non_negative": True}, {*NON_NEGATIVE, "counts"}),
    "features": ("features", {"image_shape": (1280,)}, {"tables"}),
}
ROWS = {"train": {"background": 300, "target": 300}, "test": {"background": 100, "target": 100}}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("profile", profile_names())
def test_a_method_is_planned_or_refused_in_a_sentence(profile: str, kind: str, planted_info: DatasetInfo) -> None:
    dataset, known, wanted = KINDS[kind]
    info = dataclasses.replace(planted_info, name=dataset, attributes=ATTRIBUTES, counts=ROWS, **known)
    resolved = ResolvedProfile(load_profile(profile))
    taken, refused = set(), {}
    for name in plugins("methods"):
        try:
            check_method(resolved.method(name, dataset), info)
            taken.add(name)
        except UserError as error:
            refused[name] = str(error)
    assert taken == {name for name in plugins("methods") if wanted & set(method_class(name).takes)} - {"oracle"}
    for name, reason in refused.items():
        assert reason.startswith(name)
        assert reason.endswith(".")
        assert len(reason) < 200
