"""CIFAR-10 in its three forms: which is found, in which order the rows come, and what is said of damage."""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import pickle
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cabench.data.sources import Source
from cabench.datasets.sources import cifar10
from cabench.errors import UserError

CLASSES = cifar10.CLASSES
BATCHES = "cifar-10-batches-py"
ARCHIVE = "cifar10-images.tar.xz"
BATCH_FILES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
ROWS_A_BATCH = 3


def encoded(seed: int, suffix: str = ".jpg", size: tuple[int, int] = (32, 32), mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, {".png": "PNG"}.get(suffix.lower(), "JPEG"))
    return stream.getvalue()


def decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).transpose(2, 0, 1)


def image_files(suffix: str = ".jpg", each: int = 2) -> dict[str, bytes]:
    """Files by their path below the folder of the splits; the bird of train has one file more, the dog one fewer."""
    files: dict[str, bytes] = {}
    for split in ("test", "train"):
        for name in sorted(CLASSES):
            extra = {"bird": 1, "dog": -1}.get(name, 0) if split == "train" else 0
            for row in range(each + extra):
                files[f"{split}/{name}/{row:04d}{suffix}"] = encoded(len(files), suffix)
    return files


def write_folders(base: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(content)
    return base


def write_archive(path: Path, files: dict[str, bytes], prefix: str = "CIFAR10-images/") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:xz") as archive:
        for name, content in files.items():
            add(archive, prefix + name, content)
    return path


def with_dictionary(packed: bytes, size: int) -> bytes:
    """An xz file whose first block declares a dictionary of so many bytes, a power of two."""
    header = bytearray(packed[12 : 12 + 4 * (packed[12] + 1)])
    place = header.index(b"\x21\x01") + 2
    header[place] = 2 * (size.bit_length() - 13)
    header[-4:] = zlib.crc32(header[:-4]).to_bytes(4, "little")
    return packed[:12] + bytes(header) + packed[12 + len(header) :]


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def batch(seed: int) -> dict[str, object]:
    generator = np.random.default_rng(seed)
    data = generator.integers(0, 256, (ROWS_A_BATCH, 3072), dtype=np.uint8)
    return {"data": data, "labels": generator.integers(0, 10, ROWS_A_BATCH).tolist()}


def write_batches(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for seed, name in enumerate(BATCH_FILES):
        (folder / name).write_bytes(pickle.dumps(batch(seed)))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(CLASSES)}))
    return folder


def publish(server, folder: Path, monkeypatch: pytest.MonkeyPatch, *more: tarfile.TarInfo) -> None:
    """Serve the archive of a folder of batches where torchvision's class says that it is, with its checksum."""
    from torchvision.datasets import CIFAR10

    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.add(folder, BATCHES)
        for member in more:
            archive.addfile(member, io.BytesIO(b""))
    server.files = {"cifar-10-python.tar.gz": content.getvalue()}
    monkeypatch.setattr(CIFAR10, "url", server.address + "cifar-10-python.tar.gz")
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(content.getvalue()).hexdigest())


def accept_batches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make torchvision's checksums those of the files in the folder."""
    from torchvision.datasets import CIFAR10

    def with_checksum(name: str) -> list[str]:
        return [name, hashlib.md5((folder / name).read_bytes(), usedforsecurity=False).hexdigest()]

    monkeypatch.setattr(CIFAR10, "train_list", [with_checksum(name) for name in BATCH_FILES[:5]])
    monkeypatch.setattr(CIFAR10, "test_list", [with_checksum(BATCH_FILES[5])])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": with_checksum("batches.meta")[1]})


