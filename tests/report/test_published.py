"""Figures from papers: what their file may hold, and which of our scores they are set beside."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from scipy import stats

from cabench.errors import UserError
from cabench.evaluation.score import Score
from cabench.experiment.record import Record
from cabench.report.markdown import markdown
from cabench.report.published import COLUMNS, Published, beside_published, read_published
from cabench.report.summary import sections
from cabench.report.tables import NO_SCORE, Entry, Header, Line, Table

MakeScore = Callable[..., Score]
MakeRecord = Callable[..., Record]
CommandLine = Callable[..., subprocess.CompletedProcess[str]]

HEADER = ",".join(COLUMNS)
GOOD = "cifar_mnist,sepclr,mmcvae,salient,digit,accuracy,0.95,0.01,Table 1"
FIGURE = Published("cifar_mnist", "sepclr", "mmcvae", "salient", "digit", "accuracy", 0.95, 0.01, "Table 1")


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Writes lines into a file."""

    def write(*lines: str) -> Path:
        path = tmp_path / "published.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture
def ours(make_score: MakeScore, make_record: MakeRecord) -> list[Record]:
    """Two seeds on `cifar_mnist`, with SepCLR's protocol."""

    def scores(value: float) -> tuple[Score, ...]:
        return (make_score("common", 0.2, "accuracy"), make_score("salient", value, "accuracy"))

    return [
        make_record(seed, dataset__label="cifar_mnist", protocols={"sepclr": scores(value)})
        for seed, value in enumerate([0.9, 0.94])
    ]


def tables(records: Sequence[Record], *figures: Published) -> list[Table]:
    (section,) = sections(records)
    return beside_published(section, figures)


def only_table(records: Sequence[Record], *figures: Published) -> Table:
    (table,) = tables(records, *figures)
    return table


def shown(line: Line) -> tuple[Entry, ...]:
    """A line's cells as readers see them."""
    return tuple(cell._replace(values=()) for cell in line.entries)


