"""What is to be computed: cells, each a method on a data set under a seed, and the key that identifies each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cabench.context import Precision
from cabench.data.dataset import DatasetInfo
from cabench.evaluation.evaluate import EVALUATION
from cabench.evaluation.evaluate import VERSION as EVALUATION_VERSION
from cabench.experiment.record import SCHEMA, EvaluationEntry, Record
from cabench.files.json import digest
from cabench.method import ContrastiveAnalysisMethod


@dataclass(frozen=True)
class Cell:
    """One method on one data set under one seed.

    Attributes:
        method: constructed with its resolved configuration, never fitted: see `new_method`.
        method_label: the name that was asked for: a variant's, or the method's own.
        dataset: the built data set's description.
        dataset_label: likewise for the data set.
        seed: the seed index.
        precision: of the networks.
        profile: the profile's name; no part of the key.
    """

    method: ContrastiveAnalysisMethod
    method_label: str
    dataset: DatasetInfo
    dataset_label: str
    seed: int
    precision: Precision
    profile: str

    @property
    def key(self) -> str:
        """SHA-256 over all that determines the scores; device, library versions and names of variants do not."""
        return _key(
            self.method.name,
            self.method.version,
            self.method.config.to_dict(),
            self.dataset.content_sha256,
            self.precision,
            self.seed,
        )

    @property
    def title(self) -> str:
        """A name for progress and messages."""
        return f"{self.dataset_label} / {self.method_label} / seed {self.seed}"

    def new_method(self) -> ContrastiveAnalysisMethod:
        """A method to fit, which goes when its cell is done: a grid of many cells holds one network at a time."""
        return type(self.method)(self.method.config)

    def folder(self, results: Path) -> Path:
        """The folder of this cell below a results folder."""
        return results / self.dataset_label / self.method_label / f"seed{self.seed}-{self.key[:8]}"


def renewed_key(record: Record) -> str:
    """The key of a record's cell under the evaluation as it is now."""
    method = record.method
    content = record.dataset["content_sha256"]
    return _key(method["name"], method["version"], method["config"], content, record.precision, record.seed)


def _key(name: str, version: int, config: Mapping[str, Any], content_sha256: str, precision: str, seed: int) -> str:
    return digest(
        {
            "schema": SCHEMA,
            "method": name,
            "method_version": version,
            "config": config,
            "dataset": content_sha256,
            "evaluation": evaluation(),
            "precision": precision,
            "seed": seed,
        }
    )


def evaluation() -> EvaluationEntry:
    """Version and configuration of the evaluation: part of every key."""
    return {"version": EVALUATION_VERSION, "config": EVALUATION.to_dict()}
