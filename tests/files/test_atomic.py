"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import safetensors

from cabench.files.atomic import (
    StorageError,
    append_line,
    remove_all_left_behind,
    remove_left_behind,
    replacing,
    replacing_nameless,
    storing,
    write_text,
)


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


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o444])
def test_a_file_that_takes_the_place_of_another_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    path, hdf5 = tmp_path / "file.txt", tmp_path / "file.h5"
    for old in (path, hdf5):
        old.touch()
        old.chmod(mode)
    for _ in range(2):
        write_text(path, "text")
        with replacing_nameless(hdf5) as handle:
            os.write(handle, b"new")
    assert (permissions(path), permissions(hdf5)) == (mode, mode)


@pytest.mark.usefixtures("umask")
def test_what_takes_the_place_of_a_link_has_not_the_permissions_of_what_that_led_to(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").touch()
    (tmp_path / "elsewhere").chmod(0o777)
    (tmp_path / "file").symlink_to(tmp_path / "elsewhere")
    write_text(tmp_path / "file", "text")
    assert permissions(tmp_path / "file") == 0o644


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


# What outlives a crash


def test_content_then_name_then_new_folders_are_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system may write a new name before its content, and a folder's entries after those of another."""
    flushed: list[str] = []

    def record(handle: int, fsync: Callable[[int], None] = os.fsync) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        there = (tmp_path / "one" / "two" / "file.txt").exists()
        name = "temporary" if path.suffix == ".tmp" else str(path.relative_to(tmp_path))
        flushed.append(f"{name}, {'renamed' if there else 'not renamed'}")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", record)
    write_text(tmp_path / "one" / "two" / "file.txt", "text")
    assert flushed == ["., not renamed", "one, not renamed", "temporary, not renamed", "one/two, renamed"]


DIE_HALFWAY = """
import os, signal, sys
from pathlib import Path
from cabench.files.atomic import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half of the n")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_killed_while_it_writes_leaves_the_old_file_and_what_can_be_removed(tmp_path: Path) -> None:
    path, other = tmp_path / "file.txt", tmp_path / "other.txt"
    path.write_text("old")
    for place in (path, other):
        command = [sys.executable, "-c", DIE_HALFWAY, str(place)]
        assert subprocess.run(command, timeout=60, check=False).returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 3
    remove_left_behind(path)
    assert [item.name.split(".")[1] for item in tmp_path.glob(".*")] == ["other"]
    remove_all_left_behind(tmp_path)
    assert list(tmp_path.iterdir()) == [path]
    remove_all_left_behind(tmp_path / "missing")


# Errors


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), "[Errno 28] No space left on device: 'a/b'"),
        (OSError(errno.EIO, "Input/output error"), "[Errno 5] Input/output error"),
        (OSError("in words"), "in words"),
        (StorageError("gone"), "gone"),
        (safetensors.SafetensorError("full"), "full"),
    ],
)
def test_what_cannot_be_written_is_one_kind_of_error_in_the_words_of_the_first(error: Exception, text: str) -> None:
    with pytest.raises(StorageError) as caught, storing():
        raise error
    assert str(caught.value) == text
    assert caught.value.errno == getattr(error, "errno", None)


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(KeyError), replacing(tmp_path / "file"):
        raise KeyError


def test_lines_are_put_at_the_end_of_a_file(tmp_path: Path, umask: None) -> None:
    for line in ("one", "zwei: ü"):
        append_line(tmp_path / "log", line)
    assert (tmp_path / "log").read_text(encoding="utf-8") == "one\nzwei: ü\n"
    assert permissions(tmp_path / "log") == 0o644


@pytest.mark.parametrize("make", [lambda path: path.symlink_to(path.with_name("there")), os.mkfifo, os.mkdir])
def test_no_line_is_put_where_a_link_leads_or_into_what_is_no_file(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    (tmp_path / "there").write_text("kept")
    make(tmp_path / "log")
    with pytest.raises(StorageError, match="log"):
        append_line(tmp_path / "log", "one")
    assert (tmp_path / "there").read_text() == "kept"


@pytest.mark.parametrize("has_nameless_files", [True, False])
def test_a_file_without_a_name_takes_the_place_of_the_old_one_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: None, has_nameless_files: bool
) -> None:
    if not has_nameless_files:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    path = tmp_path / "new" / "data.h5"
    for content in (b"first", b"second"):
        with replacing_nameless(path) as handle:
            os.write(handle, content)
            assert len(list(path.parent.iterdir())) == path.exists() + (not has_nameless_files)
        assert path.read_bytes() == content

    def fail() -> None:
        with replacing_nameless(path) as handle:
            os.write(handle, b"third")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="this system has no files without a name")
def test_a_process_killed_while_it_writes_a_file_without_a_name_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import os, signal; from pathlib import Path; from cabench.files.atomic import replacing_nameless\n"
        "with replacing_nameless(Path('data.h5')) as handle:\n"
        "    os.write(handle, b'content'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []
