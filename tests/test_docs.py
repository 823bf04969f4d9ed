"""The README and the pages keep their word: commands and Python code run as they stand, links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import typer
from PIL import Image

import cabench as package
from cabench.cli import app
from cabench.discovery import plugins
from cabench.experiment.plan import resolve
from cabench.experiment.request import Request, ResolvedProfile, check_profile
from cabench.profiles import load_profile, profile_names
from cabench.report.output import END, START

CHECKOUT = Path(package.__file__).parent.parent
README = CHECKOUT / "README.md"
PAGES = [README, *sorted((CHECKOUT / "docs").glob("*.md"))]
RUN = ["running", "own-data", "methods", "data-sets", "vectors", "python", "gate"]
LARGEST, TABLES = 12_288, 4_400  # bytes of the README, and what its generated tables of one data set may have of them

pytestmark = pytest.mark.skipif(not README.exists(), reason="the package is installed, its pages are not here")


class Block(NamedTuple):
    """A fenced block, and the comment in front of it."""

    marker: str
    language: str
    text: str

    @property
    def is_tested(self) -> bool:
        return not self.marker.startswith("not tested:")


def page(name: str) -> Path:
    return CHECKOUT / "docs" / f"{name}.md"


def blocks(path: Path) -> list[Block]:
    found = re.findall(
        r"^(?:<!-- ([^\n]*) -->\n)?```(\w*)\n(.*?)^```$", path.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    return [Block(*parts) for parts in found]


def shell_commands(text: str) -> Iterator[list[str]]:
    """The words of every command, without comments."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words:
            end = words.index("&&") if "&&" in words else len(words)
            yield words[:end]
            words = words[end + 1 :]


def arguments_of(words: list[str]) -> list[str] | None:
    """The arguments of a command that is cabench's."""
    text = " ".join(words)
    start = re.match(r"(\.venv/bin/)?cabench ", f"{text} ")
    return words[len(start.group().split()) :] if start else None


def command_of(arguments: list[str]) -> tuple[Any, list[str]]:
    """The command that arguments name, and those that are left."""
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command, arguments = command.commands[arguments[0]], arguments[1:]
    return command, arguments


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_commands_are_understood(path):
    for block in blocks(path):
        # That would also run what lies in the working folder under the name of a module.
        assert block.language != "sh" or "-m cabench " not in block.text
        for words in shell_commands(block.text) if block.language == "sh" else ():
            arguments = arguments_of(words)
            if arguments is not None:
                command, rest = command_of(arguments)
                command.make_context(command.name, rest)
            else:
                assert words[0] in ("python", "python3", ".venv/bin/python"), words
                assert all((CHECKOUT / word).is_file() for word in words if word.startswith("docs/"))
    for text in re.findall(r"`cabench ([^`]+)`", path.read_text("utf-8")):
        command, rest = command_of(shlex.split(text))
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in rest if word.startswith("--")} <= {*known, "--help"}, text


def as_a_shell_gives(words: list[str], folder: Path) -> Iterator[str]:
    """Words with patterns of files replaced by what they match; one seed stands for five."""
    for word in words:
        found = sorted(map(str, folder.glob(word))) if "*" in word else []
        yield from found or ["0" if word == "0-4" else word]


@pytest.fixture
def small(monkeypatch, tmp_path_factory):
    """The profile `quick` with one epoch, one seed and few images, so that what takes minutes takes seconds."""
    profiles = tmp_path_factory.mktemp("profiles")
    for path in (CHECKOUT / "cabench" / "profiles").glob("*.toml"):
        text = path.read_text("utf-8")
        if path.stem == "quick":
            text = re.sub(r"^epochs = \d+$", "epochs = 1", text, flags=re.MULTILINE)
            text = text.replace('seeds = "0-4"', 'seeds = "0"')
            text = text.replace("train_size = 8000\ntest_size = 4000", "train_size = 400\ntest_size = 100")
        (profiles / path.name).write_text(text, "utf-8")
    monkeypatch.setattr("cabench.profiles.files", lambda _: profiles)


