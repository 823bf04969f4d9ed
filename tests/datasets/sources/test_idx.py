"""Sources of four IDX files, seen in MNIST's: where they are looked for, how they are read, what is said of damage."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from cabench.datasets.sources import idx
from cabench.datasets.sources.idx import FASHION_MNIST, GARMENTS, MNIST, IdxFiles
from cabench.errors import UserError

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
TRAIN_ROWS, TEST_ROWS = 7, 4


def idx_file(values: np.ndarray) -> bytes:
    return struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


def arrays() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    shapes = [(TRAIN_ROWS, 28, 28), (TRAIN_ROWS,), (TEST_ROWS, 28, 28), (TEST_ROWS,)]
    tops = [256, 10, 256, 10]
    return {
        name: generator.integers(0, top, shape, dtype=np.uint8)
        for name, shape, top in zip(NAMES, shapes, tops, strict=True)
    }


def write_files(folder: Path, zipped: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in arrays().items():
        content = idx_file(values)
        (folder / (f"{name}.gz" if zipped else name)).write_bytes(gzip.compress(content) if zipped else content)
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("CABENCH_CACHE", str(folder))
    return folder


def publish(server, monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    """Serve the files where torchvision's class says that they are, with its checksums; the first mirror is gone."""
    server.files = {f"{name}.gz": gzip.compress(idx_file(values)) for name, values in arrays().items()}
    monkeypatch.setattr(kind, "mirrors", [server.address + "gone/", server.address])
    resources = [(name, hashlib.md5(content).hexdigest()) for name, content in server.files.items()]
    monkeypatch.setattr(kind, "resources", resources)


@pytest.fixture
def forbid_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idx, "fetch", lambda *arguments: pytest.fail("downloaded"))


class TestLocate:
    @pytest.mark.parametrize("zipped", [False, True])
    @pytest.mark.parametrize("place", ["MNIST/raw", "raw", "."])
    def test_finds_the_files_in_each_place(self, tmp_path: Path, place: str, zipped: bool) -> None:
        folder = write_files(tmp_path / place, zipped)

        source = MNIST.locate(tmp_path)

        assert source.title == "MNIST"
        assert source.files == tuple(folder / (f"{name}.gz" if zipped else name) for name in NAMES)

    def test_takes_the_first_complete_place(self, tmp_path: Path) -> None:
        (write_files(tmp_path / "MNIST" / "raw") / NAMES[0]).unlink()
        folder = write_files(tmp_path)

        assert MNIST.locate(tmp_path).files[0] == folder / NAMES[0]

    @pytest.mark.usefixtures("forbid_download")
    def test_names_only_the_missing_file_and_every_place(self, tmp_path: Path) -> None:
        (write_files(tmp_path / "MNIST" / "raw") / NAMES[3]).unlink()

        with pytest.raises(UserError) as raised:
            MNIST.locate(tmp_path)

        message = str(raised.value)
        assert NAMES[3] in message
        assert NAMES[0] not in message
        assert all(str(place) in message for place in (tmp_path / "MNIST" / "raw", tmp_path / "raw", tmp_path))
        assert "CABENCH_DATA" in message
        assert "--data-root" in message

    @pytest.mark.usefixtures("forbid_download")
    def test_absent_folder_is_not_replaced_by_a_download(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="absent, which is not a folder") as raised:
            MNIST.locate(tmp_path / "absent")

        assert all(name in str(raised.value) for name in NAMES)


