"""Whether background and target can be told apart without looking at the content: by size, brightness, file type.

Where one number tells populations, a method may learn that number, which comes from how images were made, instead of
what is salient. Each number is judged on its own, by the area under its ROC curve, whichever population has the larger
values; a category by how often it was a target's among the other half of the examples, so that rare categories tell
nothing. A shortcut is said if the area reaches `TOLD` and a Mann-Whitney test finds it at `LEVEL`, which chance alone
does in about one of a thousand numbers: two populations of 20 examples need an area of 0.81, of 8 examples 0.99.

Examples of one group are no independent evidence: their numbers are averaged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import mannwhitneyu

from cabench.data.groups import group_codes
from cabench.data.layout import Findings, StoredSplit, texts

TOLD = 0.7  # area under the ROC curve, from which on a shortcut is said
LEVEL = 0.001


class Measures(NamedTuple):
    """What is known of examples without looking at their content.

    Attributes:
        numbers: (n,) real numbers by name.
        categories: (n,) text by name.
    """

    numbers: Mapping[str, np.ndarray]
    categories: Mapping[str, np.ndarray]


def shortcuts(measures: Measures, is_target: np.ndarray, groups: np.ndarray) -> str:
    """A sentence, without its full stop, about what tells background from target; "" if nothing does.

    Args:
        measures: of n examples.
        is_target: bool (n,).
        groups: (n,) text, equal for examples that belong together; "" = none.
    """
    if is_target.all() or not is_target.any():
        return ""
    codes = np.unique(2 * group_codes(groups) + is_target, return_inverse=True)[1]
    first, sizes = np.unique(codes, return_index=True)[1], np.bincount(codes)
    told = is_target[first]
    areas = {"the number of rows of a group": _area(sizes, told)} if groups.any() else {}
    areas |= {name: _area(np.bincount(codes, values) / sizes, told) for name, values in measures.numbers.items()}
    areas = {name: max(area, 1 - area) for name, area in areas.items()}
    # The less often a category was a target's, the less should it be: only that direction is told by more than chance.
    areas |= {name: _area(_shares(kinds[first], told), told) for name, kinds in measures.categories.items()}
    said = [f"by {name} alone (AUC {area:.2f})" for name, area in areas.items() if area >= TOLD]
    if not said:
        return ""
    told_by = " and ".join(said)
    return f"background and target can be told apart {told_by}: a method may learn that in place of what is salient"


def warn_of_shortcuts(
    splits: Sequence[StoredSplit], numbers: Sequence[Mapping[str, np.ndarray]], findings: Findings
) -> None:
    """Warn where background and target of a file can be told apart by what is measured of its examples.

    Args:
        splits: of one file.
        numbers: of each split, as of `Measures`.
        findings: gets the warning.
    """
    together = {name: np.concatenate([part[name] for part in numbers]) for name in numbers[0]}
    is_target = np.concatenate([split.is_target for split in splits])
    groups = np.concatenate([texts(split.group, "groups", len(split.is_target)) for split in splits])
    if said := shortcuts(Measures(together, {}), is_target, groups):
        findings.warn(said)


def _area(values: np.ndarray, is_target: np.ndarray) -> float:
    """The area under the ROC curve of (n,) values; 0.5 where chance may have made it."""
    if values.min() == values.max():
        return 0.5
    test = mannwhitneyu(values[is_target], values[~is_target], method="asymptotic")
    return float(test.statistic / (is_target.sum() * (~is_target).sum())) if test.pvalue <= LEVEL else 0.5


def _shares(kinds: np.ndarray, is_target: np.ndarray) -> np.ndarray:
    """float64 (n,): how often the kind of an example was a target's among the other half, drawn to the mean by one."""
    codes = np.unique(kinds, return_inverse=True)[1]
    half = np.empty(len(codes), int)
    for population in (is_target, ~is_target):
        half[population] = np.arange(population.sum()) % 2
    shares = np.empty(len(codes))
    for fitted in (0, 1):
        seen, count = half == fitted, codes.max() + 1
        targets = np.bincount(codes[seen], is_target[seen], count)
        share = (targets + is_target.mean()) / (np.bincount(codes[seen], minlength=count) + 1)
        shares[~seen] = share[codes[~seen]]
    return shares
