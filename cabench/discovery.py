"""How methods and data set builders are found: one file each in `methods/` and `datasets/`, or an entry point.

Names come from file names, summaries from the first line of each file, read as text. So listing imports neither torch
nor anybody's code.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from cabench.config import Settings
from cabench.errors import UserError, unknown
from cabench.files.names import NAME_LETTERS, is_name
from cabench.profiles import variant_names

if TYPE_CHECKING:
    from cabench.data.builder import DatasetProvider
    from cabench.method import ContrastiveAnalysisMethod

Kind = Literal["methods", "datasets"]
KINDS: tuple[Kind, Kind] = ("methods", "datasets")
ALL = "all"
"""Stands for every discovered method that takes the data set."""
_SINGULAR = {"methods": "method", "datasets": "data set"}


@dataclass(frozen=True)
class Plugin:
    """A method or data set builder that can be loaded.

    Attributes:
        name: the registry name.
        module: the module that holds its class.
        class_name: the class, or "" for the one class of the module that carries `name`.
        summary: one line for listings.
    """

    name: str
    module: str
    class_name: str
    summary: str


def plugins(kind: Kind) -> dict[str, Plugin]:
    """Every known method or data set builder by name: this project's own and those of installed packages."""
    return _found()[kind][0]


def comes_with_cabench(method: str) -> bool:
    """Whether a method is this project's own, and so at hand wherever cabench is."""
    found = plugins("methods").get(method)
    return found is not None and found.module.startswith("cabench.methods.")


def left_out(kind: Kind) -> list[str]:
    """Why entry points of installed packages are missing from `plugins`, a sentence each. Others stay usable."""
    return _found()[kind][1]


@cache
def _found() -> dict[Kind, tuple[dict[str, Plugin], list[str]]]:
    """What there is of either kind, and why entry points are left out.

    No name stands for two things: folders of results and changes by `--set` are known by it.
    """
    own = {kind: _own(kind) for kind in KINDS}
    taken = {ALL: "cabench, for every method", **dict.fromkeys(variant_names(), "a variant of a built-in profile")}
    taken |= {plugin.name: plugin.module for known in own.values() for plugin in known.values()}
    refused: dict[Kind, list[str]] = {kind: [] for kind in KINDS}
    for kind in KINDS:
        for point in sorted(entry_points(group=f"cabench.{kind}"), key=lambda point: (point.name, point.value)):
            reason = _refusal(kind, point, taken)
            if reason:
                refused[kind].append(reason)
                continue
            origin = f"({point.dist.name if point.dist else point.module})"
            summary = f"{_summary(point.module)} {origin}".lstrip()
            own[kind][point.name] = Plugin(point.name, point.module, point.attr, summary)
            taken[point.name] = point.module
    return {kind: (dict(sorted(own[kind].items())), refused[kind]) for kind in KINDS}


def _own(kind: Kind) -> dict[str, Plugin]:
    """This project's own, by name."""
    package = importlib.import_module(f"cabench.{kind}")
    names = [info.name for info in pkgutil.iter_modules(package.__path__) if not info.ispkg]
    modules = {name: f"{package.__name__}.{name}" for name in names}
    return {name: Plugin(name, module, "", _summary(module)) for name, module in modules.items()}


def _refusal(kind: Kind, point: EntryPoint, taken: Mapping[str, str]) -> str:
    """Why an entry point is left out; "" where it is not."""
    if not is_name(point.name):  # it would name folders
        return (
            f"The entry point {point.name!r} of {point.value} is no name for a {_SINGULAR[kind]}; uninstall the "
            f"package or rename it with {NAME_LETTERS}."
        )
    if not point.pattern.match(point.value):
        return (
            f"The entry point {point.name!r} stands for {point.value!r}, which is no MODULE:CLASS; uninstall the "
            "package or correct it."
        )
    if point.name in taken:
        return (
            f"The {_SINGULAR[kind]} name {point.name!r} of {point.value} is taken by {taken[point.name]}; uninstall "
            "the package or rename its entry point."
        )
    return ""


def loadable_methods() -> list[type[ContrastiveAnalysisMethod]]:
    """The classes of all methods, without those of installed packages that cannot be loaded."""
    loaded = []
    for name in plugins("methods"):
        with suppress(UserError):
            loaded.append(method_class(name))
    return loaded


def method_class(name: str) -> type[ContrastiveAnalysisMethod]:
    """The class of a method.

    Raises:
        UserError: for an unknown name, with the closest match; or when its module does not hold such a class.
    """
    from cabench.method import ContrastiveAnalysisMethod

    return cast("type[ContrastiveAnalysisMethod]", _load("methods", name, ContrastiveAnalysisMethod))


def dataset_class(name: str) -> type[DatasetProvider]:
    """The class that provides a data set: a builder, or one that opens existing data.

    Raises:
        UserError: as for `method_class`.
    """
    from cabench.data.builder import DatasetProvider

    return cast("type[DatasetProvider]", _load("datasets", name, DatasetProvider))


