"""Cells that several profiles ask for. Each is computed once, and shown under all of them.

A profile is no part of a cell's key: where two profiles give a method equal settings, they share its cells. A record
says under which profile it was computed; the others are noted in it when they ask for the cell.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from filelock import Timeout

from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.files.atomic import storing, write_text
from cabench.profiles import ProfileEntry


def share(record: Record, profile: ProfileEntry, store: ResultsStore) -> None:
    """Note in the stored record of a finished cell that a profile asks for it.

    One that another process is replacing is left as it is.

    Raises:
        StorageError: when it cannot be written.
    """
    if record.status != "ok" or with_profiles(record, [profile]) is record:
        return
    path = record.folder(store.folder) / "record.json"
    with storing(), suppress(Timeout), store.lock(record):
        write_text(path, with_profiles(Record.load(path), [profile]).to_json())


def with_profiles(record: Record, profiles: Iterable[ProfileEntry]) -> Record:
    """A record that is shown under further profiles too; the same one where it is shown under all of them."""
    names = {profile["name"] for profile in record.profiles}
    further = tuple(profile for profile in profiles if profile["name"] not in names)
    return replace(record, shared_with=(*record.shared_with, *further)) if further else record


def under_all_profiles(records: Iterable[Record]) -> list[Record]:
    """Records, each once more under every further profile that shares its cell."""
    return [shown for record in records for shown in (record, *map(record.under, record.shared_with))]
