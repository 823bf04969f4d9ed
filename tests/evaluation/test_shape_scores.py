"""Scores beyond probes: where each stands, and what planted structure and planted independence give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from cabench.data.dataset import Attribute
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.evaluation.probes import ProbeConfig
from cabench.evaluation.score import Score, Scoring
from cabench.evaluation.shape_scores import defined_everywhere, dimensions, score_structure

CONFIG = ProbeConfig()
KIND = Attribute("kind", "salient", "class", ("x", "y", "z"))
SIZE = Attribute("size", "salient", "real")
OBJECT = Attribute("object", "common", "class", ("a", "b"))
Attributes = tuple[Attribute, ...]
MakeSplit = Callable[..., EncodedSplit]


def structure(train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute]) -> Scoring:
    scoring = Scoring(test.blocks.count)
    score_structure(scoring, train, test, attributes, CONFIG)
    return scoring


def separated(seed: int, n: int = 180) -> EncodedSplit:
    """Salient vectors hold class and size, one dimension each, in every combination; those of background are zero."""
    generator = np.random.default_rng(seed)
    kind, size = np.arange(n) % 3, (np.arange(n) // 3 % 4) / 3
    common = generator.normal(size=(n, 3)).astype(np.float32)
    objects = generator.integers(0, 2, n)
    target = EncodedPopulation(
        {"common": common, "salient": np.float32(np.c_[20.0 * kind + 10, size])},
        {"kind": kind, "size": size, "object": objects},
    )
    background = EncodedPopulation(
        {"common": generator.normal(size=(n, 3)).astype(np.float32), "salient": np.zeros((n, 2), np.float32)},
        {"kind": np.full(n, -1), "size": np.full(n, np.nan), "object": objects},
    )
    return EncodedSplit(background, target)


def by_place(scores: Sequence[Score]) -> dict[tuple[str, str, str], Score]:
    found = {(item.metric, item.space, item.attribute): item for item in scores}
    assert len(found) == len(scores)
    return found


@pytest.fixture(scope="module")
def planted() -> dict[tuple[str, str, str], Score]:
    scoring = structure(separated(0), separated(1), (OBJECT, KIND, SIZE))
    assert scoring.unmeasured == []
    return by_place(scoring.scores)


def test_every_score_stands_in_its_place(planted: dict[tuple[str, str, str], Score]) -> None:
    assert {place: (item.attribute_space, item.population) for place, item in planted.items()} == {
        ("norm_ratio", "salient", "is_target"): ("salient", "all"),
        ("silhouette", "common", "is_target"): ("salient", "all"),
        ("silhouette", "salient", "is_target"): ("salient", "all"),
        ("hsic", "common", "other_space"): ("salient", "target"),
        ("space_r2", "common", "other_space"): ("salient", "target"),
        ("space_r2", "salient", "other_space"): ("common", "target"),
        ("kmeans_ari", "salient", "kind"): ("salient", "target"),
        ("kmeans_nmi", "salient", "kind"): ("salient", "target"),
        ("mig", "salient", "kind"): ("salient", "target"),
        ("mig", "salient", "size"): ("salient", "target"),
        ("dci_disentanglement", "salient", "salient_attributes"): ("salient", "target"),
        ("dci_completeness", "salient", "salient_attributes"): ("salient", "target"),
    }


def test_planted_separation_is_ideal(planted: dict[tuple[str, str, str], Score]) -> None:
    reached = [item for item in planted.values() if item.space == "salient" and item.attribute != "other_space"]

    # Target images that differ from each other are no tight cloud, and size parts them as well as kind does.
    elsewhere = ("silhouette", "kmeans_ari", "kmeans_nmi")
    for item in reached:
        assert item.metric in elsewhere or item.value == pytest.approx(item.ideal, abs=1e-9), item.metric
    assert planted["norm_ratio", "salient", "is_target"].ideal == 0.0
    assert planted["silhouette", "salient", "is_target"].value > 0.5


def test_clusters_are_looked_for_in_salient_vectors_of_target_images() -> None:
    def with_kind_alone(split: EncodedSplit) -> EncodedSplit:
        parts = (replace(part, spaces={**part.spaces, "salient": part.spaces["salient"][:, :1]}) for part in split)
        return EncodedSplit(*parts)

    scores = by_place(structure(with_kind_alone(separated(0)), with_kind_alone(separated(1)), (KIND,)).scores)

    assert scores["kmeans_ari", "salient", "kind"].value == 1.0
    assert scores["kmeans_nmi", "salient", "kind"].value == pytest.approx(1.0)


def test_planted_independence_is_chance(planted: dict[tuple[str, str, str], Score]) -> None:
    leaks = [item for item in planted.values() if item.space != item.attribute_space]

    assert {item.metric for item in leaks} == {"silhouette", "hsic", "space_r2"}
    for item in leaks:
        assert item.ideal == item.chance
        assert abs(item.value - item.chance) < 0.05
    assert planted["hsic", "common", "other_space"].p_value > 0.01


def test_numbers_of_images_are_those_of_the_populations_used() -> None:
    scores = by_place(structure(separated(0), separated(1, n=90), (KIND, SIZE)).scores)

    numbers = {metric: (item.n_train, item.n_test) for (metric, _, _), item in scores.items()}

    assert numbers == {
        **dict.fromkeys(("norm_ratio", "silhouette"), (0, 180)),
        **dict.fromkeys(("hsic", "kmeans_ari", "kmeans_nmi", "mig"), (0, 90)),
        **dict.fromkeys(("dci_disentanglement", "dci_completeness"), (0, 90)),
        "space_r2": (180, 90),
    }


def test_one_space_copied_into_the_other_is_wholly_dependent() -> None:
    train, test = (
        EncodedSplit(
            *(
                replace(part, spaces={**part.spaces, "common": 3 * part.spaces["salient"] - np.float32(1)})
                for part in split
            )
        )
        for split in (separated(0), separated(1))
    )

    scores = by_place(structure(train, test, ()).scores)

    assert scores["hsic", "common", "other_space"].value == pytest.approx(1.0)
    assert scores["hsic", "common", "other_space"].p_value == 1 / 200
    assert scores["space_r2", "common", "other_space"].value == pytest.approx(1.0, abs=1e-6)
    assert scores["space_r2", "salient", "other_space"].value == pytest.approx(1.0, abs=1e-6)


def test_background_images_take_no_part_in_what_is_measured_on_targets() -> None:
    def disturbed(split: EncodedSplit) -> EncodedSplit:
        generator = np.random.default_rng(2)
        spaces = {
            space: generator.normal(0, 1e3, vectors.shape).astype(np.float32)
            for space, vectors in split.background.spaces.items()
        }
        return replace(split, background=replace(split.background, spaces=spaces))

    plain = structure(separated(0), separated(1), (KIND, SIZE)).scores
    changed = structure(*map(disturbed, (separated(0), separated(1))), (KIND, SIZE)).scores

    on_targets = [item for item in plain if item.population == "target"]
    assert len(on_targets) == 9
    assert [item for item in changed if item.population == "target"] == on_targets


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((OBJECT,), set()),
        ((KIND,), {"kmeans_ari", "kmeans_nmi"}),
        ((SIZE,), set()),
        ((OBJECT, SIZE), set()),
        ((KIND, SIZE), {"kmeans_ari", "kmeans_nmi", "mig", "dci_disentanglement", "dci_completeness"}),
    ],
    ids=lambda item: "-".join(a.name for a in item) if isinstance(item, tuple) else "",
)
def test_attributes_decide_what_is_measured(given: Attributes, expected: set[str]) -> None:
    scoring = structure(separated(0), separated(1), given)

    always = {"norm_ratio", "silhouette", "hsic", "space_r2"}
    assert {item.metric for item in scoring.scores} - always == expected
    assert scoring.unmeasured == []


def test_shuffled_labels_give_chance() -> None:
    generator = np.random.default_rng(3)

    def shuffled(split: EncodedSplit) -> EncodedSplit:
        values = {name: generator.permutation(v) for name, v in split.target.attributes.items()}
        return replace(split, target=replace(split.target, attributes=values))

    splits = [shuffled(split) for split in (separated(0), separated(1, n=600))]
    scores = by_place(structure(*splits, (KIND, SIZE)).scores)

    for metric in ("kmeans_ari", "kmeans_nmi", "mig"):
        measured = scores[metric, "salient", "kind"]
        assert measured.value == pytest.approx(measured.chance, abs=0.02), metric
    for metric in ("dci_disentanglement", "dci_completeness"):
        assert scores[metric, "salient", "salient_attributes"].value < 0.05


def test_noise_gives_chance_for_every_score(noise: MakeSplit, attributes: Attributes) -> None:
    scoring = structure(noise(0, 600, 600), noise(1, 600, 600), attributes)

    assert scoring.unmeasured == []
    for item in scoring.scores:
        tolerance = 4 * item.standard_error if item.metric == "norm_ratio" else 0.02
        assert abs(item.value - item.chance) < tolerance, item.metric


def test_images_that_lack_one_attribute_still_count_for_another(noise: MakeSplit) -> None:
    split = noise(0)
    kind, size = (split.target.attributes[name].copy() for name in ("kind", "size"))
    kind[:30], size[20:40] = -1, np.nan
    split = replace(split, target=replace(split.target, attributes={"kind": kind, "size": size}))
    scores = by_place(structure(split, split, (KIND, SIZE)).scores)

    assert scores["mig", "salient", "kind"].n_test == 50
    assert scores["mig", "salient", "size"].n_test == 60
    assert scores["dci_completeness", "salient", "salient_attributes"].n_test == 40
    features, columns, defined = defined_everywhere(split, (KIND, SIZE))
    np.testing.assert_array_equal(features, split.target.spaces["salient"][40:])
    np.testing.assert_array_equal(defined, np.arange(80) >= 40)
    np.testing.assert_array_equal(columns[0][0], kind[40:])
    np.testing.assert_array_equal(columns[1][0], size[40:])
    assert [is_class for _, is_class in columns] == [True, False]


@pytest.mark.filterwarnings("error")
def test_attributes_that_no_image_has_together_have_no_dci(noise: MakeSplit) -> None:
    split = noise(0)
    kind, size = (split.target.attributes[name].copy() for name in ("kind", "size"))
    kind[:40], size[35:] = -1, np.nan
    split = replace(split, target=replace(split.target, attributes={"kind": kind, "size": size}))

    scoring = structure(split, split, (KIND, SIZE))

    assert [(item.metric, item.reason) for item in scoring.unmeasured] == [
        (metric, "only 0 test images define all of them; 10 are needed")
        for metric in ("dci_disentanglement", "dci_completeness")
    ]


class TestDimensions:
    def test_every_salient_attribute_has_a_number_for_each_salient_dimension(self) -> None:
        shared = dimensions(separated(0), (OBJECT, KIND, SIZE))

        assert list(shared) == ["kind", "size"]
        assert shared["kind"] == pytest.approx([1.0, 0.0], abs=1e-9)
        assert shared["size"] == pytest.approx([0.0, 1.0], abs=1e-9)

    def test_attributes_of_too_few_images_are_left_out(self) -> None:
        split = separated(0)
        kind = np.where(np.arange(180) < 9, split.target.attributes["kind"], -1)
        split = replace(split, target=replace(split.target, attributes={**split.target.attributes, "kind": kind}))

        assert list(dimensions(split, (KIND, SIZE))) == ["size"]
