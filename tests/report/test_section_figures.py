"""The figures of a results folder: which there are, what they are called, and that they show what the records say."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from subprocess import CompletedProcess
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

import cabench
from cabench import discovery
from cabench.data.drawing import labelled_rows
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.pictures.generation import ROWS
from cabench.report.cell_files import read_picture
from cabench.report.figures import can_draw_png, png, standing_alone
from cabench.report.grid_figure import grid_figure
from cabench.report.quantities import leaked_of, wanted_of
from cabench.report.row_values import interval_of, over_seeds
from cabench.report.section_figures import section_figures
from cabench.report.summary import sections

MakeRecord = Callable[..., Record]
MakeRecords = Callable[..., list[Record]]
CommandLine = Callable[..., CompletedProcess[str]]

PUBLISHED = Path(cabench.__file__).parent.parent / "results" / "published"


def texts(chart: str, kind: str) -> list[ElementTree.Element]:
    return [text for text in ElementTree.fromstring(chart).iter("text") if text.get("class") == kind]


def scales(chart: str) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """What a place across and a place upwards stand for, from the axes' labels, which stand 4 below their lines."""
    ticks = [(text.text, float(text.get("x", "")), float(text.get("y", ""))) for text in texts(chart, "tick")]
    across = {words: x for words, x, y in ticks if y == max(other[2] for other in ticks)}
    up = {words: y - 4 for words, x, y in ticks if x == min(other[1] for other in ticks)}

    def scale(places: Mapping[str | None, float]) -> Callable[[float], float]:
        return lambda place: (place - places["0 %"]) / (places["100 %"] - places["0 %"])

    return scale(across), scale(up)


def shown(chart: str) -> dict[str, dict[str, tuple[float, ...]]]:
    """By method, its point and the ends of its intervals, read from the picture."""
    x_of, y_of = scales(chart)
    found = {}
    for group in ElementTree.fromstring(chart).iter("g"):
        point = group.findall("circle")[-1]
        place: dict[str, tuple[float, ...]] = {
            "point": (x_of(float(point.get("cx", ""))), y_of(float(point.get("cy", ""))))
        }
        for line in group.findall("line"):
            ends = [float(line.get(name, "")) for name in ("x1", "x2", "y1", "y2")]
            if ends[2] == ends[3]:
                place["across"] = tuple(map(x_of, ends[:2]))
            else:
                place["up"] = tuple(sorted(map(y_of, ends[2:])))
        found[group.findtext("title") or ""] = place
    return found


class TestChart:
    def test_points_and_intervals_stand_where_the_numbers_say(self, make_records: MakeRecords, tmp_path: Path) -> None:
        records = make_records({"first": [0.1, 0.14, 0.12], "second": [0.4, 0.3, 0.35], "third": [0.6, 0.62, 0.61]})
        (chart,) = section_figures(records, tmp_path).values()
        drawn = shown(chart)
        (section,) = sections(records)
        assert drawn.keys() == {row.name for row in section.rows}
        for row in section.rows:
            for index, (quantity, kind) in enumerate(((leaked_of, "across"), (wanted_of, "up"))):
                mean, interval = float(np.mean(over_seeds(row, quantity))), interval_of(row, quantity)
                assert interval is not None
                ends = (mean - interval.half_width, mean + interval.half_width)
                assert drawn[row.name]["point"][index] == pytest.approx(mean, abs=3e-4)
                assert drawn[row.name][kind] == pytest.approx(np.clip(ends, 0, 1), abs=3e-4)

    def test_methods_without_intervals_are_points_alone(self, make_records: MakeRecords, tmp_path: Path) -> None:
        """One seed has none, nor have records that do not say what test images add."""
        records = [replace(r, contributions=None) for r in make_records({"a": [0.1, 0.2], "b": [0.3]})]
        (chart,) = section_figures(records, tmp_path).values()
        assert {name: list(place) for name, place in shown(chart).items()} == {"a": ["point"], "b": ["point"]}

    def test_one_method_has_a_chart(self, make_record: MakeRecord, tmp_path: Path) -> None:
        (chart,) = section_figures([make_record()], tmp_path).values()
        assert [name.text for name in texts(chart, "name")] == ["pca"]

    def test_nothing_has_no_figures(self, make_failed: MakeRecord, tmp_path: Path) -> None:
        assert section_figures([], tmp_path) == {}
        assert section_figures([make_failed()], tmp_path) == {}

    @pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published records are not here")
    def test_names_of_the_published_table_do_not_overlap(self) -> None:
        figures = section_figures(ResultsStore(PUBLISHED).records(), PUBLISHED)
        charts = {name: chart for name, chart in figures.items() if name.endswith("-wanted-leaked")}
        assert charts
        for chart in charts.values():
            names = texts(chart, "name")
            assert len(names) == len(shown(chart))
            boxes = [(float(n.get("x", "")), float(n.get("y", "")), float(n.get("textLength", ""))) for n in names]
            for (left, bottom, width), (other_left, other_bottom, other_width) in combinations(boxes, 2):
                beside = left + width < other_left or other_left + other_width < left
                assert beside or abs(bottom - other_bottom) >= 14


