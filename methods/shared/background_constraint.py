"""The weight of a background under which the best direction has at most a background variance of 1.

Primal: the largest v' C_t v among unit vectors v with v' C_b v <= 1. Its dual is the smallest, over tau >= 0, of

    f(tau) = largest eigenvalue of (C_t - tau C_b) + tau,

which is convex, with slope 1 - v' C_b v where v is the leading unit eigenvector. Both have the same value. Where the
leading eigenvalue is double at the minimum, f has a kink there, and the best direction is a mixture of its
eigenvectors: so the sign of the slope is bisected, which a kink does not disturb.
"""

from __future__ import annotations

from torch import Tensor

from cabench.errors import UserError
from cabench.methods.shared.moments import leading_directions

PRECISION = 1e-6
"""Of the weight, relative."""
LARGEST_WEIGHT = 1e6
"""Where the target's total variance is 1, as is the constraint."""
NO_WEIGHT = 1e-9
"""Likewise: below it, a slope that is negative at 0 alone, as of two equal leading eigenvalues, is rounding."""
ROUNDING = 1e-9
"""Of the slope: a single value varies as much as the average value, and keeps the constraint."""


def constrained_weight(c_target: Tensor, c_background: Tensor) -> float:
    """The tau at which f is smallest; 0 where the target's own leading direction keeps the constraint.

    Args:
        c_target: float64 (size, size), a covariance, in any units.
        c_background: likewise, in units in which the constraint is 1.

    Raises:
        UserError: where no direction keeps the constraint, so that f falls for ever.
    """
    unit = c_target.trace().item()
    if unit <= 0 or slope(c_target, c_background, 0.0) >= -ROUNDING:
        return 0.0
    low, high = 0.0, unit
    while slope(c_target, c_background, high) < -ROUNDING:
        low, high = high, 2 * high
        if high > LARGEST_WEIGHT * unit:
            raise UserError(
                "No direction has a background variance as small as that of the average value, so there is no weight "
                "that makes it so; set standardize, keep more preprocess_components, or choose alpha in another "
                "way (cpca)."
            )
    while high - low > PRECISION * high and high > NO_WEIGHT * unit:
        middle = (low + high) / 2
        low, high = (middle, high) if slope(c_target, c_background, middle) < 0 else (low, middle)
    return (low + high) / 2


def slope(c_target: Tensor, c_background: Tensor, tau: float) -> float:
    """The slope of f: 1 - v' C_b v, of the leading unit eigenvector v of C_t - tau C_b."""
    (leading,) = leading_directions(c_target - tau * c_background, 1).T
    return 1.0 - float(leading @ c_background @ leading)
