"""Arrays of .npz files: read as NumPy reads them, in pieces, and refused before anything absurd is allocated."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cabench.errors import UserError
from cabench.files import npz
from cabench.files.npz import stored_arrays

ARRAYS = {
    "bytes": np.random.default_rng(0).integers(0, 256, (50, 7, 3), np.uint8),
    "doubles": np.random.default_rng(1).normal(size=33),
    "texts": np.array(["a", "é", ""]),
    "empty": np.empty((0, 4), np.float32),
    "one": np.array(3),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("piece", [1, 40, 1 << 22])
def test_pieces_are_what_numpy_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save, piece: int) -> None:
    monkeypatch.setattr(npz, "PIECE", piece)
    save(tmp_path / "x.npz", **ARRAYS)
    stored = stored_arrays(tmp_path / "x.npz")
    assert list(stored) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert (stored[name].shape, stored[name].dtype, stored[name].nbytes) == (array.shape, array.dtype, array.nbytes)
        np.testing.assert_array_equal(stored[name].read(), array)
        if array.ndim:
            pieces = list(stored[name].pieces())
            assert [start for start, _ in pieces] == np.cumsum([0, *(len(rows) for _, rows in pieces)])[:-1].tolist()
            np.testing.assert_array_equal(np.concatenate([np.empty_like(array[:0]), *(r for _, r in pieces)]), array)


def test_fortran_order_is_read_whole_alone(tmp_path: Path) -> None:
    table = np.asfortranarray(np.arange(12.0).reshape(4, 3))
    np.savez(tmp_path / "x.npz", table=table)
    stored = stored_arrays(tmp_path / "x.npz")["table"]
    np.testing.assert_array_equal(stored.read(), table)
    with pytest.raises(UserError, match=r"table is not stored row by row: write numpy\.ascontiguousarray of it"):
        list(stored.pieces())


def test_no_object_is_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", things=np.array([{}, print], object))
    stored = stored_arrays(tmp_path / "x.npz")["things"]
    for read in (stored.read, lambda: list(stored.pieces())):
        with pytest.raises(UserError, match=r"cannot be read as an \.npz file"):
            read()


def header(shape: str, dtype: str = "|u1") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def entries(path: Path, *contents: tuple[str, bytes], packed: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", packed) as archive:
        for name, content in contents:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.npy", header("(1000000000000, 28, 28)"), "declares 784,000,000,000,000 bytes of arrays"),
        ("a.npy", header("(99999999999999999999, 99999999999999999999)"), "far more than it has"),
        ("a.npy", header("(10,)", "|V100000000"), "far more than it has"),
        ("a.npy", header("(-1, 5)"), "declares an array of shape"),
        ("a.npy", header("(True,)"), "declares an array of shape"),
        ("a.npy", header("(3"), "cannot be read"),
        ("a.npy", b"\x93NUMPY\x03\x00" + bytes(100), "version"),
        ("a.npy", b"no array", "cannot be read"),
        ("a.npy", b"", "cannot be read"),
        ("a.txt", header("(1,)") + b"1", "'a.txt' is no array"),
    ],
)
def test_what_is_no_array_is_refused_by_its_header(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    with pytest.raises(UserError, match=r"cannot be read as an .npz file") as caught:
        stored_arrays(entries(tmp_path / "x.npz", (name, content)))
    assert words in str(caught.value)


def test_a_method_of_packing_without_bounds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is no array as numpy\.savez writes it"):
        stored_arrays(entries(tmp_path / "x.npz", ("a.npy", header("(1,)") + b"1"), packed=zipfile.ZIP_LZMA))


@pytest.mark.parametrize(("shape", "content"), [("(5,)", b"1234"), ("(3,)", b"1234")])
def test_content_and_header_must_agree(tmp_path: Path, shape: str, content: bytes) -> None:
    stored = stored_arrays(entries(tmp_path / "x.npz", ("a.npy", header(shape) + content)))["a"]
    for read in (stored.read, lambda: list(stored.pieces())):
        with pytest.raises(UserError, match="cannot be read"):
            read()


def test_a_changed_byte_of_the_content_is_found(tmp_path: Path) -> None:
    written = io.BytesIO()
    np.savez(written, a=np.zeros(100_000, np.uint8))
    content = bytearray(written.getvalue())
    content[90_000] ^= 1  # beyond what is read with the header
    (tmp_path / "x.npz").write_bytes(content)
    stored = stored_arrays(tmp_path / "x.npz")["a"]
    for read in (stored.read, lambda: list(stored.pieces())):
        with pytest.raises(UserError, match="CRC"):
            read()


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + bytes(10), b"text", header("(1,)") + b"1"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.npz cannot be read as an \.npz file"):
        stored_arrays(tmp_path / "x.npz")
    with pytest.raises(UserError, match="There is no file"):
        stored_arrays(tmp_path / "absent.npz")
