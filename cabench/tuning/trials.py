"""The trials of a request: which method is tried with which settings, on the part of a data set that is for that.

Trials are ordinary cells. They stand under the data set's label with "-validation" behind it and under tuning seeds,
which no report uses: `plan` sees them, workers share them, and what is finished is not computed again. There are three
rounds, each of which follows from what the last one came to: lengths of training, trials, and the best of these again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

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
from cabench.profiles import load_profile
from cabench.search import Range
from cabench.tuning.choice import finalists
from cabench.tuning.criteria import STABLE
from cabench.tuning.judging import Judge
from cabench.tuning.length import EPOCHS, check_longest, lengthened, long_enough
from cabench.tuning.rules import Rule
from cabench.tuning.space import check_trials, trial_values
from cabench.tuning.tuning_record import Outcome, TrialEntry

SEED = 1000
"""Of every trial. Reports take seeds from 0, so that no cell is both a trial and a result."""
FINAL_SEEDS = (1001, 1002)
"""Under which the best trials run again."""


class Trial(NamedTuple):
    """One try.

    Attributes:
        number: from 0, which is the profile's own settings.
        values: of what is searched, by name of a field.
        cell: what is computed; None where it cannot be.
        refused: why it cannot be computed, in a sentence; else "". It counts like a trial that failed.
    """

    number: int
    values: Mapping[str, object]
    cell: Cell | None
    refused: str

    @property
    def title(self) -> str:
        """What progress calls it."""
        return f"trial {self.number}"


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

    def searched(self) -> dict[str, Range]:
        """What is searched: the ranges that the configuration names, but for what makes a variant what it is."""
        own = self.outline.defining.get(self.name, ())
        return {name: found for name, found in type(self.method.config).searched().items() if name not in own}

    def trials(self) -> list[Trial]:
        """Every trial of the second round."""
        default = self.settings()
        values = trial_values(default, self.searched(), self.outline.trials)
        return [self._trial(number, default, found) for number, found in enumerate(values)]

    def entries(self, criteria: Collection[str]) -> list[TrialEntry]:
        """The trials, with some criteria: the best under every seed, the others under the one that all have."""
        trials = self.trials()
        best = {entry.number for entry in self._finalists(trials)}
        seeds = {trial.number: (SEED, *FINAL_SEEDS) if trial.number in best else (SEED,) for trial in trials}
        return [self._entry(trial, seeds[trial.number], criteria) for trial in trials]

    def _lengths(self) -> list[Cell]:
        """The cells of the first round; one that is not computed for a method whose length is not in question."""
        return [
            self._cell(settings, SEED, f"{settings.to_dict().get(EPOCHS)} epochs")
            for settings in lengthened(self.method.config, self.outline.longest)
        ]

    def _final_cells(self) -> list[Cell]:
        """The cells of the third round: the best trials under more seeds. One trial alone needs none."""
        trials = self.trials()
        best = [trials[entry.number] for entry in self._finalists(trials)]
        return [
            self._cell(trial.cell.method.config, seed, trial.title)
            for trial in best
            if trial.cell
            for seed in FINAL_SEEDS
        ]

    def _finalists(self, trials: Sequence[Trial]) -> list[TrialEntry]:
        """The best trials by the seed that all have; none before all have ended."""
        rule = self.outline.rule
        if len(trials) == 1 or any(trial.cell and not self._ended(trial.cell) for trial in trials):
            return []
        known = [name for name in rule.criteria if name != STABLE]  # which asks for more seeds
        return finalists([self._entry(trial, (SEED,), known) for trial in trials], rule)

    def _entry(self, trial: Trial, seeds: Sequence[int], criteria: Collection[str]) -> TrialEntry:
        cells = [self._cell(trial.cell.method.config, seed, trial.title) for seed in seeds] if trial.cell else []
        records = [record for cell in cells if (record := self._ended(cell))]
        default = self.settings().to_dict()
        return TrialEntry(
            number=trial.number,
            settings={name: trial.values.get(name, default[name]) for name in self.searched()},
            refused=trial.refused,
            outcomes=tuple(map(_outcome, records, self.outline.judge.criteria(self.file, records, criteria))),
        )

    def _trial(self, number: int, default: Settings, values: Mapping[str, Any]) -> Trial:
        try:
            cell = self._cell(replace(default, **values), SEED, f"trial {number}")
            check_method(cell.method, self.file.info)
        except UserError as error:
            return Trial(number, values, None, str(error))
        return Trial(number, values, cell, "")

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
        defining: by label of a method variant, the fields that make it what it is; they are not searched.
        store: where trials are kept.
    """

    grows: ClassVar[bool] = True
    trials: int
    longest: int
    rule: Rule
    defining: Mapping[str, Collection[str]]
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
    """The outline of a request's trials. Methods that learn from targets are tried; seeds and controls do not count.

    Raises:
        UserError: as `cabench.experiment.plan.outline`, and where no method of the request does.
    """
    check_trials(trials)
    check_longest(longest)
    whole = outline(replace(request, seeds=str(SEED), controls=False))
    datasets = {f"{label}{SUFFIX}": TuningProvider(provider) for label, provider in whole.datasets.items()}
    methods = {f"{label}{SUFFIX}": _learning(by_name) for label, by_name in whole.methods.items()}
    if not any(methods.values()):
        raise UserError("None of these methods learns from targets, so that none is tuned; name others.")
    values = {item.name: getattr(whole, item.name) for item in fields(whole)}
    values |= {"datasets": datasets, "methods": methods}
    variants = load_profile(request.profile).method_variants
    defining = {label: frozenset(variant.fields) for label, variant in variants.items()}
    return TuningOutline(**values, trials=trials, longest=longest, rule=rule, defining=defining, store=store)


def _learning(
    methods: Mapping[str, ContrastiveAnalysisMethod | UserError],
) -> dict[str, ContrastiveAnalysisMethod | UserError]:
    """Those that learn from targets: others are yardsticks, which take no part in comparisons."""
    return {
        name: method
        for name, method in methods.items()
        if isinstance(method, UserError) or "target" in method.learns_from
    }


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
