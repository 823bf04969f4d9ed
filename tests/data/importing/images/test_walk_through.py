"""The script of the walk-through in docs/own-data.md, on files of the same form."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cabench.data.importing.images.fitting import Size
from cabench.data.importing.images.folders import LabelFile, import_folders
from cabench.data.importing.images.reading import ImageForm
from cabench.data.importing.labels import parse_columns
from cabench.data.importing.splitting import Drawn

SCRIPT = Path(__file__).parents[4] / "docs" / "garments_with_digits.py"


@pytest.mark.skipif(not SCRIPT.exists(), reason="the package is installed, its docs are not here")
def test_it_makes_folders_that_can_be_imported(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (4000, 28, 28), np.uint8)
    kinds = generator.choice([1, 3, 7], 4000).astype(np.uint8)
    for name, values in (("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", kinds)):
        header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(header + values.tobytes(), 1))
    subprocess.run([sys.executable, SCRIPT, tmp_path, tmp_path / "garments"], check=True)
    place = tmp_path / "garments"
    paths = place / "plain", place / "with_digit", tmp_path / "garments.h5"
    columns = parse_columns(common="garment", salient="digit")
    info = import_folders(*paths, ImageForm(Size(32, 32)), LabelFile(place / "labels.csv"), columns, Drawn()).info
    assert {a.name: len(a.classes) for a in info.attributes} == {"garment": 3, "digit": 10}
    assert sum(part["target"] for part in info.counts.values()) == 2000
