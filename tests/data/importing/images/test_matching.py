from __future__ import annotations

from pathlib import Path

import pytest

from cabench.data.importing.images.matching import ImageNames, match
from cabench.data.importing.images.reading import open_folder

NAMES = ["001.png", "002.png", "more/001.png"]


@pytest.fixture
def place(tmp_path: Path, fill) -> Path:
    """Two folders of the same name, and a table beside one of them."""
    for population in ("healthy", "patients"):
        fill(tmp_path / population / "images", NAMES)
    fill(tmp_path / "patients" / "images", ["only.png"])
    return tmp_path


def names(place: Path, table: str = "labels.csv") -> ImageNames:
    return ImageNames([open_folder(place / p / "images") for p in ("healthy", "patients")], place / table)


@pytest.mark.parametrize(
    ("given", "image"),
    [
        ("healthy/images/001.png", 0),
        ("patients/images/more/001.png", 5),
        ("patients\\images\\002.png", 4),
        ("./patients/images/002.png", 4),
        ("only.png", 6),
        ("images/only.png", 6),
        ("{place}/healthy/images/002.png", 1),
        ("{place}/healthy/../patients/images/002.png", 4),
    ],
)
def test_paths_from_any_of_the_places_are_understood(place: Path, given: str, image: int) -> None:
    assert names(place).find(given.format(place=place)) == image


def test_paths_may_start_at_the_table(place: Path) -> None:
    from_table = names(place, "patients/labels.csv")
    assert from_table.find("../healthy/images/002.png") == 1
    # From the table, and no other image has this name.
    assert from_table.find("images/002.png") == 4


def test_links_to_the_folder_are_followed_in_absolute_paths(place: Path) -> None:
    (place / "link").symlink_to(place / "healthy")
    assert names(place).find(f"{place}/link/images/more/001.png") == 2


@pytest.mark.parametrize("given", ["001.png", "images/001.png", "more/001.png"])
def test_what_may_be_two_images_is_refused_with_names_that_work(place: Path, refusal, given: str) -> None:
    found = names(place)
    said = refusal(lambda: found.find(given))
    first, second = said.removeprefix(f"{given!r} may be ").removesuffix("; write one of these names.").split(" or ")
    assert {found.find(first), found.find(second)} == {
        names(place).find(f"{p}/images/{given.removeprefix('images/')}") for p in ("healthy", "patients")
    }


def test_every_image_has_a_name_that_works_even_where_folders_are_called_like_others(tmp_path: Path, fill) -> None:
    fill(tmp_path / "a", ["x.png", "b/x.png", "a/x.png", "a/b/x.png"])
    fill(tmp_path / "b", ["x.png", "a/x.png", "b/x.png"])
    found = ImageNames([open_folder(tmp_path / "a"), open_folder(tmp_path / "b")], tmp_path / "labels.csv")
    assert [found.find(found.name(image)) for image in range(len(found))] == list(range(7))


@pytest.mark.parametrize("given", ["", ".", "..", "/", "\0", "a\0/b", "x" * 5000, "healthy", "003.png", "more"])
def test_other_names_are_of_no_image(place: Path, refusal, given: str) -> None:
    assert names(place).find(given) is None
    folders = [open_folder(place / p / "images") for p in ("healthy", "patients")]
    said = refusal(lambda: match(place / "labels.csv", [given], folders))
    assert names(place).find(said.split("such as '")[1].removesuffix("'.")) == 0


def test_rows_are_in_the_order_of_the_images(place: Path, refusal) -> None:
    folders = [open_folder(place / p / "images") for p in ("healthy", "patients")]
    every = [f"{p}/images/{name}" for p in ("healthy", "patients") for name in NAMES] + ["only.png"]
    order = [3, 0, 6, 2, 5, 1, 4]
    found = match(place / "l.csv", [every[image] for image in order], folders)
    assert found == ([order.index(image) for image in range(7)], [])
    assert match(place / "l.csv", ["x.png", *every], folders).rows == list(range(1, 8))
    said = refusal(lambda: match(place / "l.csv", [*every, "images/only.png"], folders))
    assert "l.csv has two rows for only.png" in said
    said = refusal(lambda: match(place / "l.csv", every[1:5], folders))
    assert (
        "l.csv has no label for 3 images (healthy/images/001.png, patients/images/more/001.png, only.png); add a row"
        in said
    )


def test_a_single_folder_is_its_own_root(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    folder = open_folder(Path("healthy"))
    found = ImageNames([folder], Path("labels.csv"))
    for given in ("images/001.png", "healthy/images/001.png", str(place / "healthy/images/001.png")):
        assert found.find(given) == 0
