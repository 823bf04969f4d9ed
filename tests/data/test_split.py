"""Held-out images: whole groups, the share of each stratum, the same order for everybody."""

from __future__ import annotations

import hashlib

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from cabench.data.split import held_out

ROWS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), min_size=1, max_size=80)


@given(ROWS, st.sampled_from([0.1, 0.2, 0.5]), st.integers(0, 5))
def test_groups_stay_whole_and_strata_have_their_share(rows, fraction, seed):
    groups = pd.Series([f"patient{group}" for group, _ in rows])
    strata = pd.Series([stratum for _, stratum in rows])
    chosen = held_out(groups, strata, fraction, seed)

    assert not set(groups[chosen]) & set(groups[~chosen])
    first = dict(reversed(list(zip(groups, strata, strict=True))))
    of_group = groups.map(first)
    for stratum in of_group.unique():
        mine = of_group == stratum
        wanted = round(fraction * int(mine.sum()))
        largest = int(groups[mine].value_counts().max())
        assert wanted <= int((chosen & mine).sum()) <= wanted + max(largest - 1, 0)


@given(st.permutations(range(20)))
def test_the_order_of_rows_does_not_matter(order):
    groups = pd.Series([str(number) for number in order])
    chosen = held_out(groups, pd.Series([0] * 20), 0.2, 7)
    by_hash = sorted(map(str, range(20)), key=lambda name: hashlib.sha256(f"7/{name}".encode()).hexdigest())
    assert set(groups[chosen]) == set(by_hash[:4])
