"""Simulates tables of methods, and counts how often `cabench.report` says what is not so, and what is.

    python tests/simulate_comparisons.py                 all settings, about five minutes
    python tests/simulate_comparisons.py --tables 100    a glance

A *level* is the share of tables without a difference in which one is called (nominal: 5 %); *power* is the share of
true differences that are called. Every number goes through the shipped functions. Beside it, in parentheses, stands the
number that the design of the procedure was chosen by, from simulations of other code.

*Two-way tables* (`Design`). A row of the test split changes a method's value by chance with a standard deviation of 20
points. Half of the variance is the same under all seeds, half is drawn anew with each; of either, 30 % is common to a
group's rows. A deterministic method has all of it the same under all seeds. To this comes a normal effect of each seed.
Assumed where the published settings are silent: 60 rows in all, in groups of equal size; with 1,000 groups one row
each; seeds spread by 1 point in the line of one deterministic method; spreads "0.3 to 5" of ten methods rise
geometrically, and the best is a learner with a middle one. The levels of a paired t-test over seeds, printed beside the
known ones, agree with these assumptions. The known numbers of the total test come from seeds that were paired: with
1,000 groups, where seeds are most of the variance, unpaired ones have twice the degrees of freedom, and so a lower
level and more power.

*From rows* (`Rows`). Every row has a class and two scores: one that ought to tell the class (wanted: classes 1.6
standard deviations apart) and one that ought not to (leak: none). The quantity is (1 - W + L) / 2 with W and L = 2 AUC
- 1, where that is positive. Half of the scores' variance is common to a subject's rows; half of either part is the same
under all seeds. For power one method's classes are 0.6 standard deviations apart: the known powers are of an unknown
difference, and this one gives those of the first lines.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy import stats

from cabench.report.crossed import Difference, Sample, TestGroups, difference
from cabench.report.multiplicity import LEVEL, holm, may_be_best, shaffer

ROW_VARIANCE = 20.0**2
GROUP_CORRELATION = 0.3
SUBJECT_CORRELATION = 0.5
WANTED, LESS_WANTED = 1.6, 0.6
BEST = 5  # of ten methods

VERY_UNEQUAL = (2,) * 7 + (3,) * 3 + (4, 4, 6, 6, 10, 10, 15, 18, 20, 20)


class Design(NamedTuple):
    """A two-way table: `spreads` are the standard deviations of each method's seeds, None where it is deterministic."""

    seeds: int
    sizes: tuple[int, ...]
    spreads: tuple[float | None, ...]

    @property
    def groups(self) -> TestGroups:
        return TestGroups(np.array(self.sizes), np.zeros(len(self.sizes), dtype=np.int64))

    @property
    def _group_variances(self) -> np.ndarray:
        own = (1 - GROUP_CORRELATION) / np.array(self.sizes)
        return ROW_VARIANCE * (GROUP_CORRELATION + own)

    def standard_error(self) -> float:
        """Of the difference between the first two methods."""
        over_rows = float(np.sum(np.square(self.sizes) * self._group_variances)) / sum(self.sizes) ** 2
        return float(
            np.sqrt(
                sum(
                    over_rows if spread is None else over_rows / 2 + (over_rows / 2 + spread**2) / self.seeds
                    for spread in self.spreads[:2]
                )
            )
        )

    def draw(self, means: Sequence[float], generator: np.random.Generator) -> list[Sample]:
        return [self._sample(*one, generator) for one in zip(means, self.spreads, strict=True)]

    def _sample(self, mean: float, spread: float | None, generator: np.random.Generator) -> Sample:
        effects = _effects(self.seeds, len(self.sizes), spread is None, generator) * np.sqrt(self._group_variances)
        shares = np.array(self.sizes) / sum(self.sizes)
        over_rows = effects @ shares
        over_seeds = 0.0 if spread is None else spread * generator.normal(size=self.seeds)
        contributions = shares * (effects - over_rows[:, np.newaxis])
        return Sample(mean + over_rows + over_seeds, contributions.mean(axis=0), spread is None)


