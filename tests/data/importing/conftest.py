"""What the tests of own data share: images on disk, arrays in memory, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cabench.errors import UserError

Draw = Callable[..., np.ndarray]


@pytest.fixture
def draw() -> Draw:
    """Images uint8 (n, channels, 8, 8) of a seed; no two of them are equal."""

    def make(n: int, seed: int = 0, channels: int = 1, size: int = 8) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, (n, channels, size, size), np.uint8)

    return make


@pytest.fixture
def fill() -> Callable[..., None]:
    """Fills a folder with images of 12 x 12, given names; each has pixels of its own."""

    def make(folder: Path, names: list[str], mode: str = "L", size: tuple[int, int] = (12, 12)) -> None:
        for number, name in enumerate(names):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            generator = np.random.default_rng([number, len(folder.name), *folder.name.encode()])
            shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
            Image.fromarray(generator.integers(0, 256, shape, np.uint8)).save(path)

    return make


@pytest.fixture
def refusal() -> Callable[[Callable[[], object]], str]:
    """Calls what must be refused and gives what was said, which is one or two sentences."""

    def call(given: Callable[[], object]) -> str:
        with pytest.raises(UserError) as caught:
            given()
        said = str(caught.value)
        assert said.endswith(".")
        assert "Traceback" not in said
        return said

    return call
