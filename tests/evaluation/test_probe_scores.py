"""The probe grid on representations made by hand, of which the scores are known beforehand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from cabench.data.dataset import FEWEST_ROWS, Attribute
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.evaluation.probe_scores import score_grid, separation_gap
from cabench.evaluation.probes import NEIGHBOURS, ProbeConfig
from cabench.evaluation.score import Score, Scoring, Unmeasured

CONFIG = ProbeConfig()
MAIN = ("balanced_accuracy", "r2", "auc")
METRICS = {"class": ("balanced_accuracy", "accuracy", "knn_balanced_accuracy"), "real": ("r2", "knn_r2")}
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
    scoring = Scoring()
    score_grid(scoring, train, test, attributes, config)
    return scoring


def evaluate(
    train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute], config: ProbeConfig = CONFIG
) -> list[Score]:
    scoring = grid(train, test, attributes, config)
    assert scoring.unmeasured == []
    return scoring.scores


def with_features(part: EncodedPopulation, **spaces: np.ndarray) -> EncodedPopulation:
    return part._replace(spaces={**part.spaces, **{k: v.astype(np.float32) for k, v in spaces.items()}})


def with_values(part: EncodedPopulation, **attributes: np.ndarray) -> EncodedPopulation:
    return part._replace(attributes={**part.attributes, **attributes})


def with_single_value(part: EncodedPopulation, attribute: Attribute) -> EncodedPopulation:
    values = part.attributes[attribute.name]
    return with_values(part, **{attribute.name: np.where(attribute.is_defined(values), 1, values)})


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


def score(value: float, ideal: float, metric: str = "balanced_accuracy") -> Score:
    return Score("common", "object", "common", "target", metric, value, 0.25, ideal, 0.01, 100, 50, True)


@pytest.fixture(scope="module")
def separated() -> list[Score]:
    return evaluate(encoded(0), encoded(1), ALL)


class TestPerfectSeparation:
    def test_every_wanted_score_is_its_ideal_of_one(self, separated: list[Score]) -> None:
        wanted = [item for item in separated if item.space == item.attribute_space]

        assert all(item.ideal == 1.0 for item in wanted)
        assert all(item.value == 1.0 for item in wanted if not item.metric.endswith("r2"))
        # Without noise the weakest penalty is chosen: 1e-5 shrinks a coefficient by as much, and R² by its square.
        assert all(1 - 1e-9 < item.value <= 1 for item in wanted if item.metric == "r2")
        # 20 neighbours among some hundred rows of the same class do not have quite the same value.
        assert all(0.95 < item.value < 1 for item in wanted if item.metric == "knn_r2")

    def test_every_leak_is_chance_within_its_standard_error(self, separated: list[Score]) -> None:
        leaks = [item for item in separated if item.space != item.attribute_space]
        # Accuracy is left out: an arbitrary answer stays below the majority class's rate.
        close = [item for item in leaks if item.metric.endswith(("balanced_accuracy", "auc"))]

        assert len(close) == 2 * (1 + 2 + 1)
        assert all(abs(item.value - item.chance) <= 4 * item.standard_error for item in close)
        assert all(item.ideal == item.chance for item in leaks)

    def test_r2_of_a_leak_is_chance_but_for_what_the_probe_overfits(self, separated: list[Score]) -> None:
        leaks = [item for item in separated if item.space != item.attribute_space]
        linear, near = ([item for item in leaks if item.metric == metric] for metric in ("r2", "knn_r2"))

        # 5 useless features fitted on 600 rows or more cost at most about 5 / 600 of R² on new rows.
        assert len(linear) == len(near) == 1 + 2
        assert all(-0.05 < item.value < 0.01 for item in linear)
        # The mean of 20 unrelated values has a twentieth of their variance, which is added to that of the truth.
        assert all(-0.15 < item.value < 0.01 for item in near)

    def test_order_is_attribute_then_space_then_population(self, separated: list[Score]) -> None:
        order = [(item.attribute, item.space, item.population) for item in separated if item.metric in MAIN]

        assert order == [
            *(("object", space, p) for space in ("common", "salient") for p in ("target", "background")),
            *(("depth", space, p) for space in ("common", "salient") for p in ("target", "background")),
            *((name, space, "target") for name in ("kind", "size") for space in ("common", "salient")),
            ("is_target", "common", "all"),
            ("is_target", "salient", "all"),
        ]

    def test_classes_get_accuracy_beside_balanced_accuracy_and_reals_get_r2(self, separated) -> None:
        metrics = {name: {item.metric for item in separated if item.attribute == name} for name in ("kind", "size")}

        assert metrics == {"kind": {"balanced_accuracy", "accuracy", "knn_balanced_accuracy"}, "size": {"r2", "knn_r2"}}

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
        assert {item.metric for item in hurried if item.converged} == {
            *("r2", "knn_r2", "knn_balanced_accuracy", "knn_auc")
        }
        assert not pick(hurried, "is_target", "salient", "auc").converged


class TestPlantedLeak:
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    def test_class_copied_for_a_share_of_rows_is_read_at_the_theoretical_rate(self, share: float) -> None:
        def leaky(seed: int) -> EncodedSplit:
            split = encoded(seed, targets=2000)
            generator = np.random.default_rng(100 + seed)
            kind = split.target.attributes["kind"]
            shown = np.where(generator.random(2000) < share, kind, generator.integers(0, KINDS, 2000))
            return split._replace(target=with_features(split.target, common=np.eye(KINDS)[shown]))

        train, test = leaky(0), leaky(1)
        train, test = (
            part._replace(background=with_features(part.background, common=np.zeros((400, KINDS))))
            for part in (train, test)
        )

        scores = evaluate(train, test, [KIND])

        # The class shown is the best guess; it is right where it was copied, and by luck elsewhere.
        expected = share + (1 - share) / KINDS
        for metric in ("balanced_accuracy", "accuracy"):
            leak = pick(scores, "kind", "common", metric)
            assert abs(leak.value - expected) < 4 * leak.standard_error
            assert leak.ideal == leak.chance == pytest.approx(1 / KINDS, abs=0.02)

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

        leak = pick(evaluate(leaky(0), leaky(1), [SIZE]), "size", "common", "r2")

        # Their correlation is the share, and R² of a linear fit its square.
        assert abs(leak.value - share**2) < 4 * leak.standard_error
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
        linear, near = (pick(scores, "size", "common", metric) for metric in ("r2", "knn_r2"))
        assert abs(linear.value - share) < 4 * linear.standard_error
        # A mean of 20 neighbours adds a twentieth of what is left unexplained.
        assert abs(near.value - (1 - (1 - share) * (1 + 1 / NEIGHBOURS))) < 4 * near.standard_error

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
            elif item.metric == "knn_r2":
                assert -0.15 < item.value < 0.03

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
            elif item.metric == "knn_r2":
                assert abs(item.value + 1 / NEIGHBOURS) < 0.03

    def test_accuracy_of_a_frequent_class_is_its_rate_where_balanced_accuracy_stays_at_chance(self) -> None:
        def constant(seed: int) -> EncodedSplit:
            split = encoded(seed)
            kind = np.random.default_rng(600 + seed).permutation(np.repeat([0, 1, 2], [450, 100, 50]))
            return EncodedSplit(
                with_features(split.background, salient=np.ones((400, 2))),
                with_values(with_features(split.target, salient=np.ones((600, 2))), kind=kind),
            )

        scores = evaluate(constant(0), constant(1), [KIND])
        balanced, plain = (pick(scores, "kind", "salient", metric) for metric in ("balanced_accuracy", "accuracy"))

        assert balanced.value == balanced.chance == 1 / 3
        assert plain.value == plain.chance == 0.75


class TestPopulations:
    def test_salient_attribute_is_probed_on_targets_alone(self) -> None:
        train, test = encoded(0), encoded(1)
        generator = np.random.default_rng(2)
        disturbed = [
            split._replace(background=with_features(split.background, salient=generator.normal(0, 1e3, (400, 5))))
            for split in (train, test)
        ]

        before, after = (
            [item for item in evaluate(*splits, [KIND, SIZE]) if item.attribute != "is_target"]
            for splits in ((train, test), disturbed)
        )
        assert len(before) == 2 * (3 + 2)
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
        # Least squares takes half the slope: (900 - 300) / 1200. It leaves a quarter, or 9 / 4, of the variance.
        assert pick(scores, "depth", "common", "r2", "background").value == pytest.approx(0.75, abs=0.01)
        assert pick(scores, "depth", "common", "r2", "target").value == pytest.approx(-1.25, abs=0.05)

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
            return split._replace(target=target)

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
                    part._replace(spaces={"common": part.spaces["salient"], "salient": part.spaces["common"]})
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
        ("attribute", "metric", "reason"),
        [
            (OBJECT, "balanced_accuracy", "there are fewer than two classes among the test images"),
            (KIND, "knn_balanced_accuracy", "there are fewer than two classes among the test images"),
            (DEPTH, "r2", "all test values are equal"),
            (SIZE, "knn_r2", "all test values are equal"),
        ],
    )
    def test_attribute_with_a_single_value_in_the_test_split(
        self, attribute: Attribute, metric: str, reason: str
    ) -> None:
        test = EncodedSplit(*(with_single_value(part, attribute) for part in encoded(1)))

        scoring = grid(encoded(0), test, ALL)

        found = unmeasured(scoring.unmeasured, attribute.name)
        assert {("common", "target", metric, reason), ("salient", "target", metric, reason)} <= found
        # How many are of the one class is a number all the same.
        expected = {"accuracy"} if attribute.kind == "class" else set()
        assert {item.metric for item in scoring.scores if item.attribute == attribute.name} == expected

    def test_attribute_defined_nowhere(self) -> None:
        train, test = encoded(0), encoded(1)
        train = train._replace(target=with_values(train.target, kind=np.full(600, -1)))

        scoring = grid(train, test, ALL)

        reason = "only 0 training images define it; 10 are needed"
        assert unmeasured(scoring.unmeasured, "kind") == {
            (space, "target", metric, reason) for space in ("common", "salient") for metric in METRICS["class"]
        }

    @pytest.mark.parametrize("rows", [1, 3, FEWEST_ROWS - 1, FEWEST_ROWS])
    def test_as_many_rows_as_are_needed_are_enough(self, rows: int) -> None:
        train, test = encoded(0), encoded(1)
        kind, size = (train.target.attributes[name].copy() for name in ("kind", "size"))
        kind[rows:], size[rows:] = -1, np.nan

        scoring = grid(train._replace(target=with_values(train.target, kind=kind, size=size)), test, [KIND, SIZE])

        measured = {item.attribute for item in scoring.scores}
        assert measured == {"is_target", *(("kind", "size") if rows >= FEWEST_ROWS else ())}
        assert {item.attribute for item in scoring.unmeasured} == {"kind", "size", "is_target"} - measured

    def test_one_population_without_a_common_attribute_leaves_the_other_measured(self) -> None:
        train, test = (
            split._replace(background=with_values(split.background, depth=np.full(400, np.nan)))
            for split in (encoded(0), encoded(1))
        )

        scoring = grid(train, test, [DEPTH])

        assert unmeasured(scoring.unmeasured, "depth") == {
            (space, "background", metric, "there are no test images")
            for space in ("common", "salient")
            for metric in METRICS["real"]
        }
        depth = pick(scoring.scores, "depth", "common", "r2")
        assert depth.value > 1 - 1e-9
        assert (depth.n_train, depth.n_test) == (600, 600)

    def test_a_class_seen_in_the_test_split_alone_is_never_right(self) -> None:
        train, test = encoded(0), encoded(1)
        kind = train.target.attributes["kind"].copy()
        kind[kind == 3] = -1

        scores = evaluate(train._replace(target=with_values(train.target, kind=kind)), test, [KIND])

        for metric in ("balanced_accuracy", "knn_balanced_accuracy"):
            assert pick(scores, "kind", "salient", metric).value == 3 / 4
            assert pick(scores, "kind", "salient", metric).chance == 1 / 4

    @pytest.mark.parametrize(("backgrounds", "targets"), [(0, 60), (60, 0)])
    def test_population_that_is_missing_in_training_cannot_be_told(self, backgrounds: int, targets: int) -> None:
        scoring = grid(encoded(0, backgrounds, targets), encoded(1), [])

        assert scoring.scores == []
        assert unmeasured(scoring.unmeasured, "is_target") == {
            (space, "all", metric, "all training values are equal")
            for space in ("common", "salient")
            for metric in ("auc", "knn_auc")
        }

    @pytest.mark.parametrize(("backgrounds", "targets"), [(0, 60), (60, 1), (0, 0)])
    def test_population_that_is_missing_in_the_test_split_cannot_be_told(self, backgrounds: int, targets: int) -> None:
        scoring = grid(encoded(0), encoded(1, backgrounds, targets), [])

        reason = f"there are {targets} target and {backgrounds} background images; two are needed"
        assert scoring.scores == []
        assert {item.reason for item in scoring.unmeasured} == {reason}


def in_both_spaces(*scores: Score) -> list[Score]:
    """The scores, and the same ones of the other space."""
    return [*scores, *(dataclasses.replace(score, space="salient") for score in scores)]


class TestSeparationGap:
    def test_is_the_mean_distance_to_the_ideals(self) -> None:
        scores = [score(0.9, 1.0), score(0.5, 0.25), score(-0.2, 0.0, "r2"), score(0.4, 0.5, "auc")]

        assert separation_gap(in_both_spaces(*scores)) == pytest.approx((0.1 + 0.25 + 0.2 + 0.1) / 4)

    @pytest.mark.parametrize("metric", ["accuracy", "knn_balanced_accuracy", "knn_r2", "knn_auc", "silhouette", "hsic"])
    def test_leaves_out_all_but_one_metric_of_each_linear_probe(self, metric: str) -> None:
        assert separation_gap(in_both_spaces(score(0.9, 1.0), score(0.1, 1.0, metric))) == pytest.approx(0.1)

    def test_has_no_meaning_without_scores(self) -> None:
        with pytest.raises(ValueError, match="No attribute could be probed"):
            separation_gap([score(0.1, 1.0, "accuracy")])

    def test_is_zero_at_the_ideals_and_one_at_the_opposite(self) -> None:
        assert separation_gap(in_both_spaces(score(1.0, 1.0), score(0.25, 0.25))) == 0.0
        assert separation_gap(in_both_spaces(score(0.0, 1.0), score(1.0, 0.0, "r2"))) == 1.0

    def test_there_is_none_where_one_space_was_probed(self) -> None:
        assert separation_gap([score(0.9, 1.0)]) is None
