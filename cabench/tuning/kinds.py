"""Of which methods a comparison of trials says something: as far as they are installed, what they say of themselves.

A method that is told the attributes is a yardstick. One that has a single vector for both spaces cannot separate, and
what criteria without labels say of it is the same for every trial. Of a method that cannot be asked it is taken that it
is not told, and has two spaces.
"""

from __future__ import annotations

from contextlib import suppress

from cabench import discovery
from cabench.errors import UserError
from cabench.method import ContrastiveAnalysisMethod
from cabench.tuning.tuning_record import TuningRecord


def installed(record: TuningRecord) -> type[ContrastiveAnalysisMethod] | None:
    """The method of a record; None where it is not installed, or its package cannot be imported."""
    with suppress(UserError):
        return discovery.method_class(record.name)
    return None


def is_stale(record: TuningRecord) -> bool:
    """Whether the method was tuned in another version than is installed."""
    method = installed(record)
    return method is not None and method.version != record.version


def is_told(record: TuningRecord) -> bool:
    """Whether the method learns from the attributes."""
    method = installed(record)
    return method is not None and method.supervised


def has_two_spaces(record: TuningRecord) -> bool:
    """Whether the method has a vector for each space."""
    method = installed(record)
    return method is None or not method.one_space
