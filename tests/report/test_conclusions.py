"""What is concluded from separation gaps and leaks: no more than the comparison holds, and what limits it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from cabench import discovery
from cabench.experiment.record import Record
from cabench.report.comparison import compare
from cabench.report.conclusions import conclusion
from cabench.report.quantities import gap_of
from cabench.report.summary import sections

MakeRecord = Callable[..., Record]
MakeRecords = Callable[..., list[Record]]

CLOSE = {"a": [0.10, 0.11, 0.12], "b": [0.11, 0.12, 0.14]}
FAR = {"c": [0.60, 0.62, 0.61]}
TESTED = "(p < 0.05, corrected for 3 pairs)"


def said_of(records: Sequence[Record], reference: str = "") -> str:
    (section,) = sections(records, reference=reference)
    return conclusion(section)


class TestWhatIsCompared:
    def test_one_method_is_not_compared(self, make_records: MakeRecords) -> None:
        assert said_of(make_records({"a": [0.1, 0.2, 0.3]})) == "There are no two methods to compare."

    def test_yardsticks_are_not_compared(self, make_records: MakeRecords) -> None:
        version = discovery.method_class("chance").version
        controls = make_records({"chance": [0.0, 0.0, 0.0]}, method__name="chance", method__version=version)

        assert said_of([*make_records({"a": [0.1, 0.2, 0.3]}), *controls]) == "There are no two methods to compare."
        assert "chance" not in said_of([*make_records(CLOSE), *controls])

    def test_nothing_is_concluded_of_single_seeds(self, make_records: MakeRecords) -> None:
        said = said_of(make_records({"a": [0.1], "b": [0.8]}))

        assert said == "Nothing can be said about the order of the methods. Cannot be tested: a, b (one seed)."

    def test_those_that_cannot_be_tested_are_named_with_the_reason(self, make_records: MakeRecords) -> None:
        lost = [replace(record, contributions=None) for record in make_records({"lost": [0.0, 0.01]})]

        said = said_of([*make_records({**CLOSE, "new": [0.1]}), *lost])

        assert "of the 2 methods compared" in said
        assert "Cannot be tested: lost (what test images add to its scores was not kept;" in said
        assert "); new (one seed)." in said

    def test_stale_rows_are_given_as_the_reason_for_saying_nothing(self, make_records: MakeRecords) -> None:
        said = said_of(make_records(CLOSE, method__version=-1))

        assert said == "There are no two methods to compare: 2 rows are of an older version, and stale."


class TestVerdicts:
    def test_best_is_named_with_its_gap_the_seeds_the_images_and_how_many_were_compared(
        self, make_records: MakeRecords
    ) -> None:
        said = said_of(make_records({**CLOSE, **FAR}))

        assert said.startswith("Over 3 seeds and 400 test images, a has the smallest separation gap (0.110 ± 0.0")
        assert "of the 3 methods compared" in said
        assert said.endswith("All of this holds for this training split.")

    def test_different_numbers_of_seeds_are_told(self, make_records: MakeRecords) -> None:
        assert said_of(make_records({**FAR, "a": [0.1, 0.11]})).startswith("Over 2 to 3 seeds and")

    def test_those_shown_to_be_worse_and_those_not_are_told_apart(self, make_records: MakeRecords) -> None:
        said = said_of(make_records({**CLOSE, **FAR}))

        found = compare(sections(make_records({**CLOSE, **FAR}))[0].rows, gap_of).from_best("c")
        by = f"by {-found.difference:.3f} ± {found.half_width:.3f}"
        assert f"Shown to be worse than a {TESTED}: c ({by}). Not shown to be: b." in said

    def test_nobody_shown_to_be_worse_is_said_as_such(self, make_records: MakeRecords) -> None:
        assert "No other is shown to be worse than a (p < 0.05)." in said_of(make_records(CLOSE))

    def test_everybody_shown_to_be_worse_is_said_as_such(self, make_records: MakeRecords) -> None:
        said = said_of(make_records({"a": CLOSE["a"], **FAR}))

        assert "All others are worse (p < 0.05): c (by 0.500 ± 0.0" in said
        assert "Not shown to be" not in said.split("leaks least")[0]

    def test_least_and_most_leaky_are_named_in_percent(self, make_records: MakeRecords) -> None:
        said = said_of(make_records({"a": CLOSE["a"], **FAR}))

        assert re.search(r"a leaks least \(11\.0 ± \d\.\d %\), c most \(61\.0 ± \d\.\d %\)\.", said)
        assert "All others are more leaky (p < 0.05): c (by 50.0 ± " in said


class TestReference:
    def test_differences_from_it_are_sorted(self, make_records: MakeRecords) -> None:
        wide = {"wide": [0.2, 0.5, 0.3], "ours": [0.30, 0.31, 0.32]}

        said = said_of(make_records({**CLOSE, **FAR, **wide}), "ours")

        plain = re.sub(r" ± 0\.0\d\d", "", said)
        assert plain.startswith(
            "Against ours, declared beforehand (separation gap, p < 0.05, corrected for 4 differences): better: a (by "
            "0.200), b (by 0.187); worse: c (by 0.300); not told apart: wide. Bold compares all methods. "
        )
        assert "of the variance of a difference from ours comes from" in said
        assert "Even a single comparison finds a difference of gaps" in said
        assert said.endswith("All of this holds for this training split.")

    def test_others_that_cannot_be_tested_are_named(self, make_records: MakeRecords) -> None:
        assert "Cannot be tested: new (one seed)." in said_of(make_records({**CLOSE, "new": [0.1]}), "a")

    def test_where_nothing_can_be_tested_against_it_that_is_said(self, make_records: MakeRecords) -> None:
        said = said_of(make_records({**CLOSE, "new": [0.1]}), "new")

        assert said.startswith("Against new, declared beforehand, no method can be compared by separation gap.")
        assert "Cannot be tested: new (one seed)." in said


class TestLimits:
    def test_more_seeds_are_asked_for_where_they_vary_most(self, make_records: MakeRecords) -> None:
        said = said_of(make_records({"a": [0.1, 0.2, 0.3], "b": [0.15, 0.4, 0.35]}))

        assert "% of the variance of a difference from a comes from the test images, the rest from the seeds" in said
        assert "more seeds would help more than more test images." in said

    def test_more_images_are_asked_for_where_seeds_change_nothing(self, make_records: MakeRecords) -> None:
        said = said_of(make_records({"a": [0.1] * 2, "b": [0.12] * 2}, vectors_sha256="ab"))

        assert "comes from the test images: more of them would help, not more seeds." in said

    def test_smallest_difference_that_can_be_found_is_told(self, make_records: MakeRecords) -> None:
        records = make_records({**CLOSE, **FAR})
        (section,) = sections(records)

        assert f"at best from {compare(section.rows, gap_of).limits.detectable:.3f} on" in said_of(records)

    @pytest.mark.parametrize(("groups", "said_so"), [(6, True), (40, False)])
    def test_few_groups_are_said_to_be_few(self, make_records: MakeRecords, groups: int, said_so: bool) -> None:
        def of_groups(record: Record) -> Record:
            rows = np.where(np.arange(40) < groups, 10, 0)
            parts = [part._replace(rows=rows, values=part.values * (rows > 0)) for part in record.contributions.scores]
            scores = tuple(replace(score, n_groups=groups) for score in record.scores)
            return replace(record, scores=scores, contributions=record.contributions._replace(rows=rows, scores=parts))

        said = said_of([of_groups(record) for record in make_records({**CLOSE, **FAR})])

        # With 5 degrees of freedom: 2.57 + 0.92 standard errors.
        assert (f"{groups} test groups are few: differences below about 3.5 standard errors" in said) == said_so
