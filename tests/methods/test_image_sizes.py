"""Every method that takes images takes them in any size, square or not, grey or colour, without being asked."""

from __future__ import annotations

import dataclasses

import pytest

from cabench.conformance import Subject, load_subject
from cabench.conformance import checks as conformance
from cabench.discovery import method_class, plugins
from cabench.experiment.request import ResolvedProfile
from cabench.method import Generative
from cabench.pictures.generation import picture_grid
from cabench.profiles import load_profile

SHAPES = (
    *((1, 8, 8), (1, 28, 28), (3, 30, 30), (3, 33, 47), (1, 64, 48), (3, 96, 96), (1, 224, 224)),
    *((3, 8, 8), (3, 28, 28), (1, 30, 30), (1, 33, 47), (3, 64, 48), (1, 96, 96), (3, 224, 224)),
)
# Without oracle, which reads the pixels of `planted`.
METHODS = [name for name in plugins("methods") if "images" in method_class(name).takes and name != "oracle"]


@pytest.fixture(scope="module", params=METHODS)
def subject(request: pytest.FixtureRequest) -> Subject:
    return load_subject(request.param)


@pytest.mark.parametrize("shape", SHAPES[:7], ids=str)
def test_a_step_and_an_encoding(subject, shape):
    """And, with a decoder, images of the data's own shape."""
    other = subject.on_images(shape)
    other.new().check(other.data.info)
    conformance.check_representation_has_the_right_form(other)
    if issubclass(other.kind, Generative):
        conformance.check_decoding_gives_images(other)


@pytest.mark.parametrize(
    ("encoder", "shape"),
    [
        ("small_image_resnet18", (1, 8, 8)),
        ("small_image_resnet18", (3, 30, 20)),
        ("standard_resnet18", (3, 8, 8)),
        ("standard_resnet18", (1, 64, 48)),
    ],
)
def test_residual_networks(encoder, shape):
    subject = load_subject("supervised", [f"supervised.encoder={encoder}"]).on_images(shape)
    conformance.check_representation_has_the_right_form(subject)


@pytest.mark.parametrize("profile", ["smoke", "quick", "matched", "paper"])
@pytest.mark.parametrize("name", METHODS)
def test_profiles_pick_what_fits_images_of_any_shape(profile, name, planted_info):
    resolved = ResolvedProfile(load_profile(profile))
    counts = {"train": {"background": 800, "target": 800}}
    for dataset in ("file", "planted"):
        method = resolved.method(name, dataset)
        for shape in SHAPES:
            method.check(dataclasses.replace(planted_info, image_shape=shape, counts=counts))


@pytest.mark.parametrize("name", ["mmcvae", "double_infogan"])
def test_pictures_show_images_that_are_not_square(name):
    subject = load_subject(name).on_images((3, 33, 47))
    background, target = subject.images().split(8)
    grid = picture_grid(subject.usual, background, target)
    assert grid.width > 8 * 47
    assert grid.height > 6 * 33


def test_all_kinds_of_methods_are_here():
    assert {"pca", "cpca", "chance", "double_infogan", "mmcvae", "sepclr", "simclr", "supervised"} <= set(METHODS)
