"""Digests of files and folders: what they are, when they are taken from the cache, and when files are read again."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cabench.data import cache as cached
from cabench.data.cache import SETTLED_NS, content_digest
from cabench.errors import UserError

LONG_AGO = 1_500_000_000.0
CONTENT = {"b": b"two", "a/x": b"one", "a-b": b"three", "a/inner/y": b""}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cached, "SETTLED_NS", 0)  # when a file was changed cannot be set back
    return tmp_path / "cache"


def write(path: Path, content: bytes, when: float = LONG_AGO) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (when, when))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in CONTENT.items():
        write(tmp_path / "folder" / name, content)
    return tmp_path / "folder"


def kept(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached, "_computed", lambda *arguments: pytest.fail("the files were read"))


def test_of_a_file_it_is_that_of_its_content(tmp_path: Path) -> None:
    assert content_digest(write(tmp_path / "file", b"abc")) == hashlib.sha256(b"abc").hexdigest()


def test_of_a_folder_it_is_that_of_names_and_contents_sorted_by_their_parts(folder: Path) -> None:
    expected = hashlib.sha256(b"a/inner/y" + b"a/xone" + b"a-bthree" + b"btwo").hexdigest()

    assert content_digest(folder) == expected


def test_linked_files_count_and_linked_folders_do_not(folder: Path, tmp_path: Path) -> None:
    plain = content_digest(folder)
    (folder / "linked").symlink_to(tmp_path)
    assert content_digest(folder) == plain
    (folder / "c").symlink_to(folder / "b")
    assert content_digest(folder) != plain


def test_files_that_are_as_they_were_are_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, single = content_digest(folder), content_digest(folder / "b")
    forbid_reading(monkeypatch)

    assert content_digest(folder) == first
    assert content_digest(folder / "b") == single
    monkeypatch.chdir(folder)
    assert content_digest(Path("../folder")) == first, "the same folder by another name"


def test_another_process_finds_what_was_kept(folder: Path) -> None:
    first = content_digest(folder)
    code = (
        "import sys; from pathlib import Path; from cabench.data import cache; cache._computed = None; "
        "print(cache.content_digest(Path(sys.argv[1])))"
    )

    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == first


def wait_for_another_time_stamp(clock: Path) -> None:
    """Some systems give files that change within milliseconds the same."""
    clock.touch()
    before = clock.stat().st_ctime_ns
    while clock.stat().st_ctime_ns == before:
        clock.touch()


CHANGES: dict[str, Callable[[Path], object]] = {
    "larger": lambda folder: write(folder / "b", b"longer"),
    "later": lambda folder: write(folder / "b", b"TWO", LONG_AGO + 1e-6),
    "renamed": lambda folder: (folder / "b").rename(folder / "c"),
    "moved": lambda folder: (folder / "a/x").rename(folder / "x"),
    "gone": lambda folder: (folder / "a/inner/y").unlink(),
    "one more": lambda folder: write(folder / "a/more", b""),
    "as large and as old": lambda folder: write(folder / "b", b"TWO"),
    "another in its place": lambda folder: write(folder.parent / "new", b"TWO").replace(folder / "b"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_is_seen(folder: Path, change: Callable[[Path], object]) -> None:
    first = content_digest(folder)
    wait_for_another_time_stamp(folder.parent / "clock")
    change(folder)
    second = content_digest(folder)

    assert second != first
    assert content_digest(folder) == second


@pytest.mark.parametrize("away", [0.0, 1.0, -3600.0], ids=["now", "a second ago", "in the future"])
def test_files_changed_just_now_are_read_again_since_their_time_stamp_may_not_change(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, away: float
) -> None:
    monkeypatch.setattr(cached, "SETTLED_NS", SETTLED_NS)
    when = time.time() - away
    write(folder / "b", b"two", when)
    first = content_digest(folder)
    write(folder / "b", b"TWO", when)

    assert content_digest(folder) != first
    assert kept(cache) == []


def test_files_that_only_look_old_are_read_again_just_after_they_were_changed(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached, "SETTLED_NS", SETTLED_NS)
    content_digest(folder)
    assert kept(cache) == []


def test_files_that_change_while_they_are_read_are_not_kept(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = cached._computed

    def changing(path: Path, files: object) -> str:
        result = computed(path, files)
        write(folder / "b", b"TWO", LONG_AGO + 1)
        return result

    monkeypatch.setattr(cached, "_computed", changing)
    content_digest(folder)

    assert kept(cache) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:40],
        lambda text: "[]",
        lambda text: '"text"',
        lambda text: "{}",
        lambda text: "\0\xff",
        lambda text: "[" * 100_000,
        lambda text: text.replace('"seal":', '"seal":["x"],"seal":'),
        lambda text: text.replace(json.loads(text)["sha256"][:8], "00000000"),
        lambda text: text.replace(json.loads(text)["seal"][:8], "00000000"),
    ],
    ids=["empty", "cut", "list", "text", "no fields", "no text", "deep", "two seals", "another digest", "another seal"],
)
def test_a_damaged_file_in_the_cache_is_made_anew(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[str], str]
) -> None:
    first = content_digest(folder)
    (path,) = kept(cache)
    whole = path.read_text(encoding="utf-8")
    path.write_text(damage(whole), encoding="latin-1")

    assert content_digest(folder) == first
    assert path.read_text(encoding="utf-8") == whole
    forbid_reading(monkeypatch)
    assert content_digest(folder) == first


def test_a_cache_that_cannot_be_written_to_is_done_without(folder: Path, cache: Path) -> None:
    cache.write_text("a file where the folder should be")

    assert content_digest(folder) == content_digest(folder)


def test_a_folder_in_the_place_of_another_is_read(folder: Path, tmp_path: Path) -> None:
    first = content_digest(folder)
    folder.rename(tmp_path / "moved")
    write(folder / "b", b"other")

    assert content_digest(folder) != first
    assert content_digest(tmp_path / "moved") == first


def test_several_processes_at_once_agree_and_leave_one_whole_file(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    for number in range(200):
        write(folder / str(number), bytes([number]) * 10_000)
    code = "import sys; from pathlib import Path; from cabench.data import cache; cache.SETTLED_NS = 0; "
    code += "[print(cache.content_digest(Path(sys.argv[1]))) for _ in range(20)]"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, folder], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    said = [process.communicate(timeout=60)[0].split() for process in processes]

    assert [process.returncode for process in processes] == [0] * 4
    assert [len(lines) for lines in said] == [20] * 4
    assert len({line for lines in said for line in lines}) == 1
    assert len(kept(cache)) == 1
    forbid_reading(monkeypatch)
    assert content_digest(folder) == said[0][0]


@pytest.mark.parametrize("place", ["digests", "sources", "sources/set", "sources/set/a", "sources/set/linked"])
def test_links_in_the_cache_are_refused_and_nothing_is_written_through_them(
    folder: Path, cache: Path, tmp_path: Path, place: str
) -> None:
    sources = cache / "sources" / "set"
    shutil.copytree(folder, sources)
    (tmp_path / "elsewhere").mkdir()
    if (cache / place).exists():
        (cache / place).rename(tmp_path / "moved")
        (cache / place).symlink_to(tmp_path / "moved")
    else:
        (cache / place).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=f"{place} is a link"):
        content_digest(sources)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_cache_itself_may_be_reached_by_a_link(folder: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "large disk").mkdir()
    cache.symlink_to(tmp_path / "large disk")
    shutil.copytree(folder, cache / "sources")
    content_digest(cache / "sources")
    assert len(list((tmp_path / "large disk" / "digests").iterdir())) == 1


def test_a_path_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        content_digest(tmp_path / "absent")


def test_a_user_without_a_home_is_told_what_to_set(tmp_path: Path) -> None:
    """As in a container that runs under a number that has no name."""
    code = "import pwd; pwd.getpwuid = {}.__getitem__; from cabench.__main__ import main; main()"
    environment = {
        name: value for name, value in os.environ.items() if name not in ("HOME", "CABENCH_CACHE", "XDG_CACHE_HOME")
    }

    done = subprocess.run(
        [sys.executable, "-c", code, "data", "build", "planted"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert re.fullmatch("Error: This user has no home folder, .*; set CABENCH_CACHE to a folder .*\n", done.stderr)


@pytest.mark.skipif(sys.platform == "win32", reason="the cache does not stand below HOME there")
def test_a_home_that_takes_no_folder_is_told_and_what_to_set(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("CABENCH_CACHE", "XDG_CACHE_HOME")}
    (tmp_path / "home").touch()  # a folder without write permission would not stop the root user of a container

    done = subprocess.run(
        [sys.executable, "-m", "cabench", "data", "build", "planted"],
        env={**environment, "HOME": str(tmp_path / "home")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert re.fullmatch(
        "Error: Data set 'planted' could not be built: .*CABENCH_CACHE can move.\n",
        done.stderr,
    )
