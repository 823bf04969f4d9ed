"""Papers' own protocols: their scores are those of scikit-learn by hand, on the data sets that they are defined for."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import StandardScaler

from cabench.data.dataset import SPACES, Attribute
from cabench.discovery import plugins
from cabench.errors import UserError
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.evaluation.protocols import PROTOCOLS, check_protocols, fit_default, protocol_scores, protocols_of
from cabench.evaluation.score import Score

OBJECT = Attribute("object", "common", "class", ("a", "b", "c", "d"))
DIGIT = Attribute("digit", "salient", "class", ("0", "1", "2"))
AGE = Attribute("age", "common", "real")
WEAK = {"object": 1.2, "digit": 1.5}  # so that no probe is perfect


class Cell(NamedTuple):
    """What a protocol is given."""

    train: EncodedSplit
    test: EncodedSplit
    attributes: tuple[Attribute, ...] = (OBJECT, DIGIT, AGE)


def population(generator: np.random.Generator, rows: int, is_target: bool) -> EncodedPopulation:
    """Every space holds both attributes; dimensions differ in scale, and populations in place and spread."""
    values = {
        "object": generator.integers(0, 4, rows),
        "digit": generator.integers(0, 3, rows) if is_target else np.full(rows, -1),
        "age": generator.normal(size=rows),
    }
    spaces = {}
    for space, mixed in (("common", "object"), ("salient", "digit")):
        features = generator.normal(size=(rows, 6))
        for name, strength in WEAK.items():
            features[:, :4] += (strength if name == mixed else 0.5) * np.eye(4)[values[name]]
        features = features * [20.0, 1.0, 1.0, 0.05, 1.0, 300.0] + [0, 50, 0, 0, 0, 0]
        spaces[space] = (features if is_target else 3 * features + 1).astype(np.float32)
    return EncodedPopulation(spaces, values)


@pytest.fixture
def cell() -> Cell:
    """Representations of 400 + 300 training and 200 + 250 test images."""
    generator = np.random.default_rng(0)

    def split(background: int, target: int) -> EncodedSplit:
        return EncodedSplit(population(generator, background, False), population(generator, target, True))

    return Cell(split(400, 300), split(200, 250))


def test_the_three_papers_have_a_protocol_each():
    assert list(PROTOCOLS) == ["sepclr", "sepvae", "double-infogan"]
    assert len({protocol.title for protocol in PROTOCOLS.values()}) == 3


def test_every_protocol_is_defined_for_a_data_set_that_there_is():
    for protocol in PROTOCOLS.values():
        assert set(protocol.datasets) & set(plugins("datasets"))


def test_a_protocol_for_its_data_sets_is_accepted():
    check_protocols([], ["planted"])
    for name, protocol in PROTOCOLS.items():
        check_protocols([name], protocol.datasets)


def test_an_unknown_protocol_is_refused_with_the_closest_match_even_where_there_is_no_data_set():
    with pytest.raises(UserError, match=r"Unknown protocol 'double_infogan'; did you mean 'double-infogan'\?"):
        check_protocols(["sepclr", "double_infogan"], [])


@pytest.mark.parametrize(
    ("name", "dataset", "message"),
    [
        ("sepclr", "dsprites", "'sepclr' is defined for cifar_mnist, celeba, chexpert, odir, not for 'dsprites'"),
        ("sepvae", "odir", "'sepvae' is defined for cifar_mnist, celeba, not for 'odir'"),
        ("double-infogan", "planted", "'double-infogan' is defined for cifar_mnist, celeba, dsprites, not for"),
    ],
)
def test_a_protocol_that_is_defined_for_none_of_the_data_sets_is_refused(name, dataset, message):
    with pytest.raises(UserError, match=re.escape(message)):
        check_protocols([name], [dataset])


def test_a_protocol_that_is_defined_for_one_of_the_data_sets_is_used_on_that_one():
    check_protocols(["sepclr"], ["dsprites", "cifar_mnist"])
    assert protocols_of("cifar_mnist", ["sepclr", "double-infogan"]) == ["sepclr", "double-infogan"]
    assert protocols_of("dsprites", ["sepclr", "double-infogan"]) == ["double-infogan"]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_representations_without_information_are_at_chance(name, cell):
    def blank(split):
        return EncodedSplit(
            *(
                replace(part, spaces={space: np.zeros((len(v), 1)) for space, v in part.spaces.items()})
                for part in split
            )
        )

    for dataset in PROTOCOLS[name].datasets:
        scores = protocol_scores(name, dataset, blank(cell.train), blank(cell.test), cell.attributes)
        assert scores
        assert all(s.value <= s.chance for s in scores)
        assert all(s.value == s.chance for s in scores if s.metric == "balanced_accuracy")
        assert all(s.converged for s in scores)


def rows(scale: float) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 200)
    return (generator.normal(size=(200, 8)) + np.eye(8)[labels]) * np.geomspace(1, scale, 8), labels


@pytest.mark.parametrize(("scale", "converges"), [(1.0, True), (1e4, False)])
def test_the_model_is_that_of_scikit_learn_and_non_convergence_is_told_without_a_warning(scale, converges):
    features, labels = rows(scale)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, converged = fit_default(features, labels)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        plain = LogisticRegression().fit(features, labels)
    np.testing.assert_array_equal(model.coef_, plain.coef_)
    assert converged is converges
    assert converged is not any(issubclass(warning.category, ConvergenceWarning) for warning in told)


def predicted(features: np.ndarray, labels: np.ndarray, tested: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression().fit(features, labels).predict(tested)


def table(dataset: str, cell) -> dict[tuple[str, ...], float]:
    scores = protocol_scores("sepclr", dataset, *cell)
    values = {(s.space, s.attribute, s.population, s.metric): s.value for s in scores}
    assert len(values) == len(scores)
    return values


class TestSepclr:
    """SepCLR's protocol against plain scikit-learn code written from method card C1."""

    def test_on_cifar_mnist_both_attributes_are_read_on_targets_alone(self, cell):
        expected = {}
        for space in SPACES:
            for name in ("object", "digit"):
                features, tested = (split.target.spaces[space].astype(float) for split in (cell.train, cell.test))
                labels, truth = (split.target.attributes[name] for split in (cell.train, cell.test))
                value = accuracy_score(truth, predicted(features, labels, tested))
                expected[space, name, "target", "accuracy"] = pytest.approx(value, abs=1e-12)
        assert table("cifar_mnist", cell) == expected

    @pytest.mark.parametrize("dataset", ["celeba", "chexpert", "odir"])
    def test_elsewhere_balanced_accuracy_and_target_against_background_on_all_images(self, dataset, cell):
        expected = {}
        for space in SPACES:
            for name in ("object", "digit"):
                features, tested = (split.target.spaces[space].astype(float) for split in (cell.train, cell.test))
                labels, truth = (split.target.attributes[name] for split in (cell.train, cell.test))
                value = balanced_accuracy_score(truth, predicted(features, labels, tested))
                expected[space, name, "target", "balanced_accuracy"] = pytest.approx(value, abs=1e-12)
            features, tested = (
                np.concatenate([split.background.spaces[space], split.target.spaces[space]]).astype(float)
                for split in (cell.train, cell.test)
            )
            value = balanced_accuracy_score([0] * 200 + [1] * 250, predicted(features, [0] * 400 + [1] * 300, tested))
            expected[space, "is_target", "all", "balanced_accuracy"] = pytest.approx(value, abs=1e-12)
        assert table(dataset, cell) == expected

    def test_features_are_not_scaled(self, cell):
        scaler = StandardScaler().fit(cell.train.target.spaces["salient"])
        features, tested = (scaler.transform(split.target.spaces["salient"]) for split in (cell.train, cell.test))
        labels, truth = (split.target.attributes["digit"] for split in (cell.train, cell.test))
        scaled = accuracy_score(truth, predicted(features, labels, tested))
        assert table("cifar_mnist", cell)["salient", "digit", "target", "accuracy"] != pytest.approx(scaled, abs=1e-3)

    def test_scores_carry_chance_ideal_and_how_many_images(self, cell):
        (score,) = [
            s for s in protocol_scores("sepclr", "cifar_mnist", *cell) if (s.space, s.attribute) == ("common", "digit")
        ]
        majority = np.bincount(cell.test.target.attributes["digit"]).max() / 250
        assert (score.attribute_space, score.chance, score.ideal) == ("salient", majority, majority)
        assert (score.n_train, score.n_test) == (300, 250)