@pytest.mark.usefixtures("torchvision")
class TestDownload:
    @pytest.mark.parametrize(("module", "folder"), [(MNIST, "MNIST"), (FASHION_MNIST, "FashionMNIST")])
    def test_fills_the_cache_once(
        self, cache: Path, server, monkeypatch: pytest.MonkeyPatch, module: IdxFiles, folder: str
    ) -> None:
        from torchvision import datasets

        publish(server, monkeypatch, getattr(datasets, folder))

        first, second = module.locate(None), module.locate(None)

        assert [asked for asked, _ in server.asked if "gone" not in asked] == list(server.files)
        assert first == second
        assert first.files == tuple(cache / "sources" / folder / "raw" / f"{name}.gz" for name in NAMES)
        train, test = module.read(first)
        assert (len(train.labels), len(test.labels)) == (TRAIN_ROWS, TEST_ROWS)

    def test_fetches_what_is_missing_and_goes_on_with_what_was_cut(
        self, cache: Path, server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from torchvision import datasets

        publish(server, monkeypatch, datasets.MNIST)
        monkeypatch.setattr(datasets.MNIST, "mirrors", [server.address])
        folder = cache / "sources" / "MNIST" / "raw"
        folder.mkdir(parents=True)
        (folder / NAMES[0]).write_bytes(idx_file(arrays()[NAMES[0]]))
        for name in NAMES[1:3]:
            (folder / f"{name}.gz").write_bytes(server.files[f"{name}.gz"])
        (folder / f"{NAMES[3]}.gz.part").write_bytes(server.files[f"{NAMES[3]}.gz"][:10])

        MNIST.read(MNIST.locate(None))

        assert server.asked == [(f"{NAMES[3]}.gz", "bytes=10-")]

    def test_failure_is_a_user_error(self, cache: Path, server, monkeypatch: pytest.MonkeyPatch) -> None:
        from torchvision import datasets

        publish(server, monkeypatch, datasets.MNIST)
        server.files[f"{NAMES[2]}.gz"] += b"another"

        with pytest.raises(UserError) as raised:
            MNIST.locate(None)

        message = str(raised.value)
        assert f"{server.address}{NAMES[2]}.gz: its MD5 checksum is" in message
        assert all(name in message for name in NAMES)
        assert str(cache / "sources") in message
        assert "MNIST/raw/" in message
        assert "CABENCH_DATA" in message
        assert [path.name for path in (cache / "sources" / "MNIST" / "raw").iterdir()] != []
        assert not list(cache.rglob("*.part"))

    @pytest.mark.usefixtures("cache")
    def test_published_names_that_are_others(self, server, monkeypatch: pytest.MonkeyPatch) -> None:
        from torchvision import datasets

        publish(server, monkeypatch, datasets.MNIST)
        monkeypatch.setattr(datasets.MNIST, "resources", datasets.MNIST.resources[:3])

        with pytest.raises(UserError, match="missing after the download"):
            MNIST.locate(None)

    def test_cache_that_cannot_be_made(self, cache: Path) -> None:
        cache.write_text("a file where the folder should be")

        with pytest.raises(UserError, match="could not be downloaded"):
            MNIST.locate(None)


class TestRead:
    @pytest.mark.parametrize("zipped", [False, True])
    def test_both_splits(self, tmp_path: Path, zipped: bool) -> None:
        write_files(tmp_path, zipped)
        wanted = list(arrays().values())

        splits = MNIST.read(MNIST.locate(tmp_path))

        for split, images, labels in zip(splits, wanted[0::2], wanted[1::2], strict=True):
            np.testing.assert_array_equal(split.images, images)
            np.testing.assert_array_equal(split.labels, labels)
            assert split.images.dtype == np.uint8
            assert split.labels.dtype == np.int64

    @pytest.mark.parametrize(
        ("name", "values", "message"),
        [
            (NAMES[0], np.zeros((TRAIN_ROWS, 27, 28), np.uint8), r"shape \(7, 27, 28\)"),
            (NAMES[2], np.zeros((TEST_ROWS, 784), np.uint8), r"shape \(4, 784\)"),
            (NAMES[1], np.zeros(TRAIN_ROWS - 1, np.uint8), "has 7 images"),
            (NAMES[3], np.full(TEST_ROWS, 10, np.uint8), "label 10"),
        ],
    )
    def test_files_that_are_not_mnist(self, tmp_path: Path, name: str, values: np.ndarray, message: str) -> None:
        write_files(tmp_path)
        (tmp_path / name).write_bytes(idx_file(values))

        with pytest.raises(UserError, match=message) as raised:
            MNIST.read(MNIST.locate(tmp_path))

        assert str(tmp_path / name) in str(raised.value)


class TestReadIdx:
    @pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4), (0, 28, 28)])
    def test_any_number_of_dimensions(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        values = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        (tmp_path / "file").write_bytes(idx_file(values))

        found = idx.read_idx(tmp_path / "file")

        np.testing.assert_array_equal(found, values)
        assert found.dtype == np.uint8
        assert found.flags.writeable

    def test_content_decides_whether_it_is_gzipped(self, tmp_path: Path) -> None:
        values = np.arange(6, dtype=np.uint8)
        (tmp_path / "zipped").write_bytes(gzip.compress(idx_file(values)))
        (tmp_path / "plain.gz").write_bytes(idx_file(values))

        np.testing.assert_array_equal(idx.read_idx(tmp_path / "zipped"), values)
        np.testing.assert_array_equal(idx.read_idx(tmp_path / "plain.gz"), values)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "starts with nothing"),
            (b"\0\0\x08", "starts with 000008"),
            (b"<html>", "starts with 3c68746d"),
            (struct.pack(">4BI", 0, 0, 0x0D, 1, 1) + bytes(4), "starts with 00000d01"),
            (struct.pack(">4B", 0, 0, 8, 0), "starts with 00000800"),
            (struct.pack(">4BI", 0, 0, 8, 2, 1), "header is cut short"),
            (idx_file(np.zeros(5, np.uint8))[:-1], "states 5 values of shape (5,), it has 4"),
            (idx_file(np.zeros(5, np.uint8)) + b"\0", "states 5 values of shape (5,), it has 6"),
            (struct.pack(">4B3I", 0, 0, 8, 3, *[2**32 - 1] * 3), "it has 0"),
            (gzip.compress(idx_file(np.arange(200, dtype=np.uint8)))[:-20], "ended before"),
            (gzip.compress(idx_file(np.arange(200, dtype=np.uint8)))[:-8] + bytes(8), "CRC check failed"),
            (b"\x1f\x8b\x08" + bytes(7) + b"\xff" * 20, "Error"),
            (b"\x1f\x8b\x01" + bytes(20), "compression method"),
        ],
    )
    @pytest.mark.parametrize("name", ["file", "file.gz"])
    def test_damage_names_the_file(self, tmp_path: Path, name: str, content: bytes, message: str) -> None:
        (tmp_path / name).write_bytes(content)

        with pytest.raises(UserError) as raised:
            idx.read_idx(tmp_path / name)

        assert str(tmp_path / name) in str(raised.value)
        assert message in str(raised.value)

    def test_file_that_has_gone(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="gone"):
            idx.read_idx(tmp_path / "gone")


