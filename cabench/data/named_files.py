"""Files that configurations name: which fields hold their paths, and what others are told of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PureWindowsPath
from typing import Any

from cabench.files.json import canonical_json, parse_json

PATH = "path"
"""What a field that holds a path is called, or how its name ends: "path", "weights_path"."""
OWN_SUFFIX = ".h5"
"""How the paths of users' own data sets end, which stand among names."""
WEIGHTS_SUFFIX = ".pth"
"""How the paths of users' own weights end, which stand where "imagenet" may."""
ORIGIN = "of_config"
"""The field of `cabench.data.derived.DerivedConfig` that holds another data set's configuration, as JSON."""


def is_path(field: str, value: str) -> bool:
    """Whether the value of a field is the path of a file."""
    return value.endswith((OWN_SUFFIX, WEIGHTS_SUFFIX)) or bool(value and (field == PATH or field.endswith(f"_{PATH}")))


def file_name(path: str) -> str:
    """The last part of a path, of whatever system: records travel."""
    return PureWindowsPath(path).name  # which takes both kinds of slashes


def names_a_file(config: Mapping[str, Any]) -> bool:
    """Whether a data set's configuration names a file: its own, weights, or one of a data set that it is made of."""
    texts = ((name, value) for name, value in config.items() if isinstance(value, str))
    return any(is_path(*text) or (text[0] == ORIGIN and names_a_file(_parsed(text[1]))) for text in texts)


def without_folders(config: Mapping[str, Any]) -> dict[str, Any]:
    """A data set's configuration with each file by its name alone: where somebody keeps it does not concern others."""
    return {name: _told(name, value) if isinstance(value, str) else value for name, value in config.items()}


def _told(name: str, value: str) -> str:
    if name == ORIGIN and (origin := _parsed(value)):
        return canonical_json(without_folders(origin))
    return file_name(value) if is_path(name, value) else value


def _parsed(text: str) -> dict[str, Any]:
    """A configuration; {} for a text that is none, with which nothing can be built."""
    try:
        return parse_json(text, dict[str, Any])
    except ValueError:
        return {}
