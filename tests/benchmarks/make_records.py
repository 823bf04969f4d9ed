"""Makes a results folder of many records out of the published ones, to time what reads records.

    python tests/benchmarks/make_records.py FOLDER --datasets 10 --methods 20 --seeds 50

Every data set has a label and a content of its own. Scores are those of the published cells, moved by a little noise;
of a method that leaves nothing to chance they are equal under all seeds, as its vectors are. What test rows add to
scores is that of the published cell. Keys are the digests that they are in a run, and nothing is waited for to reach
the disk.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from cabench.evaluation.gap import separation
from cabench.evaluation.score import Score
from cabench.experiment.contributions_file import NAME, write_contributions
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore

PUBLISHED = Path(__file__).parents[2] / "results" / "published"
NOISE = 0.02  # standard deviation of what scores are moved by


def make(folder: Path, datasets: int, methods: int, seeds: int) -> int:
    """Write the records of so many data sets x methods x seeds; gives how many they are."""
    published = _published()
    count = 0
    for number in range(datasets):
        content = hashlib.sha256(f"data set {number}".encode()).hexdigest()
        for place in range(methods):
            sources = published[place % len(published)]
            is_deterministic = len({record.vectors_sha256 for record, _ in sources}) == 1
            for seed in range(seeds):
                record, contributions = sources[seed % len(sources)]
                made = _moved(record, f"sprites{number}", content, place // len(published), seed, is_deterministic)
                _write(folder, made, contributions.replace(record.key.encode(), made.key.encode()))
                count += 1
    return count


def _published() -> list[list[tuple[Record, bytes]]]:
    """The published records, each with its file of contributions as it is written today, a list for each method."""
    store = ResultsStore(PUBLISHED)
    records = [store.load_in_its_folder(path) for path in store.paths() if path.parts[-4] == "dsprites"]
    labels = dict.fromkeys(record.method["label"] for record in records)
    found = [(record, _written(record)) for record in records]
    return [[(record, file) for record, file in found if record.method["label"] == label] for label in labels]


def _written(record: Record) -> bytes:
    contributions = record.read_contributions()
    assert contributions is not None
    with tempfile.TemporaryDirectory() as folder:
        write_contributions(Path(folder) / NAME, record.key, contributions)
        return (Path(folder) / NAME).read_bytes()


def _moved(record: Record, dataset: str, content: str, variant: int, seed: int, is_deterministic: bool) -> Record:
    """A published record as one of another data set, variant and seed."""
    label = record.method["label"] + (f"_{variant}" if variant else "")
    drawn = f"{dataset} {label} {record.vectors_sha256}" + ("" if is_deterministic else f" {seed}")
    generator = np.random.default_rng(list(drawn.encode()))
    scores = tuple(_near(record.scores, generator))
    found = separation(scores)
    assert found is not None
    return replace(
        record,
        method={**record.method, "label": label, "config": {**record.method["config"], **_variant(variant)}},
        dataset={**record.dataset, "label": dataset, "content_sha256": content},
        seed=seed,
        scores=scores,
        separation_gap=found.gap.value,
        vectors_sha256=hashlib.sha256(generator.bytes(8)).hexdigest(),
    ).renewed()


def _variant(number: int) -> dict[str, int]:
    return {"variant": number} if number else {}


def _near(scores: tuple[Score, ...], generator: np.random.Generator) -> Iterator[Score]:
    for score, step in zip(scores, generator.normal(0, NOISE, len(scores)), strict=True):
        yield replace(score, value=float(np.clip(score.value + step, min(score.value, 0.0), max(score.value, 1.0))))


def _write(folder: Path, record: Record, contributions: bytes) -> None:
    place = record.folder(folder)
    place.mkdir(parents=True)
    (place / NAME).write_bytes(contributions)
    (place / "record.json").write_text(record.to_json(), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    for name, default in (("datasets", 10), ("methods", 20), ("seeds", 50)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    print(f"{make(given.folder, given.datasets, given.methods, given.seeds):,} records in {given.folder}")
