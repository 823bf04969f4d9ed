"""Attributes read with nuisances taken out: what sites explain, what is left, and what holds on sites never seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from cabench.data.dataset import Attribute
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.evaluation.evaluate import Measured, evaluate
from cabench.evaluation.gap import is_leak, is_term
from cabench.evaluation.nuisances import MOST_LEVELS, NuisanceReader, lots_of, nuisances_of, without
from cabench.evaluation.probe_scores import ProbeGrid
from cabench.evaluation.probes import ProbeConfig
from cabench.evaluation.questions import questions
from cabench.evaluation.score import Score, Scoring

SITES = tuple("abcd")
ILL = Attribute("ill", "salient", "class", ("no", "yes"))
SEVERITY = Attribute("severity", "salient", "real")
SITE = Attribute("site", "nuisance", "class", SITES)
DOSE = Attribute("dose", "nuisance", "real")
CONFOUNDED, EVEN = np.array([0.2, 0.4, 0.6, 0.8]), np.full(4, 0.5)
CONFIG = ProbeConfig(penalties=(0.1, 1e-3))
DIMENSIONS = 10
EFFECTS = 0.8 * np.random.default_rng(99).normal(size=(4, DIMENSIONS))  # of every site on the vectors

pytestmark = pytest.mark.filterwarnings("error")


def scanned(seed: int, signal: float, prevalence: np.ndarray, n: int = 2000) -> EncodedSplit:
    """Target images of four sites that shift the vectors of either space; background images know nothing of sites."""
    generator = np.random.default_rng(seed)
    site = generator.integers(0, 4, n)
    ill = (generator.random(n) < prevalence[site]).astype(np.int64)
    vectors = generator.normal(size=(n, DIMENSIONS)) + EFFECTS[site]
    vectors[:, 0] += signal * ill
    severity = ill + generator.normal(size=n)
    healthy = np.zeros((n, DIMENSIONS), np.float32)
    unknown = {"ill": np.full(n, -1), "severity": np.full(n, np.nan)}
    return EncodedSplit(
        EncodedPopulation({"common": healthy, "salient": healthy}, {**unknown, "site": generator.integers(0, 4, n)}),
        EncodedPopulation(
            {"common": np.float32(vectors), "salient": np.float32(vectors)},
            {"ill": ill, "severity": severity, "site": site},
        ),
    )


def read(train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute]) -> Scoring:
    """The scores of the first of the attributes."""
    scoring = Scoring(test.blocks.count)
    reader = NuisanceReader(scoring, train, test, nuisances_of(train, test, attributes), CONFIG)
    reader.read(questions(attributes)[0])
    return scoring


def by_metric(scores: Sequence[Score], space: str = "salient") -> dict[str, Score]:
    return {score.metric: score for score in scores if score.space in (space, "nuisance")}


def naive(train: EncodedSplit, test: EncodedSplit) -> Score:
    """The score of a probe that does not know of sites."""
    scoring = Scoring(test.blocks.count)
    ProbeGrid(scoring, train, test, np.zeros(len(test.is_target()), np.int64), CONFIG).read(questions((ILL,))[0])
    return by_metric(scoring.scores)["auc"]


class TestAdjusted:
    """The three cases of which the truth is known, four sites each, 2,000 images."""

    def test_what_sites_alone_explain_is_taken_out(self) -> None:
        train, test = scanned(0, 0.0, CONFOUNDED), scanned(1, 0.0, CONFOUNDED)
        found = by_metric(read(train, test, (ILL, SITE)).scores)

        assert naive(train, test).value > 0.65
        assert found["auc"].value > 0.7
        assert found["adjusted_auc"].value == pytest.approx(0.5, abs=3 * found["adjusted_auc"].standard_error)
        assert found["unseen_level_auc"].value == pytest.approx(0.5, abs=3 * found["unseen_level_auc"].standard_error)

    def test_signal_that_goes_with_sites_is_kept(self) -> None:
        train, test = scanned(0, 0.8, CONFOUNDED), scanned(1, 0.8, CONFOUNDED)
        found = by_metric(read(train, test, (ILL, SITE)).scores)

        # Phi(0.8 / sqrt(2)) = 0.714 is what the vectors hold of it.
        assert naive(train, test).value > 0.77
        assert found["adjusted_auc"].value == pytest.approx(0.71, abs=3 * found["adjusted_auc"].standard_error)
        assert found["unseen_level_auc"].value == pytest.approx(0.70, abs=0.04)

    def test_without_confounding_nothing_changes(self) -> None:
        train, test = scanned(0, 0.8, EVEN), scanned(1, 0.8, EVEN)
        found = by_metric(read(train, test, (ILL, SITE)).scores)

        expected = naive(train, test)
        assert found["auc"].value == pytest.approx(0.5, abs=3 * found["auc"].standard_error)
        assert found["adjusted_auc"].value == pytest.approx(expected.value, abs=0.02)
        assert found["adjusted_auc"].standard_error == pytest.approx(expected.standard_error, rel=0.1)

    def test_numbers_are_adjusted_too(self) -> None:
        train, test = scanned(0, 0.0, CONFOUNDED), scanned(1, 0.0, CONFOUNDED)
        found = by_metric(read(train, test, (SEVERITY, SITE)).scores)

        assert set(found) == {"correlation", "adjusted_correlation", "unseen_level_correlation"}
        assert found["correlation"].value > 0.1
        assert found["adjusted_correlation"].value < 3 * found["adjusted_correlation"].standard_error

    def test_a_nuisance_number_acts_through_its_line_and_its_square(self) -> None:
        def dosed(seed: int) -> EncodedSplit:
            generator = np.random.default_rng(seed)
            dose = generator.normal(size=2000)
            ill = (generator.random(2000) < 1 / (1 + np.exp(-2 * dose))).astype(np.int64)
            vectors = generator.normal(size=(2000, 4))
            vectors[:, 0] += 2 * dose
            vectors[:, 1] += dose**2
            split = scanned(seed, 0.0, EVEN)
            background = replace(
                split.background,
                spaces={space: np.zeros((2000, 4), np.float32) for space in ("common", "salient")},
                attributes={"ill": np.full(2000, -1), "dose": generator.normal(size=2000)},
            )
            spaces = {space: np.float32(vectors) for space in ("common", "salient")}
            return EncodedSplit(background, EncodedPopulation(spaces, {"ill": ill, "dose": dose}))

        found = by_metric(read(dosed(0), dosed(1), (ILL, DOSE)).scores)

        assert found["auc"].value > 0.8
        assert found["adjusted_auc"].value == pytest.approx(0.5, abs=3 * found["adjusted_auc"].standard_error)


class TestUnseenLevels:
    def test_a_rule_that_differs_from_site_to_site_does_not_carry_over(self) -> None:
        def turned(split: EncodedSplit) -> EncodedSplit:
            vectors = split.target.spaces["salient"].copy()
            site, ill = split.target.attributes["site"], split.target.attributes["ill"]
            vectors[np.arange(len(site)), site + 1] += 3 * ill
            return replace(split, target=replace(split.target, spaces={"common": vectors, "salient": vectors}))

        train, test = turned(scanned(0, 0.0, EVEN)), turned(scanned(1, 0.0, EVEN))
        found = by_metric(read(train, test, (ILL, SITE)).scores)

        assert found["adjusted_auc"].value > 0.75
        assert found["unseen_level_auc"].value == pytest.approx(0.5, abs=3 * found["unseen_level_auc"].standard_error)

    @pytest.mark.parametrize("sites", [1, 2])
    def test_fewer_than_three_levels_cannot_be_left_out(self, sites: int) -> None:
        def few(split: EncodedSplit) -> EncodedSplit:
            parts = [
                replace(part, attributes={**part.attributes, "site": part.attributes["site"] % sites}) for part in split
            ]
            return EncodedSplit(*parts)

        scoring = read(few(scanned(0, 0.8, EVEN)), few(scanned(1, 0.8, EVEN)), (ILL, SITE))

        assert {(item.metric, item.reason) for item in scoring.unmeasured} == {
            ("unseen_level_auc", "fewer than 3 levels of the nuisances can be scored apart")
        }
        assert by_metric(scoring.scores)["adjusted_auc"].value == pytest.approx(0.71, abs=0.04)

    def test_more_levels_than_can_be_left_out_singly_go_in_lots(self) -> None:
        levels = np.arange(50)
        lots = lots_of(levels, levels[::-1])

        assert set(lots[0]) == set(range(MOST_LEVELS))
        np.testing.assert_array_equal(lots[0], lots[1][::-1])
        few = lots_of(levels[:5], levels[:5])[0]
        assert len(set(few)) == 5

    def test_a_site_that_training_has_never_seen_is_scored_within_itself(self) -> None:
        train, test = scanned(0, 0.8, EVEN), scanned(1, 0.8, EVEN)
        known = train.target.attributes["site"] < 3
        fewer = EncodedPopulation(
            {space: vectors[known] for space, vectors in train.target.spaces.items()},
            {name: values[known] for name, values in train.target.attributes.items()},
        )

        found = by_metric(read(replace(train, target=fewer), test, (ILL, SITE)).scores)

        assert found["adjusted_auc"].n_test == 2000
        assert found["adjusted_auc"].value == pytest.approx(0.70, abs=0.04)
        assert found["unseen_level_auc"].value == pytest.approx(0.70, abs=0.04)

    @pytest.mark.parametrize("attribute", [ILL, SEVERITY])
    def test_a_site_may_have_supplied_one_population_alone(self, attribute: Attribute) -> None:
        """Site a only target images, site d only background ones, as where one hospital sends patients."""
        common = replace(attribute, space="common")
        splits = []
        for seed in (0, 1):
            split = scanned(seed, 1.0, EVEN, 400)
            known = {name: split.target.attributes[name] for name in ("ill", "severity")}
            sites = np.random.default_rng(seed).integers(0, 3, (2, 400))
            background = {**known, "site": sites[0] + 1}
            target = {**known, "site": sites[1]}
            spaces = split.target.spaces
            splits.append(EncodedSplit(EncodedPopulation(spaces, background), EncodedPopulation(spaces, target)))

        found = read(*splits, (common, SITE)).scores

        unseen = [score for score in found if score.metric.startswith("unseen_level")]
        assert [score.population for score in unseen] == ["target", "background"] * 2


class TestWithout:
    def test_is_what_least_squares_leaves(self) -> None:
        train, test = scanned(0, 0.8, CONFOUNDED), scanned(1, 0.8, CONFOUNDED)
        nuisances = nuisances_of(train, test, (ILL, SITE))
        rows = 2000 + np.arange(2000)

        left, left_of_test = without(nuisances, rows, train.features("salient"), test.features("salient"))

        site, tested = train.target.attributes["site"], test.target.attributes["site"]
        means = np.array([train.target.vectors("salient")[site == code].mean(axis=0) for code in range(4)])
        np.testing.assert_allclose(left[rows], train.target.vectors("salient") - means[site], atol=1e-12)
        np.testing.assert_allclose(left_of_test[rows], test.target.vectors("salient") - means[tested], atol=1e-12)

    def test_a_feature_that_says_the_site_alone_is_gone_and_not_its_rounding(self) -> None:
        train, test = scanned(0, 0.0, CONFOUNDED), scanned(1, 0.0, CONFOUNDED)
        nuisances = nuisances_of(train, test, (ILL, SITE))
        code = 1e6 + 0.1 * np.c_[nuisances.train, 2.0 * nuisances.train_levels]

        left, _ = without(nuisances, np.arange(4000), code, code)

        np.testing.assert_array_equal(left, 0)


class TestLevels:
    def test_are_combinations_of_classes_and_of_fifths_of_numbers(self) -> None:
        split = scanned(0, 0.0, EVEN)
        parts = [
            replace(part, attributes={**part.attributes, "dose": np.linspace(0, 1, len(part))[::-1]}) for part in split
        ]
        both = EncodedSplit(*parts)

        nuisances = nuisances_of(both, both, (ILL, SITE, DOSE))

        assert len(np.unique(nuisances.train_levels)) == 4 * 5
        np.testing.assert_array_equal(nuisances.train_levels, nuisances.test_levels)
        assert nuisances.train.shape == (4000, 4 + 2)

    def test_there_are_none_without_nuisances(self) -> None:
        nuisances = nuisances_of(scanned(0, 0.0, EVEN), scanned(1, 0.0, EVEN), (ILL,))

        assert not nuisances.are_there
        assert set(nuisances.test_levels) == {0}


def changed(split: EncodedSplit, site: int | float, kind: str) -> EncodedSplit:
    values = np.full(len(split.target), site, np.int64 if kind == "class" else np.float64)
    return EncodedSplit(*(replace(part, attributes={**part.attributes, "site": values}) for part in split))


@pytest.mark.parametrize(("site", "kind"), [(2, "class"), (-1, "class"), (3.5, "real"), (np.nan, "real")])
def test_a_nuisance_that_tells_nothing_changes_nothing(site: float, kind: str) -> None:
    train, test = (changed(scanned(seed, 0.8, EVEN), site, kind) for seed in (0, 1))

    found = by_metric(
        read(train, test, (ILL, replace(SITE, kind=kind, classes=SITES if kind == "class" else ()))).scores
    )

    assert found["auc"].value == 0.5
    assert found["adjusted_auc"].value == pytest.approx(naive(train, test).value, abs=0.005)


@pytest.fixture(scope="module")
def whole() -> Measured:
    return evaluate(scanned(0, 0.8, CONFOUNDED, 600), scanned(1, 0.8, CONFOUNDED, 600), (ILL, SITE), CONFIG)


class TestWholeEvaluation:
    """Where nuisances stand among all scores."""

    def test_a_nuisance_in_the_salient_space_is_a_leak_and_in_the_common_space_has_no_ideal(
        self, whole: Measured
    ) -> None:
        sites = [score for score in whole.scores if score.attribute == "site" and score.metric == "auc"]

        assert {(score.space, score.population): score.ideal for score in sites} == {
            (space, population): None if space == "common" else 0.5
            for space in ("common", "salient")
            for population in ("target", "background")
        }
        assert {score.space for score in sites if is_leak(score)} == {"salient"}
        assert {score.space for score in sites if score.p_value is not None} == {"salient"}
        assert {score.value > 0.7 for score in sites if score.population == "target"} == {True}

    def test_adjusted_scores_stand_beside_the_gap_and_not_in_it(self, whole: Measured) -> None:
        further = [score for score in whole.scores if score.space == "nuisance" or "_auc" in score.metric]

        expected = {
            ("nuisance", "auc"),
            *((s, f"{m}_auc") for s in ("common", "salient") for m in ("adjusted", "unseen_level")),
        }
        assert {(s.space, s.metric) for s in further if s.attribute == "ill"} == expected
        assert not any(is_term(score) for score in further)
        ideals = {(score.space, score.metric): score.ideal for score in further if score.attribute == "ill"}
        assert ideals["salient", "adjusted_auc"] == 1.0
        assert ideals["common", "adjusted_auc"] == 0.5
        assert ideals["nuisance", "auc"] is None

    def test_target_against_background_is_read_from_nuisances_too(self, whole: Measured) -> None:
        found = [s for s in whole.scores if s.attribute == "is_target" and s.space == "nuisance"]

        assert [(s.population, s.metric) for s in found] == [("all", "auc")]
        assert found[0].value == pytest.approx(0.5, abs=0.06)

    def test_nuisances_are_not_adjusted_for_themselves(self, whole: Measured) -> None:
        assert {s.metric for s in whole.scores if s.attribute == "site" and s.space == "salient"} == {
            *("balanced_accuracy", "accuracy", "auc", "knn_balanced_accuracy")
        }

    def test_without_nuisances_there_are_no_such_scores(self) -> None:
        plain = evaluate(scanned(0, 0.8, CONFOUNDED, 300), scanned(1, 0.8, CONFOUNDED, 300), (ILL,), CONFIG)

        assert not [s for s in plain.scores if s.space == "nuisance" or s.metric.startswith(("adjusted", "unseen"))]

    @pytest.mark.parametrize("nuisance", [SITE, replace(SITE, kind="real", classes=())], ids=["class", "real"])
    def test_no_training_images_at_all(self, nuisance: Attribute) -> None:
        def nothing(part: EncodedPopulation) -> EncodedPopulation:
            return EncodedPopulation(
                {space: vectors[:0] for space, vectors in part.spaces.items()},
                {name: values[:0] for name, values in part.attributes.items()},
            )

        test = scanned(1, 0.8, EVEN, 60)
        if nuisance.kind == "real":
            test = changed(test, 1.5, "real")
        train = EncodedSplit(*(nothing(part) for part in test))

        found = evaluate(train, test, (ILL, nuisance), CONFIG)

        assert {s.metric for s in found.scores} >= {"silhouette", "hsic"}
        assert not [s for s in found.scores if s.n_train]