def expected_accuracy(cell, space: str, name: str, scaled_by: str = "all") -> float:
    """Accuracy on target images, of features standardised by all training rows or by target rows alone."""
    parts = {"all": list(cell.train), "target": [cell.train.target]}[scaled_by]
    scaler = StandardScaler().fit(np.concatenate([part.spaces[space] for part in parts]).astype(float))
    features, tested = (scaler.transform(split.target.spaces[space].astype(float)) for split in (cell.train, cell.test))
    labels, truth = (split.target.attributes[name] for split in (cell.train, cell.test))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(max_iter=100).fit(features, labels)
    return accuracy_score(truth, model.predict(tested))


class TestSepvae:
    """SepVAE's protocol against plain scikit-learn code written from method card C2."""

    @pytest.mark.parametrize(("dataset", "names"), [("cifar_mnist", ("object", "digit")), ("celeba", ("digit",))])
    def test_scores_are_those_of_scikit_learn_on_targets(self, cell, dataset, names):
        scores = protocol_scores("sepvae", dataset, *cell)
        assert {(s.space, s.attribute, s.population, s.metric): s.value for s in scores} == {
            (space, name, "target", "accuracy"): pytest.approx(expected_accuracy(cell, space, name), abs=1e-12)
            for space in SPACES
            for name in names
        }
        assert {(s.n_train, s.n_test) for s in scores} == {(300, 250)}

    def test_background_images_take_part_in_the_scaling(self, cell):
        values = {(s.space, s.attribute): s.value for s in protocol_scores("sepvae", "cifar_mnist", *cell)}
        alone = {place: expected_accuracy(cell, *place, scaled_by="target") for place in values}
        assert values != pytest.approx(alone, abs=1e-3)

    def test_a_constant_feature_does_no_harm(self, cell):
        def widened(split):
            parts = []
            for part in split:
                constant = np.full((len(part), 1), 0.1, np.float32)
                spaces = {space: np.concatenate([values, constant], axis=1) for space, values in part.spaces.items()}
                parts.append(replace(part, spaces=spaces))
            return EncodedSplit(*parts)

        plain = protocol_scores("sepvae", "cifar_mnist", *cell)
        wide = protocol_scores("sepvae", "cifar_mnist", widened(cell.train), widened(cell.test), cell.attributes)
        assert [s.value for s in wide] == pytest.approx([s.value for s in plain], abs=0.005)


