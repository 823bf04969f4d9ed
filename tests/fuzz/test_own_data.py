"""Whatever images, labels, tables and columns `data import` is given, it makes a sound data set, or none."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cabench.data.checks import check_file
from cabench.data.file import DatasetFile
from cabench.data.importing.csv_files import names_in
from cabench.data.importing.images.fitting import Size
from cabench.data.importing.images.folders import LabelFile, import_folders
from cabench.data.importing.images.reading import ImageForm
from cabench.data.importing.labels import Columns, parse_columns
from cabench.data.importing.populations import Choice
from cabench.data.importing.splitting import Drawn
from cabench.data.importing.tables.files import TableForm, import_table, import_tables
from cabench.errors import UserError

EXAMPLES = settings(settings.get_profile("cabench"), max_examples=30 * int(os.environ.get("CABENCH_FUZZ", "1")))
Attempt = Callable[[str, Path, Callable[[], Any]], Any]
Damage = Callable[[bytes], st.SearchStrategy[bytes]]

IMAGES = 6  # of either population
SIZE = 8
COLUMNS = parse_columns(common="sex,age:real", salient="kind")
GROUPED = parse_columns(common="sex,age:real", salient="kind", group="who")
OPTIONS = ("common", "salient", "nuisance", "group", "split")
HEADER = ("file", "sex", "age", "kind")
LABELS = [
    [f"{population}/{row}.png", "fm"[row % 2], str(20 + row), ("", f"k{row % 2}")[population == "target"]]
    for population in ("background", "target")
    for row in range(IMAGES)
]
TABLE = ("x", "y", "sex", "age", "kind", "who")

cells = st.text(max_size=5) | st.sampled_from(
    (
        *("", " ", "0", "-1", "nan", "inf", "1e400", "1e39", "9" * 5000, "1_000", "0x1f", "1+2j", "True", "None"),
        *("\0", "a\0b", "\x1b[2J", "\u202e", "٣", "²", "\ufeff", '"', "'", "../../x", "=1+1", "x" * 70000),
        *("train", "test", "file", "background/0.png", "target/0.png", "0.png", "\n", "\r", ","),
    )
)
declarations = st.lists(
    st.sampled_from(("sex", "age", "kind", "who", "x", "file", "is_target", "class", "real", ":", ",", " ", "", "\0"))
    | st.text(max_size=3),
    max_size=5,
).map("".join)


@st.composite
def columns(draw: st.DrawFn) -> Callable[[], Columns]:
    """A declaration of columns, sound or not."""
    if draw(st.integers(0, 2)):
        return lambda: COLUMNS
    texts = [draw(st.sampled_from(("", "sex,age:real", "kind", "who", "sex")) | declarations) for _ in OPTIONS]
    return lambda: parse_columns(**dict(zip(OPTIONS, texts, strict=True)))


@st.composite
def table(draw: st.DrawFn, header: tuple[str, ...], rows: list[list[str]]) -> bytes:
    """A CSV file with some cells replaced, and rows and columns taken away or there twice."""
    lines = [list(header), *map(list, rows)]
    for _ in range(draw(st.integers(0, 3))):
        line = draw(st.sampled_from(lines))
        place = draw(st.integers(0, len(line) - 1)) if line else 0
        action = draw(st.sampled_from(("cell", "cell", "cell", "every cell", "line", "twice", "short", "long")))
        if action == "cell" and line:
            line[place] = draw(cells)
        elif action == "every cell":
            value = draw(cells)
            for other in lines[1:]:
                other[place:] = [value, *other[place + 1 :]]
        elif action == "line" and len(lines) > 1:
            lines.remove(line)
        elif action == "twice":
            lines.append(list(line))
        elif action == "short":
            del line[place:]
        elif action == "long":
            line.append(draw(cells))
    quote = draw(st.sampled_from(('"', '"', "")))
    text = "\n".join(",".join(f"{quote}{cell}{quote}" for cell in line) for line in lines)
    return text.encode(draw(st.sampled_from(("utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"))), errors="replace")


def rows_of(population: str) -> list[list[str]]:
    generator = np.random.default_rng(len(population))
    return [
        [*map(str, generator.normal(size=2)), "fm"[row % 2], str(20 + row), f"k{row % 2}", f"w{row}"]
        for row in range(IMAGES)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with six images of either population."""
    folder = tmp_path_factory.mktemp("around") / "own"
    for number, population in enumerate(("background", "target")):
        (folder / population).mkdir(parents=True)
        for row in range(IMAGES):
            draw_image(number * IMAGES + row, "L").save(folder / population / f"{row}.png")
    return folder


def draw_image(seed: int, mode: str) -> Image.Image:
    shape = (SIZE, SIZE, 3) if mode == "RGB" else (SIZE, SIZE)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8)).convert(mode)


def imported(make: Callable[[Path], DatasetFile], output: Path) -> None:
    """Import, and check that what came of it keeps the contract of data sets."""
    errors = check_file(make(output).path).errors
    output.unlink()
    assert errors == []


@EXAMPLES
@given(texts=st.lists(st.sampled_from(("sex", "age:real")) | declarations, min_size=5, max_size=5))
def test_columns(attempt: Attempt, folder: Path, texts: list[str]) -> None:
    attempt("columns", folder, lambda: parse_columns(**dict(zip(OPTIONS, texts, strict=True))))


