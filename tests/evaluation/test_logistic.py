"""The softmax solver: scikit-learn's optimum under every penalty, and the optimality conditions themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_sample_weight

from cabench.evaluation import logistic
from cabench.evaluation.logistic import Softmax, balanced_weights, softmax_path

PENALTIES = (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)


def classes(seed: int, k: int = 4, n: int = 400, d: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping classes, the last one five times as frequent as the first, in correlated, standardised features."""
    generator = np.random.default_rng(seed)
    shares = np.linspace(1, 5, k)
    labels = generator.choice(k, n, p=shares / shares.sum())
    features = generator.normal(size=(k, d))[labels] + generator.normal(size=(n, d)) @ generator.normal(size=(d, d))
    return (features - features.mean(axis=0)) / features.std(axis=0), labels


def objective(model: Softmax, features: np.ndarray, labels: np.ndarray, penalty: float) -> float:
    codes = np.searchsorted(model.classes, labels)
    log_probabilities = log_softmax(features @ model.weights + model.intercepts, axis=1)
    likelihoods = log_probabilities[np.arange(len(codes)), codes]
    over_classes = np.mean([likelihoods[codes == code].mean() for code in np.unique(codes)])
    return -over_classes + penalty / 2 * np.sum(model.weights**2)


def scikit_learn(features: np.ndarray, labels: np.ndarray, penalty: float) -> LogisticRegression:
    settings = {"class_weight": "balanced", "tol": 1e-10, "max_iter": 10_000, "solver": "newton-cg"}
    return LogisticRegression(C=1 / (len(labels) * penalty), **settings).fit(features, labels)


@pytest.mark.parametrize("k", [3, 7])
def test_equals_scikit_learn_on_the_whole_path(k: int) -> None:
    features, labels = classes(0, k)

    for penalty, model in zip(PENALTIES, softmax_path(features, labels, PENALTIES, 2000), strict=True):
        own = scikit_learn(features, labels, penalty)
        best = Softmax(own.classes_, own.coef_.T, own.intercept_, True)

        assert model.converged
        # A gradient of 1e-5 leaves 1e-10 of the objective where curvature is 1, and more where the penalty is weak.
        assert objective(model, features, labels, penalty) == pytest.approx(
            objective(best, features, labels, penalty), abs=2e-6
        )
        np.testing.assert_allclose(
            np.exp(model.log_probabilities(features)), own.predict_proba(features), atol=5e-4, rtol=0
        )


@pytest.mark.parametrize("k", [3, 7])
def test_is_scikit_learns_optimum_to_as_many_digits_as_are_asked_for(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logistic, "GRADIENT_TOLERANCE", 1e-8)
    features, labels = classes(0, k)

    for penalty, model in zip(PENALTIES, softmax_path(features, labels, PENALTIES, 2000), strict=True):
        own = scikit_learn(features, labels, penalty)

        assert model.converged
        np.testing.assert_allclose(model.weights, own.coef_.T, atol=1e-5 + 1e-9 / penalty, rtol=0)
        np.testing.assert_allclose(
            np.exp(model.log_probabilities(features)), own.predict_proba(features), atol=1e-6, rtol=0
        )


def test_two_classes_share_what_scikit_learn_gives_one_vector() -> None:
    features, labels = classes(1, 2)

    for penalty, model in zip(PENALTIES, softmax_path(features, labels, PENALTIES, 2000), strict=True):
        # Two opposite vectors of half the length: half the squares, so that the penalty weighs half as much.
        own = scikit_learn(features, labels, penalty / 2)

        np.testing.assert_allclose(model.weights[:, 1] - model.weights[:, 0], own.coef_[0], atol=2e-3)
        np.testing.assert_allclose(model.weights.sum(axis=1), 0, atol=1e-4)


def test_optimality_conditions_hold() -> None:
    features, labels = classes(2, 3, n=200)
    indicators = np.eye(3)[labels]
    weights = balanced_weights(labels)[:, None]

    for penalty, model in zip(PENALTIES, softmax_path(features, labels, PENALTIES, 2000), strict=True):
        residuals = softmax(features @ model.weights + model.intercepts, axis=1) - indicators

        np.testing.assert_allclose(features.T @ (weights * residuals) / 200 + penalty * model.weights, 0, atol=3e-5)
        np.testing.assert_allclose((weights * residuals).mean(axis=0), 0, atol=1e-5)


def test_stronger_penalties_give_smaller_weights() -> None:
    sizes = [np.sum(model.weights**2) for model in softmax_path(*classes(3), PENALTIES, 2000)]

    assert sizes == sorted(sizes)
    assert sizes[0] < 0.1 * sizes[-1]


def test_intercepts_sum_to_zero_and_probabilities_to_one() -> None:
    features, labels = classes(4)

    for model in softmax_path(features, labels, PENALTIES, 2000):
        assert model.intercepts.sum() == pytest.approx(0, abs=1e-12)
        np.testing.assert_allclose(np.exp(model.log_probabilities(features)).sum(axis=1), 1)


