"""What is said of data on which an evaluation can tell little, and that nothing is said of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.stats import nct, t

from cabench.data.checks import check_file
from cabench.data.dataset import Attribute
from cabench.data.limits import limits_of
from cabench.data.writing import DatasetWriter

KIND = Attribute("kind", "salient", "class", ("a", "b", "c"))
SEX = Attribute("sex", "common", "class", ("f", "m"))
AGE = Attribute("age", "common", "real")
SITE = Attribute("site", "nuisance", "class", ("x", "y", "z"))
DOSE = Attribute("dose", "nuisance", "real")
ATTRIBUTES = (KIND, SEX, AGE, SITE, DOSE)
ROWS = 60  # of either population, in either split

Place = tuple[str, str, str]
"""Split, population and name of an attribute, or "groups"."""


@pytest.fixture
def said(tmp_path: Path) -> Callable[[Mapping[Place, object]], list[str]]:
    """Writes a data set that has no limits, but for the columns given, and gives what is said of it, without paths."""

    def write(changed: Mapping[Place, object]) -> list[str]:
        path, generator = tmp_path / "mine.h5", np.random.default_rng(0)
        with h5py.File(path, "w") as file:
            writer = DatasetWriter(file)
            for split in ("train", "test"):
                with writer.split(split, 2 * ROWS, (1, 8, 8), ATTRIBUTES) as out:
                    for population in ("background", "target"):
                        values = {
                            "sex": np.arange(ROWS) % 2,
                            "age": generator.normal(50, 10, ROWS),
                            "site": np.arange(ROWS) // 2 % 3,
                            "dose": np.arange(ROWS) % 7,
                        }
                        if population == "target":
                            values["kind"] = np.arange(ROWS) % 3
                        values |= {
                            n: changed[split, population, n] for n in values if (split, population, n) in changed
                        }
                        images = generator.integers(0, 256, (ROWS, 1, 8, 8), np.uint8)
                        groups = changed.get((split, population, "groups"))
                        out.append(images, population == "target", values, groups=groups)
            writer.finish("mine", 1, {}, [{"title": "noise"}])
        findings = check_file(path)
        assert findings.errors == []
        assert findings.warnings == limits_of(path), "the commands say the same"
        assert all(text.startswith(f"{path}: ") and text.endswith(".") for text in findings.warnings)
        return [text.removeprefix(f"{path}: ").removesuffix(".") for text in findings.warnings]

    return write


def first(few: int, code: int, others: int) -> np.ndarray:
    """Codes (ROWS,) of which the first few are one class."""
    return np.where(np.arange(ROWS) < few, code, others)


def test_nothing_is_said_where_there_is_enough(said) -> None:
    assert said({}) == []


@pytest.mark.parametrize(("count", "is_said"), [(0, True), (4, True), (5, False)])
def test_a_class_needs_five_training_rows(said, count: int, is_said: bool) -> None:
    found = said({("train", "target", "kind"): np.where(np.arange(ROWS) < count, 2, np.arange(ROWS) % 2)})
    words = f"the classes of kind with fewer than 5 training rows are not measured: c ({count})"
    assert found == ([words] if is_said else [])


def test_training_rows_of_a_common_class_are_counted_over_both_populations(said) -> None:
    assert said({("train", "target", "sex"): first(2, 1, 0), ("train", "background", "sex"): first(3, 1, 0)}) == []
    assert said({("train", "target", "sex"): first(2, 1, 0), ("train", "background", "sex"): first(2, 1, 0)}) == [
        "sex has fewer than two classes with 5 or more training rows, so that it is not measured"
    ]


def test_a_class_needs_two_test_groups_in_each_population_where_it_is_read(said) -> None:
    rest = np.arange(ROWS) % 2
    kinds = np.where(np.arange(ROWS) < 2, 2, rest)
    assert said({("test", "target", "kind"): kinds}) == []
    assert said({("test", "target", "kind"): np.where(np.arange(ROWS) < 1, 2, rest)}) == [
        "the classes of kind with fewer than 2 target examples in the test split are not measured there: c (1)"
    ]
    subjects = [f"s{row // 2}" for row in range(ROWS)]  # the two rows are one subject's
    assert said({("test", "target", "kind"): kinds, ("test", "target", "groups"): subjects}) == [
        "the classes of kind with fewer than 2 groups of target examples in the test split are not measured there: "
        "c (1)"
    ]
    assert said({("test", "background", "sex"): first(1, 1, 0)}) == [
        "sex has fewer than two classes with 2 or more background examples in the test split, so that it is not "
        "measured there"
    ]
    assert said({("test", "background", "site"): np.where(np.arange(ROWS) < 1, 2, rest)}) == [
        "the classes of site with fewer than 2 background examples in the test split are not measured there: z (1)"
    ]


def test_a_class_that_is_not_measured_at_all_is_said_once(said) -> None:
    lost = np.arange(ROWS) % 2
    assert said({("train", "target", "kind"): lost, ("test", "target", "kind"): lost}) == [
        "the classes of kind with fewer than 5 training rows are not measured: c (0)"
    ]
    one = np.zeros(ROWS, int)
    assert said({(split, "target", "kind"): one for split in ("train", "test")}) == [
        "kind has fewer than two classes with 5 or more training rows, so that it is not measured"
    ]


def test_numbers_must_be_known_and_vary(said) -> None:
    unknown, known = np.full(ROWS, np.nan), np.arange(ROWS, dtype=float)
    few = np.where(np.arange(ROWS) < 9, known, np.nan)
    assert said({("train", "target", "age"): few, ("train", "background", "age"): unknown}) == [
        "age is known of 9 training rows; a probe needs 10: it is not measured"
    ]
    assert said({("train", population, "age"): np.full(ROWS, 3.0) for population in ("background", "target")}) == [
        "age has the same value in all training rows, so that it is not measured"
    ]
    assert said({("test", "background", "age"): np.full(ROWS, 3.0)}) == [
        "age has the same value in all background examples of the test split, so that it is not measured there"
    ]
    for count, words in ((0, True), (2, True), (3, False)):
        found = said({("test", "background", "age"): np.where(np.arange(ROWS) < count, known, np.nan)})
        told = "age is known of fewer than 3 background examples in the test split, so that it is not measured there"
        assert found == ([told] if words else [])


def test_few_test_groups_are_said_with_what_can_be_seen_on_them(said) -> None:
    def told(count: int) -> list[str]:
        return said({("test", "target", "groups"): [f"mouse {row % count}" for row in range(ROWS)]})

    assert told(10) == []
    assert told(4) == [
        "the test split has few groups of target examples (4): differences below about 4 standard errors cannot be seen"
    ]
    assert told(2)[0] == "the test split has few groups of target examples (2): no difference can be tested on them"
    assert said({("train", "target", "groups"): ["one"] * ROWS}) == [], "training rows are not what is tested on"


@pytest.mark.parametrize(("groups", "errors"), [(3, 5), (4, 4), (6, 3), (9, 3)])
def test_what_can_be_seen_is_found_four_times_of_five(said, groups: int, errors: int) -> None:
    (text, *_) = said({("test", "target", "groups"): [f"mouse {row % groups}" for row in range(ROWS)]})
    assert f"about {errors} standard errors" in text
    bound = t.ppf(0.975, groups - 1)
    power = [nct.sf(bound, groups - 1, difference) for difference in (errors - 1, errors + 1)]
    assert power[0] < 0.8 < power[1]


def test_a_nuisance_that_tells_the_populations_apart_is_said(said) -> None:
    site = np.repeat([0, 1], ROWS // 2)
    apart = {
        ("train", "background", "site"): np.where(np.arange(ROWS) < 6, site, 2),
        ("train", "target", "site"): site,
    }
    assert said(apart) == [
        "site is partly confounded with the population (Cramér's V 0.9): what a salient space holds of it is partly "
        "forced"
    ]
    both = {
        ("train", population, "site"): np.full(ROWS, code) for code, population in enumerate(("background", "target"))
    }
    assert said(both)[:1] == [
        "site is confounded with the population (Cramér's V 1.0): what a salient space holds of it is forced"
    ]
    assert said({("train", "target", "dose"): np.arange(ROWS) % 7 + 3}) == [
        "dose is partly confounded with the population (correlation 0.6): what a salient space holds of it is partly "
        "forced"
    ]
    assert said({("test", "target", "dose"): np.arange(ROWS) % 7 + 3}) == [], "methods learn from training rows"
    assert said({("train", "target", "age"): np.arange(ROWS) + 100.0}) == [], "what is common may differ"
    ages = {
        ("train", "background", "age"): np.arange(ROWS) / 100,
        ("train", "target", "age"): 9 + np.arange(ROWS) / 100,
    }
    assert said(ages) == [
        "age is confounded with the population (correlation 1.0): a common space that holds it must tell targets"
    ]


def test_nothing_is_said_of_a_broken_file(tmp_path: Path) -> None:
    path = tmp_path / "broken.h5"
    with h5py.File(path, "w") as file:
        file.create_group("train")
    assert limits_of(path) == []
    path.write_bytes(b"no HDF5")
    assert limits_of(path) == []


def test_groups_in_both_splits_are_said(said: Callable[[Mapping[Place, object]], list[str]]) -> None:
    places = [(split, population) for split in ("train", "test") for population in ("background", "target")]
    names = {("test", "target"): [f"s{row % 30}" for row in range(ROWS)]}
    groups = {place: names.get(place, [f"{place} {row % 20}" for row in range(ROWS)]) for place in places}
    groups["train", "target"] = [f"s{row % 20}" for row in range(ROWS)]

    found = said({(*place, "groups"): texts for place, texts in groups.items()})

    assert found == [
        "20 of 50 groups of the test split have rows in the training split too: what is read of them may be read from "
        "who they are"
    ]
