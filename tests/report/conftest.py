"""What the tests of reports share: records as a run leaves them, without a run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from cabench import discovery
from cabench.evaluation.contributions import Contributions, ContributionTable
from cabench.evaluation.gap import separation
from cabench.evaluation.score import Score
from cabench.experiment.identity import current_evaluation
from cabench.experiment.record import Record

PCA_VERSION = discovery.method_class("pca").version
PLANTED_VERSION = discovery.dataset_class("planted").version

MakeScore = Callable[..., Score]
MakeRecord = Callable[..., Record]
MakeRecords = Callable[..., list[Record]]


@pytest.fixture(scope="session")
def simulation() -> ModuleType:
    """The script `tests/simulate_comparisons.py`, for its short forms."""
    return _module(Path(__file__).parents[1] / "simulate_comparisons.py")


@pytest.fixture(scope="session")
def planted() -> ModuleType:
    """The helpers of `tests/report/planted.py`: records through the real evaluation."""
    return _module(Path(__file__).with_name("planted.py"))


def _module(path: Path) -> ModuleType:
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def make_score() -> MakeScore:
    """Makes a score of `digit`, a salient attribute of ten classes, on target images."""

    def make(space: str = "salient", value: float = 0.9, metric: str = "balanced_accuracy", **changes) -> Score:
        chance = {"balanced_accuracy": 0.1, "accuracy": 0.12, "auc": 0.5, "knn_balanced_accuracy": 0.1}.get(metric, 0.0)
        usual = {
            "space": space,
            "attribute": "digit",
            "attribute_space": "salient",
            "population": "target",
            "metric": metric,
            "value": value,
            "chance": chance,
            "ideal": 1.0 if space == changes.get("attribute_space", "salient") else chance,
            "standard_error": 0.01,
            "n_train": 900,
            "n_test": 450,
            "converged": True,
            "n_groups": 450,
        }
        return Score(**{**usual, **changes})

    return make


@pytest.fixture(scope="session")
def make_record(make_score: MakeScore) -> MakeRecord:
    """Makes a record of the installed PCA on the installed `planted`; `part__field` sets a field of a mapping.

    `value` and `leak` are the balanced accuracies of `digit` from the salient and the common space. Where `gap` is
    given they follow from it: what is wanted comes 1 - gap of the way from chance, what leaks gap of it.
    """

    def make(seed: int = 0, value: float = 0.9, gap: float | None = None, leak: float = 0.3, **changes) -> Record:
        told = (0.55, 0.99)
        if gap is not None:
            value, leak, told = 1 - 0.9 * gap, 0.1 + 0.9 * gap, (0.5 + gap / 2, 1 - gap / 2)
        usual = {
            "status": "ok",
            "method": {"name": "pca", "label": "pca", "version": PCA_VERSION, "config": {"components": 32}},
            "dataset": {
                "name": "planted",
                "label": "planted",
                "builder_version": PLANTED_VERSION,
                "config": {"seed": 0},
                "content_sha256": "ab" * 32,
                "sources": ["planted values"],
            },
            "evaluation": current_evaluation(),
            "profile": "quick",
            "seed": seed,
            "precision": "fp32",
            "scores": (
                make_score("common", leak),
                make_score("common", 0.5 + (leak - 0.1) / 1.8, "auc"),
                make_score("salient", value),
                make_score("common", told[0], "auc", attribute="is_target", population="all"),
                make_score("salient", told[1], "auc", attribute="is_target", population="all"),
            ),
            "cost": {"train_s": 61.25, "parameters": 11_173_962, "images_seen": 4000},
            "provenance": {},
            "error": None,
        }
        for name, new in changes.items():
            part, _, field = name.partition("__")
            usual[part] = {**usual[part], field: new} if field else new
        scores = usual["scores"]
        usual.setdefault("separation_gap", _gap(scores))
        key = hashlib.sha256(repr(usual).encode()).hexdigest()
        return Record(**{"key": key, "contributions": _contributions(key, len(scores)), **usual})

    return make


def _gap(scores: Sequence[Score]) -> float:
    """The separation gap; 0.1 where the scores are not those that it is made of."""
    try:
        found = separation(scores)
    except ValueError:
        found = None
    return found.gap.value if found else 0.1


def _contributions(key: str, scores: int) -> ContributionTable:
    """Of 40 blocks of one size, so small that standard errors over them are about 0.5 points."""
    values = np.random.default_rng(int(key[:8], 16)).normal(0, 0.0008, (scores, 40))
    rows, strata = np.full(40, 10), np.zeros(40, dtype=np.int64)
    of_scores = [Contributions(part - part.mean(), rows, strata) for part in values]
    return ContributionTable(of_scores, rows, strata)


@pytest.fixture(scope="session")
def make_failed(make_record: MakeRecord) -> MakeRecord:
    """Makes the record of a cell that failed."""
    error = {"type": "ValueError", "message": "no", "traceback": "", "step": None, "last_terms": None}
    failed = {"status": "failed", "scores": (), "separation_gap": None, "cost": {}, "error": error}

    def make(seed: int = 0, **changes) -> Record:
        return make_record(seed, **{**failed, **changes})

    return make


@pytest.fixture(scope="session")
def make_records(make_record: MakeRecord) -> MakeRecords:
    """Makes records of methods from their separation gaps, one a seed."""

    def make(gaps: Mapping[str, Sequence[float]], **changes) -> list[Record]:
        return [
            make_record(seed, gap=gap, **{"method__label": label, **changes})
            for label, values in gaps.items()
            for seed, gap in enumerate(values)
        ]

    return make
