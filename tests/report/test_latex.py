"""The LaTeX report: what it says, that its parts balance, and that LaTeX takes it."""

from __future__ import annotations

import re
import shutil
import string
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cabench.evaluation.score import Score
from cabench.experiment.record import Record
from cabench.report.latex import escape, latex
from cabench.report.published import Published

MakeScore = Callable[..., Score]
MakeRecord = Callable[..., Record]
MakeRecords = Callable[..., list[Record]]

SPECIAL = "\\{}$&#%_^~<>|"
OURS = "↑↓²±–"
ODD_NAMES = [SPECIAL, "[x](y)", "*b*", "a & b \\\\ c", "two\nlines", "100 % \\end{table}", "``q''", "-", "naïve"]
GAPS = {"best": [0.10, 0.11, 0.12], "close": [0.11, 0.12, 0.14], "far": [0.60, 0.62, 0.61]}
ARTICLE = (
    "\\documentclass{article}\n\\usepackage{booktabs}\n\\usepackage{graphicx}\n\\begin{document}\n%s\n\\end{document}\n"
)

needs_latex = pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="there is no pdflatex on PATH (Debian: texlive-latex-recommended)"
)


@pytest.fixture
def odd_records(make_score: MakeScore, make_record: MakeRecord, make_failed: MakeRecord) -> list[Record]:
    """Three seeds of a method for every odd name; it is also the name of an attribute, a source and a data set."""
    name = " ".join(ODD_NAMES)
    scores = tuple(
        make_score(space, 0.5, metric, attribute=attribute)
        for attribute in ODD_NAMES
        for space in ("common", "salient")
        for metric in ("balanced_accuracy", "norm_ratio", "kmeans_ari", "knn_balanced_accuracy")
    )
    usual = {
        "dataset__label": name,
        "dataset__sources": [name],
        "profile": name,
        "scores": scores,
        "protocols": {"sepclr": scores[:2]},
    }
    records = [
        make_record(seed, gap=index / 10 + seed**2 / 100, method__label=label, **usual)
        for index, label in enumerate(ODD_NAMES)
        for seed in range(3)
    ]
    return [*records, make_failed(3, **{**usual, "method__label": "[failed", "scores": (), "protocols": {}})]


@pytest.fixture
def odd_figures() -> list[Published]:
    """A printed figure that belongs beside `odd_records`."""
    name = " ".join(ODD_NAMES)
    return [Published(name, "sepclr", name, "salient", ODD_NAMES[0], "balanced_accuracy", 0.5, None, name)]


def bare(text: str) -> str:
    """Text without escapes, commands and mathematics."""
    return re.sub(r"\\text[a-z]+\{\}|\\[&%$#_{}]|\$[^$]*\$|\{[\[*]\}", "", text)


def depth_at_end(text: str) -> int:
    """How many braces are still open; fails where one is closed that was not opened."""
    depth = 0
    for brace in re.findall(r"[{}]", re.sub(r"%[^\n]*", "", re.sub(r"\\[\\&%$#_{}]", "", text))):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    return depth


def widths(tabular: str) -> set[int]:
    """How many columns the rows of a table take."""
    rows = [line for line in tabular.splitlines() if line.endswith(r" \\")]
    return {
        sum(int(found[1]) if (found := re.match(r"\\multicolumn\{(\d+)\}", cell)) else 1 for cell in row.split(" & "))
        for row in rows
    }


def compile_pdf(folder: Path, body: str) -> Path:
    """Compile a body in an article; fails with what LaTeX says."""
    (folder / "article.tex").write_text(ARTICLE % body, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "article.tex"]
    result = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=120, check=False
    )
    assert result.returncode == 0, result.stdout[-3000:]
    return folder / "article.pdf"