class TestNames:
    def test_they_are_the_data_set_and_the_profile(self, make_record: MakeRecord, tmp_path: Path) -> None:
        records = [make_record(), make_record(dataset__label="mine", profile="paper")]
        assert list(section_figures(records, tmp_path)) == ["mine-paper-wanted-leaked", "planted-quick-wanted-leaked"]

    def test_sections_of_one_name_are_told_apart(self, make_record: MakeRecord, tmp_path: Path) -> None:
        records = [make_record(), make_record(dataset__content_sha256="cd" * 32), make_record(precision="bf16")]
        assert set(section_figures(records, tmp_path)) == {
            "planted-quick-fp32-abababab-wanted-leaked",
            "planted-quick-fp32-cdcdcdcd-wanted-leaked",
            "planted-quick-bf16-abababab-wanted-leaked",
        }

    @pytest.mark.parametrize("profile", ["../../out", "a/b", "C:\\x", "\x00", "two words", "."])
    def test_no_name_leads_out_of_the_folder(self, make_record: MakeRecord, tmp_path: Path, profile: str) -> None:
        (name,) = section_figures([make_record(profile=profile)], tmp_path)
        assert (tmp_path / f"{name}.svg").resolve().parent == tmp_path.resolve()
        assert name.startswith("planted-")
        assert name.isprintable()
        assert " " not in name


def grid(columns: int = 3, side: int = 8) -> Image.Image:
    """Six rows, each of a grey of its own, as a cell of a method with a decoder keeps them."""
    return labelled_rows(
        [(label, torch.full((columns, 3, side, side), (index + 1) / 10)) for index, label in enumerate(ROWS)]
    )


def generative(make_record: MakeRecord, **changes: object) -> Record:
    kind = discovery.method_class("sepvae")
    method = {"name": "sepvae", "label": "sepvae", "version": kind.version, "config": {}}
    return make_record(**{"method": method, **changes})


@pytest.fixture
def store(tmp_path: Path) -> ResultsStore:
    return ResultsStore(tmp_path / "results" / "runs")


