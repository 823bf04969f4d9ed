"""Many comparisons at once: p-values corrected for their number, and the methods that may be the best.

Of the 45 pairs of ten equal methods, two or three differ by chance with p < 0.05. A corrected p-value says how often
*any* of the pairs would seem to differ as clearly if no methods differed.

Measured by `tests/simulate_comparisons.py` with the tests of `cabench.report.crossed`, ten methods of which two are
deterministic, 1,000 tables a number, in percent. "Any" is how often any pair of equal methods is called (Shaffer's is
the same), "found" the share of nine true differences of 15 points (6 with 1,000 groups) that Holm / Shaffer / Holm with
a declared reference find, "lost" how often one of ten equal methods is left out of those that may be the best. By the
draw of tables, a number near 5 is uncertain by 0.7:

    seeds, groups, spreads of seeds   any       found  lost
    3, 4, 3 points                    0.2   0/ 0/   2   1.0
    3, 20, 3 points                   0.8   6/ 7/  38   0.9
    3, 60, 1 point                    0.4  30/33/  90   1.6
    3, 1000, 1 point                  1.6  17/19/  75   1.4
    3, 1000, 0.3 to 5 points          2.7  14/16/  51   2.6
    3, 1000, 3 points                 1.6   1/ 1/   7   1.7
    5, 4, 1 point                     1.7   1/ 1/   6   3.2
    5, 20, 3 points                   1.9  41/43/  80   2.4
    5, 60, 3 points                   2.1  69/70/  96   2.8
    5, 1000, 1 point                  2.2  95/96/ 100   3.8
    5, 1000, 0.3 to 5 points          2.5  69/70/  90   5.2
    10, 1000, 3 points                4.3  68/69/  94   2.9
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import cache
from math import comb
from typing import TypeVar

LEVEL = 0.05

_Key = TypeVar("_Key", bound=Hashable)


def holm(p_values: Mapping[_Key, float]) -> dict[_Key, float]:
    """P-values in [0, 1] corrected for their number, in the order given (Holm, Scandinavian J. of Statistics 1979).

    They hold whatever the tests have to do with one another.
    """
    return _stepped_down(p_values, range(len(p_values), 0, -1))


def shaffer(p_values: Mapping[frozenset[_Key], float]) -> dict[frozenset[_Key], float]:
    """P-values in [0, 1] of pairs of methods, corrected for their number, in the order given (Shaffer, JASA 1986).

    Holm's correction takes any number of hypotheses to be true together. Hypotheses about pairs hang together: if one
    of the 45 pairs of ten methods differs, at least nine do, as no third method can equal both. So the second smallest
    p-value is multiplied by 36, not by 44.

    Args:
        p_values: by the two methods of each pair. Pairs that cannot be tested may be missing.

    Raises:
        ValueError: where a key is not a pair.
    """
    if any(len(pair) != 2 for pair in p_values):
        raise ValueError(f"Keys must be pairs of methods, not {next(set(pair) for pair in p_values if len(pair) != 2)}")
    methods = len(frozenset[_Key]().union(*p_values))
    pairs = comb(methods, 2)
    possible = sorted(true_together(methods))
    still_true = [
        min(len(p_values) - found, max(number for number in possible if number <= pairs - found))
        for found in range(len(p_values))
    ]
    return _stepped_down(p_values, still_true)


@cache
def true_together(methods: int) -> frozenset[int]:
    """How many pairs can be equal at the same time.

    Methods fall into classes of equal ones; a class of j methods has j (j - 1) / 2 equal pairs. The first class takes j
    of them, the others what is possible among the rest. Of three methods 0, 1 or 3 pairs can be equal.
    """
    if methods < 2:
        return frozenset({0})
    return frozenset(
        comb(equal, 2) + rest for equal in range(1, methods + 1) for rest in true_together(methods - equal)
    )


def may_be_best(methods: Sequence[_Key], better_p: Mapping[tuple[_Key, _Key], float]) -> list[_Key]:
    """The methods that may be the best, in the order given.

    A method is left out if some other is better with p < 0.05 / (number of methods - 1), so that the one truly best is
    among the rest in at least 95 of 100 tables (after Gupta, Technometrics 1965, and Hsu, Annals of Statistics 1981).
    Where several are tied for the best, the chance that *some* of them is left out is larger.

    Args:
        methods: those compared.
        better_p: by (one, other), the one-sided p-value that one is better than the other. A method that cannot be
            tested against any other is left in; say so beside it.
    """
    level = LEVEL / max(1, len(methods) - 1)
    return [method for method in methods if all(better_p.get((other, method), 1.0) >= level for other in methods)]


def _stepped_down(p_values: Mapping[_Key, float], factors: Sequence[int]) -> dict[_Key, float]:
    """From the smallest p-value on each times its factor, at most 1, and none smaller than the one before."""
    corrected: dict[_Key, float] = {}
    largest = 0.0
    for name, factor in zip(sorted(p_values, key=lambda name: p_values[name]), factors, strict=True):
        largest = max(largest, min(1.0, factor * p_values[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in p_values}
