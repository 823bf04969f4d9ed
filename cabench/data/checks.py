"""Whether a data set file keeps its contract, and what else its users should know before they rely on it.

An error is a broken contract: something in the file is not what `cabench.data.layout` says, so that methods and probes
would fail on it or, worse, give wrong results. A warning is about data that keep the contract and can be used, but from
which less can be learned than it seems. These are errors:

- what is missing, misplaced, of another type, shape or range, declared differently in the splits, or not as hashed;
- a split without background or without target images: there would be nothing to contrast;
- salient values of background images, which contradict that they are background;
- an image in both splits, found by a hash of its pixels: a method that memorises it is rewarded.

And these are warnings:

- the same row of a table in both splits: with few or discrete features, two examples may well have the same values;
- an image twice in one split: it counts twice, and where its labels differ, one of them is wrong;
- images that look almost like one of another split or of the other population, see `cabench.data.near_duplicates`;
- background and target that are told apart without looking at the content, see `cabench.data.shortcuts`;
- what limits an evaluation, see `cabench.data.limits`: scores are uncertain or left out, others stand;
- images that show next to nothing, constant features, and features that are not standardised: all methods run on them.

A file is read in pieces of a few megabytes; some tens of bytes per image are kept.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from cabench.data.dataset import Attribute
from cabench.data.layout import Findings, StoredSplit, check_layout, examine, is_storable, listed, texts
from cabench.data.limits import warn_of_limits
from cabench.data.near_duplicates import difference_hashes, warn_of_near_duplicates
from cabench.data.shortcuts import warn_of_shortcuts
from cabench.data.writing import content_sha256
from cabench.files.hdf5 import TEXTS

NEAR_CONSTANT = 1.0  # standard deviation of all values of an image, in grey levels
STANDARDISED = 0.1  # how far a feature's mean may be from 0, and its standard deviation from 1
POPULATIONS = ("background", "target")


def check_file(path: Path) -> Findings:
    """Check a data set file. If its layout is sound, its values are checked too, in one pass over the file.

    Raises:
        UserError: when there is no such file.
    """
    _, findings = examine(path, _check_content)
    return findings


def _check_content(file: h5py.File, findings: Findings) -> None:
    splits = check_layout(file, findings)
    if findings.errors:
        return
    looks = {split.name: _Features(split) if split.is_table else _Images(split) for split in splits}
    if (
        content_sha256(file, lambda split, start, rows: looks[split].look_at(start, rows))
        != file.attrs["content_sha256"]
    ):
        findings.error("it is damaged: its content hash does not match; build or write it again")
    for split in splits:
        _check_populations(split, findings)
        for attribute in split.attributes.values():
            _check_values(split, attribute, findings)
        looks[split.name].conclude(findings)
        for kind in TEXTS:
            _check_texts(split, kind, findings)
    hashes = [look.hashes for look in looks.values()]
    for index, split in enumerate(splits):
        _check_repeats(split, hashes[index], findings)
        for earlier in range(index):
            _check_overlap(splits[earlier], hashes[earlier], split, hashes[index], findings)
    if findings.errors:
        return
    pictures = [look.looks for look in looks.values() if isinstance(look, _Images)]
    if pictures:
        warn_of_near_duplicates(splits, pictures, hashes, findings)
    warn_of_shortcuts(splits, [look.numbers for look in looks.values()], findings)
    warn_of_limits(splits, findings)


def _check_populations(split: StoredSplit, findings: Findings) -> None:
    for population, rows in zip(POPULATIONS, (~split.is_target, split.is_target), strict=True):
        if not rows.any():
            findings.error(f"/{split.name} holds no {population} images; contrastive analysis needs both populations")


def _check_values(split: StoredSplit, attribute: Attribute, findings: Findings) -> None:
    """The values of one attribute: in range, and defined where they may be."""
    values, place = split.values(attribute.name), f"/{split.name}/attributes/{attribute.name}"
    if attribute.kind == "class":
        wrong = np.flatnonzero((values < -1) | (values >= len(attribute.classes)))
        if len(wrong):
            findings.error(
                f"{place}[{wrong[0]}] is {values[wrong[0]]}, which names none of the {len(attribute.classes)} classes "
                f"({len(wrong)} such values)"
            )
    else:
        wrong = np.flatnonzero(np.isinf(values))
        if len(wrong):
            findings.error(f"{place}[{wrong[0]}] is infinite ({len(wrong)} such values)")
    if attribute.space == "salient":
        wrong = np.flatnonzero(attribute.is_defined(values) & ~split.is_target)
        if len(wrong):
            findings.error(
                f"{place}[{wrong[0]}] has a value, but that image is background and the attribute is salient "
                f"({len(wrong)} such values)"
            )


def _check_texts(split: StoredSplit, kind: str, findings: Findings) -> None:
    """Names or groups, which must be safe to show on a terminal."""
    wrong = [row for row, text in enumerate(texts(split.group, kind, 0)) if not is_storable(text)]
    if wrong:
        findings.error(f"/{split.name}/{kind}[{wrong[0]}] does not print in one line ({len(wrong)} such texts)")


class _Examples(ABC):
    """Examines the images or features of a split while the file is read.

    Attributes:
        hashes: of each, uint64 (n,).
        numbers: float32 (n,) by name, measured of each without looking at its content.
    """

    numbers: Mapping[str, np.ndarray]

    def __init__(self, split: StoredSplit) -> None:
        self._split = split
        self.hashes = np.empty(len(split.examples), np.uint64)

    def look_at(self, start: int, rows: np.ndarray) -> None:
        """Examine the next examples, the first of which has index `start`."""
        # With 64 bits, two of a million different images agree by chance in one of thirty million data sets.
        digests = (hashlib.blake2b(row, digest_size=8).digest() for row in rows)
        self.hashes[start : start + len(rows)] = np.frombuffer(b"".join(digests), np.uint64)
        self._measure(start, rows)

    @abstractmethod
    def _measure(self, start: int, rows: np.ndarray) -> None:
        """Likewise."""

    @abstractmethod
    def conclude(self, findings: Findings) -> None:
        """Report what was found."""


class _Images(_Examples):
    """Measures brightness, contrast and greyness, and counts images that show next to nothing.

    Attributes:
        looks: of each, uint64 (n,), a hash that is alike of images that look alike.
    """

    def __init__(self, split: StoredSplit) -> None:
        super().__init__(split)
        self.looks = np.empty(len(split.examples), np.uint64)
        names = ("mean brightness", "contrast", *(("greyness",) if split.examples.shape[1] > 1 else ()))
        self.numbers = {name: np.empty(len(split.examples), np.float32) for name in names}

    def _measure(self, start: int, rows: np.ndarray) -> None:
        part, flat = slice(start, start + len(rows)), rows.reshape(len(rows), -1)
        self.looks[part] = difference_hashes(rows)
        self.numbers["mean brightness"][part] = flat.mean(axis=1)
        self.numbers["contrast"][part] = flat.std(axis=1)
        if "greyness" in self.numbers:
            self.numbers["greyness"][part] = (rows == rows[:, :1]).all(axis=(1, 2, 3))

    def conclude(self, findings: Findings) -> None:
        empty = np.flatnonzero(self.numbers["contrast"] < NEAR_CONSTANT)
        if len(empty):
            findings.warn(
                f"{self._split.examples.name} has {len(empty)} of {len(self._split.examples)} images that show "
                f"next to nothing (standard deviation below {NEAR_CONSTANT:g} grey level), the first "
                f"{self._split.row(int(empty[0]))}"
            )


class _Features(_Examples):
    """Checks that features are finite or missing and, in the training split, standardised, or that they are counts."""

    def __init__(self, split: StoredSplit) -> None:
        super().__init__(split)
        self._wrong: list[int] = []
        self.numbers = {"the number of missing values": np.empty(len(split.examples), np.float32)}
        self._known = np.zeros(split.examples.shape[1], np.int64)
        self._sum = np.zeros(split.examples.shape[1])
        self._squares = np.zeros(split.examples.shape[1])

    def _measure(self, start: int, rows: np.ndarray) -> None:
        known = ~np.isnan(rows)
        self.numbers["the number of missing values"][start : start + len(rows)] = (~known).sum(axis=1)
        exact = np.where(np.isfinite(rows), rows, 0).astype(np.float64)
        wrong = np.isinf(rows)
        if self._split.are_counts:
            wrong |= (exact < 0) | (exact != np.floor(exact))
        self._wrong += (start + np.flatnonzero(wrong.any(axis=1))).tolist()
        self._known += known.sum(axis=0)
        self._sum += exact.sum(axis=0)
        self._squares += (exact**2).sum(axis=0)

    def conclude(self, findings: Findings) -> None:
        missing = self._split.examples.size - int(self._known.sum())
        if self._wrong:
            wanted = "a whole number from 0" if self._split.are_counts else "finite"
            findings.error(
                f"{self._split.row(self._wrong[0])} holds a value that is not {wanted} ({len(self._wrong)} such rows)"
            )
        elif missing != self._split.missing:
            findings.error(
                f"{self._split.examples.name} lacks {missing:,} values, but declares {self._split.missing:,} as missing"
            )
        elif self._split.name == "train":
            self._conclude_on_columns(findings)

    def _conclude_on_columns(self, findings: Findings) -> None:
        place, known = self._split.examples.name, np.maximum(self._known, 1)
        mean = self._sum / known
        deviation = np.sqrt(np.maximum(self._squares / known - mean**2, 0))
        constant = deviation < 1e-6
        if constant.any():
            findings.warn(f"{place} has columns of a single value: {listed(np.flatnonzero(constant).tolist())}")
        off = ~constant & ((np.abs(mean) > STANDARDISED) | (np.abs(deviation - 1) > STANDARDISED))
        if off.any() and not self._split.are_counts:
            findings.warn(
                f"{place} has columns that are not standardised to mean 0 and standard deviation 1, as methods "
                f"expect: {listed(np.flatnonzero(off).tolist())}"
            )


def _check_repeats(split: StoredSplit, hashes: np.ndarray, findings: Findings) -> None:
    """Examples that are in a split more than once."""
    order = np.argsort(hashes, kind="stable")
    equal = hashes[order][1:] == hashes[order][:-1]
    again = np.sort(order[1:][equal])
    if len(again):
        first = int(np.flatnonzero(hashes == hashes[again[0]])[0])
        findings.warn(
            f"{split.examples.name} repeats {len(again)} of its {len(hashes)} rows, first {split.row(first)} as "
            f"{split.row(int(again[0]))}"
        )
        _check_labels_of_repeats(split, order[:-1][equal], order[1:][equal], findings)


def _check_labels_of_repeats(split: StoredSplit, ones: np.ndarray, others: np.ndarray, findings: Findings) -> None:
    """Whether equal rows have the same labels, from (m,) indices of pairs of them."""
    columns = {"is_target": split.is_target} | {name: split.values(name) for name in split.attributes}
    for name, values in columns.items():
        known = np.ones(len(values), bool) if name == "is_target" else split.attributes[name].is_defined(values)
        differ = np.flatnonzero(known[ones] & known[others] & (values[ones] != values[others]))
        if len(differ):
            first, second = (split.row(int(rows[differ[0]])) for rows in (ones, others))
            findings.warn(
                f"labels disagree: {name} differs between equal rows, first {first} and {second} ({len(differ)} such "
                "pairs)"
            )


def _check_overlap(
    earlier: StoredSplit, earlier_hashes: np.ndarray, later: StoredSplit, later_hashes: np.ndarray, findings: Findings
) -> None:
    """Examples that are in two splits."""
    shared = np.flatnonzero(np.isin(later_hashes, earlier_hashes))
    if len(shared):
        first = int(np.flatnonzero(earlier_hashes == later_hashes[shared[0]])[0])
        say = findings.warn if later.is_table else findings.error
        say(
            f"{len(shared)} of the {len(later_hashes)} rows of {later.examples.name} are in {earlier.examples.name} "
            f"too, first {later.row(int(shared[0]))} as {earlier.row(first)}; no example may be in two splits"
        )
