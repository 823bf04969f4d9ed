"""Small medical images: people without a finding, and people with one of several, which is salient.

MedMNIST (https://medmnist.com, https://doi.org/10.5281/zenodo.10519652): Yang et al., Scientific Data 10, 41 (2023).
`subset` names one of five of its sets (card B8b), `size` one of the four sizes in which each is published:

- `oct`: optical coherence tomography of the retina; background: normal; three diseases.
- `retina`: photographs of the retina; background: no retinopathy; its four grades.
- `derma`: photographs of the skin; background: naevi, which are no healthy skin; six other lesions.
- `pneumonia`: chest X-rays of children; background: normal; no attribute, so that only target against background is
  measured.
- `chest`: chest X-rays; background: no finding; `findings` names the salient ones. Images with several findings, or
  with others alone, are left out.

Only the official files are taken, known by their MD5. Their test split is the test split, their validation split is for
choosing settings. Images that stand in two splits are dropped from the training split, or else from the validation
split. No attribute is common and no file names patients, so that rows have no groups. Pixels are stored as published.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Literal, NamedTuple

import numpy as np

from cabench.config import ConfigError, Settings, setting
from cabench.data.builder import DatasetBuilder
from cabench.data.dataset import Attribute
from cabench.data.download import fetch, from_cache, not_found
from cabench.data.importing.images.medmnist import LABEL, Part, read_splits, without_copies
from cabench.data.importing.images.npz import UNKNOWN_PATIENTS
from cabench.data.layout import Split
from cabench.data.sources import Source
from cabench.data.writing import DatasetWriter
from cabench.errors import UserError

LARGEST = 7_000_000_000  # bytes of a file; chest in size 224 has 5.6 GB of pixels
ADDRESS = "https://zenodo.org/records/10519652/files/{name}.npz?download=1"
SPLITS: Mapping[str, Split] = {"test": "test", "val": "validation", "train": "train"}
"""The files' names of splits and ours, in the order in which an image that stands in several is kept."""
BACKGROUND, LEFT_OUT = -1, -2  # codes of images that are no target


class Subset(NamedTuple):
    """One of MedMNIST's sets.

    Attributes:
        file: the name of its file at 28 x 28.
        background: the label of background; None where labels are findings, several of which an image can have.
        salient: the attribute's name; "" if the labels tell nothing but background from target.
        classes: names of the labels.
        md5: of the official file, by size.
        notes: what users must know.
    """

    file: str
    background: int | None
    salient: str
    classes: tuple[str, ...]
    md5: Mapping[int, str]
    notes: tuple[str, ...]


SUBSETS: Mapping[str, Subset] = {
    "oct": Subset(
        "octmnist",
        3,
        "disease",
        ("choroidal neovascularisation", "diabetic macular oedema", "drusen", "normal"),
        {
            28: "c68d92d5b585d8d81f7112f81e2d0842",
            64: "e229e9440236b774d9f0dfef9d07bdaf",
            128: "0a97e76651ace45c5d943ee3f65b63ae",
            224: "abc493b6d529d5de7569faaef2773ba3",
        },
        ("The validation split is random by image. The test split is balanced, the training split is not.",),
    ),
    "retina": Subset(
        "retinamnist",
        0,
        "grade",
        ("no retinopathy", "1", "2", "3", "4"),
        {
            28: "bd4c0672f1bba3e3a89f0e4e876791e4",
            64: "afda852cc34dcda56f86ad2b2457dbcc",
            128: "e48e916a24454daf90583d4e6efb1a18",
            224: "eae7e3b6f3fcbda4ae613ebdcbe35348",
        },
        ("Grades are ordered, but are scored as classes: to miss by one grade counts like missing by three.",),
    ),
    "derma": Subset(
        "dermamnist",
        5,
        "lesion",
        (
            "actinic keratosis",
            "basal cell carcinoma",
            "benign keratosis",
            "dermatofibroma",
            "melanoma",
            "naevus",
            "vascular lesion",
        ),
        {
            28: "0744692d530f8e62ec473284d019b0c7",
            64: "b70a2f5635c6199aeaa28c31d7202e1f",
            128: "2defd784463fa5243564e855ed717de1",
            224: "8974907d8e169bef5f5b96bc506ae45d",
        },
        (
            "DermaMNIST's licence is CC BY-NC 4.0: no commercial use.",
            "The split is by image: the same lesion can be in train and test, so that scores are too high.",
        ),
    ),
    "pneumonia": Subset(
        "pneumoniamnist",
        0,
        "",
        ("normal", "pneumonia"),
        {
            28: "28209eda62fecd6e6a2d98b1501bb15f",
            64: "8f4eceb4ccffa70c672198ea285246c6",
            128: "05b46931834c231683c68f40c47b2971",
            224: "d6a3c71de1b945ea11211b03746c1fe1",
        },
        ("The file has no attribute: only target against background is measured.",),
    ),
    "chest": Subset(
        "chestmnist",
        None,
        "finding",
        (
            "atelectasis",
            "cardiomegaly",
            "effusion",
            "infiltration",
            "mass",
            "nodule",
            "pneumonia",
            "pneumothorax",
            "consolidation",
            "edema",
            "emphysema",
            "fibrosis",
            "pleural",
            "hernia",
        ),
        {
            28: "02c8a6516a18b556561a56cbdd36c4a8",
            64: "9de6cd0b934ebb5b7426cfba5efbae16",
            128: "db107e5590b27930b62dbaf558aebee3",
            224: "45bd33e6f06c3e8cdb481c74a89152aa",
        },
        ("Labels come from reports: no finding means that none was mentioned.",),
    ),
}