class TestReading:
    def test_figures_are_read_as_they_stand(self, file: Callable[..., Path]) -> None:
        path = file(HEADER, GOOD, 'cifar_mnist,sepvae,cvae,common,object,accuracy,0,,"NA, Table 2"')

        assert read_published(path) == [
            FIGURE,
            Published("cifar_mnist", "sepvae", "cvae", "common", "object", "accuracy", 0.0, None, "NA, Table 2"),
        ]

    def test_a_file_without_figures_is_read(self, file: Callable[..., Path]) -> None:
        assert read_published(file(HEADER)) == []

    @pytest.mark.parametrize("value", ["95", "-0.1", "1.01", "nan", "inf", "high", "95 %"])
    @pytest.mark.parametrize("name", ["value", "spread"])
    def test_a_number_that_is_no_fraction_is_named_with_its_line(
        self, file: Callable[..., Path], name: str, value: str
    ) -> None:
        cells = GOOD.split(",")
        cells[COLUMNS.index(name)] = value
        path = file(HEADER, GOOD, ",".join(cells))

        with pytest.raises(UserError, match=re.escape(f"{path}, line 3: {name} {value!r} is not a fraction")):
            read_published(path)

    @pytest.mark.parametrize(("name", "allowed"), [("protocol", "double-infogan"), ("space", "common, salient")])
    def test_an_unknown_protocol_or_space_is_named_with_those_that_there_are(
        self, file: Callable[..., Path], name: str, allowed: str
    ) -> None:
        cells = GOOD.split(",")
        cells[COLUMNS.index(name)] = "nobody's"
        path = file(HEADER, ",".join(cells))

        with pytest.raises(UserError, match=re.escape(f'{path}, line 2: {name} "nobody\'s" is not one of')) as error:
            read_published(path)
        assert allowed in str(error.value)

    @pytest.mark.parametrize("name", ["value", "source"])
    def test_a_figure_without_a_value_or_a_source_is_refused(self, file: Callable[..., Path], name: str) -> None:
        cells = GOOD.split(",")
        cells[COLUMNS.index(name)] = ""
        path = file(HEADER, GOOD, GOOD, ",".join(cells))

        with pytest.raises(UserError, match=re.escape(f"{path}, line 4: a figure needs a value and the source")):
            read_published(path)

    @pytest.mark.parametrize("name", COLUMNS)
    def test_a_missing_column_is_refused(self, file: Callable[..., Path], name: str) -> None:
        index = COLUMNS.index(name)
        path = file(*(",".join(c for i, c in enumerate(line.split(",")) if i != index) for line in (HEADER, GOOD)))

        with pytest.raises(UserError, match=re.escape(f"{path} has the columns")) as error:
            read_published(path)
        assert str(error.value).endswith(f"it takes {', '.join(COLUMNS)}.")

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\x89PNG\r\n\x1a\n\x00\xff",
            b'{"figures": []}',
            f'{HEADER}\n"open'.encode(),
            f"{HEADER}\na,b\n{GOOD},x".encode(),
        ],
        ids=["empty", "binary", "json", "open quote", "ragged"],
    )
    def test_what_is_no_such_table_is_one_clear_error(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "published.csv"
        path.write_bytes(content)

        with pytest.raises(UserError, match=re.escape(str(path))):
            read_published(path)

    @pytest.mark.parametrize("line", [f"{GOOD},more", GOOD.rpartition(",")[0], "cifar_mnist"])
    def test_lines_of_another_length_are_refused(self, file: Callable[..., Path], line: str) -> None:
        path = file(HEADER, line)

        with pytest.raises(UserError, match=re.escape(f"{path}, line 2")):
            read_published(path)

    def test_a_file_that_is_not_there_is_one_clear_error(self, tmp_path: Path) -> None:
        for path in (tmp_path / "missing.csv", tmp_path):
            with pytest.raises(UserError, match=re.escape(f"{path} cannot be read as CSV")):
                read_published(path)

    def test_command_line_says_it_without_a_traceback(
        self, file: Callable[..., Path], tmp_path: Path, cabench_here: CommandLine
    ) -> None:
        (tmp_path / "runs").mkdir()
        path = file(HEADER, GOOD.replace("0.95", "95"))

        result = cabench_here("report", "--results", "runs", "--published", path.name)

        assert result.returncode == 2
        assert "published.csv, line 2: value '95' is not a fraction" in " ".join(result.stderr.split())
        assert "Traceback" not in result.stderr


class TestBeside:
    def test_ours_and_theirs_stand_in_one_table_in_percent(self, ours: list[Record]) -> None:
        table = only_table(ours, FIGURE)

        half = 100 * stats.t.ppf(0.975, 1) * stats.sem([0.9, 0.94])
        assert table.title == "Under the protocol of SepCLR (Louiset et al., ICLR 2024)"
        assert table.headers == (Header("digit (accuracy)", "common", "↓"), Header("digit (accuracy)", "salient", "↑"))
        assert [(line.name, shown(line)) for line in table.lines] == [
            ("pca", (Entry("20.0", "0.0"), Entry("92.0", f"{half:.1f}"))),
            ("mmcvae, as printed in Table 1", (Entry(NO_SCORE), Entry("95.0", "1.0"))),
        ]
        assert table.yardsticks == {"chance": ("12.0", "12.0")}

    @pytest.mark.parametrize("change", [{"dataset": "celeba"}, {"protocol": "sepvae"}], ids=["data set", "protocol"])
    def test_figures_of_another_data_set_or_protocol_are_left_out(
        self, ours: list[Record], change: dict[str, str]
    ) -> None:
        assert only_table(ours, FIGURE._replace(**change)) == only_table(ours)

    @pytest.mark.parametrize(
        "change",
        [{"space": "common"}, {"attribute": "object"}, {"metric": "balanced_accuracy"}],
        ids=lambda c: next(iter(c)),
    )
    def test_figures_are_set_under_scores_of_the_same_space_attribute_and_metric(
        self, ours: list[Record], change: dict[str, str]
    ) -> None:
        theirs = only_table(ours, FIGURE._replace(**change)).lines[-1]

        assert theirs.entries[1] == Entry(NO_SCORE)

    def test_records_without_a_protocol_have_no_such_table(self, make_record: MakeRecord) -> None:
        assert tables([make_record(dataset__label="cifar_mnist")], FIGURE) == []

    def test_every_protocol_has_a_table_of_the_methods_that_were_scored_by_it(
        self, ours: list[Record], make_score: MakeScore, make_record: MakeRecord
    ) -> None:
        score = make_score(value=0.5, metric="accuracy")
        other = make_record(gap=0.9, dataset__label="cifar_mnist", method__label="b", protocols={"sepvae": (score,)})

        found = tables([*ours, other], FIGURE)

        assert [[line.name for line in table.lines] for table in found] == [
            ["pca", "mmcvae, as printed in Table 1"],
            ["b"],
        ]

    def test_figures_of_one_method_and_source_share_a_line_and_others_do_not(self, ours: list[Record]) -> None:
        common = FIGURE._replace(space="common", value=0.3, spread=None)

        table = only_table(ours, FIGURE, common, FIGURE._replace(source="Table 9", value=0.7))

        assert [(line.name, shown(line)) for line in table.lines[1:]] == [
            ("mmcvae, as printed in Table 1", (Entry("30.0"), Entry("95.0", "1.0"))),
            ("mmcvae, as printed in Table 9", (Entry(NO_SCORE), Entry("70.0", "1.0"))),
        ]

    def test_stale_records_say_so(self, ours: list[Record]) -> None:
        stale = [Record(**{**vars(record), "method": {**record.method, "version": -1}}) for record in ours]

        assert [line.stale for line in only_table(stale, FIGURE).lines] == [True, False]

    def test_the_report_shows_them(self, ours: list[Record]) -> None:
        assert "mmcvae, as printed in Table 1" in markdown(ours, [FIGURE])
        assert "as printed" not in markdown(ours)
