"""Speed of drawing sprites and of building data sets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from cabench.data import decoding
from cabench.datasets.celeba import CelebA
from cabench.datasets.sources import sprites
from cabench.experiment.request import ResolvedProfile
from cabench.profiles import load_profile


def test_rendering_a_thousand_sprites(benchmark):
    generator = np.random.default_rng(0)
    n = 1000
    benchmark(
        sprites.render,
        generator.integers(3, size=n),
        generator.choice(sprites.SCALES, n),
        generator.choice(sprites.ORIENTATIONS, n),
        generator.choice(sprites.POSITIONS, n),
        generator.choice(sprites.POSITIONS, n),
    )


def test_building_the_quick_sprites(benchmark, tmp_path, monkeypatch):
    folders = iter(range(1_000_000))

    def build() -> None:
        monkeypatch.setenv("CABENCH_CACHE", str(tmp_path / str(next(folders))))
        ResolvedProfile(load_profile("quick")).dataset("dsprites").obtain(None)

    benchmark.pedantic(build, rounds=3)


FACES = 1000


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A thousand faces in CelebA's layout, 178 x 218 pixels with as much detail as a photograph has."""
    root = tmp_path_factory.mktemp("data")
    images = root / "celeba" / "img_align_celeba"
    images.mkdir(parents=True)
    generator = np.random.default_rng(0)
    lines = [str(FACES), "Eyeglasses Wearing_Hat Male Young Smiling"]
    for number in range(FACES):
        detail = Image.fromarray(generator.integers(0, 256, (55, 45, 3), np.uint8))
        detail.resize((178, 218), Image.Resampling.BICUBIC).save(images / f"{number:06d}.jpg", quality=75)
        glasses, hat = ((-1, -1), (-1, -1), (1, -1), (-1, 1))[number // 2 % 4]
        lines.append(f"{number:06d}.jpg {glasses} {hat} {(-1, 1)[number % 2]} 1 -1")
    (root / "celeba" / "list_attr_celeba.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
    return root


def test_building_celeba(benchmark, faces, tmp_path, monkeypatch):
    folders = iter(range(1_000_000))

    def build() -> None:
        monkeypatch.setenv("CABENCH_CACHE", str(tmp_path / str(next(folders))))
        CelebA().obtain(faces)

    benchmark.pedantic(build, rounds=3)
    report_images_per_s(benchmark)


def test_decoding_celeba_alone(benchmark, faces):
    """By as many threads as the builder takes: reading and decoding, without crop, scaling, labels and storing."""
    paths = sorted((faces / "celeba" / "img_align_celeba").iterdir())

    def decode(path) -> None:
        with Image.open(path) as image:
            image.load()

    def decode_all() -> None:
        with ThreadPoolExecutor(decoding.workers()) as pool:
            list(pool.map(decode, paths))

    benchmark.pedantic(decode_all, rounds=3)
    report_images_per_s(benchmark)


def report_images_per_s(benchmark) -> None:
    if benchmark.stats:  # there are none where timings are not asked for
        benchmark.extra_info["images_per_s"] = round(FACES / benchmark.stats.stats.min)
        print(f"\n{benchmark.name}: {benchmark.extra_info['images_per_s']:,} images/s")
