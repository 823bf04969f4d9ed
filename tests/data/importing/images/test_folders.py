from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cabench.data.checks import check_file
from cabench.data.file import DatasetFile
from cabench.data.importing.images.folders import LabelFile, import_folders
from cabench.data.importing.images.reading import ImageForm
from cabench.data.importing.labels import parse_columns
from cabench.data.importing.splitting import Drawn

HEALTHY = [f"{number:02}.png" for number in range(20)]
ILL = [f"scan/{number:02}.png" for number in range(30)]


@pytest.fixture
def place(tmp_path: Path, fill) -> Path:
    fill(tmp_path / "healthy", HEALTHY)
    fill(tmp_path / "ill", ILL)
    return tmp_path


def label(place: Path, rows: Sequence[Sequence[object]], header: Sequence[str] = ("file", "sex", "lesion")) -> Path:
    with (place / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return place / "labels.csv"


def every_row() -> list[tuple[object, ...]]:
    rows = [(name, "mf"[n % 2], "none") for n, name in enumerate(HEALTHY)]
    return rows + [(name, "mf"[n % 2], ["round", "long"][n // 15]) for n, name in enumerate(ILL)]


def imported(place: Path, labels: Path | None = None, drawn: Drawn | None = None, **given: str) -> DatasetFile:
    columns, label_file = parse_columns(**given), LabelFile(labels) if labels else None
    paths = place / "healthy", place / "ill", place / "mine.h5"
    return import_folders(*paths, ImageForm(), label_file, columns, drawn or Drawn())


def test_folders_alone_are_enough(place: Path) -> None:
    info = imported(place).info
    assert info.attributes == ()
    assert info.counts == {"train": {"background": 16, "target": 24}, "test": {"background": 4, "target": 6}}
    assert info.sources == ("own images healthy, ill",)
    assert info.notes == ()


def test_each_image_keeps_its_labels(place: Path) -> None:
    rows = every_row()
    file = imported(place, label(place, rows[::-1]), common="sex", salient="lesion")
    pixels = {np.asarray(Image.open(place / "healthy" / name)).tobytes(): name for name in HEALTHY}
    pixels |= {np.asarray(Image.open(place / "ill" / name)).tobytes(): name for name in ILL}
    known = {str(name): (sex, lesion) for name, sex, lesion in rows}
    sex, lesion = file.info.attributes
    assert (sex.classes, lesion.classes) == (("f", "m"), ("long", "round"))
    seen = set()
    for split in ("train", "test"):
        data = file.read(split)
        for part in (data.background, data.target):
            for row, image in enumerate(part.images.numpy()):
                name = pixels[image[0].tobytes()]
                seen.add(name)
                assert sex.classes[part.attributes["sex"][row]] == known[name][0]
                code = part.attributes["lesion"][row]
                assert (lesion.classes[code] if code >= 0 else "none") == known[name][1]
    assert seen == set(HEALTHY) | set(ILL)


def test_the_split_does_not_depend_on_how_folders_are_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = imported(place).info.content_sha256
    monkeypatch.chdir(place)
    form, columns = ImageForm(), parse_columns()
    again = import_folders(Path("healthy"), Path("./ill"), place / "again.h5", form, None, columns, Drawn())
    assert again.info.content_sha256 == first


def test_images_of_one_name_are_told_by_their_folder(place: Path, fill) -> None:
    fill(place / "ill", HEALTHY[:1])
    rows = [("healthy/00.png", "m", ""), ("ill/00.png", "f", "long"), *every_row()[1:]]
    info = imported(place, label(place, rows), common="sex", salient="lesion").info
    assert sum(part["target"] for part in info.counts.values()) == 31


def test_a_nuisance_and_groups_are_read_and_said(place: Path, cabench_here) -> None:
    """The site tells background from target, and four subjects of ten images each are few."""
    names = [f"{folder}/{name}" for folder, images in (("healthy", HEALTHY), ("ill", ILL)) for name in images]
    rows = [(name, f"s{n // 5}", "xy"[n >= 22], "" if n % 7 == 3 else n) for n, name in enumerate(names)]
    label(place, rows, ("file", "subject", "site", "dose"))
    own = ("--background", str(place / "healthy"), "--target", str(place / "ill"), "--output", str(place / "mine.h5"))
    declared = ("--labels", str(place / "labels.csv"), "--nuisance", "site,dose:real", "--group", "subject")
    imported = cabench_here("data", "import", *own, *declared)
    assert imported.returncode == 0, imported.stderr

    file = DatasetFile.open(place / "mine.h5")
    assert [(a.name, a.space, a.kind) for a in file.info.attributes] == [
        ("site", "nuisance", "class"),
        ("dose", "nuisance", "real"),
    ]
    given = {name.partition("/")[2]: row for name, *row in rows}
    for split in file.info.counts:
        for values, known in zip(file.read_attributes(split), file.read_rows(split), strict=True):
            told = [given[name] for name in known.names]
            assert known.groups.tolist() == [subject for subject, _, _ in told]
            assert values["site"].tolist() == ["xy".index(site) for _, site, _ in told]
            np.testing.assert_array_equal(values["dose"], [np.nan if dose == "" else dose for _, _, dose in told])

    info, verified = (cabench_here("data", command, str(place / "mine.h5")) for command in ("info", "verify"))
    assert info.returncode == verified.returncode == 0, info.stderr + verified.stderr
    for said in (imported.stderr, info.stderr, verified.stdout):
        assert said.count("site is partly confounded with the population (Cramér's V 0.9)") == 1
        assert said.count("the test split has few groups of target examples (2): no difference can be tested") == 1
        assert said.count("Warning: ") == len(check_file(place / "mine.h5").warnings)
    lines = dict(line.split("  ", 1) for line in info.stdout.splitlines() if "  " in line)
    assert lines["nuisance"].strip() == "site, dose"
    assert lines["groups (train)"].strip() == "2 background (rows: 5), 4 target (rows: 5)"


def test_subjects_stay_on_one_side(place: Path) -> None:
    rows = [(name, f"s{n // 5}") for n, name in enumerate([*HEALTHY, *ILL])]
    file = imported(place, label(place, rows, ("file", "subject")), Drawn(0.3, 1), group="subject")
    sizes = [count for part in file.info.counts.values() for count in part.values()]
    assert all(size % 5 == 0 for size in sizes)
    assert sum(sizes) == 50


def test_what_is_passed_over_or_nearly_black_is_noted(place: Path) -> None:
    shutil.rmtree(place / "ill")
    for folder, seed in (("healthy", 0), ("ill", 1)):
        shutil.rmtree(place / folder, ignore_errors=True)
        (place / folder).mkdir()
        for number in range(10):
            pixels = np.random.default_rng([seed, number]).integers(0, 4096, (12, 12), np.uint16)
            pixels[0, 0] = 4095
            Image.fromarray(pixels).save(place / folder / f"{number}.png")
    (place / "ill" / "notes.txt").write_text("")
    notes = imported(place).info.notes
    assert notes[0] == "Not read in ill: 1 .txt file."
    assert "--range 0 4095" in notes[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda rows: [(f"a{name}", *rest) for name, *rest in rows],
            "no row names an image ('a00.png', 'a01.png', 'a02.png', 'a03.png', 'a04.png', 'a05.png', 'a06.png', "
            "'a07.png' and 42 more); name them by their paths, such as '00.png'.",
        ),
        (
            lambda rows: [*rows[:-2], ("scan/29.pgn", "m", "")],
            "labels.csv has no label for 2 images (scan/28.png, scan/29.png); add a row for each, or move it "
            "elsewhere. Left out, as they name no image: 1 row of labels.csv ('scan/29.pgn').",
        ),
        (lambda rows: [*rows, rows[3]], "has two rows for 03.png"),
        (lambda rows: [*rows[:-1], (ILL[-1], "", "")], None),
    ],
)
def test_labels_and_images_must_match(place: Path, refusal, change, words: str | None) -> None:
    labels = label(place, change(every_row()))
    if words is None:
        imported(place, labels, common="sex", salient="lesion")
        return
    assert words in refusal(lambda: imported(place, labels, common="sex", salient="lesion"))
    assert not (place / "mine.h5").exists()


def test_rows_of_other_images_are_left_out_and_said(place: Path) -> None:
    """A table of a whole study, of which some images are here."""
    rows = every_row()
    alone = imported(place, label(place, rows), common="sex", salient="lesion").info
    more = [("copy.jpg", "x", "flat"), *rows, ("../ill/scan/00.png", "m", ""), ("", "y", "")]
    info = imported(place, label(place, more), common="sex", salient="lesion").info
    assert (info.content_sha256, info.attributes) == (alone.content_sha256, alone.attributes)
    assert info.notes == (
        "Left out, as they name no image: 3 rows of labels.csv ('copy.jpg', '../ill/scan/00.png', '').",
    )


def test_labels_of_a_spreadsheet_with_decimal_commas(place: Path, cabench_here) -> None:
    """Semicolons, decimal commas and a byte-order mark, as Excel writes them where the comma is the decimal mark."""
    names = [f"{folder}/{name}" for folder, images in (("healthy", HEALTHY), ("ill", ILL)) for name in images]
    lines = ["file;age", *(f"{name};{20 + n},{n % 10}" for n, name in enumerate(names))]
    (place / "labels.csv").write_text("\r\n".join(lines), encoding="utf-8-sig")
    own = ("--background", str(place / "healthy"), "--target", str(place / "ill"), "--output", str(place / "mine.h5"))
    told = ("data", "import", *own, "--labels", str(place / "labels.csv"), "--common", "age:real")
    advised = cabench_here(*told)
    assert (advised.returncode, "--delimiter ';', and --decimal ," in advised.stderr) == (2, True)
    done = cabench_here(*told, "--delimiter", ";", "--decimal", ",")
    assert done.returncode == 0, done.stderr
    file = DatasetFile.open(place / "mine.h5")
    ages = {
        f"{folder}/{name}": age
        for split in file.info.counts
        for folder, told_of, values in zip(
            ("healthy", "ill"), file.read_rows(split), file.read_attributes(split), strict=True
        )
        for name, age in zip(told_of.names, values["age"], strict=True)
    }
    assert ages == pytest.approx({name: 20 + n + n % 10 / 10 for n, name in enumerate(names)})


def test_folders_of_one_name_are_told_apart_in_the_title(tmp_path: Path, fill) -> None:
    for population, names in (("healthy", HEALTHY), ("patients", ILL)):
        fill(tmp_path / population, [f"images/{name}" for name in names])
    paths = tmp_path / "healthy" / "images", tmp_path / "patients" / "images", tmp_path / "mine.h5"
    file = import_folders(*paths, ImageForm(), None, parse_columns(), Drawn())
    assert file.info.sources == ("own images healthy/images, patients/images",)


def test_an_identifier_that_nobody_declared_is_hinted_at(place: Path) -> None:
    rows = [(name, "mf"[n % 2], f"p{n // 2}", n) for n, name in enumerate([*HEALTHY, *ILL])]
    labels = label(place, rows, ("file", "sex", "patient", "scan_id"))
    hint = (
        "Rows seem to belong together, as 'patient' says: if that is what was sampled, import again with --group "
        "patient."
    )
    assert imported(place, labels, common="sex").info.notes == (hint,)
    assert imported(place, labels, group="patient").info.notes == ()


def test_folders_of_subjects_are_hinted_at_and_the_advice_works(tmp_path: Path, fill) -> None:
    fill(tmp_path / "healthy", [f"H{n // 3:02}/{n % 3}.png" for n in range(30)])
    fill(tmp_path / "ill", [f"P{n // 3:02}/{n % 3}.png" for n in range(36)])
    (said,) = imported(tmp_path).info.notes
    assert said == (
        "Images seem to belong together, as they lie in folders such as 'P11': if each is of one subject, import "
        "again with --labels and --group file --group-until /."
    )
    every = [("healthy", f"H{n // 3:02}/{n % 3}.png") for n in range(30)]
    every += [("ill", f"P{n // 3:02}/{n % 3}.png") for n in range(36)]
    labels = label(
        tmp_path, [(f"{folder}/{name}", "mf"[n % 2]) for n, (folder, name) in enumerate(every)], ("file", "sex")
    )
    (said,) = imported(tmp_path, labels, common="sex").info.notes
    assert said.endswith(
        "such as 'ill/P11': if each is of one subject, import again with --group file --group-until /."
    )
    file = imported(tmp_path, labels, common="sex", group="file", group_until="/")
    assert file.info.notes == ()
    groups = [group for split in file.info.counts for part in file.read_rows(split) for group in part.groups]
    assert sorted(groups) == sorted(f"{folder}/{name[:3]}" for folder, name in every)


def test_a_name_in_both_folders_must_be_told_apart(place: Path, fill, refusal) -> None:
    fill(place / "ill", HEALTHY[:1])
    said = refusal(lambda: imported(place, label(place, every_row()), common="sex", salient="lesion"))
    assert "'00.png' may be healthy/00.png or ill/00.png; write one of these names" in said


def test_a_missing_column_is_named_with_the_closest(place: Path, refusal) -> None:
    labels = label(place, every_row())
    assert "did you mean 'lesion'" in refusal(lambda: imported(place, labels, salient="lession"))
    headless = label(place, every_row(), ("name", "sex", "lesion"))
    assert "'file'" in refusal(lambda: imported(place, headless, common="sex"))


def test_columns_need_a_table(place: Path, refusal) -> None:
    assert "--labels" in refusal(lambda: imported(place, common="sex"))
    assert "--common" in refusal(lambda: imported(place, label(place, every_row())))


def test_folders_must_be_apart(place: Path, refusal) -> None:
    columns, form = parse_columns(), ImageForm()
    for background, target, words in (
        ("healthy", "healthy", "given as background and as target"),
        ("healthy", "healthy/../healthy", "given as background and as target"),
        ("ill", "ill/scan", "lies inside"),
        ("ill/scan", "ill", "lies inside"),
        ("absent", "ill", "is not a folder"),
    ):
        paths = place / background, place / target, place / "mine.h5"
        assert words in refusal(lambda paths=paths: import_folders(*paths, form, None, columns, Drawn()))


def test_an_image_in_both_populations_is_named(place: Path, refusal) -> None:
    shutil.copy(place / "healthy" / "05.png", place / "ill" / "copy.png")
    said = refusal(lambda: imported(place))
    assert "background image '05.png' and target image 'copy.png' are equal" in said
    assert "Labels disagree on 1 image: remove one of each pair." in said
    shutil.copy(place / "healthy" / "06.png", place / "ill" / "more.png")
    assert "Labels disagree on 2 images" in refusal(lambda: imported(place))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--population", "sex"), "--population is of no use without --input; give both or neither."),
        (("--fit", "pad"), "--fit is of no use without --size; give both or neither."),
        (("--file-column", "picture"), "--file-column is of no use without --labels; give both or neither."),
        (("--missing", "NA"), "--missing is of no use without --labels; give both or neither."),
        (("--delimiter", ";"), "--delimiter is of no use without --labels; give both or neither."),
        (("--decimal", ","), "--decimal is of no use without --labels; give both or neither."),
        (("--common", "sex"), "The column 'sex' was named without a table; name its file with --labels."),
        (("--genes", "x"), "--genes is for .h5ad files; leave it out with folders of images."),
    ],
)
def test_options_that_would_be_of_no_use_are_refused(place: Path, cabench_here, options, words: str) -> None:
    own = ("--background", str(place / "healthy"), "--target", str(place / "ill"), "--output", str(place / "mine.h5"))
    done = cabench_here("data", "import", *own, *options)
    assert (done.returncode, words in done.stderr, done.stderr.count("\n")) == (2, True, 1), done.stderr
    assert not (place / "mine.h5").exists()


def test_a_source_that_is_not_there_is_said(place: Path, cabench_here) -> None:
    both = ("--background", "a", "--target", "b", "--output", str(place / "mine.h5"))
    one = cabench_here("data", "import", "--input", "absent.csv", "--population", "x", *both)
    assert one.stderr.endswith("There is no file or folder absent.csv; check the path.\n")
    two = cabench_here("data", "import", *both)
    assert two.stderr.endswith("There is no file or folder a; check the path, or name one source with --input.\n")


@pytest.mark.parametrize("drawn", [Drawn(0.0), Drawn(1.0), Drawn(float("nan")), Drawn(0.2, -1)])
def test_splits_that_cannot_be_drawn_are_refused(place: Path, refusal, drawn: Drawn) -> None:
    assert "is not allowed" in refusal(lambda: imported(place, None, drawn))
