"""ODIR-5K subtypes: the construction of card B5, on photographs in the folder layout in which they are published."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cabench.config import ConfigError
from cabench.data import decoding
from cabench.data.file import DatasetFile
from cabench.data.layout import SPLITS
from cabench.datasets import odir
from cabench.datasets.odir import Odir, OdirConfig
from cabench.errors import UserError

LETTERS = ("N", "D", "G", "C", "A", "H", "M", "O")
KINDS = ("N", "D", "G", "C", "A", "M")
PATIENTS = 60
# Of these the publisher has no preprocessed image.
WITHOUT_IMAGE = {"7_left.jpg", "12_left.jpg", "12_right.jpg"}


def published() -> pd.DataFrame:
    """Each kind for some patients; beside it sometimes hypertension or another disease, or a second kind."""
    rows = []
    for patient in range(PATIENTS):
        labels = dict.fromkeys(LETTERS, 0)
        labels[KINDS[(0, 1, 0, 2, 0, 3, 0, 4, 0, 5)[patient % 10]]] = 1
        labels["H"], labels["O"] = int(patient % 5 == 0), int(patient % 7 == 0)
        if patient % 11 == 10:
            labels["G" if not labels["G"] else "D"] = 1
        if patient == 25:
            labels = {**dict.fromkeys(LETTERS, 0), "O": 1}
        rows.append(
            {
                "ID": patient,
                "Patient Age": 1 if patient in (4, 9) else 30 + patient,
                "Patient Sex": ("Female", "Male")[patient // 2 % 2],
                "Left-Fundus": f"{patient}_left.jpg",
                "Right-Fundus": f"{patient}_right.jpg",
                "Left-Diagnostic Keywords": "as a doctor wrote them",
                "Right-Diagnostic Keywords": "normal fundus",
                **labels,
            }
        )
    return pd.DataFrame(rows)


TABLE = published()
FILES = [
    name
    for pair in TABLE[["Left-Fundus", "Right-Fundus"]].itertuples(index=False)
    for name in pair
    if name not in WITHOUT_IMAGE
]


def expected() -> dict[str, int]:
    """The class of each eye that the card takes, in its order: patients, left before right."""
    chosen = {}
    for _, row in TABLE.iterrows():
        kinds = [kind for kind, letter in enumerate(KINDS) if row[letter] == 1]
        if len(kinds) == 1:
            for name in (row["Left-Fundus"], row["Right-Fundus"]):
                if name not in WITHOUT_IMAGE:
                    chosen[name] = kinds[0]
    return chosen


@pytest.fixture(scope="module")
def photographs(jpeg) -> dict[str, bytes]:
    return {name: jpeg(number, (64, 64)) for number, name in enumerate(FILES)}


@pytest.fixture
def root(tmp_path: Path, photographs: dict[str, bytes]) -> Path:
    """Kaggle's archive: `full_df.csv`, `preprocessed_images/` and `ODIR-5K/ODIR-5K/data.xlsx`."""
    folder = tmp_path / "data" / "odir"
    (folder / "preprocessed_images").mkdir(parents=True)
    (folder / "ODIR-5K" / "ODIR-5K").mkdir(parents=True)
    for name, content in photographs.items():
        (folder / "preprocessed_images" / name).write_bytes(content)
    write(folder, TABLE)
    write_list(folder, sorted(FILES))
    return tmp_path / "data"


def write(folder: Path, table: pd.DataFrame) -> Path:
    path = folder / "ODIR-5K" / "ODIR-5K" / "data.xlsx"
    table.to_excel(path, index=False)
    return path


def write_list(folder: Path, names: list[str]) -> Path:
    path = folder / "full_df.csv"
    pd.DataFrame({"ID": [name.split("_")[0] for name in names], "filename": names}).to_csv(path, index=False)
    return path


def area_means(pixels: np.ndarray) -> np.ndarray:
    """Uint8 (3, 224, 224) of uint8 (3, 64, 64): each pixel in 7 x 7 equal pieces, blocks of 2 x 2 pieces averaged.

    64 * 7 = 224 * 2, so that no piece lies in two old or two new pixels.
    """
    pieces = pixels.repeat(7, axis=1).repeat(7, axis=2)
    return np.rint(pieces.reshape(3, 224, 2, 224, 2).mean(axis=(2, 4))).astype(np.uint8)


def names_of(file: DatasetFile, photographs: dict[str, bytes]) -> dict[tuple[str, str], list[str]]:
    """File names by split and population, found by the pixels."""
    by_pixels = {}
    for name, content in photographs.items():
        pixels = np.asarray(Image.open(io.BytesIO(content))).transpose(2, 0, 1)
        by_pixels[area_means(pixels).tobytes()] = name
    return {
        (split, population): [
            by_pixels[image.numpy().tobytes()] for image in getattr(file.read(split), population).images
        ]
        for split in ("train", "test")
        for population in ("background", "target")
    }


