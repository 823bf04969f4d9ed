"""Methods to check: by name, and from Python files that stand anywhere, with one sentence for what is wrong there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cabench.conformance.subject import load_subject
from cabench.methods.pca import PCA

HEAD = """
from dataclasses import dataclass
import torch
from cabench import ContrastiveAnalysisMethod, Representation, Settings, setting

@dataclass(frozen=True)
class MeansConfig(Settings):
    factor: float = setting(1.0, above=0)
"""

MEANS = """
class {kind}(ContrastiveAnalysisMethod):
    name = "{name}"
    version = 1
    Config = MeansConfig

    def fit(self, data, context):
        self.means = torch.stack([part.images.float().mean() / 255 for part in (data.background, data.target)])
    def encode(self, images):
        rows = images.flatten(1).mean(1, keepdim=True) * self.config.factor
        return Representation(rows - self.means[0], rows - self.means.sum())
    def state_dict(self):
        return {{"means": self.means}}
    def load_state_dict(self, state):
        self.means = state["means"]
"""

MINE = HEAD + MEANS.format(kind="Mine", name="mine")
LACKING = HEAD + MEANS.format(kind="Mine", name="mine").replace("    version = 1\n", "")
TAKEN = HEAD + MEANS.format(kind="Mine", name="pca")
TWO = MINE + MEANS.format(kind="Other", name="other")


def test_a_method_in_a_file_is_checked(cabench_here, tmp_path):
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    done = cabench_here("check-method", "mine.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout
    assert done.stdout.count("passed") == 13


def test_one_of_several_is_chosen_by_its_class(cabench_here, tmp_path):
    (tmp_path / "my-own.py").write_text(TWO, encoding="utf-8")
    assert load_subject(f"{tmp_path / 'my-own.py'}:Other").kind.name == "other"
    assert cabench_here("check-method", "./my-own.py:Mine").returncode == 0


def test_an_edited_file_is_read_again_with_what_stands_beside_it(tmp_path):
    (tmp_path / "beside_mine.py").write_text("EDITION = 1", encoding="utf-8")
    for edition in (1, 2):
        text = f"import beside_mine{MINE}    edition = beside_mine.EDITION * {edition}\n"
        (tmp_path / "mine.py").write_text(text, encoding="utf-8")
        assert load_subject(str(tmp_path / "mine.py")).kind.edition == edition


def test_a_changed_field_goes_by_the_methods_name(tmp_path):
    (tmp_path / "file.py").write_text(MINE, encoding="utf-8")
    assert load_subject(str(tmp_path / "file.py"), ["mine.factor=2.5"]).config.factor == 2.5


def test_a_file_of_this_project_holds_the_method_of_its_name():
    import cabench.methods.pca as module

    assert load_subject(str(Path(module.__file__))).kind is PCA


@pytest.mark.parametrize("taken", ["tables", "non-negative", "counts"])
def test_a_method_that_takes_no_images_is_given_their_pixels(tmp_path, taken):
    of_tables = MINE.replace("    version = 1\n", f"    version = 1\n    takes = ({taken!r},)\n")
    (tmp_path / "mine.py").write_text(of_tables, encoding="utf-8")
    (tmp_path / "of_images.py").write_text(MINE, encoding="utf-8")
    data, images = (load_subject(str(tmp_path / name)).data for name in ("mine.py", "of_images.py"))
    assert data.info.image_shape == (32 * 32,)
    assert data.info.are_counts == (taken != "tables")
    pixels = images.images.flatten(1).float()
    logs = pixels.double().log1p()
    varies = logs.std(0) > 0
    standardised = ((logs - logs.mean(0)) / logs.std(0, correction=0))[:, varies].float()
    expected = standardised if taken == "tables" else pixels[:, varies]
    torch.testing.assert_close(data.images[:, varies], expected)


@pytest.mark.parametrize(
    ("text", "name", "sentence"),
    [
        ("", "absent.py", "There is no file absent.py; give the path of a Python file, or the name of a method."),
        ("", ".", "Unknown method '.'."),
        ("x = 1", "mine.py", "mine.py defines no method; derive a class from cabench.ContrastiveAnalysisMethod."),
        ("from cabench import GradientTrainedMethod", "mine.py", "mine.py defines no method; derive a class"),
        (TWO, "mine.py", "mine.py defines several methods (Mine, Other); say which, such as mine.py:Other."),
        (TWO, "mine.py:Wrong", "mine.py holds no method class 'Wrong'; it defines Mine, Other."),
        (MINE, "mine.py:", "mine.py holds no method class ''; it defines Mine."),
        (LACKING, "mine.py", "The method Mine lacks version; add what is missing to the class."),
        (TAKEN, "mine.py", "The name 'pca' of Mine belongs to an installed method; give it another name."),
        ("import absent_library", "mine.py", "mine.py cannot be imported: No module named 'absent_library'."),
        ("class A(:", "mine.py", "mine.py cannot be imported: invalid syntax (mine.py, line 1)."),
        ("print(a)", "mine.py", "mine.py cannot be imported: NameError: name 'a' is not defined."),
        ("raise SystemExit", "mine.py", "mine.py cannot be imported: SystemExit: ."),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_sentence(cabench_here, tmp_path, text, name, sentence):
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    done = cabench_here("check-method", name)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"Error: {sentence}")
    assert len(done.stderr.splitlines()) == 1