SHAPE = Attribute("shape", "salient", "class", ("square", "ellipse", "heart"))


FACTORS = (SHAPE, *(Attribute(name, "salient", "real") for name in ("scale", "orientation", "x", "y")))


def folds(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return cross_val_score(LogisticRegression(), features.astype(float), labels, cv=5)


def by_place(scores: tuple[Score, ...]) -> dict[tuple[str, ...], Score]:
    return {(s.space, s.attribute, s.population, s.metric): s for s in scores}


def sprites(features: np.ndarray, factors: np.ndarray) -> EncodedSplit:
    values = {a.name: factors[:, k].astype(int if a.kind == "class" else float) for k, a in enumerate(FACTORS)}
    spaces = {"common": features.astype(np.float32), "salient": features.astype(np.float32)}
    part = EncodedPopulation(spaces, values)
    undefined = {a.name: np.full(len(factors), a.undefined()) for a in FACTORS}
    return EncodedSplit(replace(part, attributes=undefined), part)


def factor_vae_of(features: np.ndarray, factors: np.ndarray) -> Score:
    split = sprites(features, factors)
    scores = by_place(protocol_scores("double-infogan", "dsprites", split, split, FACTORS))
    return scores["salient", "salient_attributes", "target", "factor_vae"]


def drawn_factors(generator: np.random.Generator) -> np.ndarray:
    return generator.integers(0, [3, 6, 10, 8, 8], (2000, 5))


class TestDoubleInfogan:
    """Double InfoGAN's protocol against plain scikit-learn code written from method cards C3 and C4."""

    def test_on_cifar_mnist_the_digit_is_read_on_targets_and_the_object_on_all_images(self, cell):
        scores = by_place(protocol_scores("double-infogan", "cifar_mnist", *cell))
        test = cell.test
        expected = {}
        for space in SPACES:
            expected[space, "digit", "target", "accuracy"] = folds(
                test.target.spaces[space], test.target.attributes["digit"]
            )
            expected[space, "object", "all", "accuracy"] = folds(
                np.concatenate([part.spaces[space] for part in test]),
                np.concatenate([part.attributes["object"] for part in test]),
            )
        assert set(scores) == set(expected)
        for place, accuracies in expected.items():
            assert scores[place].value == pytest.approx(accuracies.mean(), abs=1e-12)
            assert scores[place].standard_error == pytest.approx(accuracies.std(ddof=1) / 5**0.5, abs=1e-12)
        assert {(s.attribute, s.n_train, s.n_test) for s in scores.values()} == {("digit", 0, 250), ("object", 0, 450)}

    def test_on_celeba_only_the_salient_attribute_is_read(self, cell):
        scores = by_place(protocol_scores("double-infogan", "celeba", *cell))
        assert {place[1:] for place in scores} == {("digit", "target", "accuracy")}

    def test_training_images_take_no_part(self, cell):
        shuffled = np.random.default_rng(1).permutation(300)
        target = cell.train.target
        spaces = {space: values[shuffled] for space, values in target.spaces.items()}
        other = replace(cell.train, target=replace(target, spaces=spaces))
        assert protocol_scores("double-infogan", "cifar_mnist", other, *cell[1:]) == protocol_scores(
            "double-infogan", "cifar_mnist", *cell
        )

    @pytest.mark.parametrize("rare", [0, 4])
    def test_a_class_with_fewer_images_than_folds_gives_no_score(self, cell, rare):
        values = np.repeat([0, 1], [250 - rare, rare])
        target = cell.test.target
        test = replace(cell.test, target=replace(target, attributes={**target.attributes, "digit": values}))
        scores = by_place(protocol_scores("double-infogan", "cifar_mnist", cell.train, test, cell.attributes))
        assert {place[1] for place in scores} == {"object"}

    def test_one_dimension_a_factor_gives_a_factor_vae_score_of_one(self) -> None:
        generator = np.random.default_rng(0)
        factors = drawn_factors(generator)
        disentangled = factors[:, [3, 0, 4, 2, 1]] * np.array([1e-3, 5.0, -100.0, 1.0, 7.0])
        score = factor_vae_of(disentangled, factors)
        assert (score.value, score.ideal, score.n_test) == (1.0, 1.0, 2000)

    def test_noise_gives_a_factor_vae_score_near_chance(self) -> None:
        generator = np.random.default_rng(0)
        score = factor_vae_of(generator.normal(size=(2000, 5)), drawn_factors(generator))
        assert 0.2 <= score.chance < 0.25
        # Each dimension's majority is counted on the votes themselves, which is worth a few points.
        assert score.chance < score.value < score.chance + 0.1

    def test_a_mixed_space_gives_what_another_draw_of_groups_gives(self) -> None:
        generator = np.random.default_rng(0)
        factors = drawn_factors(generator)
        features = np.concatenate(
            [factors[:, :2] + 0.3 * generator.normal(size=(2000, 2)), factors @ np.ones((5, 3))], 1
        )
        features = features + generator.normal(size=features.shape) * [0, 0, 1, 1, 1]
        votes = np.zeros((5, 5))
        for _ in range(500):
            factor = generator.integers(5)
            group = generator.choice(
                np.flatnonzero(factors[:, factor] == factors[generator.integers(2000), factor]), 100
            )
            votes[(features[group].var(axis=0) / features.var(axis=0)).argmin(), factor] += 1
        assert 0.3 < votes.max(axis=1).sum() / 500 < 0.9
        assert factor_vae_of(features, factors).value == pytest.approx(votes.max(axis=1).sum() / 500, abs=0.06)

    def test_a_constant_salient_space_has_no_factor_vae_score(self) -> None:
        split = sprites(np.ones((100, 5)), drawn_factors(np.random.default_rng(0))[:100])
        scores = protocol_scores("double-infogan", "dsprites", split, split, FACTORS)
        assert {s.metric for s in scores} == {"accuracy"}
