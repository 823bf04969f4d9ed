"""Methods ranked over data sets by separation gap (Demšar, JMLR 2006)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from cabench.report.comparison import takes_part
from cabench.report.quantities import gap_of
from cabench.report.row_values import over_seeds
from cabench.report.summary import NOT_FLAT, Section, grouped

PERMUTATIONS = 9999


class Ranking(NamedTuple):
    """Mean ranks of the methods that all data sets of one profile have in common.

    Attributes:
        profile: the profile's name.
        precision: of the networks.
        datasets: labels.
        ranks: by method label, marked as in the tables of any of the data sets, its rank on each data set (1 is the
            smallest gap, ties share their mean), best mean first.
        p_value: of Friedman's test that all methods rank alike, by permuting the ranks within each data set: with few
            data sets the usual approximations miss their level by far. None below three methods or three data sets,
            where it can hardly find anything, and where all ranks are equal.
    """

    profile: str
    precision: str
    datasets: tuple[str, ...]
    ranks: dict[str, tuple[float, ...]]
    p_value: float | None


class SectionGaps(NamedTuple):
    """What a ranking takes of a section.

    Attributes:
        dataset: label.
        profile: the profile's name.
        precision: of the networks.
        by_name: the mean separation gap of every row that takes part, by its name without marks.
        titles: of all rows, as tables show them.
        is_compared: whether any row takes part.
    """

    dataset: str
    profile: str
    precision: str
    by_name: Mapping[str, float]
    titles: frozenset[str]
    is_compared: bool


def gaps_in(section: Section) -> SectionGaps:
    """What a ranking takes of a section."""
    compared = [row for row in section.rows if takes_part(row)]
    by_name = {
        row.title.removesuffix(NOT_FLAT): float(np.mean(values))
        for row in compared
        if (values := over_seeds(row, gap_of))
    }
    titles = frozenset(row.title for row in section.rows)
    return SectionGaps(section.dataset, section.profile, section.precision, by_name, titles, bool(compared))


def rankings(sections: Iterable[SectionGaps]) -> list[Ranking]:
    """One ranking for every profile and precision that has two or more data sets with two or more common methods.

    Data sets on which no method takes part, all of their records being stale, are left out.
    """
    compared = [section for section in sections if section.is_compared]
    groups = grouped(compared, lambda section: (section.profile, section.precision))
    found = (_ranking(group) for group in groups.values() if len(group) > 1)
    return [ranking for ranking in found if len(ranking.ranks) > 1]


def _ranking(sections: Sequence[SectionGaps]) -> Ranking:
    gaps = [section.by_name for section in sections]
    common = [name for name in gaps[0] if all(name in others for others in gaps)]
    table = np.array([[by_name[name] for name in common] for by_name in gaps])  # (data sets, methods)
    ranks = stats.rankdata(table, axis=1) if common else table
    order = np.argsort(ranks.mean(axis=0), kind="stable").tolist() if common else []
    marked = {title for section in sections for title in section.titles}
    titles = [name + NOT_FLAT if name + NOT_FLAT in marked else name for name in common]
    return Ranking(
        profile=sections[0].profile,
        precision=sections[0].precision,
        datasets=tuple(section.dataset for section in sections),
        ranks={titles[index]: tuple(float(rank) for rank in ranks[:, index]) for index in order},
        p_value=rank_test(table),
    )


def rank_test(table: np.ndarray) -> float | None:
    """P-value of Friedman's test on values (data sets, methods), by seeded permutations; see `Ranking`."""
    n, k = table.shape
    if n < 3 or k < 3 or (table == table[:, :1]).all():
        return None
    ranks = stats.rankdata(table, axis=1)
    generator = np.random.default_rng(0)
    permuted = generator.permuted(np.broadcast_to(ranks, (PERMUTATIONS, n, k)), axis=2)
    # How far the methods' mean ranks lie apart; the other parts of Friedman's statistic are the same in all.
    apart = permuted.mean(axis=1).var(axis=1)
    reached = apart >= ranks.mean(axis=0).var() - 1e-12
    return float((1 + reached.sum()) / (1 + PERMUTATIONS))
