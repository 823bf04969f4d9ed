"""Discovery: one file, one name; and entry points of installed packages."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import cabench
from cabench import discovery
from cabench.data.builder import DatasetBuilder
from cabench.discovery import Kind, dataset_class, left_out, loadable_methods, method_class, plugins
from cabench.errors import UserError
from cabench.method import ContrastiveAnalysisMethod

KINDS: tuple[Kind, Kind] = ("methods", "datasets")

METHOD = """
from cabench import ContrastiveAnalysisMethod, Representation, Settings

class Mine(ContrastiveAnalysisMethod):
    name = "{name}"
    version = 1
    Config = Settings

    def fit(self, data, context): ...
    def encode(self, images): return Representation(images.flatten(1), images.flatten(1))
    def state_dict(self): return {{}}
    def load_state_dict(self, state): ...
"""

BUILDER = """
from cabench import DatasetBuilder, Settings

class Mine(DatasetBuilder):
    name = "{name}"
    version = 1
    Config = Settings

    def locate(self, root): return []
    def build(self, sources, writer): ...
"""

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Lays out an installed package `their_package` with the given code and entry points."""
    monkeypatch.syspath_prepend(tmp_path)
    discovery._found.cache_clear()

    def lay_out(code: str, entry_points: str) -> None:
        (tmp_path / "their_package.py").write_text(code, encoding="utf-8")
        info = tmp_path / "their_package-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
        importlib.invalidate_caches()
        discovery._found.cache_clear()

    yield lay_out
    sys.modules.pop("their_package", None)
    discovery._found.cache_clear()


def load(kind: Kind, name: str) -> type[ContrastiveAnalysisMethod] | type[DatasetBuilder]:
    return method_class(name) if kind == "methods" else dataset_class(name)


def files_of(kind: Kind) -> set[str]:
    folders = importlib.import_module(f"cabench.{kind}").__path__
    return {file.stem for folder in folders for file in Path(folder).glob("*.py")}


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_those_of_the_files(kind: Kind) -> None:
    assert list(plugins(kind)) == sorted(files_of(kind))
    assert plugins(kind)


def test_the_folders_are_those_of_this_project() -> None:
    root = Path(cabench.__file__).parent
    for kind in KINDS:
        folders = {Path(folder).resolve() for folder in importlib.import_module(f"cabench.{kind}").__path__}
        assert folders <= {root / kind, root.parent / kind}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in sorted(files_of(kind))])
def test_each_file_holds_a_class_of_its_name_with_a_version_and_valid_defaults(kind: Kind, name: str) -> None:
    found = load(kind, name)
    assert found.name == name
    assert found.__module__ == f"cabench.{kind}.{name}"
    assert found.version >= 1
    assert found().config == found.Config()


@pytest.mark.parametrize("kind", KINDS)
def test_each_has_a_summary_of_one_line(kind: Kind) -> None:
    for plugin in plugins(kind).values():
        assert plugin.summary, plugin.name
        assert "\n" not in plugin.summary


def test_an_unknown_name_is_refused_with_the_closest_match() -> None:
    with pytest.raises(UserError, match="Unknown method 'seprcl'; did you mean 'sepclr'"):
        method_class("seprcl")
    with pytest.raises(UserError, match="Unknown data set 'dsprite'; did you mean 'dsprites'"):
        dataset_class("dsprite")


@pytest.mark.parametrize(("kind", "code"), [("methods", METHOD), ("datasets", BUILDER)])
def test_an_installed_package_adds_to_what_there_is(install: Install, kind: Kind, code: str) -> None:
    before = set(plugins(kind))
    install(code.format(name="theirs"), f"[cabench.{kind}]\ntheirs = their_package:Mine\n")
    found = plugins(kind)
    assert set(found) == before | {"theirs"}
    assert list(found) == sorted(found)
    assert "their-package" in found["theirs"].summary
    loaded = load(kind, "theirs")
    assert loaded.name == "theirs"
    assert loaded.__module__ == "their_package"


@pytest.mark.parametrize(("kind", "code"), [("methods", METHOD), ("datasets", BUILDER)])
def test_an_entry_point_may_name_the_module_alone(install: Install, kind: Kind, code: str) -> None:
    install(code.format(name="theirs"), f"[cabench.{kind}]\ntheirs = their_package\n")
    assert load(kind, "theirs").__name__ == "Mine"


def test_one_package_may_bring_both_kinds(install: Install) -> None:
    code = METHOD.format(name="theirs") + BUILDER.format(name="their_data").replace("Mine", "MyData")
    install(
        code, "[cabench.methods]\ntheirs = their_package:Mine\n[cabench.datasets]\ntheir_data = their_package:MyData\n"
    )
    assert issubclass(method_class("theirs"), ContrastiveAnalysisMethod)
    assert issubclass(dataset_class("their_data"), DatasetBuilder)
    assert "theirs" not in plugins("datasets")


