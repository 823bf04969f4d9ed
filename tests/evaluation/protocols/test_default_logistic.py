"""The probe of the papers: scikit-learn's as it comes, and a word on whether it converged."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from cabench.evaluation.protocols.default_logistic import fit_default


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
