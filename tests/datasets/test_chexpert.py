"""CheXpert subtypes: the construction of card B4, on X-rays in the folder layout in which they are published."""

from __future__ import annotations

import io
import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.model_selection import train_test_split

from cabench.config import ConfigError
from cabench.data import decoding
from cabench.data.file import DatasetFile
from cabench.data.layout import SPLITS
from cabench.datasets import chexpert
from cabench.datasets.chexpert import CheXpert, CheXpertConfig
from cabench.errors import UserError

FINDINGS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
HEADER = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS)
SUBTYPES = ("Cardiomegaly", "Edema", "Pleural Effusion")
OTHERS = tuple(name for name in FINDINGS[1:] if name not in (*SUBTYPES, "Lung Opacity", "Support Devices"))

# Findings of a row, and the class that the card gives it: 0 healthy, 1 to 3 the subtypes, None not taken.
CASES: list[tuple[dict[str, float], int | None]] = [
    ({"No Finding": 1}, 0),
    ({"No Finding": 1, "Support Devices": 1}, 0),
    ({"No Finding": 1, "Fracture": 1, "Edema": -1}, 0),  # no further exclusion
    ({"Cardiomegaly": 1}, 1),
    ({"Edema": 1, "Cardiomegaly": 0}, 2),
    ({"Pleural Effusion": 1, "Lung Opacity": 1, "Support Devices": -1}, 3),
    ({"Cardiomegaly": 1, "Edema": 1}, None),
    ({"Cardiomegaly": 1, "Edema": -1}, None),
    ({"Edema": 1, "Pneumonia": 0}, 2),
    *(({"Edema": 1, name: value}, None) for name in OTHERS for value in (1, -1)),
    ({"Lung Opacity": 1}, None),
    ({}, None),
]
PATIENTS = 30


def published() -> pd.DataFrame:
    """Every case for some patient, in several views; each patient has several studies, of different classes."""
    rows = []
    for number, (findings, _) in enumerate(itertools.chain(CASES, itertools.islice(itertools.cycle(CASES[:9]), 81))):
        patient, study = number % PATIENTS, number // PATIENTS + 1
        views = [("Frontal", "AP")]
        if number % 7 == 0:
            views += [("Frontal", "PA"), ("Lateral", ""), ("Frontal", "LL")]
        for place, (side, projection) in enumerate(views, start=1):
            name = f"patient{patient + 1:05d}/study{study}/view{place}_{side.lower()}.jpg"
            rows.append(
                {
                    "Path": f"CheXpert-v1.0-small/train/{name}",
                    "Sex": "Unknown" if number == 3 else ("Female", "Male")[patient % 2],
                    "Age": 20 + patient,
                    "Frontal/Lateral": side,
                    "AP/PA": projection,
                    **findings,
                }
            )
    return pd.DataFrame(rows, columns=list(HEADER))


TABLE = published()


def expected_class(row: pd.Series) -> int | None:
    if row["Frontal/Lateral"] != "Frontal" or row["AP/PA"] != "AP":
        return None
    findings = {name: row[name] for name in FINDINGS if not pd.isna(row[name])}
    return next(kind for case, kind in CASES if case == findings)


def short(path: str) -> str:
    return path.removeprefix("CheXpert-v1.0-small/train/")


@pytest.fixture(scope="module")
def xrays(jpeg) -> dict[str, bytes]:
    return {short(path): jpeg(number, (61, 53), "L") for number, path in enumerate(TABLE["Path"])}


@pytest.fixture
def root(tmp_path: Path, xrays: dict[str, bytes]) -> Path:
    """`CheXpert-v1.0-small/train.csv`, `train/patient.../study.../view....jpg`, `valid.csv` and `valid/`."""
    folder = tmp_path / "data" / "CheXpert-v1.0-small"
    for name, content in xrays.items():
        (folder / "train" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "train" / name).write_bytes(content)
    write(folder, TABLE)
    (folder / "valid").mkdir()
    (folder / "valid.csv").write_text(",".join(HEADER) + "\n", encoding="utf-8")
    return tmp_path / "data"


def write(folder: Path, table: pd.DataFrame) -> Path:
    path = folder / "train.csv"
    table.to_csv(path, index=False)
    return path


def names_of(file: DatasetFile, xrays: dict[str, bytes]) -> dict[tuple[str, str], list[str]]:
    """File names by split and population, found by the pixels."""
    by_pixels = {prepared(content).tobytes(): name for name, content in xrays.items()}
    return {
        (split, population): [
            by_pixels[image.numpy().tobytes()] for image in getattr(file.read(split), population).images
        ]
        for split in ("train", "test")
        for population in ("background", "target")
    }


