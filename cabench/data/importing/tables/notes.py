"""What users of a table must know of its features: what is missing, equal, telling, or likely not meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from shlex import quote

import numpy as np
from scipy.special import gammaln
from scipy.stats import rankdata

from cabench.data.dataset import Attribute
from cabench.data.importing.examples import Examples
from cabench.data.importing.tables.selecting import looks_like_date, looks_like_identifier
from cabench.data.importing.values import said_of_sentinels
from cabench.data.layout import listed

CHANCE = 1e-3  # that any feature of pure noise tells an attribute by itself
WORST = 3  # features named for what they lack
MOST_LEVELS = 20  # of a feature that is a code
FEWEST_ROWS = 10  # of a number, to say that a feature tells it
PIECE = 1 << 20  # values copied at a time


def notes_on(features: Sequence[str], parts: Mapping[str, Examples], attributes: Sequence[Attribute]) -> list[str]:
    """All sentences on a table.

    Args:
        features: the names of its columns (d).
        parts: background and target by name, tables (n, d) with NaN = missing.
        attributes: what is known of the rows.
    """
    tables = [part.images for part in parts.values()]
    said = _said_of_missing(features, tables)
    for name, values in _columns(features, tables):
        said += _said_of_one(name, values)
    return [*said, *notes_on_measurements(features, parts, attributes, "--ignore")]


def notes_on_measurements(
    features: Sequence[str], parts: Mapping[str, Examples], attributes: Sequence[Attribute], option: str
) -> list[str]:
    """The sentences that also hold of features that are known to be measurements, such as genes.

    Args:
        features: as of `notes_on`.
        parts: likewise.
        attributes: likewise.
        option: that leaves features out.
    """
    tables = [part.images for part in parts.values()]
    return [
        *_said_of_equal(features, tables),
        *_said_of_names(features),
        *_said_of_telling(features, parts, attributes, option),
    ]


def _columns(features: Sequence[str], tables: Sequence[np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Each feature's name and its values in all rows, background first."""
    width = max(1, PIECE // sum(map(len, tables)))
    for start in range(0, len(features), width):
        piece = np.concatenate([table[:, start : start + width].T for table in tables], axis=1)
        yield from zip(features[start : start + width], piece, strict=True)


def _said_of_missing(features: Sequence[str], tables: Sequence[np.ndarray]) -> list[str]:
    missing = {name: int(np.isnan(values).sum()) for name, values in _columns(features, tables)}
    total, rows = sum(missing.values()), sum(map(len, tables))
    if not total:
        return []
    lacking = sorted((name for name in features if missing[name]), key=lambda name: -missing[name])
    worst = ", ".join(f"{name} ({missing[name]:,} of {rows:,})" for name in lacking[:WORST])
    return [
        f"{total:,} of {rows * len(features):,} values are missing ({total / rows / len(features):.1%}), in "
        f"{len(lacking):,} of {len(features):,} features, most in {worst}."
    ]


def _said_of_equal(features: Sequence[str], tables: Sequence[np.ndarray]) -> list[str]:
    """Features that are the same in every row, but constant ones."""
    alike: dict[bytes, list[str]] = {}
    for name, values in _columns(features, tables):
        known = values[~np.isnan(values)]
        if len(known) and known.min() < known.max():
            alike.setdefault(blake2b(values.tobytes(), digest_size=16).digest(), []).append(name)
    pairs = [" and ".join(names) for names in alike.values() if len(names) > 1]
    return [f"Features that are equal in every row count twice: {listed(pairs)}."] if pairs else []


def _said_of_names(features: Sequence[str]) -> list[str]:
    dates = [name for name in features if looks_like_date(name)]
    if not dates:
        return []
    return [
        f"Features are called like dates ({listed(dates)}): a spreadsheet may have changed names, such as of the gene "
        "SEPT2 to 2-Sep."
    ]


def _said_of_one(name: str, values: np.ndarray) -> list[str]:
    """What one feature (n,) seems to be beside a feature."""
    said = said_of_sentinels(name, values)
    known = values[~np.isnan(values)]
    is_whole = len(known) > 2 and bool((known == np.floor(known)).all())
    if is_whole and looks_like_identifier(name) and len(np.unique(known)) > 2:
        said.append(
            f"{name!r} is among the features, and called like an identifier; leave it out with --ignore {quote(name)}, "
            f"or name it with --group {quote(name)}."
        )
    elif is_whole and known.min() in (0, 1) and np.array_equal(np.sort(known), known.min() + np.arange(len(values))):
        said.append(
            f"The feature {name!r} numbers the rows; leave it out with --ignore {quote(name)} if it is their place."
        )
    return said


def _said_of_telling(
    features: Sequence[str], parts: Mapping[str, Examples], attributes: Sequence[Attribute], option: str
) -> list[str]:
    """Features that tell background from target, or an attribute, in every row by themselves."""
    said = []
    tables = [part.images for part in parts.values()]
    is_target = np.repeat([0, 1], [len(part) for part in parts.values()])
    chance = CHANCE / len(features)
    for attribute in (None, *attributes):
        values = is_target if attribute is None else _of_all(parts, attribute)
        is_real = attribute is not None and attribute.kind == "real"
        tells = _tells_real if is_real else partial(_tells_class, chance=chance)
        telling = [name for name, column in _columns(features, tables) if tells(column, values)]
        if telling:
            title = "background from target" if attribute is None else repr(attribute.name)
            said.append(
                f"Features that by themselves tell {title} in every row: {listed(telling)}; leave them out with "
                f"{option} if they are not measurements."
            )
    return said


def _of_all(parts: Mapping[str, Examples], attribute: Attribute) -> np.ndarray:
    """(n,) the values of an attribute in all rows, background first."""
    return np.concatenate(
        [
            np.asarray(part.values.get(attribute.name, np.full(len(part), attribute.undefined())))
            for part in parts.values()
        ]
    )


def _tells_class(feature: np.ndarray, codes: np.ndarray, chance: float) -> bool:
    """Whether a feature (n,) alone says the class (n,; below 0 = unknown) of every row where both are known.

    Either the feature's values of one class all lie between two numbers, or they are few, and each is of one class.
    It is said where noise would do so with at most some chance: k! n_1! ... n_k! / n! for an order of k classes.
    """
    known = ~np.isnan(feature) & (codes >= 0)
    feature, codes = feature[known], codes[known]
    counts = np.bincount(codes)[np.unique(codes)]
    if len(counts) < 2 or gammaln(len(counts) + 1) + gammaln(counts + 1).sum() - gammaln(len(codes) + 1) > np.log(
        chance
    ):
        return False
    order = np.argsort(feature)
    feature, codes = feature[order], codes[order]
    same_value, same_class = feature[1:] == feature[:-1], codes[1:] == codes[:-1]
    if (same_value & ~same_class).any():
        return False
    return int((~same_class).sum()) == len(counts) - 1 or int((~same_value).sum()) < min(MOST_LEVELS, len(codes) // 5)


def _tells_real(feature: np.ndarray, numbers: np.ndarray) -> bool:
    """Whether a feature (n,) puts all rows in the order of a number (n,; NaN = unknown), or in the opposite one."""
    known = ~(np.isnan(feature) | np.isnan(numbers))
    feature, numbers = feature[known], numbers[known]
    if len(feature) < FEWEST_ROWS or len(np.unique(numbers)) < FEWEST_ROWS:
        return False
    ranks, wanted = rankdata(feature), rankdata(numbers)
    return bool((ranks == wanted).all() or (ranks == len(ranks) + 1 - wanted).all())
