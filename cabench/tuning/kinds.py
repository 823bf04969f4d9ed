"""Of which methods a comparison of trials says something. What is not installed counts as not told, with two spaces.

A method that is told the attributes is a yardstick. One that has a single vector for both spaces cannot separate, and
what criteria without labels say of it is the same for every trial.
"""

from __future__ import annotations

from cabench import discovery
from cabench.method import ContrastiveAnalysisMethod
from cabench.tuning.tuning_record import TuningRecord


def is_told(record: TuningRecord) -> bool:
    """Whether the method learns from the attributes."""
    method = _installed(record)
    return method is not None and method.supervised


def has_two_spaces(record: TuningRecord) -> bool:
    """Whether the method has a vector for each space."""
    method = _installed(record)
    return method is None or not method.one_space


def _installed(record: TuningRecord) -> type[ContrastiveAnalysisMethod] | None:
    return discovery.method_class(record.name) if record.name in discovery.plugins("methods") else None
