from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cabench import Attribute, Examples, write_arrays
from cabench.data.layout import SPLITS

SEX = Attribute("sex", "common", "class", ("female", "male"))
AGE = Attribute("age", "common", "real")
LESION = Attribute("lesion", "salient", "class", ("round", "long"))
ATTRIBUTES = (SEX, AGE, LESION)


@pytest.fixture
def background(draw) -> Examples:
    return Examples(draw(40), {"sex": np.arange(40) % 2, "age": np.arange(40) / 2})


@pytest.fixture
def target(draw) -> Examples:
    ages = np.arange(60.0)
    ages[3] = np.nan
    return Examples(draw(60, seed=1), {"sex": np.arange(60) % 2, "age": ages, "lesion": np.arange(60) % 3 - 1})


def rows_of(images: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in images]


def test_what_was_given_comes_back(tmp_path: Path, background: Examples, target: Examples) -> None:
    file = write_arrays(tmp_path / "mine.h5", background, target, ATTRIBUTES, title="scans")
    file.verify()
    assert file.info.attributes == ATTRIBUTES
    assert file.info.sources == ("scans",)
    assert file.info.image_shape == (1, 8, 8)
    assert file.info.counts == {
        "train": {"background": 32, "target": 48},
        "test": {"background": 8, "target": 12},
    }
    splits = [file.read("train"), file.read("test")]
    for population, given in (("background", background), ("target", target)):
        place = {row: number for number, row in enumerate(rows_of(given.images))}
        found = []
        for split in splits:
            part = getattr(split, population)
            numbers = [place[row] for row in rows_of(part.images.numpy())]
            assert numbers == sorted(numbers)
            found += numbers
            for name, values in part.attributes.items():
                expected = np.asarray(given.values[name])[numbers] if name in given.values else np.full(len(part), -1)
                np.testing.assert_array_equal(values, expected)
        assert sorted(found) == list(range(len(given.images)))


