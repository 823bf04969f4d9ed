"""The trials of a request: which method is tried with which settings, on the part of a data set that is for that.

Trials are ordinary cells. They stand under the data set's label with "-validation" behind it and under tuning seeds,
which no report uses: `plan` sees them, workers share them, and what is finished is not computed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

from cabench.config import Settings
from cabench.data.file import DatasetFile
from cabench.data.tuning_split import SUFFIX, TuningProvider
from cabench.errors import UserError
from cabench.experiment.cell import Cell
from cabench.experiment.plan import Outline, outline
from cabench.experiment.request import Request, check_method
from cabench.method import ContrastiveAnalysisMethod
from cabench.tuning.space import trial_settings

SEED = 1000
"""Of every trial. Reports take seeds from 0, so that no cell is both a trial and a result."""
FINAL_SEEDS = (1001, 1002)
"""Under which the best trials run again."""


class Trial(NamedTuple):
    """One try.

    Attributes:
        number: from 0, which is the profile's own settings.
        method: configured for it.
        refused: why it cannot be computed, in a sentence; "" where it can. It counts like a trial that failed.
    """

    number: int
    method: ContrastiveAnalysisMethod
    refused: str


@dataclass(frozen=True)
class TuningOutline(Outline):
    """An outline whose cells are trials; `datasets` are the parts for choosing settings, under their labels.

    Attributes:
        trials: of each method that has something to search.
    """

    trials: int

    def cells(self, label: str, file: DatasetFile) -> tuple[list[Cell], dict[str, str]]:
        """The cells of all trials on one data set, each once; and what is left out, and why. Errors as of `Outline`."""
        taken, left_out = self.taken(label, file)
        found: dict[str, Cell] = {}
        for name, method in taken.items():
            for trial in self.trials_of(method, file):
                if trial.refused:
                    left_out[f"{name}, trial {trial.number}"] = trial.refused
                    continue
                cell = self.cell(name, trial.method, label, file, SEED)
                found.setdefault(cell.identity.key, cell)
        return list(found.values()), left_out

    def trials_of(self, method: ContrastiveAnalysisMethod, file: DatasetFile) -> list[Trial]:
        """The trials of one method on a data set that takes it."""
        return [
            self._trial(method, number, settings, file)
            for number, settings in enumerate(trial_settings(method.config, self.trials))
        ]

    def _trial(self, method: ContrastiveAnalysisMethod, number: int, settings: Settings, file: DatasetFile) -> Trial:
        tried = type(method)(settings)
        try:
            check_method(tried, file.info)
        except UserError as error:
            return Trial(number, tried, str(error))
        return Trial(number, tried, "")


def tuning_outline(request: Request, trials: int) -> TuningOutline:
    """The outline of a request's trials. Only methods that learn are tried; seeds and controls do not count.

    Raises:
        UserError: as `cabench.experiment.plan.outline`, and where no method of the request learns.
    """
    whole = outline(replace(request, seeds=str(SEED), controls=False))
    datasets = {f"{label}{SUFFIX}": TuningProvider(provider) for label, provider in whole.datasets.items()}
    methods = {f"{label}{SUFFIX}": _learning(by_name) for label, by_name in whole.methods.items()}
    if not any(methods.values()):
        raise UserError("None of these methods learns anything, so that there are no settings to choose; name others.")
    changed = {"datasets": datasets, "methods": methods}
    values = {item.name: getattr(whole, item.name) for item in fields(whole)}
    return TuningOutline(**{**values, **changed}, trials=trials)


def _learning(
    methods: Mapping[str, ContrastiveAnalysisMethod | UserError],
) -> dict[str, ContrastiveAnalysisMethod | UserError]:
    return {name: method for name, method in methods.items() if isinstance(method, UserError) or method.learns}


def again(outlined: TuningOutline, cell: Cell, seeds: Sequence[int]) -> list[Cell]:
    """The cell of a trial under other seeds."""
    label, name = cell.identity.dataset["label"], cell.identity.method["label"]
    return [outlined.cell(name, cell.method, label, cell.data, seed) for seed in seeds]
