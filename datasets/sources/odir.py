"""ODIR-5K: photographs of both eyes of 3,500 patients with eight labels a patient, as preprocessed images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cabench.data.sources import Source
from cabench.datasets.sources.download import not_found
from cabench.datasets.sources.label_tables import check, numbers, read_csv, read_excel, require_columns
from cabench.errors import UserError

TITLE = "ODIR-5K (preprocessed images)"
SIDES = ("left", "right")
KINDS = ("normal", "diabetes", "glaucoma", "cataract", "macular degeneration", "myopia")

_LABELS, _PUBLISHED, _IMAGES = "data.xlsx", "full_df.csv", "preprocessed_images"
_KIND_COLUMNS: Mapping[str, str] = dict(zip(("N", "D", "G", "C", "A", "M"), KINDS, strict=True))
_SIDE_COLUMNS: Mapping[str, str] = {"Left-Fundus": "left", "Right-Fundus": "right"}
_SEXES = ("Female", "Male")
_UNKNOWN_AGE = 1
_COLUMNS = ("ID", "Patient Age", "Patient Sex", *_SIDE_COLUMNS, *_KIND_COLUMNS)


def locate(root: Path) -> Source:
    """Find the tables and the images, in `odir/`, `ODIR-5K/` or the folder itself.

    Args:
        root: a folder in the layout that Kaggle publishes: `full_df.csv` and `preprocessed_images/`, and `data.xlsx`
            beside them or in `ODIR-5K/` or `ODIR-5K/ODIR-5K/`.

    Returns:
        A source of three: the labels of all patients, the list of preprocessed images, their folder.

    Raises:
        UserError: naming what is missing, and whom to get it from.
    """
    places = (root / "odir", root / "ODIR-5K", root)
    for place in places:
        found = (place / inner / _LABELS for inner in ("", "ODIR-5K", "ODIR-5K/ODIR-5K"))
        labels = next((path for path in found if path.is_file()), None)
        if labels is not None and (place / _PUBLISHED).is_file() and (place / _IMAGES).is_dir():
            return Source(TITLE, (labels, place / _PUBLISHED, place / _IMAGES))
    raise not_found(
        TITLE,
        root,
        f"{_PUBLISHED} and {_IMAGES}/ with {_LABELS} beside them or in ODIR-5K/ODIR-5K/, in "
        f"{', '.join(map(str, places))}",
        "odir/",
        "the archive of Ocular Disease Recognition, ODIR-5K, which Peking University and Shanggong Medical Technology "
        "collected and Kaggle hands out",
    )


def read_eyes(labels: Path, published: Path) -> pd.DataFrame:
    """Read the labels of every preprocessed image.

    Args:
        labels: `data.xlsx`, one row a patient.
        published: `full_df.csv`, whose `filename` names the images that were published: some eyes have none.

    Returns:
        One row an eye, patients in the order of the table, left before right: `file`, `patient` (str), `eye` and `sex`
        (int64, indices into `SIDES` and ("female", "male")), `age` (float64, years, NaN where unknown) and, float64, 0
        or 1, a column for each of `KINDS`.

    Raises:
        UserError: naming the table that is damaged or lacks a column, the patient whose value is not allowed, or an
            image that is listed without labels.
    """
    table = read_excel(labels, _COLUMNS)
    require_columns(labels, table, _COLUMNS)
    check(labels, table, "ID", "ID", table["ID"].notna() & ~table["ID"].duplicated(), ["a number of its own"])
    sex = table["Patient Sex"]
    check(labels, table, "Patient Sex", "ID", sex.isin(_SEXES), _SEXES)
    age = pd.to_numeric(table["Patient Age"], errors="coerce")
    check(labels, table, "Patient Age", "ID", age.between(0, 150), ["a number of years"])
    for column in _SIDE_COLUMNS:
        check(labels, table, column, "ID", table[column].notna(), ["a file name"])
    patients = pd.DataFrame(
        {
            "patient": table["ID"].astype(str),
            "age": age.astype("float64").where(age != _UNKNOWN_AGE),
            "sex": (sex == _SEXES[1]).astype("int64"),
            **{kind: numbers(labels, table, column, "ID", (0, 1)) for column, kind in _KIND_COLUMNS.items()},
        }
    )
    sides = [patients.assign(file=table[c], eye=SIDES.index(side)) for c, side in _SIDE_COLUMNS.items()]
    eyes = pd.concat(sides).sort_index(kind="stable")
    listed = read_csv(published, ("filename",))
    require_columns(published, listed, ("filename",))
    unknown = listed["filename"][~listed["filename"].isin(eyes["file"])]
    if not unknown.empty:
        raise UserError(f"{published} lists {unknown.iloc[0]}, for which {labels} has no patient; replace both tables.")
    return eyes[eyes["file"].isin(listed["filename"])].reset_index(drop=True)