def pickled_by_python_2(entry: dict[str, object]) -> bytes:
    """What the published files look like: text is that of Python 2, and the array's class has its old name."""
    data, labels = entry["data"], entry["labels"]
    rows, columns, size = (struct.pack("<i", number) for number in (*data.shape, data.size))
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R"
    kind = b"cnumpy\ndtype\nU\x02u1K\0K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    state = b"(K\x01J" + rows + b"J" + columns + b"\x86" + kind + b"\x89T" + size + data.tobytes() + b"tb"
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(U\x04data" + array + state + b"U\x06labels" + numbers + b"u."


def pickled_in_fortran_order(entry: dict[str, object]) -> bytes:
    return pickle.dumps({**entry, "data": np.asfortranarray(entry["data"])})


class TestLocate:
    @pytest.mark.parametrize("place", [BATCHES, f"cifar10/{BATCHES}"])
    def test_batches(self, tmp_path: Path, place: str) -> None:
        folder = write_batches(tmp_path / place)

        source = cifar10.locate(tmp_path)

        assert source.title == "CIFAR-10"
        assert source.files == (folder,)

    @pytest.mark.parametrize("place", ["CIFAR10-images", "cifar10/CIFAR10-images", "cifar10", "."])
    @pytest.mark.parametrize(
        ("suffix", "title"),
        [
            (".jpg", "CIFAR-10 (JPEG)"),
            (".JPG", "CIFAR-10 (JPEG)"),
            (".jpeg", "CIFAR-10 (JPEG)"),
            (".png", "CIFAR-10 (PNG)"),
        ],
    )
    def test_class_folders(self, tmp_path: Path, place: str, suffix: str, title: str) -> None:
        base = write_folders(tmp_path / place, image_files(suffix, each=2))

        source = cifar10.locate(tmp_path)

        assert source.title == title
        assert source.files == (base / "train", base / "test")

    @pytest.mark.parametrize("place", ["cifar10", "."])
    def test_archive(self, tmp_path: Path, place: str) -> None:
        path = write_archive(tmp_path / place / ARCHIVE, {})

        source = cifar10.locate(tmp_path)

        assert source.title == "CIFAR-10 (JPEG)"
        assert source.files == (path,)

    def test_order_of_the_forms(self, tmp_path: Path) -> None:
        write_archive(tmp_path / ARCHIVE, {})
        assert cifar10.locate(tmp_path).files == (tmp_path / ARCHIVE,)

        write_folders(tmp_path, image_files(".png"))
        assert cifar10.locate(tmp_path).title == "CIFAR-10 (PNG)"

        write_batches(tmp_path / "cifar10" / BATCHES)
        assert cifar10.locate(tmp_path).title == "CIFAR-10"

    def test_folders_of_another_data_set_are_passed_over(self, tmp_path: Path) -> None:
        write_folders(tmp_path, {"train/healthy/0.jpg": encoded(0), "test/healthy/0.jpg": encoded(1)})
        path = write_archive(tmp_path / ARCHIVE, {})

        assert cifar10.locate(tmp_path).files == (path,)

    @pytest.mark.parametrize(("kept", "lacking"), [("train", "test"), ("test", "train")])
    def test_missing_split(self, tmp_path: Path, kept: str, lacking: str) -> None:
        write_folders(tmp_path, {name: content for name, content in image_files().items() if name.startswith(kept)})

        with pytest.raises(UserError, match=f"none in {lacking}/"):
            cifar10.locate(tmp_path)

    @pytest.mark.parametrize("exists", [False, True])
    def test_nothing_found_lists_everything_and_downloads_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool
    ) -> None:
        monkeypatch.setattr(cifar10, "fetch", lambda *arguments: pytest.fail("downloaded"))
        root = tmp_path / "data"
        if exists:
            root.mkdir()

        with pytest.raises(UserError) as raised:
            cifar10.locate(root)

        message = str(raised.value)
        wanted = [root / BATCHES, root / "cifar10" / BATCHES, root / "CIFAR10-images", root / ARCHIVE]
        assert all(str(path) in message for path in wanted)
        assert str(root / "cifar10" / ARCHIVE) in message
        assert "CABENCH_DATA" in message
        assert ("which is not a folder" in message) is not exists


@pytest.mark.usefixtures("torchvision")
class TestDownload:
    @pytest.fixture
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("CABENCH_CACHE", str(tmp_path / "cache"))
        return tmp_path / "cache"

    @pytest.fixture
    def batches(self, tmp_path: Path) -> Path:
        return write_batches(tmp_path / "batches")

    def test_fills_the_cache_once(self, cache: Path, batches: Path, server, monkeypatch: pytest.MonkeyPatch) -> None:
        publish(server, batches, monkeypatch)

        first, second = cifar10.locate(None), cifar10.locate(None)

        assert len(server.asked) == 1
        assert first == second
        assert first.title == "CIFAR-10"
        assert first.files == (cache / "sources" / BATCHES,)
        for path in batches.iterdir():
            assert (first.files[0] / path.name).read_bytes() == path.read_bytes()
        # Neither the archive nor what was unpacked on the way stays.
        assert {path.name for path in (cache / "sources").iterdir()} == {BATCHES, "CIFAR-10.lock"}

    def test_incomplete_download_is_taken_up_again(
        self, cache: Path, batches: Path, server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publish(server, batches, monkeypatch)
        (content,) = server.files.values()
        missing = write_batches(cache / "sources" / BATCHES) / "data_batch_3"
        missing.unlink()
        (cache / "sources" / "cifar-10-python.tar.gz.part").write_bytes(content[:100])

        cifar10.locate(None)

        assert missing.exists()
        assert server.asked == [("cifar-10-python.tar.gz", "bytes=100-")]

    def test_a_member_that_climbs_out_is_refused(
        self, cache: Path, batches: Path, server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publish(server, batches, monkeypatch, tarfile.TarInfo("../../evil"))

        with pytest.raises(UserError, match=r"'\.\./\.\./evil' would be extracted to .* outside the destination"):
            cifar10.locate(None)

        assert not list(cache.parent.rglob("evil"))
        assert not list((cache / "sources" / BATCHES).iterdir())

    def test_failure_is_a_user_error(self, cache: Path, batches: Path, server, monkeypatch: pytest.MonkeyPatch) -> None:
        publish(server, batches, monkeypatch)
        server.files.clear()

        with pytest.raises(UserError, match="HTTP Error 404") as raised:
            cifar10.locate(None)

        message = str(raised.value)
        assert "data_batch_1" in message
        assert str(cache / "sources") in message
        assert "CABENCH_DATA" in message


@pytest.mark.usefixtures("torchvision")
class TestReadBatches:
    def test_keeps_the_order(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        accept_batches(write_batches(tmp_path / BATCHES), monkeypatch)
        batches = [batch(seed) for seed in range(6)]

        train, test = cifar10.read(cifar10.locate(tmp_path))

        images = np.concatenate([entry["data"] for entry in batches]).reshape(-1, 3, 32, 32)
        labels = np.concatenate([entry["labels"] for entry in batches])
        np.testing.assert_array_equal(train.images, images[: 5 * ROWS_A_BATCH])
        np.testing.assert_array_equal(test.images, images[5 * ROWS_A_BATCH :])
        np.testing.assert_array_equal(train.labels, labels[: 5 * ROWS_A_BATCH])
        np.testing.assert_array_equal(test.labels, labels[5 * ROWS_A_BATCH :])
        assert train.images.dtype == np.uint8
        assert train.labels.dtype == np.int64
        assert train.images.flags.c_contiguous

    @pytest.mark.parametrize("pickled", [pickled_by_python_2, pickled_in_fortran_order])
    def test_however_a_batch_was_pickled(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pickled: Callable[[dict[str, object]], bytes]
    ) -> None:
        folder, entry = write_batches(tmp_path / BATCHES), batch(7)
        (folder / "test_batch").write_bytes(pickled(entry))
        accept_batches(folder, monkeypatch)

        _, test = cifar10.read(cifar10.locate(tmp_path))

        np.testing.assert_array_equal(test.images, entry["data"].reshape(-1, 3, 32, 32))
        assert test.labels.tolist() == entry["labels"]

    @pytest.mark.parametrize("name", ["data_batch_2", "test_batch", "batches.meta"])
    @pytest.mark.parametrize("content", [None, b"cut short"])
    def test_damage(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes | None) -> None:
        folder = write_batches(tmp_path / BATCHES)
        accept_batches(folder, monkeypatch)
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content)

        with pytest.raises(UserError, match="damaged or incomplete") as raised:
            cifar10.read(cifar10.locate(tmp_path))

        assert str(folder) in str(raised.value)
        assert name in str(raised.value)

    def test_pickle_with_another_checksum_is_not_opened(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_batches(tmp_path / BATCHES)
        monkeypatch.setattr(cifar10._Values, "load", lambda *args, **kwargs: pytest.fail("unpickled"))

        with pytest.raises(UserError, match="damaged or incomplete"):
            cifar10.read(cifar10.locate(tmp_path))

    def test_what_a_pickle_names_is_not_called(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Hostile:
            def __reduce__(self) -> tuple[object, ...]:
                return os.mkdir, (str(tmp_path / "made"),)

        folder = write_batches(tmp_path / BATCHES)
        (folder / BATCH_FILES[0]).write_bytes(pickle.dumps({**batch(0), "more": Hostile()}))
        accept_batches(folder, monkeypatch)

        train, _ = cifar10.read(cifar10.locate(tmp_path))

        assert len(train.images)
        assert not (tmp_path / "made").exists()


class TestReadImageFiles:
    @pytest.mark.parametrize("suffix", [".jpg", ".png"])
    def test_classes_in_turn(self, tmp_path: Path, suffix: str) -> None:
        files = image_files(suffix)
        write_folders(tmp_path, files)

        train, test = cifar10.read(cifar10.locate(tmp_path))

        order = [(row, name) for row in range(2) for name in CLASSES]
        train_order = [*(key for key in order if key != (1, "dog")), (2, "bird")]
        for split, found, wanted in (("test", test, order), ("train", train, train_order)):
            assert found.labels.tolist() == [CLASSES.index(name) for _, name in wanted]
            assert found.labels.dtype == np.int64
            assert found.images.dtype == np.uint8
            images = np.stack([decoded(files[f"{split}/{name}/{row:04d}{suffix}"]) for row, name in wanted])
            np.testing.assert_array_equal(found.images, images)

    @pytest.mark.parametrize("prefix", ["CIFAR10-images/", "./CIFAR10-images/", "a/b/", ""])
    def test_archive_in_any_order_gives_what_the_folders_give(self, tmp_path: Path, prefix: str) -> None:
        files = image_files()
        write_folders(tmp_path / "unpacked", files)
        names = np.random.default_rng(0).permutation(list(files))
        write_archive(tmp_path / "data" / ARCHIVE, {name: files[name] for name in names}, prefix)

        from_folders = cifar10.read(cifar10.locate(tmp_path / "unpacked"))
        from_archive = cifar10.read(cifar10.locate(tmp_path / "data"))

        for one, other in zip(from_folders, from_archive, strict=True):
            np.testing.assert_array_equal(one.images, other.images)
            np.testing.assert_array_equal(one.labels, other.labels)

    def test_arrays_are_writable(self, tmp_path: Path) -> None:
        write_folders(tmp_path, image_files())

        train, _ = cifar10.read(cifar10.locate(tmp_path))

        assert train.images.flags.writeable
        assert train.images.flags.c_contiguous

    def test_grey_file_has_three_equal_channels(self, tmp_path: Path) -> None:
        files = image_files()
        write_folders(tmp_path, {**files, "train/airplane/0000.jpg": encoded(0, mode="L")})

        train, _ = cifar10.read(cifar10.locate(tmp_path))

        assert (train.images[0] == train.images[0][:1]).all()

    def test_other_members_of_the_archive_are_ignored(self, tmp_path: Path) -> None:
        path = tmp_path / ARCHIVE
        with tarfile.open(path, "w:xz") as archive:
            for kind, name in (
                (tarfile.DIRTYPE, "x/train/airplane"),
                (tarfile.SYMTYPE, "x/train/airplane/0000.jpg"),
                (tarfile.LNKTYPE, "x/train/lemur/0000.jpg"),
                (tarfile.FIFOTYPE, "x/train/airplane/0001.jpg"),
            ):
                member = tarfile.TarInfo(name)
                member.type, member.linkname = kind, "/elsewhere"
                archive.addfile(member)
            for name in ("README", "x/README", "x/train/README", "x/train/airplane/._0000.jpg", "x/train/.t/0.png"):
                add(archive, name, b"no image")
            for name, content in image_files().items():
                add(archive, f"x/{name}", content)

        train, test = cifar10.read(cifar10.locate(tmp_path))

        assert len(train.labels) == len(test.labels) == 20

    def test_hidden_files_and_loose_files_of_a_folder_are_ignored(self, tmp_path: Path) -> None:
        extra = dict.fromkeys(("train/README", "train/airplane/.DS_Store", "train/.thumbs/0.png"), b"no image")
        write_folders(tmp_path, {**image_files(), **extra})

        train, _ = cifar10.read(cifar10.locate(tmp_path))

        assert len(train.labels) == 20


def write_form(root: Path, form: str, files: dict[str, bytes]) -> None:
    if form == "archive":
        write_archive(root / ARCHIVE, files)
    else:
        write_folders(root / "CIFAR10-images", files)


@pytest.mark.parametrize("form", ["archive", "folders"])
class TestDamagedImageFiles:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (encoded(0, size=(32, 31)), "has 32x31 pixels"),
            (encoded(0)[:-200], "cannot be decoded as JPEG"),
            (encoded(0)[:100], "cannot be decoded as JPEG"),
            (b"", "cannot be decoded as JPEG"),
            (b"<html>", "cannot be decoded as JPEG"),
            (encoded(0, ".png"), "cannot be decoded as JPEG"),
        ],
    )
    def test_image(self, tmp_path: Path, form: str, content: bytes, message: str) -> None:
        write_form(tmp_path, form, {**image_files(), "train/deer/0001.jpg": content})

        with pytest.raises(UserError, match=message) as raised:
            cifar10.read(cifar10.locate(tmp_path))

        assert "train/deer/0001.jpg" in str(raised.value)

    def test_unknown_class(self, tmp_path: Path, form: str) -> None:
        write_form(tmp_path, form, {**image_files(), "test/lemur/0000.jpg": encoded(0)})

        with pytest.raises(UserError, match=r"test/lemur/0000\.jpg.*class folder 'lemur'; allowed are airplane, "):
            cifar10.read(cifar10.locate(tmp_path))

    def test_missing_class(self, tmp_path: Path, form: str) -> None:
        files = {name: content for name, content in image_files().items() if not name.startswith("test/frog/")}
        write_form(tmp_path, form, files)

        with pytest.raises(UserError, match="No image in test/frog of"):
            cifar10.read(cifar10.locate(tmp_path))

    def test_files_of_another_format(self, tmp_path: Path, form: str) -> None:
        write_form(tmp_path, form, {**image_files(), "train/truck/0000.png": encoded(0, ".png")})

        with pytest.raises(UserError, match=r"train/truck/0000\.png.*not named as a JPEG file"):
            cifar10.read(cifar10.locate(tmp_path))


class TestDamagedPng:
    @pytest.mark.parametrize("cut", [4, 40, 200, 1000, 3000])
    def test_cut_short(self, tmp_path: Path, cut: int) -> None:
        files = image_files(".png")
        write_folders(tmp_path, {**files, "train/cat/0000.png": files["train/cat/0000.png"][:cut]})

        with pytest.raises(UserError, match="cannot be decoded as PNG"):
            cifar10.read(cifar10.locate(tmp_path))


class TestDamagedArchive:
    def test_cut_short_anywhere(self, tmp_path: Path) -> None:
        path = write_archive(tmp_path / ARCHIVE, image_files())
        content = path.read_bytes()
        source = cifar10.locate(tmp_path)

        for length in (0, 5, 100, len(content) // 2, len(content) - 500, len(content) - 1):
            path.write_bytes(content[:length])
            with pytest.raises(UserError, match="damaged or cut short") as raised:
                cifar10.read(source)
            assert str(path) in str(raised.value)

    @pytest.mark.parametrize("content", [b"no archive at all", bytes(1000)])
    def test_not_an_archive(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / ARCHIVE).write_bytes(content)

        with pytest.raises(UserError, match="damaged or cut short"):
            cifar10.read(cifar10.locate(tmp_path))

    def test_altered_content(self, tmp_path: Path) -> None:
        path = write_archive(tmp_path / ARCHIVE, image_files())
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)

        with pytest.raises(UserError):
            cifar10.read(cifar10.locate(tmp_path))

    @pytest.mark.parametrize("name", ["../train/airplane/9.jpg", "x/../../evil", "/train/airplane/9.jpg"])
    def test_member_that_climbs_out(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / "data" / ARCHIVE
        path.parent.mkdir()
        with tarfile.open(path, "w:xz") as archive:
            for own, content in image_files().items():
                add(archive, own, content)
            add(archive, name, encoded(0))

        with pytest.raises(UserError, match=f"{ARCHIVE} has a member '{name}', which leads out"):
            cifar10.read(cifar10.locate(path.parent))

        assert list(tmp_path.iterdir()) == [path.parent]

    @pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
    def test_header_that_declares_more_than_it_may(self, tmp_path: Path, kind: bytes) -> None:
        header = tarfile.TarInfo("x")
        header.type, header.size = kind, 1500 << 20
        path = tmp_path / "cifar10-images.tar.xz"
        path.write_bytes(lzma.compress(header.tobuf(tarfile.USTAR_FORMAT) + bytes(1 << 20)))
        with pytest.raises(UserError, match="a header declares 1,572,864,000 bytes, of 1,048,576 that are allowed"):
            cifar10.read(cifar10.locate(tmp_path))

    def test_member_that_declares_more_than_there_is(self, tmp_path: Path) -> None:
        member = tarfile.TarInfo("train/cat/0.jpg")
        member.size = 3 << 30
        path = tmp_path / "cifar10-images.tar.xz"
        path.write_bytes(lzma.compress(member.tobuf(tarfile.USTAR_FORMAT) + bytes(1 << 20)))
        with pytest.raises(UserError, match="cannot be decoded as JPEG"):
            cifar10.read(cifar10.locate(tmp_path))

    def test_zeros_behind_the_last_member(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cifar10, "_LARGEST_ARCHIVE", 1 << 22)
        path = tmp_path / "cifar10-images.tar.xz"
        path.write_bytes(lzma.compress(bytes(1 << 23)))
        with pytest.raises(UserError, match="it unpacks to more than the 4,194,304 bytes that are allowed"):
            cifar10.read(cifar10.locate(tmp_path))

    def test_dictionary_of_a_gigabyte(self, tmp_path: Path) -> None:
        path = write_archive(tmp_path / ARCHIVE, image_files())
        path.write_bytes(with_dictionary(path.read_bytes(), 1 << 30))
        with pytest.raises(UserError, match="Memory usage limit exceeded"):
            cifar10.read(cifar10.locate(tmp_path))

    def test_a_stream_behind_padding_is_not_passed_over(self, tmp_path: Path) -> None:
        path = write_archive(tmp_path / ARCHIVE, image_files())
        path.write_bytes(path.read_bytes() + bytes(4096) + lzma.compress(bytes(10_000)))
        with pytest.raises(UserError, match="a stream stands behind the padding"):
            cifar10.read(cifar10.locate(tmp_path))

    def test_members_without_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cifar10, "_MOST_MEMBERS", 3)
        write_archive(tmp_path / ARCHIVE, image_files())
        with pytest.raises(UserError, match="it has more than 3 members"):
            cifar10.read(cifar10.locate(tmp_path))

    def test_streams_in_a_row(self, tmp_path: Path) -> None:
        path = write_archive(tmp_path / ARCHIVE, image_files())
        alone = cifar10.read(cifar10.locate(tmp_path))
        content = lzma.decompress(path.read_bytes())
        path.write_bytes(lzma.compress(content[:5000]) + lzma.compress(content[5000:]) + bytes(8192))
        again = cifar10.read(cifar10.locate(tmp_path))
        assert all(np.array_equal(one.images, two.images) for one, two in zip(alone, again, strict=True))

    def test_member_that_is_there_twice(self, tmp_path: Path) -> None:
        with tarfile.open(tmp_path / ARCHIVE, "w:xz") as archive:
            for name, content in image_files().items():
                add(archive, f"one/{name}", content)
            add(archive, "two/train/bird/0000.jpg", encoded(0))

        with pytest.raises(UserError, match=r"two/train/bird/0000\.jpg.*twice.*one/train/bird/0000\.jpg"):
            cifar10.read(cifar10.locate(tmp_path))

    def test_empty_archive(self, tmp_path: Path) -> None:
        write_archive(tmp_path / ARCHIVE, {})

        with pytest.raises(UserError, match="No image in train/airplane of"):
            cifar10.read(cifar10.locate(tmp_path))

    def test_archive_that_has_gone(self, tmp_path: Path) -> None:
        path = write_archive(tmp_path / ARCHIVE, {})
        source = cifar10.locate(tmp_path)
        path.unlink()

        with pytest.raises(UserError, match=ARCHIVE):
            cifar10.read(source)


@pytest.fixture(scope="module")
def data_root() -> Path:
    root = os.environ.get("CABENCH_DATA")
    if root is None or not (Path(root) / "cifar10" / ARCHIVE).is_file():
        pytest.skip(f"CABENCH_DATA names no folder that holds cifar10/{ARCHIVE}")
    return Path(root)


class TestRealArchive:
    @pytest.mark.slow
    def test_whole(self, data_root: Path) -> None:
        path = data_root / "cifar10" / ARCHIVE

        train, test = cifar10.read(Source("CIFAR-10 (JPEG)", (path,)))

        for split, rows in ((train, 50_000), (test, 10_000)):
            assert split.images.shape == (rows, 3, 32, 32)
            assert split.images.dtype == np.uint8
            np.testing.assert_array_equal(split.labels, np.arange(rows) % 10)
        # CIFAR-10's published channel means, to the tolerance that JPEG leaves.
        means = train.images.mean(axis=(0, 2, 3)) / 255
        np.testing.assert_allclose(means, [0.4914, 0.4822, 0.4465], atol=0.005)
