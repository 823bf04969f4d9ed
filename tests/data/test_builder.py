"""Building data sets: once, whole or not at all, and found again by what they were built from."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest

from cabench.config import Settings, setting
from cabench.data.builder import DatasetBuilder
from cabench.data.cache import cache_folder, cache_warnings
from cabench.data.dataset import Attribute
from cabench.data.file import DatasetFile
from cabench.data.layout import SPLITS
from cabench.data.sources import Source
from cabench.data.writing import DatasetWriter
from cabench.datasets.dsprites import DSprites, DSpritesConfig
from cabench.errors import UserError
from cabench.files.json import canonical_json, parse_json

ATTRIBUTES = (Attribute("bright", "common", "class", ("no", "yes")),)


@dataclass(frozen=True)
class TinyConfig(Settings):
    """A size, and a file that is not read."""

    size: int = setting(4, at_least=1)
    weights_path: str = setting("", added_later=True)


class Tiny(DatasetBuilder):
    """Images of one brightness a split; writes down each build in a file named `log`, where one is given."""

    name = "tiny"
    version = 1
    Config = TinyConfig
    config: TinyConfig
    source = Source("computed")
    log: Path | None = None
    before_the_end: Callable[[], None] = staticmethod(lambda: None)

    def locate(self, root: Path | None) -> Sequence[Source]:
        return [self.source]

    def build(self, sources: Sequence[Source], writer: DatasetWriter) -> None:
        if self.log is not None:
            with self.log.open("a") as log:
                log.write("built\n")
        shape = (1, self.config.size, self.config.size)
        for brightness, split in zip((200, 100), SPLITS, strict=True):
            with writer.split(split, 4, shape, ATTRIBUTES) as out:
                for is_target in (False, True):
                    out.append(np.full((2, *shape), brightness, np.uint8), is_target, {"bright": np.array([0, 1])})
        self.before_the_end()


class NewerTiny(Tiny):
    version = 2


class RenamedTiny(Tiny):
    name = "renamed"


def tiny(source: Source = Tiny.source, size: int = 4, kind: type[Tiny] = Tiny) -> Tiny:
    builder = kind(TinyConfig(size=size))
    builder.source = source
    return builder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_a_data_set_is_built_once_and_found_again(tmp_path: Path, cache: Path) -> None:
    builder = tiny()
    builder.log = tmp_path / "log"
    assert builder.find(None) is None
    assert not cache.exists(), "looking for a data set wrote something"
    built = builder.obtain(None)
    built.verify()
    assert builder.obtain(None) == builder.find(None) == built
    assert builder.log.read_text() == "built\n"
    assert files_in(cache) == [built.path.name]
    assert built.path == builder.cached_path(builder.locate(None))


def test_the_file_says_what_it_was_built_from(tmp_path: Path) -> None:
    raw = tmp_path / "raw.bin"
    raw.write_bytes(b"abc")
    info = tiny(Source("Raw", (raw,)), size=3).obtain(None).info
    assert (info.name, info.builder_version, info.config, info.sources) == ("tiny", 1, {"size": 3}, ("Raw",))
    assert info.image_shape == (1, 3, 3)


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    assert cache_folder() == cache
    monkeypatch.delenv("CABENCH_CACHE")
    assert cache_folder().name == "cabench"
    monkeypatch.setenv("CABENCH_CACHE", "")
    assert cache_folder().name == "cabench"


def test_the_file_does_not_say_where_its_sources_and_the_files_it_names_are(tmp_path: Path) -> None:
    """It is sent to others; whoever builds it still knows."""
    raw = tmp_path / "raw.bin"
    raw.write_bytes(b"abc")
    builder = Tiny(TinyConfig(weights_path=str(tmp_path / "mine.pth")))
    builder.source = Source("Raw", (raw,))
    file = builder.obtain(None)
    with h5py.File(file.path) as stored:
        assert parse_json(stored.attrs["config"], dict)["weights_path"] == "mine.pth"
        assert parse_json(stored.attrs["sources"], list)[0]["file"] == "raw.bin"
    assert str(tmp_path).encode() not in file.path.read_bytes()
    assert file.info.config == builder.config.to_dict()
    with h5py.File(file.path, "r+") as stored:  # as files in older caches are
        stored.attrs["config"] = canonical_json(builder.config.to_dict())
    assert builder.obtain(None).info.config == builder.config.to_dict()


# Keys


def test_the_path_differs_with_all_that_determines_the_content(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"a")
    large.write_bytes(b"ab")
    builders = [
        tiny(),
        tiny(size=5),
        tiny(kind=NewerTiny),
        tiny(kind=RenamedTiny),
        tiny(Source("computed otherwise")),
        tiny(Source("computed", (small,))),
        tiny(Source("computed", (large,))),
        tiny(Source("computed", (small, large))),
    ]
    paths = {builder.cached_path(builder.locate(None)) for builder in builders}
    assert len(paths) == len(builders)


def test_the_path_does_not_depend_on_where_the_sources_are(tmp_path: Path) -> None:
    paths = set()
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "raw").write_bytes(b"the same")
        builder = tiny(Source("Raw", (tmp_path / name / "raw",)))
        paths.add(builder.cached_path(builder.locate(None)))
    assert len(paths) == 1


def test_a_folder_of_sources_counts_by_the_content_of_all_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "a").write_bytes(b"abc")
    (folder / "b").write_bytes(b"de")
    source = Source("Folder", (folder,))
    identity = source.identity()
    (entry,) = source.provenance()
    (folder / "b").write_bytes(b"dE")
    (other,) = source.provenance()
    assert source.identity() != identity, "another content under the same size would be taken from the cache"
    assert entry["size"] == other["size"] == 5
    assert entry["sha256"] != other["sha256"]


# Several processes

BUILD_IN_ANOTHER_PROCESS = """
import importlib.util, sys, time
from pathlib import Path

