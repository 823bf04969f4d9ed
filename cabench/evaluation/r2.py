"""R², the coefficient of determination: 1 - squared error / variance of the test values. At most 1; chance is 0.

It is negative where predictions are worse than the test mean; records keep it so, tables show 0.
"""

import numpy as np

from cabench.evaluation.measurement import Measurement, NotMeasurableError


def r2(values: np.ndarray, predicted: np.ndarray) -> Measurement:
    """R² of `predicted` for `values`, both float64 (n,), with the delta method's standard error of a ratio of means.

    Raises:
        NotMeasurableError: where there are no values, or all are equal.
    """
    if not len(values):
        raise NotMeasurableError("there are no test images")
    errors = (values - predicted) ** 2
    deviations = (values - values.mean()) ** 2
    spread = deviations.mean()
    if np.ptp(values) == 0 or spread == 0:
        raise NotMeasurableError("all test values are equal")
    ratio = errors.mean() / spread
    influence = (errors - ratio * deviations) / spread
    return Measurement(float(1 - ratio), 0.0, float(influence.std() / np.sqrt(len(values))))