class TestGrid:
    def test_a_method_with_a_decoder_has_one(self, make_record: MakeRecord, store: ResultsStore) -> None:
        """One without shows neighbours, and keeps a picture of the same name."""
        records = [generative(make_record), make_record()]
        for record in records:
            store.replace_record(record)
            store.write_picture(record, grid())
        figures = section_figures(store.records(), store.folder)
        assert list(figures) == ["planted-quick-wanted-leaked", "planted-quick-sepvae-removals"]
        words = " ".join(text.text or "" for text in texts(figures["planted-quick-sepvae-removals"], "name"))
        assert words == " ".join(ROWS).replace("\n", " ")

    def test_configurations_of_one_method_are_told_apart(self, make_record: MakeRecord, store: ResultsStore) -> None:
        records = [generative(make_record, method__config={"epochs": epochs}) for epochs in (1, 2)]
        records = [replace(r, method={**generative(make_record).method, **r.method}) for r in records]
        for record in records:
            store.replace_record(record)
            store.write_picture(record, grid())
        names = {name for name in section_figures(records, store.folder) if name.endswith("-removals")}
        assert names == {f"planted-quick-sepvae-{record.key[:8]}-removals" for record in records}

    @pytest.mark.parametrize("content", ["", "no picture", "link", "small", "other"])
    def test_what_is_no_grid_is_left_out(self, make_record: MakeRecord, store: ResultsStore, content: str) -> None:
        record = generative(make_record)
        store.replace_record(record)
        path = record.folder(store.folder) / "pictures.png"
        if content == "link":
            grid().save(store.folder / "elsewhere.png")
            path.symlink_to(store.folder / "elsewhere.png")
        elif content in ("small", "other"):
            Image.new("RGB", (60, 60) if content == "small" else (300, 301)).save(path)
        elif content:
            path.write_text(content)
        assert list(section_figures([record], store.folder)) == ["planted-quick-wanted-leaked"]

    @pytest.mark.skipif(not can_draw_png(), reason="resvg_py, of the extra figures, is not installed")
    @pytest.mark.parametrize("columns", [1, 3, 8])
    def test_it_shows_the_pictures_and_not_the_labels_in_them(
        self, make_record: MakeRecord, store: ResultsStore, columns: int
    ) -> None:
        """Each row of the PNG has its own grey, and nothing that is darker: no letters. Smoothing adds a little."""
        record = generative(make_record)
        store.replace_record(record)
        store.write_picture(record, grid(columns))
        picture = read_picture(record, store.folder)
        assert picture is not None
        drawn = Image.open(io.BytesIO(png(standing_alone(grid_figure(picture, "a grid"))))).convert("L")
        pixels = np.asarray(drawn)[:, round(2.5 * 142) + 8 :]
        height = len(pixels) / len(ROWS)
        for row in range(len(ROWS)):
            middle = pixels[round(height * (row + 0.3)) : round(height * (row + 0.7))]
            grey = round(255 * (row + 1) / 10)
            assert (np.abs(middle.astype(int) - grey) <= 1).mean() > (0.9 if columns == 8 else 0.1)
            assert middle.min() >= grey - 12


class TestCommand:
    @pytest.fixture
    def finished(self, make_record: MakeRecord, store: ResultsStore, cabench_here: CommandLine) -> CommandLine:
        """The command line in a folder with records of two methods."""
        for record in (generative(make_record), make_record()):
            store.replace_record(record)
            store.write_picture(record, grid())
        return cabench_here

    def test_it_writes_figures_beside_the_report(self, finished: CommandLine, tmp_path: Path) -> None:
        folder = tmp_path / "figures"
        command = ("report", "--format", "summary", "--output", "out.md", "--figures", "figures")
        done = finished(*command)
        assert done.returncode == 0, done.stderr
        names = {path.name for path in folder.iterdir()}
        assert {name for name in names if name.endswith(".svg")} == {
            "planted-quick-wanted-leaked.svg",
            "planted-quick-sepvae-removals.svg",
        }
        assert f"{len(names)} files of figures are in figures." in done.stderr
        assert ("resvg_py is not installed" in done.stderr) != can_draw_png()
        assert "planted" in (tmp_path / "out.md").read_text(encoding="utf-8")
        first = {path: path.read_bytes() for path in folder.iterdir()}
        assert finished(*command).returncode == 0
        assert {path: path.read_bytes() for path in folder.iterdir()} == first

    def test_other_files_are_replaced_by_force_alone(self, finished: CommandLine, tmp_path: Path) -> None:
        mine = tmp_path / "figures" / "planted-quick-wanted-leaked.svg"
        mine.parent.mkdir()
        mine.write_text("mine")
        command = ("report", "--format", "summary", "--output", "out.md", "--figures", "figures")
        refused = finished(*command)
        assert refused.returncode == 2
        assert "planted-quick-wanted-leaked.svg exists already and is no figure of cabench" in refused.stderr
        assert mine.read_text() == "mine"
        assert not (tmp_path / "out.md").exists()
        assert finished(*command, "--force").returncode == 0
        assert mine.read_text().startswith("<svg")

    def test_an_empty_results_folder_has_no_figures(self, cabench_here: CommandLine, tmp_path: Path) -> None:
        (tmp_path / "results" / "runs").mkdir(parents=True)
        done = cabench_here("report", "--figures", "figures")
        assert done.returncode == 0, done.stderr
        assert "0 files of figures are in figures." in done.stderr
        assert not (tmp_path / "figures").exists()
