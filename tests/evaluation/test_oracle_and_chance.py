"""The whole pipeline on methods whose scores theory gives: what it says of them is what it is worth."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import pytest

from cabench.evaluation.score import Score
from cabench.experiment.plan import resolve
from cabench.experiment.progress import make_reporter
from cabench.experiment.record import Record
from cabench.experiment.request import Request
from cabench.experiment.runner import Runner
from cabench.experiment.store import ResultsStore
from cabench.experiment.task import tasks_of
from cabench.hardening.journal import Journal

CLASS_METRICS = ("balanced_accuracy", "accuracy", "auc", "knn_balanced_accuracy")
REAL_METRICS = ("correlation", "r2", "knn_correlation")
LINEAR = ("balanced_accuracy", "accuracy", "auc", "correlation", "r2")
EITHER_SPACE = (*CLASS_METRICS, *REAL_METRICS, "knn_auc", "silhouette")
CLASSES = 3  # of both planted classes
EXACT = 1e-12  # sums of a few fractions, rounded


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Record]]:
    """One record of each method on `planted`, as the command line computes them, read back from disk."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CABENCH_CACHE", str(folder / "cache"))
        request = Request(
            methods="oracle,chance,pca",
            datasets="planted",
            seeds="0",
            profile="smoke",
            sets=[],
            device="cpu",
            precision="fp32",
            data_root=None,
            controls=False,
        )
        reporter = make_reporter()
        experiment = resolve(request, say=reporter.say)
        store = ResultsStore(folder / "results")
        Runner(store, experiment.device, reporter).run(tasks_of(experiment.cells, store, False, Journal()))
        yield {record.method["label"]: record for record in store.records()}


def wanted(record: Record) -> list[Score]:
    return [score for score in record.scores if score.space == score.attribute_space]


def leaks(record: Record) -> list[Score]:
    return [score for score in record.scores if score.space != score.attribute_space]


def pick(record: Record, metric: str, attribute: str = "", space: str = "") -> Score:
    (found,) = (
        score
        for score in record.scores
        if score.metric == metric and attribute in ("", score.attribute) and space in ("", score.space)
    )
    return found


def test_all_cells_end_well(records: dict[str, Record]) -> None:
    assert {label: (record.status, record.error) for label, record in records.items()} == {
        "oracle": ("ok", None),
        "chance": ("ok", None),
        "pca": ("ok", None),
    }


def test_every_score_is_measured_or_said_not_to_be_once(records: dict[str, Record]) -> None:
    probes = {
        *product(("common_class",), ("target", "background"), CLASS_METRICS),
        *product(("common_level",), ("target", "background"), REAL_METRICS),
        *product(("salient_class",), ("target",), CLASS_METRICS),
        *product(("salient_level",), ("target",), REAL_METRICS),
        *product(("is_target",), ("all",), ("auc", "knn_auc", "silhouette")),
        ("other_space", "target", "space_r2"),
    }
    expected = {(space, *probe) for space in ("common", "salient") for probe in probes} | {
        ("common", "other_space", "target", "hsic"),
        ("salient", "is_target", "all", "norm_ratio"),
        *product(("salient",), ("salient_class",), ("target",), ("kmeans_ari", "kmeans_nmi")),
        *product(("salient",), ("salient_class", "salient_level"), ("target",), ("mig",)),
        *product(("salient",), ("salient_attributes",), ("target",), ("dci_disentanglement", "dci_completeness")),
    }
    for record in records.values():
        entries = (*record.scores, *record.unmeasured)
        found = [(item.space, item.attribute, item.population, item.metric) for item in entries]
        assert sorted(found) == sorted(expected)


def test_only_chance_has_nothing_to_measure_structure_on(records: dict[str, Record]) -> None:
    assert {label: len(record.unmeasured) for label, record in records.items()} == {"oracle": 0, "chance": 10, "pca": 0}
    assert {item.metric: item.reason for item in records["chance"].unmeasured} == {
        "norm_ratio": "the salient vectors of all target images are zero",
        "silhouette": "all vectors are equal",
        "hsic": "the common vectors of all images are equal",
        "space_r2": "the space to predict is constant",
        "kmeans_ari": "there are fewer distinct vectors than the 3 classes",
        "kmeans_nmi": "there are fewer distinct vectors than the 3 classes",
        "dci_disentanglement": "the representation has one dimension",
        "dci_completeness": "the representation has one dimension",
    }


