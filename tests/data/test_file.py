"""Data set files: what is written is what is read, the hash covers all of it, and damage is noticed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from cabench.data.dataset import Attribute
from cabench.data.file import DatasetFile
from cabench.data.layout import SPLITS
from cabench.data.writing import DatasetWriter, content_sha256
from cabench.errors import UserError
from cabench.files import hdf5

SHAPE = (3, 4, 5)
DIGIT = Attribute("digit", "common", "class", ("zero", "one", "two"))
TILT = Attribute("tilt", "salient", "real")
SPRITE = Attribute("sprite", "salient", "class", ("heart", "square"))
ATTRIBUTES = (TILT, DIGIT, SPRITE)  # not in alphabetical order


@dataclass
class Content:
    """Everything in one small split, in the order of its rows; salient attributes are undefined for background."""

    images: np.ndarray
    is_target: np.ndarray
    values: dict[str, np.ndarray]
    attributes: Sequence[Attribute] = ATTRIBUTES

    @classmethod
    def random(cls, seed: int, rows: int = 12) -> Content:
        generator = np.random.default_rng(seed)
        is_target = np.arange(rows) // 2 % 2 == 1  # two background, two target, two background, ...
        return cls(
            images=generator.integers(0, 256, (rows, *SHAPE), dtype=np.uint8),
            is_target=is_target,
            values={
                "digit": generator.integers(0, 3, rows),
                "tilt": np.where(is_target, generator.normal(size=rows), np.nan),
                "sprite": np.where(is_target, generator.integers(0, 2, rows), -1),
            },
        )

    def write(self, writer: DatasetWriter, name: str) -> None:
        with writer.split(name, len(self.images), self.images.shape[1:], self.attributes) as out:  # type: ignore[arg-type]
            for start in range(0, len(self.images), 2):
                rows = slice(start, start + 2)
                is_target = bool(self.is_target[start])
                given = [a.name for a in self.attributes if is_target or a.space == "common"]
                out.append(self.images[rows], is_target, {name: self.values[name][rows] for name in given})


@dataclass
class Contents:
    """Both splits and what else a file says."""

    train: Content = field(default_factory=lambda: Content.random(0))
    test: Content = field(default_factory=lambda: Content.random(1, rows=8))
    name: str = "tiny"
    version: int = 3

    def write(self, path: Path) -> DatasetFile:
        self.write_unchecked(path)
        return DatasetFile.open(path)

    def write_unchecked(self, path: Path) -> str:
        """Also where the splits do not go together. Gives the hash."""
        with h5py.File(path, "w") as file:
            writer = DatasetWriter(file)
            for split in SPLITS:
                getattr(self, split).write(writer, split)
            sources = [{"title": "Digits", "size": 3}, {"title": "Sprites"}, {"title": "Digits", "size": 4}]
            writer.finish(self.name, self.version, {"size": 4, "scale": [0.5, 1.0]}, sources)
            return str(file.attrs["content_sha256"])


@pytest.fixture
def file(tmp_path: Path) -> DatasetFile:
    return Contents().write(tmp_path / "tiny.h5")


def rehash(path: Path) -> DatasetFile:
    """Make a changed file agree with its own hash, so that only its declarations can tell."""
    with h5py.File(path, "r+") as changed:
        changed.attrs["content_sha256"] = content_sha256(changed)
    return DatasetFile.open(path)


# Round trip


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("piece", [1, 150, 1 << 22])
def test_both_populations_come_back_in_order_however_they_were_interleaved(
    file: DatasetFile, monkeypatch: pytest.MonkeyPatch, split: str, piece: int
) -> None:
    monkeypatch.setattr(hdf5, "PIECE", piece)
    written: Content = getattr(Contents(), split)
    read = file.read(split)  # type: ignore[arg-type]
    for population, rows in ((read.background, ~written.is_target), (read.target, written.is_target)):
        assert population.images.dtype == torch.uint8
        np.testing.assert_array_equal(population.images.numpy(), written.images[rows])
        assert len(population) == rows.sum()
        for name, values in written.values.items():
            np.testing.assert_array_equal(population.attributes[name], values[rows])
            assert population.attributes[name].dtype == (np.float64 if name == "tilt" else np.int64)


@pytest.mark.parametrize("split", SPLITS)
def test_attributes_are_read_apart_from_images_and_are_the_same(file: DatasetFile, split: str) -> None:
    whole = file.read(split)  # type: ignore[arg-type]
    with h5py.File(file.path, "r+") as opened:
        del opened[split]["images"]
    for attributes, population in zip(
        file.read_attributes(split),  # type: ignore[arg-type]
        (whole.background, whole.target),
        strict=True,
    ):
        assert set(attributes) == {attribute.name for attribute in ATTRIBUTES}
        for name, values in attributes.items():
            np.testing.assert_array_equal(values, population.attributes[name])
            assert values.dtype == population.attributes[name].dtype


def test_attributes_left_out_for_background_are_undefined_there(file: DatasetFile) -> None:
    background, target = file.read("train").background, file.read("train").target
    assert np.isnan(background.attributes["tilt"]).all()
    assert (background.attributes["sprite"] == -1).all()
    for attribute in ATTRIBUTES:
        assert attribute.is_defined(target.attributes[attribute.name]).all()
        assert attribute.is_defined(background.attributes[attribute.name]).all() == (attribute.space == "common")


def test_the_description_comes_back(file: DatasetFile) -> None:
    info = file.info
    assert (info.name, info.builder_version, info.image_shape) == ("tiny", 3, SHAPE)
    assert info.config == {"size": 4, "scale": [0.5, 1.0]}
    assert info.sources == ("Digits", "Sprites"), "each title once, in order"
    assert info.attributes == ATTRIBUTES, "in the order of their declaration"
    assert info.counts == {"train": {"background": 6, "target": 6}, "test": {"background": 4, "target": 4}}
    assert file.read("test").info == info


def test_a_sound_file_verifies(file: DatasetFile) -> None:
    file.verify()


# Writing


def test_more_rows_than_declared_are_refused(tmp_path: Path) -> None:
    content = Content.random(0)
    with h5py.File(tmp_path / "file.h5", "w") as file:
        writer = DatasetWriter(file)

        def write() -> None:
            with writer.split("train", 11, SHAPE, ()) as out:
                out.append(content.images[:6], False, {})
                out.append(content.images[6:], True, {})

        with pytest.raises(ValueError, match="12 images appended to a split that was declared with 11"):
            write()


def test_fewer_rows_than_declared_are_refused(tmp_path: Path) -> None:
    content = Content.random(0)
    with h5py.File(tmp_path / "file.h5", "w") as file:
        writer = DatasetWriter(file)

        def write() -> None:
            with writer.split("train", 13, SHAPE, ()) as out:
                out.append(content.images, False, {})

        with pytest.raises(ValueError, match="12 images appended to a split that was declared with 13"):
            write()


def test_an_error_while_writing_is_not_hidden_by_missing_rows(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "file.h5", "w") as file:
        writer = DatasetWriter(file)

        def write() -> None:
            with writer.split("train", 13, SHAPE, ()):
                raise KeyError("the real reason")

        with pytest.raises(KeyError, match="the real reason"):
            write()


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_images_that_are_not_uint8_are_refused(tmp_path: Path, dtype: type) -> None:
    with h5py.File(tmp_path / "file.h5", "w") as file:
        writer = DatasetWriter(file)

        def write() -> None:
            with writer.split("train", 2, SHAPE, ()) as out:
                out.append(np.full((2, *SHAPE), 0.9).astype(dtype), False, {})

        with pytest.raises((ValueError, TypeError)):
            write()


def test_one_value_for_several_images_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "file.h5", "w") as file:
        writer = DatasetWriter(file)

        def write() -> None:
            with writer.split("train", 2, SHAPE, (DIGIT,)) as out:
                out.append(np.zeros((2, *SHAPE), np.uint8), False, {"digit": np.array([1])})

        with pytest.raises((ValueError, TypeError)):
            write()


# The content's hash


def test_the_hash_is_the_same_for_equal_content_in_another_file(file: DatasetFile, tmp_path: Path) -> None:
    again = Contents(name="another name", version=9).write(tmp_path / "again.h5")
    assert again.info.content_sha256 == file.info.content_sha256


def test_the_hash_does_not_depend_on_the_pieces_it_is_read_in(
    file: DatasetFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    for piece in (1, 150, 1000):
        monkeypatch.setattr(hdf5, "PIECE", piece)
        with h5py.File(file.path) as opened:
            assert content_sha256(opened) == file.info.content_sha256


def change_pixel(content: Content) -> None:
    content.images[-1, -1, -1, -1] ^= 1


def change_class(content: Content) -> None:
    content.values["digit"][0] = (content.values["digit"][0] + 1) % 3


def change_real(content: Content) -> None:
    row = int(np.flatnonzero(content.is_target)[0])
    content.values["tilt"][row] = np.nextafter(content.values["tilt"][row], 9)


def change_population(content: Content) -> None:
    content.is_target = np.roll(content.is_target, 2)


def drop_attribute(content: Content) -> None:
    content.attributes = ATTRIBUTES[:-1]


def reorder_attributes(content: Content) -> None:
    content.attributes = ATTRIBUTES[::-1]


def redeclare(**changes: object) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        changed = dataclasses.replace(DIGIT, **changes)  # type: ignore[arg-type]
        content.attributes = (TILT, changed, SPRITE)
        content.values[changed.name] = content.values["digit"]

    return change


CHANGES = {
    "a pixel": change_pixel,
    "a class": change_class,
    "a real value by one bit": change_real,
    "populations": change_population,
    "an attribute less": drop_attribute,
    "the order of attributes": reorder_attributes,
    "the name of an attribute": redeclare(name="number"),
    "the space of an attribute": redeclare(space="salient"),
    "the names of classes": redeclare(classes=("zero", "one", "too")),
    "a class more": redeclare(classes=("zero", "one", "two", "three")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("split", SPLITS)
def test_the_hash_changes_with_all_that_a_score_may_depend_on(
    file: DatasetFile, tmp_path: Path, split: str, change: Callable[[Content], None]
) -> None:
    contents = Contents()
    change(getattr(contents, split))
    assert contents.write_unchecked(tmp_path / "changed.h5") != file.info.content_sha256


def crop_images(content: Content) -> None:
    content.images = content.images[:, :, :-1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop_attribute, "/test/attributes/.* is missing, but /train has it"),
        (redeclare(name="number"), "/test/attributes/digit is missing, but /train has it"),
        (redeclare(space="salient"), "/test/attributes/digit is declared differently from /train"),
        (crop_images, r"/test/images holds examples of shape \(3, 3, 5\), but /train/images of \(3, 4, 5\)"),
    ],
)
def test_splits_that_do_not_go_together_are_refused(
    tmp_path: Path, change: Callable[[Content], None], words: str
) -> None:
    contents = Contents()
    change(contents.test)
    with pytest.raises(UserError, match=words):
        contents.write(tmp_path / "changed.h5")


@pytest.mark.parametrize("name", ["config", "sources", "notes"])
@pytest.mark.parametrize("value", ["[" * 10_000, "{", "3", '{"a": NaN}', '[{"title": 1}]', 3.5])
def test_a_description_that_is_not_as_it_should_be_is_refused(file: DatasetFile, name: str, value: object) -> None:
    with h5py.File(file.path, "r+") as opened:
        opened.attrs[name] = value
    with pytest.raises(UserError, match="is not a data set file of cabench"):
        DatasetFile.open(file.path)


@pytest.mark.parametrize("place", ["train/images", "test/is_target", "train/attributes/digit"])
def test_links_to_other_files_are_refused(file: DatasetFile, place: str) -> None:
    with h5py.File(file.path, "r+") as opened:
        del opened[place]
        opened[place] = h5py.ExternalLink("/etc/other.h5", "/x")
    with pytest.raises(UserError, match=f"/{place} is a link to somewhere else"):
        DatasetFile.open(file.path)


# Verification


@pytest.mark.parametrize("split", SPLITS)
def test_verify_notices_one_flipped_bit_of_one_pixel(file: DatasetFile, split: str) -> None:
    with h5py.File(file.path, "r+") as opened:
        opened[split]["images"][3, 1, 2, 3] ^= 1
    with pytest.raises(UserError, match=r"tiny\.h5: it is damaged: its content hash"):
        DatasetFile.open(file.path).verify()


def test_one_flipped_bit_is_noticed_before_work_rests_on_the_content(file: DatasetFile) -> None:
    file.check_content()
    with h5py.File(file.path, "r+") as opened:
        opened["train/images"][3, 1, 2, 3] ^= 1
    with pytest.raises(
        UserError, match=r"tiny\.h5 is damaged \(its content has another hash .*\. Import or write it again, or get"
    ):
        file.check_content()


def test_a_verified_file_is_not_read_again_until_it_changes(file: DatasetFile) -> None:
    file.check_content()
    with h5py.File(file.path, "r+") as opened:
        opened["train/images"][3, 1, 2, 3] ^= 1
    verified = replace(rehash(file.path).verify(), info=file.info)
    verified.check_content()  # its description is that of the file before, so that reading it would tell
    os.utime(file.path, ns=(0, 0))
    with pytest.raises(UserError, match="its content has another hash"):
        verified.check_content()


def test_a_split_is_read_in_one_pass(file: DatasetFile, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr("cabench.data.file.pieces", lambda dataset: read.append(dataset.name) or hdf5.pieces(dataset))
    file.read("train")
    assert read == ["/train/images"]


def test_a_file_that_was_cut_short_is_noticed_too(file: DatasetFile) -> None:
    file.path.write_bytes(file.path.read_bytes()[:-500])
    with pytest.raises(UserError, match=r"tiny\.h5 is damaged \(.*truncated"):
        file.check_content()


def test_verify_notices_a_changed_label_and_a_changed_declaration(file: DatasetFile) -> None:
    with h5py.File(file.path, "r+") as opened:
        opened["test/attributes/digit"].attrs["classes"] = ["two", "one", "zero"]
    with pytest.raises(UserError, match="/test/attributes/digit is declared differently from /train"):
        DatasetFile.open(file.path).verify()


@pytest.mark.parametrize("label", [3, -2, 2**40])
@pytest.mark.parametrize("split", SPLITS)
def test_verify_notices_a_label_that_names_no_class(file: DatasetFile, split: str, label: int) -> None:
    with h5py.File(file.path, "r+") as opened:
        opened[split]["attributes/digit"][0] = label
    with pytest.raises(UserError, match=rf"/{split}/attributes/digit\[0\] is {label}, which names none of"):
        rehash(file.path).verify()


@pytest.mark.parametrize(("name", "value"), [("tilt", 0.0), ("sprite", 0)])
@pytest.mark.parametrize("split", SPLITS)
def test_verify_notices_a_salient_value_on_background(file: DatasetFile, split: str, name: str, value: float) -> None:
    with h5py.File(file.path, "r+") as opened:
        assert not opened[split]["is_target"][1]
        opened[split][f"attributes/{name}"][1] = value
    with pytest.raises(UserError, match=rf"/{split}/attributes/{name}\[1\] has a value, but that image is background"):
        rehash(file.path).verify()


@pytest.mark.parametrize("is_target", [True, False])
@pytest.mark.parametrize("split", SPLITS)
def test_verify_notices_a_split_with_one_population(file: DatasetFile, split: str, is_target: bool) -> None:
    with h5py.File(file.path, "r+") as opened:
        opened[split]["is_target"][:] = is_target
    with pytest.raises(UserError, match=f"/{split} holds no {'background' if is_target else 'target'} images"):
        rehash(file.path).verify()


def test_verify_notices_attributes_of_another_length(file: DatasetFile) -> None:
    with h5py.File(file.path, "r+") as opened:
        attributes = opened["test/attributes"]
        declared = dict(attributes["digit"].attrs)
        del attributes["digit"]
        attributes.create_dataset("digit", data=np.zeros(5, np.int64)).attrs.update(declared)
    with pytest.raises(UserError, match="/test/attributes/digit has 5 values for 8 images"):
        rehash(file.path).verify()


def test_verify_notices_images_of_another_dtype(file: DatasetFile) -> None:
    with h5py.File(file.path, "r+") as opened:
        images = opened["test/images"][:]
        del opened["test/images"]
        opened["test"].create_dataset("images", data=images.astype(np.float32) / 255)
    with pytest.raises(UserError, match="/test/images is float32, but images are uint8"):
        rehash(file.path).verify()


@pytest.mark.parametrize("damage", ["no images", "no attribute", "short is_target", "other classes"])
def test_verify_notices_a_test_split_that_does_not_follow_the_training_split(file: DatasetFile, damage: str) -> None:
    with h5py.File(file.path, "r+") as opened:
        test = opened["test"]
        if damage == "no images":
            del test["images"]
        elif damage == "no attribute":
            del test["attributes/digit"]
        elif damage == "short is_target":
            kept = test["is_target"][:-1]
            del test["is_target"]
            test["is_target"] = kept
        else:
            test["attributes/digit"].attrs["classes"] = ["two", "one", "zero"]
        if damage != "no images":
            opened.attrs["content_sha256"] = content_sha256(opened)
    with pytest.raises(UserError):
        DatasetFile.open(file.path).verify()


# Opening


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no data set file .*absent\.h5"):
        DatasetFile.open(tmp_path / "absent.h5")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no data set file"):
        DatasetFile.open(tmp_path)


@pytest.mark.parametrize("content", [b"", b"some text", b"\x89HDF\r\n\x1a\n and then nothing"])
def test_a_file_that_is_not_hdf5_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.h5"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"file\.h5 is not a data set file of cabench"):
        DatasetFile.open(path)


def test_a_truncated_file_is_refused(file: DatasetFile) -> None:
    file.path.write_bytes(file.path.read_bytes()[:-500])
    with pytest.raises(UserError, match="is not a data set file"):
        DatasetFile.open(file.path)


def test_hdf5_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros(3)
    with pytest.raises(UserError, match="is not a data set file"):
        DatasetFile.open(path)


def test_another_schema_is_refused_with_both_numbers(file: DatasetFile) -> None:
    with h5py.File(file.path, "r+") as opened:
        opened.attrs["schema"] = 99
    with pytest.raises(UserError, match="its schema is 99, but this version reads 1"):
        DatasetFile.open(file.path)


@pytest.mark.parametrize("lost", ["name", "builder_version", "config", "sources", "content_sha256", "schema"])
def test_a_file_without_one_of_its_attributes_is_refused(file: DatasetFile, lost: str) -> None:
    with h5py.File(file.path, "r+") as opened:
        del opened.attrs[lost]
    with pytest.raises(UserError, match="is not a data set file"):
        DatasetFile.open(file.path)


@pytest.mark.parametrize("lost", ["train", "test", "train/images", "test/is_target", "train/attributes"])
def test_a_file_without_one_of_its_parts_is_refused(file: DatasetFile, lost: str) -> None:
    with h5py.File(file.path, "r+") as opened:
        del opened[lost]
    with pytest.raises(UserError, match="is not a data set file"):
        DatasetFile.open(file.path)


@pytest.mark.parametrize(("declared", "value"), [("space", "shared"), ("kind", "text"), ("classes", [1, 2, 3])])
def test_an_attribute_of_an_unknown_declaration_is_refused(file: DatasetFile, declared: str, value: str) -> None:
    with h5py.File(file.path, "r+") as opened:
        opened["train/attributes/digit"].attrs[declared] = value
    with pytest.raises(UserError, match="is not a data set file"):
        DatasetFile.open(file.path)


def test_notes_are_kept_in_their_order_and_do_not_change_the_content(tmp_path: Path) -> None:
    contents, files = Contents(), []
    for name, notes in (("plain", []), ("noted", ["first", "second, with umlaut ü"])):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            writer = DatasetWriter(file)
            for note in notes:
                writer.note(note)
            for split in SPLITS:
                getattr(contents, split).write(writer, split)
            writer.finish("tiny", 1, {}, [{"title": "Digits"}])
        files.append(DatasetFile.open(tmp_path / f"{name}.h5"))
    plain, noted = files
    assert plain.info.notes == ()
    assert noted.info.notes == ("first", "second, with umlaut ü")
    assert plain.info.content_sha256 == noted.info.content_sha256
    noted.verify()
