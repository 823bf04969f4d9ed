"""The trials of a request: which method is tried with which settings, on the part of a data set that is for that.

Trials are ordinary cells. They stand under the data set's label with "-validation" behind it and under tuning seeds,
which no report uses: `plan` sees them, workers share them, and what is finished is not computed again. There are three
rounds, each of which follows from what the last one came to: lengths of training, trials, and the best of these again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import ClassVar, NamedTuple

from cabench.config import Settings
from cabench.data.file import DatasetFile
from cabench.data.tuning_split import SUFFIX, TuningProvider
from cabench.errors import UserError
from cabench.experiment.cell import Cell
from cabench.experiment.plan import Outline, outline
from cabench.experiment.record import Record
from cabench.experiment.request import Request, check_method
from cabench.experiment.store import ResultsStore
from cabench.method import ContrastiveAnalysisMethod
from cabench.tuning.choice import finalists
from cabench.tuning.criteria import STABLE
from cabench.tuning.judging import Judge
from cabench.tuning.length import EPOCHS, lengthened, long_enough
from cabench.tuning.rules import Rule
from cabench.tuning.space import trial_settings
from cabench.tuning.tuning_record import Outcome, TrialEntry

SEED = 1000
"""Of every trial. Reports take seeds from 0, so that no cell is both a trial and a result."""
FINAL_SEEDS = (1001, 1002)
"""Under which the best trials run again."""


class Trial(NamedTuple):
    """One try.

    Attributes:
        number: from 0, which is the profile's own settings.
        settings: of the method.
        cell: what is computed; None where it cannot be.
        refused: why it cannot be computed, in a sentence; else "". It counts like a trial that failed.
    """

    number: int
    settings: Settings
    cell: Cell | None
    refused: str


@dataclass(frozen=True)
class MethodTrials:
    """Everything that is tried of one method on one data set.

    Attributes:
        outline: of the request.
        label: of the data set's part for choosing settings.
        name: label of the method.
        method: with the profile's settings.
        file: that part.
    """

    outline: TuningOutline
    label: str
    name: str
    method: ContrastiveAnalysisMethod
    file: DatasetFile

    def cells(self) -> list[Cell]:
        """All that is known by now to be computed, each once; a round is known when the one before it has ended."""
        lengths = self._lengths()
        ended = [self._ended(cell) for cell in lengths]
        found = lengths if len(lengths) > 1 else []
        if len(lengths) == 1 or all(ended):
            found += [trial.cell for trial in self.trials() if trial.cell]
            found += self._final_cells()
        return list({cell.identity.key: cell for cell in found}.values())

    def settings(self) -> Settings:
        """What trial 0 has: the profile's settings, with the length of training that was found to be enough."""
        lengths = self._lengths()
        ended = [record for cell in lengths if (record := self._ended(cell))]
        if len(lengths) == 1 or len(ended) < len(lengths):
            return self.method.config
        return lengths[long_enough(ended)].method.config

    def trials(self) -> list[Trial]:
        """Every trial of the second round."""
        return [
            self._trial(number, settings)
            for number, settings in enumerate(trial_settings(self.settings(), self.outline.trials))
        ]

    def entries(self, criteria: Collection[str]) -> list[TrialEntry]:
        """The trials, with what is known of them under any seed, some criteria among it."""
        return [self._entry(trial, criteria) for trial in self.trials()]

    def _lengths(self) -> list[Cell]:
        """The cells of the first round; one that is not computed for a method whose length is not in question."""
        return [
            self._cell(settings, SEED, f"{settings.to_dict().get(EPOCHS)} epochs")
            for settings in lengthened(self.method.config, self.outline.longest)
        ]

    def _final_cells(self) -> list[Cell]:
        """The cells of the third round: the best trials under more seeds. One trial alone needs none."""
        trials, rule = self.trials(), self.outline.rule
        if len(trials) == 1 or any(trial.cell and not self._ended(trial.cell) for trial in trials):
            return []
        known = [name for name in rule.criteria if name != STABLE]  # which asks for more seeds
        best = finalists(self.entries(known), rule)
        return [
            self._cell(trials[entry.number].settings, seed, f"trial {entry.number}")
            for entry in best
            for seed in FINAL_SEEDS
        ]

    def _entry(self, trial: Trial, criteria: Collection[str]) -> TrialEntry:
        seeds = (SEED, *FINAL_SEEDS) if trial.cell else ()
        cells = [self._cell(trial.settings, seed, f"trial {trial.number}") for seed in seeds]
        records = [record for cell in cells if (record := self._ended(cell))]
        settings = trial.settings.to_dict()
        return TrialEntry(
            number=trial.number,
            settings={name: settings[name] for name in type(trial.settings).searched()},
            refused=trial.refused,
            outcomes=tuple(map(_outcome, records, self.outline.judge.criteria(self.file, records, criteria))),
        )

    def _trial(self, number: int, settings: Settings) -> Trial:
        try:
            cell = self._cell(settings, SEED, f"trial {number}")
            check_method(cell.method, self.file.info)
        except UserError as error:
            return Trial(number, settings, None, str(error))
        return Trial(number, settings, cell, "")

    def _cell(self, settings: Settings, seed: int, trial: str) -> Cell:
        cell = self.outline.cell(self.name, type(self.method)(settings), self.label, self.file, seed)
        return replace(cell, trial=trial)

    def _ended(self, cell: Cell) -> Record | None:
        """The record of a cell; None while it has none that can be read."""
        store = self.outline.store
        try:
            path = cell.identity.folder(store.folder) / "record.json"
            return store.load_alone(path) if path.exists() else None
        except UserError:
            return None