def _load(kind: Kind, name: str, base: type) -> type:
    known = plugins(kind)
    if name not in known:
        raise unknown(_SINGULAR[kind], name, known, f"`cabench list {kind}`")
    plugin = known[name]
    try:
        module = importlib.import_module(plugin.module)
    except (Exception, SystemExit) as error:  # an external module may raise anything
        cause = error if isinstance(error, ImportError | SyntaxError) else f"{type(error).__name__}: {error}"
        raise UserError(f"The {_SINGULAR[kind]} {name!r} ({plugin.module}) cannot be imported: {cause}.") from error
    for value in vars(module).values():
        named = plugin.class_name or getattr(value, "__name__", "")
        is_named = isinstance(value, type) and issubclass(value, base) and value.__name__ == named
        if is_named and vars(value).get("name") == name:
            check_class(kind, value)
            return cast("type", value)
    raise UserError(f"{plugin.module} holds no {base.__name__} called {name!r}; its class must set `name = {name!r}`.")


def check_class(kind: Kind, found: Any) -> None:
    """Refuse a class of a method or data set that lacks what every one needs.

    Raises:
        UserError: naming it.
    """
    called = f"The {_SINGULAR[kind]} {found.__name__}"
    lacking = [name for name in ("name", "version", "Config") if not hasattr(found, name)]
    lacking += sorted(getattr(found, "__abstractmethods__", ()))
    if lacking:
        raise UserError(f"{called} lacks {', '.join(lacking)}; add what is missing to the class.")
    if not (isinstance(found.version, int) and isinstance(found.Config, type) and issubclass(found.Config, Settings)):
        raise UserError(f"{called} needs a whole number as version and a Settings class as Config.")
    if kind == "methods":
        _check_taken(called, found.takes)


def _check_taken(called: str, takes: Any) -> None:
    """Refuse what a method says to take where it names no kind of examples, or an unknown one."""
    from cabench.method import Taken

    known = get_args(Taken)
    if not (isinstance(takes, tuple) and set(takes) <= set(known) and set(takes) - {"missing"}):
        raise UserError(f"{called} takes {takes!r}; write a tuple of some of {', '.join(known)}, not of missing alone.")


def _summary(module: str) -> str:
    """The first line of a module's docstring, or why it cannot be read; "" without one. Nothing is imported."""
    try:
        spec = _spec(module)
        if spec is None:
            return f"cannot be read (there is no module {module})"
        file = Path(spec.origin or "")
        text = file.read_bytes() if file.suffix == ".py" and file.is_file() else b""  # else in an archive, or compiled
        return (ast.get_docstring(ast.parse(text)) or "").split("\n", 1)[0].rstrip(".")
    except Exception as error:  # external files and import hooks may raise anything
        return f"cannot be read ({error})"


def _spec(module: str) -> ModuleSpec | None:
    """Like `importlib.util.find_spec`, but without importing the packages that hold the module."""
    holder = module.rpartition(".")[0]
    path = None
    if holder in sys.modules:
        path = list(sys.modules[holder].__path__)
    elif holder:
        path = getattr(_spec(holder), "submodule_search_locations", None)
        if path is None:
            return None
    found = (finder.find_spec(module, path) for finder in sys.meta_path)
    return next(filter(None, found), None)


def class_in_file(text: str) -> type[ContrastiveAnalysisMethod] | None:
    """The class that "mine.py" or "mine.py:MyMethod" stands for; None for a text that names no Python file.

    Without a class name it is the one subclass of `ContrastiveAnalysisMethod` that the file defines.

    Raises:
        UserError: for a file that is not there or cannot be imported, and where the class is not clear.
    """
    written = re.fullmatch(r"(.+\.py)(?::(.*))?", text)
    if written is None:
        return None
    path, name = Path(written[1]), written[2]
    from cabench.method import ContrastiveAnalysisMethod

    module = _module(path)
    values = [value for value in vars(module).values() if isinstance(value, type)]
    classes = {kind.__name__: kind for kind in values if issubclass(kind, ContrastiveAnalysisMethod)}
    own = [kind for kind in classes.values() if kind.__module__ == module.__name__]
    if name in classes:
        return classes[name]
    if name is None and len(own) == 1:
        return own[0]
    held = ", ".join(kind.__name__ for kind in own)
    if not own:
        raise UserError(f"{path} defines no method; derive a class from cabench.ContrastiveAnalysisMethod.")
    if name is None:
        raise UserError(f"{path} defines several methods ({held}); say which, such as {path}:{own[-1].__name__}.")
    raise UserError(f"{path} holds no method class {name!r}; it defines {held}.")


def _module(path: Path) -> ModuleType:
    """The file as a freshly imported module, called by the file's name; modules beside it can be imported too."""
    if not path.is_file():
        raise UserError(f"There is no file {path}; give the path of a Python file, or the name of a method.")
    try:
        plugin = plugins("methods").get(path.stem)
        known = plugin and find_spec(plugin.module)
        if known and known.origin and path.samefile(known.origin):  # a file of `methods/` is loaded once
            return importlib.import_module(known.name)
        spec = spec_from_file_location(f"method_file.{path.stem}", path)
        assert spec is not None  # as the suffix is .py
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[spec.name] = module  # where dataclasses look up annotations
        sys.path.append(str(path.parent.absolute()))
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever somebody else's module does
        cause = error if isinstance(error, ImportError | SyntaxError) else f"{type(error).__name__}: {error}"
        raise UserError(f"{path} cannot be imported: {cause}.") from error
    return module
