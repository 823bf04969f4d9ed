"""Probes: penalised models on standardised features, the penalty chosen on training rows, honest convergence."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cabench.config import ConfigError
from cabench.evaluation import probes
from cabench.evaluation.logistic import Softmax
from cabench.evaluation.probes import (
    NEIGHBOURS,
    Probe,
    ProbeConfig,
    Scaling,
    class_neighbours,
    class_probe,
    real_neighbours,
    real_probe,
)

CONFIG = ProbeConfig()


STRONGEST, WEAKEST = CONFIG.penalties[0], CONFIG.penalties[-1]


SAME = 5e-3  # log-odds of two fits to a gradient of 1e-5


def blobs(seed: int, classes: int = 3, n: int = 400, size: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping classes, in features of very different scales."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, n)
    centres = generator.normal(size=(classes, size))
    return (centres[labels] + generator.normal(size=(n, size))) * 10.0 ** np.arange(-3, size - 3), labels


def log_odds(probe: Probe, features: np.ndarray) -> np.ndarray:
    assert probe.decide is not None
    return probe.decide(features)


class TestScaling:
    def test_equals_scikit_learn_and_applies_to_other_rows(self) -> None:
        features, fresh = blobs(0)[0], blobs(1)[0]

        np.testing.assert_allclose(Scaling.of(features)(fresh), StandardScaler().fit(features).transform(fresh))

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("constant", [0.0, 0.1, -1e6, 1e30])
    def test_a_constant_feature_becomes_zero(self, constant: float) -> None:
        scaled = Scaling.of(np.full((70, 1), constant))(np.full((3, 1), constant))

        np.testing.assert_allclose(scaled, 0, atol=1e-15 * max(1, abs(constant)))

    def test_a_small_feature_is_not_taken_for_a_constant(self) -> None:
        feature = 1e-30 * np.random.default_rng(0).normal(size=(50, 1))

        assert Scaling.of(feature)(feature).std() == pytest.approx(1)


class TestClassProbe:
    @pytest.mark.parametrize("classes", [3, 7])
    @pytest.mark.parametrize("penalty", [0.1, 1e-3])
    def test_equals_scikit_learns_own_pipeline_under_a_given_penalty(self, classes: int, penalty: float) -> None:
        features, labels = blobs(0, classes)
        fresh = blobs(1, classes)[0]
        model = LogisticRegression(C=1 / (len(labels) * penalty), tol=1e-8, max_iter=5000)
        own = make_pipeline(StandardScaler(), model).fit(features, labels)

        probe = class_probe(features, labels, ProbeConfig(penalties=(penalty,)))

        np.testing.assert_array_equal(probe.predict(fresh), own.predict(fresh))
        expected = own.decision_function(fresh)[:, -1] - own.decision_function(fresh)[:, 0]
        np.testing.assert_allclose(log_odds(probe, fresh), expected, atol=SAME)
        assert probe.penalty == penalty

    def test_two_classes_equal_scikit_learns_under_half_the_penalty(self) -> None:
        features, labels = blobs(0, 2)
        fresh = blobs(1, 2)[0]
        # Two opposite weight vectors hold half the squares of the one that scikit-learn has.
        model = LogisticRegression(C=2 / (len(labels) * 0.01), tol=1e-8, max_iter=5000)
        own = make_pipeline(StandardScaler(), model).fit(features, labels)

        probe = class_probe(features, labels, ProbeConfig(penalties=(0.01,)))

        np.testing.assert_allclose(log_odds(probe, fresh), own.decision_function(fresh), atol=SAME)

    @pytest.mark.parametrize(
        ("n", "size", "shift", "expected"),
        [(60, 30, 0.0, 10.0), (60, 20, 1.0, 0.1), (400, 10, 2.0, 1e-3), (400, 4, 6.0, 1e-5)],
    )
    def test_penalty_is_the_one_of_least_held_out_loss(self, n: int, size: int, shift: float, expected: float) -> None:
        generator = np.random.default_rng(2)
        labels, features = generator.integers(0, 3, n), generator.normal(size=(n, size))
        features[:, :3] += shift * np.eye(3)[labels]
        scaled, penalties = StandardScaler().fit_transform(features), (10.0, 0.1, 1e-3, 1e-5)
        folds = StratifiedKFold(5, shuffle=True, random_state=7)
        models = [LogisticRegression(C=1 / (n * penalty), max_iter=10_000) for penalty in penalties]
        scores = [cross_val_score(model, scaled, labels, cv=folds, scoring="neg_log_loss").mean() for model in models]

        probe = class_probe(features, labels, ProbeConfig(penalties=penalties))

        assert probe.penalty == penalties[int(np.argmax(scores))] == expected

    def test_without_information_the_strongest_penalty_is_chosen_and_with_all_of_it_the_weakest(self) -> None:
        generator = np.random.default_rng(4)
        features, labels = generator.normal(size=(300, 30)), generator.integers(0, 3, 300)

        assert class_probe(features, labels, CONFIG).penalty == STRONGEST
        assert class_probe(np.eye(3)[labels], labels, CONFIG).penalty == WEAKEST

    def test_rescaling_and_shifting_features_changes_nothing(self) -> None:
        features, labels = blobs(0)
        fresh = blobs(1)[0]
        scale, shift = np.array([1e-4, 1, 1e3, -2, 1e5, 7]), np.array([0, 5, -1e3, 2, 0, 1])

        plain = class_probe(features, labels, CONFIG)
        rescaled = class_probe(features * scale + shift, labels, CONFIG)

        assert rescaled.penalty == plain.penalty
        np.testing.assert_allclose(log_odds(rescaled, fresh * scale + shift), log_odds(plain, fresh), atol=SAME)

    @pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
    def test_constant_features_are_harmless(self, constant: float) -> None:
        features, labels = blobs(0)
        fresh = blobs(1)[0]

        plain = class_probe(features, labels, CONFIG)
        padded = class_probe(np.c_[features, np.full(len(features), constant)], labels, CONFIG)

        assert padded.converged
        assert padded.penalty == plain.penalty
        np.testing.assert_allclose(
            log_odds(padded, np.c_[fresh, np.full(len(fresh), constant)]), log_odds(plain, fresh), atol=SAME
        )

    def test_constant_features_alone_predict_the_most_frequent_class(self) -> None:
        labels = np.repeat([0, 1, 2], [10, 30, 20])

        probe = class_probe(np.zeros((60, 2)), labels, CONFIG)

        assert set(probe.predict(np.zeros((60, 2)))) == {1}
        np.testing.assert_allclose(log_odds(probe, np.zeros((1, 2))), np.log(20 / 10), atol=1e-4)

    def test_predicts_the_labels_that_it_was_given(self) -> None:
        features, labels = blobs(0)
        names = np.array([4, 7, 9])

        plain = class_probe(features, labels, CONFIG).predict(features)
        renamed = class_probe(features, names[labels], CONFIG).predict(features)

        np.testing.assert_array_equal(renamed, names[plain])

    @pytest.mark.filterwarnings("error")
    def test_converges_on_separable_and_on_overlapping_classes(self) -> None:
        features, labels = blobs(0)

        assert class_probe(features, labels, CONFIG).converged
        assert class_probe(np.eye(3)[labels], labels, CONFIG).converged

    @pytest.mark.filterwarnings("error")
    def test_one_iteration_is_said_not_to_converge_without_a_warning(self) -> None:
        features, labels = blobs(0)

        probe = class_probe(features, labels, ProbeConfig(iterations=1))

        assert probe.converged is False

    def test_a_fold_that_did_not_converge_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        solver = probes.softmax_path

        def stopped_in_folds(features: np.ndarray, *rest: object) -> list[Softmax]:
            return [model._replace(converged=len(features) == 400) for model in solver(features, *rest)]

        monkeypatch.setattr(probes, "softmax_path", stopped_in_folds)

        assert class_probe(*blobs(0), CONFIG).converged is False

    def test_boolean_labels_give_one_score_an_image_that_grows_with_true(self) -> None:
        feature = np.linspace(-1, 1, 50)[:, None]

        scores = log_odds(class_probe(feature, feature[:, 0] > 0, CONFIG), feature)

        assert scores.shape == (50,)
        assert (np.diff(scores) > 0).all()

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("rare", [1, 2, 4])
    def test_a_class_that_some_fold_lacks(self, rare: int) -> None:
        features, labels = blobs(5, 2)
        labels[:rare] = 2

        probe = class_probe(features, labels, CONFIG)

        assert probe.converged
        assert set(probe.predict(features)) >= {0, 1}

    @pytest.mark.filterwarnings("error")
    def test_two_classes_of_which_one_has_a_single_row(self) -> None:
        features, _ = blobs(6)

        probe = class_probe(features, np.arange(400) == 0, CONFIG)

        assert probe.converged
        assert np.mean(probe.predict(features)) < 0.01

    @pytest.mark.filterwarnings("error")
    def test_fewer_rows_than_features(self) -> None:
        generator = np.random.default_rng(7)
        features, labels = generator.normal(size=(20, 100)), np.arange(20) % 2

        probe = class_probe(features, labels, CONFIG)

        assert probe.converged
        np.testing.assert_array_equal(probe.predict(features), labels)

    def test_a_planted_leak_is_read_at_the_rate_of_the_best_guess(self) -> None:
        generator = np.random.default_rng(8)
        labels, truth = generator.integers(0, 2, (2, 20_000))
        features, fresh = ((2.0 * part - 1)[:, None] + generator.normal(size=(20_000, 1)) for part in (labels, truth))

        right = np.mean(class_probe(features, labels, CONFIG).predict(fresh) == truth)

        # Phi(1), within 4 standard errors of a fraction of 20,000.
        assert abs(right - 0.84134) < 4 * np.sqrt(0.84 * 0.16 / 20_000)


class TestRealProbe:
    def test_recovers_a_linear_law(self) -> None:
        generator = np.random.default_rng(0)
        features, fresh = generator.normal(size=(2, 5000, 4)) * [1, 10, 0.1, 1000] + [0, 5, 0, -300]
        law = np.array([2.0, -0.3, 5.0, 0.001])

        probe = real_probe(features, features @ law + 1.5, CONFIG)

        # Without noise the weakest penalty is best; it shrinks coefficients by 1e-5.
        assert probe.penalty == pytest.approx(WEAKEST)
        np.testing.assert_allclose(probe.predict(fresh), fresh @ law + 1.5, atol=2e-4)
        assert probe.converged

    def test_equals_scikit_learns_own_pipeline_under_the_penalty_chosen(self) -> None:
        generator = np.random.default_rng(1)
        features, values = generator.normal(size=(50, 8)) * 10.0 ** np.arange(-4, 4), generator.normal(size=50)
        probe = real_probe(features, values, CONFIG)
        own = make_pipeline(StandardScaler(), Ridge(alpha=50 * probe.penalty)).fit(features, values)

        np.testing.assert_allclose(probe.predict(features), own.predict(features), rtol=1e-9)

    @pytest.mark.parametrize("noise", [0.1, 1.0, 10.0])
    def test_penalty_is_the_one_of_least_error_on_rows_left_out_one_by_one(self, noise: float) -> None:
        generator = np.random.default_rng(2)
        features = generator.normal(size=(40, 15))
        values = features @ generator.normal(size=15) + noise * generator.normal(size=40)
        scaled = StandardScaler().fit_transform(features)
        errors = np.zeros(len(CONFIG.penalties))
        for index, penalty in enumerate(CONFIG.penalties):
            for row in range(40):
                rest = np.arange(40) != row
                # One row less, and the same sum of squared coefficients beside the sum of squared errors.
                model = Ridge(alpha=40 * penalty).fit(scaled[rest], values[rest])
                errors[index] += (model.predict(scaled[[row]])[0] - values[row]) ** 2

        assert real_probe(features, values, CONFIG).penalty == pytest.approx(CONFIG.penalties[int(errors.argmin())])

    def test_shrinks_a_single_feature_by_its_penalty(self) -> None:
        feature = np.array([-1.0, 1.0, -1.0, 1.0])

        predicted = real_probe(feature[:, None], feature, ProbeConfig(penalties=(0.5,))).predict(np.array([[1.0]]))

        assert predicted[0] == pytest.approx(1 / (1 + 0.5))

    def test_without_information_the_strongest_penalty_is_chosen(self) -> None:
        generator = np.random.default_rng(3)

        assert real_probe(generator.normal(size=(200, 10)), generator.normal(size=200), CONFIG).penalty == STRONGEST

    def test_rescaling_and_shifting_features_changes_nothing(self) -> None:
        generator = np.random.default_rng(2)
        features, values = generator.normal(size=(60, 3)), generator.normal(size=60)
        scale, shift = np.array([1e-3, -5, 1e4]), np.array([1, 0, -2e4])

        plain = real_probe(features, values, CONFIG).predict(features)
        rescaled = real_probe(features * scale + shift, values, CONFIG).predict(features * scale + shift)

        np.testing.assert_allclose(rescaled, plain, atol=1e-9)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
    def test_constant_features_are_harmless(self, constant: float) -> None:
        generator = np.random.default_rng(3)
        features, values = generator.normal(size=(60, 3)), generator.normal(size=60)
        padded = np.c_[features, np.full(60, constant)]

        np.testing.assert_allclose(
            real_probe(padded, values, CONFIG).predict(padded),
            real_probe(features, values, CONFIG).predict(features),
            atol=1e-9,
        )

    @pytest.mark.filterwarnings("error")
    def test_constant_features_alone_predict_the_mean(self) -> None:
        values = np.random.default_rng(5).normal(size=30)

        predicted = real_probe(np.full((30, 2), 0.1), values, CONFIG).predict(np.full((4, 2), 0.1))

        np.testing.assert_allclose(predicted, values.mean())

    @pytest.mark.filterwarnings("error")
    def test_copied_features_are_harmless(self) -> None:
        features = np.random.default_rng(4).normal(size=(60, 2))
        values = features @ [1.0, -2.0]

        doubled = np.c_[features, features]

        np.testing.assert_allclose(real_probe(doubled, values, CONFIG).predict(doubled), values, atol=1e-3)

    @pytest.mark.filterwarnings("error")
    def test_fewer_rows_than_features(self) -> None:
        generator = np.random.default_rng(6)
        features, values = generator.normal(size=(20, 100)), generator.normal(size=20)

        probe = real_probe(features, values, CONFIG)

        assert np.mean((probe.predict(features) - values) ** 2) < values.var()


@pytest.mark.parametrize(
    ("field", "value"), [("penalties", (0.1, 0.0)), ("penalties", (-1.0,)), ("iterations", 0), ("folds", 1)]
)
def test_values_out_of_range_are_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field):
        ProbeConfig.from_mapping({field: value})


def data(seed: int, n: int = 200, d: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training features, fresh features and training labels in 0..3 that follow the features loosely."""
    generator = np.random.default_rng(seed)
    features, fresh = generator.normal(size=(2, n, d)) * 10.0 ** np.arange(d)
    labels = np.digitize(features[:, 0] + generator.normal(size=n), [-1, 0, 1])
    return features, fresh, labels


