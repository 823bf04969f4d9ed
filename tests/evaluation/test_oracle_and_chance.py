"""The whole pipeline on methods whose scores theory gives: what it says of them is what it is worth."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import pytest

from cabench.plan import Request, resolve
from cabench.progress import make_reporter
from cabench.record import Record, Score
from cabench.runner import Runner
from cabench.store import ResultsStore

MAIN = ("balanced_accuracy", "r2", "auc")
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
        Runner(store, experiment.device, reporter).run(experiment.cells, force=False)
        yield {record.method["label"]: record for record in store.records()}


def wanted(record: Record) -> list[Score]:
    return [score for score in record.scores if score.space == score.attribute_space]


def leaks(record: Record) -> list[Score]:
    return [score for score in record.scores if score.space != score.attribute_space]


def test_all_cells_end_well(records: dict[str, Record]) -> None:
    assert {label: (record.status, record.error) for label, record in records.items()} == {
        "oracle": ("ok", None),
        "chance": ("ok", None),
        "pca": ("ok", None),
    }


def test_every_probe_of_the_grid_is_there_once(records: dict[str, Record]) -> None:
    probes = {
        *product(("common_class",), ("target", "background"), ("balanced_accuracy", "accuracy")),
        *product(("common_level",), ("target", "background"), ("r2",)),
        *product(("salient_class",), ("target",), ("balanced_accuracy", "accuracy")),
        ("salient_level", "target", "r2"),
        ("is_target", "all", "auc"),
    }
    for record in records.values():
        found = [(score.space, score.attribute, score.population, score.metric) for score in record.scores]
        assert sorted(found) == sorted((space, *probe) for space in ("common", "salient") for probe in probes)


def test_oracle_reads_every_class_and_population_without_error(records: dict[str, Record]) -> None:
    scores = [score for score in wanted(records["oracle"]) if score.metric != "r2"]

    assert len(scores) == 7
    assert [(score.value, score.standard_error) for score in scores] == [(1.0, 0.0)] * 7


def test_oracle_reads_every_real_value_but_for_what_ridge_regression_shrinks(records: dict[str, Record]) -> None:
    scores = [score for score in wanted(records["oracle"]) if score.metric == "r2"]

    assert sorted((score.attribute, score.n_train) for score in scores) == [
        ("common_level", 900),
        ("common_level", 900),
        ("salient_level", 450),
    ]
    for score in scores:
        assert 1 - 1e-5 <= score.value <= 1
        # The level is uncorrelated with the other features. A penalty of 1 takes 1 / (n + 1) of its coefficient, and
        # the square of that of R²: 4.9e-6 for 450 rows, 1.2e-6 for 900.
        assert 1 - score.value == pytest.approx((score.n_train + 1) ** -2, rel=1e-4)


def test_oracle_leaks_nothing(records: dict[str, Record]) -> None:
    for score in leaks(records["oracle"]):
        assert score.ideal == score.chance
        # Combinations of values are equally frequent, so that even an arbitrary answer to a useless feature is right
        # exactly as often as chance.
        assert abs(score.value - score.chance) < (1e-6 if score.metric == "r2" else EXACT)


def test_oracle_has_no_separation_gap(records: dict[str, Record]) -> None:
    assert records["oracle"].separation_gap is not None
    assert 0 <= records["oracle"].separation_gap < 1e-5


def test_chance_reaches_chance_exactly_in_both_spaces(records: dict[str, Record]) -> None:
    for score in records["chance"].scores:
        assert score.value == pytest.approx(score.chance, abs=EXACT)
        if score.metric == "auc":
            assert score.value == 0.5


def test_chance_is_one_over_classes_a_half_for_auc_and_nothing_for_r2(records: dict[str, Record]) -> None:
    expected = {"balanced_accuracy": 1 / CLASSES, "accuracy": 1 / CLASSES, "r2": 0.0, "auc": 0.5}

    for record in records.values():
        for score in record.scores:
            assert score.chance == pytest.approx(expected[score.metric], abs=EXACT)


def test_separation_gap_of_chance_is_what_its_wanted_scores_lack(records: dict[str, Record]) -> None:
    main = [score for score in records["chance"].scores if score.metric in MAIN]
    lacking = sum(1 - score.chance for score in main if score.space == score.attribute_space)

    assert records["chance"].separation_gap == pytest.approx(lacking / len(main), abs=EXACT)


def test_pca_scores_the_same_in_both_spaces(records: dict[str, Record]) -> None:
    common, salient = (
        {
            (score.attribute, score.population, score.metric): score.value
            for score in records["pca"].scores
            if score.space == space
        }
        for space in ("common", "salient")
    )

    assert common == salient


def test_pca_reads_every_planted_attribute_and_leaks_it_wholly(records: dict[str, Record]) -> None:
    # 32 components hold the few directions along which planted images vary most, so that every value can be read.
    main = [score for score in records["pca"].scores if score.metric in MAIN]
    leaked = sum(1 - score.chance for score in main if score.space != score.attribute_space)

    assert all(score.value > 0.99 for score in main)
    assert records["pca"].separation_gap == pytest.approx(leaked / len(main), abs=0.01)


def test_every_score_has_a_finite_standard_error_and_a_converged_probe(records: dict[str, Record]) -> None:
    for record in records.values():
        for score in record.scores:
            assert math.isfinite(score.standard_error)
            assert score.standard_error >= 0
            assert score.converged


def test_accuracy_at_chance_has_the_standard_error_of_a_binomial_fraction(records: dict[str, Record]) -> None:
    scores = [score for score in records["chance"].scores if score.metric == "accuracy"]

    assert {score.n_test for score in scores} == {450}
    for score in scores:
        assert score.standard_error == pytest.approx(math.sqrt(1 / 3 * 2 / 3 / 450))


def test_controls_that_learn_nothing_cost_no_images(records: dict[str, Record]) -> None:
    seen = {label: record.cost["images_seen"] for label, record in records.items()}

    assert seen == {"oracle": 0, "chance": 0, "pca": 900}