module_path, log, ready, start = map(Path, sys.argv[1:])
spec = importlib.util.spec_from_file_location("builders", module_path)
builders = importlib.util.module_from_spec(spec)
sys.modules["builders"] = builders
spec.loader.exec_module(builders)

builder = builders.tiny()
builder.log = log
builder.before_the_end = lambda: time.sleep(0.5)
ready.touch()
while not start.exists():
    time.sleep(0.002)
print(builder.obtain(None).info.content_sha256)
"""


def test_two_processes_that_ask_at_once_build_it_once(tmp_path: Path, cache: Path, start_python) -> None:
    log, start = tmp_path / "log", tmp_path / "start"
    ready = [tmp_path / "ready0", tmp_path / "ready1"]
    processes = [start_python(tmp_path, "-c", BUILD_IN_ANOTHER_PROCESS, __file__, log, path, start) for path in ready]
    while not all(path.exists() for path in ready):
        assert not any(process.ended(0.01) for process in processes), "a process ended before it was told to start"
    start.touch()
    hashes = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert log.read_text() == "built\n"
    assert hashes[0] == hashes[1] == tiny().obtain(None).info.content_sha256 + "\n"
    assert len(files_in(cache)) == 1


def nameless_files_of(pid: int) -> list[int]:
    """The sizes of the files without a name that a process holds open."""
    sizes = []
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if "(deleted)" in str(handle.readlink()):
                sizes.append(handle.stat().st_size)
    return sizes


BUILD_SLOWLY = """
import sys, time
from pathlib import Path
from cabench.datasets import dsprites