def nearest(features: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """Int64 (m, k): the rows nearest to each fresh row, of features scaled to unit variance."""
    deviations = features.std(axis=0)
    distances = np.linalg.norm(fresh[:, None] / deviations - features / deviations, axis=2)
    return np.argsort(distances, axis=1)[:, :NEIGHBOURS]


class TestNeighbours:
    """The nearest-neighbour probe against distances in full, and where it sees what a linear probe does not."""

    def test_class_is_the_most_frequent_among_the_20_nearest_and_the_first_of_equals(self) -> None:
        features, fresh, labels = data(0)

        expected = [np.bincount(labels[rows]).argmax() for rows in nearest(features, fresh)]

        np.testing.assert_array_equal(class_neighbours(features, labels).predict(fresh), expected)

    def test_real_value_is_the_mean_over_the_20_nearest(self) -> None:
        features, fresh, _ = data(1)
        values = np.random.default_rng(1).normal(size=200)

        expected = values[nearest(features, fresh)].mean(axis=1)

        np.testing.assert_allclose(real_neighbours(features, values).predict(fresh), expected, atol=1e-12)

    def test_decision_is_the_share_of_the_last_class(self) -> None:
        features, fresh, labels = data(2)
        probe = class_neighbours(features, labels > 1)
        assert probe.decide is not None

        np.testing.assert_allclose(probe.decide(fresh), (labels[nearest(features, fresh)] > 1).mean(axis=1))

    def test_scale_and_origin_of_features_do_not_matter(self) -> None:
        features, fresh, labels = data(3)
        scale, shift = np.array([1e-4, -3.0, 1e4]), np.array([0.0, 1e3, -2.0])

        moved = class_neighbours(features * scale + shift, labels).predict(fresh * scale + shift)

        np.testing.assert_array_equal(moved, class_neighbours(features, labels).predict(fresh))

    def test_with_fewer_than_20_rows_all_are_neighbours(self) -> None:
        features, fresh, _ = data(4, n=12)

        np.testing.assert_allclose(real_neighbours(features, np.arange(12.0)).predict(fresh), 5.5)

    def test_classes_that_no_line_parts_are_told(self) -> None:
        generator = np.random.default_rng(5)
        features, fresh = generator.uniform(-1, 1, size=(2, 1000, 2))
        labels, truth = ((part[:, 0] * part[:, 1] > 0).astype(int) for part in (features, fresh))

        assert np.mean(class_neighbours(features, labels).predict(fresh) == truth) > 0.9
        assert np.mean(class_probe(features, labels, ProbeConfig()).predict(fresh) == truth) < 0.6

    def test_values_that_no_line_fits_are_told(self) -> None:
        generator = np.random.default_rng(6)
        features, fresh = generator.uniform(-1, 1, size=(2, 1000, 1))
        values, truth = np.abs(features[:, 0]), np.abs(fresh[:, 0])

        errors = {
            name: np.mean((probe.predict(fresh) - truth) ** 2) / truth.var()
            for name, probe in (
                ("near", real_neighbours(features, values)),
                ("linear", real_probe(features, values, ProbeConfig())),
            )
        }

        assert errors["near"] < 0.01
        assert errors["linear"] > 0.9

    def test_equally_near_rows_are_taken_whatever_their_order_in_the_data_set(self) -> None:
        values = np.sort(np.random.default_rng(7).normal(size=2000))

        predicted = real_neighbours(np.zeros((2000, 1)), values).predict(np.zeros((3, 1)))

        # A mean of 20 values, which has a standard deviation of 1 / sqrt(20); the first 20 lie below -2.
        np.testing.assert_allclose(predicted, predicted[0])
        assert abs(predicted[0] - values.mean()) < 3 / np.sqrt(NEIGHBOURS)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
    def test_constant_features_give_one_answer(self, constant: float) -> None:
        features = np.full((90, 2), constant)
        labels = np.repeat([0, 1, 2], [10, 70, 10])

        assert set(class_neighbours(features, labels).predict(features)) == {1}

    @pytest.mark.filterwarnings("error")
    def test_nearly_as_many_classes_as_rows_are_classes_all_the_same(self) -> None:
        features, fresh, _ = data(8, n=60)

        assert set(class_neighbours(features, np.arange(60)).predict(fresh)) <= set(range(60))