def prepared(content: bytes) -> np.ndarray:
    """Ten pixels cut from each side, the rest averaged over the areas of new pixels, by counting small squares."""
    pixels = np.asarray(Image.open(io.BytesIO(content)))[10:-10, 10:-10].astype(np.int64)
    fine = pixels.repeat(224, axis=0).reshape(224, -1, pixels.shape[1]).sum(axis=1)
    fine = fine.repeat(224, axis=1).reshape(224, 224, -1).sum(axis=2)
    return np.rint(fine / pixels.size).astype(np.uint8)


class TestConstruction:
    def test_images_and_classes_are_those_of_the_card(self, build_at, root, xrays) -> None:
        file = build_at(CheXpert(), root)
        file.verify()
        rows = {short(row["Path"]): row for _, row in TABLE.iterrows()}
        wanted = {name: kind for name, row in rows.items() if (kind := expected_class(row)) is not None}
        found = names_of(file, xrays)

        assert sorted(name for names in found.values() for name in names) == sorted(wanted)
        assert set(wanted.values()) == {0, 1, 2, 3}
        order = list(rows)
        for (split, population), names in found.items():
            attributes = getattr(file.read(split), population).attributes
            assert names == sorted(names, key=order.index), "not in the order of the table"
            assert {wanted[name] > 0 for name in names} == {population == "target"}
            assert attributes["subtype"].tolist() == [wanted[name] - 1 for name in names]
            assert attributes["age"].tolist() == [float(rows[name]["Age"]) for name in names]
            sexes = {"Female": 0, "Male": 1, "Unknown": -1}
            assert attributes["sex"].tolist() == [sexes[rows[name]["Sex"]] for name in names]

    def test_attributes_are_declared_subtype_salient_and_others_common(self, build_at, root) -> None:
        info = build_at(CheXpert(), root).info

        assert [(a.name, a.space, a.kind, a.classes) for a in info.attributes] == [
            ("subtype", "salient", "class", ("cardiomegaly", "edema", "pleural effusion")),
            ("age", "common", "real", ()),
            ("sex", "common", "class", ("female", "male")),
        ]
        assert info.image_shape == (1, 224, 224)
        assert info.sources == ("CheXpert-v1.0-small",)

    def test_no_more_than_the_limits_are_taken_from_the_start(self, build_at, root, xrays, monkeypatch) -> None:
        assert chexpert.LIMITS == (10_001, 3_001, 3_001, 3_001)
        monkeypatch.setattr(chexpert, "LIMITS", (12, 7, 6, 8))
        found = names_of(build_at(CheXpert(), root), xrays)

        kinds = [expected_class(row) for _, row in TABLE.iterrows()]
        wanted = {
            short(TABLE["Path"][row])
            for kind, limit in enumerate((12, 7, 6, 8))
            for row in [row for row, found_kind in enumerate(kinds) if found_kind == kind][:limit]
        }
        assert {name for names in found.values() for name in names} == wanted

    def test_same_content_on_two_runs_with_one_or_three_workers_and_without_the_outer_folder(
        self, build_at, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(decoding, "CHUNK", 11)
        contents = set()
        for workers in (1, 3):
            monkeypatch.setattr(decoding, "workers", lambda workers=workers: workers)
            contents.add(build_at(CheXpert(), root).info.content_sha256)
        contents.add(build_at(CheXpert(), root / "CheXpert-v1.0-small").info.content_sha256)
        assert len(contents) == 1


class TestSplit:
    def test_no_patient_stands_in_both_splits(self, build_at, root, xrays) -> None:
        file = build_at(CheXpert(), root)
        found = names_of(file, xrays)
        patients = {
            split: {name.split("/")[0] for (of, _), names in found.items() if of == split for name in names}
            for split in ("train", "test")
        }

        assert CheXpertConfig().split == "patient-disjoint"
        assert not patients["train"] & patients["test"]
        assert file.info.notes == ()
        images = Counter(split for (split, _), names in found.items() for _ in names)
        assert 0.05 < images["test"] / images.total() < 0.3  # patients of four or five images each

    @pytest.mark.parametrize("split", ["patient-disjoint", "leaky-as-released"])
    def test_a_patients_images_are_a_group(self, build_at, root, xrays, split) -> None:
        file = build_at(CheXpert(CheXpertConfig(split=split)), root)
        found = names_of(file, xrays)
        for of in SPLITS:
            for population, rows in zip(("background", "target"), file.read_rows(of), strict=True):
                assert rows.groups.tolist() == [name.split("/")[0] for name in found[of, population]]

    def test_another_seed_holds_out_other_patients(self, build_at, root) -> None:
        first, other = (build_at(CheXpert(CheXpertConfig(seed=seed)), root) for seed in (0, 1))
        assert first.info.content_sha256 != other.info.content_sha256

    def test_the_released_split_is_that_of_the_card_and_says_that_it_leaks(self, build_at, root, xrays) -> None:
        file = build_at(CheXpert(CheXpertConfig(split="leaky-as-released")), root)
        found = names_of(file, xrays)
        kept = [short(row["Path"]) for _, row in TABLE.iterrows() if expected_class(row) is not None]
        train, test = train_test_split(kept, test_size=0.1, random_state=0)

        for split, names in (("train", train), ("test", test)):
            assert sorted(found[split, "background"] + found[split, "target"]) == sorted(names)
        (note,) = file.info.notes
        shared = {name.split("/")[0] for name in train} & {name.split("/")[0] for name in test}
        assert shared
        assert note.startswith(f"LEAKY SPLIT: images of {len(shared)} patients stand in both splits")

    def test_other_splits_are_refused(self) -> None:
        with pytest.raises(ConfigError, match="leaky-as-released"):
            CheXpertConfig(split="random")


class TestBadInput:
    def test_a_corrupt_image_among_good_ones(self, refused, root: Path) -> None:
        path = root / TABLE["Path"][0]
        path.write_bytes(path.read_bytes()[:-300])
        assert str(path) in refused(CheXpert(), root)

    def test_an_image_that_is_all_border(self, refused, root: Path, jpeg) -> None:
        path = root / TABLE["Path"][0]
        path.write_bytes(jpeg(0, (20, 40), "L"))
        message = refused(CheXpert(), root)
        assert str(path) in message
        assert "only 20 x 40 pixels" in message

    @pytest.mark.parametrize("column", ["Path", "Sex", "Age", "AP/PA", "No Finding", "Edema", "Fracture"])
    def test_a_missing_column(self, refused, root: Path, column: str) -> None:
        path = write(root / "CheXpert-v1.0-small", TABLE.drop(columns=column))
        message = refused(CheXpert(), root)
        assert str(path) in message
        assert f"lacks the column {column}" in message

    @pytest.mark.parametrize(
        ("column", "value", "said"),
        [
            ("Sex", None, "Sex of {} is empty; allowed is Female, Male, Unknown"),
            ("Sex", "F", "Sex of {} is F"),
            ("Age", None, "Age of {} is empty; allowed is a number of years"),
            ("Age", -4, "Age of {} is -4"),
            ("Age", "old", "Age of {} is old"),
            ("Edema", 2, "Edema of {} is 2.0; allowed is 1, 0, -1, empty"),
            ("Edema", "yes", "Edema of {} is yes"),
            ("Path", None, "Path of row 3 is empty"),
        ],
    )
    def test_a_label_that_is_empty_or_another_value(self, refused, root: Path, column, value, said) -> None:
        table = TABLE.astype({column: object})
        table.loc[2, column] = value
        path = write(root / "CheXpert-v1.0-small", table)
        message = refused(CheXpert(), root)
        assert f"{path}: {said.format(TABLE['Path'][2])}" in message

    def test_a_path_without_a_patient(self, refused, root: Path) -> None:
        table = TABLE.copy()
        table.loc[2, "Path"] = "CheXpert-v1.0-small/train/../../../etc/passwd.jpg"
        write(root / "CheXpert-v1.0-small", table)
        assert "passwd.jpg is CheXpert-v1.0-small" in refused(CheXpert(), root)

    def test_a_label_for_an_unknown_file(self, refused, root: Path) -> None:
        (root / TABLE["Path"][4]).unlink()
        assert f"label for {short(TABLE['Path'][4])}, which is not in" in refused(CheXpert(), root)

    def test_an_image_without_label(self, refused, root: Path, jpeg) -> None:
        path = (root / TABLE["Path"][0]).with_name("view9_frontal.jpg")
        path.write_bytes(jpeg(0, (61, 53), "L"))
        assert f"{path} has no label" in refused(CheXpert(), root)

    def test_an_empty_folder(self, refused, root: Path) -> None:
        for path in (root / "CheXpert-v1.0-small" / "train").rglob("*.jpg"):
            path.unlink()
        assert f"{root / 'CheXpert-v1.0-small' / 'train'} holds no JPEG images" in refused(CheXpert(), root)

    def test_absent_data_are_named_with_their_owner_and_place(self, tmp_path: Path) -> None:
        with pytest.raises(UserError) as raised:
            CheXpert().locate(tmp_path)
        for part in ("train.csv", "CheXpert-v1.0-small", "Stanford", str(tmp_path / "chexpert"), "CABENCH_DATA"):
            assert part in str(raised.value)