dsprites.CHUNK, draw = 10, dsprites.sprites.render
dsprites.sprites.render = lambda *factors: (time.sleep(0.05), draw(*factors))[1]
dsprites.DSprites(dsprites.DSpritesConfig(train_size=4000, test_size=200, digits="sklearn")).obtain(None)
"""


def test_a_build_that_is_killed_leaves_nothing_that_looks_finished_and_the_next_one_succeeds(
    tmp_path: Path, cache: Path, start_python
) -> None:
    builder = DSprites(DSpritesConfig(train_size=4000, test_size=200, digits="sklearn"))
    process = start_python(tmp_path, "-c", BUILD_SLOWLY)
    # Killed when images are being written, which are four thousand bytes each.
    while not any(size > 500_000 for size in nameless_files_of(process.pid)):
        assert not process.ended(0.01), "the build was over before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(cache.rglob("*.tmp")) == []
    assert list(cache.rglob("*.h5")) == []
    assert builder.find(None) is None

    built = builder.obtain(None)

    built.verify()
    assert files_in(cache) == [built.path.name], "what the killed build left is still there"


# Failures


@pytest.mark.parametrize("error", [ValueError, UserError, KeyboardInterrupt])
def test_a_build_that_raises_leaves_nothing_and_can_be_tried_again(cache: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        raise error("stopped")

    builder = tiny()
    builder.before_the_end = fail
    with pytest.raises(error, match="stopped"):
        builder.obtain(None)
    assert files_in(cache) == []
    assert builder.find(None) is None
    tiny().obtain(None).verify()


def test_a_cache_that_cannot_be_written_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path / "file" / "below"))
    assert tiny().find(None) is None
    with pytest.raises(UserError, match=r"'tiny' could not be built: .*below.*CABENCH_CACHE"):
        tiny().obtain(None)


def test_a_source_that_cannot_be_read_is_not_blamed_on_the_cache(tmp_path: Path) -> None:
    builder = tiny()
    builder.before_the_end = lambda: (tmp_path / "absent.png").open() and None
    with pytest.raises((UserError, OSError), match=r"absent\.png") as caught:
        builder.obtain(None)
    assert "make room there" not in str(caught.value)


def test_a_damaged_file_in_the_cache_is_named() -> None:
    path = tiny().obtain(None).path
    path.write_bytes(b"damaged")
    with pytest.raises(UserError, match=path.name):
        tiny().obtain(None)


def test_following_the_advice_for_a_damaged_file_mends_it() -> None:
    path = tiny().obtain(None).path
    path.write_bytes(b"damaged")
    with pytest.raises(UserError) as caught:
        tiny().obtain(None)
    if "delete" in str(caught.value).lower():
        path.unlink()
    DatasetFile.open(tiny().obtain(None).path).verify()


def test_a_builder_without_a_configuration_has_its_defaults() -> None:
    assert Tiny().config == TinyConfig()


# Shared caches


def test_the_file_of_another_data_set_in_its_place_is_refused(tmp_path: Path) -> None:
    builder, others = tiny(), [tiny(size=5), tiny(kind=NewerTiny), tiny(kind=RenamedTiny)]
    path = builder.obtain(None).path
    for other in others:
        other.obtain(None).path.replace(path)
        for read in (builder.find, builder.obtain):
            with pytest.raises(UserError, match="is not what its name says"):
                read(None)
    path.unlink()
    assert builder.obtain(None).path == path


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
@pytest.mark.parametrize("place", ["file", "datasets"])
def test_a_link_in_its_place_is_refused_and_nothing_is_built_through_it(
    tmp_path: Path, cache: Path, place: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    path = tiny().cached_path([Tiny.source]) if place == "file" else cache / "datasets"
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "elsewhere" / place if place == "file" else tmp_path / "elsewhere")
    for read in (tiny().find, tiny().obtain):
        with pytest.raises(UserError, match="is a link, and none is followed"):
            read(None)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such permissions there")
def test_a_cache_that_everybody_can_write_to_is_told(cache: Path) -> None:
    assert cache_warnings() == []
    tiny().obtain(None)
    assert cache_warnings() == []
    (cache / "datasets").chmod(0o1777)  # others can replace no file there, and add some
    (sentence,) = cache_warnings()
    assert sentence.startswith(f"Everybody on this machine can write to {cache / 'datasets'}")
