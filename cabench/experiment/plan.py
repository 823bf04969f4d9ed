"""From what was asked for to the cells that answer it. All that can be wrong with a request is found here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from cabench import discovery
from cabench.context import Precision
from cabench.data.builder import DatasetProvider
from cabench.data.file import DatasetFile
from cabench.errors import UserError
from cabench.experiment.cell import Cell
from cabench.experiment.device import resolve_device, resolve_precision
from cabench.experiment.request import (
    ALL,
    Overrides,
    check_method,
    check_overrides,
    check_profile,
    make_dataset,
    make_method,
    parse_overrides,
    parse_seeds,
    with_files,
)
from cabench.experiment.store import ResultsStore
from cabench.profiles import Profile, load_profile


@dataclass(frozen=True)
class Request:
    """What a user asked for, as the command line gives it; empty text means the profile's default."""

    methods: str
    datasets: str
    seeds: str
    profile: str
    sets: Sequence[str]
    device: str
    precision: str
    data_root: Path | None
    controls: bool


@dataclass(frozen=True)
class Experiment:
    """A request resolved: its cells, each with its data set, data sets outermost and seeds innermost."""

    device: torch.device
    cells: list[tuple[Cell, DatasetFile]]


def resolve(request: Request, say: Callable[[str], None]) -> Experiment:
    """The cells of a request. Data sets that are not in the cache are built.

    Args:
        request: what is asked for.
        say: told of every data set that is built, of what its builder notes, and of every method that "all" leaves
            out on a data set.

    Raises:
        UserError: for anything in the request that does not exist, is not allowed or does not fit together.
    """
    outline = _outline(request)
    files = {}
    for label, dataset in outline.datasets.items():
        file = dataset.find(request.data_root)
        if file is None:
            say(f"Building data set {label}")
            file = dataset.obtain(request.data_root)
        file.check_content()
        for note in file.info.notes:
            say(f"Note on {label}: {note}")
        files[label] = file
    for label, file in files.items():
        for method, reason in outline.left_out(label, file).items():
            say(f"Left out on {label}: {method} ({reason})")
    cells = [(cell, files[cell.dataset_label]) for label, file in files.items() for cell in outline.cells(label, file)]
    return Experiment(outline.device, cells)


def survey(request: Request, store: ResultsStore) -> list[tuple[str, str, int | str, str, str]]:
    """One line a cell: data set, method, seed, start of the key, state. Builds and computes nothing.

    Raises:
        UserError: as `resolve` does.
    """
    outline = _outline(request)
    lines: list[tuple[str, str, int | str, str, str]] = []
    for label, dataset in outline.datasets.items():
        file = dataset.find(request.data_root)
        if file is None:
            lines += [
                (label, m, seed, "", "missing (data set not built)") for m in outline.methods for seed in outline.seeds
            ]
            continue
        cells = outline.cells(label, file)
        lines += [(label, method, "", "", f"left out ({why})") for method, why in outline.left_out(label, file).items()]
        lines += [(label, c.method_label, c.seed, c.key[:8], _state(store, c)) for c in cells]
    return lines


def _state(store: ResultsStore, cell: Cell) -> str:
    """The state of a cell, with what it is that a run will meet there."""
    state = store.state(cell)
    if state == "failed" and (error := store.load(cell).error):
        at = f" at step {error['step']}" if error.get("step") else ""
        return f"failed ({error.get('type')}{at})"
    if state in ("missing", "stale") and (deaths := store.deaths(cell)):
        return f"{state} ({deaths} {'process' if deaths == 1 else 'processes'} died at it)"
    return state


@dataclass(frozen=True)
class _Outline:
    """A request with all names looked up and all configurations validated.

    `optional` holds those of the methods that were not named one by one: they may refuse a data set.
    """

    profile: Profile
    overrides: Overrides
    device: torch.device
    precision: Precision
    datasets: dict[str, DatasetProvider]
    methods: list[str]
    optional: frozenset[str]
    seeds: list[int]

    def left_out(self, label: str, file: DatasetFile) -> dict[str, str]:
        """Of the methods that only "all" brought in, those that refuse a data set, and why."""
        refusals = {}
        for method_label in self.methods:
            if method_label in self.optional:
                try:
                    check_method(make_method(method_label, label, self.profile, self.overrides), file.info)
                except UserError as error:
                    refusals[method_label] = str(error).rstrip(".")
        return refusals

    def cells(self, label: str, file: DatasetFile) -> list[Cell]:
        """The cells on one data set, each method checked against it."""
        cells: list[Cell] = []
        left_out = self.left_out(label, file)
        for method_label in self.methods:
            if method_label in left_out:
                continue
            method = make_method(method_label, label, self.profile, self.overrides)
            check_method(method, file.info)
            cells += [
                Cell(method, method_label, file.info, label, seed, self.precision, self.profile.name)
                for seed in self.seeds
            ]
        return cells


def _outline(request: Request) -> _Outline:
    profile = load_profile(request.profile)
    defaults = profile.defaults
    asked = _names("method", request.methods) + (list(defaults.get("controls", [])) if request.controls else [])
    every = sorted(discovery.plugins("methods")) if ALL in asked else []
    methods = list(dict.fromkeys(name for label in asked for name in (every if label == ALL else [label])))
    datasets = _names("data set", request.datasets) if request.datasets else list(defaults.get("datasets", []))
    if not datasets:
        raise UserError(f"Profile {profile.name!r} has no default data sets; name some with --datasets.")
    overrides = parse_overrides(request.sets)
    profile, labels = with_files(profile, datasets)
    device = resolve_device(request.device)
    precision = request.precision if request.precision != "auto" else str(defaults.get("precision", "auto"))
    providers = {label: make_dataset(label, profile, overrides) for label in labels}
    optional = frozenset(every) - set(asked)
    for label in labels:
        for method in methods:
            if method not in optional:
                make_method(method, label, profile, overrides)
    check_overrides(overrides, [*methods, *labels])
    check_profile(profile)
    return _Outline(
        profile=profile,
        overrides=overrides,
        device=device,
        precision=resolve_precision(precision, device),
        datasets=providers,
        methods=methods,
        optional=optional,
        seeds=parse_seeds(request.seeds or str(defaults.get("seeds", "0"))),
    )


def _names(kind: str, text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UserError(f"No {kind} was named; write names separated by commas.")
    return names