class TestOracle:
    def test_reads_every_class_and_population_without_error(self, records: dict[str, Record]) -> None:
        scores = [score for score in wanted(records["oracle"]) if score.metric in (*CLASS_METRICS, "knn_auc")]

        assert len(scores) == 3 * 4 + 2
        assert [(score.value, score.standard_error) for score in scores] == [(1.0, 0.0)] * len(scores)

    def test_reads_every_real_value_but_for_what_ridge_regression_shrinks(self, records: dict[str, Record]) -> None:
        scores = [score for score in wanted(records["oracle"]) if score.metric == "r2"]

        assert sorted((score.attribute, score.n_train) for score in scores) == [
            ("common_level", 900),
            ("common_level", 900),
            ("salient_level", 450),
        ]
        for score in scores:
            # The level is uncorrelated with the other features. Without noise the weakest penalty, 1e-5, is chosen: it
            # takes 1e-5 / (1 + 1e-5) of the coefficient, and the square of that of R².
            assert 1 - score.value == pytest.approx((1e-5 / (1 + 1e-5)) ** 2, rel=1e-4)
        others = [score for score in wanted(records["oracle"]) if score.metric in ("correlation", "knn_correlation")]
        assert [score.value for score in others] == pytest.approx([1.0] * 6, abs=1e-9)

    def test_leaks_nothing_that_a_linear_probe_could_read(self, records: dict[str, Record]) -> None:
        scores = [score for score in leaks(records["oracle"]) if score.metric in (*LINEAR, "space_r2")]

        assert len(scores) == 3 * 3 + 3 * 2 + 1 + 2
        for score in scores:
            assert score.ideal == score.chance
            # Combinations of values are equally frequent, so that even an arbitrary answer to a useless feature is
            # right exactly as often as chance.
            assert abs(score.value - score.chance) < (1e-6 if score.metric.endswith("r2") else EXACT)

    def test_no_leak_stands_out(self, records: dict[str, Record]) -> None:
        tested = [score for score in records["oracle"].scores if score.p_familywise is not None]

        assert len(tested) == 3 + 3 + 1
        assert all(score.p_familywise > 0.2 for score in tested)

    def test_leaks_nothing_that_neighbours_could_show(self, records: dict[str, Record]) -> None:
        scores = [score for score in leaks(records["oracle"]) if score.metric.startswith("knn_")]

        assert len(scores) == 2 + 2 + 1 + 1 + 1
        for score in scores:
            assert score.value == pytest.approx(score.chance, abs=EXACT)

    def test_spaces_are_independent(self, records: dict[str, Record]) -> None:
        hsic = pick(records["oracle"], "hsic")

        assert hsic.value == pytest.approx(0, abs=EXACT)
        assert hsic.p_value == 1.0
        assert hsic.ideal == hsic.chance > 0

    def test_background_has_no_salient_vectors(self, records: dict[str, Record]) -> None:
        ratio = pick(records["oracle"], "norm_ratio")

        assert (ratio.value, ratio.ideal, ratio.standard_error) == (0.0, 0.0, 0.0)

    def test_populations_lie_apart_in_the_salient_space_alone(self, records: dict[str, Record]) -> None:
        common, salient = (pick(records["oracle"], "silhouette", space=space) for space in ("common", "salient"))

        # The same 450 vectors in either population: each is nearer to its own by its distance of 0 to itself.
        assert common.value == pytest.approx(-1 / 450, abs=1e-6)
        # Background vectors are all equal: their silhouette, half of the mean, is 1.
        assert salient.value > 0.5

    def test_clusters_are_the_classes(self, records: dict[str, Record]) -> None:
        rand, information = (pick(records["oracle"], metric) for metric in ("kmeans_ari", "kmeans_nmi"))

        assert rand.value == 1.0
        assert information.value == pytest.approx(1.0, abs=EXACT)

    def test_dimensions_hold_one_attribute_each(self, records: dict[str, Record]) -> None:
        shared = records["oracle"].dimension_r2

        assert shared["salient_class"] == pytest.approx([1, 1, 1, 0], abs=EXACT)
        assert shared["salient_level"] == pytest.approx([0, 0, 0, 1], abs=EXACT)
        assert pick(records["oracle"], "dci_disentanglement").value == pytest.approx(1.0, abs=1e-6)

    def test_a_one_hot_code_is_not_complete(self, records: dict[str, Record]) -> None:
        record = records["oracle"]

        # Three dimensions say the same of the class; one, and nothing else, says the level.
        assert pick(record, "mig", "salient_class").value == pytest.approx(0.0, abs=EXACT)
        assert pick(record, "mig", "salient_level").value == pytest.approx(1.0, abs=EXACT)
        expected = ((1 - math.log(3) / math.log(4)) + 1) / 2
        assert pick(record, "dci_completeness").value == pytest.approx(expected, abs=0.02)

    def test_has_no_separation_gap(self, records: dict[str, Record]) -> None:
        assert records["oracle"].separation_gap is not None
        assert 0 <= records["oracle"].separation_gap < 1e-9


