"""What the tests of data sets from image files share: small JPEGs, building into a cache of one's own, and refusals."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cabench.data.builder import DatasetBuilder
from cabench.data.file import DatasetFile
from cabench.errors import UserError

Jpeg = Callable[..., bytes]
BuildAt = Callable[[DatasetBuilder, Path], DatasetFile]
Refused = Callable[[DatasetBuilder, Path], str]


@pytest.fixture(scope="session")
def jpeg() -> Jpeg:
    """Makes the content of a JPEG of a given seed, (width, height) and mode; no two seeds give the same pixels."""

    def make(seed: int, size: tuple[int, int], mode: str = "RGB") -> bytes:
        blocks = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
        content = io.BytesIO()
        Image.fromarray(blocks).resize(size, Image.Resampling.BILINEAR).convert(mode).save(content, "JPEG", quality=80)
        return content.getvalue()

    return make


@pytest.fixture
def build_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildAt:
    """Builds a data set anew, each time into an empty cache."""
    caches = iter(range(1000))

    def build(builder: DatasetBuilder, root: Path) -> DatasetFile:
        monkeypatch.setenv("CABENCH_CACHE", str(tmp_path / f"cache{next(caches)}"))
        return builder.obtain(root)

    return build


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Builds what must be refused, sees that nothing is left behind, and gives what was said."""

    def build(builder: DatasetBuilder, root: Path) -> str:
        cache = tmp_path / "refusing"
        monkeypatch.setenv("CABENCH_CACHE", str(cache))
        with pytest.raises(UserError) as raised:
            builder.obtain(root)
        left = [path for path in (cache / "datasets").rglob("*") if path.is_file() and path.suffix != ".lock"]
        assert not left
        return str(raised.value)

    return build
