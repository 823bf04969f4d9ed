"""Archives from elsewhere: nothing leaves the folder or is larger than it may be, and what is left out is said."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import cabench
from cabench.publication import unpacking
from cabench.publication.layout import MOST_FILES, ROOT, belongs
from cabench.publication.unpacking import unpack

GOOD = f"{ROOT}/README.md"


def tar(path: Path, *members: tarfile.TarInfo, contents: Mapping[str, bytes] = {}) -> Path:
    """A packed tar with these members; sizes need not be those of the contents."""
    out = io.BytesIO()
    for member in members:
        content = contents.get(member.name, b"")
        out.write(member.tobuf(tarfile.GNU_FORMAT))
        out.write(content + bytes(-len(content) % 512))
    path.write_bytes(gzip.compress(out.getvalue() + bytes(1024)))
    return path


def member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.size, found.type, found.linkname = size, kind, link
    return found


def good(path: Path, *more: tarfile.TarInfo) -> Path:
    """A tar of one good member, and others."""
    return tar(path, member(GOOD, 4), *more, contents={GOOD: b"good"})


def written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (tmp_path / "a/b/into").mkdir(parents=True)
    return tmp_path / "a/b/into"


OUTSIDE = (
    "../x",
    f"{ROOT}/../../x",
    "/tmp/cabench-x",
    f"{ROOT}//tmp/x",
    f"{ROOT}/results/../../x",
    "C:\\x",
    ROOT + "\\x",
)
OTHER = (
    f"{ROOT}/more.txt",
    "README.md",
    f"{ROOT}/results/planted/pca/seed0-01234567/checkpoint.pt",
    f"{ROOT}/results/planted/pca/seed0-01234567/.lock",
    f"{ROOT}/results/planted/pca/seed0-0/record.json",
    f"{ROOT}/results/.hidden/pca/seed0-01234567/record.json",
    f"{ROOT}/tuning/planted/pca.toml",
)


@pytest.mark.parametrize("name", [*OUTSIDE, *OTHER])
def test_names_that_do_not_belong_are_left_out(tmp_path: Path, into: Path, name: str) -> None:
    def check(archive: Path) -> None:
        before = written(tmp_path)
        findings = unpack(archive, into)
        assert len(findings) == 1
        assert "is no file of a published archive" in findings[0]
        assert written(tmp_path) == sorted([*before, "a/b/into/README.md"])
        assert not Path("/tmp/cabench-x").exists()
        (into / "README.md").unlink()

    check(good(tmp_path / "x.tar.gz", member(name)))
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(GOOD, "good")
        archive.writestr(zipfile.ZipInfo(name), "bad")
    check(tmp_path / "x.zip")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, b"S", b"Z"]
)
def test_links_and_devices_are_left_out(tmp_path: Path, into: Path, kind: bytes) -> None:
    findings = unpack(good(tmp_path / "x.tar.gz", member(f"{ROOT}/tuned.toml", 0, kind, "/etc/passwd")), into)
    assert len(findings) == 1
    assert "only regular files are unpacked" in findings[0]
    assert written(into) == ["README.md"]


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_in_a_zip_are_left_out(tmp_path: Path, into: Path, mode: int) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        link = zipfile.ZipInfo(f"{ROOT}/tuned.toml")
        link.external_attr = (mode | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    (finding,) = unpack(tmp_path / "x.zip", into)
    assert "only regular files are unpacked" in finding
    assert written(into) == []


def test_a_member_that_is_there_twice_is_told_of(tmp_path: Path, into: Path) -> None:
    twice = member(GOOD, 4), member(GOOD, 4)
    (finding,) = unpack(tar(tmp_path / "x.tar.gz", *twice, contents={GOOD: b"good"}), into)
    assert "is there twice" in finding


def test_folders_that_other_programs_pack_do_no_harm(tmp_path: Path, into: Path) -> None:
    assert (
        unpack(good(tmp_path / "x.tar.gz", member(ROOT, 0, tarfile.DIRTYPE), member("../..", 0, tarfile.DIRTYPE)), into)
        == []
    )
    assert written(into) == ["README.md"]


def huge() -> tarfile.TarInfo:
    return member(f"{ROOT}/tuned.toml", 2**62)


def long_header() -> tarfile.TarInfo:
    return member("././@LongLink", 2**40, tarfile.GNUTYPE_LONGNAME)


def long_pax_header() -> tarfile.TarInfo:
    return member("././@PaxHeader", 2**34, tarfile.XHDTYPE)


@pytest.mark.parametrize("bad", [huge, long_header, long_pax_header])
def test_declared_sizes_are_not_believed(tmp_path: Path, into: Path, bad: Callable[[], tarfile.TarInfo]) -> None:
    (finding,) = unpack(good(tmp_path / "x.tar.gz", bad()), into)
    assert "nothing more of it was read" in finding
    assert written(into) == ["README.md"]


def test_bombs_are_stopped_before_anything_is_written(
    tmp_path: Path, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text of zeros that is packed a thousandfold, in either kind of archive; and many of a size that is allowed."""
    name = f"{ROOT}/tuned.toml"
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, bytes(2**26 + 1))
    tar(tmp_path / "x.tar.gz", member(name, 2**26 + 1), contents={name: bytes(2**26 + 1)})
    for archive in (tmp_path / "x.zip", tmp_path / "x.tar.gz"):
        assert archive.stat().st_size < 10**6
        (finding,) = unpack(archive, into)
        assert "declares 67,108,865 bytes, of 67,108,864 that are allowed" in finding
    monkeypatch.setattr(unpacking, "MOST_BYTES", 6)
    (finding,) = unpack(good(tmp_path / "x.tar.gz", member(f"{ROOT}/tuned.toml", 4)), into)
    assert "more bytes than are allowed" in finding