class TestEscape:
    @pytest.mark.parametrize("character", SPECIAL + OURS + "[*")
    def test_no_special_character_stays_bare(self, character: str) -> None:
        escaped = escape(f"a{character}b")

        assert escaped not in ("ab", f"a{character}b")
        assert bare(escaped) in ("ab", "a--b")
        assert depth_at_end(escaped) == 0

    def test_other_characters_stay_as_they_are(self) -> None:
        plain = "".join(c for c in string.printable if c not in SPECIAL + "[*" and not c.isspace())

        assert escape(plain) == plain

    def test_text_becomes_one_line(self) -> None:
        assert escape(" a\n\n b\tc ") == "a b c"

    def test_every_character_is_told_apart(self) -> None:
        characters = [*SPECIAL, *OURS, *"[*"]

        assert len({escape(character) for character in characters}) == len(characters)


class TestStructure:
    def test_braces_and_environments_balance(self, odd_records: list[Record], odd_figures: list[Published]) -> None:
        text = latex(odd_records, odd_figures)
        opened: list[str] = []
        for kind, name in re.findall(r"(?<!\\)\\(begin|end)\{(\w+)\}", text.replace(r"\\", "")):
            if kind == "begin":
                opened.append(name)
            else:
                assert opened.pop() == name

        assert opened == []
        assert depth_at_end(text) == 0
        assert text.count(r"\begin{table}") == 5

    def test_all_rows_of_a_table_have_its_columns(
        self, odd_records: list[Record], odd_figures: list[Published]
    ) -> None:
        found = re.findall(r"\\begin\{tabular\}\{(l?r*)\}(.*?)\\end\{tabular\}", latex(odd_records, odd_figures), re.S)

        assert [widths(body.replace(r"\&", "")) for _, body in found] == [{len(columns)} for columns, _ in found]
        assert len(found) == 5

    def test_groups_span_their_columns(self, make_record: MakeRecord) -> None:
        lines = latex([make_record()]).splitlines()
        rule = lines.index(r"\cmidrule(lr){2-4}")

        assert lines[rule - 1].endswith(r"\multicolumn{3}{c}{digit} \\")
        assert lines[rule + 1] == r"method & salient $\uparrow$ & common $\downarrow$ & common, AUC $\downarrow$ \\"

    def test_yardsticks_stand_below_a_rule(self, make_record: MakeRecord) -> None:
        assert (
            "\\midrule\n\\textit{chance} & 10.0 & 10.0 & 50.0 \\\\\n\\textit{ideal} & 100.0 & 10.0 & 50.0 \\\\\n"
            "\\textit{test images} & 450 & 450 & 450 \\\\\n\\bottomrule" in latex([make_record()])
        )

    def test_no_records_make_no_table(self) -> None:
        assert latex([]) == "% Needs \\usepackage{booktabs} and \\usepackage{graphicx}."


class TestMarks:
    def row(self, text: str, name: str) -> str:
        return next(line for line in text.splitlines() if line.startswith(f"{name} &"))

    def test_what_may_be_the_best_is_bold(self, make_records: MakeRecords) -> None:
        text = latex(make_records(GAPS))

        assert self.row(text, "best").startswith(r"best & \textbf{0.110 $\pm$ 0.0")
        assert self.row(text, "close").startswith(r"close & \textbf{0.123 $\pm$ 0.0")
        assert self.row(text, "far").startswith(r"far & 0.610 $\pm$ 0.0")

    def test_captions_say_what_bold_means_and_what_follows(self, make_records: MakeRecords) -> None:
        text = latex(make_records(GAPS))

        captions = re.findall(r"\\caption\{.*", text)
        assert all("methods is the best of those compared" in caption for caption in captions)
        assert "best has the smallest separation gap" in captions[0]
        assert "underline" not in text

    def test_shown_leaks_have_a_star(self, make_score: MakeScore, make_record: MakeRecord) -> None:
        leak = make_score("common", 0.8, "auc", p_familywise=0.01, p_smallest=0.001)

        assert "& 80.0$^*$" in latex([make_record(scores=(make_score(), leak))])

    def test_stale_rows_say_so(self, make_record: MakeRecord) -> None:
        assert "pca (stale) &" in latex([make_record(method__version=-1)])


class TestCompilation:
    @needs_latex
    def test_report_with_every_kind_of_table_and_odd_names_compiles(
        self, odd_records: list[Record], odd_figures: list[Published], tmp_path: Path
    ) -> None:
        assert compile_pdf(tmp_path, latex(odd_records, odd_figures)).stat().st_size > 0