@EXAMPLES
@given(data=st.data())
def test_labels_of_images(attempt: Attempt, damage: Damage, folder: Path, data: st.DataObject) -> None:
    labels, sound = folder / "labels.csv", "\n".join(map(",".join, (HEADER, *LABELS))).encode()
    labels.write_bytes(data.draw(table(HEADER, LABELS) | damage(sound)))
    declared = data.draw(columns())

    def read(output: Path) -> DatasetFile:
        own = (folder / "background", folder / "target")
        return import_folders(*own, output, ImageForm(), LabelFile(labels), declared(), Drawn(0.3, 0))

    attempt("labels", folder, lambda: imported(read, folder / "made.h5"))


@EXAMPLES
@given(data=st.data())
def test_tables_of_features(attempt: Attempt, folder: Path, data: st.DataObject) -> None:
    paths = [folder / f"{population}.csv" for population in ("background", "target")]
    for path in paths:
        path.write_bytes(data.draw(table(TABLE, rows_of(path.stem))))
    declared = data.draw(st.sampled_from((GROUPED,)) | columns().map(call))
    form = data.draw(forms)

    def read(output: Path) -> DatasetFile:
        assert declared is not None
        return import_tables(*paths, output, form(), declared, Drawn(0.3, 0))

    if declared is not None:
        attempt("tables", folder, lambda: imported(read, folder / "made.h5"))


@EXAMPLES
@given(data=st.data())
def test_one_table_of_both_populations(attempt: Attempt, damage: Damage, folder: Path, data: st.DataObject) -> None:
    rows = [[*row, population] for population in ("background", "target") for row in rows_of(population)]
    header = (*TABLE, "class")
    sound = "\n".join(map(",".join, (header, *rows))).encode()
    path = folder / "all.csv"
    path.write_bytes(data.draw(table(header, rows) | damage(sound)))
    form = data.draw(forms)
    choice = data.draw(
        st.sampled_from((("class", "background", "target"), ("kind", ",", "k0,k1"))) | st.tuples(cells, cells, cells)
    )

    def read(output: Path) -> DatasetFile:
        return import_table(path, Choice.parsed(*choice), output, form(), GROUPED, Drawn(0.3, 0))

    attempt("one table", folder, lambda: imported(read, folder / "made.h5"))


names = st.sampled_from(("x", "y", "x*", "?", "*", "[", '"x', "sex", "Unnamed: 6")) | cells
changes: dict[str, st.SearchStrategy[object]] = {
    "ignore": names.map(lambda text: lambda: names_in(text)),
    "features": names.map(lambda text: lambda: names_in(text)),
    "counts": st.just(lambda: True),
    "delimiter": st.sampled_from((",", ";", "tab", "|", "\0")).map(lambda text: lambda: text),
    "decimal": st.sampled_from((",", "")).map(lambda text: lambda: text),
}
forms = st.just(TableForm) | st.one_of(
    [value.map(lambda value, name=name: lambda: TableForm(**{name: value()})) for name, value in changes.items()]
)


def call(declared: Callable[[], Columns]) -> Columns | None:
    try:
        return declared()
    except UserError:
        return None


def encoded(kind: str, mode: str) -> bytes:
    """A picture that is lying on its side, by what its EXIF data say."""
    exif = Image.Exif()
    exif[0x0112] = 6
    written = io.BytesIO()
    draw_image(99, mode).save(written, format=kind, **({} if kind == "BMP" else {"exif": exif}))
    return written.getvalue()


PICTURES = {
    f"{kind}, {mode}": encoded(kind, mode)
    for kind, modes in (("PNG", "L RGB P RGBA I;16"), ("JPEG", "L RGB"), ("TIFF", "L RGB I;16"), ("BMP", "L RGB"))
    for mode in modes.split()
}


@EXAMPLES
@given(data=st.data())
def test_a_picture_of_other_bytes(attempt: Attempt, damage: Damage, folder: Path, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(list(PICTURES)))
    path = folder / "target" / "0.png"
    before = path.read_bytes()
    path.write_bytes(data.draw(damage(PICTURES[kind]) | st.binary(max_size=40)))
    form = ImageForm(
        data.draw(st.sampled_from((None, Size(SIZE, SIZE), Size(12, 9)))),
        data.draw(st.sampled_from(("crop", "pad", "squash"))),
        data.draw(st.sampled_from(("grey", "colour", None))),
    )

    def read(output: Path) -> DatasetFile:
        own = (folder / "background", folder / "target")
        return import_folders(*own, output, form, None, Columns(), Drawn(0.3, 0))

    attempt("own picture", folder, lambda: imported(read, folder / "made.h5"))
    path.write_bytes(before)


@EXAMPLES
@given(
    name=st.text(st.characters(exclude_characters="/"), max_size=20)
    | st.sampled_from(("x" * 300, "\0", "../x", "a.h5", "a b", "é", ""))
)
def test_names_of_files(attempt: Attempt, folder: Path, name: str) -> None:
    def read(output: Path) -> DatasetFile:
        own = (folder / "background", folder / "target")
        return import_folders(*own, output, ImageForm(), None, Columns(), Drawn(0.3, 0))

    output = Path(f"{folder}/{name}.h5")
    attempt("name of a file", folder, lambda: imported(read, output))
