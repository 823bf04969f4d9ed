"""What building CelebA takes in memory: the chunk of images under way and a constant, however many there are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COUNT = 6_000  # a quarter of what card B2a takes
SIZE = COUNT * 3 * 128 * 128  # bytes that they have in the file
CONTENTS = 100  # different images; all others are further names of them, so that little disk is needed

# In a process of its own, whose peak is that of the build alone. VmHWM starts anew there; ru_maxrss does not.
BUILD = """
import re, sys
from pathlib import Path
from cabench.datasets.celeba import CelebA

def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])

before = peak()
file = CelebA().obtain(Path(sys.argv[1]))
print(sum(sum(counts.values()) for counts in file.info.counts.values()), peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_peak_memory_does_not_grow_with_the_images(jpeg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_faces(tmp_path / "celeba", COUNT, jpeg)
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path / "cache"))
    try:
        done = subprocess.run(
            [sys.executable, "-c", BUILD, str(tmp_path)], capture_output=True, text=True, check=True, timeout=1800
        )
    finally:
        for file in (tmp_path / "cache").rglob("*.h5"):
            file.unlink()  # 300 MB
    images, growth_kib = map(int, done.stdout.split())
    assert images == COUNT
    assert growth_kib * 1024 < SIZE, "the images were in memory all at once"


def write_faces(folder: Path, count: int, jpeg) -> None:
    """As many faces as the card wants, or a part of them: half plain, a quarter each with glasses and a hat."""
    images = folder / "img_align_celeba"
    images.mkdir(parents=True)
    lines = []
    for number in range(count):
        path = images / f"{number:06d}.jpg"
        if number < CONTENTS:
            path.write_bytes(jpeg(number, (178, 218)))
        else:
            path.hardlink_to(images / f"{number % CONTENTS:06d}.jpg")
        glasses, hat = {0: (1, -1), 1: (-1, 1)}.get(number // 2 % 4, (-1, -1))
        lines.append(f"{path.name} {glasses} {hat} {(-1, 1)[number % 2]} 1 -1")
    header = "Eyeglasses Wearing_Hat Male Young Smiling"
    (folder / "list_attr_celeba.txt").write_text("\n".join([str(count), header, *lines, ""]), encoding="utf-8")
