"""Probes: penalised models in which classes weigh alike, the penalty chosen on training rows, folds by group."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, LeaveOneOut, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from cabench.config import ConfigError
from cabench.evaluation import probes
from cabench.evaluation.logistic import Softmax
from cabench.evaluation.probes import (
    NEIGHBOURS,
    ClassProbe,
    ProbeConfig,
    RealProbe,
    Scaling,
    class_neighbours,
    folds_of,
    real_neighbours,
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


def each_its_own(n: int) -> np.ndarray:
    """Groups of one row."""
    return np.arange(n)


def class_probe(features: np.ndarray, labels: np.ndarray, config: ProbeConfig = CONFIG) -> ClassProbe:
    """A probe of rows without groups."""
    return probes.class_probe(features, labels, each_its_own(len(labels)), config)


def real_probe(features: np.ndarray, values: np.ndarray, config: ProbeConfig = CONFIG) -> RealProbe:
    return probes.real_probe(features, values, each_its_own(len(values)), config)


def predict(probe: ClassProbe, features: np.ndarray) -> np.ndarray:
    predicted: np.ndarray = probe.classes[probe.evidence(features).argmax(axis=1)]
    return predicted


def log_odds(probe: ClassProbe, features: np.ndarray) -> np.ndarray:
    """Of the last class against the first."""
    evidence = probe.evidence(features)
    difference: np.ndarray = evidence[:, -1] - evidence[:, 0]
    return difference


def chosen(probe: ClassProbe, features: np.ndarray, labels: np.ndarray, penalties: tuple[float, ...]) -> float:
    """The penalty under which alone a probe comes nearest to this one."""
    wanted = log_odds(probe, features)
    alone = [class_probe(features, labels, ProbeConfig(penalties=(penalty,))) for penalty in penalties]
    return penalties[int(np.argmin([np.abs(log_odds(other, features) - wanted).max() for other in alone]))]


def balanced(penalty: float, n: int) -> LogisticRegression:
    return LogisticRegression(C=1 / (n * penalty), class_weight="balanced", tol=1e-8, max_iter=5000)


class TestScaling:
    def test_equals_scikit_learn_and_applies_to_other_rows(self) -> None:
        features, fresh = blobs(0)[0], blobs(1)[0]

        np.testing.assert_allclose(Scaling.of(features)(fresh), StandardScaler().fit(features).transform(fresh))

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("constant", [0.0, 0.1, -1e6, 1e30])
    def test_a_constant_feature_becomes_zero(self, constant: float) -> None:
        scaled = Scaling.of(np.full((70, 1), constant))(np.full((3, 1), constant))

        np.testing.assert_allclose(scaled, 0, atol=1e-15 * max(1, abs(constant)))

    @pytest.mark.parametrize("offset", [1e6, -1e6, 1.0, 1e-20, 1e30])
    @pytest.mark.parametrize("places", [1, 2])
    def test_what_differs_by_the_last_places_of_float32_alone_is_constant(self, offset: float, places: int) -> None:
        last = np.spacing(np.float32(abs(offset))).astype(np.float64)
        feature = np.float32(offset + places * last * np.random.default_rng(0).integers(-1, 2, (300, 1)))

        assert len(np.unique(feature)) > 1
        np.testing.assert_array_equal(Scaling.of(feature.astype(np.float64))(feature), 0)

    def test_a_feature_far_from_zero_keeps_what_float32_holds_of_it(self) -> None:
        truth = np.random.default_rng(1).normal(size=(300, 1))
        feature = np.float32(1e6 + truth).astype(np.float64)

        assert np.corrcoef(Scaling.of(feature)(feature)[:, 0], truth[:, 0])[0, 1] > 0.999

    def test_a_small_feature_is_not_taken_for_a_constant(self) -> None:
        feature = 1e-30 * np.random.default_rng(0).normal(size=(50, 1))

        assert Scaling.of(feature)(feature).std() == pytest.approx(1)


class TestClassProbe:
    @pytest.mark.parametrize("classes", [3, 7])
    @pytest.mark.parametrize("penalty", [0.1, 1e-3])
    def test_equals_scikit_learns_own_pipeline_under_a_given_penalty(self, classes: int, penalty: float) -> None:
        features, labels = blobs(0, classes)
        fresh = blobs(1, classes)[0]
        own = make_pipeline(StandardScaler(), balanced(penalty, len(labels))).fit(features, labels)

        probe = class_probe(features, labels, ProbeConfig(penalties=(penalty,)))

        np.testing.assert_array_equal(predict(probe, fresh), own.predict(fresh))
        np.testing.assert_allclose(probe.evidence(fresh), own.predict_log_proba(fresh), atol=SAME)

    def test_two_classes_equal_scikit_learns_under_half_the_penalty(self) -> None:
        features, labels = blobs(0, 2)
        fresh = blobs(1, 2)[0]
        # Two opposite weight vectors hold half the squares of the one that scikit-learn has.
        own = make_pipeline(StandardScaler(), balanced(0.005, len(labels))).fit(features, labels)

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
        groups = np.arange(n) // 2
        folds, weights = folds_of(labels, groups, 5), compute_sample_weight("balanced", labels)
        losses = np.zeros(len(penalties))
        for index, penalty in enumerate(penalties):
            for fold in range(5):
                inside = folds != fold
                own = LogisticRegression(C=1 / (inside.sum() * penalty), class_weight="balanced", max_iter=10_000)
                likelihoods = own.fit(scaled[inside], labels[inside]).predict_log_proba(scaled[~inside])
                losses[index] -= np.sum(weights[~inside] * likelihoods[np.arange((~inside).sum()), labels[~inside]])

        probe = probes.class_probe(features, labels, groups, ProbeConfig(penalties=penalties))

        assert penalties[int(np.argmin(losses))] == expected
        assert chosen(probe, features, labels, penalties) == expected

    def test_without_information_the_strongest_penalty_is_chosen_and_with_all_of_it_the_weakest(self) -> None:
        generator = np.random.default_rng(4)
        features, labels = generator.normal(size=(300, 30)), generator.integers(0, 3, 300)

        assert chosen(class_probe(features, labels), features, labels, CONFIG.penalties) == STRONGEST
        codes = np.eye(3)[labels]
        assert chosen(class_probe(codes, labels), codes, labels, CONFIG.penalties) == WEAKEST

    def test_subjects_that_can_be_recognised_do_not_let_the_penalty_be_weak(self) -> None:
        # 20 subjects have a place of their own each and a label of their own: from other rows of a subject the label
        # is known, from other subjects it is not.
        generator = np.random.default_rng(9)
        groups = np.repeat(np.arange(20), 15)
        labels = (groups % 2).astype(np.int64)
        features = 3 * np.eye(20)[groups] + 0.3 * generator.normal(size=(300, 20))

        by_group, by_row = probes.class_probe(features, labels, groups, CONFIG), class_probe(features, labels)

        assert chosen(by_group, features, labels, CONFIG.penalties) == STRONGEST
        assert chosen(by_row, features, labels, CONFIG.penalties) <= 1e-3

    def test_a_rare_class_is_predicted_as_often_as_it_can_be_read(self) -> None:
        generator = np.random.default_rng(10)
        labels, truth = (generator.random((2, 4000)) < 0.05).astype(np.int64)
        features, fresh = (generator.normal(1.2 * part)[:, None] for part in (labels, truth))

        predicted = predict(class_probe(features, labels), fresh)

        recalls = [np.mean(predicted[truth == code] == code) for code in (0, 1)]
        # A threshold between the two means tells both classes at the rate Phi(0.6) = 0.726; 200 rare rows.
        np.testing.assert_allclose(recalls, norm.cdf(0.6), atol=0.09)

    def test_the_prior_put_back_predicts_as_a_fit_without_weights(self) -> None:
        generator = np.random.default_rng(11)
        labels = (generator.random(4000) < 0.2).astype(np.int64)
        features = generator.normal(1.2 * labels)[:, None]
        plain = make_pipeline(StandardScaler(), LogisticRegression()).fit(features, labels)

        probe = class_probe(features, labels)
        predicted = (probe.evidence(features) + probe.log_prior).argmax(axis=1)

        np.testing.assert_allclose(np.exp(probe.log_prior), np.bincount(labels) / 4000)
        assert np.mean(predicted == plain.predict(features)) > 0.99

    def test_rescaling_and_shifting_features_changes_nothing(self) -> None:
        features, labels = blobs(0)
        fresh = blobs(1)[0]
        scale, shift = np.array([0.5, 1, 10, -2, 3, 7]), np.array([0, 5, -1e3, 2, 0, 1])

        plain = class_probe(features, labels)
        rescaled = class_probe(features * scale + shift, labels)

        np.testing.assert_allclose(log_odds(rescaled, fresh * scale + shift), log_odds(plain, fresh), atol=SAME)

    def test_directions_that_training_images_do_not_have_are_not_blown_up(self) -> None:
        """Of 20 images, 60 principal components: the last 41 hold rounding alone, but not of fresh images."""
        generator = np.random.default_rng(5)
        images, fresh = generator.normal(size=(20, 100)), generator.normal(size=(50, 100))
        axes = np.linalg.svd(images - images.mean(axis=0))[2][:60].T
        centred = [
            (rows - images.mean(axis=0)).astype(np.float32) @ axes.astype(np.float32) for rows in (images, fresh)
        ]
        labels = np.arange(20) % 2

        evidence = class_probe(centred[0].astype(np.float64), labels).evidence(centred[1].astype(np.float64))

        lone = class_probe(centred[0][:, :19].astype(np.float64), labels)
        np.testing.assert_allclose(evidence, lone.evidence(centred[1][:, :19].astype(np.float64)), atol=1e-3)

    @pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
    def test_constant_features_are_harmless(self, constant: float) -> None:
        features, labels = blobs(0)
        fresh = blobs(1)[0]

        plain = class_probe(features, labels)
        padded = class_probe(np.c_[features, np.full(len(features), constant)], labels)

        assert padded.converged
        np.testing.assert_allclose(
            log_odds(padded, np.c_[fresh, np.full(len(fresh), constant)]), log_odds(plain, fresh), atol=SAME
        )

    def test_constant_features_alone_say_nothing_of_any_class(self) -> None:
        labels = np.repeat([0, 1, 2], [10, 30, 20])

        probe = class_probe(np.zeros((60, 2)), labels)

        np.testing.assert_allclose(probe.evidence(np.zeros((1, 2))), np.log(1 / 3), atol=1e-4)
        np.testing.assert_allclose(probe.log_prior, np.log([1 / 6, 1 / 2, 1 / 3]))

    def test_predicts_the_labels_that_it_was_given(self) -> None:
        features, labels = blobs(0)
        names = np.array([4, 7, 9])

        plain = predict(class_probe(features, labels), features)
        renamed = predict(class_probe(features, names[labels]), features)

        np.testing.assert_array_equal(renamed, names[plain])

    @pytest.mark.filterwarnings("error")
    def test_converges_on_separable_and_on_overlapping_classes(self) -> None:
        features, labels = blobs(0)

        assert class_probe(features, labels).converged
        assert class_probe(np.eye(3)[labels], labels).converged

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

        assert class_probe(*blobs(0)).converged is False

    def test_boolean_labels_give_one_score_an_image_that_grows_with_true(self) -> None:
        feature = np.linspace(-1, 1, 50)[:, None]

        scores = log_odds(class_probe(feature, feature[:, 0] > 0), feature)

        assert scores.shape == (50,)
        assert (np.diff(scores) > 0).all()

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("rare", [1, 2, 4])
    def test_a_class_that_some_fold_lacks(self, rare: int) -> None:
        features, labels = blobs(5, 2)
        labels[:rare] = 2

        probe = class_probe(features, labels)

        assert probe.converged
        assert set(predict(probe, features)) >= {0, 1}

    @pytest.mark.filterwarnings("error")
    def test_two_classes_of_which_one_has_a_single_row(self) -> None:
        features, _ = blobs(6)

        probe = class_probe(features, np.arange(400) == 0)

        assert probe.converged
        assert predict(probe, features)[0]
        assert np.mean(predict(probe, features)) < 0.1

    @pytest.mark.filterwarnings("error")
    def test_fewer_rows_than_features(self) -> None:
        generator = np.random.default_rng(7)
        features, labels = generator.normal(size=(20, 100)), np.arange(20) % 2

        probe = class_probe(features, labels)

        assert probe.converged
        np.testing.assert_array_equal(predict(probe, features), labels)

    def test_a_planted_leak_is_read_at_the_rate_of_the_best_guess(self) -> None:
        generator = np.random.default_rng(8)
        labels, truth = generator.integers(0, 2, (2, 20_000))
        features, fresh = ((2.0 * part - 1)[:, None] + generator.normal(size=(20_000, 1)) for part in (labels, truth))

        right = np.mean(predict(class_probe(features, labels), fresh) == truth)

        # Phi(1), within 4 standard errors of a fraction of 20,000.
        assert abs(right - 0.84134) < 4 * np.sqrt(0.84 * 0.16 / 20_000)


class TestRealProbe:
    def test_recovers_a_linear_law(self) -> None:
        generator = np.random.default_rng(0)
        features, fresh = generator.normal(size=(2, 5000, 4)) * [1, 10, 0.1, 1000] + [0, 5, 0, -300]
        law = np.array([2.0, -0.3, 5.0, 0.001])

        probe = real_probe(features, features @ law + 1.5)

        # Without noise the weakest penalty is best; it shrinks coefficients by 1e-5.
        np.testing.assert_allclose(probe.predict(fresh), fresh @ law + 1.5, atol=2e-4)

    @pytest.mark.parametrize("noise", [0.1, 1.0, 10.0])
    def test_penalty_is_the_one_of_least_error_on_rows_left_out_one_by_one(self, noise: float) -> None:
        features, values, scaled = self.regression(noise)
        # One row less, and the same sum of squared coefficients beside the sum of squared errors.
        search = self.search(LeaveOneOut()).fit(scaled, values)

        np.testing.assert_allclose(real_probe(features, values).predict(features), search.predict(scaled), rtol=1e-9)

    @pytest.mark.parametrize("noise", [0.1, 1.0, 10.0])
    @pytest.mark.parametrize("subjects", [3, 8])
    def test_with_groups_it_is_that_of_least_error_on_groups_left_out(self, noise: float, subjects: int) -> None:
        features, values, scaled = self.regression(noise)
        groups = np.arange(40) * 7 % subjects
        folds = folds_of(np.zeros(40), groups, 5)
        search = self.search(PredefinedSplit(folds)).fit(scaled, values)

        predicted = probes.real_probe(features, values, groups, CONFIG).predict(features)

        np.testing.assert_allclose(predicted, search.predict(scaled), rtol=1e-9)

    @staticmethod
    def regression(noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Features, values, and the features standardised."""
        generator = np.random.default_rng(2)
        features = generator.normal(size=(40, 15)) * 10.0 ** np.linspace(-3, 2, 15)
        scaled = StandardScaler().fit_transform(features)
        return features, scaled @ generator.normal(size=15) + noise * generator.normal(size=40), scaled

    @staticmethod
    def search(splits: LeaveOneOut | PredefinedSplit) -> GridSearchCV:
        alphas = [40 * penalty for penalty in CONFIG.penalties]
        return GridSearchCV(Ridge(), {"alpha": alphas}, scoring="neg_mean_squared_error", cv=splits)

    def test_one_group_alone_is_read_as_rows(self) -> None:
        features, values, _ = self.regression(1.0)

        together = probes.real_probe(features, values, np.zeros(40, np.int64), CONFIG).predict(features)

        np.testing.assert_array_equal(together, real_probe(features, values).predict(features))

    def test_shrinks_a_single_feature_by_its_penalty(self) -> None:
        feature = np.array([-1.0, 1.0, -1.0, 1.0])

        predicted = real_probe(feature[:, None], feature, ProbeConfig(penalties=(0.5,))).predict(np.array([[1.0]]))

        assert predicted[0] == pytest.approx(1 / (1 + 0.5))

    def test_without_information_the_strongest_penalty_is_chosen(self) -> None:
        generator = np.random.default_rng(3)

        features, values = generator.normal(size=(200, 10)), generator.normal(size=200)

        strongest = real_probe(features, values, ProbeConfig(penalties=(STRONGEST,)))

        np.testing.assert_array_equal(real_probe(features, values).predict(features), strongest.predict(features))

    def test_rescaling_and_shifting_features_changes_nothing(self) -> None:
        generator = np.random.default_rng(2)
        features, values = generator.normal(size=(60, 3)), generator.normal(size=60)
        scale, shift = np.array([1e-2, -5, 1e3]), np.array([1, 0, -2e4])

        plain = real_probe(features, values).predict(features)
        rescaled = real_probe(features * scale + shift, values).predict(features * scale + shift)

        np.testing.assert_allclose(rescaled, plain, atol=1e-9)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
    def test_constant_features_are_harmless(self, constant: float) -> None:
        generator = np.random.default_rng(3)
        features, values = generator.normal(size=(60, 3)), generator.normal(size=60)
        padded = np.c_[features, np.full(60, constant)]

        np.testing.assert_allclose(
            real_probe(padded, values).predict(padded),
            real_probe(features, values).predict(features),
            atol=1e-9,
        )

    @pytest.mark.filterwarnings("error")
    def test_constant_features_alone_predict_the_mean(self) -> None:
        values = np.random.default_rng(5).normal(size=30)

        predicted = real_probe(np.full((30, 2), 0.1), values).predict(np.full((4, 2), 0.1))

        np.testing.assert_allclose(predicted, values.mean())

    @pytest.mark.filterwarnings("error")
    def test_copied_features_are_harmless(self) -> None:
        features = np.random.default_rng(4).normal(size=(60, 2))
        values = features @ [1.0, -2.0]

        doubled = np.c_[features, features]

        np.testing.assert_allclose(real_probe(doubled, values).predict(doubled), values, atol=1e-3)

    @pytest.mark.filterwarnings("error")
    def test_fewer_rows_than_features(self) -> None:
        generator = np.random.default_rng(6)
        features, values = generator.normal(size=(20, 100)), generator.normal(size=20)

        probe = real_probe(features, values)

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

    def test_votes_count_by_how_rare_their_class_is(self) -> None:
        features, fresh, labels = data(0)
        near = labels[nearest(features, fresh)]

        votes = np.stack([(near == code).sum(axis=1) / np.sum(labels == code) for code in range(4)], axis=1)
        probe = class_neighbours(features, labels)

        np.testing.assert_allclose(probe.evidence(fresh), votes / votes.sum(axis=1, keepdims=True))
        np.testing.assert_allclose(np.exp(probe.log_prior), np.bincount(labels) / 200)

    def test_of_equally_frequent_classes_the_most_frequent_among_the_nearest_is_predicted(self) -> None:
        features, fresh, _ = data(0)
        labels = np.argsort(np.argsort(features[:, 0])) // 50

        expected = [np.bincount(labels[rows]).argmax() for rows in nearest(features, fresh)]

        np.testing.assert_array_equal(predict(class_neighbours(features, labels), fresh), expected)

    def test_real_value_is_the_mean_over_the_20_nearest(self) -> None:
        features, fresh, _ = data(1)
        values = np.random.default_rng(1).normal(size=200)

        expected = values[nearest(features, fresh)].mean(axis=1)

        np.testing.assert_allclose(real_neighbours(features, values).predict(fresh), expected, atol=1e-12)

    def test_scale_and_origin_of_features_do_not_matter(self) -> None:
        features, fresh, labels = data(3)
        scale, shift = np.array([0.1, -3.0, 10.0]), np.array([0.0, 1e3, -2.0])

        moved = predict(class_neighbours(features * scale + shift, labels), fresh * scale + shift)

        np.testing.assert_array_equal(moved, predict(class_neighbours(features, labels), fresh))

    def test_with_fewer_than_20_rows_all_are_neighbours(self) -> None:
        features, fresh, _ = data(4, n=12)

        np.testing.assert_allclose(real_neighbours(features, np.arange(12.0)).predict(fresh), 5.5)

    def test_classes_that_no_line_parts_are_told(self) -> None:
        generator = np.random.default_rng(5)
        features, fresh = generator.uniform(-1, 1, size=(2, 1000, 2))
        labels, truth = ((part[:, 0] * part[:, 1] > 0).astype(int) for part in (features, fresh))

        assert np.mean(predict(class_neighbours(features, labels), fresh) == truth) > 0.9
        assert np.mean(predict(class_probe(features, labels), fresh) == truth) < 0.6

    def test_values_that_no_line_fits_are_told(self) -> None:
        generator = np.random.default_rng(6)
        features, fresh = generator.uniform(-1, 1, size=(2, 1000, 1))
        values, truth = np.abs(features[:, 0]), np.abs(fresh[:, 0])

        errors = {
            name: np.mean((probe.predict(fresh) - truth) ** 2) / truth.var()
            for name, probe in (
                ("near", real_neighbours(features, values)),
                ("linear", real_probe(features, values)),
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

        evidence = class_neighbours(features, labels).evidence(features)

        assert (evidence == evidence[0]).all()

    @pytest.mark.filterwarnings("error")
    def test_nearly_as_many_classes_as_rows_are_classes_all_the_same(self) -> None:
        features, fresh, _ = data(8, n=60)

        assert set(predict(class_neighbours(features, np.arange(60)), fresh)) <= set(range(60))


class TestFolds:
    """Which rows are held out together."""

    @pytest.mark.parametrize("seed", range(5))
    def test_rows_of_one_group_stay_together(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        groups, kinds = generator.integers(0, 30, 300), generator.integers(0, 4, 300)

        folds = folds_of(kinds, groups, 5)

        assert all(len(np.unique(folds[groups == group])) == 1 for group in np.unique(groups))
        assert set(folds) == set(range(5))

    def test_rows_without_groups_spread_every_class_evenly(self) -> None:
        labels = np.random.default_rng(0).choice(3, 503, p=[0.9, 0.08, 0.02])

        folds = folds_of(labels, np.arange(503), 5)

        counts = np.array([np.bincount(labels[folds == fold], minlength=3) for fold in range(5)])
        assert np.ptp(counts, axis=0).max() <= 1
        assert np.ptp(counts.sum(axis=1)) <= 1

    def test_groups_of_one_class_each_spread_the_classes(self) -> None:
        groups = np.repeat(np.arange(20), 7)
        labels = groups % 2

        folds = folds_of(labels, groups, 5)

        assert all(np.bincount(labels[folds == fold]).tolist() == [14, 14] for fold in range(5))

    def test_groups_of_unequal_sizes_make_folds_of_like_sizes(self) -> None:
        groups = np.repeat(np.arange(25), np.arange(1, 26))

        sizes = np.bincount(folds_of(np.zeros(len(groups)), groups, 5))

        assert sizes.max() / sizes.min() < 1.5

    def test_fewer_groups_than_folds_make_as_many_folds(self) -> None:
        groups = np.repeat([4, 9, 2], 5)

        assert len(set(folds_of(np.zeros(15), groups, 5))) == 3

    def test_names_of_groups_and_kinds_do_not_matter_but_their_order(self) -> None:
        groups, kinds = np.random.default_rng(1).integers(0, 9, (2, 80))

        np.testing.assert_array_equal(folds_of(5 * kinds, 3 * groups + 100, 4), folds_of(kinds, groups, 4))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("subjects", [1, 2, 3])
def test_few_groups_make_a_probe_all_the_same(subjects: int) -> None:
    features, labels = blobs(12, 2)
    groups = np.arange(400) % subjects

    probe = probes.class_probe(features, labels, groups, CONFIG)

    assert probe.converged
    assert np.mean(predict(probe, features) == labels) > 0.6


@pytest.mark.filterwarnings("error")
def test_a_class_of_one_group_cannot_be_held_out_and_is_learned() -> None:
    features, labels = blobs(13, 3)
    groups = np.where(labels == 2, 0, 1 + np.arange(400) % 20)

    probe = probes.class_probe(features, labels, groups, CONFIG)

    assert probe.converged
    assert np.mean(predict(probe, features[labels == 2]) == 2) > 0.5
