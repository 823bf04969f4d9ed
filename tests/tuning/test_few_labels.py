"""The gap from a hundred labelled rows: of an oracle and of noise, and that no other label is looked at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from cabench.data.dataset import Attribute
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.evaluation.score import Score
from cabench.tuning.few_labels import LABELLED, few_labels_gap, labelled_rows

OBJECT = Attribute("object", "common", "class", ("a", "b", "c"))
DEPTH = Attribute("depth", "common", "real")
KIND = Attribute("kind", "salient", "class", tuple("0123456789"))
SIZE = Attribute("size", "salient", "real")
SITE = Attribute("site", "nuisance", "class", ("x", "y"))
ATTRIBUTES = (OBJECT, DEPTH, KIND, SIZE, SITE)


def auc_of_target(common: float, salient: float) -> list[Score]:
    scores = zip(("common", "salient"), (common, salient), (0.5, 1.0), strict=True)
    return [Score(s, "is_target", "salient", "all", "auc", v, 0.5, ideal, None, 9, 9, True) for s, v, ideal in scores]


PERFECT = auc_of_target(common=0.5, salient=1.0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As trials are judged: on a busy machine more threads take ten times as long for so few rows."""
    with threadpool_limits(limits=1):
        yield


def part(seed: int, n: int, is_target: bool, kept: float, leak: float, groups: int = 0) -> EncodedPopulation:
    """Vectors that hold attributes so many standard deviations apart: `kept` those of their space, `leak` others."""
    generator = np.random.default_rng([seed, is_target])
    values = {
        "object": generator.integers(0, 3, n),
        "depth": generator.normal(size=n),
        "kind": generator.integers(0, 4, n) if is_target else np.full(n, -1),
        "size": generator.normal(size=n) if is_target else np.full(n, np.nan),
        "site": generator.integers(0, 2, n),
    }
    common = np.column_stack([np.eye(3)[values["object"]], values["depth"]])
    salient = np.column_stack([np.eye(4)[values["kind"]], values["size"]]) if is_target else np.zeros((n, 5))
    made = {"common": [kept * common, leak * salient], "salient": [leak * common, kept * salient]}
    spaces = {
        space: np.column_stack([*held, np.zeros((n, 1))]) + generator.normal(size=(n, 10))
        for space, held in made.items()
    }
    vectors = {space: vectors.astype(np.float32) for space, vectors in spaces.items()}
    named = np.array([f"{is_target} {row % groups}" for row in range(n)], object) if groups else None
    return EncodedPopulation(vectors, values, named)


def split(kept: float, leak: float, seed: int = 0, n: int = 400, groups: int = 0) -> EncodedSplit:
    return EncodedSplit(part(seed, n, False, kept, leak, groups), part(seed, n, True, kept, leak, groups))


def test_vectors_of_an_oracle_come_near_0() -> None:
    assert few_labels_gap(split(kept=50, leak=0), ATTRIBUTES, PERFECT) == pytest.approx(0.05, abs=0.05)


def test_vectors_without_information_come_near_one_half_on_average() -> None:
    found = [few_labels_gap(split(0, 0, seed), ATTRIBUTES, auc_of_target(0.5, 0.5)) for seed in range(5)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.05)


def test_swapped_vectors_come_near_1() -> None:
    found = few_labels_gap(split(kept=0, leak=50), (OBJECT, DEPTH, KIND, SIZE), auc_of_target(1.0, 0.5))
    assert found == pytest.approx(0.95, abs=0.06)


def test_more_information_in_its_place_is_better_and_a_leak_worse() -> None:
    gaps = [few_labels_gap(split(kept, leak), ATTRIBUTES, PERFECT) for kept, leak in ((0, 0), (3, 0), (3, 3), (9, 0))]
    assert gaps[3] < gaps[1] < gaps[2]
    assert gaps[1] < gaps[0]


def test_other_labels_are_not_looked_at() -> None:
    """Half of a hundred rows of each population stay as they are; every other label is replaced."""
    whole = split(kept=2, leak=1)
    kept_rows = labelled_rows(whole)
    changed = []
    for population, rows in zip(whole, kept_rows, strict=True):
        values = {name: np.roll(column, 7) for name, column in population.attributes.items()}
        for name, column in values.items():
            column[rows] = population.attributes[name][rows]
        changed.append(EncodedPopulation(population.spaces, values))
    assert sum(map(len, kept_rows)) == LABELLED
    assert few_labels_gap(EncodedSplit(*changed), ATTRIBUTES, PERFECT) == few_labels_gap(whole, ATTRIBUTES, PERFECT)


def test_rows_of_a_group_are_not_read_by_probes_that_have_seen_it() -> None:
    """Vectors that tell the group alone, and attributes that are constant in it, cannot be read of a new group."""
    generator = np.random.default_rng(3)
    parts = []
    for name in "bt":
        codes = np.arange(200) % 40
        labels = generator.integers(0, 3, 40)[codes]
        vectors = (20 * generator.normal(size=(40, 60)))[codes] + generator.normal(size=(200, 60))
        spaces = {space: vectors.astype(np.float32) for space in ("common", "salient")}
        groups = np.array([f"{name}{code}" for code in codes], object)
        parts.append(EncodedPopulation(spaces, {"object": labels}, groups))
    grouped = EncodedSplit(*parts)
    alone = EncodedSplit(*(EncodedPopulation(p.spaces, p.attributes) for p in parts))
    scores = auc_of_target(0.5, 0.5)
    assert _wanted(grouped, scores) < 0.3 < _wanted(alone, scores)


def test_it_is_not_known_where_nothing_can_be_read() -> None:
    few = split(kept=5, leak=0, n=400)
    unlabelled = [
        EncodedPopulation(p.spaces, {"object": np.full(len(p), -1), "depth": np.full(len(p), np.nan)}) for p in few
    ]
    assert few_labels_gap(EncodedSplit(*unlabelled), (OBJECT, DEPTH), PERFECT) is None


def test_it_is_not_known_without_target_against_background() -> None:
    assert few_labels_gap(split(kept=5, leak=0), (SITE,), []) is None


def test_it_is_not_known_of_one_group() -> None:
    alone = [EncodedPopulation(p.spaces, p.attributes, np.full(len(p), "one", object)) for p in split(kept=5, leak=0)]
    assert few_labels_gap(EncodedSplit(*alone), ATTRIBUTES, PERFECT) is None


def test_a_class_with_one_labelled_row_is_left_out() -> None:
    whole = split(kept=50, leak=0)
    (_, rows), kinds = labelled_rows(whole), whole.target.attributes["kind"]
    kinds[rows[0]] = 9
    assert few_labels_gap(whole, (KIND,), PERFECT) == pytest.approx(0.0, abs=0.1)


def test_fewer_rows_than_are_asked_for_are_all_taken() -> None:
    assert few_labels_gap(split(kept=50, leak=0, n=30), (OBJECT, KIND), PERFECT) == pytest.approx(0.05, abs=0.06)


def _wanted(parts: EncodedSplit, scores: list[Score]) -> float:
    """How much of `object` is read from the common space, where the salient one holds nothing."""
    empty = [
        EncodedPopulation({**p.spaces, "salient": np.zeros_like(p.spaces["salient"])}, p.attributes, p.groups)
        for p in parts
    ]
    gap = few_labels_gap(EncodedSplit(*empty), (OBJECT,), scores)
    assert gap is not None
    return 2 * (1 - 2 * gap)  # of two attributes that are wanted, target against background gives 0
