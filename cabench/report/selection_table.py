"""Choosing without labels, as tables. A stand-in until the part that holds it is merged."""

from __future__ import annotations

from collections.abc import Sequence

from cabench.report.tables import Table
from cabench.tuning.tuning_record import TuningRecord


def selection_tables(records: Sequence[TuningRecord]) -> list[Table]:
    """The tables of one data set; none yet."""
    return []


def selection_sentence(records: Sequence[TuningRecord]) -> str:
    """What a practitioner should choose by; nothing yet."""
    return ""
