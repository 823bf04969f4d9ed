"""The probe that all three papers use: scikit-learn's logistic regression as it comes, stopped after 100 steps."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

ITERATIONS = 100


def fit_default(features: np.ndarray, labels: np.ndarray) -> tuple[LogisticRegression, bool]:
    """A model of int64 `labels` (n,) on float64 `features` (n, d), C = 1, and whether it converged."""
    model = LogisticRegression(max_iter=ITERATIONS)
    with warnings.catch_warnings():
        # Non-convergence is recorded with the score instead.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features, labels)
    return model, bool(model.n_iter_.max() < ITERATIONS)


def has_classes(labels: np.ndarray, tested: np.ndarray) -> bool:
    """Whether there are two classes to learn among int64 `labels` (n,), and images to test on; a paper's script has."""
    return len(np.unique(labels)) > 1 and len(tested) > 0
