"""Every way to break the contract of a data set file gives its own sentence; what is only odd gives a warning."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest

from cabench.data.checks import check_file
from cabench.data.dataset import Attribute
from cabench.data.file import DatasetFile
from cabench.data.layout import SPLITS
from cabench.data.writing import DatasetWriter, content_sha256
from cabench.errors import UserError

KIND = Attribute("kind", "salient", "class", ("a", "b"))
AGE = Attribute("age", "common", "real")
ROWS = 40  # of either population, in either split


def write(path: Path, seed: int, images: Callable[[np.random.Generator], np.ndarray]) -> Path:
    generator = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        writer = DatasetWriter(file)
        for split in SPLITS:
            shape = images(generator).shape[1:]
            with writer.split(split, 2 * ROWS, shape, (AGE, KIND)) as out:
                ages = {"age": generator.normal(50, 10, ROWS)}
                out.append(images(generator), False, ages)
                out.append(images(generator), True, ages | {"kind": np.arange(ROWS) % 2})
        writer.finish("mine", 1, {}, [{"title": "noise"}])
    return path


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return write(tmp_path / "mine.h5", 0, lambda g: g.integers(0, 256, (ROWS, 1, 8, 8), np.uint8))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write(tmp_path / "table.h5", 1, lambda g: g.standard_normal((ROWS, 5)).astype(np.float32))


def change(path: Path, edit: Callable[[h5py.File], object], rehash: bool = True) -> Path:
    with h5py.File(path, "r+") as file:
        edit(file)
        if rehash:
            file.attrs["content_sha256"] = content_sha256(file)
    return path


def put(place: str, values: np.ndarray, keep: bool = True) -> Callable[[h5py.File], None]:
    """Replaces an array by another; its attributes stay."""

    def edit(file: h5py.File) -> None:
        kept = dict(file[place].attrs) if keep else {}
        del file[place]
        file.create_dataset(place, data=values).attrs.update(kept)

    return edit


def setting(place: str, index: int, value: object) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        file[place][index] = value

    return edit


def attr(place: str, name: str, value: object) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        file[place].attrs[name] = value

    return edit


def gone(place: str) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        del file[place]

    return edit


def lost(name: str) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        del file.attrs[name]

    return edit


def test_sound_files_have_no_findings(sound: Path, table: Path) -> None:
    for path in (sound, table):
        findings = check_file(path)
        assert findings.errors == []
        assert [text for text in findings.warnings if "not standardised" not in text] == []


text = h5py.string_dtype()


def raw(text: bytes) -> np.ndarray:
    """A text as it is stored, whatever its bytes mean."""
    return np.array(text, h5py.string_dtype())


BROKEN = {
    "no group": (gone("test"), False, "the group /test is missing"),
    "a foreign group": (lambda f: f.create_group("extra"), False, "/extra is no split"),
    "no attributes": (gone("train/attributes"), False, "the group /train/attributes is missing"),
    "no images": (gone("train/images"), False, "/train holds neither /images nor /features"),
    "both": (
        lambda f: f["train"].create_dataset("features", data=np.zeros((80, 2), np.float32)),
        False,
        "/train holds both /images and /features",
    ),
    "images are a group": (
        lambda f: (gone("train/images")(f), f.create_group("train/images")),
        False,
        "/train/images is no HDF5 data set",
    ),
    "float images": (put("train/images", np.zeros((80, 1, 8, 8))), False, "/train/images is float64, but images are"),
    "object images": (
        put("train/images", np.array(["x"] * 80, object).reshape(80, 1, 1, 1)),
        False,
        "/train/images is no array of numbers, but object of shape (80, 1, 1, 1)",
    ),
    "flat images": (put("test/images", np.zeros((80, 64), np.uint8)), False, "has shape (80, 64), but images are (n,"),
    "two channels": (put("test/images", np.zeros((80, 2, 8, 8), np.uint8)), False, "has 2 channels"),
    "empty": (put("test/images", np.zeros((0, 1, 8, 8), np.uint8)), False, "which is empty"),
    "another size": (
        put("test/images", np.random.default_rng(0).integers(0, 256, (80, 1, 9, 9), np.uint8)),
        False,
        "/test/images holds examples of shape (1, 9, 9), but /train/images of (1, 8, 8)",
    ),
    "no is_target": (gone("test/is_target"), False, "/test/is_target is missing"),
    "is_target as numbers": (put("test/is_target", np.zeros(80, np.uint8)), False, "is uint8, but must be bool"),
    "is_target of another length": (put("test/is_target", np.zeros(79, bool)), False, "has 79 values for 80 images"),
    "class as float": (put("train/attributes/kind", np.zeros(80)), False, "is float64, but must be int64"),
    "class as text": (
        put("train/attributes/kind", np.array(["a"] * 80, object)),
        False,
        "/train/attributes/kind is no array of numbers, but object of shape (80,)",
    ),
    "class as a matrix": (put("train/attributes/kind", np.zeros((80, 1), np.int64)), False, "must be (n,)"),
    "short": (put("train/attributes/age", np.zeros(3)), False, "/train/attributes/age has 3 values for 80 images"),
    "an attribute in one split": (
        gone("test/attributes/age"),
        False,
        "/test/attributes/age is missing, but /train",
    ),
    "no such space": (attr("train/attributes/age", "space", "shared"), False, "declares the space 'shared'"),
    "no such owner": (attr("train/attributes/age", "space", "noise"), False, "'common', 'salient' or 'nuisance'"),
    "a space that is no text": (
        attr("train/attributes/age", "space", [1.0, 2.0]),
        False,
        "declares the space [1.0, 2.0]",
    ),
    "a kind that is a list": (
        attr("test/attributes/kind", "kind", ["class", "real"]),
        False,
        "declares the kind ['class', 'real']",
    ),
    "a kind that is nothing": (attr("train/attributes/age", "kind", np.zeros(0)), False, "declares the kind []"),
    "JSON without end": (attr("/", "config", "[" * 50_000), False, "the attribute 'config' of / is not an object"),
    "a broken link": (
        lambda f: (gone("test/attributes/age")(f), f.__setitem__("test/attributes/age", h5py.SoftLink("/nowhere"))),
        False,
        "/test/attributes/age is a link to somewhere else",
    ),
    "another byte order": (put("train/attributes/kind", np.zeros(80, ">i8")), False, "is >i8, but must be int64"),
    "a group for a column": (
        lambda f: (gone("train/is_target")(f), f.create_group("train/is_target")),
        False,
        "/train/is_target is no HDF5 data set",
    ),
    "no such kind": (attr("train/attributes/age", "kind", 3), False, "declares the kind 3"),
    "other classes": (
        attr("test/attributes/kind", "classes", ["b", "a"]),
        False,
        "/test/attributes/kind is declared differently from /train",
    ),
    "classes as numbers": (attr("test/attributes/kind", "classes", [1, 2]), False, "classes that are no list of texts"),
    "a class twice": (attr("test/attributes/kind", "classes", ["a", "a"]), False, "its classes, each once"),
    "real with classes": (attr("train/attributes/age", "classes", ["a"]), False, "is real, but declares classes"),
    "a position that is none": (attr("train/attributes/age", "position", "first"), False, "not a whole number"),
    "a taken name": (
        lambda f: [f[s].move("attributes/age", "attributes/is_target") for s in SPLITS],
        False,
        "has a reserved name",
    ),
    "no hash": (lost("content_sha256"), False, "the attribute 'content_sha256' of / is missing"),
    "another schema": (attr("/", "schema", 2), False, "its schema is 2, but this version reads 1"),
    "a name that is no text": (attr("/", "name", 3), False, "the attribute 'name' of / is not text"),
    "a version that is none": (attr("/", "builder_version", "new"), False, "'builder_version' of / is not a whole"),
    "no JSON": (attr("/", "config", "{"), False, "the attribute 'config' of / is not an object"),
    "sources without titles": (attr("/", "sources", '[{"path": "x"}]'), False, "'sources' of / is not a list of"),
    "a title that is no Unicode": (attr("/", "sources", raw(b'[{"title": "\xd6"}]')), False, "'sources' of / is not a"),
    "a name that is no Unicode": (attr("/", "name", raw(b"\xd6")), False, "the attribute 'name' of / is not text"),
    "notes that are no texts": (attr("/", "notes", "[1]"), False, "'notes' of / is not a list of texts"),
    "damage": (setting("train/images", 0, 0), False, "it is damaged: its content hash does not match"),
    "no background": (setting("train/is_target", slice(None), True), True, "/train holds no background images"),
    "no targets": (
        lambda f: (
            setting("test/is_target", slice(None), False)(f),
            setting("test/attributes/kind", slice(None), -1)(f),
        ),
        True,
        "/test holds no target images",
    ),
    "no such class": (setting("test/attributes/kind", 50, 2), True, "/test/attributes/kind[50] is 2, which names none"),
    "below -1": (setting("test/attributes/kind", 50, -2), True, "/test/attributes/kind[50] is -2, which names none"),
    "infinite": (setting("test/attributes/age", 7, -np.inf), True, "/test/attributes/age[7] is infinite"),
    "salient background": (setting("train/attributes/kind", 3, 0), True, "/train/attributes/kind[3] has a value, but"),
    "names of numbers": (lambda f: f.update({"train/names": np.zeros(80)}), False, "is float64, but must be text"),
    "few names": (lambda f: f.update({"train/names": ["a"] * 79}), False, "/train/names has 79 values for 80 images"),
    "a name that clears the terminal": (
        lambda f: f.update({"train/names": ["a"] * 7 + ["\x1b[2J"] * 73}),
        True,
        "/train/names[7] does not print in one line (73 such texts)",
    ),
    "a group that is no Unicode": (
        lambda f: f.create_dataset("test/groups", data=[b"\xff"] * 80, dtype=h5py.string_dtype()),
        False,
        "it cannot be read as HDF5 ('utf-8' codec can't decode byte 0xff",
    ),
    "other groups than were hashed": (
        lambda f: f.update({"test/groups": ["a"] * 80}),
        False,
        "it is damaged: its content hash does not match",
    ),
    "in both splits": (
        lambda f: setting("test/images", 5, f["train/images"][9])(f),
        True,
        "1 of the 80 rows of /test/images are in /train/images too, first /test/images[5] as /train/images[9]",
    ),
}


@pytest.mark.parametrize(("edit", "rehash", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_contract_is_an_error_that_names_the_place(sound: Path, edit, rehash: bool, words: str) -> None:
    errors = check_file(change(sound, edit, rehash)).errors
    assert any(words in text for text in errors), errors
    assert all(text.startswith(f"{sound}: ") and text.endswith(".") for text in errors)


@pytest.mark.parametrize(("edit", "rehash", "words"), BROKEN.values(), ids=BROKEN)
def test_opening_a_broken_file_ends_in_words_for_its_user(sound: Path, edit, rehash: bool, words: str) -> None:
    """Whatever is wrong: either the description can be read, or it is said that it cannot; nothing else is raised."""
    change(sound, edit, rehash)
    with contextlib.suppress(UserError):
        assert DatasetFile.open(sound).path == sound


def test_opening_checks_the_layout_without_looking_at_values(sound: Path) -> None:
    change(sound, setting("train/images", 0, 0), rehash=False)
    change(sound, setting("test/attributes/kind", 50, 2), rehash=False)
    assert len(check_file(sound).errors) == 2
    assert DatasetFile.open(sound).path == sound
    change(sound, gone("test/images"), rehash=False)
    with pytest.raises(UserError, match="/test holds neither /images nor /features; it must hold one of them"):
        DatasetFile.open(sound)


def test_features_that_are_not_finite_are_an_error(table: Path) -> None:
    (error,) = check_file(change(table, setting("test/features", 4, np.inf))).errors
    assert "/test/features[4] holds a value that is not finite (1 such rows)" in error


def test_missing_features_are_counted(table: Path) -> None:
    def take_one(file: h5py.File) -> None:
        file["test/features"][4, 0] = np.nan

    (error,) = check_file(change(table, take_one)).errors
    assert "/test/features lacks 1 values, but declares 0 as missing" in error

    def say_it(file: h5py.File) -> None:
        file["test/features"].attrs["missing"] = 1

    path = change(table, say_it)
    assert check_file(path).errors == []
    assert DatasetFile.open(path).info.missing == 1 / sum(h5py.File(path)[s]["features"].size for s in SPLITS)


@pytest.mark.parametrize("value", [-1.0, 0.5])
def test_counts_are_whole_numbers_from_0(table: Path, value: float) -> None:
    def count(file: h5py.File) -> None:
        for split in SPLITS:
            file[split]["features"][:] = np.arange(file[split]["features"].size).reshape(file[split]["features"].shape)
            file[split]["features"].attrs["values"] = "counts"

    path = change(table, count)
    assert not any("whole" in error for error in check_file(path).errors)
    assert DatasetFile.open(path).info.are_counts
    (error, *_) = check_file(change(path, setting("train/features", (2, 0), value))).errors
    assert "/train/features[2] holds a value that is not a whole number from 0 (1 such rows)" in error


@pytest.mark.parametrize(
    ("name", "value"), [("values", "ratios"), ("missing", -1), ("missing", 1.5), ("missing", 10**9)]
)
def test_what_features_say_of_their_values_is_checked(table: Path, name: str, value: object) -> None:
    def say(file: h5py.File) -> None:
        file["train/features"].attrs[name] = value

    assert any(
        f"declares {'its values as ' if name == 'values' else ''}{value!r}" in error
        for error in check_file(change(table, say)).errors
    )


ODD = {
    "twice in a split": (
        lambda f: setting("train/images", 9, f["train/images"][5])(f),
        "/train/images repeats 1 of its 80 rows, first /train/images[5] as /train/images[9]",
    ),
    "shows nothing": (
        lambda f: [setting("test/images", row, row)(f) for row in (3, 8)],
        "/test/images has 2 of 80 images that show next to nothing",
    ),
    "what limits an evaluation": (
        setting("train/attributes/age", slice(None), 30.0),
        "age has the same value in all training rows, so that it is not measured",
    ),
}


@pytest.mark.parametrize(("edit", "words"), ODD.values(), ids=ODD)
def test_what_is_odd_but_usable_is_a_warning(sound: Path, edit, words: str) -> None:
    findings = check_file(change(sound, edit))
    assert findings.errors == []
    assert any(words in text for text in findings.warnings), findings.warnings


def test_tables_may_have_equal_rows_and_odd_columns_but_it_is_said(table: Path) -> None:
    def edit(file: h5py.File) -> None:
        file["train/features"][:, 1] = 0
        file["train/features"][:, 2] = file["train/features"][:, 2] * 3 + 7
        file["test/features"][3] = file["train/features"][4]

    findings = check_file(change(table, edit))
    assert findings.errors == []
    said = " ".join(findings.warnings)
    assert "1 of the 80 rows of /test/features are in /train/features too" in said
    assert "columns of a single value: 1" in said
    assert "columns that are not standardised to mean 0 and standard deviation 1" in said


def test_what_is_no_hdf5_or_cut_short_is_an_error(sound: Path, tmp_path: Path) -> None:
    for content in (b"", b"no HDF5", sound.read_bytes()[:3000]):
        (tmp_path / "other.h5").write_bytes(content)
        (error,) = check_file(tmp_path / "other.h5").errors
        assert "cannot be read as HDF5" in error
    with pytest.raises(UserError, match="There is no data set file"):
        check_file(tmp_path / "absent.h5")


def test_the_command_says_all_and_exits_with_2_for_errors_alone(sound: Path, cabench_here) -> None:
    verify = partial(cabench_here, "data", "verify", str(sound))

    assert (done := verify()).returncode == 0
    assert done.stdout == f"{sound} is sound.\n"
    change(sound, setting("test/images", 3, 9))
    assert (done := verify()).returncode == 0
    assert "Warning: " in done.stdout + done.stderr
    change(sound, setting("test/attributes/kind", 50, 2))
    change(sound, setting("test/attributes/kind", 3, 0))
    assert (done := verify()).returncode == 2
    assert done.stderr.count("Error: ") == 2
    assert "Traceback" not in done.stderr
