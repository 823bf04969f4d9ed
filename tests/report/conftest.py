"""What the tests of reports share: records as a run leaves them, without a run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from cabench import discovery
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
    spec = spec_from_file_location("simulate_comparisons", Path(__file__).parents[1] / "simulate_comparisons.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def make_score() -> MakeScore:
    """Makes a score of `digit`, a salient attribute of ten classes, on target images."""

    def make(space: str = "salient", value: float = 0.9, metric: str = "balanced_accuracy", **changes) -> Score:
        chance = {"balanced_accuracy": 0.1, "accuracy": 0.12, "r2": 0.0, "auc": 0.5}.get(metric, 0.0)
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
        }
        return Score(**{**usual, **changes})

    return make


@pytest.fixture(scope="session")
def make_record(make_score: MakeScore) -> MakeRecord:
    """Makes a record of the installed PCA on the installed `planted`; `part__field` sets a field of a mapping."""

    def make(seed: int = 0, value: float = 0.9, gap: float = 0.1, leak: float = 0.3, **changes) -> Record:
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
                make_score("salient", value),
                make_score("common", 0.55, "auc", attribute="is_target", population="all"),
                make_score("salient", 0.99, "auc", attribute="is_target", population="all"),
            ),
            "separation_gap": gap,
            "cost": {"train_s": 61.25, "parameters": 11_173_962, "images_seen": 4000},
            "provenance": {},
            "error": None,
        }
        for name, new in changes.items():
            part, _, field = name.partition("__")
            usual[part] = {**usual[part], field: new} if field else new
        return Record(**{"key": hashlib.sha256(repr(usual).encode()).hexdigest(), **usual})

    return make


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
    """Makes records of methods from their separation gaps, one a seed; what is wanted falls as the gap grows."""

    def make(gaps: Mapping[str, Sequence[float]], **changes) -> list[Record]:
        return [
            make_record(seed, value=1 - gap, gap=gap, **{"method__label": label, **changes})
            for label, values in gaps.items()
            for seed, gap in enumerate(values)
        ]

    return make
