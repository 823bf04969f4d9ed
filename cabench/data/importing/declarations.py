"""What attributes may be declared as."""

from __future__ import annotations

from collections.abc import Sequence

from cabench.data.dataset import IS_TARGET, OWNERS, Attribute
from cabench.data.layout import is_storable
from cabench.errors import UserError
from cabench.files.names import is_line


def check_attributes(attributes: Sequence[Attribute]) -> None:
    """Refuse names, spaces, kinds and classes that an attribute cannot have.

    Raises:
        UserError: saying what is allowed.
    """
    names = [attribute.name for attribute in attributes]
    for attribute in attributes:
        name = attribute.name
        if not (name.strip() == name != IS_TARGET and is_storable(name)) or "/" in name or name in (".", ".."):
            raise UserError(
                f"{name!r:.60} cannot be the name of an attribute; use short texts of one line, without a slash, and "
                f"not {IS_TARGET}."
            )
        if attribute.space not in OWNERS or attribute.kind not in ("class", "real"):
            raise UserError(
                f"Attribute {attribute.name!r} is declared as {attribute.space} and {attribute.kind}; "
                "it is common, salient or nuisance, and class or real."
            )
        _check_classes(attribute)
    if len(set(names)) != len(names):
        raise UserError("Two attributes have the same name.")


def _check_classes(attribute: Attribute) -> None:
    classes = attribute.classes
    if not isinstance(classes, tuple | list) or not all(isinstance(label, str) for label in classes):
        raise UserError(f"The classes of attribute {attribute.name!r} must be a tuple of texts, not {classes!r}.")
    for label in classes:
        if not is_line(label):
            raise UserError(f"{label!r} cannot be the name of a class of {attribute.name!r}; use printable characters.")
    if attribute.kind == "real" and classes:
        raise UserError(f"Attribute {attribute.name!r} is real and has no classes; leave them out or declare a class.")
    if attribute.kind == "class" and not classes:
        raise UserError(f"Attribute {attribute.name!r} is a class; name its classes.")
    if len(set(classes)) != len(classes):
        raise UserError(f"Two classes of attribute {attribute.name!r} have the same name.")
