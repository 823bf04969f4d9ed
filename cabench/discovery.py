"""How methods and data set builders are found: one file each in `methods/` and `datasets/`, or an entry point.

Names and summaries come from file names and the first line of each file, read as text, so that listing imports neither
torch nor anybody's code.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal, cast

from cabench.errors import UserError, unknown
from cabench.files.names import is_name

if TYPE_CHECKING:
    from cabench.data.builder import DatasetProvider
    from cabench.method import ContrastiveAnalysisMethod

Kind = Literal["methods", "datasets"]
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


@cache
def plugins(kind: Kind) -> dict[str, Plugin]:
    """Every known method or data set builder by name: this project's own, then those of installed packages.

    Raises:
        UserError: when an installed package claims a name that is taken.
    """
    package = importlib.import_module(f"cabench.{kind}")
    found = {
        module.name: Plugin(module.name, f"{package.__name__}.{module.name}", "", _summary(package, module.name))
        for module in pkgutil.iter_modules(package.__path__)
        if not module.ispkg
    }
    for point in entry_points(group=f"cabench.{kind}"):
        if not is_name(point.name):  # it would name folders
            raise UserError(
                f"The entry point {point.name!r} of {point.value} is no name for a {_SINGULAR[kind]}; uninstall the "
                "package or rename it with letters, digits, _ and -."
            )
        if point.name in found:
            raise UserError(
                f"The {_SINGULAR[kind]} name {point.name!r} of {point.value} is taken by {found[point.name].module}; "
                "uninstall one of the packages or rename its entry point."
            )
        distribution = point.dist.name if point.dist else point.module
        found[point.name] = Plugin(point.name, point.module, point.attr, f"from the installed package {distribution}")
    return dict(sorted(found.items()))


def load_method(name: str) -> type[ContrastiveAnalysisMethod]:
    """The class of a method.

    Raises:
        UserError: for an unknown name, with the closest match; or when its module does not hold such a class.
    """
    from cabench.method import ContrastiveAnalysisMethod

    return cast("type[ContrastiveAnalysisMethod]", _load("methods", name, ContrastiveAnalysisMethod))


def load_dataset(name: str) -> type[DatasetProvider]:
    """The class that gives a data set: a builder's, or that of data which is there already.

    Raises:
        UserError: as for `load_method`.
    """
    from cabench.data.builder import DatasetProvider

    return cast("type[DatasetProvider]", _load("datasets", name, DatasetProvider))


def _load(kind: Kind, name: str, base: type) -> type:
    known = plugins(kind)
    if name not in known:
        raise unknown(_SINGULAR[kind], name, known)
    plugin = known[name]
    try:
        module = importlib.import_module(plugin.module)
    except (Exception, SystemExit) as error:  # whatever somebody else's module does
        cause = error if isinstance(error, ImportError | SyntaxError) else f"{type(error).__name__}: {error}"
        raise UserError(f"The {_SINGULAR[kind]} {name!r} ({plugin.module}) cannot be imported: {cause}.") from error
    for value in vars(module).values():
        named = plugin.class_name or getattr(value, "__name__", "")
        is_named = isinstance(value, type) and issubclass(value, base) and value.__name__ == named
        if is_named and vars(value).get("name") == name:
            return cast("type", value)
    raise UserError(f"{plugin.module} holds no {base.__name__} called {name!r}; its class must set `name = {name!r}`.")


def _summary(package: ModuleType, name: str) -> str:
    for folder in package.__path__:
        file = Path(folder) / f"{name}.py"
        if file.is_file():
            try:
                text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            except (SyntaxError, ValueError) as error:
                return f"cannot be read ({error})"
            return text.split("\n", 1)[0].rstrip(".")
    return ""
