"""Multinomial logistic regression along a path of penalties, fitted to convergence and fast enough to cross-validate.

The objective is the weighted mean negative log-likelihood of softmax(X W + b) plus penalty / 2 * sum of W², where every
class has the same total weight: scikit-learn's `LogisticRegression(class_weight="balanced")` with C = 1 / (n penalty)
minimises it for three or more classes. Without the weights a rare class would hide behind the threshold. L-BFGS works
on it in coordinates in which its curvature is nearly the same in all directions: along the principal axes of X, each
parameter scaled by the root of its second derivative. On correlated features that takes a tenth of the steps, and the
optimum is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

GRADIENT_TOLERANCE = 1e-5  # largest absolute entry of the gradient, in the scaled coordinates
ROUND = 100  # steps before the coordinates are scaled anew


class Softmax(NamedTuple):
    """A fitted model.

    Attributes:
        classes: int64 (k,), sorted.
        weights: float64 (d, k).
        intercepts: float64 (k,), summing to 0.
        converged: whether the gradient fell below `GRADIENT_TOLERANCE`.
    """

    classes: np.ndarray
    weights: np.ndarray
    intercepts: np.ndarray
    converged: bool

    def log_probabilities(self, features: np.ndarray) -> np.ndarray:
        """Float64 (n, k): log-probability of every class for float features (n, d)."""
        logits: np.ndarray = features @ self.weights + self.intercepts
        logits -= logsumexp(logits, axis=1, keepdims=True)
        return logits


def softmax_path(
    features: np.ndarray,
    labels: np.ndarray,
    penalties: Sequence[float],
    iterations: int,
    starts: Sequence[Softmax] = (),
) -> list[Softmax]:
    """Fits under each of the penalties.

    Args:
        features: float64 (n, d), standardised.
        labels: int64 (n,), of at least two classes.
        penalties: above 0; every fit starts from the one before, so that strong to weak is fastest.
        iterations: most steps of the solver for one fit.
        starts: models of the same classes, one for each penalty, to start from instead.
    """
    classes, codes = np.unique(labels, return_inverse=True)
    problem = _Problem(features, codes)
    previous = Softmax(classes, np.zeros((features.shape[1], len(classes))), np.zeros(len(classes)), True)
    path = []
    for index, penalty in enumerate(penalties):
        previous = problem.fit(starts[index] if starts else previous, penalty, iterations)
        path.append(previous)
    return path


def balanced_weights(codes: np.ndarray) -> np.ndarray:
    """Float64 (n,): n / (classes * rows of the class) for int64 `codes` (n,) from 0, each of which occurs; mean 1."""
    sizes = np.bincount(codes)
    weights: np.ndarray = (len(codes) / (len(sizes) * sizes))[codes]
    return weights


class _Problem:
    """One set of rows, turned to its principal axes once for all penalties."""

    def __init__(self, features: np.ndarray, codes: np.ndarray) -> None:
        self.axes = np.linalg.eigh(features.T @ features / len(features)).eigenvectors
        self.turned = features @ self.axes
        self.codes = codes
        self.weights = balanced_weights(codes)
        self.rows = np.arange(len(codes))

    def fit(self, start: Softmax, penalty: float, iterations: int) -> Softmax:
        weights, intercepts, converged = self.axes.T @ start.weights, start.intercepts, False
        for done in range(0, iterations, ROUND):
            steps = min(ROUND, iterations - done)
            weights, intercepts, converged = self._round(weights, intercepts, penalty, steps)
            if converged:
                break
        return Softmax(start.classes, self.axes @ weights, intercepts - intercepts.mean(), converged)

    def _round(
        self, weights: np.ndarray, intercepts: np.ndarray, penalty: float, steps: int
    ) -> tuple[np.ndarray, np.ndarray, bool]:
        """At most so many steps, in coordinates scaled by the curvature at the given weights and intercepts."""
        scale = 1 / np.sqrt(self._curvatures(weights, intercepts) + penalty)

        def objective(scaled: np.ndarray) -> tuple[float, np.ndarray]:
            parameters = scaled.reshape(scale.shape) * scale
            loss, gradient = self._loss(parameters[:-1], parameters[-1])
            gradient[:-1] += penalty * parameters[:-1]
            return loss + penalty / 2 * float(np.sum(parameters[:-1] ** 2)), (gradient * scale).ravel()

        # ftol = 0: the gradient alone decides, not how little the last step gained.
        options = {"maxiter": steps, "gtol": GRADIENT_TOLERANCE, "ftol": 0, "maxcor": 20}
        first = np.vstack([weights, intercepts]) / scale
        found = minimize(objective, first.ravel(), jac=True, method="L-BFGS-B", options=options)
        parameters = found.x.reshape(scale.shape) * scale
        return parameters[:-1], parameters[-1], bool(np.abs(found.jac).max() <= GRADIENT_TOLERANCE)

    def _curvatures(self, weights: np.ndarray, intercepts: np.ndarray) -> np.ndarray:
        """Float64 (d + 1, k): the diagonal of the loss's Hessian, the intercepts' last."""
        spread = self._probabilities(weights, intercepts)[0]
        spread *= (1 - spread) * self.weights
        return np.vstack([(spread @ self.turned**2).T, spread.sum(axis=1)]) / len(self.codes)

    def _loss(self, weights: np.ndarray, intercepts: np.ndarray) -> tuple[float, np.ndarray]:
        """Weighted mean negative log-likelihood, and its gradient (d + 1, k), that of the intercepts last."""
        residuals, log_likelihood = self._probabilities(weights, intercepts)
        residuals[self.codes, self.rows] -= 1
        residuals *= self.weights / len(self.codes)
        return -log_likelihood, np.vstack([(residuals @ self.turned).T, residuals.sum(axis=1)])

    def _probabilities(self, weights: np.ndarray, intercepts: np.ndarray) -> tuple[np.ndarray, float]:
        """Float64 (k, n) probabilities, and the weighted mean log-likelihood of the labels.

        Classes come first in memory: maxima and sums over ten classes are then taken eight rows at a time.
        """
        logits = weights.T @ self.turned.T
        logits += intercepts[:, None]
        logits -= logits.max(axis=0)
        chosen = logits[self.codes, self.rows]
        np.exp(logits, out=logits)
        totals = logits.sum(axis=0)
        logits /= totals
        return logits, float(np.mean(self.weights * (chosen - np.log(totals))))
