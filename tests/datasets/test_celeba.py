"""CelebA with accessories: the construction of card B2a, on faces in each layout in which they are published."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cabench.config import ConfigError
from cabench.data import decoding
from cabench.data.cache import download_folder
from cabench.data.file import DatasetFile
from cabench.datasets import celeba
from cabench.datasets.celeba import CelebA, CelebAConfig
from cabench.errors import UserError

FACES = 90
COLUMNS = ("Bald", "Eyeglasses", "Male", "Smiling", "Wearing_Hat", "Young")  # the published table has 40
WANTED = (10, 4, 3)  # of each sex: nothing worn, glasses, a hat
NAMES = [f"{number:06d}.jpg" for number in range(1, FACES + 1)]


def values() -> dict[str, dict[str, int]]:
    """1 or -1 by file and column. Women with glasses alone are too few; some faces have both accessories."""
    generator = np.random.default_rng(0)
    worn = [(-1, -1)] * 45 + [(1, -1)] * 20 + [(-1, 1)] * 20 + [(1, 1)] * 5
    generator.shuffle(worn)
    table = {}
    glasses_of_women = 0
    for name, (glasses, hat) in zip(NAMES, worn, strict=True):
        row = {column: int(generator.choice((-1, 1))) for column in COLUMNS}
        if (glasses, hat, row["Male"]) == (1, -1, -1):
            glasses_of_women += 1
            row["Male"] = -1 if glasses_of_women <= 2 else 1
        table[name] = {**row, "Eyeglasses": glasses, "Wearing_Hat": hat}
    return table


TABLE = values()


def text_table(table: dict[str, dict[str, int]], columns: tuple[str, ...] = COLUMNS) -> str:
    lines = [f"{name} {' '.join(f'{row[column]:2d}' for column in columns)}" for name, row in table.items()]
    return "\n".join([str(len(table)), " ".join(columns) + " ", *lines, ""])


def csv_table(table: dict[str, dict[str, int]], header: str) -> str:
    lines = [",".join([name, *(str(row[column]) for column in COLUMNS)]) for name, row in table.items()]
    return "\n".join([",".join([header, *COLUMNS]), *lines, ""])


@pytest.fixture(scope="module")
def faces(jpeg) -> dict[str, bytes]:
    return {name: jpeg(number, (178, 218)) for number, name in enumerate(NAMES)}


@pytest.fixture(autouse=True)
def fewer_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celeba, "WANTED", WANTED)


@pytest.fixture
def root(tmp_path: Path, faces: dict[str, bytes]) -> Path:
    """torchvision's folder: `celeba/list_attr_celeba.txt` and `celeba/img_align_celeba/`."""
    folder = tmp_path / "data" / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    for name, content in faces.items():
        (folder / "img_align_celeba" / name).write_bytes(content)
    (folder / "list_attr_celeba.txt").write_text(text_table(TABLE), encoding="utf-8")
    return tmp_path / "data"


def zip_up(folder: Path, faces: dict[str, bytes], **more: bytes) -> Path:
    """Put the original archive in place of the folder of images."""
    for path in (folder / "img_align_celeba").iterdir():
        path.unlink()
    (folder / "img_align_celeba").rmdir()
    path = folder / "img_align_celeba.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("img_align_celeba/", "")
        for name, content in {**faces, **more}.items():
            archive.writestr(name if "/" in name else f"img_align_celeba/{name}", content)
    return path


def selected() -> dict[str, tuple[str, int]]:
    """What is worn and the sex of the faces that the card takes, by name: in file order, at most so many per sex."""
    counts: Counter[tuple[str, int]] = Counter()
    chosen = {}
    for name, row in TABLE.items():
        worn = {(-1, -1): "none", (1, -1): "glasses", (-1, 1): "hat"}.get((row["Eyeglasses"], row["Wearing_Hat"]))
        limits = dict(zip(("none", "glasses", "hat"), WANTED, strict=True))
        if worn and counts[worn, row["Male"]] < limits[worn]:
            counts[worn, row["Male"]] += 1
            chosen[name] = (worn, row["Male"])
    return chosen


