"""What the tests of the gate share: records of one cell group under several seeds, without a run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from cabench import discovery
from cabench.evaluation.gap import separation
from cabench.evaluation.score import Score
from cabench.experiment.identity import current_evaluation
from cabench.experiment.record import Record

MakeRecords = Callable[..., list[Record]]
Consistent = Callable[[Record, Sequence[Score]], Record]

PLACES = {
    "shape": ("salient", "salient", "target", "balanced_accuracy", 1 / 3),
    "shape leak": ("common", "salient", "target", "auc", 0.5),
    "digit": ("common", "common", "background", "balanced_accuracy", 0.1),
    "scale": ("salient", "salient", "target", "correlation", 0.0),
    "scale leak": ("common", "salient", "target", "correlation", 0.0),
    "is_target": ("salient", "salient", "all", "auc", 0.5),
    "site leak": ("salient", "nuisance", "target", "auc", 0.5),
}
LEFT_ALONE = {
    "balanced_accuracy": ("accuracy", "auc", "knn_balanced_accuracy"),
    "auc": ("accuracy", "balanced_accuracy", "knn_auc"),
    "correlation": ("r2", "knn_correlation"),
}
"""By the metric that the gap takes in a place, others that are measured there."""


def _scores(values: Mapping[str, float]) -> tuple[Score, ...]:
    scores = []
    for name, value in values.items():
        space, attribute_space, population, metric, chance = PLACES[name]
        attribute, ideal = name.removesuffix(" leak"), 1.0 if space == attribute_space else chance
        place = (space, attribute, attribute_space, population)
        scores += [
            Score(*place, each, value if each == metric else 0.0, chance, ideal, 0.01, 900, 450, True)
            for each in (metric, *LEFT_ALONE[metric])
        ]
    return tuple(scores)


@pytest.fixture(scope="session")
def make_records() -> MakeRecords:
    """Makes records of PCA on `planted`, one a seed, from scores by name of place; `part__field` sets a field."""

    def make(values: Mapping[str, list[float]], gaps: list[float] | None = None, **changes) -> list[Record]:
        seeds = range(len(next(iter(values.values()))))
        records = []
        for seed in seeds:
            usual = {
                "status": "ok",
                "method": {
                    "name": "pca",
                    "label": "pca",
                    "version": discovery.method_class("pca").version,
                    "config": {"components": 32},
                },
                "dataset": {
                    "name": "planted",
                    "label": "planted",
                    "builder_version": discovery.dataset_class("planted").version,
                    "config": {"seed": 0},
                    "content_sha256": "ab" * 32,
                    "sources": ["planted values"],
                },
                "evaluation": current_evaluation(),
                "profile": "quick",
                "seed": seed,
                "precision": "fp32",
                "scores": _scores({name: series[seed] for name, series in values.items()}),
                "separation_gap": (gaps or [0.25] * len(seeds))[seed],
                "cost": {"train_s": 60.0, "images_per_s": 1000.0, "images_seen": 60_000, "parameters": 100},
                "provenance": {"device": "cpu", "gpu": None, "cpu": "a processor", "threads": 1, "commit": None},
                "error": None,
            }
            for name, new in changes.items():
                part, _, field = name.partition("__")
                usual[part] = {**usual[part], field: new} if field else new
            records.append(Record(**{"key": hashlib.sha256(repr(usual).encode()).hexdigest(), **usual}))
        return records

    return make


@pytest.fixture(scope="session")
def consistent() -> Consistent:
    """Gives a record with other scores the gap that follows from them: one with another cannot be read."""

    def with_own_gap(record: Record, scores: Sequence[Score]) -> Record:
        found = separation(scores)
        assert found is not None
        return replace(record, scores=tuple(scores), separation_gap=found.gap.value)

    return with_own_gap