def test_a_tar_that_goes_on_behind_its_end_is_told_of(tmp_path: Path, into: Path) -> None:
    archive = good(tmp_path / "x.tar.gz")
    archive.write_bytes(archive.read_bytes() + gzip.compress(bytes(2**21)))
    (finding,) = unpack(archive, into)
    assert "goes on behind its last member" in finding


def test_a_zip_that_is_longer_than_it_says_is_damaged(tmp_path: Path, into: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(GOOD, bytes(10**6))
    content = (tmp_path / "x.zip").read_bytes()
    (tmp_path / "x.zip").write_bytes(content.replace((10**6).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    (finding,) = unpack(tmp_path / "x.zip", into)
    assert "damaged" in finding
    assert all(path.stat().st_size <= 10 for path in into.rglob("*"))


def test_too_many_members_are_refused(tmp_path: Path, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_FILES", 2)
    for archive in (tmp_path / "x.tar.gz", tmp_path / "x.zip"):
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive, "w") as members:
                for name in "abc":
                    members.writestr(f"{ROOT}/{name}", "")
        else:
            good(archive, *(member(f"{ROOT}/{name}") for name in "abc"))
        assert any("more than 2 members" in finding for finding in unpack(archive, into))
    assert MOST_FILES == 100_000


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 0.9, 0.999])
def test_archives_that_are_cut_short_are_found(computed: Path, tmp_path: Path, suffix: str, part: float) -> None:
    archive = tmp_path / f"a{suffix}"
    cabench.publish(computed / "runs", archive)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(part * len(content))])
    found = cabench.verify_results(archive)
    assert "is damaged or cut short" in found.findings[0]
    assert not any("/tmp" in finding or "cabench-verify" in finding for finding in found.findings[1:])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        gzip.compress(b"no tar", mtime=0),
        gzip.compress(bytes(10**5), mtime=0),
        b"PK\x05\x06" + bytes(18),
    ],
)
def test_what_is_no_archive_gives_findings_and_no_errors(tmp_path: Path, content: bytes) -> None:
    for suffix in (".tar.gz", ".zip"):
        (tmp_path / f"a{suffix}").write_bytes(content)
        assert not cabench.verify_results(tmp_path / f"a{suffix}").passed


def test_an_encrypted_zip_is_told_of(tmp_path: Path, into: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(GOOD, "good")
    content = bytearray((tmp_path / "x.zip").read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "x.zip").write_bytes(bytes(content))
    (finding,) = unpack(tmp_path / "x.zip", into)
    assert "encrypted" in finding


def test_names_that_belong_are_those_of_the_layout() -> None:
    cell = "results/planted/pca/seed0-01234567"
    for name in (
        "README.md",
        "manifest.json",
        "tuned.toml",
        f"{cell}/record.json",
        f"{cell}/model.safetensors",
        "tuning/a/b.json",
    ):
        assert belongs(name)
    for name in ("", "/", "results", cell, f"{cell}/", "tuning/a/.json", "tuning/../b.json", f"x/{cell}/record.json"):
        assert not belongs(name)
