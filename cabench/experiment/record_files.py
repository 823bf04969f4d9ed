"""Reading record files, with the contributions that stand beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from cabench.errors import UserError
from cabench.experiment import contributions_file
from cabench.experiment.contributions_file import StoredContributions
from cabench.experiment.record import Record


def load_whole(path: Path) -> Record:
    """A record with its contributions, where they can be read; UserError when it cannot be read itself."""
    record = load_with_stored(path)
    return record.with_contributions(record.read_contributions())


def load_with_stored(path: Path) -> Record:
    """A record whose contributions are read when they are asked for; UserError when it cannot be read itself."""
    record = Record.load(path)
    stored = StoredContributions(path.with_name(contributions_file.NAME), record.key, len(record.scores))
    stored.check_free()
    return record.with_contributions(stored)


def read_all(paths: Iterable[Path], load: Callable[[Path], Record]) -> tuple[list[Record], list[str]]:
    """The records that can be read by `load`, which raises UserError for others; and why those cannot."""
    records, reasons = [], []
    for path in paths:
        try:
            records.append(load(path))
        except UserError as error:
            reasons.append(str(error))
    return records, reasons
