"""Linear probes: scikit-learn's own models on standardised features, with an honest convergence flag."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cabench.config import ConfigError
from cabench.evaluation.probes import ProbeConfig, class_probe, real_probe

CONFIG = ProbeConfig()


def blobs(seed: int, classes: int = 3, n: int = 400, size: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping classes, in features of very different scales."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, n)
    centres = generator.normal(size=(classes, size))
    return (centres[labels] + generator.normal(size=(n, size))) * 10.0 ** np.arange(-3, size - 3), labels


class TestClassProbe:
    @pytest.mark.parametrize("classes", [2, 3, 7])
    def test_equals_scikit_learns_own_pipeline(self, classes: int) -> None:
        features, labels = blobs(0, classes)
        fresh = blobs(1, classes)[0]
        own = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=2000)).fit(features, labels)

        model = class_probe(features, labels, CONFIG).model

        np.testing.assert_array_equal(model.predict(fresh), own.predict(fresh))
        np.testing.assert_allclose(model.decision_function(fresh), own.decision_function(fresh), rtol=1e-10)

    def test_penalty_is_the_configured_one(self) -> None:
        features, labels = blobs(0)
        size = [
            np.abs(class_probe(features, labels, ProbeConfig(logistic_c=c)).model[-1].coef_).sum()
            for c in (0.001, 1.0, 1000.0)
        ]

        assert size[0] < 0.5 * size[1] < size[1] < size[2]

    def test_rescaling_and_shifting_features_changes_nothing(self) -> None:
        features, labels = blobs(0)
        fresh = blobs(1)[0]
        scale, shift = np.array([1e-4, 1, 1e3, -2, 1e5, 7]), np.array([0, 5, -1e3, 2, 0, 1])

        plain = class_probe(features, labels, CONFIG).model
        rescaled = class_probe(features * scale + shift, labels, CONFIG).model

        np.testing.assert_allclose(rescaled.predict_proba(fresh * scale + shift), plain.predict_proba(fresh), atol=1e-3)

    @pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
    def test_constant_features_are_harmless(self, constant: float) -> None:
        features, labels = blobs(0)
        fresh = blobs(1)[0]

        plain = class_probe(features, labels, CONFIG)
        padded = class_probe(np.c_[features, np.full(len(features), constant)], labels, CONFIG)

        assert padded.converged
        np.testing.assert_allclose(
            padded.model.predict_proba(np.c_[fresh, np.full(len(fresh), constant)]),
            plain.model.predict_proba(fresh),
            atol=1e-6,
        )

    def test_constant_features_alone_predict_one_class(self) -> None:
        labels = np.repeat([0, 1, 2], [10, 30, 20])

        probe = class_probe(np.zeros((60, 2)), labels, CONFIG)

        assert set(probe.model.predict(np.zeros((60, 2)))) == {1}

    def test_converges_on_separable_and_on_overlapping_classes(self) -> None:
        features, labels = blobs(0)

        assert class_probe(features, labels, CONFIG).converged
        assert class_probe(np.eye(3)[labels], labels, CONFIG).converged

    @pytest.mark.filterwarnings("error")
    def test_one_iteration_is_said_not_to_converge_without_a_warning(self) -> None:
        features, labels = blobs(0)

        probe = class_probe(features, labels, ProbeConfig(logistic_iterations=1))

        assert probe.converged is False

    def test_boolean_labels_give_one_score_an_image_that_grows_with_true(self) -> None:
        feature = np.linspace(-1, 1, 50)[:, None]

        scores = class_probe(feature, feature[:, 0] > 0, CONFIG).model.decision_function(feature)

        assert scores.shape == (50,)
        assert (np.diff(scores) > 0).all()

    def test_one_class_is_refused(self) -> None:
        with pytest.raises(ValueError, match="class"):
            class_probe(np.eye(4), np.zeros(4, np.int64), CONFIG)


class TestRealProbe:
    def test_recovers_a_linear_law(self) -> None:
        generator = np.random.default_rng(0)
        features, fresh = generator.normal(size=(2, 5000, 4)) * [1, 10, 0.1, 1000] + [0, 5, 0, -300]
        law = np.array([2.0, -0.3, 5.0, 0.001])

        probe = real_probe(features, features @ law + 1.5, CONFIG)

        # A ridge penalty of 1 beside 5,000 rows shrinks coefficients by 1 / 5,001.
        np.testing.assert_allclose(probe.model.predict(fresh), fresh @ law + 1.5, atol=0.01)
        assert probe.converged

    def test_equals_scikit_learns_own_pipeline(self) -> None:
        generator = np.random.default_rng(1)
        features, values = generator.normal(size=(50, 8)) * 10.0 ** np.arange(-4, 4), generator.normal(size=50)
        own = make_pipeline(StandardScaler(), Ridge(alpha=3.0)).fit(features, values)

        probe = real_probe(features, values, ProbeConfig(ridge_alpha=3.0))

        np.testing.assert_allclose(probe.model.predict(features), own.predict(features), rtol=1e-12)

    def test_shrinks_a_single_feature_by_its_penalty_over_the_number_of_rows(self) -> None:
        feature = np.array([-1.0, 1.0, -1.0, 1.0])

        predicted = real_probe(feature[:, None], feature, ProbeConfig(ridge_alpha=2.0)).model.predict([[1.0]])

        assert predicted[0] == pytest.approx(4 / (4 + 2))

    def test_rescaling_and_shifting_features_changes_nothing(self) -> None:
        generator = np.random.default_rng(2)
        features, values = generator.normal(size=(60, 3)), generator.normal(size=60)
        scale, shift = np.array([1e-3, -5, 1e4]), np.array([1, 0, -2e4])

        plain = real_probe(features, values, CONFIG).model.predict(features)
        rescaled = real_probe(features * scale + shift, values, CONFIG).model.predict(features * scale + shift)

        np.testing.assert_allclose(rescaled, plain, atol=1e-9)

    @pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
    def test_constant_features_are_harmless(self, constant: float) -> None:
        generator = np.random.default_rng(3)
        features, values = generator.normal(size=(60, 3)), generator.normal(size=60)
        padded = np.c_[features, np.full(60, constant)]

        np.testing.assert_allclose(
            real_probe(padded, values, CONFIG).model.predict(padded),
            real_probe(features, values, CONFIG).model.predict(features),
            atol=1e-9,
        )

    def test_copied_features_are_harmless(self) -> None:
        features = np.random.default_rng(4).normal(size=(60, 2))
        values = features @ [1.0, -2.0]

        doubled = np.c_[features, features]

        np.testing.assert_allclose(real_probe(doubled, values, CONFIG).model.predict(doubled), values, atol=0.1)


@pytest.mark.parametrize(("field", "value"), [("logistic_c", 0), ("logistic_iterations", 0), ("ridge_alpha", -1)])
def test_values_out_of_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=field):
        ProbeConfig.from_mapping({field: value})
