"""Spans of time on the command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cabench.errors import UserError
from cabench.experiment.time_span import LONGEST_S, parse_span, span_text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3h50m", 13800), ("45m", 2700), ("90s", 90), ("1d2h", 93600), (" 1h30m10s ", 5410), ("0h5m", 300), ("90m", 5400)],
)
def test_units_from_days_to_seconds_are_read(text: str, seconds: int) -> None:
    assert parse_span(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "50", "0m", "3:50", "3h 50m", "50m3h", "-1h", "1.5h", "١h", "h", "9999d", "9999999999s", "1h1h"]
)
def test_everything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UserError, match=r"is no span of time; write numbers with their units, .* such as 3h50m, 45m"):
        parse_span(text)


@given(st.integers(1, LONGEST_S))
def test_what_is_written_is_read_back(seconds: int) -> None:
    assert parse_span(span_text(seconds)) == seconds
