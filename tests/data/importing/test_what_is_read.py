"""Every rule of the page `docs/what-is-read.md`, section "Tables", holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import cabench as package
from cabench.data.checks import check_file
from cabench.data.file import DatasetFile
from cabench.data.importing.csv_files import names_in
from cabench.data.importing.labels import parse_columns
from cabench.data.importing.populations import Choice
from cabench.data.importing.splitting import Drawn
from cabench.data.importing.tables.files import TableForm, import_table, import_tables
from cabench.errors import UserError

PAGE = Path(package.__file__).parent.parent / "docs" / "what-is-read.md"
ROWS = 60
SITES = [["north", "south"][row % 4 // 2] for row in range(ROWS)]

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the package is installed, its pages are not here")


def rules() -> list[str]:
    """What is found, of each rule of the page's table."""
    section = PAGE.read_text("utf-8").partition("## Tables")[2].partition("\n## ")[0]
    found = re.findall(r"^\| (.+?) \| .+ \|$", section, re.MULTILINE)
    return [rule for rule in found if rule != "what is found"]


Columns = dict[str, Sequence[object]]


def columns(**more: Sequence[object]) -> Columns:
    """A sound table: two features, what tells populations, and more."""
    numbers = np.random.default_rng(0).normal(5, 2, (2, ROWS)).round(3)
    return {"kind": ["healthy", "ill"] * (ROWS // 2), "x": list(numbers[0]), "y": list(numbers[1]), **more}


def text(table: Columns, separator: str = ",") -> str:
    lines = [list(table), *(list(row) for row in zip(*table.values(), strict=True))]
    return "".join(separator.join(map(str, line)) + "\n" for line in lines)


class Imported(NamedTuple):
    """A data set that was made, its notes and warnings in one text, and what it holds by the name of each row."""

    file: DatasetFile
    said: str

    def rows(self, what: Callable[[dict[str, np.ndarray], np.ndarray], np.ndarray]) -> dict[str, object]:
        """Something of each row, given its attributes and features, by the row's name."""
        found: dict[str, object] = {}
        for split in ("train", "test"):
            data = self.file.read(split)
            parts = zip((data.background, data.target), self.file.read_rows(split), strict=True)
            for part, named in parts:
                found |= dict(zip(named.names, what(part.attributes, part.images.numpy()), strict=True))
        return found

    def feature(self, place: int) -> np.ndarray:
        """Of all rows, in the order of their numbers."""
        values = self.rows(lambda _, features: features[:, place])
        return np.array([values[name] for name in sorted(values, key=int)])

    def labels(self, name: str) -> list[str]:
        """Likewise."""
        classes = {attribute.name: attribute.classes for attribute in self.file.info.attributes}[name]
        codes = self.rows(lambda attributes, _: attributes[name])
        return [("", *classes)[int(codes[key]) + 1] for key in sorted(codes, key=int)]


class Case:
    """Imports tables of one rule; `given` are options, as on the command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self, content: str | bytes, name: str = "t.csv", **given: object) -> Imported:
        path = self.write(name, content)
        choice = Choice("kind", ("healthy",), ("ill",))
        return self._done(import_table, (path, choice), given)

    def make_two(self, background: str, target: str, **given: object) -> Imported:
        paths = self.write("b.csv", background), self.write("t.csv", target)
        return self._done(import_tables, paths, given)

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def _done(
        self, read: Callable[..., DatasetFile], sources: tuple[object, ...], given: dict[str, object]
    ) -> Imported:
        form = {name: given.pop(name) for name in ("ignore", "features", "delimiter", "decimal") if name in given}
        form |= {name: names_in(str(form[name])) for name in ("ignore", "features") if name in form}
        output = self.folder / "made.h5"
        file = read(*sources, output, TableForm(**form), parse_columns(**given), Drawn())
        findings = check_file(output)
        assert findings.errors == []
        return Imported(file, "\n".join((*file.info.notes, *findings.warnings)))

    def refused(self, content: str | bytes, *words: str, name: str = "t.csv", **given: object) -> None:
        self._refused(lambda: self.make(content, name, **given), words)

    def two_refused(self, background: str, target: str, *words: str, **given: object) -> None:
        self._refused(lambda: self.make_two(background, target, **given), words)

    def _refused(self, make: Callable[[], object], words: Sequence[str]) -> None:
        with pytest.raises(UserError) as caught:
            make()
        said = str(caught.value)
        assert said.endswith(".")
        assert not [word for word in words if word not in said], said
        assert not (self.folder / "made.h5").exists()


def standardised(values: Sequence[float], made: Imported) -> np.ndarray:
    """Computed independently: on the scale of the training rows."""
    numbers = np.array(values, np.float64)
    tested = [int(name) - 1 for part in made.file.read_rows("test") for name in part.names]
    trained = np.delete(numbers, tested)
    return (numbers - np.nanmean(trained)) / np.nanstd(trained)


def with_cell(table: Columns, column: str, cell: str, row: int = 6) -> Columns:
    values = list(table[column])
    values[row] = cell
    return {**table, column: values}


CASES: dict[str, Callable[[Case], None]] = {}


def case(rule: str) -> Callable[[Callable[[Case], None]], Callable[[Case], None]]:
    def add(check: Callable[[Case], None]) -> Callable[[Case], None]:
        CASES[rule] = check
        return check

    return add


def test_every_rule_has_a_case() -> None:
    assert rules() == list(CASES)
    assert len(rules()) == len(set(rules()))


@pytest.mark.parametrize("rule", rules() if PAGE.exists() else [])
def test_rule(rule: str, tmp_path: Path) -> None:
    CASES[rule](Case(tmp_path))


@case("a byte-order mark, or UTF-16 with one")
def _(make: Case) -> None:
    plain = columns()
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le"):
        mark = b"\xff\xfe" if encoding == "utf-16-le" else b""
        made = make.make(mark + text(plain).encode(encoding))
        np.testing.assert_allclose(made.feature(0), standardised(plain["x"], made), rtol=1e-6)


@case("text that is not UTF-8, such as cp1252")
def _(make: Case) -> None:
    make.refused(text(columns(place=["Zürich"] * ROWS)).encode("cp1252"), "not UTF-8", "cp1252", "save it as UTF-8")


@case("a spreadsheet, or a packed file")
def _(make: Case) -> None:
    make.refused(b"PK\x03\x04" + bytes(40), "spreadsheet or an archive", "CSV file")
    make.refused(b"\x1f\x8b" + bytes(40), "spreadsheet or an archive")


@case("another separator than declared")
def _(make: Case) -> None:
    make.refused(text(columns(), ";"), "--delimiter ';'", "--decimal ,")
    make.refused(text(columns(), "\t"), "--delimiter tab")
    make.refused(text(columns()), "--delimiter ,", delimiter="tab")
    make.refused(text(columns()), "write one of , ; tab", delimiter="|")
    for separator, given in ((";", {"delimiter": ";"}), ("\t", {"delimiter": "tab"}), ("\t", {"name": "t.tsv"})):
        assert make.make(text(columns(), separator), **given).file.info.image_shape == (2,)


@case("blanks around cells and names")
def _(make: Case) -> None:
    made = make.make(
        text(columns(sex=["m", " m ", "f", "f "] * (ROWS // 4))).replace(",x,", ", x ,"), features="x", common="sex"
    )
    assert made.labels("sex") == ["m", "m", "f", "f"] * (ROWS // 4)


@case("a comma, a quote or a line break inside quotes")
def _(make: Case) -> None:
    given = ['"a, b"', '"a ""b"""', '"a\nb"']
    made = make.make(text(columns(sex=given[:2] * (ROWS // 2))), common="sex")
    assert made.labels("sex") == ["a, b", 'a "b"'] * (ROWS // 2)
    made = make.make(text(columns(words=given * (ROWS // 3))), ignore="words")
    np.testing.assert_allclose(made.feature(0), standardised(columns()["x"], made), rtol=1e-6)


@case("quotes that are not closed")
def _(make: Case) -> None:
    make.refused(text(columns(sex=["m"] * ROWS)).replace(",m\n", ',"m\n', 1), "quotes", common="sex")


@case("a row with fewer or more fields than the header")
def _(make: Case) -> None:
    lines = text(columns()).splitlines()
    make.refused("\n".join([*lines[:4], "ill,1", *lines[4:]]), "line 5 has 2 fields", "header has 3")
    make.refused("\n".join([*lines[:4], "ill,1,2,3,4", *lines[4:]]), "line 5 has 5 fields", "header has 3")


@case("a separator at the end of all rows, but not of the header")
def _(make: Case) -> None:
    header, *lines = text(columns()).splitlines()
    make.refused(
        "\n".join([header, *(f"{line}," for line in lines)]), "line 2 has 4 fields", "let one end the header too"
    )


@case("row names without a column name, as R writes them")
def _(make: Case) -> None:
    header, *lines = text(columns()).splitlines()
    numbered = [f"r{row},{line}" for row, line in enumerate(lines)]
    make.refused("\n".join([header, *numbered]), "begin the header with a separator")
    made = make.make("\n".join([f",{header}", *numbered]))
    assert set(made.rows(lambda _, features: features)) == {f"r{row}" for row in range(ROWS)}


@case("empty rows and nameless empty columns at the edges")
def _(make: Case) -> None:
    made = make.make("".join(f"{line},,\n" for line in text(columns()).splitlines()) + ",,,,\n,,,,\n\n")
    assert made.file.info.image_shape == (2,)
    assert len(made.feature(0)) == ROWS


@case("an empty row among others")
def _(make: Case) -> None:
    lines = text(columns()).splitlines()
    make.refused("\n".join([*lines[:4], ",,", *lines[4:]]), "line 5 is empty")


@case("two columns of one name")
def _(make: Case) -> None:
    make.refused(text(columns()).replace(",y\n", ", x\n", 1), "two columns called 'x'")


@case("a column without a name (pandas' index), a value of its own in each row")
def _(make: Case) -> None:
    for header in ("", "Unnamed: 0"):
        made = make.make(text({header: [f"n{row}" for row in range(ROWS)], **columns()}))
        assert made.file.info.image_shape == (2,)
        assert set(made.rows(lambda _, features: features)) == {f"n{row}" for row in range(ROWS)}
        assert "'Unnamed: 0'" in made.said


@case("a column without a name that repeats values")
def _(make: Case) -> None:
    table = {"": [row % 30 for row in range(ROWS)], **columns()}
    make.refused(text(table), "without a name", "--ignore 'Unnamed: 0'")
    assert make.make(text(table), ignore="Unnamed: 0").file.info.image_shape == (2,)


@case("no such column, but a value of its own in each row of `--group`")
def _(make: Case) -> None:
    mice = [f"m{row // 3}_{row % 3}" for row in range(ROWS)]
    made = make.make(text(columns(mouse=mice)), group="mouse", group_until="_")
    assert set(made.rows(lambda _, features: features)) == set(mice)
    groups = {n: g for s in ("train", "test") for part in made.file.read_rows(s) for n, g in zip(*part, strict=True)}
    assert groups == {mouse: mouse.partition("_")[0] for mouse in mice}


@case("a column that is not declared")
def _(make: Case) -> None:
    table = columns(z=list(range(0, 2 * ROWS, 2)), sex=["m", "f"] * (ROWS // 2))
    assert make.make(text(table), common="sex").file.info.image_shape == (3,)
    for given in ({"ignore": "z"}, {"features": "x,y"}):
        made = make.make(text(table), common="sex", **given)
        assert made.file.info.image_shape == (2,)
        assert "Left out as features: z." in made.said
    make = Case(make.folder / "refused")
    make.folder.mkdir()
    make.refused(text(table), "--ignore 'zz'", "did you mean 'z'", ignore="zz", common="sex")
    make.refused(text(table), "'sex' is declared", ignore="sex", common="sex")
    make.refused(text(table), "no column left as a feature", ignore="x,y,z", common="sex")


@case("a pattern such as `'X*'` in `--ignore` or `--features`")
def _(make: Case) -> None:
    table = columns(sex=["m", "f"] * (ROWS // 2), s1=[1, 2, 4] * 20, s2=[1, 2, 5] * 20, S3=[1, 2, 6] * 20)
    table["s[1]"] = [1, 2, 7] * 20
    assert make.make(text(table), common="sex", ignore="s*").file.info.image_shape == (3,)
    assert make.make(text(table), common="sex", features="s?,x").file.info.image_shape == (3,)
    assert "Left out as features: s[1]." in make.make(text(table), common="sex", ignore="s[1]").said


@case("a name that holds a comma, in an option that lists names")
def _(make: Case) -> None:
    table = columns(**{'"Age [y], (now)"': list(range(ROWS)), "a/b": ["p", "q"] * (ROWS // 2)})
    made = make.make(text(table), common='"Age [y], (now)":real,a/b')
    assert [(a.name, a.kind) for a in made.file.info.attributes] == [("Age [y], (now)", "real"), ("a_b", "class")]
    assert make.make(text(table), ignore='"Age [y], (now)",a/b').file.info.image_shape == (2,)


@case("the column of `--population` or `--group`, declared as an attribute too")
def _(make: Case) -> None:
    table = columns(site=[f"s{row // 12}" for row in range(ROWS)])
    table["kind"] = ["healthy", "mild", "severe", "mild"] * (ROWS // 4)
    path = make.write("t.csv", text(table))
    declared = parse_columns(salient="kind", nuisance="site", group="site")
    choice = Choice("kind", ("healthy",), ("mild", "severe"))
    file = import_table(path, choice, make.folder / "made.h5", TableForm(), declared, Drawn())
    assert [a.classes for a in file.info.attributes if a.name == "kind"] == [("mild", "severe")]
    assert {group for part in file.read_rows("train") for group in part.groups} <= set(table["site"])


@case("two files whose features are in another order")
def _(make: Case) -> None:
    x, y = columns()["x"], columns()["y"]
    background, target = text({"x": x, "y": y}), {"x": np.add(x, 1), "y": np.add(y, 2)}
    made = [
        make.make_two(background, text({name: target[name] for name in order})).file.read("train").target.images.numpy()
        for order in (("x", "y"), ("y", "x"))
    ]
    np.testing.assert_array_equal(*made)
    assert (made[0][:, 0] != made[0][:, 1]).all()


@case("two files with other features")
def _(make: Case) -> None:
    table = {name: values for name, values in columns().items() if name != "kind"}
    other = {"x": table["x"], "why": table["y"]}
    make.two_refused(text(table), text(other), "b.csv lacks 'why'", "t.csv lacks 'y'")


@case("a number such as 5, -0.25, .5 or 1e-3")
def _(make: Case) -> None:
    given = ["5", "-0.25", ".5", "1e-3", "+2", "7.", "1E2", "0.1"] * 7 + ["3", "4", "6", "9"]
    made = make.make(text(columns(z=given)))
    np.testing.assert_allclose(made.feature(2), standardised([float(cell) for cell in given], made), rtol=1e-6)


@case("values with a large offset, such as Unix times")
def _(make: Case) -> None:
    small = np.random.default_rng(1).uniform(0, 1, (2, ROWS)).round(6)
    times, offset = [f"{1_700_000_000 + x:.6f}" for x in small[0]], [f"{1_000_000 + x / 1000:.9f}" for x in small[1]]
    made = make.make(text(columns(time=times, offset=offset)))
    np.testing.assert_allclose(made.feature(2), standardised(small[0], made), atol=1e-5)
    np.testing.assert_allclose(made.feature(3), standardised(small[1], made), atol=1e-5)


@case("true or false among numbers")
def _(make: Case) -> None:
    made = make.make(text(columns(z=["True", "FALSE", "true", "true"] * 15)))
    np.testing.assert_allclose(made.feature(2), standardised([1, 0, 1, 1] * 15, made), rtol=1e-6)


@case("an empty cell")
def _(make: Case) -> None:
    made = make.make(
        text(columns(z=["", 1, 2] * 20, sex=["m", "", "f"] * 20, age=["", 1, 2] * 20)), common="sex,age:real"
    )
    np.testing.assert_allclose(made.feature(2), standardised([np.nan, 1, 2] * 20, made), rtol=1e-6)
    assert made.labels("sex") == ["m", "", "f"] * 20
    ages = made.rows(lambda attributes, _: attributes["age"])
    assert np.isnan(ages["1"])
    assert ages["2"] == 1


@case("NA, N/A, NaN, None, NULL, `?`, `-`, `.`, `#DIV/0!` and the like among numbers")
def _(make: Case) -> None:
    marks = ["NA", "n/a", "NaN", "none", "NULL", "?", "-", ".", "#DIV/0!", "<NA>", "-1.#IND", "#N/A N/A", "nan"]
    made = make.make(text(columns(z=[*marks, *range(ROWS - len(marks))])))
    assert np.isnan(made.feature(2)).tolist() == [True] * len(marks) + [False] * (ROWS - len(marks))
    assert "13 of 180 values are missing (7.2%), in 1 of 3 features, most in z (13 of 60)" in made.said


@case("one of these texts, missing, unknown, or a number such as -9 or -999, as a label or group")
def _(make: Case) -> None:
    for mark in ("NA", "None", "nan", "unknown", "?", "-", "missing", "n.a.", "-9", "-999.0"):
        table = columns(dose=["high", mark, "low"] * 20)
        make.refused(text(table), "dose of row 5 of", repr(mark), "--missing", '--missing ""', common="dose")
        make.refused(text(table), repr(mark), group="dose")
    made = make.make(text(columns(dose=["NA", "high", "NA", "low"] * 15)), salient="dose")
    assert set(made.labels("dose")) == {"", "high", "low"}  # background rows of a salient column are not asked about


@case("`--missing A,B`")
def _(make: Case) -> None:
    table = columns(z=["x1", 1, 2] * 20, dose=["NA", "x1", "low"] * 20)
    made = make.make(text(table), common="dose", missing="x1,-9")
    assert np.isnan(made.feature(2)).sum() == 20
    assert made.labels("dose") == ["NA", "", "low"] * 20
    (make.folder / "made.h5").unlink()
    make.refused(text(with_cell(table, "x", "NA")), "x of row 7 of", "'NA'", common="dose", missing="x1")


@case('`--missing ""`')
def _(make: Case) -> None:
    made = make.make(text(columns(dose=["None", "", "low"] * 20)), common="dose", missing="")
    assert made.labels("dose") == ["None", "", "low"] * 20


@case("-9, -99, -999, -9999, 99, 999 or 9999, repeated and far outside the rest")
def _(make: Case) -> None:
    table = columns(
        z=[-999, *range(9)] * 6, age=[999, *range(20, 29)] * 6, w=[99, *range(90, 99)] * 6, v=[-9, *range(1, 60)]
    )
    made = make.make(text(table), common="age:real")
    assert "'z' is -999 in 6 rows" in made.said
    assert "--missing -999" in made.said
    assert "'age' is 999 in 6 rows" in made.said
    assert not re.search("'[wv]' is", made.said)
    assert made.feature(1).min() > -10
    again = make.make(text(table), common="age:real", missing="-999,999")
    assert np.isnan(again.feature(2)).sum() == 6


@case("infinite numbers, or too large for single precision")
def _(make: Case) -> None:
    for cell in ("inf", "-Inf", "infinity"):
        make.refused(text(with_cell(columns(), "x", cell)), "x of row 7 of", repr(cell), "infinite")
    for cell in ("1e39", "1e400", "-9e99"):
        make.refused(text(with_cell(columns(), "x", cell)), "x of row 7 of", "too large")


@case("a decimal comma")
def _(make: Case) -> None:
    table = columns()
    commas = {name: [str(cell).replace(".", ",") for cell in values] for name, values in table.items()}
    make.refused(text(commas, ";"), "has a decimal comma", "declare it with --decimal ,", delimiter=";")
    make.refused(text(commas, ";"), "needs another --delimiter", delimiter=",", decimal=",")
    made = make.make(text(commas, ";"), delimiter=";", decimal=",")
    np.testing.assert_allclose(made.feature(0), standardised(table["x"], made), rtol=1e-6)
    made = make.make(text({**commas, "age": commas["x"]}, ";"), delimiter=";", decimal=",", common="age:real")
    ages = made.rows(lambda attributes, _: attributes["age"])
    assert [ages[str(row + 1)] for row in range(ROWS)] == table["x"]


@case("a decimal point, with `--decimal ,`")
def _(make: Case) -> None:
    make.refused(text(columns(), ";"), "has a decimal point", "--decimal .", delimiter=";", decimal=",")


@case("marks of thousands, such as 1,234 or 1 000")
def _(make: Case) -> None:
    for cell in ('"1,234"', '"1,234.5"', "1 000", "12'345", "1.234.567"):
        make.refused(text(with_cell(columns(), "x", cell)), "x of row 7 of", "of thousands")
    for cell in ("1.234", "1.234,5"):
        make.refused(
            text(with_cell({"kind": columns()["kind"], "x": [1] * ROWS}, "x", cell), ";"),
            "of thousands",
            delimiter=";",
            decimal=",",
        )


@case("any other text among numbers")
def _(make: Case) -> None:
    for cell in ("two", "1_000", "0x1f", "٣", "50%", "1+2j"):
        make.refused(text(with_cell(columns(), "x", cell)), "x of row 7 of", repr(cell), "--ignore x")
        make.refused(text(with_cell(columns(), "x", cell)), "x of row 7 of", "real attribute", common="x:real")
    make.refused(text(columns(a=["p"] * ROWS, b=["q"] * ROWS)), "a of row 1", "--ignore a,b")
    many = {f"a{number}": ["p"] * ROWS for number in range(9)}
    make.refused(text(columns(**many)), "a7 and 1 more with --ignore and patterns such as 'X*', or declare 'a0' with")
    make.refused(text(with_cell(columns(), "x", "missing")), "--missing missing")


@case("codes such as 001, 1E5 or 16 digits, as label or group")
def _(make: Case) -> None:
    codes = ["001", "1E5", "9007199254740993", "9007199254740992"] * 15
    made = make.make(text(columns(plate=codes, who=codes)), common="plate", group="who")
    assert made.labels("plate") == codes
    assert {group for s in ("train", "test") for part in made.file.read_rows(s) for group in part.groups} == set(codes)


@case(
    "labels that differ in case, are the same number or a short form, such as Male and male, 1 and 1.0, y and yes, or "
    "only look alike, as with a Cyrillic letter"
)
def _(make: Case) -> None:
    alike = (("male", "m\u0430le"), ("male", "male\u3164"))
    for one, other in (
        ("Male", "male"),
        ("1", "1.0"),
        ("a b", "a  B"),
        ("01", "1"),
        ("y", "yes"),
        ("1", "True"),
        *alike,
    ):
        make.refused(text(columns(sex=[one, other] * 30)), repr(one), repr(other), "one class", common="sex")
    make.refused(text({**columns(), "kind": ["healthy", "ill", "Ill"] * 20}), "'ill'", "'Ill'")


@case(
    "groups that differ in case, are the same number, such as A1 and a1, 3 and 3.0, or only look alike, in one file or "
    "two"
)
def _(make: Case) -> None:
    for one, other in (("3", "3.0"), ("3", "03"), ("100000", "1E5"), ("A1", "a1"), ("A1", "\u04101")):
        make.refused(text(columns(who=[one, other] * 30)), repr(one), repr(other), "one group", group="who")
        table = {name: values for name, values in columns().items() if name != "kind"}
        tables = (text({**table, "who": [who] * ROWS}) for who in (one, other))
        make.two_refused(
            *tables, f"who is {one!r} in row 1 of {make.folder}/b.csv", f"{other!r} in row 1 of", group="who"
        )
    made = make.make(text(columns(who=["A1", "A2", "01", "12", "b", "c"] * 10)), group="who")
    assert len({group for s in ("train", "test") for part in made.file.read_rows(s) for group in part.groups}) == 6


@case("more than 20 classes, all of them numbers")
def _(make: Case) -> None:
    made = make.make(text(columns(age=list(range(20, 50)) * 2)), common="age")
    assert len(re.findall(r"\bage\b", made.said.replace("age:real", ""))) == 1
    assert "age has 30 classes, all of them numbers" in made.said
    assert "age:real" in made.said


@case("a class of which nearly every row has another")
def _(make: Case) -> None:
    make.refused(
        text(columns(age=[row + 0.5 for row in range(ROWS)])), "too many for classes", "age:real", common="age"
    )


@case("a number that stands for a class, such as 1 to 5 for sites, not declared")
def _(make: Case) -> None:
    table = columns(site=[1, 2, 3, 4, 5] * 12)
    assert make.make(text(table)).file.info.image_shape == (3,)
    assert make.make(text(table), nuisance="site").labels("site") == list("12345") * 12


@case("an identifier among the features, or the number of the row")
def _(make: Case) -> None:
    for name in ("id", "subject", "PatientID", "sample_no", "mouse"):
        made = make.make(text(columns(**{name: [7 * row % 50 for row in range(ROWS)]})))
        assert f"{name!r} is among the features" in made.said
        assert f"--ignore {name}" in made.said
    assert "'nr' numbers the rows" in make.make(text(columns(nr=list(range(1, ROWS + 1))))).said
    assert "among the features" not in make.make(text(columns(lipid=[7 * row % 50 for row in range(ROWS)]))).said


@case("identifiers that repeat, or share what stands before `_`, and no `--group`")
def _(make: Case) -> None:
    mice = [f"m{row // 3}_{row % 3}" for row in range(ROWS)]
    assert "--group 'Unnamed: 0' --group-until _" in make.make(text({"": mice, **columns()})).said
    assert "--group mouse --group-until _" in make.make(text(columns(mouse=mice)), ignore="mouse").said
    assert "--group-until _" in make.make(text(columns(mouse=mice)), group="mouse").said
    repeated = [f"s{row // 2}" for row in range(ROWS)]
    assert "import again with --group subject." in make.make(text(columns(subject=repeated)), ignore="subject").said
    for apart in ([f"row_{row}" for row in range(ROWS)], [f"{'ab'[row % 2]}_{row}" for row in range(ROWS)]):
        assert "belong together" not in make.make(text(columns(subject=apart)), ignore="subject").said
    (make.folder / "made.h5").unlink()
    make.refused(text(columns(mouse=mice)), "declare 'mouse' with --group mouse --group-until _")


@case("a long table: identifier, variable, value")
def _(make: Case) -> None:
    table = {"who": [f"s{row // 3}" for row in range(ROWS)], "gene": ["a", "b", "c"] * 20, "level": list(range(ROWS))}
    kinds = {"kind": [("healthy", "ill")[row // 3 % 2] for row in range(ROWS)]}
    pivot = "table.pivot(index='who', columns='gene', values='level')"
    make.refused(text({**kinds, **table}), pivot, group="who")
    numbered = {**table, "who": [row // 3 for row in range(ROWS)]}
    make.refused(text({**kinds, **numbered}), pivot)


@case("features that are equal in every row")
def _(make: Case) -> None:
    table = columns()
    made = make.make(text({**table, "z": table["x"], "w": [1] * ROWS, "v": [1] * ROWS}))
    assert made.file.info.image_shape == (5,)
    assert "count twice: x and z." in made.said


@case("features that tell an attribute, or background from target, in every row")
def _(make: Case) -> None:
    noise = np.random.default_rng(3).normal(size=ROWS).round(3)
    table = columns(sex=["m", "f"] * 30, age=list(noise * 2), site=list("abc") * 20)
    table |= {"told": [row % 2 * 100 + noise[row] for row in range(ROWS)], "code": [5, 3, 4] * 20, "same": list(noise)}
    made = make.make(text(table), common="sex,age:real,site")
    assert "tell background from target in every row: told;" in made.said
    assert "tell 'sex' in every row: told;" in made.said
    assert "tell 'age' in every row: same;" in made.said
    assert "tell 'site' in every row: code;" in made.said
    assert made.file.info.image_shape == (5,)
    few = {name: list(values)[:6] for name, values in columns(told=[0, 1] * 30).items()}
    assert "by themselves" not in make.make(text(few)).said


@case("features that are constant, or unknown, in all training rows")
def _(make: Case) -> None:
    folds = ["train"] * 40 + ["test"] * 20
    made = make.make(text(columns(z=["0.1"] * ROWS, w=[""] * 40 + list(range(20)), fold=folds)), split="fold")
    assert "Features that have no value in the training split, and are 0 everywhere: w." in made.said
    assert "Features that have one and the same value in the training split, and are 0 everywhere: z." in made.said
    assert not made.feature(2).any()
    assert not made.feature(3).any()


@case("features called like dates, as spreadsheets call the gene SEPT2")
def _(make: Case) -> None:
    numbers = columns()
    made = make.make(
        text({"kind": numbers["kind"], "2-Sep": numbers["x"], "Mar-01": numbers["y"], "IL-2": [1, 2, 4] * 20})
    )
    assert "called like dates (2-Sep, Mar-01)" in made.said


@case("rows that are equal in background and target")
def _(make: Case) -> None:
    made = make.make(text({"kind": columns()["kind"], "x": [0, 0, 1, 2] * 15, "y": [1, 1, 0, 3] * 15}))
    assert "15 of 30 target rows have the same features as a background row" in made.said


@case("rows whose `--population` is another value")
def _(make: Case) -> None:
    made = make.make(text({**columns(), "kind": ["healthy", "ill", "carrier", ""] * 15}))
    assert "15 rows are left out, as 'kind' is 'carrier'." in made.said
    assert "15 rows are left out, as 'kind' is empty." in made.said
    assert len(made.feature(0)) == 30


@case("a salient column that background lacks, or fills")
def _(make: Case) -> None:
    table = {name: values for name, values in columns().items() if name != "kind"}
    target = {
        **{name: [float(cell) + 1 for cell in values] for name, values in table.items()},
        "stage": ["a", "b"] * 30,
    }
    for background in (table, {**table, "stage": ["c", "d"] * 30}):
        made = make.make_two(text(background), text(target), salient="stage")
        assert made.file.info.attributes[0].classes == ("a", "b")
        assert all((made.file.read(split).background.attributes["stage"] == -1).all() for split in ("train", "test"))