@pytest.fixture
def files(tmp_path):
    """What the pages take for their readers' own: folders of images with labels, and tables of features."""
    generator = np.random.default_rng(0)
    rows = []
    for folder, count in (("healthy", 150), ("patients", 150), ("new", 3)):
        (tmp_path / folder).mkdir()
        for number in range(count):
            name = f"{folder}-{number}.png"
            Image.fromarray(generator.integers(0, 256, (70, 64), np.uint8)).save(tmp_path / folder / name)
            row = {"file": name, "sex": "mf"[number % 2], "age": 20 + number % 50, "subject": f"{folder}{number // 2}"}
            row["site"] = ("north", "south")[number // 4 % 2]
            rows.append({**row, "lesion": "" if folder == "healthy" else ("round", "long")[number % 3 % 2]})
    pd.DataFrame(rows[:300]).to_csv(tmp_path / "labels.csv", index=False)
    features = pd.DataFrame(generator.normal(size=(400, 12))).add_prefix("feature_")
    features[:200].to_csv(tmp_path / "a.csv", index=False)
    pd.DataFrame(
        {
            **features,
            "Age [years]": 20 + features.index % 50,
            "diagnosis": ["healthy", "mild", "healthy", "severe"] * 100,
            "sample": [f"s{row // 8}_{row // 2 % 4}{row % 2}" for row in range(400)],
            "plate 1": "p",
        }
    ).to_csv(tmp_path / "all.csv", index=False)
    features[200:].assign(stage=["early", "late"] * 100).to_csv(tmp_path / "b.csv", index=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_what_a_page_shows_runs_as_it_stands(name, cabench_here, tmp_path, small, files):
    names: dict[str, object] = {}
    for block in blocks(page(name)):
        if block.language == "python" and block.is_tested:
            exec(block.text, names)
        for words in shell_commands(block.text) if block.language == "sh" and block.is_tested else ():
            done = cabench_here(*as_a_shell_gives(words[1:], tmp_path))
            assert done.returncode == 0, (words, done.stderr)


def test_the_data_set_of_the_page_is_installed_checked_and_run(cabench, tmp_path):
    found = {block.marker.removeprefix("file: "): block.text for block in blocks(page("adding-a-data-set"))}
    folder = tmp_path / "package" / "my_data"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "bright_squares.py").write_text(found["bright_squares.py"])
    (folder.parent / "pyproject.toml").write_text(found["pyproject.toml"])
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    install = [sys.executable, "-m", "pip", "install", *options, "--target", str(tmp_path / "site"), str(folder.parent)]
    subprocess.run(install, check=True, capture_output=True)
    listed = cabench("list", "datasets", PYTHONPATH=str(tmp_path / "site")).stdout
    assert re.search(r"^bright_squares +Bright squares: ", listed, re.MULTILINE)
    for words in shell_commands(found[""]):
        done = cabench(*words[1:], PYTHONPATH=str(tmp_path / "site"))
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("Warning") == done.stdout.count("can be told apart by mean brightness")  # by design
    assert "| cpca" in done.stdout


def test_the_profiles_of_the_pages_work_as_they_stand(tmp_path):
    text, own, warm, frozen = (block.text for name in RUN for block in blocks(page(name)) if block.language == "toml")
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    methods = "sepclr,sepclr_without_independence"
    request = Request(methods, "", "0", str(tmp_path / "mine.toml"), [], "cpu", "auto", None, True)
    smaller = ["dsprites.train_size=1200", "dsprites.test_size=40"]
    cells = resolve(replace(request, sets=smaller), say=lambda text: None).cells
    labels = [cell.identity.method["label"] for cell in cells]
    assert labels == ["sepclr", "sepclr_without_independence", "pca", "chance"]
    (tmp_path / "own.toml").write_text(own, encoding="utf-8")
    check_profile(profile := load_profile(str(tmp_path / "own.toml")))
    assert profile.method_fields("sepclr", "garments")[1]["epochs"] == 50
    (tmp_path / "warm.toml").write_text(warm, encoding="utf-8")
    method = ResolvedProfile(load_profile(str(tmp_path / "warm.toml"))).method("sepclr", "file")
    assert method.config.to_dict()["weights"] == "imagenet-f37072fd"
    (tmp_path / "frozen.toml").write_text(frozen, encoding="utf-8")
    assert ResolvedProfile(load_profile(str(tmp_path / "frozen.toml"))).dataset("my_features").config.of == "dsprites"


def test_methods_data_sets_profiles_and_variants_are_all_named():
    text = "\n".join(path.read_text("utf-8") for path in PAGES)
    profiles = [load_profile(name) for name in profile_names()]
    variants = {name for each in profiles for name in (*each.method_variants, *each.dataset_variants)}
    for name in (*plugins("methods"), *plugins("datasets"), *profile_names(), *variants):
        assert f"`{name}`" in text, name


def prose(path: Path) -> str:
    """A page without its blocks."""
    return re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def slugs(path: Path) -> set[str]:
    """The anchors of a page's headings, as they are made where the pages are shown."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", [*PAGES, CHECKOUT / "results" / "README.md"], ids=lambda path: path.stem)
def test_links_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if not link.startswith("https://"):
            target, _, anchor = link.partition("#")
            place = path.parent / target if target else path
            assert place.is_file(), link
            assert not anchor or anchor in slugs(place), link


def test_every_page_is_linked_from_the_readme():
    text = README.read_text("utf-8")
    assert all(f"](docs/{path.name})" in text for path in PAGES[1:])


def test_the_layout_in_the_readme_names_every_folder():
    layout = README.read_text("utf-8").partition("## Layout")[2]
    folders = [path.parent for path in (CHECKOUT / "cabench").glob("*/__init__.py") if not path.parent.is_symlink()]
    assert folders
    assert sorted(re.findall(r"^  (\w+)/ ", layout, re.MULTILINE)) == sorted(folder.name for folder in folders)


def test_the_readme_is_short():
    before, _, rest = README.read_text("utf-8").partition(START)
    assert len((before + rest.partition(END)[2]).encode()) <= LARGEST - TABLES


def test_pictures_are_small():
    pictures = list((CHECKOUT / "docs" / "images").iterdir())
    assert pictures
    assert all(path.suffix in (".png", ".svg") and path.stat().st_size < 150_000 for path in pictures)
