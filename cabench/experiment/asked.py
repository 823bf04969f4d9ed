"""Which cells each profile has asked for: `profiles.json` in a results folder. So tables of every profile are whole.

A profile is no part of a cell's key. Where two profiles give a method equal settings, they share its cells: each is
computed once, and its record names the profile that it was computed under. Reports show it under both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from cabench.errors import UserError
from cabench.experiment.identity import Identity
from cabench.experiment.locks import locks_of
from cabench.experiment.record import Record
from cabench.files.atomic import storing, write_text
from cabench.files.json import read_json
from cabench.files.regular import plain
from cabench.profiles import ProfileEntry

NAME = "profiles.json"
LOCK, PATIENCE_S = ".profiles.lock", 60.0
MOST = 1000
"""Pairs of a profile and a data set in one file."""


@with_config(ConfigDict(extra="forbid"))
class AskedCells(TypedDict):
    """What a profile has asked for on a data set.

    Attributes:
        dataset: the data set's label.
        profile: what the profile says of itself.
        keys: of the cells, in order.
    """

    dataset: str
    profile: ProfileEntry
    keys: list[str]


@dataclass(frozen=True)
class Asked:
    """What all profiles have asked for in a results folder.

    Attributes:
        by_place: by label of the data set and name of the profile.
    """

    by_place: Mapping[tuple[str, str], AskedCells]

    @classmethod
    def read(cls, folder: Path) -> Asked:
        """What is noted in a results folder; nothing where there is no such file.

        Raises:
            UserError: when it cannot be read, or is no such file.
        """
        path = folder / NAME
        try:
            found = read_json(path, list[AskedCells])
            if len(by_place := {(one["dataset"], one["profile"]["name"]): one for one in found}) < len(found):
                raise ValueError("a profile is there twice for one data set")
            if len(found) > MOST:
                raise ValueError(f"it tells of more than {MOST:,} profiles and data sets")
        except FileNotFoundError:
            return cls({})
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path} cannot be read ({error}), which says what each profile has asked for; remove it: profiles are "
                "noted again when they run."
            ) from error
        return cls(by_place)

    def with_cells(self, cells: Iterable[AskedCells]) -> Asked:
        """This and what else was asked for; what a profile says of itself is taken from the later."""
        by_place = dict(self.by_place)
        for one in cells:
            place = one["dataset"], one["profile"]["name"]
            known = by_place[place]["keys"] if place in by_place else []
            by_place[place] = {**one, "keys": sorted({*known, *one["keys"]})}
        return Asked(by_place)

    def renewed(self, keys: Mapping[str, str]) -> Asked:
        """The same with the new keys of cells that have some, by their old ones, which stay."""
        return self.with_cells(
            {**one, "keys": [keys[key] for key in one["keys"] if key in keys]} for one in self.by_place.values()
        )

    def shown(self, records: Iterable[Record]) -> list[Record]:
        """Records, each once more under every other profile that has asked for its cell."""
        others: dict[tuple[str, str], list[ProfileEntry]] = {}
        for (dataset, _), one in self.by_place.items():
            for key in set(one["keys"]):
                others.setdefault((dataset, key), []).append(one["profile"])
        found: list[Record] = []
        for record in records:
            profiles = others.get((record.dataset["label"], record.key), [])
            found += [record, *(record.under(one) for one in profiles if one["name"] != record.profile)]
        return found


def note(folder: Path, cells: Iterable[AskedCells]) -> None:
    """Note in a results folder which cells profiles ask for.

    Args:
        folder: a results folder that can be written to.
        cells: by profile and data set.

    Raises:
        UserError: when what was noted before cannot be read, or is too much.
        StorageError: when it cannot be written.
    """
    _change(folder, lambda asked: asked.with_cells(cells))


def note_renewed(folder: Path, keys: Mapping[str, str]) -> None:
    """Note the new keys of cells, by their old ones, for all profiles that asked for them; errors as of `note`."""
    if keys and Asked.read(folder).by_place:
        _change(folder, lambda asked: asked.renewed(keys))


def _change(folder: Path, changed: Callable[[Asked], Asked]) -> None:
    with storing(), locks_of(folder).hold(plain(folder / LOCK, below=folder), PATIENCE_S):
        before = Asked.read(folder)
        after = changed(before)
        if len(after.by_place) > MOST:
            raise UserError(f"{folder / NAME} tells of {MOST:,} profiles and data sets, which is the most; remove it.")
        if after != before:
            content = [after.by_place[place] for place in sorted(after.by_place)]
            write_text(folder / NAME, json.dumps(content, indent=1) + "\n")


def asked_cells(cells: Iterable[tuple[Identity, ProfileEntry]]) -> Sequence[AskedCells]:
    """Cells, each with the profile that asks for it, by data set and profile."""
    found: dict[tuple[str, str], AskedCells] = {}
    for cell, profile in cells:
        place = cell.dataset["label"], profile["name"]
        one = found.setdefault(place, {"dataset": place[0], "profile": profile, "keys": []})
        one["keys"].append(cell.key)
    return list(found.values())