@dataclass(frozen=True)
class MedMnistConfig(Settings):
    """Which set, and in which size."""

    subset: Literal["oct", "retina", "derma", "pneumonia", "chest"] = setting("oct", help="one of MedMNIST's sets")
    size: Literal[28, 64, 128, 224] = setting(28, help="height and width, as published")
    findings: str = setting(
        "cardiomegaly,effusion,pneumothorax", help="of chest: the salient ones, separated by commas; unused by others"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        known = SUBSETS["chest"].classes
        for name in self.chosen_findings:
            if name not in known:
                raise ConfigError(f"medmnist.findings: {name!r} is no finding; choose among {', '.join(known)}.")
        if len(set(self.chosen_findings)) < len(self.chosen_findings):
            raise ConfigError(f"medmnist.findings = {self.findings!r} names a finding twice; name each once.")

    @property
    def chosen_findings(self) -> tuple[str, ...]:
        """The names in `findings`."""
        return tuple(name.strip() for name in self.findings.split(","))


class MedMnist(DatasetBuilder):
    """Selects images; see the module."""

    name = "medmnist"
    version = 1
    Config = MedMnistConfig
    config: MedMnistConfig

    def locate(self, root: Path | None) -> Sequence[Source]:
        """The set's .npz file, in `medmnist/` or the folder itself; else downloaded."""
        name = self._file_name()
        title, layout = f"MedMNIST ({name})", f"medmnist/{name}"
        if root is None:
            return [from_cache(title, name, layout, self._find, self._download)]
        source = self._find(root)
        if source is None:
            raise not_found(title, root, f"{name} in {root / 'medmnist'}, {root}", layout)
        return [source]

    def build(self, sources: Sequence[Source], writer: DatasetWriter) -> None:
        """Write all splits, background first, each population in the file's order. Images are read three times."""
        path = sources[0].files[0]
        self._check(path)
        parts, subset = read_splits(path).parts, SUBSETS[self.config.subset]
        classes, attributes = self._classes(), self._attributes()
        codes = {name: self._codes(parts[name]) for name in SPLITS}
        said = _without_copies(parts, codes)
        writer.note(*subset.notes, UNKNOWN_PATIENTS, *said, _said_of_classes(classes, codes))
        for name, split in SPLITS.items():
            part, chosen = parts[name], codes[name]
            with writer.split(split, int((chosen != LEFT_OUT).sum()), part.image_shape, attributes) as out:
                for is_target in (False, True):
                    wanted = chosen >= 0 if is_target else chosen == BACKGROUND
                    for images, rows in _pieces(part, wanted):
                        values = {attribute.name: chosen[rows] for attribute in attributes if is_target}
                        out.append(images, is_target, values, [f"{name} {row}" for row in rows])

    def _file_name(self) -> str:
        file, size = SUBSETS[self.config.subset].file, self.config.size
        return f"{file}.npz" if size == 28 else f"{file}_{size}.npz"

    def _find(self, root: Path) -> Source | None:
        name = self._file_name()
        found = next((path for path in (root / "medmnist" / name, root / name) if path.is_file()), None)
        return None if found is None else Source(f"MedMNIST ({name})", (found,))

    def _download(self, folder: Path) -> None:
        name = self._file_name()
        address = ADDRESS.format(name=name.removesuffix(".npz"))
        md5 = SUBSETS[self.config.subset].md5[self.config.size]
        fetch([address], folder / "medmnist" / name, md5, largest=LARGEST)

    def _check(self, path: Path) -> None:
        """Refuse a file that is not the official one."""
        subset = SUBSETS[self.config.subset]
        wanted = subset.md5[self.config.size]
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found != wanted:
            raise UserError(
                f"{path} does not match the official MedMNIST file (expected MD5 {wanted}, found {found}). Replace it; "
                f"or take it as data of your own: cabench data import --input {quote(str(path))} "
                f"{_populations(subset)} --output mine.h5"
            )

    def _classes(self) -> tuple[str, ...]:
        """What targets can be."""
        subset = SUBSETS[self.config.subset]
        if subset.background is None:
            return self.config.chosen_findings
        return tuple(name for label, name in enumerate(subset.classes) if label != subset.background)

    def _attributes(self) -> tuple[Attribute, ...]:
        salient = SUBSETS[self.config.subset].salient
        return (Attribute(salient, "salient", "class", self._classes()),) if salient else ()

    def _codes(self, part: Part) -> np.ndarray:
        """Int64 (n,) of each image of a split: an index into the classes, `BACKGROUND` or `LEFT_OUT`."""
        subset = SUBSETS[self.config.subset]
        if subset.background is not None:
            return labelled_codes(part.columns[LABEL].astype(np.int64), subset.background)
        labels = np.stack([part.columns[f"{LABEL}_{column}"] for column in range(len(subset.classes))], axis=1)
        return finding_codes(
            labels.astype(np.int64), [subset.classes.index(name) for name in self.config.chosen_findings]
        )


def labelled_codes(labels: np.ndarray, background: int) -> np.ndarray:
    """Int64 (n,): `BACKGROUND`, or the place of a label among the others.

    Args:
        labels: int64 (n,), one a row.
        background: the label of background.
    """
    return np.where(labels == background, BACKGROUND, labels - (labels > background))


def finding_codes(labels: np.ndarray, chosen: Sequence[int]) -> np.ndarray:
    """Int64 (n,): `BACKGROUND` without any finding, a place in `chosen` with that one alone, else `LEFT_OUT`.

    Args:
        labels: int64 (n, findings), 0 or 1.
        chosen: columns.
    """
    count = labels.sum(axis=1)
    codes = np.where(count == 0, BACKGROUND, LEFT_OUT)
    for place, column in enumerate(chosen):
        codes[(count == 1) & (labels[:, column] == 1)] = place
    return codes


def _pieces(part: Part, wanted: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The wanted images of a split, in pieces, and their rows in the file."""
    for start, images in part.pieces():
        rows = np.flatnonzero(wanted[start : start + len(images)])
        if len(rows):
            yield images[rows], start + rows


def _without_copies(parts: Mapping[str, Part], codes: Mapping[str, np.ndarray]) -> list[str]:
    """Leave out, in `codes`, images that an earlier split of `SPLITS` has, and say how many."""
    wanted = {name: codes[name] != LEFT_OUT for name in SPLITS}
    copies = {name: chosen.copy() for name, chosen in wanted.items()}
    for name, row, _ in without_copies({name: parts[name] for name in SPLITS}, wanted):
        copies[name][row] = False
    said = []
    for name, found in copies.items():
        codes[name][found] = LEFT_OUT
        if found.any():
            said.append(f"Copies of images of another split are left out of {name}: {found.sum():,}.")
    return said


def _said_of_classes(classes: Sequence[str], codes: Mapping[str, np.ndarray]) -> str:
    counted = []
    for code, title in enumerate(("background", *classes), start=BACKGROUND):
        counts = (int((codes[name] == code).sum()) for name in ("train", "val", "test"))
        counted.append(f"{title} {' + '.join(f'{count:,}' for count in counts)}")
    return f"Images for training + validation + test: {', '.join(counted)}."


def _populations(subset: Subset) -> str:
    """How an import tells background from target in a file of this layout."""
    if subset.background is None:
        return "--population label_1 --background 0 --target 1"
    targets = [str(label) for label in range(len(subset.classes)) if label != subset.background]
    salient = " --salient label" if subset.salient else ""
    return f"--population label --background {subset.background} --target {','.join(targets)}{salient}"
