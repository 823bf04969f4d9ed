"""What blocks of test rows add to scores and to the gap: what is lost without them, and the spread over their draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cabench.data.dataset import Attribute
from cabench.evaluation import nuisances, probe_scores
from cabench.evaluation.contributions import Contributions
from cabench.evaluation.encoded import BLOCKS, EncodedPopulation, EncodedSplit
from cabench.evaluation.evaluate import Measured, evaluate
from cabench.evaluation.gap import Estimate, separation
from cabench.evaluation.grouped import sampled
from cabench.evaluation.nuisances import NuisanceReader, nuisances_of
from cabench.evaluation.probe_scores import ProbeGrid
from cabench.evaluation.probes import ProbeConfig
from cabench.evaluation.questions import questions
from cabench.evaluation.score import Score, Scoring

CONFIG = ProbeConfig(penalties=(0.1,))
OBJECT = Attribute("object", "common", "class", ("a", "b", "c"))
DEPTH = Attribute("depth", "common", "real")
KIND = Attribute("kind", "salient", "class", ("x", "y"))
SIZE = Attribute("size", "salient", "real")
SITE = Attribute("site", "nuisance", "class", ("p", "q"))
ALL = (OBJECT, DEPTH, KIND, SIZE, SITE)
HALVES = ("gap", "wanted", "leaked")
SUBJECTS = 24


def told(seed: int, n: int, subjects: int | None = None) -> EncodedSplit:
    """Each space tells much of its own attributes and a part of the other's. Subjects differ in vectors and in size."""
    generator = np.random.default_rng(seed)
    parts = []
    for is_target in (False, True):
        values: dict[str, np.ndarray] = {
            "object": generator.integers(0, 3, n),
            "depth": generator.normal(size=n),
            "kind": generator.integers(0, 2, n),
            "size": generator.normal(size=n),
            "site": generator.integers(0, 2, n),
        }
        own = np.c_[np.eye(3)[values["object"]] * 1.5, values["depth"], np.zeros(n)]
        salient = np.c_[1.5 * values["kind"], values["size"], np.zeros((n, 2)), values["site"]] * is_target
        salient[:, 2] += 1.5 * is_target
        common = own + 0.6 * salient + generator.normal(size=(n, 5))
        salient = salient + 0.4 * own + generator.normal(size=(n, 5))
        groups = None
        if subjects:
            sizes = np.arange(1, subjects + 1)
            which = np.r_[np.arange(subjects), generator.choice(subjects, n - subjects, p=sizes / sizes.sum())]
            offsets = np.random.default_rng(seed + 1000).normal(0, 0.5, (subjects, 10))[which]
            common, salient = common + offsets[:, :5], salient + offsets[:, 5:]
            groups = np.array([f"s{name}" for name in which], object)
        if not is_target:
            values |= {"kind": np.full(n, -1), "size": np.full(n, np.nan)}
        parts.append(EncodedPopulation({"common": np.float32(common), "salient": np.float32(salient)}, values, groups))
    return EncodedSplit(*parts)


