"""Data that are let through and hard to measure: few images, rare classes, one population, copies, nothing at all.

Whatever comes, every figure is bounded, what says nothing is at chance, and what cannot be measured is said.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from cabench.data.dataset import IS_TARGET, Attribute
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.evaluation.evaluate import Measured, evaluate
from cabench.evaluation.gap import Separation, separation
from cabench.evaluation.probes import ProbeConfig

SEX = Attribute("sex", "salient", "class", ("m", "f"))
AGE = Attribute("age", "common", "real")
STAGE = Attribute("stage", "salient", "class", ("i", "ii", "iii"))
DOSE = Attribute("dose", "salient", "real")
ALL = (SEX, AGE, STAGE, DOSE)
UNBOUNDED = ("r2", "space_r2", "norm_ratio")
FAST = ProbeConfig(penalties=(0.1,))

pytestmark = pytest.mark.filterwarnings("error")


def split(seed: int, backgrounds: int, targets: int, size: int = 6, rare: float = 0.5) -> EncodedSplit:
    """Noise in both spaces, and attributes that have nothing to do with it."""
    generator = np.random.default_rng(seed)
    parts = []
    for n, is_target in ((backgrounds, False), (targets, True)):
        values = {
            "sex": (generator.random(n) < rare).astype(np.int64) if is_target else np.full(n, -1),
            "stage": generator.integers(0, 3, n) if is_target else np.full(n, -1),
            "dose": generator.normal(size=n) if is_target else np.full(n, np.nan),
            "age": generator.normal(60, 12, n),
        }
        spaces = {space: np.float32(generator.normal(size=(n, size))) for space in ("common", "salient")}
        parts.append(EncodedPopulation(spaces, values))
    return EncodedSplit(*parts)


def with_vectors(encoded: EncodedSplit, **spaces: list[np.ndarray]) -> EncodedSplit:
    """Other vectors of background and target in some spaces."""
    parts = []
    for index, part in enumerate(encoded):
        given_ = {space: np.float32(vectors[index]) for space, vectors in spaces.items()}
        parts.append(replace(part, spaces={**part.spaces, **given_}))
    return EncodedSplit(*parts)


def copied(encoded: EncodedSplit) -> EncodedSplit:
    """Both spaces hold all that either has."""
    both = [np.concatenate(list(part.spaces.values()), axis=1) for part in encoded]
    return with_vectors(encoded, common=both, salient=both)


def gap_of(measured: Measured) -> Separation:
    found = separation(measured.scores)
    assert found is not None
    return found


def check(measured: Measured) -> None:
    """Every figure is finite and bounded; the gap is in [0, 1] or refused."""
    for score in measured.scores:
        assert np.isfinite(score.value), score
        if score.metric not in UNBOUNDED:
            assert -1 <= score.value <= 1 + 1e-12, score
        if score.metric in ("balanced_accuracy", "auc", "correlation"):
            assert 0 <= score.value <= 1, score
        if score.standard_error is not None:
            assert 0 <= score.standard_error < np.inf, score
    assert all(item.reason for item in measured.unmeasured)
    assert measured.leak_floor is None or 0 <= measured.leak_floor <= 1
    try:
        found = separation(measured.scores)
    except ValueError:
        return
    assert found is None or all(0 <= estimate.value <= 1 for estimate in found)


class TestFortyNoiseImages:
    """10 images of either population and split, an age, and 32 principal components of either population."""

    @pytest.mark.parametrize("owner", ["common", "salient"])
    @pytest.mark.parametrize("seed", range(5))
    def test_the_gap_is_bounded_and_near_a_half(self, seed: int, owner: str) -> None:
        age = replace(AGE, space=owner)
        measured = evaluate(split(2 * seed, 10, 10, 32), split(2 * seed + 1, 10, 10, 32), (age,))

        check(measured)
        # Noise reads what luck gives: on ten images as much as a correlation of 0.3 and an AUC of 0.65.
        assert 0.3 < gap_of(measured).gap.value < 0.75
        assert {score.metric for score in measured.scores} >= {"correlation", "r2", "auc"}

    def test_the_floor_says_what_luck_reads_of_so_few(self) -> None:
        few, many = (
            np.mean([evaluate(split(2 * s, n, n), split(2 * s + 1, n, n), (AGE,), FAST).leak_floor for s in range(3)])
            for n in (10, 250)
        )
        leaked = [
            gap_of(evaluate(split(2 * s, 10, 10), split(2 * s + 1, 10, 10), (AGE,), FAST)).leaked.value
            for s in range(25)
        ]

        # 0.4 standard errors of a leak: a correlation of ten images has 1/3, one of 250 images 0.06.
        assert few == pytest.approx(0.4 / np.sqrt(9), rel=0.35)
        assert many == pytest.approx(0.4 / np.sqrt(249), rel=0.35)
        assert np.mean(leaked) == pytest.approx(few, abs=0.07)

    def test_chance_is_chance(self) -> None:
        blank = [
            with_vectors(encoded, common=[np.zeros((10, 1))] * 2, salient=[np.zeros((10, 1))] * 2)
            for encoded in (split(0, 10, 10), split(1, 10, 10))
        ]
        measured = evaluate(*blank, (AGE, SEX))

        check(measured)
        assert gap_of(measured).gap.value == 0.5
        assert gap_of(measured).leaked.value == gap_of(measured).wanted.value == measured.leak_floor == 0.0

    def test_no_leak_of_noise_stands_out(self) -> None:
        found = [
            score.p_familywise
            for seed in range(8)
            for score in evaluate(split(2 * seed, 10, 10), split(2 * seed + 1, 10, 10), (AGE,), FAST).scores
            if score.p_familywise is not None
        ]

        assert len(found) == 8 * 3
        assert np.mean(np.array(found) < 0.05) < 0.15


class TestRareSex:
    """A signal of 1.2 deviations in the salient space, in 5 % of the rows: a leak of the common attribute."""

    @staticmethod
    def scans(seed: int) -> EncodedSplit:
        encoded = split(seed, 1000, 3000)
        generator = np.random.default_rng(100 + seed)
        parts = []
        for part in encoded:
            sex = (generator.random(len(part)) < 0.05).astype(np.int64)
            salient = part.spaces["salient"].copy()
            salient[:, 0] += 1.2 * sex
            parts.append(replace(part, spaces={**part.spaces, "salient": salient}, attributes={"sex": sex}))
        return EncodedSplit(*parts)

    def test_the_whole_evaluation_reads_it_counts_it_and_calls_it_a_leak(self) -> None:
        measured = evaluate(self.scans(0), self.scans(1), (replace(SEX, space="common"),))

        scores = {
            score.metric: score
            for score in measured.scores
            if (score.attribute, score.space, score.population) == ("sex", "salient", "target")
        }
        assert abs(scores["auc"].value - norm.cdf(1.2 / np.sqrt(2))) < 3 * scores["auc"].standard_error
        error = scores["balanced_accuracy"].standard_error
        assert abs(scores["balanced_accuracy"].value - norm.cdf(0.6)) < 3 * error
        assert scores["auc"].p_familywise == 1 / 1000
        # A probe without weights, read at its own threshold: the frequent class, and no leak.
        assert scores["accuracy"].value == pytest.approx(scores["accuracy"].chance, abs=0.01)
        assert gap_of(measured).leaked.value == pytest.approx((2 * 0.80 - 1) / 2, abs=0.07)


class TestFewOfAPopulation:
    """Populations of very different sizes, and of hardly any images."""

    def test_a_hundred_to_one(self) -> None:
        measured = evaluate(split(0, 100, 1), split(1, 100, 1), ALL)

        check(measured)
        reasons = {(item.attribute, item.metric): item.reason for item in measured.unmeasured}
        assert reasons[IS_TARGET, "auc"] == "fewer than two classes have 5 training images"
        assert reasons["sex", "auc"] == "all training values are equal"
        assert {(s.attribute, s.population) for s in measured.scores if s.metric == "correlation"} == {
            ("age", "background")
        }
        assert 0 <= gap_of(measured).gap.value <= 1

    def test_a_hundred_to_one_without_an_attribute_of_the_many_has_no_gap(self) -> None:
        measured = evaluate(split(0, 100, 1), split(1, 100, 1), (SEX,))

        check(measured)
        with pytest.raises(ValueError, match="No attribute could be probed"):
            separation(measured.scores)

    @pytest.mark.parametrize("rows", [1, 2, 4, 7])
    def test_fewer_rows_than_a_batch(self, rows: int) -> None:
        check(evaluate(split(0, rows, rows), split(1, rows, rows), ALL))

    @pytest.mark.parametrize("rows", [5, 6, 20])
    def test_as_few_rows_as_a_class_needs(self, rows: int) -> None:
        measured = evaluate(split(0, rows, rows), split(1, 2, 2), ())

        assert {score.metric for score in measured.scores} >= {"auc", "knn_auc"}
        check(measured)

    def test_one_row_a_class(self) -> None:
        def one_each(encoded: EncodedSplit) -> EncodedSplit:
            values = {**encoded.target.attributes, "stage": np.array([0, 1, 2])}
            return replace(encoded, target=replace(encoded.target, attributes=values))

        measured = evaluate(one_each(split(0, 30, 3)), one_each(split(1, 30, 3)), ALL)

        check(measured)
        reasons = {item.reason for item in measured.unmeasured if (item.attribute, item.metric) == ("stage", "auc")}
        assert reasons == {"fewer than two classes have 5 training images"}

    def test_one_class_in_the_test_split(self) -> None:
        test = split(1, 60, 60)
        values = {**test.target.attributes, "sex": np.ones(60, np.int64)}
        measured = evaluate(
            split(0, 60, 60), replace(test, target=replace(test.target, attributes=values)), (SEX, DOSE)
        )

        check(measured)
        assert "sex" not in {score.attribute for score in measured.scores if "auc" in score.metric}
        reasons = {item.reason for item in measured.unmeasured if (item.attribute, item.metric) == ("sex", "auc")}
        assert reasons == {"fewer than two of the classes learned have 2 test images or groups"}

    def test_one_value_in_all_images(self) -> None:
        def alike(encoded: EncodedSplit) -> EncodedSplit:
            parts = [replace(part, attributes={**part.attributes, "age": np.full(len(part), 50.0)}) for part in encoded]
            return EncodedSplit(*parts)

        measured = evaluate(alike(split(0, 40, 40)), alike(split(1, 40, 40)), (AGE, SEX))

        check(measured)
        assert {item.reason for item in measured.unmeasured if item.attribute == "age"} == {
            "all training values are equal"
        }


class TestFourSubjects:
    """60 test rows of four mice."""

    def test_say_what_four_mice_say(self) -> None:
        test = split(1, 60, 60)
        parts = [
            replace(part, groups=np.array([f"{name}{row % 4}" for row in range(60)], object))
            for name, part in zip("bt", test, strict=True)
        ]
        mice = np.random.default_rng(5).normal(size=(2, 4, 6))
        offset = [part.spaces["common"] + mice[index][np.arange(60) % 4] for index, part in enumerate(parts)]
        grouped = with_vectors(EncodedSplit(*parts), common=offset)

        by_mouse, by_row = (evaluate(split(0, 60, 60), s, (AGE,)) for s in (grouped, with_vectors(test, common=offset)))
        auc = [
            next(s for s in measured.scores if (s.attribute, s.space, s.metric) == (IS_TARGET, "common", "auc"))
            for measured in (by_mouse, by_row)
        ]

        check(by_mouse)
        assert auc[0].value == auc[1].value
        assert auc[0].standard_error > 2 * auc[1].standard_error
        assert (auc[0].n_groups, auc[1].n_groups) == (8, 120)
        assert auc[0].p_smallest == pytest.approx(1 / 70)  # four of eight mice
        assert len(by_mouse.contributions.rows) == 8


class TestCopies:
    """Spaces that are the same separate nothing, however much they hold."""

    @staticmethod
    def holding(seed: int, strength: float, n: int = 200) -> EncodedSplit:
        encoded = split(seed, n, n)
        parts = []
        for is_target, part in enumerate(encoded):
            vectors = part.spaces["common"].copy()
            vectors[:, 0] += strength * (part.attributes["age"] - 60) / 12
            vectors[:, 5] += strength * is_target
            if is_target:
                vectors[:, 1] += strength * part.attributes["sex"]
                vectors[np.arange(n), 2 + part.attributes["stage"]] += strength
            parts.append(vectors)
        return with_vectors(encoded, common=parts, salient=parts)

    @pytest.mark.parametrize("strength", [0.5, 1.0, 2.0, 8.0])
    def test_that_hold_everything_have_a_gap_of_a_half_or_more(self, strength: float) -> None:
        measured = evaluate(self.holding(0, strength), self.holding(1, strength), ALL, FAST)

        found = gap_of(measured)
        # What is read of classes by their AUC is at least what balanced accuracy shows of it.
        assert found.leaked.value >= found.wanted.value > 0.05
        assert 0.5 <= found.gap.value < 0.65

    @pytest.mark.parametrize("seed", range(5))
    def test_of_noise_have_a_gap_near_a_half(self, seed: int) -> None:
        measured = evaluate(copied(split(2 * seed, 100, 100)), copied(split(2 * seed + 1, 100, 100)), ALL, FAST)

        assert gap_of(measured).gap.value == pytest.approx(0.5, abs=0.05)


vectors = st.sampled_from(["noise", "copies", "constant", "one place", "rounding", "huge", "told"])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    kind=vectors,
    seed=st.integers(0, 1000),
    rows=st.tuples(*[st.integers(1, 40)] * 4),
    size=st.integers(1, 8),
    rare=st.sampled_from([0.02, 0.1, 0.5, 1.0]),
    subjects=st.sampled_from([0, 1, 3, 10]),
)
def test_whatever_comes_is_bounded(
    kind: str, seed: int, rows: tuple[int, int, int, int], size: int, rare: float, subjects: int
) -> None:
    def made(part: EncodedPopulation, is_target: int) -> np.ndarray:
        noise = part.spaces["common"]
        if kind == "told":
            noise = noise + 5 * is_target + np.nan_to_num(part.attributes["sex"])[:, None]
        return {
            "constant": np.full_like(noise, 0.1),
            "one place": np.full_like(noise, float(is_target)),
            "rounding": 1e6 + 0.0625 * np.sign(noise),
            "huge": 1e37 * noise,
        }.get(kind, noise)

    splits = []
    for index in range(2):
        encoded = split(2 * seed + index, rows[2 * index], rows[2 * index + 1], size, rare)
        places = [made(part, is_target) for is_target, part in enumerate(encoded)]
        encoded = with_vectors(encoded, salient=places, **({} if kind == "noise" else {"common": places}))
        if subjects:
            groups = [np.array([f"s{row % subjects}" for row in range(len(part))], object) for part in encoded]
            encoded = EncodedSplit(*(replace(part, groups=g) for part, g in zip(encoded, groups, strict=True)))
        splits.append(encoded)

    check(evaluate(*splits, ALL, FAST))
