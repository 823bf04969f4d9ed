"""From a request to the cells that answer it. All that can be wrong with a request is found here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch

from cabench import discovery
from cabench.context import Precision
from cabench.data.builder import DatasetProvider
from cabench.data.cache import cache_warnings
from cabench.data.file import DatasetFile
from cabench.data.tuning_split import SUFFIX
from cabench.discovery import ALL
from cabench.errors import UserError
from cabench.experiment.cell import Cell
from cabench.experiment.device import resolve_device, resolve_precision
from cabench.experiment.given_method import check_given
from cabench.experiment.identity import identify, method_entry
from cabench.experiment.request import (
    CHOOSE_OTHERS,
    Request,
    ResolvedProfile,
    check_method,
    check_profile,
    name_list,
    seed_list,
)
from cabench.method import ContrastiveAnalysisMethod
from cabench.profiles import Profile


@dataclass(frozen=True)
class Experiment:
    """A request resolved: its cells, data sets outermost and seeds innermost."""

    device: torch.device
    cells: list[Cell]


def resolve(request: Request, say: Callable[[str], None]) -> Experiment:
    """The cells of a request. Data sets that are not in the cache are built.

    Args:
        request: what is asked for.
        say: told of every plug-in that is left out, of every data set that is built, of what its builder notes, and of
            every method that nobody asked for by name and that is left out on a data set.

    Raises:
        UserError: for anything in the request that does not exist, is not allowed or does not fit together.
    """
    return experiment_of(outline(request), request.data_root, say)


def experiment_of(outlined: Outline, root: Path | None, say: Callable[[str], None]) -> Experiment:
    """The cells of an outline; `say` and errors as for `resolve`.

    Args:
        outlined: what is asked for.
        root: folder of raw data; None for downloads.
        say: told what `resolve` says.
    """
    for reason in left_out_plugins():
        say(f"Left out: {reason}")
    for sentence in cache_warnings():
        say(f"Warning: {sentence}")
    files: dict[str, DatasetFile] = {}
    for label, dataset in outlined.datasets.items():
        files[label] = ready_file(label, dataset, root, say)
    cells: list[Cell] = []
    for label, file in files.items():
        found, left_out = outlined.cells(label, file)
        cells += found
        for method, reason in left_out.items():
            say(f"Left out on {label}: {method} ({reason})")
    return Experiment(outlined.device, cells)


def ready_file(label: str, dataset: DatasetProvider, root: Path | None, say: Callable[[str], None]) -> DatasetFile:
    """The file of a data set, built where it is not in the cache, with its content checked.

    Args:
        label: what messages call it.
        dataset: what gives it.
        root: folder of raw data; None for downloads.
        say: told of a build, and of the builder's notes.

    Raises:
        UserError: when it cannot be built or is damaged.
    """
    file = dataset.find(root)
    if file is None:
        say(f"Building data set {label}")
        file = dataset.obtain(root)
    file.check_content()
    for note in file.info.notes:
        say(f"Note on {label}: {note}")
    return file


def left_out_plugins() -> list[str]:
    """Why entry points of installed packages are not among the methods and data sets, a sentence each."""
    return [reason for kind in discovery.KINDS for reason in discovery.left_out(kind)]


@dataclass(frozen=True)
class Outline:
    """A request with all names looked up and all configurations validated.

    Attributes:
        grows: whether more cells become known as others end.
        profile: with the settings of all methods and data sets.
        device: for training and encoding.
        precision: of the networks.
        datasets: by label.
        methods: by data set label and method label, each configured; of optional ones that cannot be configured, the
            reason.
        optional: labels of what nobody asked for by name: "all" or the profile's controls brought these methods in,
            which may refuse a data set.
        seeds: in order.
    """

    grows: ClassVar[bool] = False
    profile: Profile
    device: torch.device
    precision: Precision
    datasets: Mapping[str, DatasetProvider]
    methods: Mapping[str, Mapping[str, ContrastiveAnalysisMethod | UserError]]
    optional: frozenset[str]
    seeds: list[int]

    def cells(self, label: str, file: DatasetFile) -> tuple[list[Cell], dict[str, str]]:
        """The cells on one data set; and the optional methods that refuse it, and why.

        Raises:
            UserError: where another method refuses it.
        """
        taken, left_out = self.taken(label, file)
        cells = [self.cell(name, method, label, file, seed) for name, method in taken.items() for seed in self.seeds]
        return cells, left_out

    def taken(self, label: str, file: DatasetFile) -> tuple[dict[str, ContrastiveAnalysisMethod], dict[str, str]]:
        """The methods that take a data set, by label; and the optional ones that refuse it, and why.

        Raises:
            UserError: as `cells`.
        """
        taken: dict[str, ContrastiveAnalysisMethod] = {}
        left_out: dict[str, str] = {}
        for name, method in self.methods[label].items():
            try:
                if isinstance(method, UserError):
                    raise method
                check_method(method, file.info)
            except UserError as error:
                if name not in self.optional:
                    raise
                left_out[name] = str(error).rstrip(".").removesuffix(CHOOSE_OTHERS)
                continue
            taken[name] = method
        return taken, left_out

    def cell(self, name: str, method: ContrastiveAnalysisMethod, label: str, file: DatasetFile, seed: int) -> Cell:
        """One cell: a configured method under its label, on a data set under its label, under a seed."""
        identity = identify(method_entry(method, name), file.info, label, self.profile.name, seed, self.precision)
        return Cell(identity, method, file, self.profile.entry_on(label.removesuffix(SUFFIX)))


def outline(request: Request) -> Outline:
    """Look all names of a request up and validate all configurations. Builds nothing.

    Raises:
        UserError: for anything in it that does not exist, is not allowed or does not fit together.
    """
    resolved = ResolvedProfile.read(request.profile, request.sets)
    defaults = resolved.profile.defaults
    asked, given = [], {}
    for method in name_list("method", request.methods):
        method = (discovery.class_in_file(method) if isinstance(method, str) else None) or method
        label = method if isinstance(method, str) else check_given(method)
        if not isinstance(method, str):
            if label in resolved.profile.method_variants:
                raise UserError(f"{label!r} is a variant of profile {resolved.profile.name!r}; rename the class.")
            given[label] = method
        if label in asked and label in given:
            raise UserError(f"Two of the methods are called {label!r}; run them one after the other.")
        asked.append(label)
    resolved = replace(resolved, given=given)
    added = [*asked, *(resolved.controls() if request.controls else [])]
    every = sorted(discovery.plugins("methods")) if ALL in added else []
    methods = list(dict.fromkeys(name for label in added for name in (every if label == ALL else [label])))
    optional = frozenset(methods) - set(asked)
    names = name_list("data set", request.datasets) if request.datasets else list(defaults.get("datasets", []))
    if not names:
        raise UserError(f"Profile {resolved.profile.name!r} has no default data sets; name some with --datasets.")
    resolved, labels = resolved.with_files(names)
    device = resolve_device(request.device)
    precision = request.precision if request.precision != "auto" else str(defaults.get("precision", "auto"))
    datasets = {label: resolved.sample(label) for label in labels}
    configured = {label: _configured(resolved, label, methods, optional) for label in labels}
    resolved.check_overrides([*methods, *labels])
    check_profile(resolved.profile, resolved.given)
    return Outline(
        profile=resolved.profile,
        device=device,
        precision=resolve_precision(precision),
        datasets=datasets,
        methods=configured,
        optional=optional,
        seeds=seed_list(request.seeds if request.seeds != "" else str(defaults.get("seeds", "0"))),
    )


def _configured(
    resolved: ResolvedProfile, dataset_label: str, labels: list[str], optional: frozenset[str]
) -> dict[str, ContrastiveAnalysisMethod | UserError]:
    methods: dict[str, ContrastiveAnalysisMethod | UserError] = {}
    for label in labels:
        try:
            methods[label] = resolved.method(label, dataset_label)
        except UserError as error:
            if label not in optional or label in resolved.overrides:  # a mistake in the request is told
                raise
            methods[label] = error
    return methods
