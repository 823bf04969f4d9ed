"""Linear probes: how well an attribute can be read off a representation by a linear model.

Features are standardised by their mean and standard deviation over the probe's training rows.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from cabench.config import Settings, setting


@dataclass(frozen=True)
class ProbeConfig(Settings):
    """How probes are fitted; part of every cell's key."""

    logistic_c: float = setting(1.0, above=0, help="inverse strength of the L2 penalty of logistic regression")
    logistic_iterations: int = setting(2000, at_least=1, help="most iterations of the L-BFGS solver")
    ridge_alpha: float = setting(1.0, at_least=0, help="strength of the L2 penalty of ridge regression")


class Probe(NamedTuple):
    """A fitted probe.

    Attributes:
        model: standardisation and linear model; `predict` and, for classes, `decision_function` take (n, d) features.
        converged: whether the solver reached its tolerance.
    """

    model: Pipeline
    converged: bool


def class_probe(features: np.ndarray, labels: np.ndarray, config: ProbeConfig) -> Probe:
    """Multinomial logistic regression of int64 `labels` (n,) on float `features` (n, d).

    Raises:
        ValueError: when the labels hold fewer than two classes.
    """
    model = LogisticRegression(C=config.logistic_c, max_iter=config.logistic_iterations)
    pipeline = make_pipeline(StandardScaler(), model)
    with warnings.catch_warnings():
        # Non-convergence is recorded with the score instead.
        warnings.simplefilter("ignore", ConvergenceWarning)
        pipeline.fit(features, labels)
    return Probe(pipeline, bool(model.n_iter_.max() < config.logistic_iterations))


def real_probe(features: np.ndarray, values: np.ndarray, config: ProbeConfig) -> Probe:
    """Ridge regression of float64 `values` (n,) on float `features` (n, d), in closed form."""
    return Probe(make_pipeline(StandardScaler(), Ridge(alpha=config.ridge_alpha)).fit(features, values), True)
