"""Proteins in the cortex of mice: a learning protocol and the block of a measurement are common, Down syndrome salient.

Mice Protein Expression (UCI 342, https://doi.org/10.24432/C50S3Z): Higuera, Gardiner, Cios, PLOS ONE 10(6) e0129126,
2015. 77 proteins of 72 mice, measured 15 times each; 38 control mice and 34 of the Ts65Dn strain, a model of Down
syndrome; given memantine, a drug, or saline; placed into a context before or after a shock. The 15 measurements of a
mouse come in five blocks of three, which differ: a dilution series.

Three constructions (card B7f):

- `papers`: the rows of contrastive PCA's figure and of most linear papers since. Background are control mice (saline,
  context first), targets are mice of both strains (saline, shock first); the strain is salient. Papers neither split
  nor hold out rows: they score the rows that they fit.
- `drug`: background are control mice with saline, targets all mice with memantine; the strain is salient.
- `down_syndrome`: background are control mice with saline, targets all Ts65Dn mice; the drug is salient.

Mice are the groups. They are dealt to three folds in proportion to the eight classes, in the order of a hash of seed
and mouse; the fold that `fold` names is the test split. A mouse is in the same fold in every construction.

Left out are `pS6_N`, which equals `ARC_N` in every row, and, unless `proteins = "all"`, the six proteins that more than
5 % of the measurements lack and the three measurements that lack most proteins. What is then missing stays missing.
Features are standardised over the training rows of both populations.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Literal, NamedTuple

import numpy as np

from cabench.config import Settings, setting
from cabench.data.builder import DatasetBuilder
from cabench.data.cache import content_digest
from cabench.data.dataset import Attribute
from cabench.data.download import fetch, from_cache, not_found
from cabench.data.importing.standardising import Standardisation
from cabench.data.layout import Split
from cabench.data.sources import Source
from cabench.data.writing import DatasetWriter
from cabench.errors import UserError

TITLE = "Mice Protein Expression"
FILE = "Data_Cortex_Nuclear.csv"
SHA256 = "5ec490ae48bf7f2eb958fd33ef5036e58a2933cc05e816064c0ea3b14ad3903b"
MD5 = "e54682b0a7fa8e131b2634482965193c"
# The owner publishes an .xls sheet. This is the copy as .csv that contrastive PCA's authors used and keep; others
# use the same bytes.
ADDRESS = (
    "https://raw.githubusercontent.com/abidlabs/contrastive/d9e3eba1e4932da4dcfda6ae1c39cc51f4c28d55/experiments/"
    f"datasets/{FILE}"
)
_FOLDER = "mouse_protein"

FOLDS = 3
REPEATED = "pS6_N"  # equals ARC_N in every row
MOST_MISSING = 0.05  # of a protein that is kept
MOST_LACKING = 0.5  # of the proteins, of a measurement that is kept: the three others lack 43 of 77

GENOTYPE = Attribute("genotype", "salient", "class", ("control", "Ts65Dn"))
TREATMENT = Attribute("treatment", "salient", "class", ("saline", "memantine"))
PROTOCOL = Attribute("protocol", "common", "class", ("context-shock", "shock-context"))
BLOCK = Attribute("block", "common", "class", ("1", "2", "3", "4", "5"))


class Construction(NamedTuple):
    """Which of the eight classes, such as c-SC-m (control, shock first, memantine), make the populations.

    Attributes:
        background: classes.
        target: classes.
        attributes: what is known of the mice.
        notes: what users of this construction must know.
    """

    background: tuple[str, ...]
    target: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    notes: tuple[str, ...] = ()


CONSTRUCTIONS: Mapping[str, Construction] = {
    "papers": Construction(
        ("c-CS-s",),
        ("c-SC-s", "t-SC-s"),
        (GENOTYPE, BLOCK),
        ("Background and target differ in the learning protocol too, which the protein SOD1_N alone tells.",),
    ),
    "drug": Construction(("c-CS-s", "c-SC-s"), ("c-CS-m", "c-SC-m", "t-CS-m", "t-SC-m"), (GENOTYPE, PROTOCOL, BLOCK)),
    "down_syndrome": Construction(
        ("c-CS-s", "c-SC-s"), ("t-CS-m", "t-CS-s", "t-SC-m", "t-SC-s"), (TREATMENT, PROTOCOL, BLOCK)
    ),
}


@dataclass(frozen=True)
class MouseProteinConfig(Settings):
    """Which mice and proteins, and the split."""

    construction: Literal["papers", "drug", "down_syndrome"] = setting(
        "papers", help="which mice are background and target, and what is salient"
    )
    proteins: Literal["nearly-complete", "all"] = setting(
        "nearly-complete", help="70 proteins that nearly all measurements have, or 76 with more missing values"
    )
    fold: int = setting(0, at_least=0, at_most=FOLDS - 1, help="which third of the mice is tested on")
    seed: int = setting(0, at_least=0, help="of the folds")


class MouseProtein(DatasetBuilder):
    """Selects and standardises measurements; see the module."""

    name = "mouse_protein"
    version = 1
    Config = MouseProteinConfig
    config: MouseProteinConfig

    def locate(self, root: Path | None) -> Sequence[Source]:
        """`Data_Cortex_Nuclear.csv`, in `mouse_protein/` or the folder itself; else downloaded."""
        layout = f"{_FOLDER}/{FILE}"
        if root is None:
            return [from_cache(TITLE, FILE, layout, _find, _download)]
        source = _find(root)
        if source is None:
            raise not_found(TITLE, root, f"{FILE} in {root / _FOLDER}, {root}", layout)
        return [source]

    def build(self, sources: Sequence[Source], writer: DatasetWriter) -> None:
        """Write both splits, background first, rows in the file's order."""
        measured = read_measurements(sources[0].files[0])
        writer.note(f"{REPEATED} is left out: it equals ARC_N in every row.")
        if self.config.proteins == "nearly-complete":
            measured, said = _nearly_complete(measured)
            writer.note(said)
        chosen = CONSTRUCTIONS[self.config.construction]
        populations = [np.isin(measured.classes, classes) for classes in (chosen.background, chosen.target)]
        is_test = folds(measured.mice, measured.classes, self.config.seed) == self.config.fold
        training = np.flatnonzero((populations[0] | populations[1]) & ~is_test)
        learned = Standardisation.of({"": measured.values}, {"": training})
        features = learned.rows(measured.values)
        non_negative = not (measured.values[populations[0] | populations[1]] < 0).any()
        splits: tuple[tuple[Split, np.ndarray], ...] = (("train", ~is_test), ("test", is_test))
        for split, in_split in splits:
            rows = [np.flatnonzero(population & in_split) for population in populations]
            with writer.split(split, sum(map(len, rows)), (features.shape[1],), chosen.attributes) as out:
                out.declare_scaling(learned.mean, learned.scale)
                if non_negative:
                    out.declare_non_negative()
                for is_target, of in zip((False, True), rows, strict=True):
                    values = _values(measured, chosen.attributes, of, is_target)
                    out.append(features[of], is_target, values, measured.names[of].tolist(), measured.mice[of].tolist())
        writer.note(*_said_of_missing(measured, populations[0] | populations[1]), *chosen.notes)
        writer.note(_said_of_mice(len(np.unique(measured.mice[populations[1] & is_test]))))


