"""Nothing but plain files and folders below a folder: links and pipes on every level are told, and not waited for."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cabench.errors import UserError
from cabench.files.regular import is_regular, open_regular, plain, remove_links

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there, and there are no pipes")

PATH = Path("data") / "method" / "cell" / "record.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder that is reached by a link, as its user may name it."""
    (tmp_path / "large disk" / PATH).parent.mkdir(parents=True)
    (tmp_path / "large disk" / PATH).write_text("{}")
    (tmp_path / "root").symlink_to(tmp_path / "large disk")
    return tmp_path / "root"


def test_plain_paths_are_given_back_whether_something_is_there_or_not(root: Path) -> None:
    for path in (root / PATH, root / PATH.parent, root, root / "not" / "there", root / PATH / "below a file"):
        assert plain(path, below=root) == path


def test_paths_from_the_working_folder_are_looked_at_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    with pytest.raises(UserError, match="root is a link"):
        plain(Path("root") / PATH, below=Path())
    assert plain(Path("root") / PATH, below=Path("root")) == Path("root") / PATH


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("target", ["what was there", "nowhere", "/dev/zero", "itself"])
def test_a_link_on_any_level_is_told(root: Path, tmp_path: Path, level: int, target: str) -> None:
    place = root / Path(*PATH.parts[: level + 1])
    place.rename(tmp_path / "moved")
    place.symlink_to({"what was there": tmp_path / "moved", "itself": place}.get(target, Path(target)))
    with pytest.raises(UserError, match="is a link, and none is followed; remove it") as caught:
        plain(root / PATH, below=root)
    assert str(caught.value).startswith(f"{place} ")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_only_files_are_regular_and_nothing_else_is_opened_or_waited_for(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    (tmp_path / "file").write_text("text")
    make(tmp_path / "other")
    assert is_regular(tmp_path / "file")
    assert not is_regular(tmp_path / "other")
    assert not is_regular(tmp_path / "absent")
    assert not is_regular(tmp_path / "\0")
    with open_regular(tmp_path / "file") as file:
        assert file.read() == b"text"
    for name in ("other", "absent"):
        with pytest.raises(UserError, match=name):
            open_regular(tmp_path / name)


def test_a_file_that_is_gone_once_it_is_opened_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a network file system, where another machine has removed it."""
    (tmp_path / "file").write_text("text")
    looked_at = []

    def gone(handle: int) -> os.stat_result:
        looked_at.append(handle)
        raise OSError(errno.ESTALE, "Stale file handle")

    with monkeypatch.context() as patch:
        patch.setattr("cabench.files.regular.os.fstat", gone)
        with pytest.raises(UserError, match=r"file cannot be read \(Stale file handle\)"):
            open_regular(tmp_path / "file")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(*looked_at)


def test_a_pipe_is_told(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(UserError, match="pipe is neither a file nor a folder"):
        plain(root / "pipe", below=root)


def test_links_are_removed_at_any_depth_and_what_they_lead_to_stays(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    for place in (root / "one", root / PATH.parent / "two"):
        place.symlink_to(elsewhere)
    remove_links(root / "data")
    remove_links(root)
    assert sorted(path.name for path in root.resolve().rglob("*")) == ["cell", "data", "method", "record.json"]
    assert (elsewhere / "kept").exists()
