"""Folders as people have them: labels by any path, one folder for all, files of many kinds, and what is said of it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cabench.data.file import DatasetFile
from cabench.data.importing.images.fitting import Size, fit_image
from cabench.data.importing.images.folders import LabelFile, import_folder, import_folders
from cabench.data.importing.images.reading import ImageForm
from cabench.data.importing.labels import Columns, parse_columns
from cabench.data.importing.populations import Choice
from cabench.data.importing.splitting import Drawn

COUNT = 24  # images of either population


def save(path: Path, seed: int, size: tuple[int, int] = (16, 12), **options: object) -> np.ndarray:
    """An image of width x height, saved; its pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, size[::-1], np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def two_folders(place: Path, of_target: tuple[int, int] = (16, 12), suffix: str = "png", **options: object) -> None:
    for number in range(COUNT):
        save(place / "healthy" / f"{number:02}.png", number)
        save(place / "ill" / f"{number:02}.{suffix}", 100 + number, of_target, **options)


def imported(place: Path, **form: object) -> DatasetFile:
    paths = place / "healthy", place / "ill", place / "mine.h5"
    return import_folders(*paths, ImageForm(**form), None, Columns(), Drawn())


def stored(file: DatasetFile) -> dict[tuple[str, str], np.ndarray]:
    """The pixels of each image by population and name."""
    found = {}
    for split in file.info.counts:
        data, rows = file.read(split), file.read_rows(split)
        parts = zip(("background", "target"), (data.background, data.target), rows, strict=True)
        for population, part, told in parts:
            found |= {(population, n): image for n, image in zip(told.names, part.images.numpy(), strict=True)}
    return found


def test_folders_of_one_name_are_labelled_by_paths_from_their_root(tmp_path: Path, cabench_here) -> None:
    rows = []
    for number in range(COUNT):
        for population, seed in (("healthy", 0), ("patients", 100)):
            save(tmp_path / population / "images" / f"{number:03}.png", seed + number)
            rows.append((f"{population}/images/{number:03}.png", "mf"[number % 2]))
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("picture", "sex"), *rows])
    own = [f"--{name}={tmp_path / folder / 'images'}" for name, folder in OWN]
    told = ("--labels", str(tmp_path / "labels.csv"), "--file-column", "picture", "--common", "sex")
    done = cabench_here("data", "import", *own, *told, "--output", str(tmp_path / "mine.h5"))
    assert done.returncode == 0, done.stderr
    assert sum(n for part in DatasetFile.open(tmp_path / "mine.h5").info.counts.values() for n in part.values()) == 48


OWN = (("background", "healthy"), ("target", "patients"))


@pytest.fixture
def one_folder(tmp_path: Path) -> Path:
    """Images of three diagnoses in one folder, in the order of a table of labels turned round."""
    rows = []
    for number in range(3 * COUNT):
        diagnosis = ("healthy", "ill", "unclear")[number % 3]
        save(tmp_path / "all" / f"{number % 4}" / f"{number:02}.png", number)
        rows.append(
            (f"{number % 4}/{number:02}.png", diagnosis, number // 6, ("", "a", "b")[number % 3 and number % 2])
        )
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "diagnosis", "subject", "finding"), *rows[::-1]])
    return tmp_path


def test_one_folder_is_told_apart_by_a_column(one_folder: Path, cabench_here) -> None:
    place = ("--input", str(one_folder / "all"), "--labels", str(one_folder / "labels.csv"))
    choice = ("--population", "diagnosis", "--background", "healthy", "--target", "ill")
    told = (*place, *choice, "--group", "subject", "--output", str(one_folder / "mine.h5"))
    done = cabench_here("data", "import", *told)
    assert done.returncode == 0, done.stderr
    assert f"{COUNT} rows are left out, as 'diagnosis' is 'unclear'" in done.stderr
    found = stored(DatasetFile.open(one_folder / "mine.h5"))
    assert len(found) == 2 * COUNT
    for (population, name), image in found.items():
        number = int(name[2:4])
        assert population == ("background", "target")[number % 3]
        np.testing.assert_array_equal(image[0], np.asarray(Image.open(one_folder / "all" / name)))


