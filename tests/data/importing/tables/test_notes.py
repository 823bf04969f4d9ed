from __future__ import annotations

from itertools import pairwise, permutations
from math import factorial

import numpy as np
import pytest

from cabench.data.dataset import Attribute
from cabench.data.importing.examples import Examples
from cabench.data.importing.grouping import grouped_until, grouping, repeats
from cabench.data.importing.tables.notes import notes_on
from cabench.data.importing.tables.selecting import looks_like_date, looks_like_identifier

SEX = Attribute("sex", "common", "class", ("f", "m"))
AGE = Attribute("age", "common", "real")


def notes(table: np.ndarray, sex: np.ndarray, age: np.ndarray) -> list[str]:
    """On a table (n, d), the first half of which is background."""
    half = len(table) // 2
    parts = {
        name: Examples(table[rows], {"sex": sex[rows], "age": age[rows]})
        for name, rows in (("background", slice(half)), ("target", slice(half, None)))
    }
    return notes_on([f"f{column}" for column in range(table.shape[1])], parts, [SEX, AGE])


@pytest.mark.parametrize("rows", [6, 8, 10, 12, 40])
def test_noise_tells_nothing(rows: int) -> None:
    generator = np.random.default_rng(rows)
    for decimals in (0, 1, 6):
        for _ in range(4):
            table = generator.normal(size=(rows, 200)).round(decimals)
            said = notes(table, generator.integers(0, 2, rows), generator.normal(size=rows))
            assert not [text for text in said if "by themselves" in text]


def test_the_chance_of_telling_is_that_of_all_orders() -> None:
    """Of noise, a feature separates k classes in order with probability k! n_1! ... n_k! / n!, by counting them all."""
    codes = (0, 0, 1, 1, 2, 2)
    orders = set(permutations(codes))
    separated = sum(sum(a != b for a, b in pairwise(order)) == 2 for order in orders)
    assert separated / len(orders) == pytest.approx(factorial(3) * 2**3 / factorial(6))


def test_what_is_told_may_be_missing_in_places() -> None:
    generator = np.random.default_rng(0)
    sex, age = np.arange(60) % 2, generator.normal(size=60)
    table = generator.normal(size=(60, 4))
    table[:, 1] += 50 * sex
    table[:, 2] = -age
    table[::7, 1:3] = np.nan
    sex[3] = -1
    said = [text for text in notes(table, sex, age) if "by themselves" in text]
    assert [text.partition(" in every row: ")[::2] for text in said] == [
        ("Features that by themselves tell 'sex'", "f1; leave them out with --ignore if they are not measurements."),
        ("Features that by themselves tell 'age'", "f2; leave them out with --ignore if they are not measurements."),
    ]


def test_counts_of_missing_values_are_exact() -> None:
    table = np.random.default_rng(0).normal(size=(50, 30))
    table[:20, 4] = table[:10, 7] = table[3, :3] = np.nan
    (said,) = notes(table, np.full(50, -1), np.full(50, np.nan))
    assert said.startswith("33 of 1,500 values are missing (2.2%), in 5 of 30 features, most in f4 (20 of 50), f7 (10")


@pytest.mark.parametrize(
    ("texts", "options"),
    [
        ([f"m{row // 2}_{row % 2}" for row in range(40)], "--group id --group-until _"),
        ([f"s{row // 3:02}-{'abc'[row % 3]}" for row in range(60)], "--group id --group-until -"),
        ([f"a b{row // 2} {row % 2}" for row in range(40)], "--group id --group-until ' '"),
        ([f"s{row // 2}" for row in range(40)], "--group id"),
        ([f"s_{row}" for row in range(40)], ""),  # one stem
        ([f"{'abc'[row % 3]}_{row}" for row in range(40)], ""),  # three, as of populations or sites
        ([f"s{row}_{row}" for row in range(40)], ""),
        ([f"s{row // 2}_{row:06}" for row in range(40)], ""),  # a number of its own
        (["x", "x", "y"], ""),
    ],
)
def test_names_that_belong_together(texts: list[str], options: str) -> None:
    assert grouping("id", texts) == options
    assert repeats(texts) == (options == "--group id")
    assert bool(grouped_until(texts)) == ("until" in options)


def test_names_of_columns_that_say_what_they_are() -> None:
    for name in (
        "id",
        "ID",
        "subject",
        "Subject ID",
        "PatientID",
        "mouse_id",
        "sample.no",
        "donorId",
        "row",
        "MouseID",
    ):
        assert looks_like_identifier(name), name
    for name in ("lipid", "acid", "SNAP25_N", "GRID", "width", "ID1", "arrow", "identity", "pid_gain", "Unnamed"):
        assert not looks_like_identifier(name), name
    for name in ("2-Sep", "Sep-02", "1-Mar", "2001-09-02", "1/12/2003", "MAR-01"):
        assert looks_like_date(name), name
    for name in ("SEPT2", "MARCH1", "IL-2", "1-2", "Sep", "H3K4", "x.1"):
        assert not looks_like_date(name), name