@dataclass(frozen=True)
class TuningOutline(Outline):
    """An outline whose cells are trials; `datasets` are the parts for choosing settings, under their labels.

    Attributes:
        trials: of each method that has something to search.
        longest: how many times the profile's epochs a method is trained at most.
        rule: what chooses among trials.
        store: where trials are kept.
    """

    grows: ClassVar[bool] = True
    trials: int
    longest: int
    rule: Rule
    store: ResultsStore

    @cached_property
    def judge(self) -> Judge:
        """What measures trials; what it has measured is kept."""
        return Judge(self.store)

    def cells(self, label: str, file: DatasetFile) -> tuple[list[Cell], dict[str, str]]:
        """The cells on one data set that are known by now; and what is left out, and why. Errors as of `Outline`."""
        found, left_out = self.methods_on(label, file)
        refused = {
            f"{each.name}, trial {trial.number}": trial.refused
            for each in found
            for trial in each.trials()
            if trial.refused
        }
        return [cell for each in found for cell in each.cells()], {**left_out, **refused}

    def methods_on(self, label: str, file: DatasetFile) -> tuple[list[MethodTrials], dict[str, str]]:
        """The methods that are tried on one data set; and those that are left out, and why. Errors as of `Outline`."""
        taken, left_out = self.taken(label, file)
        return [MethodTrials(self, label, name, method, file) for name, method in taken.items()], left_out


def tuning_outline(request: Request, trials: int, longest: int, rule: Rule, store: ResultsStore) -> TuningOutline:
    """The outline of a request's trials. Only methods that learn are tried; seeds and controls do not count.

    Raises:
        UserError: as `cabench.experiment.plan.outline`, and where no method of the request learns.
    """
    whole = outline(replace(request, seeds=str(SEED), controls=False))
    datasets = {f"{label}{SUFFIX}": TuningProvider(provider) for label, provider in whole.datasets.items()}
    methods = {f"{label}{SUFFIX}": _learning(by_name) for label, by_name in whole.methods.items()}
    if not any(methods.values()):
        raise UserError("None of these methods learns anything, so that there are no settings to choose; name others.")
    values = {item.name: getattr(whole, item.name) for item in fields(whole)}
    values |= {"datasets": datasets, "methods": methods}
    return TuningOutline(**values, trials=trials, longest=longest, rule=rule, store=store)


def _learning(
    methods: Mapping[str, ContrastiveAnalysisMethod | UserError],
) -> dict[str, ContrastiveAnalysisMethod | UserError]:
    return {name: method for name, method in methods.items() if isinstance(method, UserError) or method.learns}


def _outcome(record: Record, criteria: Mapping[str, float]) -> Outcome:
    return Outcome(
        seed=record.seed,
        key=record.key,
        error=record.error["message"] if record.error else "",
        gap=record.separation_gap,
        criteria=criteria,
        train_s=record.cost.get("train_s", 0.0),
        images_seen=record.cost.get("images_seen", 0.0),
        is_flat=record.loss_is_flat,
    )
