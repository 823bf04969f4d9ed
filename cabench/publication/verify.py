"""`cabench verify-results`: what others send, checked without trusting it.

What can be checked depends on what is there: hashes with a manifest, data with a data set that is built here, scores
with vectors. What could not be checked is noted. That a record is consistent does not prove that it was computed: only
vectors, or computing the cell again, do.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from cabench.data.download import raw_data_root
from cabench.errors import UserError
from cabench.experiment import asked
from cabench.experiment.asked import Asked
from cabench.publication.archive import SUFFIXES
from cabench.publication.cell_checks import CellChecks
from cabench.publication.data_here import DataHere, find, obtain
from cabench.publication.found import TOLERANCE, Verification
from cabench.publication.layout import MANIFEST, belongs
from cabench.publication.manifest import Manifest, Summary, entry_of
from cabench.publication.sources import Sources
from cabench.publication.tuning_checks import check_profile, check_tuning, note_other_settings
from cabench.publication.unpacking import unpack


def verify_results(
    path: str | Path,
    tuning: str | Path | None = None,
    profile: str | Path | None = None,
    *,
    data: Sequence[str | Path] = (),
    data_root: str | Path | None = None,
    build: bool = False,
    tolerance: float = TOLERANCE,
) -> Verification:
    """Check an archive of `publish`, the folder that one was unpacked to, or a results folder.

    Args:
        path: which. An archive is unpacked into a folder that is removed again.
        tuning: of a results folder, the folder of tuning records; archives hold their own.
        profile: likewise, the profile that was made of these.
        data: files of the sender's own data sets, as you have them, each under the name that records call it by.
        data_root: folder of raw data; None for what CABENCH_DATA names.
        build: build data sets that are not built yet. Otherwise what needs them is not checked.
        tolerance: by how much a number may differ that is computed anew from vectors.

    Returns:
        Findings, notes and counts; `passed` says whether nothing was found.

    Raises:
        UserError: for what is not there, and for options that mean nothing.
        StorageError: when an archive cannot be unpacked for want of room.
    """
    for file in map(Path, data):
        if not file.is_file():
            raise UserError(f"There is no data set file {file}; name the file that you have of the sender's.")
    place = Path(path).absolute()
    here = DataHere(raw_data_root(data_root), obtain if build else find, tuple(map(Path, data)))
    is_published = not place.is_dir() or (place / MANIFEST).exists()
    if is_published and (tuning or profile):
        raise UserError(f"{path} holds its own tuning records and profile; leave out --tuning and --profile.")
    if not place.is_dir():
        return _verify_archive(place, here, tolerance)
    if is_published:
        return _verify_published(place, here, tolerance)
    found = Verification()
    _verify_sources(Sources.at(place, tuning, profile), here, tolerance, found)
    return found


def _verify_archive(archive: Path, data: DataHere, tolerance: float) -> Verification:
    if not archive.exists():
        raise UserError(f"{archive} does not exist; name an archive of `cabench publish`, or a folder.")
    if not archive.is_file() or not archive.name.endswith(SUFFIXES):
        raise UserError(f"{archive} is neither a folder nor an archive that ends in {' or '.join(SUFFIXES)}.")
    with tempfile.TemporaryDirectory(prefix="cabench-verify-") as name:
        folder = Path(name).resolve()
        unpacked = unpack(archive, folder)
        found = _verify_published(folder, data, tolerance)
    # Where it was unpacked to means nothing to anybody.
    found.findings = unpacked + [said.replace(f"{folder}{os.sep}", "") for said in found.findings]
    return found


def _verify_published(folder: Path, data: DataHere, tolerance: float) -> Verification:
    found = Verification()
    manifest = _manifest(folder, found)
    summary = _verify_sources(Sources.unpacked(folder), data, tolerance, found)
    if manifest is not None and manifest.summary != summary:
        found.find(MANIFEST, "it tells of other cells or data than those that are here and in order.")
    return found


def _verify_sources(sources: Sources, data: DataHere, tolerance: float, found: Verification) -> Summary:
    """Check cells, tuning records and profile; gives what cells can be read."""
    checks = CellChecks(sources.results, data, tolerance, found)
    records = [record for path in sources.results.paths() if (record := checks.check(path))]
    try:
        Asked.read(sources.results.folder)
    except UserError as error:
        found.find(asked.NAME, str(error))
    if not found.cells:
        found.find(sources.results.folder.name, "there are no records.")
    if sources.tuning is not None:
        tuned = check_tuning(sources.tuning, found)
        note_other_settings(records, tuned, found)
        if sources.profile is not None and tuned:
            check_profile(sources.profile, tuned, found)
    elif sources.profile is not None:
        found.find(sources.profile.name, "there are no tuning records that it could have been made of.")
    return Summary.of(records)


def _manifest(folder: Path, found: Verification) -> Manifest | None:
    """The manifest, after every file was compared with it; None where it cannot be read."""
    try:
        manifest = Manifest.read(folder / MANIFEST)
    except UserError as error:
        found.find(MANIFEST, str(error))
        return None
    present = dict(_files(folder, found))
    for name in sorted(present.keys() - manifest.files.keys() - {MANIFEST}):
        found.find(name, "it is not in the manifest.")
    for name, entry in sorted(manifest.files.items()):
        if name not in present:
            found.find(name, "it is in the manifest, and not here.")
        elif entry_of(present[name]) != entry:
            found.find(name, "its content has another hash or size than the manifest says.")
    return manifest


def _files(folder: Path, found: Verification) -> Iterator[tuple[str, Path]]:
    """The regular files below a folder by their names, with forward slashes; what else there is is a finding."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent) / name
            below, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
            if stat.S_ISDIR(mode):
                continue
            if not stat.S_ISREG(mode):
                found.find(below, "it is a link, or no regular file.")
            elif not belongs(below):
                found.find(below, "it is no file of a published archive.")
            else:
                yield below, path
