"""The gap alone is that of a whole evaluation, to the last bit, for a fraction of the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from cabench.data.dataset import Attribute
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.evaluation.evaluate import evaluate
from cabench.evaluation.gap import Separation, separation
from cabench.evaluation.gap_alone import gap_of_vectors

SITE = Attribute("site", "nuisance", "class", ("north", "south", "west"))
DOSE = Attribute("dose", "nuisance", "real")
Splits = tuple[EncodedSplit, EncodedSplit]


def of_an_evaluation(splits: Splits, attributes: Sequence[Attribute]) -> Separation | None:
    return separation(evaluate(*splits, attributes).scores)


def alone(splits: Splits, attributes: Sequence[Attribute]) -> Separation | None:
    return gap_of_vectors(*splits, attributes)


def assert_equal(splits: Splits, attributes: Sequence[Attribute]) -> None:
    found, expected = alone(splits, attributes), of_an_evaluation(splits, attributes)
    assert found is not None
    assert expected is not None
    assert [half.value for half in found] == [half.value for half in expected]
    for half, other in zip(found, expected, strict=True):
        assert list(half.slopes.values()) == list(other.slopes.values())


@pytest.fixture
def splits(noise) -> Splits:
    return noise(0), noise(1)


def informed(split: EncodedSplit, seed: int) -> EncodedSplit:
    """Vectors that know of the attributes, some of them in the wrong space."""
    generator = np.random.default_rng(seed)
    parts = []
    for part in split:
        kind, obj, size = (np.nan_to_num(np.float32(part.attributes[name])) for name in ("kind", "object", "size"))
        known = {"common": [obj, 0.5 * kind, obj], "salient": [kind, size, 0.5 * obj]}
        spaces = {
            space: np.float32(np.stack(columns, 1) + generator.normal(size=(len(part), 3)))
            for space, columns in known.items()
        }
        parts.append(replace(part, spaces=spaces))
    return EncodedSplit(*parts)


def with_nuisances(split: EncodedSplit, seed: int) -> EncodedSplit:
    """Sites that shift the salient vectors, a dose, and subjects of three rows who stay at one site."""
    generator = np.random.default_rng(seed)
    parts = []
    for name, part in zip(("background", "target"), split, strict=True):
        subject = np.arange(len(part)) // 3
        site = generator.integers(0, 3, subject.max() + 1)[subject]
        salient = part.spaces["salient"] + np.float32(site[:, None])
        values = {**part.attributes, "site": site, "dose": generator.normal(size=len(part))}
        groups = np.array([f"{seed} {name} {number}" for number in subject], object)
        parts.append(EncodedPopulation({**part.spaces, "salient": salient}, values, groups))
    return EncodedSplit(*parts)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_bit_for_bit_that_of_an_evaluation(noise, attributes, seed: int) -> None:
    assert_equal((informed(noise(seed), seed), informed(noise(seed + 10), seed + 1)), attributes)


def test_of_vectors_that_know_nothing(splits: Splits, attributes) -> None:
    assert_equal(splits, attributes)


def test_with_nuisances_and_groups(noise, attributes) -> None:
    train, test = (with_nuisances(informed(noise(seed, 36, 45), seed), seed) for seed in (0, 1))
    assert_equal((train, test), (*attributes, SITE, DOSE))
    without, found = (alone((train, test), known) for known in (attributes, (*attributes, SITE)))
    assert without is not None
    assert found is not None
    assert found.leaked.value > without.leaked.value, "a site in the salient space is a leak"
    assert found.wanted.value == without.wanted.value


@pytest.mark.parametrize("space", ["common", "salient"])
def test_there_is_none_where_a_space_is_missing(splits: Splits, attributes, space: str) -> None:
    train, test = (
        EncodedSplit(*(replace(part, spaces={space: part.spaces[space]}) for part in split)) for split in splits
    )
    assert alone((train, test), attributes) is None
    assert of_an_evaluation((train, test), attributes) is None


def test_an_attribute_that_cannot_be_probed_is_left_out_in_both(splits: Splits, attributes) -> None:
    """Two of four are equal everywhere."""

    def flattened(part: EncodedPopulation) -> EncodedPopulation:
        nothing = {"depth": np.ones(len(part)), "object": np.zeros(len(part), np.int64)}
        return replace(part, attributes={**part.attributes, **nothing})

    train, test = (EncodedSplit(*map(flattened, split)) for split in splits)
    assert_equal((train, test), attributes)


def test_target_against_background_alone_is_probed_too(splits: Splits) -> None:
    assert_equal(splits, ())


def test_where_nothing_can_be_probed_it_is_said(noise) -> None:
    with pytest.raises(ValueError, match="No attribute could be probed"):
        gap_of_vectors(noise(0, 1, 1), noise(1, 1, 1), ())
