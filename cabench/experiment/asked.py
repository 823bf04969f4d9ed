"""Which cells each profile has asked for: `profiles.json` in a results folder.

A profile is no part of a cell's key. Where two profiles give a method equal settings, they share its cells: each is
computed once, and its record names the profile that it was computed under. By this file reports show it under both, so
that no method is missing in the tables of either.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

from filelock import Timeout
from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from cabench.errors import UserError
from cabench.experiment.identity import Identity
from cabench.experiment.locks import locks_of
from cabench.experiment.record import Record
from cabench.files.atomic import storing, write_text
from cabench.files.bounds import LARGEST_TEXT
from cabench.files.json import read_json
from cabench.files.regular import plain
from cabench.profiles import ProfileEntry

NAME = "profiles.json"
LOCK, PATIENCE_S = ".profiles.lock", 600.0  # longer than a dead machine's lease lasts
MOST = 1000
"""Profiles, each on one data set, in one file."""


@with_config(ConfigDict(extra="forbid"))
class AskedCells(TypedDict):
    """What a profile has asked for on a data set.

    Attributes:
        dataset: the data set's label.
        profile: what the profile says of itself.
        keys: of the cells, by the method's label.
    """

    dataset: str
    profile: ProfileEntry
    keys: dict[str, list[Annotated[str, Field(pattern="^[0-9a-f]{64}$")]]]


class _Place(NamedTuple):
    dataset: str
    profile: str


@dataclass(frozen=True)
class Asked:
    """What all profiles have asked for in a results folder.

    Attributes:
        by_place: by label of the data set and name of the profile; keys are sorted, and each is there once.
    """

    by_place: Mapping[_Place, AskedCells]

    @classmethod
    def read(cls, folder: Path) -> Asked:
        """What is noted in a results folder; nothing where there is no such file.

        Raises:
            UserError: when it cannot be read, or is no such file.
        """
        try:
            found = read_json(folder / NAME, list[AskedCells])
            if len(found) > MOST:
                raise ValueError(f"it tells of more than {MOST:,} profiles and data sets")
        except FileNotFoundError:
            found = []
        except (OSError, ValueError) as error:
            raise UserError(
                f"{folder / NAME}, which says what profiles have asked for, cannot be read ({error}). Remove it: until "
                "they run again, a cell that profiles share is shown under one of them."
            ) from error
        return cls({}).with_cells(found)

    def with_cells(self, cells: Iterable[AskedCells]) -> Asked:
        """This and what else was asked for; what a profile says of itself is taken from the last."""
        by_place = dict(self.by_place)
        for one in cells:
            place = _Place(one["dataset"], one["profile"]["name"])
            known = by_place[place]["keys"] if place in by_place else {}
            methods = sorted({*known, *one["keys"]})
            keys = {method: sorted({*known.get(method, []), *one["keys"].get(method, [])}) for method in methods}
            by_place[place] = {**one, "keys": keys}
        return Asked(by_place)

    def renewed(self, keys: Mapping[str, str]) -> Asked:
        """The same with the new keys of cells that have some, by their old ones, which stay."""
        return self.with_cells(
            {**one, "keys": {method: [keys[key] for key in old if key in keys] for method, old in one["keys"].items()}}
            for one in self.by_place.values()
        )

    def shown(self, records: Iterable[Record]) -> list[Record]:
        """Records, each once more under every other profile that has asked for its cell."""
        profiles: dict[tuple[str, str, str], list[ProfileEntry]] = {}
        for one in self.by_place.values():
            for method, keys in one["keys"].items():
                for key in keys:
                    profiles.setdefault((one["dataset"], method, key), []).append(one["profile"])
        found: list[Record] = []
        for record in records:
            asking = profiles.get((record.dataset["label"], record.method["label"], record.key), [])
            found += [record, *(record.under(profile) for profile in asking if profile["name"] != record.profile)]
        return found


def read_asked(folder: Path) -> tuple[Asked, list[str]]:
    """What is noted in a results folder; where it cannot be read, nothing, and why."""
    try:
        return Asked.read(folder), []
    except UserError as error:
        return Asked({}), [str(error)]


def note(folder: Path, cells: Iterable[AskedCells]) -> None:
    """Note in a results folder which cells profiles ask for.

    Args:
        folder: a results folder that can be written to.
        cells: by profile and data set.

    Raises:
        UserError: when what was noted before cannot be read, or is too much; when another process holds the note.
        StorageError: when it cannot be written.
    """
    asked_for = list(cells)
    _change(folder, lambda asked: asked.with_cells(asked_for))


def note_renewed(folder: Path, keys: Mapping[str, str]) -> None:
    """Note the new keys of cells, by their old ones, for all profiles that asked for them; errors as of `note`."""
    _change(folder, lambda asked: asked.renewed(keys))


def _change(folder: Path, changed: Callable[[Asked], Asked]) -> None:
    before = Asked.read(folder)
    if changed(before) == before:
        return
    with storing(), _hold(folder):
        after = changed(Asked.read(folder))
        content = json.dumps([after.by_place[place] for place in sorted(after.by_place)], indent=1) + "\n"
        if len(after.by_place) > MOST or len(content) > LARGEST_TEXT:
            raise UserError(f"{folder / NAME} would tell of more than it may; remove it, or choose another folder.")
        write_text(folder / NAME, content)


@contextmanager
def _hold(folder: Path) -> Iterator[None]:
    try:
        with locks_of(folder).hold(plain(folder / LOCK, below=folder), PATIENCE_S):
            yield
    except Timeout as error:
        raise UserError(
            f"Another process has held {folder / LOCK} for {PATIENCE_S:.0f} s; end it, or choose another folder."
        ) from error


def asked_cells(cells: Iterable[tuple[Identity, ProfileEntry]]) -> Sequence[AskedCells]:
    """Cells, each with the profile that asks for it, by data set and profile."""
    found: dict[_Place, AskedCells] = {}
    for cell, profile in cells:
        place = _Place(cell.dataset["label"], profile["name"])
        one = found.setdefault(place, {"dataset": place.dataset, "profile": profile, "keys": {}})
        one["keys"].setdefault(cell.method["label"], []).append(cell.key)
    return list(found.values())
