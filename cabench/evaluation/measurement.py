"""What every metric gives: a value, what chance gives, and how uncertain the value is."""

from typing import NamedTuple


class Measurement(NamedTuple):
    """One metric on one set of test images.

    Attributes:
        value: the metric.
        chance: what predictions without information reach on the same labels.
        standard_error: of `value`, over the draw of the test images.
    """

    value: float
    chance: float
    standard_error: float
