"""A method under test: found by name, in a Python file or handed over, with a few images to test it on."""

from __future__ import annotations

import dataclasses
import importlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from cabench.config import Settings
from cabench.context import FitContext, Randomness
from cabench.data.dataset import ContrastiveDataset, as_float
from cabench.discovery import plugins
from cabench.errors import UserError
from cabench.experiment.request import MethodLike, ResolvedProfile, check_given, check_method
from cabench.method import ContrastiveAnalysisMethod

IMAGES = 24  # of each population, encoded by most checks
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Subject:
    """A method under test, and images to test it on.

    Attributes:
        kind: the method's class.
        config: the configuration to test; one that trains in seconds.
        data: a small training split that the method accepts.
    """

    kind: type[ContrastiveAnalysisMethod]
    config: Settings
    data: ContrastiveDataset

    def new(self) -> ContrastiveAnalysisMethod:
        """A method that has not been fitted."""
        return self.kind(self.config)

    def fitted(self, data: ContrastiveDataset | None = None) -> ContrastiveAnalysisMethod:
        """A method freshly fitted on `data`, else on the subject's own."""
        method = self.new()
        method.fit(data or self.data, context())
        return method

    @cached_property
    def usual(self) -> ContrastiveAnalysisMethod:
        """A method fitted on the subject's own data, for all checks that only look at it."""
        return self.fitted()

    def images(self) -> Tensor:
        """A few images of both populations, float32 in [0, 1]; rows of a table as they are."""
        return as_float(torch.cat([self.data.background.images[:IMAGES], self.data.target.images[:IMAGES]]))


def load_subject(method: MethodLike, sets: Sequence[str] = ()) -> Subject:
    """A method in the smoke profile's configuration, with that profile's default data set.

    Args:
        method: a name, a Python file ("mine.py", "mine.py:MyMethod"), a class, or an object with its configuration.
        sets: changes of its configuration, such as "mine.epochs=3".

    Raises:
        UserError: for an unknown method, one that lacks something, and one that does not take the data set.
    """
    if isinstance(method, str):
        method = class_in_file(method) or method
    name = method if isinstance(method, str) else check_given(method)
    resolved = ResolvedProfile.read("smoke", sets, [name])
    if not isinstance(method, str):
        resolved = dataclasses.replace(resolved, given={name: method})
    (dataset,) = resolved.profile.defaults["datasets"]
    configured = resolved.method(name, dataset)
    file = resolved.dataset(dataset).obtain(None)
    check_method(configured, file.info)
    return Subject(type(configured), configured.config, file.read("train"))


def context(**changes: object) -> FitContext:
    """A context on the CPU in float32 with the random streams of seed 0, and with some fields changed."""
    plain = FitContext(device=CPU, precision="fp32", randomness=Randomness(0, "conformance", CPU))
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


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