def test_what_one_folder_needs_is_said(one_folder: Path, refusal) -> None:
    def given(choice: Choice, labels: Path | None = one_folder / "labels.csv") -> str:
        label_file = LabelFile(labels) if labels else None
        own = one_folder / "all", one_folder / "mine.h5", ImageForm(), label_file, parse_columns(salient="finding")
        return refusal(lambda: import_folder(*own, choice, Drawn()))

    assert "name its file with --labels" in given(Choice("diagnosis", ("healthy",), ("ill",)), None)
    assert "did you mean 'diagnosis'" in given(Choice("diagnoses", ("healthy",), ("ill",)))
    assert "did you mean 'ill'" in given(Choice("diagnosis", ("healthy",), ("illl",)))
    save(one_folder / "all" / "more.png", 999)
    assert "has no label for 1 image (more.png)" in given(Choice("diagnosis", ("healthy",), ("ill",)))
    assert not (one_folder / "mine.h5").exists()


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_images_are_made_of_one_size_by_the_fit(tmp_path: Path, fit: str) -> None:
    two_folders(tmp_path, (30, 12))
    found = stored(imported(tmp_path, size=Size(10, 14), fit=fit))
    for (population, name), image in found.items():
        source = Image.open(tmp_path / {"background": "healthy", "target": "ill"}[population] / name)
        np.testing.assert_array_equal(image[0], fit_image(source, Size(10, 14), fit))


def test_a_crop_that_removes_much_is_said(tmp_path: Path, cabench_here) -> None:
    two_folders(tmp_path, (32, 12))
    own = ("--background", str(tmp_path / "healthy"), "--target", str(tmp_path / "ill"))
    done = cabench_here("data", "import", *own, "--size", "12x16", "--output", str(tmp_path / "mine.h5"))
    assert done.returncode == 0, done.stderr
    assert (
        "More than a tenth of the area, up to 50%, is cut off 24 of 48 images, and findings at the edge with it: "
        "import them with --fit pad to keep them."
    ) in done.stderr
    kept = cabench_here("data", "import", *own, "--size", "12x16", "--fit", "pad", "--output", str(tmp_path / "all.h5"))
    assert kept.returncode == 0, kept.stderr
    assert "is cut off" not in kept.stderr
    assert "is not understood" in cabench_here("data", "import", *own, "--size", "big", "--output", "x.h5").stderr


def test_files_that_tell_populations_apart_are_noted(tmp_path: Path) -> None:
    """Targets are wider, and JPEG; the notes stay with the data set."""
    two_folders(tmp_path, (20, 12), "jpg", quality=30)
    (said,) = (note for note in imported(tmp_path, size=Size(12, 12), fit="squash").info.notes if "AUC" in note)
    assert said.startswith("Background and target can be told apart by the size of images alone (AUC 1.00) and by ")
    for what in ("their aspect ratio", "the bytes per pixel", "file type"):
        assert f"by {what} alone (AUC 1.00)" in said


def test_files_of_one_kind_are_not_noted(tmp_path: Path) -> None:
    two_folders(tmp_path)
    assert imported(tmp_path).info.notes == ()


def test_turned_images_and_profiles_are_counted(tmp_path: Path) -> None:
    two_folders(tmp_path)
    exif = Image.Exif()
    exif[274] = 3
    pixels = save(tmp_path / "ill" / "00.png", 500, exif=exif)
    save(tmp_path / "ill" / "01.png", 501, icc_profile=b"Adobe RGB (1998)")
    file = imported(tmp_path)
    assert file.info.notes == (
        "Turned, as the orientation tag says: 1 image.",
        "With a colour profile or gamma other than sRGB, which was not applied: 1 image.",
    )
    np.testing.assert_array_equal(stored(file)["target", "00.png"][0], np.rot90(pixels, 2))


def test_twelve_bits_have_a_range_of_their_own(tmp_path: Path) -> None:
    """A TIFF file that says 12 bits is black at 0 and white at 4095, unless a range is given."""
    (tmp_path / "x").mkdir()
    values = np.arange(0, 4096, 29)[: 12 * 8].reshape(8, 12)
    bits = ((values[..., None] >> np.arange(12)[::-1]) & 1).reshape(8, -1).astype(np.uint8)
    (tmp_path / "x" / "one.tif").write_bytes(twelve_bit_tiff(np.packbits(bits, axis=1).tobytes(), 12, 8))
    from cabench.data.importing.images.reading import open_folder, read_folders

    image = read_folders({"x": open_folder(tmp_path / "x")}, ImageForm())["x"].images
    np.testing.assert_array_equal(image[0, 0], np.round(values * (255 / 4095)))


def twelve_bit_tiff(content: bytes, width: int, height: int) -> bytes:
    tags = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(content)}
    entries = b"".join(
        tag.to_bytes(2, "little") + b"\4\0\1\0\0\0" + value.to_bytes(4, "little") for tag, value in tags.items()
    )
    start = (8 + len(content)).to_bytes(4, "little")
    return b"II*\0" + start + content + len(tags).to_bytes(2, "little") + entries + b"\0\0\0\0"
