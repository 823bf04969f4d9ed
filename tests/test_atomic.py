"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from cabench.atomic import remove_left_behind, replacing, write_text


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_new_content_takes_the_place_of_old(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old, and longer than the new one")
    write_text(path, "neu: ü")
    assert path.read_text(encoding="utf-8") == "neu: ü"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_content_stays_in_place_until_the_block_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent, "a rename between file systems is not atomic"
        assert temporary != path
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_block_that_raises_leaves_the_old_content_alone(tmp_path: Path, error: type[BaseException]) -> None:
    def write_half_and_raise() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half of the n")
            raise error

    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(error):
        write_half_and_raise()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_raises_leaves_nothing_where_nothing_was(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), replacing(tmp_path / "file.txt"):
        raise ValueError("stop")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_rename_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "a folder"
    path.mkdir()
    with pytest.raises(OSError, match="a folder"):
        write_text(path, "new")
    assert list(tmp_path.iterdir()) == [path]


def test_text_that_cannot_be_encoded_leaves_the_old_content_alone(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600), (0o000, 0o666)])
def test_permissions_follow_the_umask(tmp_path: Path, mask: int, expected: int) -> None:
    os.umask(mask)
    write_text(tmp_path / "file.txt", "text")
    assert permissions(tmp_path / "file.txt") == expected
    assert os.umask(mask) == mask, "the umask was changed"


def test_missing_parent_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "one" / "two" / "file.txt"
    write_text(path, "text")
    assert path.read_text() == "text"


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        write_text(tmp_path / "file" / "below.txt", "text")


def test_two_writers_at_once_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    with replacing(path) as first, replacing(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first", "the outer block ends last"
    assert list(tmp_path.iterdir()) == [path]


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".data[1].h5.abc.tmp", ".data[1].h5.def.tmp", "data[1].h5", ".data1.h5.abc.tmp", "data[1].lock"):
        (tmp_path / name).touch()

    remove_left_behind(tmp_path / "data[1].h5")

    assert {path.name for path in tmp_path.iterdir()} == {"data[1].h5", ".data1.h5.abc.tmp", "data[1].lock"}