def stored(file: DatasetFile) -> dict[str, dict[str, dict[bytes, dict[str, int]]]]:
    """Attribute values by split, population and pixels."""
    found: dict[str, dict[str, dict[bytes, dict[str, int]]]] = {}
    for split in ("train", "test"):
        data = file.read(split)
        for population in ("background", "target"):
            part = getattr(data, population)
            found.setdefault(split, {})[population] = {
                image.numpy().tobytes(): {name: int(column[row]) for name, column in part.attributes.items()}
                for row, image in enumerate(part.images)
            }
    return found


def cropped(content: bytes, crop: int, size: int) -> bytes:
    """The window of the card, cut out of the decoded array, and scaled by Pillow."""
    pixels = np.asarray(Image.open(io.BytesIO(content)))
    top, left = (218 - crop) // 2, (178 - crop) // 2
    window = Image.fromarray(pixels[top : top + crop, left : left + crop])
    if size != crop:
        window = window.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(window).transpose(2, 0, 1).tobytes()


class TestConstruction:
    def test_rows_are_named_by_their_files(self, build_at, root, faces) -> None:
        file = build_at(CelebA(), root)
        by_pixels = {cropped(faces[name], 176, 128): name for name in NAMES}
        for split in ("train", "test"):
            for part, rows in zip(file.read(split)[1:], file.read_rows(split), strict=True):
                assert rows.names.tolist() == [by_pixels[image.numpy().tobytes()] for image in part.images]

    def test_faces_labels_and_populations_are_those_of_the_card(self, build_at, root, faces) -> None:
        file = build_at(CelebA(), root)
        file.verify()
        by_pixels = {cropped(faces[name], 176, 128): name for name in NAMES}
        both = stored(file)
        names = {
            (split, population): [by_pixels[pixels] for pixels in rows]
            for split, populations in both.items()
            for population, rows in populations.items()
        }

        assert sorted(name for part in names.values() for name in part) == sorted(selected())
        for (split, population), part in names.items():
            assert part == sorted(part), "not in the order of the file"
            assert {selected()[name][0] == "none" for name in part} == {population == "background"}
            for pixels, attributes in both[split][population].items():
                row, worn = TABLE[by_pixels[pixels]], selected()[by_pixels[pixels]][0]
                assert attributes == {
                    "accessory": {"none": -1, "glasses": 0, "hat": 1}[worn],
                    "sex": int(row["Male"] == 1),
                    "young": int(row["Young"] == 1),
                    "smiling": int(row["Smiling"] == 1),
                }

    def test_attributes_are_declared_accessory_salient_and_others_common(self, build_at, root) -> None:
        info = build_at(CelebA(), root).info

        assert [(a.name, a.space, a.kind, a.classes) for a in info.attributes] == [
            ("accessory", "salient", "class", ("glasses", "hat")),
            ("sex", "common", "class", ("female", "male")),
            ("young", "common", "class", ("no", "yes")),
            ("smiling", "common", "class", ("no", "yes")),
        ]
        assert info.image_shape == (3, 128, 128)
        assert info.sources == ("CelebA",)

    @pytest.mark.parametrize(("crop", "rows", "columns"), [(176, (21, 197), (1, 177)), (108, (55, 163), (35, 143))])
    def test_crop_window_is_exact_to_the_pixel(self, build_at, root, faces, crop, rows, columns) -> None:
        file = build_at(CelebA(CelebAConfig(crop=crop, size=crop)), root)

        expected = {
            np.asarray(Image.open(io.BytesIO(faces[name])))[slice(*rows), slice(*columns)].transpose(2, 0, 1).tobytes()
            for name in selected()
        }
        found = {pixels for part in stored(file).values() for rows_ in part.values() for pixels in rows_}
        assert found == expected

    def test_the_variant_of_64_pixels_shows_the_same_faces_in_the_same_splits(self, build_at, root, faces) -> None:
        large, small = (build_at(CelebA(CelebAConfig(crop=c, size=s)), root) for c, s in ((176, 128), (108, 64)))

        assert small.info.image_shape == (3, 64, 64)
        for split, part in stored(small).items():
            wide = {cropped(faces[name], 176, 128): cropped(faces[name], 108, 64) for name in NAMES}
            for population, rows in part.items():
                assert [wide[pixels] for pixels in stored(large)[split][population]] == list(rows)

    def test_defaults_are_those_of_the_card(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.undo()

        assert (CelebAConfig().crop, CelebAConfig().size) == (176, 128)
        # 12,000 background, 6,000 with glasses and 6,000 with hats, half of each of either sex.
        assert [2 * wanted for wanted in celeba.WANTED] == [12_000, 6_000, 6_000]

    @pytest.mark.parametrize("fields", [{"crop": 179}, {"crop": 7}, {"size": 7}, {"seed": -1}], ids=str)
    def test_values_out_of_range_are_refused(self, fields: dict[str, int]) -> None:
        with pytest.raises(ConfigError, match=next(iter(fields))):
            CelebAConfig(**fields)


class TestSplit:
    def test_a_fifth_of_each_accessory_and_sex_is_held_out_in_the_order_of_the_hash(
        self, build_at, root, faces
    ) -> None:
        file = build_at(CelebA(), root)
        by_pixels = {cropped(faces[name], 176, 128): name for name in NAMES}
        held_out = {by_pixels[pixels] for rows in stored(file)["test"].values() for pixels in rows}

        for cell in set(selected().values()):
            names = [name for name, of in selected().items() if of == cell]
            names.sort(key=lambda name: hashlib.sha256(f"0/{name}".encode()).hexdigest())
            assert {name for name in names if name in held_out} == set(names[: round(0.2 * len(names))])

    def test_another_seed_holds_out_others(self, build_at, root) -> None:
        first, other = (build_at(CelebA(CelebAConfig(seed=seed)), root) for seed in (0, 1))

        assert first.info.counts == other.info.counts
        assert first.info.content_sha256 != other.info.content_sha256

    def test_a_shortage_is_noted_and_full_cells_are_not(self, build_at, root) -> None:
        notes = build_at(CelebA(), root).info.notes

        assert "2 of 4 female faces with glasses were found." in notes
        counts = Counter(selected().values())
        short = [
            n
            for n, worn in zip(WANTED, ("none", "glasses", "hat"), strict=True)
            for s in (-1, 1)
            if counts[worn, s] < n
        ]
        assert len(notes) == len(short)

    def test_a_shortage_is_said_by_the_command_line(self, cabench_here, root) -> None:
        done = cabench_here("data", "build", "celeba", "--data-root", str(root))
        assert done.returncode == 0
        assert "2 of 4 female faces with glasses" in done.stderr
        assert (
            "2 of 4 female faces with glasses"
            in cabench_here("data", "info", "celeba", "--data-root", str(root)).stdout
        )


class TestReproducible:
    def test_every_layout_and_number_of_workers_gives_the_same_content(
        self, build_at, root: Path, faces: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(decoding, "CHUNK", 7)
        contents = {}
        for workers in (1, 3):
            monkeypatch.setattr(decoding, "workers", lambda workers=workers: workers)
            contents[f"{workers} workers"] = build_at(CelebA(), root).info.content_sha256
        folder = root / "celeba"
        (folder / "list_attr_celeba.txt").unlink()
        for header in ("image_id", "File_name"):
            (folder / "list_attr_celeba.csv").write_text(csv_table(TABLE, header), encoding="utf-8")
            contents[header] = build_at(CelebA(), root).info.content_sha256
        contents["the folder itself"] = build_at(CelebA(), folder).info.content_sha256
        zip_up(folder, faces, **{"__MACOSX/img_align_celeba/._000001.jpg": b"left by an archiver"})
        contents["zip"] = build_at(CelebA(), root).info.content_sha256
        monkeypatch.setattr(decoding, "CHUNK", 1000)
        contents["one chunk"] = build_at(CelebA(), root).info.content_sha256

        assert len(set(contents.values())) == 1, contents

    def test_a_folder_within_the_folder_is_found(self, build_at, root: Path) -> None:
        first = build_at(CelebA(), root)
        folder = root / "celeba" / "img_align_celeba"
        folder.rename(root / "moved")
        folder.mkdir()
        (root / "moved").rename(folder / "img_align_celeba")

        assert build_at(CelebA(), root).info.content_sha256 == first.info.content_sha256


class TestBadInput:
    def test_a_corrupt_image_among_good_ones(self, refused, root: Path) -> None:
        path = root / "celeba" / "img_align_celeba" / next(iter(selected()))
        path.write_bytes(path.read_bytes()[:-2000])
        assert str(path) in refused(CelebA(), root)

    def test_a_file_that_is_no_image(self, refused, root: Path) -> None:
        path = root / "celeba" / "img_align_celeba" / next(iter(selected()))
        path.write_bytes(b"<html>not found</html>")
        assert str(path) in refused(CelebA(), root)

    def test_the_first_of_two_corrupt_images_is_named_whatever_the_workers(
        self, refused, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(decoding, "workers", lambda: 3)
        folder = root / "celeba" / "img_align_celeba"
        for name in selected():
            (folder / name).write_bytes(b"")
        said = {refused(CelebA(), root) for _ in range(3)}
        assert len(said) == 1

    def test_an_image_of_another_size(self, refused, root: Path, jpeg) -> None:
        path = root / "celeba" / "img_align_celeba" / next(iter(selected()))
        path.write_bytes(jpeg(0, (218, 178)))
        message = refused(CelebA(), root)
        assert str(path) in message
        assert "218 x 178 pixels where 178 x 218" in message

    def test_a_truncated_archive(self, refused, root: Path, faces: dict[str, bytes]) -> None:
        path = zip_up(root / "celeba", faces)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        message = refused(CelebA(), root)
        assert str(path) in message
        assert "cut short" in message

    def test_a_damaged_member(self, refused, root: Path, faces: dict[str, bytes]) -> None:
        path = zip_up(root / "celeba", faces)
        content, victim = bytearray(path.read_bytes()), faces[next(iter(selected()))]
        content[content.index(victim) + len(victim) // 2] ^= 255
        path.write_bytes(content)
        message = refused(CelebA(), root)
        assert next(iter(selected())) in message
        assert str(path) in message

    @pytest.mark.parametrize(
        "member", ["img_align_celeba/../../evil.jpg", "/etc/evil.jpg", "..\\evil.jpg", "C:/evil.jpg"]
    )
    def test_a_member_that_climbs_out(self, refused, root: Path, faces: dict[str, bytes], member: str) -> None:
        path = zip_up(root / "celeba", faces)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(member, b"evil")
        message = refused(CelebA(), root)
        assert str(path) in message
        assert "leads out of its folder" in message
        assert not list(root.parent.rglob("evil.jpg"))

    @pytest.mark.parametrize("column", ["Eyeglasses", "Wearing_Hat", "Male", "Young", "Smiling"])
    def test_a_missing_column(self, refused, root: Path, column: str) -> None:
        path = root / "celeba" / "list_attr_celeba.txt"
        path.write_text(text_table(TABLE, tuple(name for name in COLUMNS if name != column)), encoding="utf-8")
        message = refused(CelebA(), root)
        assert str(path) in message
        assert f"lacks the column {column}" in message

    def test_a_table_without_a_column_of_names(self, refused, root: Path) -> None:
        path = root / "celeba" / "list_attr_celeba.csv"
        path.write_text(csv_table(TABLE, "picture"), encoding="utf-8")
        (root / "celeba" / "list_attr_celeba.txt").unlink()
        assert "lacks the column image_id" in refused(CelebA(), root)

    @pytest.mark.parametrize("value", ["", "nan", "0", "yes"])
    def test_a_label_that_is_empty_or_another_value(self, refused, root: Path, value: str) -> None:
        path = root / "celeba" / "list_attr_celeba.csv"
        lines = csv_table(TABLE, "image_id").splitlines()
        cells = lines[40].split(",")
        cells[1 + COLUMNS.index("Young")] = value
        path.write_text("\n".join([*lines[:40], ",".join(cells), *lines[41:]]), encoding="utf-8")
        (root / "celeba" / "list_attr_celeba.txt").unlink()
        message = refused(CelebA(), root)
        assert f"{path}: Young of {cells[0]} is " in message
        assert "allowed is -1, 1" in message

    def test_a_table_that_is_cut_short(self, refused, root: Path) -> None:
        path = root / "celeba" / "list_attr_celeba.txt"
        path.write_text("\n".join(text_table(TABLE).splitlines()[:-3]), encoding="utf-8")
        message = refused(CelebA(), root)
        assert str(path) in message
        assert f"states {FACES} as its number of rows and has {FACES - 3}" in message

    @pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"3\n"])
    def test_a_file_that_is_no_table(self, refused, root: Path, content: bytes) -> None:
        path = root / "celeba" / "list_attr_celeba.txt"
        path.write_bytes(content)
        assert str(path) in refused(CelebA(), root)

    def test_a_label_for_an_unknown_file(self, refused, root: Path) -> None:
        (root / "celeba" / "img_align_celeba" / NAMES[17]).unlink()
        message = refused(CelebA(), root)
        assert f"label for {NAMES[17]}, which is not in" in message

    def test_an_image_without_label(self, refused, root: Path, jpeg) -> None:
        path = root / "celeba" / "img_align_celeba" / "999999.jpg"
        path.write_bytes(jpeg(0, (178, 218)))
        assert f"{path} has no label" in refused(CelebA(), root)

    def test_two_rows_for_one_image(self, refused, root: Path) -> None:
        path = root / "celeba" / "list_attr_celeba.txt"
        lines = text_table(TABLE).splitlines()
        path.write_text("\n".join([str(FACES + 1), *lines[1:], lines[5]]), encoding="utf-8")
        assert f"more than one row for {NAMES[3]}" in refused(CelebA(), root)

    def test_an_empty_folder(self, refused, root: Path) -> None:
        folder = root / "celeba" / "img_align_celeba"
        for path in folder.iterdir():
            path.unlink()
        assert f"{folder} holds no JPEG images" in refused(CelebA(), root)

    def test_no_face_with_an_accessory(self, refused, root: Path) -> None:
        path = root / "celeba" / "list_attr_celeba.txt"
        plain = {name: {**row, "Eyeglasses": -1, "Wearing_Hat": -1} for name, row in TABLE.items()}
        path.write_text(text_table(plain), encoding="utf-8")
        assert "no target images for the train split" in refused(CelebA(), root)


class TestAbsent:
    def test_what_to_fetch_from_whom_and_where_to_put_it_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(UserError) as raised:
            CelebA().locate(tmp_path)
        message = str(raised.value)
        for part in ("list_attr_celeba.txt", "img_align_celeba.zip", "Chinese University of Hong Kong", "celeba/"):
            assert part in message
        assert str(tmp_path / "celeba") in message
        assert "CABENCH_DATA" in message
        assert "--data-root" in message

    def test_without_a_folder_nothing_is_downloaded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CABENCH_CACHE", str(tmp_path / "none"))
        with pytest.raises(UserError, match="get img_align_celeba") as raised:
            CelebA().obtain(None)
        assert str(download_folder()) in str(raised.value)
        assert not (tmp_path / "none").exists()
