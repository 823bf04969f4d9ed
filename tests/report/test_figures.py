"""Figures as files: they stand alone, replace nothing but figures, follow no link, and are equal for equal charts."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from cabench.errors import UserError
from cabench.report.charts import Point, percent_axis, scatter
from cabench.report.figures import SIGN, can_draw_png, check_free, png, standing_alone, write_figures

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert('1')</script>&\"]]>"

needs_resvg = pytest.mark.skipif(not can_draw_png(), reason="resvg_py, of the extra figures, is not installed")


def chart(name: str = "pca") -> str:
    point = Point(name, (0.4,), (0.6,), 0.05, 0.1, True)
    return scatter([point], percent_axis("leaked"), percent_axis("wanted"), "a chart")


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class TestStandingAlone:
    def test_it_has_a_namespace_a_size_and_a_background(self) -> None:
        root = ElementTree.fromstring(standing_alone(chart()))
        assert root.tag == f"{SVG}svg"
        assert (root.get("width"), root.get("height"), root.get("viewBox")) == ("800", "600", "0 0 640 480")
        background = root[2]
        assert (background.tag, background.get("class"), background.get("width")) == (f"{SVG}rect", "paper", "100%")

    def test_it_has_all_colours_of_the_page_light_and_dark(self) -> None:
        style = ElementTree.fromstring(standing_alone(chart())).findtext(f"{SVG}style") or ""
        light, dark = style.split("@media (prefers-color-scheme: dark)")
        assert "var(" not in style
        assert ".paper { fill: #ffffff; }" in light
        assert ".paper { fill: #14181e; }" in dark
        rules = [re.sub("#[0-9a-f]{6}", "", part).strip(" {}\n") for part in (light, dark)]
        assert rules[0] == rules[1]

    def test_markup_in_names_is_text(self) -> None:
        root = ElementTree.fromstring(standing_alone(chart(HOSTILE)))
        assert [text.text for text in root.iter(f"{SVG}text") if text.get("class") == "name"] == [HOSTILE]
        assert root.find(f".//{SVG}script") is None

    def test_it_asks_for_nothing_from_outside(self) -> None:
        assert re.findall(r"https?://[^\"]*", standing_alone(chart())) == ["http://www.w3.org/2000/svg"]


class TestWriting:
    def test_equal_charts_give_equal_files_and_nothing_else_is_touched(self, tmp_path: Path) -> None:
        (tmp_path / "mine.svg").write_text("mine")
        written = write_figures(tmp_path, {"one": chart(), "two": chart("cpca")})
        first = files(tmp_path)
        assert {path.name for path in written} == first.keys() - {"mine.svg"}
        check_free(tmp_path, {"one": chart(), "two": chart()})
        assert write_figures(tmp_path, {"one": chart(), "two": chart("cpca")}) == written
        assert files(tmp_path) == first
        assert first["mine.svg"] == b"mine"

    def test_the_folder_is_made(self, tmp_path: Path) -> None:
        write_figures(tmp_path / "new" / "figures", {"one": chart()})
        assert (tmp_path / "new" / "figures" / "one.svg").is_file()

    def test_no_figures_make_no_folder(self, tmp_path: Path) -> None:
        assert write_figures(tmp_path / "new", {}) == []
        assert not (tmp_path / "new").exists()

    def test_what_is_no_figure_is_not_written_over(self, tmp_path: Path) -> None:
        (tmp_path / "one.svg").write_text("<svg/>")
        with pytest.raises(UserError, match=r"one\.svg exists already and is no figure of cabench; give --force"):
            check_free(tmp_path, {"one": chart()})
        (tmp_path / "two.svg").mkdir()
        with pytest.raises(UserError, match=r"two\.svg exists already"):
            check_free(tmp_path, {"two": chart()})

    @pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
    def test_links_are_not_followed(self, tmp_path: Path) -> None:
        outside = tmp_path / "outside.svg"
        outside.write_text(SIGN)
        folder = tmp_path / "figures"
        folder.mkdir()
        (folder / "one.svg").symlink_to(outside)
        with pytest.raises(UserError, match=r"one\.svg is a link, and none is followed"):
            write_figures(folder, {"one": chart()})
        assert outside.read_text() == SIGN
        assert [path.name for path in folder.iterdir()] == ["one.svg"]

    def test_a_folder_that_is_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        with pytest.raises(UserError, match="The figures cannot be written to"):
            write_figures(tmp_path / "file", {"one": chart()})

    def test_without_resvg_there_is_svg_alone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("cabench.report.figures.find_spec", lambda name: None)
        written = write_figures(tmp_path, {"one": chart()})
        assert [path.name for path in written] == ["one.svg"]
        assert files(tmp_path).keys() == {"one.svg"}


@needs_resvg
class TestPng:
    def test_it_is_the_chart_twice_as_large(self) -> None:
        """The point stands where the SVG has it, in the colour of the light page; the corner is white."""
        picture = Image.open(io.BytesIO(png(standing_alone(chart()))))
        assert (picture.mode, picture.size) == ("RGB", (1600, 1200))
        assert picture.text["Comment"] == SIGN
        point = next(ElementTree.fromstring(chart()).iter("circle"))
        x, y = (round(2.5 * float(point.get(name, ""))) for name in ("cx", "cy"))
        assert picture.getpixel((x, y)) == (11, 95, 165)
        assert picture.getpixel((0, 0)) == (255, 255, 255)

    def test_names_are_drawn_in_their_boxes(self) -> None:
        """Ink is found between both ends of the name, and none beyond them."""
        name = next(t for t in ElementTree.fromstring(chart("method")).iter("text") if t.get("class") == "name")
        left, bottom = float(name.get("x", "")), float(name.get("y", ""))
        right = left + float(name.get("textLength", ""))
        pixels = np.asarray(Image.open(io.BytesIO(png(standing_alone(chart("method"))))).convert("L"))
        row = slice(round(2.5 * (bottom - 8)), round(2.5 * bottom))
        dark = np.flatnonzero((pixels[row, round(2.5 * (left - 1)) : round(2.5 * (right + 30))] < 100).any(axis=0))
        assert dark[0] / 2.5 - 1 == pytest.approx(0, abs=2)
        assert dark[-1] / 2.5 - 1 == pytest.approx(right - left, abs=2)
