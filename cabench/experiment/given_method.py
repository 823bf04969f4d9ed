"""Methods that are handed over as classes or objects: nothing that is installed vouches for them."""

from __future__ import annotations

from cabench import discovery
from cabench.discovery import ALL
from cabench.errors import UserError
from cabench.files.names import NAME_LETTERS, is_name
from cabench.method import ContrastiveAnalysisMethod


def check_given(method: object) -> str:
    """The name of a method that was handed over as a class or an object.

    Raises:
        UserError: saying what the class lacks, or that its name belongs to an installed method.
    """
    kind = method if isinstance(method, type) else type(method)
    if not issubclass(kind, ContrastiveAnalysisMethod):
        raise UserError(f"{method!r} is no method; give a name, or a class or object of ContrastiveAnalysisMethod.")
    discovery.check_class("methods", kind)
    if isinstance(method, ContrastiveAnalysisMethod) and not isinstance(method.config, kind.Config):
        raise UserError(f"The configuration of {kind.__name__} is {method.config!r}, not a {kind.Config.__name__}.")
    name = kind.name
    if not isinstance(name, str) or not is_name(name) or name == ALL:
        raise UserError(f"The method {kind.__name__} is called {name!r}; use {NAME_LETTERS} in its name.")
    if name in discovery.plugins("methods") and discovery.method_class(name) is not kind:
        raise UserError(f"The name {name!r} of {kind.__name__} belongs to an installed method; give it another name.")
    if name in discovery.plugins("datasets"):
        raise UserError(f"The name {name!r} of {kind.__name__} belongs to a data set; give it another name.")
    return name
