from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from cabench.data.importing.values import (
    MARKS,
    NotANumberError,
    Reading,
    same_identifier,
    same_label,
    sentinels,
)


def test_doubles_come_back_exactly() -> None:
    bits = np.random.default_rng(0).integers(0, 2**63, 3000, dtype=np.int64).view(np.float64)
    given = bits[np.abs(bits) < 3e38]
    assert len(given) > 1000
    for texts in (map(repr, given.tolist()), (f"{value:.17g}" for value in given)):
        np.testing.assert_array_equal(Reading().numbers(list(texts)), given)
    commas = [repr(value).replace(".", ",") for value in given.tolist()]
    np.testing.assert_array_equal(Reading(decimal=",").numbers(commas), given)


def test_what_pandas_takes_for_missing_is_missing() -> None:
    from pandas._libs.parsers import STR_NA_VALUES

    assert {text.casefold() for text in STR_NA_VALUES} <= MARKS
    assert np.isnan(Reading().numbers([*STR_NA_VALUES, *map(str.upper, STR_NA_VALUES)])).all()


def test_declared_marks_replace_the_usual_ones() -> None:
    np.testing.assert_array_equal(Reading(("-999", "x")).numbers(["-999", "", "x", "1"]), [np.nan, np.nan, np.nan, 1])
    for reading, cell in ((Reading(("x",)), "NA"), (Reading(()), "NA"), (Reading(("NA",)), "na")):
        with pytest.raises(NotANumberError) as caught:
            reading.numbers(["1", "", cell])
        assert caught.value.index == 2


def test_numbers_are_those_that_pandas_reads() -> None:
    texts = ["1", "-2.5", "3e4", ".5", "7.", "+8", "NA", "null", "", "1E-3", "0001", "-0"]
    table = pd.read_csv(io.StringIO("x,y\n" + "".join(f"{text},1\n" for text in texts)))
    np.testing.assert_array_equal(Reading().numbers(texts), table["x"])


@pytest.mark.parametrize(
    ("texts", "pair"),
    [
        (["3", "4", "3.0"], ("3", "3.0")),
        (["03", "3"], ("03", "3")),
        (["1E5", "100000"], ("1E5", "100000")),
        (["9007199254740993", "9007199254740992"], None),
        (["0.1", "0.10000000000000001"], None),
        (["1e999", "1e9999999999", "9" * 400, "x", ""], None),
        (["a", "b"], None),
    ],
)
def test_numbers_that_are_the_same(texts: list[str], pair: tuple[str, str] | None) -> None:
    assert same_identifier(texts) == pair


def test_words_that_look_the_same() -> None:
    for same in (same_identifier, same_label):
        assert same(["Male", "female", "male"]) == ("Male", "male")
        assert same(["caf\u00e9", "cafe\u0301"]) is not None
        assert same(["a b", "a  b"]) is not None
        assert same(["a", "b", "ab", "1", "2.0"]) is None


@pytest.mark.parametrize(
    ("texts", "pair"),
    [
        (["yes", "no", "Y"], ("yes", "Y")),
        (["1", "0", "True"], ("1", "True")),
        (["male", "f", "Female"], ("f", "Female")),
        (["m", "f"], None),
        (["1", "0"], None),
        (["y", "n"], None),
    ],
)
def test_a_short_form_beside_the_longer_one_is_asked_about(texts: list[str], pair: tuple[str, str] | None) -> None:
    assert same_label(texts) == pair
    assert same_identifier(texts) is None


def test_a_decimal_comma_makes_the_same_number() -> None:
    assert same_identifier(["3", "3,0"]) is None
    assert same_identifier(["3", "3,0"], decimal=",") == ("3", "3,0")


def test_declared_marks_are_compared_as_numbers_where_they_are_numbers() -> None:
    reading = Reading(missing=("-999", "NA"))
    np.testing.assert_array_equal(reading.numbers(["-999.0", "-999", "NA", "1", ""]), [np.nan] * 3 + [1, np.nan])
    assert reading.is_unknown("-999.0")
    assert not reading.is_unknown("-99")
    np.testing.assert_array_equal(Reading(("-9",), ",").numbers(["-9,0", "9,5"]), [np.nan, 9.5])


def test_negative_sentinels_and_marks_among_labels_are_doubtful_until_somebody_says_what_they_are() -> None:
    assert all(Reading().is_doubtful(text) for text in ("-9", "-999.0", "n.a.", "NA", "Unknown"))
    assert not any(Reading().is_doubtful(text) for text in ("999", "9", "-1", "a", ""))
    assert not any(Reading(missing=()).is_doubtful(text) for text in ("-9", "NA"))


def test_sentinels_are_said_where_they_stand_out() -> None:
    generator = np.random.default_rng(0)
    ages = generator.uniform(20, 90, 200)
    assert sentinels(ages) == []
    ages[:3], ages[5:7] = -999, 999
    assert sentinels(ages) == [(-999, 3), (999, 2)]
    ages[:2] = np.nan
    assert sentinels(ages) == [(999, 2)], "one alone may be a value"
    scores = generator.integers(-10, 101, 5000).astype(np.float64)
    assert {-9, 99} <= set(scores)
    assert sentinels(scores) == []


def test_sentinels_are_not_seen_in_noise() -> None:
    generator = np.random.default_rng(1)
    whole = (np.round(generator.normal(0, spread, 300)) for spread in (1, 10, 100, 1000, 10_000) for _ in range(100))
    assert sum(bool(sentinels(values)) for values in whole) == 0