def patient(name: str) -> int:
    return int(name.split("_")[0])


class TestConstruction:
    def test_images_and_classes_are_those_of_the_card(self, build_at, root, photographs) -> None:
        file = build_at(Odir(), root)
        file.verify()
        found, wanted = names_of(file, photographs), expected()

        assert sorted(name for names in found.values() for name in names) == sorted(wanted)
        assert set(wanted.values()) == set(range(6))
        order = list(wanted)
        for (split, population), names in found.items():
            attributes = getattr(file.read(split), population).attributes
            rows = [TABLE.loc[patient(name)] for name in names]
            assert names == sorted(names, key=order.index), "not in the order of the table, left before right"
            assert {wanted[name] > 0 for name in names} == {population == "target"}
            assert attributes["subtype"].tolist() == [wanted[name] - 1 for name in names]
            assert attributes["sex"].tolist() == [int(row["Patient Sex"] == "Male") for row in rows]
            assert attributes["eye"].tolist() == [int("right" in name) for name in names]
            ages = [np.nan if row["Patient Age"] == 1 else float(row["Patient Age"]) for row in rows]
            np.testing.assert_array_equal(attributes["age"], ages)

    def test_attributes_are_declared_subtype_salient_and_others_common(self, build_at, root) -> None:
        info = build_at(Odir(), root).info

        diseases = ("diabetes", "glaucoma", "cataract", "macular degeneration", "myopia")
        assert [(a.name, a.space, a.kind, a.classes) for a in info.attributes] == [
            ("subtype", "salient", "class", diseases),
            ("age", "common", "real", ()),
            ("sex", "common", "class", ("female", "male")),
            ("eye", "common", "class", ("left", "right")),
        ]
        assert info.image_shape == (3, 224, 224)

    def test_no_more_than_the_limits_are_taken_from_the_start(self, build_at, root, photographs, monkeypatch) -> None:
        assert odir.LIMITS == (2_300, 400, 350, 350, 350, 350)
        limits = (21, 5, 4, 3, 9, 2)
        monkeypatch.setattr(odir, "LIMITS", limits)
        found = names_of(build_at(Odir(), root), photographs)

        wanted = [
            name
            for kind, limit in enumerate(limits)
            for name in [name for name, of in expected().items() if of == kind][:limit]
        ]
        assert sorted(name for names in found.values() for name in names) == sorted(wanted)

    def test_same_content_on_two_runs_with_one_or_three_workers_and_with_the_table_beside(
        self, build_at, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(decoding, "CHUNK", 11)
        contents = set()
        for workers in (1, 3):
            monkeypatch.setattr(decoding, "workers", lambda workers=workers: workers)
            contents.add(build_at(Odir(), root).info.content_sha256)
        folder = root / "odir"
        (folder / "ODIR-5K" / "ODIR-5K" / "data.xlsx").rename(folder / "data.xlsx")
        contents.add(build_at(Odir(), root).info.content_sha256)
        contents.add(build_at(Odir(), folder).info.content_sha256)
        assert len(contents) == 1


class TestSplit:
    def test_no_patient_stands_in_both_splits_and_each_kind_has_a_tenth(self, build_at, root, photographs) -> None:
        file = build_at(Odir(), root)
        found = names_of(file, photographs)
        patients = {
            split: {patient(name) for (of, _), names in found.items() if of == split for name in names}
            for split in ("train", "test")
        }

        assert OdirConfig().split == "patient-disjoint"
        assert not patients["train"] & patients["test"]
        assert file.info.notes == ()
        tested = found["test", "background"] + found["test", "target"]
        for kind in range(6):
            eyes = [name for name, of in expected().items() if of == kind]
            # Whole patients, of two eyes each at most.
            assert 0 <= sum(name in tested for name in eyes) - round(0.1 * len(eyes)) <= 1

    @pytest.mark.parametrize("split", ["patient-disjoint", "leaky-as-released"])
    def test_a_patients_eyes_are_a_group(self, build_at, root, photographs, split) -> None:
        file = build_at(Odir(OdirConfig(split=split)), root)
        found = names_of(file, photographs)
        for of in SPLITS:
            for population, rows in zip(("background", "target"), file.read_rows(of), strict=True):
                assert rows.groups.tolist() == [str(patient(name)) for name in found[of, population]]

    def test_the_leaky_split_leaves_out_three_and_says_that_it_leaks(self, build_at, root, photographs) -> None:
        file = build_at(Odir(OdirConfig(split="leaky-as-released")), root)
        found, wanted = names_of(file, photographs), expected()
        train, test = (set(found[split, "background"] + found[split, "target"]) for split in ("train", "test"))

        assert train | test == set(list(wanted)[3:])
        assert not train & test
        for is_target in (False, True):  # stratified by diagnosis
            eyes = [name for name in list(wanted)[3:] if (wanted[name] > 0) == is_target]
            assert sum(name in test for name in eyes) == round(0.1 * len(eyes))
        shared = {patient(name) for name in train} & {patient(name) for name in test}
        assert shared
        (note,) = file.info.notes
        assert note.startswith(f"LEAKY SPLIT: images of {len(shared)} patients stand in both splits")

    @pytest.mark.parametrize("split", ["patient-disjoint", "leaky-as-released"])
    def test_another_seed_holds_out_others(self, build_at, root, split) -> None:
        first, other = (build_at(Odir(OdirConfig(split=split, seed=seed)), root) for seed in (0, 1))
        assert first.info.content_sha256 != other.info.content_sha256

    def test_other_splits_are_refused(self) -> None:
        with pytest.raises(ConfigError, match="leaky-as-released"):
            OdirConfig(split="random")


class TestBadInput:
    def test_a_corrupt_image_among_good_ones(self, refused, root: Path) -> None:
        path = root / "odir" / "preprocessed_images" / "0_right.jpg"
        path.write_bytes(path.read_bytes()[:-300])
        assert str(path) in refused(Odir(), root)

    @pytest.mark.parametrize("column", ["ID", "Patient Age", "Patient Sex", "Left-Fundus", "N", "M"])
    def test_a_missing_column(self, refused, root: Path, column: str) -> None:
        path = write(root / "odir", TABLE.drop(columns=column))
        message = refused(Odir(), root)
        assert str(path) in message
        assert f"lacks the column {column}" in message

    def test_a_list_without_file_names(self, refused, root: Path) -> None:
        path = root / "odir" / "full_df.csv"
        path.write_text("ID\n0\n", encoding="utf-8")
        assert f"{path} lacks the column filename" in refused(Odir(), root)

    @pytest.mark.parametrize(
        ("column", "value", "said"),
        [
            ("D", None, "D of 2 is empty; allowed is 0, 1"),
            ("D", 2, "D of 2 is 2"),
            ("Patient Sex", None, "Patient Sex of 2 is empty"),
            ("Patient Age", None, "Patient Age of 2 is empty"),
            ("Left-Fundus", None, "Left-Fundus of 2 is empty"),
            ("ID", 1, "ID of 1 is 1; allowed is a number of its own"),
        ],
    )
    def test_a_label_that_is_empty_or_another_value(self, refused, root: Path, column, value, said) -> None:
        table = TABLE.astype({column: object})
        table.loc[2, column] = value
        path = write(root / "odir", table)
        assert f"{path}: {said}" in refused(Odir(), root)

    @pytest.mark.parametrize("cut", [0, 1000])
    def test_a_table_that_is_cut_short(self, refused, root: Path, cut: int) -> None:
        path = root / "odir" / "ODIR-5K" / "ODIR-5K" / "data.xlsx"
        path.write_bytes(path.read_bytes()[:cut])
        message = refused(Odir(), root)
        assert f"{path} is damaged" in message

    def test_a_listed_image_of_no_patient(self, refused, root: Path, jpeg) -> None:
        write_list(root / "odir", [*FILES, "999_left.jpg"])
        (root / "odir" / "preprocessed_images" / "999_left.jpg").write_bytes(jpeg(0, (64, 64)))
        assert "lists 999_left.jpg, for which" in refused(Odir(), root)

    def test_a_label_for_an_unknown_file(self, refused, root: Path) -> None:
        (root / "odir" / "preprocessed_images" / "5_left.jpg").unlink()
        assert "label for 5_left.jpg, which is not in" in refused(Odir(), root)

    def test_an_image_without_label(self, refused, root: Path, jpeg) -> None:
        path = root / "odir" / "preprocessed_images" / "999_left.jpg"
        path.write_bytes(jpeg(0, (64, 64)))
        assert f"{path} has no label" in refused(Odir(), root)

    def test_an_empty_folder(self, refused, root: Path) -> None:
        folder = root / "odir" / "preprocessed_images"
        for path in folder.iterdir():
            path.unlink()
        assert f"{folder} holds no JPEG images" in refused(Odir(), root)

    def test_absent_data_are_named_with_their_owner_and_place(self, tmp_path: Path) -> None:
        with pytest.raises(UserError) as raised:
            Odir().locate(tmp_path)
        for part in ("data.xlsx", "full_df.csv", "preprocessed_images", "Peking University", "odir/", "CABENCH_DATA"):
            assert part in str(raised.value)