def test_without_information_every_class_is_as_probable_whatever_its_frequency() -> None:
    labels = np.repeat([0, 1, 2], [10, 30, 60])

    (model,) = softmax_path(np.zeros((100, 2)), labels, [1e-5], 2000)

    np.testing.assert_allclose(np.exp(model.log_probabilities(np.zeros((1, 2)))), 1 / 3, atol=1e-5)
    np.testing.assert_array_equal(model.weights, 0)


def test_weights_of_all_classes_sum_to_the_same_and_have_a_mean_of_one() -> None:
    codes = np.array([0, 1, 1, 2, 2, 2, 2, 2])
    weights = balanced_weights(codes)

    np.testing.assert_allclose(np.bincount(codes, weights), 8 / 3)
    np.testing.assert_allclose(weights, compute_sample_weight("balanced", codes))


def test_rows_of_a_class_that_stand_twice_change_nothing() -> None:
    features, labels = classes(12, 3)
    rare = labels == 0
    twice = np.r_[features, features[rare]], np.r_[labels, labels[rare]]

    for one, other in zip(
        softmax_path(features, labels, PENALTIES, 2000), softmax_path(*twice, PENALTIES, 2000), strict=True
    ):
        np.testing.assert_allclose(
            np.exp(other.log_probabilities(features)), np.exp(one.log_probabilities(features)), atol=5e-4
        )


def test_labels_need_not_be_consecutive() -> None:
    features, labels = classes(5, 3)

    (plain,) = softmax_path(features, labels, [0.01], 2000)
    (renamed,) = softmax_path(features, np.array([3, 7, 20])[labels], [0.01], 2000)

    np.testing.assert_array_equal(renamed.classes, [3, 7, 20])
    np.testing.assert_array_equal(renamed.weights, plain.weights)


def test_the_start_costs_time_and_changes_nothing_else() -> None:
    features, labels = classes(6)
    path = softmax_path(features, labels, PENALTIES, 2000)

    from_elsewhere = softmax_path(features, labels, PENALTIES, 2000, path[::-1])
    alone = [softmax_path(features, labels, [penalty], 2000)[0] for penalty in PENALTIES]

    for models in (from_elsewhere, alone):
        assert all(model.converged for model in models)
        for model, expected in zip(models, path, strict=True):
            np.testing.assert_allclose(
                np.exp(model.log_probabilities(features)), np.exp(expected.log_probabilities(features)), atol=5e-4
            )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("iterations", [1, 3, 101])
def test_no_more_steps_are_taken_than_allowed(iterations: int, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    solver = logistic.minimize

    def counted(*arguments, **options):
        found = solver(*arguments, **options)
        steps.append(found.nit)
        return found

    monkeypatch.setattr(logistic, "minimize", counted)
    monkeypatch.setattr(logistic, "GRADIENT_TOLERANCE", 0.0)
    (model,) = softmax_path(*classes(7), [1e-5], iterations)

    assert 0 < sum(steps) <= iterations
    assert not model.converged


@pytest.mark.filterwarnings("error")
class TestHardCases:
    def test_classes_that_a_line_separates(self) -> None:
        labels = np.arange(300) % 3
        features = np.eye(3)[labels] - 1 / 3

        for penalty, model in zip(PENALTIES, softmax_path(features, labels, PENALTIES, 2000), strict=True):
            assert model.converged
            assert (model.log_probabilities(features).argmax(axis=1) == labels).all(), penalty

    def test_nearly_copied_features(self) -> None:
        features, labels = classes(8, n=300)
        close = np.c_[features, features + 1e-6 * np.random.default_rng(8).normal(size=features.shape)]

        for penalty, model in zip(PENALTIES, softmax_path(close, labels, PENALTIES, 2000), strict=True):
            assert model.converged
            # A feature and its copy halve the weight, and so the penalty, of one.
            (plain,) = softmax_path(features, labels, [penalty / 2], 2000)
            assert objective(model, close, labels, penalty) == pytest.approx(
                objective(plain, features, labels, penalty / 2), abs=1e-5
            )

    def test_fewer_rows_than_features(self) -> None:
        features, labels = classes(9, 3, n=30, d=80)

        for penalty, model in zip(PENALTIES, softmax_path(features, labels, PENALTIES, 2000), strict=True):
            own = scikit_learn(features, labels, penalty)
            best = Softmax(own.classes_, own.coef_.T, own.intercept_, True)

            assert model.converged
            assert objective(model, features, labels, penalty) == pytest.approx(
                objective(best, features, labels, penalty), rel=1e-3, abs=1e-8
            )

    def test_a_class_of_one_row(self) -> None:
        features, labels = classes(10, 2)
        labels[0] = 2

        for model in softmax_path(features, labels, PENALTIES, 2000):
            assert model.converged
            assert np.isfinite(model.log_probabilities(features)).all()

    def test_rows_far_from_all_that_was_fitted(self) -> None:
        features, labels = classes(11)

        (model,) = softmax_path(features, labels, [1e-5], 2000)

        assert np.isfinite(model.log_probabilities(1e8 * features)).all()
