"""What tuning one method on one data set came to: every trial, how it was judged, and which was chosen.

`<folder>/<data set label>/<method label>.json`. It is small and needs no cell beside it: whoever has it can choose
again by another rule, and see what more trials would have been worth.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from cabench.data.named_files import file_name, without_folders
from cabench.errors import UserError
from cabench.evaluation.ranges import ROUNDING
from cabench.files.atomic import write_text
from cabench.files.json import read_json
from cabench.files.names import is_name
from cabench.files.regular import plain

SCHEMA = 1
WORST = 1.0
"""The separation gap that a trial counts for which failed, or could not begin."""

_Gap = Annotated[float, Field(ge=-ROUNDING, le=1 + ROUNDING)]
_Amount = Annotated[float, Field(ge=0)]
_nothing_else = with_config(ConfigDict(extra="forbid"))


@_nothing_else
@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A trial under one seed.

    Attributes:
        seed: of the cell.
        key: of the cell.
        error: why it failed; "" where it did not.
        gap: the separation gap on the part that settings are judged by, in [0, 1]; None where it failed.
        criteria: by name, what else the trial may be judged by; see `cabench.tuning.criteria`.
        train_s: seconds of training.
        images_seen: in training.
        is_flat: whether the loss no longer fell, see `cabench.experiment.flatness`; None where nothing tells.
        test_gap: the separation gap on the test split, which was opened after the choice; None before.
    """

    seed: int
    key: str
    error: str
    gap: _Gap | None
    criteria: Mapping[str, float]
    train_s: _Amount
    images_seen: _Amount
    is_flat: bool | None = None
    test_gap: _Gap | None = None


@_nothing_else
@dataclass(frozen=True, kw_only=True)
class TrialEntry:
    """One trial.

    Attributes:
        number: from 0, which is what the profile says.
        settings: the values of what is searched.
        refused: why it could not begin; "" where it could.
        outcomes: one a seed, that of all trials first.
    """

    number: int
    settings: Mapping[str, Any]
    refused: str
    outcomes: tuple[Outcome, ...]

    @property
    def gap(self) -> float:
        """Of the seed that all trials have."""
        return _counted(self.outcomes[0]) if self.outcomes else WORST

    @property
    def mean_gap(self) -> float:
        """Over all its seeds."""
        gaps = [_counted(outcome) for outcome in self.outcomes]
        return sum(gaps) / len(gaps) if gaps else WORST


class DataEntry(TypedDict):
    """What provides a data set."""

    name: str
    config: dict[str, Any]


@_nothing_else
@dataclass(frozen=True, kw_only=True)
class TuningRecord:
    """All trials of a method on a data set.

    Attributes:
        dataset: label of the data set.
        data: name and configuration of what provides it.
        content_sha256: of the whole data set.
        profile: whose settings trial 0 is, and everything that is not searched.
        method: label.
        name: of the method.
        version: of the method.
        supervised: whether the method learns from the attributes.
        one_space: whether the method has a single vector, which both spaces hold.
        precision: of the networks.
        budget: trials that were asked for; a method with nothing to search has one.
        space: by name of a field, what it is searched over.
        fixed: all settings of trial 0.
        criterion: what the choice was made by.
        chosen: number of the trial.
        trials: in order.
        schema: version of this layout.
    """

    dataset: str
    data: DataEntry
    content_sha256: str
    profile: str
    method: str
    name: str
    version: int
    supervised: bool
    one_space: bool
    precision: str
    budget: int
    space: Mapping[str, str]
    fixed: Mapping[str, Any]
    criterion: str
    chosen: int
    trials: tuple[TrialEntry, ...]
    schema: int = SCHEMA

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of the trial that was chosen."""
        return {**self.fixed, **self.choice.settings}

    @property
    def choice(self) -> TrialEntry:
        """The trial that was chosen."""
        return self.trials[self.chosen]

    def path(self, folder: Path) -> Path:
        """Where it stands below a folder of tuning records."""
        return folder / self.dataset / f"{self.method}.json"

    def to_dict(self) -> dict[str, Any]:
        """Its content as plain JSON values."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """The content of its file."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"

    def without_folders(self) -> TuningRecord:
        """The same with data files and profile by their names alone, as others are told of it."""
        data = DataEntry(name=self.data["name"], config=without_folders(self.data["config"]))
        return dataclasses.replace(self, profile=file_name(self.profile), data=data)

    def decided(self) -> dict[str, Any]:
        """What decided the choice: equal wherever trials ran alike, wherever data and profile are kept."""
        trials = tuple(
            dataclasses.replace(trial, outcomes=tuple(map(_decided, trial.outcomes))) for trial in self.trials
        )
        return dataclasses.replace(self.without_folders(), trials=trials).to_dict()

    def with_test_gaps_of(self, earlier: Iterable[TuningRecord]) -> TuningRecord:
        """With the test gaps that are known of the same cells: a larger budget or another rule tries them again."""
        outcomes = [outcome for record in earlier for trial in record.trials for outcome in trial.outcomes]
        known = {(each.key, each.gap): each.test_gap for each in outcomes if each.test_gap is not None}
        trials = tuple(
            dataclasses.replace(
                trial,
                outcomes=tuple(
                    dataclasses.replace(outcome, test_gap=known.get((outcome.key, outcome.gap)))
                    for outcome in trial.outcomes
                ),
            )
            for trial in self.trials
        )
        return dataclasses.replace(self, trials=trials)

    def write(self, folder: Path) -> None:
        """Write it to its place.

        Raises:
            UserError: when that is not possible.
        """
        write_text(plain(self.path(folder), below=folder), self.to_json())


def read_tuning_records(folder: Path) -> list[TuningRecord]:
    """Every record below a folder, in the order of their paths.

    Raises:
        UserError: for one that cannot be read, or that says it belongs elsewhere.
    """
    return [read_tuning_record(folder, path) for path in sorted(folder.glob("*/*.json"))]


def read_tuning_record(folder: Path, path: Path) -> TuningRecord:
    """The record at a path below a folder; errors as `read_tuning_records`."""
    try:
        record = read_json(plain(path, below=folder), TuningRecord)
        if record.schema != SCHEMA:
            raise ValueError(f"schema {record.schema}, expected {SCHEMA}")
        if not (is_name(record.dataset) and is_name(record.method)) or record.path(folder) != path:
            raise ValueError("it is of another method or data set")
        numbers = [trial.number for trial in record.trials]
        if numbers != list(range(len(numbers))) or not 0 <= record.chosen < len(numbers):
            raise ValueError("its trials are not counted from 0, or none of them was chosen")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a record of tuning ({error}); `cabench tune` writes it anew.") from error
    return record


def _decided(outcome: Outcome) -> Outcome:
    return dataclasses.replace(outcome, train_s=0.0, test_gap=None)


def _counted(outcome: Outcome) -> float:
    return WORST if outcome.gap is None else outcome.gap
