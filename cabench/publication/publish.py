"""`cabench publish`: one archive of results, with all that others need to repeat and to check them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from cabench.data.named_files import names_a_file, without_folders
from cabench.errors import UserError
from cabench.experiment import asked, contributions_file, representations_file
from cabench.experiment.asked import Asked
from cabench.experiment.identity import DatasetEntry
from cabench.experiment.merging import under_way
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.experiment.verified import verified
from cabench.publication.archive import check_suffix, write_archive
from cabench.publication.found import Verification
from cabench.publication.layout import (
    MANIFEST,
    PROFILE,
    README,
    RECORD,
    RESULTS,
    TUNING,
    belongs,
    largest,
)
from cabench.publication.manifest import FileEntry, Manifest, Summary, entry_of, versions
from cabench.publication.readme import readme
from cabench.publication.sources import Sources
from cabench.publication.tuning_checks import check_profile
from cabench.saving import MODEL
from cabench.tuning.tuned_profile import published_profile
from cabench.tuning.tuning_record import read_tuning_records


class Published(NamedTuple):
    """An archive that was written.

    Attributes:
        path: where it is.
        sha256: of the archive, to be told beside it: whoever changes the archive cannot change that.
        manifest: what it holds.
        left_out: sentences on cells that are being computed.
    """

    path: Path
    sha256: str
    manifest: Manifest
    left_out: Sequence[str]


def publish(
    results: str | Path,
    output: str | Path,
    tuning: str | Path | None = None,
    profile: str | Path | None = None,
    *,
    vectors: bool = False,
    models: bool = False,
    force: bool = False,
) -> Published:
    """Write results into one archive, whole or not at all.

    Equal contents give equal bytes, under equal versions of cabench and its libraries. Of data files of one's own the
    archive tells the names, and not where they are kept. Failed cells are part of it: to leave them out would be a
    choice among results. Checkpoints, logs, pictures and locks never are.

    Args:
        results: the results folder; every cell in it that nobody works on.
        output: the archive, a .tar.gz or .zip.
        tuning: the folder of tuning records.
        profile: the profile that was made of these.
        vectors: whether the vectors are taken too. Without them nobody can compute the scores anew.
        models: whether the fitted methods are taken too.
        force: replace an archive that is there.

    Raises:
        UserError: for what is not there, is damaged, changed or a link, before anything is written.
        StorageError: when the archive cannot be written.
    """
    archive = Path(output)
    check_suffix(archive)
    if archive.exists() and not force:
        raise UserError(f"{archive} exists already; give --force to replace it, or choose another --output.")
    sources = Sources.at(results, tuning, profile)
    taken = [contributions_file.NAME, *[representations_file.NAME] * vectors, *[MODEL] * models]
    return _write(sources, archive, taken)


def _write(sources: Sources, archive: Path, beside: Sequence[str]) -> Published:
    """Write the archive, with the files of these names beside each record."""
    records, left_out = _records(sources.results)
    contents = {**_cells(sources.results, records, beside), **_tuning(sources)}
    entries = {name: entry_of(content) for name, content in contents.items()}
    summary = Summary.of(records)
    shown = Asked.read(sources.results.folder).shown(records)
    contents[README] = readme(summary, records, {record.profile for record in shown}, list(contents)).encode()
    entries[README] = entry_of(contents[README])
    manifest = Manifest(versions=versions(), summary=summary, files=entries)
    contents[MANIFEST] = manifest.to_json().encode()
    entries = {**entries, MANIFEST: entry_of(contents[MANIFEST])}
    _check_names(entries)
    write_archive(archive, contents, entries)
    return Published(archive, entry_of(archive)["sha256"], manifest, left_out)


def _records(store: ResultsStore) -> tuple[list[Record], list[str]]:
    """Every record that nobody works on, and which others there are.

    Raises:
        UserError: naming the first that is not in order, and how many there are.
    """
    records, refused, left_out = [], [], [f"{folder} is being computed." for folder in under_way(store)]
    for path in store.paths():
        if store.is_worked_in(path.parent):
            left_out.append(f"{path.parent} is being computed.")
            continue
        try:
            records.append(verified(store, path).with_contributions(None))  # which would not all fit into memory
        except UserError as error:
            refused.append(str(error))
    if refused:
        more = f" So are {len(refused) - 1} others." if len(refused) > 1 else ""
        raise UserError(f"Nothing is published, as one cell is not in order. {refused[0]}{more}")
    if not records:
        raise UserError(f"Every cell in {store.folder} is being computed; publish when some have ended.")
    return records, left_out


def _cells(store: ResultsStore, records: Sequence[Record], beside: Sequence[str]) -> dict[str, Path | bytes]:
    found: dict[str, Path | bytes] = {}
    if (store.folder / asked.NAME).exists():
        found[f"{RESULTS}/{asked.NAME}"] = store.folder / asked.NAME
    for record in records:
        folder = record.folder(store.folder)
        place = f"{RESULTS}/{folder.relative_to(store.folder).as_posix()}"
        found[f"{place}/{RECORD}"] = _told(record) if names_a_file(record.dataset["config"]) else folder / RECORD
        for name in (name for name in beside if (folder / name).exists()):
            found[f"{place}/{name}"] = folder / name
    return found


def _told(record: Record) -> bytes:
    """A record with files by their names alone. What a cell is does not depend on where its data set is kept."""
    data: DatasetEntry = {**record.dataset, "config": without_folders(record.dataset["config"])}
    return replace(record, dataset=data).to_json().encode()


def _tuning(sources: Sources) -> dict[str, Path | bytes]:
    """Tuning records and the profile.

    Raises:
        UserError: for one that cannot be read or is a link, and for a profile that was not made of these records.
    """
    if sources.tuning is None:
        return {}
    records = read_tuning_records(sources.tuning)
    found: dict[str, Path | bytes] = {
        record.path(Path(TUNING)).as_posix(): record.without_folders().to_json().encode() for record in records
    }
    if sources.profile is not None:
        checked = Verification()
        check_profile(sources.profile, records, checked)
        if checked.findings:
            raise UserError(f"The profile cannot be published with these tuning records. {checked.findings[0]}")
        found[PROFILE] = published_profile(records).encode()
    return found


def _check_names(entries: Mapping[str, FileEntry]) -> None:
    """Refuse to write what `verify-results` would not read.

    Raises:
        UserError: naming it.
    """
    for name, entry in entries.items():
        if not belongs(name) or entry["size"] > largest(name):
            raise UserError(f"{name} cannot be published: its name or size ({entry['size']:,} bytes) is not allowed.")
