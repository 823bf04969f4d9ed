"""A cell's identity: all that determines its scores, the key made of it, and the folder that bears the key."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NotRequired, Self

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from cabench import discovery
from cabench.context import Precision
from cabench.data.dataset import DatasetInfo
from cabench.errors import UserError
from cabench.evaluation.evaluate import PROBES, VERSION
from cabench.files.json import canonical_json, digest
from cabench.files.regular import plain
from cabench.method import ContrastiveAnalysisMethod

SCHEMA = 1  # of records, and part of every key

_and_more = with_config(ConfigDict(extra="allow"))


@_and_more
class MethodEntry(TypedDict):
    """The method of a cell. The label is the name that was asked for: a variant's, or the method's own.

    The origin "vectors" says that no method was run here: its vectors were brought from elsewhere. A class that was
    handed over in Python also says whether it learns and is supervised, as nobody can look that up later.
    """

    name: str
    label: str
    version: int
    config: dict[str, Any]
    origin: NotRequired[Literal["vectors"]]
    learns: NotRequired[bool]
    supervised: NotRequired[bool]


@_and_more
class DatasetEntry(TypedDict):
    """The data set of a cell; `sources` are titles.

    Of a sample, `most_rows` says by split how many rows of each population were taken at most, and `content_sha256` is
    of the sample: see `cabench.data.sample`. `is_table` is true for a table, and stands nowhere else. Where a part of a
    training split stands for the test split, `validation_of` is the content of the whole data set: see
    `cabench.data.tuning_split`.
    """

    name: str
    label: str
    builder_version: int
    config: dict[str, Any]
    content_sha256: str
    sources: list[str]
    most_rows: NotRequired[dict[str, int]]
    is_table: NotRequired[bool]
    validation_of: NotRequired[str]


@_and_more
class EvaluationEntry(TypedDict):
    """The evaluation of a cell. `only` says "gap" where nothing else was measured, as of trials of settings."""

    version: int
    config: dict[str, Any]
    only: NotRequired[Literal["gap"]]


def current_evaluation() -> EvaluationEntry:
    """The evaluation of results as it is now: part of every new key."""
    return {"version": VERSION, "config": PROBES.to_dict()}


def evaluation_of(dataset: DatasetEntry) -> EvaluationEntry:
    """The evaluation on a data set as it is now: where settings are chosen, the gap alone is measured."""
    return {**current_evaluation(), "only": "gap"} if dataset.get("validation_of") else current_evaluation()


@dataclass(frozen=True)
class Identity:
    """What one cell is: a method on a data set under a seed. Planned cells and records share it.

    Attributes:
        key: SHA-256 of all below that determines the scores; labels, builder version and profile do not.
        method: name, label, version and resolved configuration.
        dataset: name, label, builder_version, config, content_sha256 and sources.
        evaluation: version and configuration.
        profile: the profile's name.
        seed: the seed index, from 0.
        precision: of the networks.
    """

    key: str
    method: MethodEntry
    dataset: DatasetEntry
    evaluation: EvaluationEntry
    profile: str
    seed: int
    precision: Precision

    def renewed(self) -> Self:
        """The same cell under the evaluation as it is now: another key, where the evaluation has changed."""
        renewed = replace(self, evaluation=evaluation_of(self.dataset))
        return replace(renewed, key=renewed.computed_key())

    def computed_key(self) -> str:
        """The key of all that the cell is. It differs from `key` where somebody changed a record."""
        return digest(
            {
                "schema": SCHEMA,
                "method": self.method["name"],
                "method_version": self.method["version"],
                "config": self.method["config"],
                "dataset": self.dataset["content_sha256"],
                "evaluation": self.evaluation,
                "precision": self.precision,
                "seed": self.seed,
            }
        )

    @property
    def title(self) -> str:
        """A name for progress and messages."""
        return f"{self.dataset['label']} / {self.method['label']} / seed {self.seed}"

    def folder(self, results: str | Path) -> Path:
        """The folder of this cell below a results folder.

        Raises:
            UserError: where it, or a folder between the two, is a link.
        """
        results = Path(results)
        path = results / self.dataset["label"] / self.method["label"] / f"seed{self.seed}-{self.key[:8]}"
        return plain(path, below=results)

    @property
    def computation(self) -> str:
        """A text that is equal for cells that differ in nothing but their seed.

        The configuration of vectors from elsewhere is their fingerprint, which differs with every seed.
        """
        method: list[object] = [self.method["name"], self.method["label"], self.method["version"]]
        method += [] if self.method.get("origin") == "vectors" else [self.method["config"]]
        dataset = [self.dataset["content_sha256"], self.dataset["builder_version"]]
        return canonical_json([method, self.evaluation, dataset])

    def is_same_but_for_its_method(self, other: Identity) -> bool:
        """Whether two cells stand under the same labels, seed and profile, on the same data, and differ otherwise."""
        same_data = self.dataset["content_sha256"] == other.dataset["content_sha256"]
        return same_data and self._place == other._place and self.method != other.method

    @property
    def versions(self) -> tuple[int, int, EvaluationEntry]:
        """Of the method, the data set builder and the evaluation."""
        return self.method["version"], self.dataset["builder_version"], self.evaluation

    def is_stale_form_of(self, other: Identity) -> bool:
        """Whether this is what the other cell was under an older method, data set builder or evaluation."""
        return self._place == other._place and self.versions != other.versions

    def is_stale(self) -> bool:
        """Whether the installed versions differ. What is not installed cannot make a cell stale."""
        try:
            method = discovery.method_class(self.method["name"])
            builder = discovery.dataset_class(self.dataset["name"])
        except UserError:
            return self.evaluation != evaluation_of(self.dataset)
        return self.versions != (method.version, builder.version, evaluation_of(self.dataset))

    @property
    def _place(self) -> tuple[object, ...]:
        return self.dataset["label"], self.method["label"], self.seed, self.precision, self.profile


def method_entry(method: ContrastiveAnalysisMethod, label: str) -> MethodEntry:
    """What an identity holds of a configured method."""
    entry: MethodEntry = {
        "name": method.name,
        "label": label,
        "version": method.version,
        "config": method.config.to_dict(),
    }
    if method.name not in discovery.plugins("methods"):
        entry |= {"learns": "target" in method.learns_from, "supervised": method.supervised}
    return entry


def identify(
    method: MethodEntry, dataset: DatasetInfo, dataset_label: str, profile: str, seed: int, precision: Precision
) -> Identity:
    """The identity of a cell under the evaluation as it is now."""
    entry: DatasetEntry = {
        "name": dataset.name,
        "label": dataset_label,
        "builder_version": dataset.builder_version,
        "config": dict(dataset.config),
        "content_sha256": dataset.content_sha256,
        "sources": list(dataset.sources),
    }
    if dataset.most_rows:
        entry["most_rows"] = dict(dataset.most_rows)
    if dataset.is_table:
        entry["is_table"] = True
    if dataset.validation_of:
        entry["validation_of"] = dataset.validation_of
    return Identity("", method, entry, evaluation_of(entry), profile, seed, precision).renewed()