def test_names_and_groups_are_kept_with_their_rows(tmp_path: Path, background: Examples, target: Examples) -> None:
    background = replace(background, names=[f"healthy {row}" for row in range(40)], groups=np.arange(40) // 2)
    target = replace(target, names=[f"é{row}" if row % 2 else "" for row in range(60)])
    file = write_arrays(tmp_path / "mine.h5", background, target, ATTRIBUTES)
    file.verify()
    place = [{row: number for number, row in enumerate(rows_of(part.images))} for part in (background, target)]
    for split in SPLITS:
        data, rows = file.read(split), file.read_rows(split)
        for number, given in enumerate((background, target)):
            numbers = [place[number][row] for row in rows_of(data[1 + number].images.numpy())]
            assert rows[number].names.tolist() == [given.names[row] for row in numbers]
            groups = [""] * len(numbers) if given.groups is None else [str(given.groups[row]) for row in numbers]
            assert rows[number].groups.tolist() == groups


def test_names_do_not_change_the_content_and_groups_do(tmp_path: Path, background: Examples, target: Examples) -> None:
    def content(number: int, **more: object) -> str:
        given = replace(background, **more)  # type: ignore[arg-type]
        return write_arrays(tmp_path / f"{number}.h5", given, target, ATTRIBUTES).info.content_sha256

    own = [f"{row}" for row in range(40)]
    is_test = np.arange(40) < 8
    target = replace(target, is_test=np.arange(60) < 12)
    plain = content(0, is_test=is_test)
    assert content(1, is_test=is_test, names=own) == plain
    grouped = content(2, is_test=is_test, groups=own)
    assert grouped != plain
    assert content(3, is_test=is_test, groups=own[::-1]) != grouped


def test_each_salient_class_is_in_both_splits_in_proportion(
    tmp_path: Path, background: Examples, target: Examples
) -> None:
    test = write_arrays(tmp_path / "mine.h5", background, target, ATTRIBUTES, test_fraction=0.25).read("test")
    assert np.bincount(test.target.attributes["lesion"] + 1).tolist() == [5, 5, 5]


def test_the_same_seed_gives_the_same_file_and_another_one_another_split(
    tmp_path: Path, background: Examples, target: Examples
) -> None:
    hashes = [
        write_arrays(str(tmp_path / f"{number}.h5"), background, target, ATTRIBUTES, seed=seed).info.content_sha256
        for number, seed in enumerate((0, 0, 1))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_groups_and_equal_images_stay_on_one_side(tmp_path: Path, draw) -> None:
    images = draw(100)
    images[50:] = draw(50, seed=2)
    images[90:] = images[:10]  # equal to ones of other subjects
    subjects = np.arange(100) // 4
    target = Examples(draw(100, seed=3), groups=[f"subject {n}" for n in subjects])
    background = Examples(images, groups=[f"subject {n}" for n in subjects])
    file = write_arrays(tmp_path / "mine.h5", background, target, test_fraction=0.5)
    sides: dict[str, set[str]] = {}
    for split in ("train", "test"):
        data = file.read(split)
        for part, given in ((data.background, background), (data.target, target)):
            place = {row: number for number, row in enumerate(rows_of(given.images))}
            for row in rows_of(part.images.numpy()):
                sides.setdefault(str(given.groups[place[row]]), set()).add(split)
    assert all(len(found) == 1 for found in sides.values())
    train, test = (set(rows_of(file.read(split).background.images.numpy())) for split in ("train", "test"))
    assert not train & test
    assert len({frozenset(found) for found in sides.values()}) == 2


def test_a_split_that_comes_out_otherwise_than_asked_is_noted(tmp_path: Path, draw) -> None:
    kinds = np.repeat([0, 1], 50)
    target = Examples(draw(100, seed=1), {"lesion": kinds}, groups=["a"] * 50 + [f"b{n}" for n in range(50)])
    file = write_arrays(tmp_path / "mine.h5", Examples(draw(100)), target, [LESION])
    assert file.info.notes == (
        "The training split has no group of 'round' of 'lesion' (target): too few have it.",
        "The test split has one group or none of 'round' of 'lesion' (target): too few have it. --test-fraction says "
        "how much is held out.",
        "60 of 100 target examples are for testing, where 20% were asked for: groups are few or large.",
    )


def test_a_nuisance_is_known_of_both_populations(tmp_path: Path, background: Examples, target: Examples) -> None:
    site, dose = Attribute("site", "nuisance", "class", ("x", "y")), Attribute("dose", "nuisance", "real")
    given = [
        replace(
            part, values={**part.values, "site": np.arange(len(part.images)) % 2, "dose": np.arange(len(part.images))}
        )
        for part in (background, target)
    ]
    file = write_arrays(tmp_path / "mine.h5", *given, (*ATTRIBUTES, site, dose))
    file.verify()
    assert file.info.attributes == (*ATTRIBUTES, site, dose)
    for split in SPLITS:
        for part in file.read_attributes(split):
            np.testing.assert_array_equal(part["site"], part["dose"] % 2)


def test_many_small_classes_take_no_more_than_one_test_image_each(tmp_path: Path, draw) -> None:
    kind = Attribute("kind", "salient", "class", tuple(f"k{n}" for n in range(40)))
    target = Examples(draw(120, seed=1), {"kind": np.arange(120) % 40})
    counts = write_arrays(tmp_path / "mine.h5", Examples(draw(100)), target, [kind]).info.counts
    assert counts["test"] == {"background": 20, "target": 40}


def test_a_split_can_be_given(tmp_path: Path, background: Examples, target: Examples) -> None:
    parts = [replace(part, is_test=np.arange(len(part.images)) % 4 == 1) for part in (background, target)]
    file = write_arrays(tmp_path / "mine.h5", *parts, ATTRIBUTES)
    test = file.read("test")
    assert rows_of(test.target.images.numpy()) == rows_of(target.images[1::4])
    assert rows_of(test.background.images.numpy()) == rows_of(background.images[1::4])


def changed(part: Examples, row: int, **values: float) -> Examples:
    """The part with one attribute's value of one row set."""
    ((name, value),) = values.items()
    column = np.array(part.values.get(name, np.full(len(part.images), -1)))
    column[row] = value
    return replace(part, values={**part.values, name: column})


WRONG = {
    "float images": (lambda b, t: (b, replace(t, images=t.images / 255)), r"target images are float64 of shape"),
    "no channel axis": (lambda b, t: (replace(b, images=b.images[:, 0]), t), r"uint8 of shape \(40, 8, 8\)"),
    "two channels": (lambda b, t: (replace(b, images=np.repeat(b.images, 2, 1)), t), r"1 or 3 channels"),
    "object images": (lambda b, t: (replace(b, images=b.images.astype(object)), t), r"are object of shape"),
    "a list": (lambda b, t: (replace(b, images=b.images.tolist()), t), r"are a list, not a NumPy array"),
    "no targets": (lambda b, t: (b, Examples(t.images[:0])), r"There are no target images"),
    "other shape": (lambda b, t: (b, Examples(t.images[:, :, :4])), r"shape \(1, 8, 8\), target examples \(1, 4, 8\)"),
    "unknown attribute": (lambda b, t: (changed(b, 0, weight=1), t), r"'weight', which is not declared"),
    "no such class": (lambda b, t: (b, changed(t, 5, lesion=2)), r"'lesion' of target image 5 is 2, which names no"),
    "class below -1": (lambda b, t: (changed(b, 5, sex=-2), t), r"'sex' of background image 5 is -2"),
    "salient background": (lambda b, t: (changed(b, 7, lesion=0), t), r"'lesion' has a value for background image 7"),
    "infinite": (lambda b, t: (b, changed(t, 6, age=np.inf)), r"'age' of target image 6 is inf, which is not finite"),
    "real class": (
        lambda b, t: (replace(b, values={"sex": np.zeros(40)}), t),
        r"background values of 'sex' are float64; wanted are class indices",
    ),
    "object class": (
        lambda b, t: (replace(b, values={"sex": np.array(["a"] * 40, dtype=object)}), t),
        r"background values of 'sex' are object",
    ),
    "text for real": (
        lambda b, t: (replace(b, values={"age": np.array(["a"] * 40)}), t),
        r"values of 'age' are <U1; wanted are numbers",
    ),
    "too few values": (
        lambda b, t: (replace(b, values={"sex": np.zeros(39, int)}), t),
        r"values of 'sex' have shape \(39,\), not \(40,\)",
    ),
    "too few groups": (lambda b, t: (replace(b, groups=["a"]), t), r"background: 1 groups were given for 40 images"),
    "float groups": (lambda b, t: (replace(b, groups=np.arange(40.0)), t), r"group of background image 0 is .*0\.0"),
    "no group": (lambda b, t: (replace(b, groups=["a", None] * 20), t), r"group of background image 1 is None"),
    "a group that does not print": (
        lambda b, t: (replace(b, groups=["a", "\x1b[2J"] * 20), t),
        r"group of background image 1 is '\\x1b\[2J'; groups are whole numbers or short",
    ),
    "a long group": (lambda b, t: (replace(b, groups=["a" * 5000] * 40), t), r"group of background image 0 is 'aaaa"),
    "a name of two lines": (lambda b, t: (b, replace(t, names=["a\nb"] * 60)), r"name of target image 0 is 'a\\nb'"),
    "a long name": (lambda b, t: (b, replace(t, names=["é" * 2049] * 60)), r"names are short, printable texts"),
    "empty group": (lambda b, t: (replace(b, groups=["a", ""] * 20), t), r"group of background image 1 is ''"),
    "huge code": (lambda b, t: (replace(b, values={"sex": np.full(40, 2**63, np.uint64)}), t), r"names no class"),
    "in both": (
        lambda b, t: (b, replace(t, images=np.concatenate([b.images[4:5], t.images[1:]]))),
        r"background image 4 and target image 0 are equal; an example is background or target, not both",
    ),
    "one group": (lambda b, t: (replace(b, groups=["a"] * 40), t), r"No background example is left for the training"),
    "half a split": (
        lambda b, t: (replace(b, is_test=np.ones(40, bool)), t),
        r"is_test is a bool array for",
    ),
}


@pytest.mark.parametrize(("change", "words"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_refused_and_nothing_written(
    tmp_path: Path, background: Examples, target: Examples, refusal, change, words: str
) -> None:
    parts = change(background, target)
    said = refusal(lambda: write_arrays(tmp_path / "mine.h5", *parts, ATTRIBUTES))
    assert re.search(words, said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ([replace(SEX, name="is_target")], "cannot be the name of an attribute"),
        ([replace(SEX, name="a/b")], "cannot be the name of an attribute"),
        ([replace(SEX, name="../b")], "cannot be the name of an attribute"),
        ([SEX, SEX], "Two attributes have the same name"),
        ([replace(SEX, classes=("a", "a"))], "Two classes of attribute 'sex'"),
        ([replace(SEX, classes=(0, 1))], "must be a tuple of texts"),
        ([replace(SEX, classes="ab")], "must be a tuple of texts"),
        ([replace(SEX, classes=())], "name its classes"),
        ([replace(AGE, classes=("a",))], "is real and has no classes"),
        ([replace(SEX, classes=("a", "b\0"))], "cannot be the name of a class of 'sex'"),
        ([replace(SEX, classes=("a", "\x1b[2J"))], "cannot be the name of a class of 'sex'"),
        ([replace(SEX, classes=("a", "b\nc"))], "cannot be the name of a class of 'sex'"),
        ([replace(SEX, space="shared")], "is declared as shared and class"),
        ([replace(SEX, kind="text")], "is declared as common and text"),
    ],
)
def test_attributes_that_cannot_be_are_refused(tmp_path: Path, draw, refusal, attributes, words: str) -> None:
    parts = [Examples(draw(10)), Examples(draw(10, seed=1))]
    assert words in refusal(lambda: write_arrays(tmp_path / "mine.h5", *parts, attributes))


@pytest.mark.parametrize("name", ["mine.hdf5", "mine", ".h5", "-x.h5", "my file.h5", "a:b.h5", "x" * 101 + ".h5"])
def test_paths_that_could_not_be_named_are_refused(tmp_path: Path, draw, refusal, name: str) -> None:
    parts = [Examples(draw(10)), Examples(draw(10, seed=1))]
    assert "ending in .h5" in refusal(lambda: write_arrays(tmp_path / name, *parts))


def test_a_given_split_must_not_part_a_group(tmp_path: Path, draw, refusal) -> None:
    is_test = np.arange(10) >= 8
    parts = [Examples(draw(10, seed=n), groups=["same"] * 10 if n else None, is_test=is_test) for n in (0, 1)]
    said = refusal(lambda: write_arrays(tmp_path / "mine.h5", *parts))
    assert "target image 9 is for testing and target image 0 for training" in said


def test_a_path_that_cannot_be_written_is_said(tmp_path: Path, draw, refusal) -> None:
    (tmp_path / "file").write_text("")
    parts = [Examples(draw(10)), Examples(draw(10, seed=1))]
    assert "could not be written" in refusal(lambda: write_arrays(tmp_path / "file" / "mine.h5", *parts))
