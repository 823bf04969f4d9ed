"""Whole evaluations: what belongs to one, and that whatever representation comes is measured or said not to be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from cabench.data.dataset import Attribute
from cabench.evaluation import evaluate as evaluate_module
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.evaluation.evaluate import Measured, evaluate
from cabench.evaluation.gap import separation
from cabench.evaluation.probes import ProbeConfig

CONFIG = ProbeConfig()
Attributes = tuple[Attribute, ...]
MakeSplit = Callable[..., EncodedSplit]

pytestmark = pytest.mark.filterwarnings("error")

LINEAR = ("balanced_accuracy", "accuracy", "r2", "correlation", "auc")
NEIGHBOURS = ("knn_balanced_accuracy", "knn_correlation", "knn_auc")
UNITLESS = (*LINEAR, *NEIGHBOURS, "kmeans_nmi", "mig", "dci_disentanglement", "dci_completeness", "hsic")
POPULATIONS = ("norm_ratio", "silhouette", "silhouette")
SPACES = ("hsic", "space_r2", "space_r2")
TARGETS = ("kmeans_ari", "kmeans_nmi", "mig", "mig", "dci_disentanglement", "dci_completeness")
PROBED = 2 * (2 * 4 + 2 * 3 + 4 + 3 + 2)  # spaces x metrics of object and depth in two populations, kind, size, target
EVERYTHING = PROBED + len(POPULATIONS) + len(SPACES) + len(TARGETS)


def check(evaluation: Measured, count: int = EVERYTHING) -> dict[str, set[str]]:
    """Every score is finite, every other one has a reason, none is both or missing. Gives reasons by metric."""
    for item in evaluation.scores:
        numbers = [item.value, item.chance, item.ideal, item.standard_error]
        numbers += [item.p_value, item.p_familywise, item.p_smallest]
        numbers = [number for number in numbers if number is not None]
        assert all(map(math.isfinite, numbers)), item
        assert all(type(number) is float for number in numbers), item
        if item.metric in UNITLESS and item.metric != "r2":
            assert 0 <= item.value <= 1 + 1e-12, item
        assert item.value <= 1 + 1e-12 or item.metric == "norm_ratio", item
    check_contributions(evaluation)
    for shared in evaluation.dimension_r2.values():
        assert all(0 <= value <= 1 for value in shared)
    # A class that is left out is said beside the score of the others.
    missing = [item for item in evaluation.unmeasured if not item.reason.startswith("the class ")]
    entries = (*evaluation.scores, *missing)
    assert (
        len({(item.space, item.attribute, item.population, item.metric) for item in entries}) == len(entries) == count
    )
    reasons: dict[str, set[str]] = {}
    for item in evaluation.unmeasured:
        assert item.reason
        reasons.setdefault(item.metric, set()).add(item.reason)
    return reasons


def check_contributions(evaluation: Measured) -> None:
    """One of every score, of all blocks, summing to 0; and a gap that is bounded."""
    table = evaluation.contributions
    assert len(table.scores) == len(evaluation.scores)
    for score, part in zip(evaluation.scores, table.scores, strict=True):
        assert len(part.rows) == len(part.strata) == len(table.rows) == len(table.strata)
        assert part.rows.sum() == score.n_test <= table.rows.sum()
        if part.values is not None:
            assert abs(part.values.sum()) <= 1e-9 * max(1.0, np.abs(part.values).max(initial=0.0)), score
    try:
        found = separation(evaluation.scores)
    except ValueError:
        return
    assert found is None or all(0 <= estimate.value <= 1 for estimate in found)


def with_spaces(split: EncodedSplit, change: Callable[[np.ndarray], np.ndarray]) -> EncodedSplit:
    return EncodedSplit(
        *(
            replace(part, spaces={space: change(vectors).astype(np.float32) for space, vectors in part.spaces.items()})
            for part in split
        )
    )


def with_targets(split: EncodedSplit, **values: np.ndarray) -> EncodedSplit:
    return replace(split, target=with_values(split.target, **values))


def with_values(part: EncodedPopulation, **values: np.ndarray) -> EncodedPopulation:
    return replace(part, attributes={**part.attributes, **values})


def in_groups(split: EncodedSplit, count: int) -> EncodedSplit:
    """So many subjects of either population."""
    parts = [
        replace(part, groups=np.array([f"{name}{row % count}" for row in range(len(part))], object))
        for name, part in zip("bt", split, strict=True)
    ]
    return EncodedSplit(*parts)


def told(split: EncodedSplit) -> EncodedSplit:
    """Vectors that tell a part of every attribute, each in its own space and a little in the other."""
    parts = []
    for is_target, part in enumerate(split):
        spaces = {space: vectors.copy() for space, vectors in part.spaces.items()}
        for space, other, names in (
            ("common", "salient", ("object", "depth")),
            ("salient", "common", ("kind", "size")),
        ):
            for column, name in enumerate(names if space == "common" or is_target else ()):
                spaces[space][:, column] += 2 * part.attributes[name]
                spaces[other][:, column] += 0.5 * part.attributes[name]
        parts.append(replace(part, spaces=spaces))
    return EncodedSplit(*parts)


class TestWhole:
    def test_grid_comes_first_and_structure_after_it(self, noise: MakeSplit, attributes: Attributes) -> None:
        evaluation = evaluate(noise(0), noise(1), attributes, CONFIG)

        assert check(evaluation) == {}
        metrics = [item.metric for item in evaluation.scores]
        assert set(metrics[:PROBED]) == {*LINEAR, *NEIGHBOURS}
        assert sorted(metrics[PROBED:]) == sorted((*POPULATIONS, *SPACES, *TARGETS))
        assert {name: len(shared) for name, shared in evaluation.dimension_r2.items()} == {"kind": 5, "size": 5}

    def test_repeats_itself(self, noise: MakeSplit, attributes: Attributes) -> None:
        first, second = (evaluate(noise(0), noise(1), attributes, CONFIG) for _ in range(2))

        assert first._replace(contributions=None) == second._replace(contributions=None)
        for one, other in zip(first.contributions.scores, second.contributions.scores, strict=True):
            np.testing.assert_array_equal(one.values, other.values)

    def test_order_of_the_rows_matters_but_for_rounding_to_neighbours_alone(self, noise, attributes) -> None:
        def shuffled(split: EncodedSplit, seed: int) -> EncodedSplit:
            generator = np.random.default_rng(seed)
            orders = [generator.permutation(len(part)) for part in split]
            return EncodedSplit(
                *(
                    EncodedPopulation(
                        {space: vectors[order] for space, vectors in part.spaces.items()},
                        {name: values[order] for name, values in part.attributes.items()},
                        part.groups[order],
                    )
                    for part, order in zip(split, orders, strict=True)
                )
            )

        splits = [in_groups(noise(seed, 300, 300), 300) for seed in (0, 1)]
        one = ProbeConfig(penalties=(0.1,))  # folds are dealt out by order
        plain = evaluate(*splits, attributes, one)
        moved = evaluate(splits[0], shuffled(splits[1], 2), attributes, one)
        probed = [item for item in plain.scores if item.metric in (*LINEAR, *NEIGHBOURS)]
        again = [item for item in moved.scores if item.metric in (*LINEAR, *NEIGHBOURS)]
        refitted = evaluate(shuffled(splits[0], 3), splits[1], attributes, one)
        linear = [item for item in refitted.scores if item.metric in LINEAR]

        for item, other in zip(probed, again, strict=True):
            assert other.value == pytest.approx(item.value, abs=1e-9)
            assert other.standard_error == pytest.approx(item.standard_error, abs=1e-9)
        for item, other in zip((item for item in probed if item.metric in LINEAR), linear, strict=True):
            # A solver that stops at a gradient of 1e-5 may put an image or two on the other side.
            assert other.value == pytest.approx(item.value, abs=0.02)
        assert separation(moved.scores).gap.value == pytest.approx(separation(plain.scores).gap.value, abs=1e-9)

    def test_leaves_what_it_was_given_as_it_was(self, noise: MakeSplit, attributes: Attributes) -> None:
        train, test = noise(0), noise(1)
        evaluate(train, test, attributes, CONFIG)

        for split, fresh in ((train, noise(0)), (test, noise(1))):
            for part, untouched in zip(split, fresh, strict=True):
                for kind in ("spaces", "attributes"):
                    for name, values in getattr(untouched, kind).items():
                        np.testing.assert_array_equal(getattr(part, kind)[name], values)

    def test_uses_one_thread(self, noise: MakeSplit, monkeypatch: pytest.MonkeyPatch) -> None:
        threads: list[int] = []

        def look(*_: object) -> None:
            threads.extend(pool["num_threads"] for pool in threadpool_info())

        monkeypatch.setattr(evaluate_module, "score_structure", look)
        evaluate(noise(0), noise(1), (), CONFIG)

        assert set(threads) == {1}

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("space", ["common", "salient"])
    @pytest.mark.parametrize("population", ["background", "target"])
    @pytest.mark.parametrize("split", [0, 1])
    def test_a_representation_that_is_not_finite_is_refused(
        self, noise: MakeSplit, split: int, population: str, space: str, bad: float
    ) -> None:
        splits = [noise(0), noise(1)]
        getattr(splits[split], population).spaces[space][3, -1] = bad

        with pytest.raises(ValueError, match=f"The {space} representation holds values that are not finite"):
            evaluate(*splits, (), CONFIG)


class TestDegenerateRepresentations:
    @pytest.mark.parametrize("constant", [0.0, 0.1, -1e6])
    def test_constant(self, noise: MakeSplit, attributes: Attributes, constant: float) -> None:
        splits = [with_spaces(noise(seed), lambda vectors: np.full_like(vectors, constant)) for seed in (0, 1)]

        evaluation = evaluate(*splits, attributes, CONFIG)
        reasons = check(evaluation)

        zero = {"norm_ratio": {"the salient vectors of all target images are zero"}} if constant == 0 else {}
        assert reasons == {
            **zero,
            "silhouette": {"all vectors are equal"},
            "hsic": {"the common vectors of all images are equal"},
            "space_r2": {"the space to predict is constant"},
            "kmeans_ari": {"there are fewer distinct vectors than the 4 classes"},
            "kmeans_nmi": {"there are fewer distinct vectors than the 4 classes"},
            "dci_disentanglement": {"no dimension helps to predict an attribute"},
            "dci_completeness": {"no dimension helps to predict an attribute"},
        }
        for item in evaluation.scores:
            if item.metric.endswith(("balanced_accuracy", "auc", "correlation")):
                assert item.value == pytest.approx(item.chance, abs=1e-12)
                assert item.p_value in (None, 1.0)
            elif item.metric == "r2":
                # The training mean is not quite the test mean.
                assert -0.15 < item.value <= 0
            elif item.metric in ("mig", "norm_ratio"):
                assert item.value == pytest.approx(item.chance)
        assert all(not any(shared) for shared in evaluation.dimension_r2.values())
        found = separation(evaluation.scores)
        assert found is not None
        assert found.gap.value == pytest.approx(0.5, abs=1e-12)
        assert evaluation.leak_floor == pytest.approx(0, abs=1e-12)

    @pytest.mark.parametrize("places", [1, 2])
    def test_constant_but_for_the_last_places_of_float32(self, noise, attributes: Attributes, places: int) -> None:
        last = float(np.spacing(np.float32(1e6)))
        splits = [
            with_spaces(noise(seed), lambda vectors: 1e6 + places * last * np.sign(np.round(vectors)))
            for seed in (0, 1)
        ]

        evaluation = evaluate(*splits, attributes, CONFIG)

        probed = [item for item in evaluation.scores if item.metric in ("auc", "balanced_accuracy", "correlation")]
        assert len(probed) == 2 * (2 * 2 + 2 + 2 + 1 + 1)
        assert all(item.value == pytest.approx(item.chance, abs=1e-12) for item in probed)

    def test_far_from_zero_nothing_is_lost(self, noise: MakeSplit, attributes: Attributes) -> None:
        plain, far = (
            evaluate(*(with_spaces(told(noise(seed)), lambda v, a=a: v + a) for seed in (0, 1)), attributes, CONFIG)
            for a in (0.0, 1e6)
        )

        for one, other in zip(plain.scores, far.scores, strict=True):
            if one.metric in ("auc", "balanced_accuracy", "correlation"):
                assert other.value == pytest.approx(one.value, abs=0.06), one
        assert separation(far.scores).gap.value == pytest.approx(separation(plain.scores).gap.value, abs=0.03)

    @pytest.mark.parametrize("constant_split", [0, 1])
    def test_constant_in_one_split(self, noise: MakeSplit, attributes: Attributes, constant_split: int) -> None:
        splits = [noise(0), noise(1)]
        splits[constant_split] = with_spaces(splits[constant_split], lambda vectors: np.full_like(vectors, 0.1))

        check(evaluate(*splits, attributes, CONFIG))

    def test_a_dimension_that_is_constant_in_training_alone(self, noise: MakeSplit, attributes: Attributes) -> None:
        train = with_spaces(noise(0), lambda vectors: np.c_[vectors, np.zeros(len(vectors))])
        test = with_spaces(noise(1), lambda vectors: np.c_[vectors, 1e3 * np.arange(len(vectors))])

        evaluation = evaluate(train, test, attributes, CONFIG)

        assert check(evaluation) == {}
        assert all(item.value > -1 for item in evaluation.scores if item.metric == "r2")

    def test_one_dimension(self, noise: MakeSplit, attributes: Attributes) -> None:
        reasons = check(evaluate(noise(0, d=(1, 1)), noise(1, d=(1, 1)), attributes, CONFIG))

        assert reasons == {
            metric: {"the representation has one dimension"} for metric in ("dci_disentanglement", "dci_completeness")
        }

    def test_fewer_images_than_dimensions(self, noise: MakeSplit, attributes: Attributes) -> None:
        evaluation = evaluate(noise(0, 40, 50, (64, 56)), noise(1, 40, 50, (64, 56)), attributes, CONFIG)

        assert check(evaluation) == {}
        assert all(item.converged for item in evaluation.scores)

    def test_dimensions_that_are_copies(self, noise: MakeSplit, attributes: Attributes) -> None:
        splits = [with_spaces(noise(seed), lambda vectors: np.c_[vectors, vectors, -2 * vectors]) for seed in (0, 1)]

        evaluation = evaluate(*splits, attributes, CONFIG)

        assert check(evaluation) == {}
        assert all(item.converged for item in evaluation.scores)
        assert all(item.value < 0.02 for item in evaluation.scores if item.metric == "mig")

    def test_two_distinct_vectors(self, noise: MakeSplit, attributes: Attributes) -> None:
        def alternating(vectors: np.ndarray) -> np.ndarray:
            return np.repeat(np.arange(len(vectors))[:, None] % 2, vectors.shape[1], axis=1)

        reasons = check(evaluate(*(with_spaces(noise(s), alternating) for s in (0, 1)), attributes, CONFIG))

        assert set(reasons) == {"kmeans_ari", "kmeans_nmi"}

    def test_one_outlier(self, noise: MakeSplit, attributes: Attributes) -> None:
        def outlier(vectors: np.ndarray) -> np.ndarray:
            return np.repeat(np.arange(len(vectors))[:, None] == 0, vectors.shape[1], axis=1) * 1e6

        check(evaluate(*(with_spaces(noise(s), outlier) for s in (0, 1)), attributes, CONFIG))

    @pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e10, 3e37])
    def test_scale_changes_nothing(self, noise: MakeSplit, attributes: Attributes, scale: float) -> None:
        plain = evaluate(noise(0), noise(1), attributes, CONFIG)
        scaled = evaluate(
            *(with_spaces(noise(seed), lambda vectors: vectors * np.float64(scale)) for seed in (0, 1)),
            attributes,
            CONFIG,
        )

        assert check(scaled) == {}
        # float32 rounds tiny and huge numbers like others; a rounded neighbour or vote may fall the other way.
        for one, other in zip(plain.scores, scaled.scores, strict=True):
            assert one.value == pytest.approx(other.value, abs=0.03), one


class TestDegenerateAttributes:
    @pytest.mark.parametrize("value", [0, 1])
    def test_one_class_in_a_test_subset(self, noise: MakeSplit, attributes: Attributes, value: int) -> None:
        test = noise(1)
        test = replace(test, background=with_values(test.background, object=np.full(60, value)))

        evaluation = evaluate(noise(0), test, attributes, CONFIG)

        reason = {"fewer than two of the classes learned have 2 test images or groups"}
        metrics = ("balanced_accuracy", "accuracy", "auc", "knn_balanced_accuracy")
        assert check(evaluation) == dict.fromkeys(metrics, reason)
        assert {(u.attribute, u.population) for u in evaluation.unmeasured} == {("object", "background")}

    @pytest.mark.parametrize("where", ["train", "test", "both"])
    @pytest.mark.parametrize("rows", [0, 1, 2, 3, 9])
    def test_an_attribute_of_few_rows(self, noise: MakeSplit, attributes: Attributes, rows: int, where: str) -> None:
        def few(split: EncodedSplit) -> EncodedSplit:
            kind, size = (split.target.attributes[name].copy() for name in ("kind", "size"))
            kind[rows:], size[rows:] = -1, np.nan
            return with_targets(split, kind=kind, size=size)

        train, test = noise(0), noise(1)
        evaluation = evaluate(
            few(train) if where != "test" else train, few(test) if where != "train" else test, attributes, CONFIG
        )

        check(evaluation)
        reasons = {(u.attribute, u.metric): u.reason for u in evaluation.unmeasured}
        assert {attribute for attribute, _ in reasons} <= {"kind", "size", "salient_attributes"}
        if where != "test":
            few = "fewer than two classes have 5 training images"
            assert reasons["kind", "accuracy"] == ("all training values are equal" if rows == 1 else few)
            assert reasons["size", "r2"] == f"only {rows} training images define it; 10 are needed"
        if where != "train":
            assert reasons["kind", "mig"] == f"only {rows} test images define it; 10 are needed"
            assert set(evaluation.dimension_r2) == set()

    def test_a_common_attribute_that_one_population_lacks(self, noise: MakeSplit, attributes: Attributes) -> None:
        def lacking(split: EncodedSplit) -> EncodedSplit:
            values = with_values(split.background, object=np.full(60, -1), depth=np.full(60, np.nan))
            return replace(split, background=values)

        evaluation = evaluate(lacking(noise(0)), lacking(noise(1)), attributes, CONFIG)

        check(evaluation)
        assert {(u.attribute, u.population) for u in evaluation.unmeasured} == {
            ("object", "background"),
            ("depth", "background"),
        }
        assert {s.n_train for s in evaluation.scores if s.attribute in ("object", "depth")} == {80}

    def test_a_salient_attribute_that_no_image_defines(self, noise: MakeSplit, attributes: Attributes) -> None:
        train, test = (with_targets(noise(seed), kind=np.full(80, -1)) for seed in (0, 1))

        evaluation = evaluate(train, test, attributes, CONFIG)

        check(evaluation)
        assert {u.attribute for u in evaluation.unmeasured} == {"kind", "salient_attributes"}
        assert {s.attribute for s in evaluation.scores} == {"object", "depth", "size", "is_target", "other_space"}

    def test_a_class_seen_in_the_test_split_alone(self, noise: MakeSplit, attributes: Attributes) -> None:
        train = noise(0)
        kind = train.target.attributes["kind"]

        evaluation = evaluate(with_targets(train, kind=np.where(kind == 3, 0, kind)), noise(1), attributes, CONFIG)

        reason = "the class 'z' is left out, with 0 training images; 5 are needed"
        assert check(evaluation) == {"balanced_accuracy": {reason}}
        balanced = [s for s in evaluation.scores if (s.attribute, s.metric) == ("kind", "balanced_accuracy")]
        assert [s.chance for s in balanced] == [1 / 3, 1 / 3]
        assert {s.n_test for s in balanced} == {int(np.sum(noise(1).target.attributes["kind"] < 3))}

    @pytest.mark.parametrize("others", [0, 1])
    def test_a_class_of_one_row(self, noise: MakeSplit, attributes: Attributes, others: int) -> None:
        train = noise(0)
        kind = train.target.attributes["kind"] % 3 * others
        kind[0] = 3

        reasons = check(evaluate(with_targets(train, kind=kind), noise(1), attributes, CONFIG))

        if others:
            assert reasons == {"balanced_accuracy": {"the class 'z' is left out, with 1 training images; 5 are needed"}}
        else:
            metrics = ("balanced_accuracy", "accuracy", "auc", "knn_balanced_accuracy")
            assert reasons == {metric: {"fewer than two classes have 5 training images"} for metric in metrics}

    def test_a_class_for_every_row(self, noise: MakeSplit, attributes: Attributes) -> None:
        classes = (*attributes[:2], replace(attributes[2], classes=tuple(map(str, range(30)))), attributes[3])
        splits = [with_targets(noise(seed, targets=30), kind=np.arange(30)) for seed in (0, 1)]

        reasons = check(evaluate(*splits, classes, CONFIG))

        metrics = ("balanced_accuracy", "accuracy", "auc", "knn_balanced_accuracy")
        assert reasons == {metric: {"fewer than two classes have 5 training images"} for metric in metrics}

    @pytest.mark.parametrize("unit", [1e-200, 1e-10, 1e10, 1e100])
    def test_units_of_a_real_attribute(self, noise: MakeSplit, attributes: Attributes, unit: float) -> None:
        splits = [with_targets(split, size=unit * split.target.attributes["size"]) for split in (noise(0), noise(1))]

        check(evaluate(*splits, attributes, CONFIG))

    def test_no_attributes(self, noise: MakeSplit) -> None:
        evaluation = evaluate(noise(0), noise(1), (), CONFIG)

        assert check(evaluation, 4 + len(POPULATIONS) + len(SPACES)) == {}
        assert evaluation.dimension_r2 == {}


class TestDegeneratePopulations:
    @pytest.mark.parametrize(("backgrounds", "targets"), [(0, 0), (50, 0), (0, 50)])
    def test_empty_test_subset(self, noise: MakeSplit, attributes: Attributes, backgrounds: int, targets: int) -> None:
        evaluation = evaluate(noise(0), noise(1, backgrounds, targets), attributes, CONFIG)

        reasons = check(evaluation)
        assert "fewer than two of the classes learned have 2 test images or groups" in reasons["knn_auc"]
        assert reasons["norm_ratio"] == {"a population has no images"}
        measured = {"target": targets, "background": backgrounds, "all": 0}
        assert all(measured[item.population] for item in evaluation.scores)
        assert all(u.population == "all" or not measured[u.population] for u in evaluation.unmeasured)

    @pytest.mark.parametrize("images", [1, 2, 3, 10])
    def test_few_test_images(self, noise: MakeSplit, attributes: Attributes, images: int) -> None:
        check(evaluate(noise(0), noise(1, images, images), attributes, CONFIG))

    @pytest.mark.parametrize(("backgrounds", "targets"), [(0, 0), (50, 0), (0, 50), (1, 1), (1, 50), (50, 1), (3, 3)])
    def test_few_training_images(
        self, noise: MakeSplit, attributes: Attributes, backgrounds: int, targets: int
    ) -> None:
        evaluation = evaluate(noise(0, backgrounds, targets), noise(1), attributes, CONFIG)

        reasons = check(evaluation)
        assert ("space_r2" in reasons) == (targets < 3)
        assert ("knn_auc" in reasons) == (min(backgrounds, targets) < 5)
        # What fits nothing needs no training images.
        assert not {"norm_ratio", "silhouette", "hsic", "kmeans_ari", "mig", "dci_completeness"} & set(reasons)


class TestOneSpace:
    """Vectors from elsewhere may lack a space: what needs it is unmeasured, all else is as with both."""

    @pytest.mark.parametrize(("given", "missing"), [("common", "salient"), ("salient", "common")])
    def test_the_space_that_is_there_is_scored_as_ever(self, noise: MakeSplit, attributes, given, missing) -> None:
        def one_space(split: EncodedSplit) -> EncodedSplit:
            return EncodedSplit(*(replace(part, spaces={given: part.spaces[given]}) for part in split))

        train, test = noise(0), noise(1)
        both, one = evaluate(train, test, attributes), evaluate(one_space(train), one_space(test), attributes)

        crossing = {"hsic", "space_r2"}
        expected = [s for s in both.scores if s.space == given and s.metric not in crossing]
        # What the largest of fewer leaks reaches by luck is less.
        untested = [[replace(item, p_familywise=None) for item in scores] for scores in (one.scores, expected)]
        assert untested[0] == untested[1]
        lost = [s for s in both.scores if s not in expected]
        assert {(s.space, s.attribute, s.population, s.metric) for s in lost} == {
            (item.space, item.attribute, item.population, item.metric) for item in one.unmeasured
        }
        assert {item.reason for item in one.unmeasured} == {f"no {missing} vectors were given"}
        assert one.dimension_r2 == (both.dimension_r2 if given == "salient" else {})
        assert separation(one.scores) is None

    def test_populations_of_different_spaces_are_refused(self, noise: MakeSplit, attributes) -> None:
        split = noise(0)
        lacking = replace(split, target=replace(split.target, spaces={"common": split.target.spaces["common"]}))

        with pytest.raises(ValueError, match="the same spaces"):
            evaluate(split, lacking, attributes)
