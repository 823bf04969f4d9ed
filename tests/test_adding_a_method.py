"""The page on adding a method keeps its word: its methods are installed as a package of their own, checked and run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import cabench
from cabench.conformance import CHECKS, title
from cabench.profiles import load_profile

PAGE = Path(cabench.__file__).parent.parent / "docs" / "adding-a-method.md"

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the package is installed, its documentation is not here")


def files() -> dict[str, str]:
    """The files that the page holds, by name."""
    found = re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return dict(found)


def install(folder: Path, changed: dict[str, str] | None = None) -> str:
    """Install the page's package with pip, for real; the folder to put on Python's path."""
    texts = files() | (changed or {})
    package = folder / "package"
    (package / "my_methods").mkdir(parents=True)
    (package / "my_methods" / "__init__.py").write_text("")
    (package / "pyproject.toml").write_text(texts.pop("pyproject.toml"))
    for name, text in texts.items():
        (package / "my_methods" / name).write_text(text)
    site = folder / "site"
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(site), str(package)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return str(site)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    return install(tmp_path_factory.mktemp("installed"))


def test_the_linear_method_is_short():
    assert len(files()["variance_ratio.py"].splitlines()) < 60


def test_installed_methods_are_listed(site, cabench):
    listed = re.sub(r"\n +", " ", cabench("list", "methods", PYTHONPATH=site).stdout)  # long lines go on below
    assert re.search(r"^variance_ratio +Variance ratio: .+ \(my-methods\)$", listed, re.MULTILINE)
    assert re.search(r"^split_autoencoder +Split autoencoder: .+ \(my-methods\)$", listed, re.MULTILINE)


@pytest.mark.parametrize("name", ["variance_ratio", "split_autoencoder"])
def test_installed_methods_conform(site, cabench, name):
    checked = cabench("check-method", name, PYTHONPATH=site)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "passed   saving and loading" in checked.stdout


def test_an_installed_method_runs_beside_the_others(site, tmp_path, cabench):
    arguments = ["--profile", "smoke", "--methods", "split_autoencoder,variance_ratio", "--results", "out"]
    ended = cabench("run", *arguments, PYTHONPATH=site)
    assert ended.returncode == 0, ended.stderr
    for name in ("split_autoencoder", "variance_ratio"):
        (path,) = (tmp_path / "out" / "planted" / name).glob("*/record.json")
        record = json.loads(path.read_text())
        assert record["status"] == "ok"
        scores = {(s["attribute"], s["space"], s["metric"]): s["value"] for s in record["scores"]}
        assert scores["salient_level", "salient", "r2"] > 0.9, f"{name} does not find what only targets have"
    assert list((tmp_path / "out" / "planted" / "split_autoencoder").glob("*/pictures.png"))


def test_an_installed_method_that_breaks_the_rules_is_told_which(tmp_path, cabench):
    broken = files()["variance_ratio.py"].replace("centred @ self.salient)", "torch.rand(len(images), 3))")
    site = install(tmp_path, {"variance_ratio.py": broken})
    checked = cabench("check-method", "variance_ratio", PYTHONPATH=site)
    assert checked.returncode == 1
    assert (
        "FAILED   encoding is deterministic: a second call of encode gives another salient vector\n"
        "skipped  encoding is in eval mode: rests on 'encoding is deterministic', which failed\n"
    ) in checked.stdout
    assert checked.stdout.count("FAILED") == 1


def test_a_method_is_checked_from_its_file(tmp_path, cabench):
    (tmp_path / "mine.py").write_text(files()["variance_ratio.py"])
    checked = cabench("check-method", "mine.py")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "passed   target images matter" in checked.stdout


def test_a_class_is_checked_and_run_in_a_notebook(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"## In a notebook.*?```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "notebook_method.py").write_text(files()["variance_ratio.py"])
    exec("from notebook_method import *\n" + code.replace('"dsprites"', '"planted", profile="smoke"'), {})
    assert "passed   target images matter" in capsys.readouterr().out
    (path,) = (tmp_path / "results/runs/planted/variance_ratio").glob("*/record.json")
    record = json.loads(path.read_text())
    assert (record["status"], record["method"]["config"]["components"]) == ("ok", 4)


def test_every_check_is_described():
    table = re.findall(r"^\| ([a-z ]+) \| \S", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    named = [row for row in table if row != "check"]
    assert named == [title(check) for check in CHECKS]


def test_the_profile_of_the_page_is_valid(tmp_path):
    (text,) = re.findall(r"```toml\n(extends.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    profile = load_profile(str(tmp_path / "mine.toml"))
    assert profile.method_variants["split_autoencoder_free"].fields == {"empty_weight": 0.0}
    assert profile.on["dsprites"]["split_autoencoder"] == {"epochs": 20}
    assert "sepclr" in profile.on["dsprites"]


def test_the_packages_description_is_valid():
    assert set(tomllib.loads(files()["pyproject.toml"])["project"]["entry-points"]["cabench.methods"]) == {
        "variance_ratio",
        "split_autoencoder",
    }