class TestChance:
    def test_reaches_chance_exactly_in_both_spaces(self, records: dict[str, Record]) -> None:
        scores = records["chance"].scores

        assert len(scores) == 2 * (3 * 4 + 3 * 3 + 2) + 2
        for score in scores:
            assert score.value == pytest.approx(score.chance, abs=EXACT)
            if score.metric in ("auc", "knn_auc"):
                assert score.value == 0.5

    def test_no_dimension_shares_anything(self, records: dict[str, Record]) -> None:
        assert records["chance"].dimension_r2 == {"salient_class": [0.0], "salient_level": [0.0]}

    def test_separation_gap_is_a_half(self, records: dict[str, Record]) -> None:
        assert records["chance"].separation_gap == pytest.approx(0.5, abs=EXACT)
        assert records["chance"].leak_floor == pytest.approx(0.0, abs=EXACT)

    def test_accuracy_has_the_standard_error_of_a_binomial_fraction(self, records: dict[str, Record]) -> None:
        scores = [score for score in records["chance"].scores if score.metric == "accuracy"]

        assert {score.n_test for score in scores} == {450}
        for score in scores:
            assert score.standard_error == pytest.approx(math.sqrt(1 / 3 * 2 / 3 / 449))


class TestPca:
    def test_scores_the_same_in_both_spaces(self, records: dict[str, Record]) -> None:
        common, salient = (
            {
                (score.attribute, score.population, score.metric): score.value
                for score in records["pca"].scores
                if score.space == space and score.metric in EITHER_SPACE
            }
            for space in ("common", "salient")
        )

        assert common == salient

    def test_reads_every_planted_attribute_and_leaks_it_wholly(self, records: dict[str, Record]) -> None:
        # 32 components hold the few directions along which planted images vary most: every value can be read.
        linear = [score for score in records["pca"].scores if score.metric in LINEAR]

        assert all(score.value > 0.99 for score in linear)
        assert records["pca"].separation_gap == pytest.approx(0.5, abs=0.005)
        leaked = [score.p_familywise for score in linear if score.p_familywise is not None]
        assert leaked == [1 / 1000] * (3 + 3 + 1)

    def test_spaces_are_wholly_dependent(self, records: dict[str, Record]) -> None:
        hsic = pick(records["pca"], "hsic")

        assert hsic.value == pytest.approx(1.0, abs=EXACT)
        assert hsic.p_value == 1 / 200
        for space in ("common", "salient"):
            assert pick(records["pca"], "space_r2", space=space).value == pytest.approx(1.0, abs=1e-6)


def test_chance_of_every_metric_is_what_theory_gives(records: dict[str, Record]) -> None:
    expected = {
        **dict.fromkeys(CLASS_METRICS, 1 / CLASSES),
        **dict.fromkeys((*REAL_METRICS, "space_r2", "silhouette", "kmeans_ari", "mig"), 0.0),
        **dict.fromkeys(("dci_disentanglement", "dci_completeness"), 0.0),
        **dict.fromkeys(("auc", "knn_auc"), 0.5),
        "norm_ratio": 1.0,
    }

    for record in records.values():
        for score in record.scores:
            if score.metric in expected:
                assert score.chance == pytest.approx(expected[score.metric], abs=EXACT), score.metric
            else:
                # Depends on the images: what pairing vectors or clusters with other images gives.
                assert score.metric in ("hsic", "kmeans_nmi")
                assert 0 < score.chance < 0.1


def test_every_score_has_a_standard_error_but_those_of_disentanglement(records: dict[str, Record]) -> None:
    for record in records.values():
        for score in record.scores:
            assert score.converged
            if score.metric in ("mig", "dci_disentanglement", "dci_completeness"):
                assert score.standard_error is None
            else:
                assert score.standard_error is not None
                assert 0 <= score.standard_error < math.inf


def test_controls_that_learn_nothing_cost_no_images(records: dict[str, Record]) -> None:
    seen = {label: record.cost["images_seen"] for label, record in records.items()}

    assert seen == {"oracle": 0, "chance": 0, "pca": 900}