class Rows(NamedTuple):
    """Rows of subjects, scored by AUC; `by_subject` says whether a subject's rows are all of one class."""

    seeds: int
    sizes: tuple[int, ...]
    deterministic: tuple[bool, bool]
    by_subject: bool = True

    @property
    def _subjects(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def draw(self, apart: Sequence[float], generator: np.random.Generator) -> tuple[list[Sample], TestGroups]:
        subjects = self._subjects
        kinds = np.arange(len(self.sizes)) % 2
        labels = (kinds[subjects] if self.by_subject else generator.permutation(np.arange(len(subjects)) % 2)) == 1
        strata = kinds if self.by_subject else np.zeros_like(kinds)
        samples = [
            self._sample(shift, alike, labels, generator)
            for shift, alike in zip(apart, self.deterministic, strict=True)
        ]
        return samples, TestGroups(np.array(self.sizes), strata)

    def _sample(self, apart: float, alike: bool, labels: np.ndarray, generator: np.random.Generator) -> Sample:
        value, influence = _auc_term(self._noise(alike, generator) + apart * labels, labels)
        leak, leaked = _auc_term(self._noise(alike, generator), labels)
        by_group = np.stack([np.bincount(self._subjects, row) for row in (leaked - influence) / 2])
        return Sample((1 - value + leak) / 2, by_group.mean(axis=0), alike)

    def _noise(self, alike: bool, generator: np.random.Generator) -> np.ndarray:
        """Float64 (seeds, rows), of variance 1."""
        common = _effects(self.seeds, len(self.sizes), alike, generator)[:, self._subjects]
        own = _effects(self.seeds, sum(self.sizes), alike, generator)
        mixed: np.ndarray = np.sqrt(SUBJECT_CORRELATION) * common + np.sqrt(1 - SUBJECT_CORRELATION) * own
        return mixed


def _effects(seeds: int, n: int, alike: bool, generator: np.random.Generator) -> np.ndarray:
    """Float64 (seeds, n), of variance 1: half of it the same under all seeds, or all of it where they are alike."""
    lasting, fresh = generator.normal(size=n), generator.normal(size=(seeds, n))
    mixed: np.ndarray = np.broadcast_to(lasting, (seeds, n)) if alike else (lasting + fresh) / np.sqrt(2)
    return mixed


def _auc_term(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of scores (seeds, rows): max(0, 2 AUC - 1) and its change by each row, from DeLong's placements."""
    placements = stats.rankdata(scores, axis=1)
    for side in (labels, ~labels):
        placements[:, side] -= stats.rankdata(scores[:, side], axis=1)
        placements[:, side] /= np.sum(~side)
    placements[:, ~labels] = 1 - placements[:, ~labels]
    auc = placements[:, labels].mean(axis=1)
    influence = (placements - auc[:, np.newaxis]) / np.where(labels, labels.sum(), np.sum(~labels))
    slope = np.where(auc > 0.5, 2.0, 0.0)
    return np.maximum(0, 2 * auc - 1), slope[:, np.newaxis] * influence


def error(rate: float, tables: int) -> float:
    """The standard error of a rate in percent over so many tables."""
    return float(np.sqrt(rate * (100 - rate) / tables))


def highest(tables: int) -> float:
    """What a true level of 5 % stays below in this many tables, in percent: three standard errors more."""
    return 100 * LEVEL + 3 * error(100 * LEVEL, tables)


class Rates(NamedTuple):
    """Shares of tables in percent, in which two methods are said to differ by the whole procedure and by two others."""

    largest_of_three: float
    total: float
    over_seeds: float


def rates_of_two(design: Design, apart: float, tables: int) -> Rates:
    """How often two methods are said to differ whose true difference is `apart`."""
    generator = np.random.default_rng(0)
    drawn = (design.draw((apart, 0.0), generator) for _ in range(tables))
    return _rates((a, b, design.groups) for a, b in drawn)


def rates_from_rows(design: Rows, first: float, tables: int) -> Rates:
    """The same where the first method's classes are so far apart, and the second's `WANTED`."""
    generator = np.random.default_rng(0)
    drawn = (design.draw((first, WANTED), generator) for _ in range(tables))
    return _rates((samples[0], samples[1], groups) for samples, groups in drawn)


def _rates(pairs: Iterator[tuple[Sample, Sample, TestGroups]]) -> Rates:
    p_values = []
    for a, b, groups in pairs:
        found = difference(a, b, groups)
        p_values.append((found.p_value, _p_of_total(found), _paired_p(a.values - b.values)))
    return Rates(*(100 * np.mean(np.array(p_values, dtype=float) < LEVEL, axis=0)))


def _p_of_total(found: Difference) -> float | None:
    if found.half_width is None or found.p_value is None:
        return found.p_value
    # The test against the sum of the variances alone calls what its interval does not hold.
    return 0.0 if abs(found.difference) > found.half_width else 1.0


def _paired_p(differences: np.ndarray) -> float:
    spread = differences.std(ddof=1)
    if spread < 1e-12:
        return float(abs(differences[0]) < 1e-12)
    return float(2 * stats.t.sf(abs(differences.mean()) / spread * np.sqrt(len(differences)), len(differences) - 1))


class TableRates(NamedTuple):
    """Of tables of many methods, in percent.

    Attributes:
        any_holm, any_shaffer: tables in which any pair is called that does not differ.
        found_holm, found_shaffer: of the best method's true differences.
        any_reference: tables in which any equal method is called different from a declared one.
        found_reference: of the true differences from the declared one.
        best_lost: tables in which one certain method of those that are truly the best is left out.
        left_out: of the methods that are truly worse.
    """

    any_holm: float
    any_shaffer: float
    found_holm: float
    found_shaffer: float
    any_reference: float
    found_reference: float
    best_lost: float
    left_out: float


def rates_of_many(design: Design, apart: float, tables: int) -> TableRates:
    """Tables of methods, of which number `BEST` is better by `apart` than the others."""
    generator = np.random.default_rng(0)
    return TableRates(*(100 * np.mean([_one_table(design, apart, generator) for _ in range(tables)], axis=0)))


def _one_table(design: Design, apart: float, generator: np.random.Generator) -> list[float]:
    methods = range(len(design.spreads))
    samples = design.draw([-apart if method == BEST else 0.0 for method in methods], generator)
    groups = design.groups
    found = {pair: difference(samples[pair[0]], samples[pair[1]], groups) for pair in combinations(methods, 2)}
    p_values = {frozenset(pair): one.p_value for pair, one in found.items() if one.p_value is not None}
    better_p = {pair: p for pair, one in found.items() if (p := one.better_p) is not None}
    better_p |= {(b, a): 1 - p for (a, b), p in better_p.items()}

    true = {pair for pair in p_values if BEST in pair and apart}
    with_best = {pair: p for pair, p in p_values.items() if BEST in pair}
    wrong, right = [], []
    for corrected in (holm(p_values), shaffer(p_values), holm(with_best)):
        called = {pair for pair, p in corrected.items() if p < LEVEL}
        wrong.append(float(bool(called - true)))
        right.append(len(called & true) / max(1, len(true)))
    kept = may_be_best(methods, better_p)
    left_out = (len(methods) - len(kept)) / (len(methods) - 1) if apart else 0.0
    return [wrong[0], wrong[1], right[0], right[1], wrong[2], right[2], float(BEST not in kept), left_out]


def ten(spread: float | tuple[float, float]) -> tuple[float | None, ...]:
    """The seeds' spreads of ten methods, two of them deterministic."""
    low, high = spread if isinstance(spread, tuple) else (spread, spread)
    return (None, None, *(float(one) for one in np.geomspace(low, high, 8)))


def equal(groups: int) -> tuple[int, ...]:
    """Sizes of equal groups: 60 rows in all, or one row each."""
    return (max(1, 60 // groups),) * groups


# Level and power of the total test, then the level of the paired t-test over seeds.
TWO = {
    "3 seeds, 4 groups, both deterministic": (Design(3, equal(4), (None, None)), 5.3, 53, 100),
    "3 seeds, 20 groups, both deterministic": (Design(3, equal(20), (None, None)), 5.4, 82, 100),
    "3 seeds, 20 groups, one deterministic": (Design(3, equal(20), (None, 1.0)), 3.7, 79, 28),
    "3 seeds, 20 groups, spread 3": (Design(3, equal(20), (3.0, 3.0)), 3.8, 69, 9.2),
    "3 seeds, 60 groups, spread 3": (Design(3, equal(60), (3.0, 3.0)), 4.5, 69, 8.7),
    "3 seeds, 1000 groups, spread 1": (Design(3, equal(1000), (1.0, 1.0)), 6.4, 67, 8.4),
    "3 seeds, 1000 groups, spread 3": (Design(3, equal(1000), (3.0, 3.0)), 7.4, 47, 4.8),
    "5 seeds, 20 groups, spread 3": (Design(5, equal(20), (3.0, 3.0)), 3.9, 77, 18),
    "5 seeds, 1000 groups, spread 3": (Design(5, equal(1000), (3.0, 3.0)), 5.0, 66, 5.3),
    "5 seeds, 4 groups, spread 3": (Design(5, equal(4), (3.0, 3.0)), 4.3, 59, 26),
}

BOTH, ONE, NONE = (True, True), (True, False), (False, False)
# Level and power of the largest of three.
FROM_ROWS = {
    "60 rows of 20, both deterministic": (Rows(3, (3,) * 20, BOTH), "2.4-4.7", "25-31"),
    "60 rows of 20, one deterministic": (Rows(3, (3,) * 20, ONE), "1.6-3.5", "24-31"),
    "60 rows of 20, none deterministic": (Rows(3, (3,) * 20, NONE), "1.6-3.5", "24-31"),
    "64 rows of 8, both deterministic": (Rows(3, (8,) * 8, BOTH), "1.3-3.3", "8-12"),
    "64 rows of 8, none deterministic": (Rows(3, (8,) * 8, NONE), "1.3-3.3", "8-12"),
    "136 rows of 20, unequal, both deterministic": (Rows(3, VERY_UNEQUAL, BOTH), "2.7-5.4", "20"),
    "136 rows of 20, unequal, none deterministic": (Rows(3, VERY_UNEQUAL, NONE), "2.7-5.4", "20"),
    "200 rows of 40, class varies, both deterministic": (Rows(3, (5,) * 40, BOTH, False), "2.5-4.2", "85-93"),
    "200 rows of 40, class varies, none deterministic": (Rows(3, (5,) * 40, NONE, False), "2.5-4.2", "85-93"),
    "1000 rows, both deterministic": (Rows(3, (1,) * 1000, BOTH), "2.3-4.7", "94-100"),
    "1000 rows, none deterministic": (Rows(3, (1,) * 1000, NONE), "2.3-4.7", "94-100"),
}

# Chance of any wrong call, and share of true differences found, with Holm's correction.
MANY = {
    "3 seeds, 4 groups, spread 3": (Design(3, equal(4), ten(3)), 15, 0.2, 0),
    "3 seeds, 20 groups, spread 3": (Design(3, equal(20), ten(3)), 15, 0.7, 5),
    "3 seeds, 60 groups, spread 1": (Design(3, equal(60), ten(1)), 15, 0.8, 31),
    "3 seeds, 1000 groups, spread 1": (Design(3, equal(1000), ten(1)), 6, 1.2, 17),
    "3 seeds, 1000 groups, spread 0.3 to 5": (Design(3, equal(1000), ten((0.3, 5))), 6, 3.2, 14),
    "3 seeds, 1000 groups, spread 3": (Design(3, equal(1000), ten(3)), 6, 1.5, 1),
    "5 seeds, 4 groups, spread 1": (Design(5, equal(4), ten(1)), 15, 2.1, 1),
    "5 seeds, 20 groups, spread 3": (Design(5, equal(20), ten(3)), 15, 2.2, 40),
    "5 seeds, 60 groups, spread 3": (Design(5, equal(60), ten(3)), 15, 1.7, 69),
    "5 seeds, 1000 groups, spread 1": (Design(5, equal(1000), ten(1)), 6, 2.0, 94),
    "5 seeds, 1000 groups, spread 0.3 to 5": (Design(5, equal(1000), ten((0.3, 5))), 6, 3.5, 70),
    "10 seeds, 1000 groups, spread 3": (Design(10, equal(1000), ten(3)), 6, 5.0, 69),
}


def print_two(tables: int) -> None:
    print("Two methods, level/power at 3 standard errors: largest of three; total (known); level over seeds (known)")
    for name, (design, level, power, over_seeds) in TWO.items():
        null, shifted = (rates_of_two(design, errors * design.standard_error(), tables) for errors in (0, 3))
        print(
            f"{name:50} {null.largest_of_three:5.1f}/{shifted.largest_of_three:3.0f}"
            f"   {null.total:5.1f}/{shifted.total:3.0f} ({level}/{power})   {null.over_seeds:5.1f} ({over_seeds})",
            flush=True,
        )


def print_from_rows(tables: int) -> None:
    print("\nFrom rows, level/power: largest of three (known); total; level over seeds")
    for name, (rows, levels, powers) in FROM_ROWS.items():
        null, shifted = (rates_from_rows(rows, first, tables) for first in (WANTED, LESS_WANTED))
        print(
            f"{name:50} {null.largest_of_three:5.1f}/{shifted.largest_of_three:3.0f} ({levels}/{powers})"
            f"   {null.total:5.1f}/{shifted.total:3.0f}   {null.over_seeds:5.1f}",
            flush=True,
        )


def print_many(tables: int) -> None:
    print(
        "\nTen methods, level/power: Holm (known); Shaffer; Holm with a declared reference;"
        " set of best: best lost if all are equal, worse ones left out"
    )
    for name, (design, apart, level, power) in MANY.items():
        null, shifted = (rates_of_many(design, by, tables) for by in (0, apart))
        print(
            f"{name:50} {null.any_holm:5.1f}/{shifted.found_holm:3.0f} ({level}/{power})"
            f"   {null.any_shaffer:5.1f}/{shifted.found_shaffer:3.0f}"
            f"   {null.any_reference:5.1f}/{shifted.found_reference:3.0f}"
            f"   {null.best_lost:5.1f}/{shifted.left_out:3.0f}"
            f"   wrong beside true ones {shifted.any_holm:4.1f}, {shifted.any_shaffer:4.1f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=2000, help="tables a number; half as many of ten methods")
    tables = parser.parse_args().tables
    print_two(tables)
    print_from_rows(tables)
    print_many(tables // 2)


if __name__ == "__main__":
    main()
