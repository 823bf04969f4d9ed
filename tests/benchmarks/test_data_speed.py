"""Speed of drawing sprites and of building data sets."""

from __future__ import annotations

import numpy as np

from cabench.dataset_builder import obtain
from cabench.datasets.sources import sprites
from cabench.experiment import make_builder
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
        obtain(make_builder("dsprites", load_profile("quick"), {}), None)

    benchmark.pedantic(build, rounds=3)