class Measurements(NamedTuple):
    """The table's rows.

    Attributes:
        names: text (n,), such as "3426_13".
        mice: text (n,), such as "3426".
        blocks: int64 (n,), 0 to 4.
        classes: text (n,), such as "t-SC-s".
        proteins: text (d,).
        values: float64 (n, d), NaN = missing.
    """

    names: np.ndarray
    mice: np.ndarray
    blocks: np.ndarray
    classes: np.ndarray
    proteins: np.ndarray
    values: np.ndarray


def read_measurements(path: Path) -> Measurements:
    """The published table, without the repeated protein: 1,080 rows of 76 proteins.

    Raises:
        UserError: for any other file, however alike.
    """
    found = content_digest(path)
    if found != SHA256:
        raise UserError(
            f"{path} is not {FILE} as published (its SHA-256 is {found[:12]}..., not {SHA256[:12]}...). Replace it; or "
            f"take it as data of your own: cabench data import --input {quote(str(path))} --population class "
            "--background c-CS-s --target c-SC-s,t-SC-s --salient Genotype --group MouseID --group-until _ "
            "--ignore Treatment,Behavior --output mine.h5"
        )
    with path.open(encoding="utf-8-sig", newline="") as stream:
        header, *lines = csv.reader(stream)
    cells = dict(zip(header, np.array(lines).T, strict=True))
    proteins = [name for name in header if name.endswith("_N") and name != REPEATED]
    names = cells["MouseID"]
    mice, replicates = zip(*(name.rsplit("_", 1) for name in names), strict=True)
    values = np.array([[float(cell) if cell else np.nan for cell in cells[name]] for name in proteins]).T
    blocks = (np.array(replicates).astype(np.int64) - 1) // 3
    return Measurements(names, np.array(mice), blocks, cells["class"], np.array(proteins), values)


