"""CIFAR-Fashion: the construction of `cifar_mnist` with garments for digits, on a few stand-ins."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from cabench.data.sources import LabelledImages, Source
from cabench.datasets import cifar_fashion, cifar_mnist
from cabench.datasets.sources import blend, cifar10
from cabench.datasets.sources.idx import IdxFiles
from cabench.experiment.request import ResolvedProfile
from cabench.profiles import load_profile

GARMENTS = (
    *("t-shirt/top", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)


def stand_in(seed: int, rows: int, shape: tuple[int, ...]) -> LabelledImages:
    """Random images and labels."""
    generator = np.random.default_rng(seed)
    return LabelledImages(generator.integers(0, 256, (rows, *shape), np.uint8), generator.integers(0, 10, rows))


PHOTOGRAPHS = (stand_in(0, 400, (3, 32, 32)), stand_in(1, 100, (3, 32, 32)))
OVERLAYS = (stand_in(2, 500, (28, 28)), stand_in(3, 100, (28, 28)))


@pytest.fixture(autouse=True)
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(blend, "TRAIN_SIZE", 400)
    monkeypatch.setattr(blend, "TEST_SIZES", {"full": 100})
    monkeypatch.setattr(cifar10, "locate", lambda root: Source("CIFAR-10"))
    monkeypatch.setattr(cifar10, "read", lambda source: PHOTOGRAPHS)
    monkeypatch.setattr(IdxFiles, "locate", lambda self, root: Source(self.title))
    monkeypatch.setattr(IdxFiles, "read", lambda self, source: OVERLAYS)


def test_pixels_are_those_of_the_blend_with_digits_and_labels_are_garments() -> None:
    fashion = cifar_fashion.CifarFashion().obtain(None)
    digits = cifar_mnist.CifarMnist().obtain(None)
    fashion.verify()

    assert fashion.info.sources == ("CIFAR-10", "Fashion-MNIST")
    assert [(a.name, a.space, a.kind, a.classes) for a in fashion.info.attributes] == [
        ("object", "common", "class", cifar10.CLASSES),
        ("garment", "salient", "class", GARMENTS),
    ]
    assert fashion.info.counts == {
        "train": {"background": 200, "target": 200},
        "test": {"background": 50, "target": 50},
    }
    with h5py.File(fashion.path) as ours, h5py.File(digits.path) as theirs:
        for split in ("train", "test"):
            for name, other in (("images", "images"), ("is_target", "is_target")):
                np.testing.assert_array_equal(ours[split][name][:], theirs[split][other][:])
            np.testing.assert_array_equal(ours[split]["attributes/garment"][:], theirs[split]["attributes/digit"][:])


@pytest.mark.parametrize("profile", ["smoke", "quick", "paper", "matched"])
@pytest.mark.parametrize("method", ["sepclr", "mmcvae", "sepclr_supervised", "cpca"])
def test_methods_have_the_settings_of_cifar_mnist(profile: str, method: str) -> None:
    loaded = load_profile(profile)

    configs = [ResolvedProfile(loaded).method(method, name).config for name in ("cifar_fashion", "cifar_mnist")]

    assert configs[0] == configs[1]
