"""What every metric gives: a value, what chance gives and how uncertain it is; or the reason why there is none."""

from typing import NamedTuple


class NotMeasurableError(ValueError):
    """A metric has no meaning on the rows that it was given. The message says why, as a clause."""


class Measurement(NamedTuple):
    """One metric on one set of images.

    Attributes:
        value: the metric.
        chance: what is reached without information on the same labels.
        standard_error: of `value`, over the draw of the test images; None where the metric has none.
        p_value: how often `value` or more is reached without information; None where that was not tested.
        perfect: what is reached with all the information there is.
    """

    value: float
    chance: float
    standard_error: float | None
    p_value: float | None = None
    perfect: float = 1.0