def folds(mice: np.ndarray, classes: np.ndarray, seed: int) -> np.ndarray:
    """Int64 (n,), 0 to 2: the fold of each row's mouse, a third of each class in each.

    The mice of a class, in the order of the SHA-256 of "<seed>/<mouse>", are dealt to the folds in turn, and the next
    class goes on where the last one ended.

    Args:
        mice: text (n,).
        classes: text (n,), the same for all rows of a mouse.
        seed: of the order.
    """
    class_of = dict(zip(mice.tolist(), classes.tolist(), strict=True))
    order = sorted(class_of, key=lambda mouse: (class_of[mouse], hashlib.sha256(f"{seed}/{mouse}".encode()).digest()))
    fold_of = {mouse: position % FOLDS for position, mouse in enumerate(order)}
    return np.array([fold_of[mouse] for mouse in mice.tolist()])


def _nearly_complete(measured: Measurements) -> tuple[Measurements, str]:
    """The measurements and proteins that lack little, by rules that look at no class, and a sentence on the others."""
    missing = np.isnan(measured.values)
    columns, rows = missing.mean(axis=0) <= MOST_MISSING, missing.mean(axis=1) <= MOST_LACKING
    kept = Measurements(
        names=measured.names[rows],
        mice=measured.mice[rows],
        blocks=measured.blocks[rows],
        classes=measured.classes[rows],
        proteins=measured.proteins[columns],
        values=measured.values[np.ix_(rows, columns)],
    )
    said = (
        f"Left out are {', '.join(measured.proteins[~columns])}, which more than {MOST_MISSING:.0%} of measurements "
        f"lack, and the measurements {', '.join(measured.names[~rows])}, which lack most proteins; "
        'proteins = "all" keeps them.'
    )
    return kept, said


def _values(
    measured: Measurements, attributes: Sequence[Attribute], rows: np.ndarray, is_target: bool
) -> dict[str, np.ndarray]:
    """Int64 (m,) by attribute that is defined for these rows."""
    genotype, protocol, treatment = np.array([name.split("-") for name in measured.classes[rows].tolist()]).T
    codes = {
        "genotype": genotype == "t",
        "protocol": protocol == "SC",
        "treatment": treatment == "m",
        "block": measured.blocks[rows],
    }
    return {a.name: codes[a.name].astype(np.int64) for a in attributes if is_target or a.space == "common"}


def _said_of_missing(measured: Measurements, used: np.ndarray) -> list[str]:
    missing = np.isnan(measured.values[used])
    if not missing.any():
        return []
    mice = np.unique(measured.mice[used][missing.any(axis=1)])
    named = f"of mouse {' and '.join(mice)}" if len(mice) < 3 else f"of {len(mice)} mice"
    return [
        f"{missing.sum():,} of {missing.size:,} values are missing, {named}. Proteins are missing for whole mice, so "
        "what fills them can mark a mouse."
    ]


def _said_of_mice(tested: int) -> str:
    return (
        f"Rows are not independent: {tested} target mice are tested, so that one mouse is {100 / tested:.0f} points of "
        "accuracy. Run all three folds, and report the spread over mice."
    )


def _find(root: Path) -> Source | None:
    places = (root / _FOLDER / FILE, root / FILE)
    return next((Source(TITLE, (path,)) for path in places if path.is_file()), None)


def _download(folder: Path) -> None:
    fetch([ADDRESS], folder / _FOLDER / FILE, MD5)