@pytest.mark.parametrize(("kind", "taken"), [("methods", "pca"), ("datasets", "planted")])
def test_a_name_that_is_taken_is_left_out_and_both_are_named(install: Install, kind: Kind, taken: str) -> None:
    install("", f"[cabench.{kind}]\n{taken} = their_package:Mine\nanother = their_package:Mine\n")
    (reason,) = left_out(kind)
    assert f"{taken!r} of their_package:Mine is taken by cabench.{kind}.{taken}; uninstall" in reason
    assert load(kind, taken).__module__ == f"cabench.{kind}.{taken}"
    assert "another" in plugins(kind)


def test_a_summary_is_the_first_line_of_the_module(install: Install) -> None:
    install('"""Theirs: what it does.\n\nMore."""', "[cabench.methods]\ntheirs = their_package:Mine\n")
    assert plugins("methods")["theirs"].summary == "Theirs: what it does (their-package)"


def test_the_summary_of_a_module_in_a_package_is_read_without_importing_either(
    install: Install, tmp_path: Path
) -> None:
    (tmp_path / "their_folder").mkdir()
    (tmp_path / "their_folder/__init__.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    (tmp_path / "their_folder/deep.py").write_text('"""Deep."""\nraise SystemExit', encoding="utf-8")
    install("", "[cabench.methods]\ntheirs = their_folder.deep:Mine\n")
    assert plugins("methods")["theirs"].summary == "Deep (their-package)"
    assert "their_folder" not in sys.modules


@pytest.mark.parametrize(
    ("code", "target", "reason"),
    [
        ("def (", "their_package", "invalid syntax"),
        ("x = '\0'", "their_package", "null bytes"),
        ("", "their_absent_package", "there is no module their_absent_package"),
        ("", "their_absent_package.deep", "there is no module their_absent_package.deep"),
        ("", "their_package.deep", "there is no module their_package.deep"),
    ],
)
def test_a_module_that_cannot_be_read_is_listed_with_the_reason_and_stops_nothing_else(
    install: Install, code: str, target: str, reason: str
) -> None:
    install(code, f"[cabench.methods]\ntheirs = {target}:Mine\n")
    summary = plugins("methods")["theirs"].summary
    assert summary.startswith("cannot be read (")
    assert reason in summary
    assert summary.endswith(" (their-package)")
    assert {method.name for method in loadable_methods()} == files_of("methods")


def test_a_package_without_a_docstring_is_named_alone(install: Install) -> None:
    install("", "[cabench.methods]\ntheirs = their_package\n")
    assert plugins("methods")["theirs"].summary == "(their-package)"


def test_what_is_left_out_is_listed_with_its_reason(install: Install, cabench_here) -> None:
    install("", "[cabench.methods]\npca = their_package:Mine\n")
    listed = cabench_here("list", "methods")
    assert "\npca " in listed.stdout
    assert listed.stderr.startswith("Left out: The method name 'pca' of their_package:Mine is taken by ")
    assert cabench_here("list", "datasets").stderr == ""


@pytest.mark.parametrize("code", ["raise RuntimeError('broken')", "def ("])
def test_a_broken_package_is_left_out_of_all_methods_and_stops_no_profile(
    install: Install, cabench_here, code: str
) -> None:
    install(code, "[cabench.methods]\ntheirs = their_package:Mine\n")
    cabench_here("data", "build", "planted", "--profile", "smoke")
    for profile in ("smoke", "matched"):
        planned = cabench_here("plan", "--methods", "all", "--datasets", "planted", "--profile", profile)
        assert planned.returncode == 0, planned.stderr
    planned = cabench_here("plan", "--methods", "all", "--datasets", "planted", "--profile", "smoke").stdout
    (line,) = [line for line in planned.splitlines() if "theirs" in line]
    assert "left out (The method 'theirs' (their_package) cannot be imported: " in line


def test_listing_does_not_import_an_installed_package(install: Install) -> None:
    install("raise SystemExit('imported')", "[cabench.methods]\ntheirs = their_package:Mine\n")
    assert "theirs" in plugins("methods")
    assert "their_package" not in sys.modules


def test_a_package_that_cannot_be_imported_is_named(install: Install) -> None:
    install("import a_module_that_is_not_there", "[cabench.methods]\ntheirs = their_package:Mine\n")
    with pytest.raises(UserError, match=r"'theirs' .*their_package.* cannot be imported.*a_module_that_is_not_there"):
        method_class("theirs")


@pytest.mark.parametrize(
    ("code", "target"),
    [
        (METHOD.format(name="another"), "their_package:Mine"),
        (METHOD.format(name="theirs"), "their_package:Absent"),
        (BUILDER.format(name="theirs"), "their_package:Mine"),
        ("Mine = 3", "their_package:Mine"),
        ("", "their_package"),
    ],
    ids=["another name", "class absent", "a data set", "no class", "empty module"],
)
def test_an_entry_point_without_the_class_it_promises_is_refused(install: Install, code: str, target: str) -> None:
    install(code, f"[cabench.methods]\ntheirs = {target}\n")
    with pytest.raises(UserError, match="their_package holds no ContrastiveAnalysisMethod called 'theirs'"):
        method_class("theirs")


@pytest.mark.parametrize("name", ["../../x", "a/b", "..", "x" * 101])
def test_a_name_that_could_lead_out_of_a_folder_is_left_out(install: Install, name: str) -> None:
    install("", f"[cabench.methods]\n{name} = their_package\n")
    (reason,) = left_out("methods")
    assert "is no name for a method; uninstall the package" in reason
    assert set(plugins("methods")) == files_of("methods")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("sepclr_no_independence", "a variant of a built-in profile"),
        ("cifar_mnist_published_split", "a variant of a built-in profile"),
        ("pca", "cabench.methods.pca"),
        ("planted", "cabench.datasets.planted"),
        ("all", "cabench, for every method"),
    ],
)
def test_a_package_that_takes_a_name_is_left_out_and_list_and_plan_go_on(
    install: Install, cabench_here, kind: Kind, name: str, owner: str
) -> None:
    code = METHOD if kind == "methods" else BUILDER
    install(code.format(name=name), f"[cabench.{kind}]\n{name} = their_package:Mine\n")
    said = f"Left out: The {'method' if kind == 'methods' else 'data set'} name {name!r} of their_package:Mine is taken"
    listed = cabench_here("list", kind)
    assert (listed.returncode, f"{said} by {owner};" in listed.stderr) == (0, True), listed.stderr
    for profile in ("smoke", "quick"):
        planned = cabench_here("plan", "--methods", "pca,chance", "--datasets", "planted", "--profile", profile)
        assert (planned.returncode, said in planned.stderr) == (0, True), planned.stderr
    assert "their_package" not in sys.modules


def test_a_method_and_a_data_set_of_one_name_cannot_both_be_known(install: Install) -> None:
    install("", "[cabench.methods]\ntheirs = their_package:M\n[cabench.datasets]\ntheirs = their_package:D\n")
    assert "theirs" in plugins("methods")
    assert "theirs" not in plugins("datasets")
    (reason,) = left_out("datasets")
    assert "'theirs' of their_package:D is taken by their_package; uninstall" in reason


def test_an_entry_point_that_names_no_module_is_left_out(install: Install) -> None:
    install("", "[cabench.methods]\ntheirs = !?\nothers = their_package\n")
    assert left_out("methods") == [
        "The entry point 'theirs' stands for '!?', which is no MODULE:CLASS; uninstall the package or correct it."
    ]
    assert "others" in plugins("methods")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Config = Settings", "The method Mine lacks Config; add"),
        ("version = 1", "The method Mine lacks version; add"),
        ("def fit(self, data, context): ...", "The method Mine lacks fit; add"),
    ],
)
def test_a_class_that_lacks_something_is_left_out_of_all_and_stops_no_profile(
    install: Install, cabench_here, line: str, reason: str
) -> None:
    install(METHOD.format(name="theirs").replace(f"    {line}\n", ""), "[cabench.methods]\ntheirs = their_package\n")
    cabench_here("data", "build", "planted", "--profile", "smoke")
    for profile in ("smoke", "matched"):
        planned = cabench_here("plan", "--methods", "all", "--datasets", "planted", "--profile", profile)
        assert planned.returncode == 0, planned.stderr
        assert reason in planned.stdout or profile == "matched"


@pytest.mark.parametrize("raised", ["RuntimeError('broken')", "SystemExit(3)"])
def test_whatever_a_package_raises_when_it_is_imported_is_told(install: Install, raised: str) -> None:
    install(f"raise {raised}", "[cabench.methods]\ntheirs = their_package:Mine\n")
    with pytest.raises(UserError, match=r"'theirs' .* cannot be imported: (RuntimeError: broken|SystemExit: 3)\."):
        method_class("theirs")


def test_a_package_that_is_no_python_is_named(install: Install) -> None:
    install("def (", "[cabench.methods]\ntheirs = their_package\n")
    with pytest.raises(UserError, match=r"'theirs' .* cannot be imported"):
        method_class("theirs")
