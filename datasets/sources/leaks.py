"""The note on a split that has the same patient on both sides."""

from __future__ import annotations

import pandas as pd

from cabench.data.writing import DatasetWriter


def note_leak(writer: DatasetWriter, patients: pd.Series, is_test: pd.Series) -> None:
    """Note, where it is so, how many patients stand in both splits."""
    shared = set(patients[is_test]) & set(patients[~is_test])
    if shared:
        writer.note(
            f"LEAKY SPLIT: images of {len(shared):,} patients stand in both splits, so that scores are too high; "
            'split = "patient-disjoint" has none.'
        )
