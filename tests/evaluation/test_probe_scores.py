"""The probe grid on representations made by hand, of which the scores are known beforehand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from cabench.data.dataset import FEWEST_ROWS, IS_TARGET, SPACES, Attribute
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.evaluation.gap import separation
from cabench.evaluation.probe_scores import ProbeGrid
from cabench.evaluation.probes import NEIGHBOURS, ProbeConfig
from cabench.evaluation.questions import FEWEST_TESTED, FEWEST_TRAINED, questions
from cabench.evaluation.score import Score, Scoring, Unmeasured

CONFIG = ProbeConfig()
METRICS = {
    "class": ("balanced_accuracy", "accuracy", "auc", "knn_balanced_accuracy"),
    "real": ("correlation", "r2", "knn_correlation"),
}
KINDS = 4  # classes of "kind"
OBJECT = Attribute("object", "common", "class", ("a", "b", "c"))
DEPTH = Attribute("depth", "common", "real")
KIND = Attribute("kind", "salient", "class", tuple("wxyz"))
SIZE = Attribute("size", "salient", "real")
ALL = (OBJECT, DEPTH, KIND, SIZE)


def population(generator: np.random.Generator, n: int, is_target: bool) -> EncodedPopulation:
    """Perfectly separated: each space holds its own attributes and nothing else."""
    values = {
        "object": generator.integers(0, 3, n),
        "depth": generator.normal(size=n),
        "kind": generator.integers(0, KINDS, n) if is_target else np.full(n, -1),
        "size": generator.normal(size=n) if is_target else np.full(n, np.nan),
    }
    common = np.c_[np.eye(3)[values["object"]], values["depth"]]
    salient = np.c_[np.eye(KINDS)[values["kind"]], values["size"]] if is_target else np.zeros((n, KINDS + 1))
    return EncodedPopulation({"common": common.astype(np.float32), "salient": salient.astype(np.float32)}, values)


def encoded(seed: int, backgrounds: int = 400, targets: int = 600) -> EncodedSplit:
    generator = np.random.default_rng(seed)
    return EncodedSplit(population(generator, backgrounds, False), population(generator, targets, True))


def grid(
    train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute], config: ProbeConfig = CONFIG
) -> Scoring:
    scoring = Scoring(test.blocks.count)
    reader = ProbeGrid(scoring, train, test, np.zeros(len(test.is_target()), np.int64), config)
    for question in questions(attributes):
        reader.read(question)
    return scoring


def evaluate(
    train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute], config: ProbeConfig = CONFIG
) -> list[Score]:
    scoring = grid(train, test, attributes, config)
    assert scoring.unmeasured == []
    return scoring.scores


def with_features(part: EncodedPopulation, **spaces: np.ndarray) -> EncodedPopulation:
    return replace(part, spaces={**part.spaces, **{k: v.astype(np.float32) for k, v in spaces.items()}})


def with_values(part: EncodedPopulation, **attributes: np.ndarray) -> EncodedPopulation:
    return replace(part, attributes={**part.attributes, **attributes})


def with_single_value(part: EncodedPopulation, attribute: Attribute) -> EncodedPopulation:
    values = part.attributes[attribute.name]
    return with_values(part, **{attribute.name: np.where(attribute.is_defined(values), 1, values)})


def in_groups(split: EncodedSplit, count: int) -> EncodedSplit:
    """So many subjects of either population."""
    parts = [
        replace(part, groups=np.array([f"{name}{row % count}" for row in range(len(part))], object))
        for name, part in zip("bt", split, strict=True)
    ]
    return EncodedSplit(*parts)


def pick(scores: Sequence[Score], attribute: str, space: str, metric: str = "", population: str = "") -> Score:
    found = [
        score
        for score in scores
        if (score.attribute, score.space) == (attribute, space)
        and metric in ("", score.metric)
        and population in ("", score.population)
    ]
    assert len(found) == 1
    return found[0]


def unmeasured(found: Sequence[Unmeasured], attribute: str) -> set[tuple[str, str, str, str]]:
    return {(item.space, item.population, item.metric, item.reason) for item in found if item.attribute == attribute}


@pytest.fixture(scope="module")
def separated() -> list[Score]:
    return evaluate(encoded(0), encoded(1), ALL)


class TestPerfectSeparation:
    def test_every_wanted_score_is_its_ideal_of_one(self, separated: list[Score]) -> None:
        wanted = [item for item in separated if item.space == item.attribute_space]

        assert all(item.ideal == 1.0 for item in wanted)
        of_classes = [item for item in wanted if item.metric not in METRICS["real"]]
        assert len(of_classes) == 4 * (2 + 1) + 2
        assert all(item.value == 1.0 for item in of_classes)
        # Without noise the weakest penalty is chosen: 1e-5 shrinks a coefficient by as much, and R² by its square.
        assert all(1 - 1e-9 < item.value <= 1 for item in wanted if item.metric in ("correlation", "r2"))
        # 20 neighbours among some hundred rows of the same class do not have quite the same value.
        assert all(0.97 < item.value < 1 for item in wanted if item.metric == "knn_correlation")

    def test_there_is_no_gap_but_for_what_luck_reads(self, separated: list[Score]) -> None:
        found = separation(separated)

        assert found is not None
        assert found.wanted.value == pytest.approx(1.0)
        # Seven leaks of 400 to 1,000 images, each at most some standard errors of 0.02 to 0.05 above chance.
        assert 0 <= found.leaked.value < 0.05
        assert found.gap.value == pytest.approx((1 - found.wanted.value + found.leaked.value) / 2)

    def test_every_leak_is_chance_within_its_standard_error(self, separated: list[Score]) -> None:
        leaks = [item for item in separated if item.space != item.attribute_space]
        # Accuracy is left out: an arbitrary answer stays below the majority class's rate.
        close = [item for item in leaks if item.metric.endswith(("balanced_accuracy", "auc"))]

        assert len(close) == 3 * (1 + 2) + 2
        assert all(abs(item.value - item.chance) <= 4 * item.standard_error for item in close)
        assert all(item.ideal == item.chance for item in leaks)

    def test_correlation_of_a_leak_is_chance_within_its_standard_error(self, separated: list[Score]) -> None:
        leaks = [item for item in separated if item.space != item.attribute_space]
        correlations = [item for item in leaks if item.metric.endswith("correlation")]

        assert len(correlations) == 2 * (1 + 2)
        assert all(0 <= item.value <= 4 * item.standard_error for item in correlations)

    def test_r2_of_a_leak_is_chance_but_for_what_the_probe_overfits(self, separated: list[Score]) -> None:
        leaks = [item for item in separated if item.space != item.attribute_space]
        linear = [item for item in leaks if item.metric == "r2"]

        # 5 useless features fitted on 600 rows or more cost at most about 5 / 600 of R² on new rows.
        assert len(linear) == 1 + 2
        assert all(-0.05 < item.value < 0.01 for item in linear)

    def test_order_is_attribute_then_space_then_population(self, separated: list[Score]) -> None:
        first = ("balanced_accuracy", "correlation", "knn_auc")
        order = [(item.attribute, item.space, item.population) for item in separated if item.metric in first]

        assert order == [
            *(("object", space, p) for space in ("common", "salient") for p in ("target", "background")),
            *(("depth", space, p) for space in ("common", "salient") for p in ("target", "background")),
            *((name, space, "target") for name in ("kind", "size") for space in ("common", "salient")),
            ("is_target", "common", "all"),
            ("is_target", "salient", "all"),
        ]

    def test_classes_and_numbers_have_metrics_of_their_own(self, separated: list[Score]) -> None:
        metrics = {name: {item.metric for item in separated if item.attribute == name} for name in ("kind", "size")}

        assert metrics == {"kind": set(METRICS["class"]), "size": set(METRICS["real"])}
        assert {item.metric for item in separated if item.attribute == IS_TARGET} == {"auc", "knn_auc"}

    def test_numbers_of_images_are_those_of_the_populations_used(self, separated: list[Score]) -> None:
        numbers = {
            (item.attribute, item.population): (item.n_train, item.n_test)
            for item in evaluate(encoded(0), encoded(1, backgrounds=50, targets=70), ALL)
        }

        assert numbers == {
            ("object", "target"): (1000, 70),
            ("object", "background"): (1000, 50),
            ("depth", "target"): (1000, 70),
            ("depth", "background"): (1000, 50),
            ("kind", "target"): (600, 70),
            ("size", "target"): (600, 70),
            ("is_target", "all"): (1000, 120),
        }

    def test_probes_that_stop_early_are_marked(self, separated: list[Score]) -> None:
        hurried = evaluate(encoded(0), encoded(1), ALL, ProbeConfig(iterations=1))

        assert all(item.converged for item in separated)
        # The other metrics of a place say whether its linear probe has converged.
        assert {item.metric for item in hurried if item.converged} == {*METRICS["real"]}
        assert not pick(hurried, "is_target", "salient", "auc").converged


class TestPlantedLeak:
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    def test_class_copied_for_a_share_of_rows_is_read_at_the_theoretical_rate(self, share: float) -> None:
        def leaky(seed: int) -> EncodedSplit:
            split = encoded(seed, targets=2000)
            generator = np.random.default_rng(100 + seed)
            kind = split.target.attributes["kind"]
            shown = np.where(generator.random(2000) < share, kind, generator.integers(0, KINDS, 2000))
            return replace(split, target=with_features(split.target, common=np.eye(KINDS)[shown]))

        train, test = leaky(0), leaky(1)
        train, test = (
            replace(part, background=with_features(part.background, common=np.zeros((400, KINDS))))
            for part in (train, test)
        )

        scores = evaluate(train, test, [KIND])

        # The class shown is the best guess; it is right where it was copied, and by luck elsewhere.
        expected = share + (1 - share) / KINDS
        for metric in ("balanced_accuracy", "accuracy"):
            leak = pick(scores, "kind", "common", metric)
            assert abs(leak.value - expected) < 4 * leak.standard_error
            assert leak.ideal == leak.chance == pytest.approx(1 / KINDS, abs=0.02)
        # An image of a pair of classes shows its own, the other one, or one that says nothing of the two.
        own, other = expected, (1 - share) / KINDS
        neither = 1 - own - other
        auc = pick(scores, "kind", "common", "auc")
        assert abs(auc.value - (own * (own + 2 * neither + other) + neither**2 / 2)) < 4 * auc.standard_error

    @pytest.mark.parametrize("share", [0.3, 0.8])
    def test_real_value_copied_for_a_share_of_rows_leaks_the_square_of_the_share(self, share: float) -> None:
        def leaky(seed: int) -> EncodedSplit:
            split = encoded(seed, targets=2000)
            generator = np.random.default_rng(200 + seed)
            size = split.target.attributes["size"]
            shown = np.where(generator.random(2000) < share, size, generator.normal(size=2000))
            return EncodedSplit(
                with_features(split.background, common=np.zeros((400, 1))),
                with_features(split.target, common=shown[:, None]),
            )

        scores = evaluate(leaky(0), leaky(1), [SIZE])

        # Their correlation is the share, and R² of a linear fit its square.
        for metric, expected in (("correlation", share), ("r2", share**2)):
            leak = pick(scores, "size", "common", metric)
            assert abs(leak.value - expected) < 4 * leak.standard_error
            assert leak.ideal == 0.0

    @pytest.mark.parametrize("spread", [0.4, 1.0])
    def test_class_code_under_gaussian_noise_is_read_at_the_bayes_rate(self, spread: float) -> None:
        def noisy(seed: int) -> EncodedSplit:
            split = encoded(seed, targets=2000)
            code = np.eye(KINDS)[split.target.attributes["kind"]]
            code = code + spread * np.random.default_rng(250 + seed).normal(size=code.shape)
            return EncodedSplit(
                with_features(split.background, common=np.zeros((400, KINDS))), with_features(split.target, common=code)
            )

        scores = evaluate(noisy(0), noisy(1), [KIND])

        # The largest coordinate is the best guess: right where the code's own, moved by 1, exceeds all others.
        expected = quad(lambda x: norm.pdf(x - 1 / spread) * norm.cdf(x) ** (KINDS - 1), -10, 15)[0]
        linear, near = (pick(scores, "kind", "common", m) for m in ("balanced_accuracy", "knn_balanced_accuracy"))
        assert abs(linear.value - expected) < 4 * linear.standard_error
        # A vote of 20 is a little worse than the best guess, and never better.
        assert expected - 0.06 < near.value < expected + 4 * near.standard_error

    @pytest.mark.parametrize("noise", [0.5, 2.0])
    def test_real_value_under_gaussian_noise_leaks_its_share_of_the_variance(self, noise: float) -> None:
        def noisy(seed: int) -> EncodedSplit:
            split = encoded(seed, targets=2000)
            shown = split.target.attributes["size"] + noise * np.random.default_rng(270 + seed).normal(size=2000)
            return EncodedSplit(
                with_features(split.background, common=np.zeros((400, 1))),
                with_features(split.target, common=shown[:, None]),
            )

        scores = evaluate(noisy(0), noisy(1), [SIZE])

        share = 1 / (1 + noise**2)
        linear, near = (pick(scores, "size", "common", metric) for metric in ("correlation", "knn_correlation"))
        assert abs(linear.value - math.sqrt(share)) < 4 * linear.standard_error
        # A mean of 20 neighbours has the variance that is explained, and a twentieth of what is left.
        expected = share / math.sqrt(share + (1 - share) / NEIGHBOURS)
        assert abs(near.value - expected) < 4 * near.standard_error

    @pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
    def test_shift_between_populations_is_told_as_two_normals_are(self, shift: float) -> None:
        def shifted(seed: int) -> EncodedSplit:
            split = encoded(seed, 1000, 1000)
            generator = np.random.default_rng(300 + seed)
            parts = [
                with_features(part, common=generator.normal(offset, 1, (1000, 1)))
                for part, offset in zip(split, (0, -shift), strict=True)
            ]
            return EncodedSplit(*parts)

        scores = evaluate(shifted(0), shifted(1), [])
        leak, wanted = (pick(scores, "is_target", space, "auc") for space in ("common", "salient"))

        # Without a shift the probe's direction is arbitrary, and so is the side of 0.5 that it falls on.
        assert abs(leak.value - norm.cdf(shift / math.sqrt(2))) < 4 * leak.standard_error
        assert (leak.ideal, leak.chance) == (0.5, 0.5)
        assert (wanted.value, wanted.ideal) == (1.0, 1.0)


class TestNothingToRead:
    def test_shuffled_labels_give_chance(self) -> None:
        def shuffled(seed: int) -> EncodedSplit:
            split = encoded(seed, 1000, 1000)
            generator = np.random.default_rng(400 + seed)
            return EncodedSplit(
                *(
                    with_values(part, **{name: generator.permutation(v) for name, v in part.attributes.items()})
                    for part in split
                )
            )

        scores = evaluate(shuffled(0), shuffled(1), ALL)

        for item in scores:
            if item.metric.endswith("balanced_accuracy"):
                assert abs(item.value - item.chance) <= 4 * item.standard_error
            elif item.metric == "r2":
                assert abs(item.value) < 0.03
            elif item.metric.endswith("correlation"):
                assert item.value <= 4 * item.standard_error

    def test_independent_representations_give_chance(self) -> None:
        def noise(seed: int) -> EncodedSplit:
            generator = np.random.default_rng(500 + seed)
            return EncodedSplit(
                *(
                    with_features(part, common=generator.normal(size=(1000, 3)), salient=generator.random((1000, 2)))
                    for part in encoded(seed, 1000, 1000)
                )
            )

        scores = evaluate(noise(0), noise(1), ALL)

        for item in scores:
            if item.metric.endswith(("balanced_accuracy", "auc")):
                assert abs(item.value - item.chance) <= 4 * item.standard_error
            elif item.metric == "r2":
                assert abs(item.value) < 0.03
            elif item.metric.endswith("correlation"):
                assert item.value <= 4 * item.standard_error

    def test_accuracy_of_a_frequent_class_is_its_rate_where_the_other_metrics_stay_at_chance(self) -> None:
        def constant(seed: int) -> EncodedSplit:
            split = encoded(seed)
            kind = np.random.default_rng(600 + seed).permutation(np.repeat([0, 1, 2], [450, 100, 50]))
            return EncodedSplit(
                with_features(split.background, salient=np.ones((400, 2))),
                with_values(with_features(split.target, salient=np.ones((600, 2))), kind=kind),
            )

        scores = evaluate(constant(0), constant(1), [KIND])
        balanced, plain, auc = (pick(scores, "kind", "salient", m) for m in ("balanced_accuracy", "accuracy", "auc"))

        assert balanced.value == balanced.chance == 1 / 3
        assert plain.value == plain.chance == 0.75
        assert auc.value == auc.chance == 0.5

    def test_who_reads_nothing_answers_the_most_frequent_class_of_training(self) -> None:
        """Which may be rare in the test split: this is why the method `chance` may be far below chance."""

        def constant(seed: int, counts: list[int]) -> EncodedSplit:
            split = encoded(seed)
            background = with_features(split.background, salient=np.zeros((400, 2)))
            target = with_features(split.target, salient=np.zeros((600, 2)))
            return EncodedSplit(background, with_values(target, kind=np.repeat([0, 1, 2], counts)))

        scores = evaluate(constant(0, [400, 150, 50]), constant(1, [150, 350, 100]), [KIND])
        plain = pick(scores, "kind", "salient", "accuracy")

        assert (plain.value, plain.chance) == (150 / 600, 350 / 600)


class TestPopulations:
    def test_salient_attribute_is_probed_on_targets_alone(self) -> None:
        train, test = encoded(0), encoded(1)
        generator = np.random.default_rng(2)
        disturbed = [
            replace(split, background=with_features(split.background, salient=generator.normal(0, 1e3, (400, 5))))
            for split in (train, test)
        ]

        before, after = (
            [item for item in evaluate(*splits, [KIND, SIZE]) if item.attribute != "is_target"]
            for splits in ((train, test), disturbed)
        )
        assert len(before) == 2 * (4 + 3)
        assert after == before

    def test_common_attribute_is_fitted_on_both_and_scored_apart(self) -> None:
        # The sign of the one feature means the opposite in either population; background images are three times as
        # many, so that one probe fitted on both follows them.
        def contradicting(seed: int) -> EncodedSplit:
            split = encoded(seed, 900, 300)
            parts = []
            for part, sign in zip(split, (1, -1), strict=True):
                flag = np.random.default_rng(700 + seed).integers(0, 2, len(part.attributes["object"]))
                feature = sign * (2.0 * flag - 1)[:, None]
                parts.append(with_values(with_features(part, common=feature), object=flag, depth=flag.astype(float)))
            return EncodedSplit(*parts)

        scores = evaluate(contradicting(0), contradicting(1), [OBJECT, DEPTH])

        assert pick(scores, "object", "common", "balanced_accuracy", "background").value == 1.0
        assert pick(scores, "object", "common", "balanced_accuracy", "target").value == 0.0
        assert pick(scores, "object", "common", "auc", "target").value == 0.0
        # Least squares takes half the slope: (900 - 300) / 1200. It leaves a quarter, or 9 / 4, of the variance.
        assert pick(scores, "depth", "common", "r2", "background").value == pytest.approx(0.75, abs=0.01)
        assert pick(scores, "depth", "common", "r2", "target").value == pytest.approx(-1.25, abs=0.05)
        # Read the wrong way round it is not read at all.
        assert pick(scores, "depth", "common", "correlation", "background").value == pytest.approx(1)
        assert pick(scores, "depth", "common", "correlation", "target").value == 0.0

    def test_undefined_rows_are_dropped_from_fit_and_score(self) -> None:
        def gaps(seed: int) -> EncodedSplit:
            split = encoded(seed)
            features = {space: values.copy() for space, values in split.target.spaces.items()}
            kind, size, depth = (split.target.attributes[name].copy() for name in ("kind", "size", "depth"))
            kind[:100], size[100:250], depth[:20] = -1, np.nan, np.nan
            # Where an attribute is undefined, its features would pull any probe that used the row far away.
            features["salient"][:100, :KINDS] = 1e6
            features["salient"][100:250, KINDS] = -1e6
            features["common"][:20, 3] = 1e6
            target = with_values(with_features(split.target, **features), kind=kind, size=size, depth=depth)
            return replace(split, target=target)

        scores = evaluate(gaps(0), gaps(1), [DEPTH, KIND, SIZE])

        kind, size = pick(scores, "kind", "salient", "accuracy"), pick(scores, "size", "salient", "r2")
        depth, background_depth = (pick(scores, "depth", "common", "r2", p) for p in ("target", "background"))
        assert (kind.value, kind.n_train, kind.n_test) == (1.0, 500, 500)
        assert depth.value > 1 - 1e-9
        assert (depth.n_train, depth.n_test, background_depth.n_test) == (980, 580, 400)
        assert (size.n_train, size.n_test) == (450, 450)

    def test_space_of_an_attribute_decides_its_ideal_and_not_where_it_is_found(self) -> None:
        def swapped(seed: int) -> EncodedSplit:
            return EncodedSplit(
                *(
                    replace(part, spaces={"common": part.spaces["salient"], "salient": part.spaces["common"]})
                    for part in encoded(seed)
                )
            )

        scores = evaluate(swapped(0), swapped(1), [KIND])
        missed, leak = (pick(scores, "kind", space, "accuracy") for space in ("salient", "common"))

        assert (leak.value, leak.ideal) == (1.0, leak.chance)
        assert missed.ideal == 1.0
        assert missed.value < 0.4


class TestUnmeasured:
    @pytest.mark.parametrize("attribute", ALL, ids=lambda item: item.name)
    def test_attribute_with_a_single_value_in_training_is_not_probed(self, attribute: Attribute) -> None:
        train = EncodedSplit(*(with_single_value(part, attribute) for part in encoded(0)))

        scoring = grid(train, encoded(1), ALL)

        assert attribute.name not in {item.attribute for item in scoring.scores}
        assert unmeasured(scoring.unmeasured, attribute.name) == {
            (space, name, metric, "all training values are equal")
            for space in ("common", "salient")
            for name in (("target",) if attribute.space == "salient" else ("target", "background"))
            for metric in METRICS[attribute.kind]
        }

    @pytest.mark.parametrize(
        ("attribute", "reason"),
        [
            (OBJECT, "fewer than two of the classes learned have 2 test images or groups"),
            (KIND, "fewer than two of the classes learned have 2 test images or groups"),
            (DEPTH, "all test values are equal"),
            (SIZE, "all test values are equal"),
        ],
    )
    def test_attribute_with_a_single_value_in_the_test_split(self, attribute: Attribute, reason: str) -> None:
        test = EncodedSplit(*(with_single_value(part, attribute) for part in encoded(1)))

        scoring = grid(encoded(0), test, ALL)

        assert unmeasured(scoring.unmeasured, attribute.name) == {
            (space, name, metric, reason)
            for space in SPACES
            for name in (("target",) if attribute.space == "salient" else ("target", "background"))
            for metric in METRICS[attribute.kind]
        }
        assert attribute.name not in {item.attribute for item in scoring.scores}

    def test_attribute_defined_nowhere(self) -> None:
        train, test = encoded(0), encoded(1)
        values = with_values(train.target, kind=np.full(600, -1), size=np.full(600, np.nan))

        scoring = grid(replace(train, target=values), test, ALL)

        for name, reason in (
            ("kind", "fewer than two classes have 5 training images"),
            ("size", "only 0 training images define it; 10 are needed"),
        ):
            kind = "class" if name == "kind" else "real"
            assert unmeasured(scoring.unmeasured, name) == {
                (space, "target", metric, reason) for space in SPACES for metric in METRICS[kind]
            }

    @pytest.mark.parametrize("rows", [1, 3, FEWEST_ROWS - 1, FEWEST_ROWS])
    def test_as_many_numbers_as_are_needed_are_enough(self, rows: int) -> None:
        train, test = encoded(0), encoded(1)
        size = np.where(np.arange(600) < rows, train.target.attributes["size"], np.nan)

        scoring = grid(replace(train, target=with_values(train.target, size=size)), test, [SIZE])

        measured = {item.attribute for item in scoring.scores}
        assert measured == {IS_TARGET, *(("size",) if rows >= FEWEST_ROWS else ())}
        assert {item.attribute for item in scoring.unmeasured} == {"size", IS_TARGET} - measured

    @pytest.mark.parametrize("groups", [2, 3])
    def test_numbers_are_read_of_three_test_groups_or_more(self, groups: int) -> None:
        test = in_groups(encoded(1), groups)

        scoring = grid(encoded(0), test, [SIZE])

        reasons = {item.reason for item in scoring.unmeasured if item.attribute == "size"}
        assert reasons == ({"it is read of 2 test images or groups; 3 are needed"} if groups == 2 else set())

    def test_one_population_without_a_common_attribute_leaves_the_other_measured(self) -> None:
        train, test = (
            replace(split, background=with_values(split.background, depth=np.full(400, np.nan)))
            for split in (encoded(0), encoded(1))
        )

        scoring = grid(train, test, [DEPTH])

        assert unmeasured(scoring.unmeasured, "depth") == {
            (space, "background", metric, "it is read of 0 test images or groups; 3 are needed")
            for space in SPACES
            for metric in METRICS["real"]
        }
        depth = pick(scoring.scores, "depth", "common", "r2")
        assert depth.value > 1 - 1e-9
        assert (depth.n_train, depth.n_test) == (600, 600)

    @pytest.mark.parametrize(("backgrounds", "targets"), [(0, 60), (60, 0)])
    def test_population_that_is_missing_in_training_cannot_be_told(self, backgrounds: int, targets: int) -> None:
        scoring = grid(encoded(0, backgrounds, targets), encoded(1), [])

        assert scoring.scores == []
        assert unmeasured(scoring.unmeasured, IS_TARGET) == {
            (space, "all", metric, "all training values are equal") for space in SPACES for metric in ("auc", "knn_auc")
        }

    @pytest.mark.parametrize(("backgrounds", "targets"), [(0, 60), (60, 1), (0, 0)])
    def test_population_that_is_missing_in_the_test_split_cannot_be_told(self, backgrounds: int, targets: int) -> None:
        scoring = grid(encoded(0), encoded(1, backgrounds, targets), [])

        assert scoring.scores == []
        assert {item.reason for item in scoring.unmeasured} == {
            "fewer than two of the classes learned have 2 test images or groups"
        }


class TestRareClasses:
    """A class of too few images or groups is left out, and that is said."""

    @staticmethod
    def with_few(split: EncodedSplit, rows: int) -> EncodedSplit:
        """So many rows of the last kind."""
        kind = split.target.attributes["kind"].copy()
        kind[np.flatnonzero(kind == KINDS - 1)[rows:]] = -1
        return replace(split, target=with_values(split.target, kind=kind))

    @pytest.mark.parametrize("rows", [0, 1, FEWEST_TRAINED - 1, FEWEST_TRAINED])
    def test_a_class_of_few_training_rows_is_neither_learned_nor_counted(self, rows: int) -> None:
        scoring = grid(self.with_few(encoded(0), rows), encoded(1), [KIND])

        counted = KINDS - (rows < FEWEST_TRAINED)
        for metric in ("balanced_accuracy", "knn_balanced_accuracy"):
            assert pick(scoring.scores, "kind", "salient", metric).value == 1.0
            assert pick(scoring.scores, "kind", "salient", metric).chance == 1 / counted
        assert unmeasured(scoring.unmeasured, "kind") == {
            (
                space,
                "target",
                "balanced_accuracy",
                f"the class 'z' is left out, with {rows} training images; 5 are needed",
            )
            for space in (SPACES if counted < KINDS else ())
        }

    @pytest.mark.parametrize("rows", [0, 1, FEWEST_TESTED])
    def test_a_class_of_few_test_rows_is_not_counted(self, rows: int) -> None:
        scoring = grid(encoded(0), self.with_few(encoded(1), rows), [KIND])

        counted = KINDS - (rows < FEWEST_TESTED)
        found = pick(scoring.scores, "kind", "salient", "balanced_accuracy")
        assert (found.value, found.chance) == (1.0, 1 / counted)
        assert unmeasured(scoring.unmeasured, "kind") == {
            (space, "target", "balanced_accuracy", "the class 'z' is left out, with fewer than 2 test images or groups")
            for space in (SPACES if counted < KINDS else ())
        }

    def test_rows_of_one_subject_are_one_group_of_a_class(self) -> None:
        test = encoded(1)
        kind = test.target.attributes["kind"]
        groups = np.where(kind == KINDS - 1, "last", np.char.add("s", (np.arange(600) % 30).astype(str))).astype(object)
        grouped = replace(test, target=replace(test.target, groups=groups))

        scoring = grid(encoded(0), grouped, [KIND])

        found = pick(scoring.scores, "kind", "salient", "balanced_accuracy")
        assert (found.chance, found.n_test, found.n_groups) == (1 / 3, np.sum(kind < KINDS - 1), 30)
        assert "with fewer than 2 test images or groups" in scoring.unmeasured[0].reason

    def test_a_class_that_is_not_counted_is_never_predicted(self) -> None:
        # Test images of the first two kinds look like the third, which no test image has.
        def looks(split: EncodedSplit) -> EncodedSplit:
            kind = split.target.attributes["kind"]
            shown = np.eye(KINDS + 1)[np.where(kind < 2, 2, kind)] + 0.1 * np.eye(KINDS + 1)[kind]
            return replace(split, target=with_features(split.target, salient=shown))

        test = encoded(1)
        kind = np.where(test.target.attributes["kind"] < 2, test.target.attributes["kind"], -1)
        scoring = grid(encoded(0), looks(replace(test, target=with_values(test.target, kind=kind))), [KIND])

        found = pick(scoring.scores, "kind", "salient", "balanced_accuracy")
        assert (found.value, found.chance) == (1.0, 0.5)


class TestRareSignal:
    """A leak that a threshold hides: a class of 5 % of the rows, 1.2 deviations away."""

    def test_is_read_at_its_auc_and_by_a_probe_whose_classes_weigh_alike(self) -> None:
        def rare(seed: int) -> EncodedSplit:
            split = encoded(seed, 1000, 4000)
            generator = np.random.default_rng(800 + seed)
            sex = (generator.random(4000) < 0.05).astype(np.int64)
            common = generator.normal(size=(4000, 10))
            common[:, 0] += 1.2 * sex
            target = with_values(with_features(split.target, common=common), kind=sex)
            return replace(
                split,
                background=with_features(split.background, common=generator.normal(size=(1000, 10))),
                target=target,
            )

        scores = evaluate(rare(0), rare(1), [replace(KIND, classes=("m", "f"))])

        auc, balanced, plain = (
            pick(scores, "kind", "common", metric) for metric in ("auc", "balanced_accuracy", "accuracy")
        )
        assert norm.cdf(1.2 / math.sqrt(2)) == pytest.approx(0.80, abs=0.005)
        assert abs(auc.value - 0.80) < 3 * auc.standard_error + 0.01
        assert abs(balanced.value - norm.cdf(0.6)) < 3 * balanced.standard_error + 0.01
        assert 0.01 < auc.standard_error < 0.02
        # What was read of the same vectors without weights: the frequent class of nearly every image.
        assert plain.value == pytest.approx(0.95, abs=0.015)


class TestGroups:
    """Images of one subject: what is said of them is said of subjects."""

    def test_errors_are_over_subjects_and_their_number_is_told(self) -> None:
        test = encoded(1)
        alone = pick(evaluate(encoded(0), test, [SIZE]), "is_target", "common", "auc")
        subjects = pick(evaluate(encoded(0), in_groups(test, 10), [SIZE]), "is_target", "common", "auc")

        assert (alone.n_groups, subjects.n_groups) == (1000, 20)
        assert subjects.value == alone.value
        assert subjects.standard_error != alone.standard_error

    def test_groups_of_one_row_are_no_groups(self) -> None:
        train, test = encoded(0), encoded(1)

        plain, grouped = grid(train, test, ALL), grid(train, in_groups(test, 600), ALL)

        assert grouped.scores == plain.scores

    def test_a_subject_may_have_images_of_both_populations(self) -> None:
        split = encoded(1)
        names = (np.arange(600) % 40).astype(str).astype(object)
        both = EncodedSplit(replace(split.background, groups=names[:400]), replace(split.target, groups=names))

        found = pick(evaluate(encoded(0), both, []), "is_target", "common", "auc")

        assert (found.n_groups, found.n_test) == (40, 1000)


class TestLeakTests:
    """Leaks against permutations of the test rows."""

    @staticmethod
    def examined(
        train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute]
    ) -> tuple[Scoring, float | None]:
        scoring = Scoring(test.blocks.count)
        reader = ProbeGrid(scoring, train, test, np.zeros(len(test.is_target()), np.int64), CONFIG)
        for question in questions(attributes):
            reader.read(question)
        return scoring, reader.test_leaks()

    def test_leaks_and_nothing_else_have_p_values(self) -> None:
        scoring, floor = self.examined(encoded(0), encoded(1), ALL)

        tested = [item for item in scoring.scores if item.p_value is not None]
        leaks = ("auc", "correlation")
        assert tested == [s for s in scoring.scores if s.space != s.attribute_space and s.metric in leaks]
        assert all(item.p_smallest == 1 / 1000 for item in tested)
        assert all(item.p_smallest <= item.p_value <= item.p_familywise for item in tested)
        assert floor is not None
        assert 0.005 < floor < 0.04

    def test_what_leaks_wholly_has_the_smallest_p_value(self) -> None:
        def copied(split: EncodedSplit) -> EncodedSplit:
            return EncodedSplit(*(with_features(part, common=part.spaces["salient"]) for part in split))

        scoring, _ = self.examined(copied(encoded(0)), copied(encoded(1)), [KIND, SIZE])

        found = [item for item in scoring.scores if item.p_value is not None and item.space == "common"]
        assert {item.attribute for item in found} == {"kind", "size", IS_TARGET}
        assert {item.p_value for item in found} == {1 / 1000}

    def test_without_any_leak_that_can_be_read_there_is_no_floor(self) -> None:
        scoring, floor = self.examined(encoded(0, 60, 0), encoded(1, 60, 0), [])

        assert (scoring.scores, floor) == ([], None)

    def test_few_subjects_cannot_give_a_small_p_value(self) -> None:
        # Two subjects of either population can be told apart in C(4, 2) = 6 ways.
        scoring, _ = self.examined(encoded(0), in_groups(encoded(1), 2), [])

        (leak,) = (item for item in scoring.scores if item.p_value is not None)
        assert leak.p_smallest == pytest.approx(1 / 6)
        assert leak.p_value >= leak.p_smallest
