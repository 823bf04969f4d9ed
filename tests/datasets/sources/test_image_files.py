"""Image files that are made to harm; damaged ones are tested with the data sets that they come with."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from cabench.datasets.sources.image_files import decoded, open_images
from cabench.errors import UserError


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(UserError, match=r"a\.jpg cannot be read .*no regular file"):
        list(decoded(open_images(tmp_path), ["a.jpg"], np.asarray))


def test_a_picture_that_decodes_without_end_is_refused(tmp_path: Path) -> None:
    size = (60_000).to_bytes(2, "big")
    frame = b"\xff\xc0\0\x11\x08" + size + size + b"\x03\x01\x11\0\x02\x11\0\x03\x11\0"
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8" + frame + b"\xff\xda\0\x0c\x03\x01\0\x02\0\x03\0\0\x3f\0\xff\xd9")
    with pytest.raises(UserError, match="could be decompression bomb"):
        list(decoded(open_images(tmp_path), ["a.jpg"], np.asarray))
