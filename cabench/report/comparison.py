"""Which differences between methods are real, and so what tables set in bold.

Methods that learn and are not told the attributes take part; controls that learn nothing and methods that are taught
the attributes are yardsticks, shown beside them. Every two methods are compared over seeds and test groups, see
`cabench.report.crossed`, and p-values are corrected for the number of pairs, see `cabench.report.multiplicity`. Of a
method that was named beforehand, only its differences from the others are tested, which finds more.

**Bold** is the set of methods of which one is the best: it holds the one truly best in at least 95 of 100 tables.
Nothing is bold where nobody can be left out of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from itertools import combinations
from typing import NamedTuple

import numpy as np

from cabench import discovery
from cabench.errors import UserError
from cabench.evaluation.grouped import sampled as over_groups
from cabench.report.crossed import ONE_SEED, Difference, Differences, TestGroups, difference, differences
from cabench.report.multiplicity import LEVEL, holm, may_be_best, shaffer
from cabench.report.quantities import Quantity
from cabench.report.row_values import Sampled, over_seeds, sampled
from cabench.report.summary import Row

OTHER_IMAGES = "scored on other test images"
NO_GROUPS = TestGroups(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


class Mark(Enum):
    """How an entry stands out in its column."""

    NONE = ""
    BEST = "one of these is the best"


class Limits(NamedTuple):
    """What limits comparisons with one method.

    Attributes:
        method: its name.
        group_share: the part of the variance of a difference from it that comes from the test groups: the median over
            the other methods. None where no other can be tested.
        detectable: the difference from it that a single test against both variances finds with probability 0.8: the
            median likewise.
        groups: the test groups; None where they are not known.
    """

    method: str
    group_share: float | None
    detectable: float | None
    groups: TestGroups | None

    @classmethod
    def of(cls, method: str, differences: Sequence[Difference], groups: TestGroups | None) -> Limits:
        """Those of the differences of others from a method."""
        shares, smallest = ([getattr(d, name) for d in differences] for name in ("group_share", "detectable"))
        return cls(method, _median(shares), _median(smallest), groups)

    @property
    def degrees(self) -> float:
        """Of freedom that the test groups leave."""
        if self.groups is None:
            return 0.0
        return over_groups(np.zeros(len(self.groups.rows)), *self.groups).degrees


@dataclass(frozen=True)
class Comparison:
    """Methods by one quantity, of which less is better.

    Attributes:
        means: of the methods that can be tested, by name, the best first.
        untested: by the name of the others that take part, a clause that says why not.
        may_be_best: the names of the methods of which one is the best, at 95 %.
        groups: the test groups that all of them were scored on; None where they are not known.
        compared: the names of all methods that were compared, the best first, also of those that cannot be tested.
        found: how every two of these differ.
    """

    means: Mapping[str, float]
    untested: Mapping[str, str]
    may_be_best: Sequence[str]
    groups: TestGroups | None
    compared: Sequence[str]
    found: Differences = field(compare=False)

    @cached_property
    def differences(self) -> Mapping[tuple[str, str], Difference]:
        """Of every two of the methods that can be tested, the better one named first."""
        pairs = enumerate(combinations(self.compared, 2))
        return {pair: self.found.pair(number) for number, pair in pairs if not self.untested.keys() & set(pair)}

    @cached_property
    def p_values(self) -> Mapping[frozenset[str], float]:
        """By pair, corrected for the number of pairs: 0.03 says that in at most 3 of 100 tables in which no method
        differs any two would seem to differ as clearly. Pairs without one cannot be tested.
        """
        known = {pair: each.p_value for pair, each in self.differences.items()}
        return shaffer({frozenset(pair): p_value for pair, p_value in known.items() if p_value is not None})

    @property
    def best(self) -> str:
        """The name of the method with the smallest mean. There is one where two or more can be tested."""
        return next(iter(self.means))

    @property
    def bold(self) -> Sequence[str]:
        """The methods that may be the best, where that leaves anyone out."""
        return self.may_be_best if len(self.may_be_best) < len(self.means) else ()

    @property
    def worse(self) -> list[str]:
        """The methods that are shown to be worse than the best."""
        return [name for name in self.means if self.p_values.get(frozenset((self.best, name)), 1.0) < LEVEL]

    @property
    def not_worse(self) -> list[str]:
        """All others but the best itself."""
        return [name for name in self.means if name not in (self.best, *self.worse)]

    @property
    def limits(self) -> Limits:
        """What limits the differences from the best."""
        best = next(iter(self.means), "")
        return Limits.of(best, [found for pair, found in self.differences.items() if best in pair], self.groups)

    def from_best(self, name: str) -> Difference:
        """The best method less another one."""
        return self.differences[self.best, name]


class Declared(NamedTuple):
    """All methods against one that was named beforehand, by one quantity of which less is better.

    Attributes:
        reference: the name of that method.
        better: the names of methods that are shown to be better, p-values corrected for their number.
        worse: of those that are shown to be worse.
        alike: of those that cannot be told apart from it.
        untested: by the name of the others, a clause that says why not; the reference's own where it stands there.
        differences: of the others less the reference, by their names.
        limits: what limits these.
    """

    reference: str
    better: Sequence[str]
    worse: Sequence[str]
    alike: Sequence[str]
    untested: Mapping[str, str]
    differences: Mapping[str, Difference]
    limits: Limits


def takes_part(row: Row) -> bool:
    """Whether a row is compared: current records of a method that learns and is not told the attributes."""
    if "takes part" not in row.found:
        row.found["takes part"] = _takes_part(row)
    return bool(row.found["takes part"])


def _takes_part(row: Row) -> bool:
    if not row.records or row.stale:
        return False
    entry = row.records[0].method
    try:
        method = discovery.method_class(entry["name"])
    except UserError:  # handed over in Python, from elsewhere, or of a package that is not installed here
        return entry.get("learns", True) and not entry.get("supervised", False)
    return "target" in method.learns_from and not method.supervised


def compare(rows: Sequence[Row], quantity: Quantity) -> Comparison:
    """Compare the rows that take part and have the quantity."""
    found, untested = _sort_out([row for row in rows if takes_part(row)], quantity)
    means = {name: float(part.sample.values.mean()) for name, part in found.items()}
    ordered = sorted(means, key=lambda name: means[name])
    groups = next((part.groups for part in found.values()), None)
    pairs = differences([found[name].sample for name in ordered], groups or NO_GROUPS)
    alone = _alone(ordered, pairs)
    tested = [name for name in ordered if name not in alone]
    return Comparison(
        means={name: means[name] for name in tested},
        untested={**untested, **alone},
        may_be_best=may_be_best(tested, _better(ordered, pairs)),
        groups=groups,
        compared=ordered,
        found=pairs,
    )


def against(rows: Sequence[Row], quantity: Quantity, reference: str) -> Declared:
    """Compare the rows that take part with one that was named beforehand, a current row that need not take part."""
    chosen = [row for row in rows if row.name == reference and row.records and not row.stale]
    others = [row for row in rows if takes_part(row) and row.name != reference]
    found, untested = _sort_out([*chosen, *others], quantity)
    if reference not in found:
        return Declared(reference, (), (), (), untested, {}, Limits.of(reference, [], None))
    differences = {name: _difference(found[name], found[reference]) for name in found if name != reference}
    p_values = holm({name: each.p_value for name, each in differences.items() if each.p_value is not None})
    untested |= {name: each.reason for name, each in differences.items() if each.p_value is None}
    shown = [name for name, p in p_values.items() if p < LEVEL]
    return Declared(
        reference=reference,
        better=[name for name in shown if differences[name].difference < 0],
        worse=[name for name in shown if differences[name].difference > 0],
        alike=[name for name in p_values if name not in shown],
        untested=untested,
        differences=differences,
        limits=Limits.of(reference, list(differences.values()), found[reference].groups),
    )


def mark(row: Row, found: Comparison) -> Mark:
    """How a row stands out in a column."""
    return Mark.BEST if not row.stale and row.name in found.bold else Mark.NONE


def _sort_out(rows: Sequence[Row], quantity: Quantity) -> tuple[dict[str, Sampled], dict[str, str]]:
    """The rows that have the quantity, by name: those that can be tested, and why the others cannot."""
    found: dict[str, Sampled] = {}
    untested: dict[str, str] = {}
    groups: TestGroups | None = None
    for row in rows:
        if not over_seeds(row, quantity):
            continue
        part = sampled(row, quantity)
        if isinstance(part, str):
            untested[row.name] = part
        elif len(part.sample.values) < 2:  # whether seeds change it is then not known either
            untested[row.name] = ONE_SEED
        elif groups is not None and not _same(groups, part.groups):
            untested[row.name] = OTHER_IMAGES
        else:
            found[row.name], groups = part, part.groups
    return found, untested


def _same(a: TestGroups, b: TestGroups) -> bool:
    alike = ((a.rows, b.rows), (a.strata, b.strata))
    return all(one is other or np.array_equal(one, other) for one, other in alike)


def _difference(a: Sampled, b: Sampled) -> Difference:
    return difference(a.sample, b.sample, a.groups)


def _alone(names: Sequence[str], pairs: Differences) -> dict[str, str]:
    """The methods that cannot be tested against any other, and why."""
    if len(names) < 2:
        return {}
    first, second = np.triu_indices(len(names), 1)
    is_tested = np.zeros((len(names), len(names)), dtype=bool)
    is_tested[first, second] = is_tested[second, first] = ~np.isnan(pairs.p_values)
    numbers = np.flatnonzero(~is_tested.any(axis=1)).tolist()
    return {names[i]: str(pairs.reasons[np.flatnonzero((first == i) | (second == i))[0]]) for i in numbers}


def _better(names: Sequence[str], pairs: Differences) -> dict[tuple[str, str], float]:
    """By two methods, the one-sided p-value that the first is better than the second, as far as that is tested."""
    found = zip(combinations(names, 2), pairs.better_p.tolist(), strict=True)
    return {pair: p_value for pair, p_value in found if not math.isnan(p_value)}


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