@pytest.fixture(scope="module")
def data_root() -> Path:
    root = os.environ.get("CABENCH_DATA")
    if root is None or not (Path(root) / "MNIST").is_dir():
        pytest.skip("CABENCH_DATA names no folder that holds MNIST/")
    return Path(root)


class TestRealData:
    def test_is_mnist(self, data_root: Path) -> None:
        source = MNIST.locate(data_root)

        train, test = MNIST.read(source)

        header = struct.pack(">4B3I", 0, 0, 8, 3, *train.images.shape)
        digest = hashlib.md5(header + train.images.tobytes(), usedforsecurity=False).hexdigest()
        assert digest == "6bbc9ace898e44ae57da46a324031adb"
        assert train.images.shape == (60_000, 28, 28)
        assert test.images.shape == (10_000, 28, 28)
        assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
        assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
        assert len(train.labels) == 60_000
        assert len(test.labels) == 10_000


def test_more_dimensions_than_an_array_may_have_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"\7")
    with pytest.raises(UserError, match="its header states 255 dimensions"):
        idx.read_idx(path)


def test_a_file_that_unpacks_to_more_than_any_of_its_kind_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idx, "_LARGEST", 1000)
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(idx_file(np.zeros((2, 28, 28), np.uint8))))
    with pytest.raises(UserError, match="unpacks to more than 1,000 bytes"):
        idx.read_idx(path)


# Fashion-MNIST: its folders, which are not MNIST's, and its classes


DEBIAN = Path("/usr/share/datasets")  # where the package dataset-fashion-mnist puts `fashion-mnist/`


def touch_files(folder: Path) -> tuple[Path, ...]:
    folder.mkdir(parents=True)
    files = tuple(folder / f"{name}.gz" for name in NAMES)
    for path in files:
        path.touch()
    return files


@pytest.mark.parametrize("place", ["FashionMNIST/raw", "fashion-mnist"])
def test_finds_the_files_in_each_place(tmp_path: Path, place: str) -> None:
    files = touch_files(tmp_path / place)

    source = FASHION_MNIST.locate(tmp_path)

    assert source.title == "Fashion-MNIST"
    assert source.files == files


def test_stands_beside_mnist_and_neither_is_taken_for_the_other(tmp_path: Path) -> None:
    digits, garments = touch_files(tmp_path / "MNIST" / "raw"), touch_files(tmp_path / "FashionMNIST" / "raw")

    assert MNIST.locate(tmp_path).files == digits
    assert FASHION_MNIST.locate(tmp_path).files == garments


@pytest.mark.parametrize("place", [".", "raw", "MNIST/raw"])
def test_files_of_the_same_names_where_mnist_stands_are_not_taken(tmp_path: Path, place: str) -> None:
    touch_files(tmp_path / "data" / place)

    with pytest.raises(UserError, match=r"Fashion-MNIST was not found .*FashionMNIST/raw"):
        FASHION_MNIST.locate(tmp_path / "data")


def test_classes_are_those_that_were_published() -> None:
    from torchvision.datasets import FashionMNIST

    assert list(GARMENTS) == [name.lower() for name in FashionMNIST.classes]


@pytest.mark.skipif(not (DEBIAN / "fashion-mnist").is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_real_images() -> None:
    train, test = FASHION_MNIST.read(FASHION_MNIST.locate(DEBIAN))

    assert train.images.shape == (60_000, 28, 28)
    assert test.images.shape == (10_000, 28, 28)
    for split, per_class in ((train, 6_000), (test, 1_000)):
        np.testing.assert_array_equal(np.bincount(split.labels), [per_class] * 10)
    assert [GARMENTS[label] for label in train.labels[:3]] == ["ankle boot", "t-shirt/top", "t-shirt/top"]