@pytest.fixture
def fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes of the same rows are fitted once: the tests here take many test splits of one training split."""

    def once(fit: Callable[..., Any]) -> Callable[..., Any]:
        known: dict[bytes, Any] = {}

        def remembered(features: np.ndarray, labels: np.ndarray, *rest: Any) -> Any:
            key = features.tobytes() + labels.tobytes()
            if key not in known:
                known[key] = fit(features, labels, *rest)
            return known[key]

        return remembered

    for module, names in (
        (probe_scores, ("class_probe", "real_probe", "class_neighbours", "real_neighbours")),
        (nuisances, ("class_probe", "real_probe")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, once(getattr(module, name)))


def probed(train: EncodedSplit, test: EncodedSplit) -> Scoring:
    """All scores of the probe grid."""
    scoring = Scoring(test.blocks.count)
    grid = ProbeGrid(scoring, train, test, np.zeros(len(test.is_target()), np.int64), CONFIG)
    for question in questions(ALL):
        grid.read(question)
    return scoring


def adjusted(train: EncodedSplit, test: EncodedSplit) -> Scoring:
    """These and all scores that nuisances have a part in."""
    scoring = probed(train, test)
    reader = NuisanceReader(scoring, train, test, nuisances_of(train, test, ALL), CONFIG)
    for question in questions(ALL):
        if question.attribute.space != "nuisance":
            reader.read(question)
    return scoring


def is_clipped(score: Score) -> bool:
    """Whether a correlation is negative, so that 0 stands in its place."""
    return "correlation" in score.metric and score.value == 0


def without(split: EncodedSplit, kept: np.ndarray) -> EncodedSplit:
    """Some of the rows, bool (n,), background first."""
    parts = []
    for part, rows in zip(split, np.split(kept, [len(split.background)]), strict=True):
        groups = None if part.groups is None else part.groups[rows]
        spaces = {space: vectors[rows] for space, vectors in part.spaces.items()}
        parts.append(EncodedPopulation(spaces, {name: v[rows] for name, v in part.attributes.items()}, groups))
    return EncodedSplit(*parts)


def added(estimate: Estimate, parts: Sequence[Contributions]) -> np.ndarray:
    """What each block adds to something made of scores."""
    terms = [slope * parts[index].values for index, slope in estimate.slopes.items() if parts[index].values is not None]
    total: np.ndarray = np.sum(terms, axis=0)
    return total


def halves(scores: Sequence[Score]) -> dict[str, Estimate]:
    found = separation(scores)
    assert found is not None
    return found._asdict()


@pytest.mark.usefixtures("fitted_once")
@pytest.mark.parametrize("subjects", [None, SUBJECTS], ids=["rows", "subjects"])
def test_contributions_agree_with_leaving_out_one_block_at_a_time(subjects: int | None) -> None:
    train, test = told(0, 400), told(1, 400, subjects)
    scoring, blocks = adjusted(train, test), test.blocks
    taken = range(0, blocks.count, 1 if subjects else 25)

    losses, clipped = [], [is_clipped(score) for score in scoring.scores]
    for block in taken:
        other = adjusted(train, without(test, blocks.codes != block))
        assert len(other.scores) == len(scoring.scores)
        clipped = [one or is_clipped(score) for one, score in zip(clipped, other.scores, strict=True)]
        before, after = halves(scoring.scores), halves(other.scores)
        losses.append(
            [one.value - two.value for one, two in zip(scoring.scores, other.scores, strict=True)]
            + [before[half].value - after[half].value for half in HALVES]
        )

    expected = np.array(losses) * (blocks.count - 1) / blocks.count
    found = [part.values for part in scoring.contributions]
    found += [added(halves(scoring.scores)[half], scoring.contributions) for half in HALVES]
    names = [(s.attribute, s.space, s.population, s.metric) for s in scoring.scores] + [(half,) for half in HALVES]
    clipped += [False] * len(HALVES)
    assert len(names) - sum(clipped) > 75
    for name, contributions, lost, is_flat in zip(names, found, expected.T, clipped, strict=True):
        assert contributions is not None, name
        assert contributions.sum() == pytest.approx(0, abs=1e-12), name
        if not is_flat:
            tolerance = 0.25 * np.abs(lost).max() + 1e-12
            np.testing.assert_allclose(contributions[taken], lost, atol=tolerance, err_msg=str(name))
            if lost.any():
                assert np.corrcoef(contributions[taken], lost)[0, 1] > 0.99, name


@pytest.mark.usefixtures("fitted_once")
def test_errors_of_scores_and_gap_are_the_spread_over_fresh_draws_of_subjects() -> None:
    train = told(0, 400)
    drawn = [probed(train, told(seed, 240, SUBJECTS)) for seed in range(10, 50)]

    spread = np.std([[item.value for item in scoring.scores] for scoring in drawn], axis=0)
    errors = np.array([[item.standard_error for item in scoring.scores] for scoring in drawn], float)
    # 40 draws tell a spread to 11 %, and 24 unequal subjects their own to some 25 %, on average to less.
    never_clipped = ~np.any([[is_clipped(item) for item in scoring.scores] for scoring in drawn], axis=0)
    ratios = np.sqrt(np.mean(errors**2, axis=0))[never_clipped] / spread[never_clipped]
    assert len(ratios) > 40
    assert 0.9 < np.median(ratios) < 1.15
    # Those of numbers lie on the safe side, as they are of groups that are left out whole.
    assert ratios.min() > 1 / 1.4
    assert ratios.max() < 1.6
    for half in HALVES:
        values, variances = [], []
        for scoring in drawn:
            estimate = halves(scoring.scores)[half]
            first = scoring.contributions[0]
            values.append(estimate.value)
            variances.append(sampled(added(estimate, scoring.contributions), first.rows, np.zeros(SUBJECTS)).variance)
        assert np.sqrt(np.mean(variances)) == pytest.approx(np.std(values), rel=0.25), half


@pytest.fixture(scope="module")
def whole() -> Measured:
    return evaluate(told(0, 300), told(1, 1500), (OBJECT, DEPTH, KIND, SIZE), CONFIG)


class TestPooled:
    """Rows without groups, in blocks of some of them."""

    def test_there_are_as_many_blocks_as_are_said_and_each_is_of_one_population(self, whole: Measured) -> None:
        table = whole.contributions

        assert len(table.rows) == 2 * BLOCKS
        assert set(table.rows) == {15}
        assert np.bincount(table.strata).tolist() == [BLOCKS, BLOCKS]
        assert list(table.names) == []

    def test_they_tell_the_same_spread_as_all_rows_do(self, whole: Measured) -> None:
        ratios = []
        for score, part in zip(whole.scores, whole.contributions.scores, strict=True):
            if part.values is not None and score.metric not in ("silhouette", "hsic"):
                variance = sampled(part.values, part.rows, part.strata).variance
                ratios.append(np.sqrt(variance) / score.standard_error)

        assert len(ratios) > 30
        # 100 blocks tell a spread to 7 %.
        assert 0.95 < np.mean(ratios) < 1.05
        assert (np.abs(np.log(ratios)) < 0.3).all()

    def test_fewer_rows_than_blocks_are_blocks_themselves(self) -> None:
        found = evaluate(told(0, 60), told(1, 40), (KIND,), CONFIG).contributions

        assert found.rows.tolist() == [1] * 80

    def test_of_background_rows_nothing_comes_to_what_is_read_of_targets(self, whole: Measured) -> None:
        for score, part in zip(whole.scores, whole.contributions.scores, strict=True):
            inside = part.rows > 0
            expected = {"target": 1, "background": 0}
            if score.population in expected:
                assert set(whole.contributions.strata[inside]) == {expected[score.population]}
            if part.values is not None:
                assert not part.values[~inside].any()


class TestSubjects:
    """Rows of subjects, in a block each."""

    def test_blocks_bear_their_names_in_the_order_of_their_first_rows(self) -> None:
        split = told(1, 100, 10)
        mixed = EncodedSplit(split.background, replace(split.target, groups=np.array(["s3", "new"] * 50, object)))

        found = evaluate(told(0, 60), mixed, (KIND,), CONFIG).contributions

        assert list(found.names) == [*(f"s{index}" for index in range(10)), "new"]
        assert found.rows.sum() == 200
        assert set(found.strata) == {0}  # one subject has images of both populations

    def test_rows_without_a_subject_are_pooled_beside_subjects(self) -> None:
        split = told(1, 150, 5)
        some = EncodedSplit(split.background, replace(split.target, groups=np.full(150, "", object)))

        found = evaluate(told(0, 60), some, (KIND,), CONFIG).contributions

        assert sorted(found.names) == [""] * 100 + [f"s{index}" for index in range(5)]
        assert [found.strata[[bool(name) is known for name in found.names]].tolist() for known in (True, False)] == [
            [0] * 5,
            [1] * 100,
        ]
        assert sorted(found.rows[found.strata == 1]) == [1] * 50 + [2] * 50
