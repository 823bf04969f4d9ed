"""Fitted methods as files: one safetensors file with the learned tensors, the method's name and its configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired

import safetensors
import safetensors.torch
from safetensors import safe_open
from torch import Tensor
from typing_extensions import TypedDict

from cabench import discovery
from cabench.data.dataset import DataForm
from cabench.errors import UserError
from cabench.files.atomic import replacing
from cabench.files.json import parse_json
from cabench.files.regular import plain
from cabench.method import ContrastiveAnalysisMethod

_BESIDE = "beside."
MODEL = "model.safetensors"
"""The name under which a finished cell keeps its fitted method."""


class _Saved(TypedDict):
    name: str
    version: int
    config: dict[str, Any]
    image_shape: NotRequired[tuple[int, ...]]


def save_method(
    method: ContrastiveAnalysisMethod,
    path: Path,
    image_shape: tuple[int, ...] = (),
    beside: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a fitted method to `path`, whole or not at all.

    Args:
        method: fitted.
        path: the file to write.
        image_shape: of the examples that it was fitted on, for `saved_shape`; () if unknown.
        beside: other tensors to keep, by name, for `saved_beside`: what says how its examples were prepared.
    """
    state = method.state_dict() | {_BESIDE + name: tensor for name, tensor in (beside or {}).items()}
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    meta: _Saved = {"name": method.name, "version": method.version, "config": method.config.to_dict()}
    if image_shape:
        meta["image_shape"] = image_shape
    with replacing(path) as temporary:
        safetensors.torch.save_file(tensors, temporary, metadata={"cabench": json.dumps(meta)})


def load_method(path: str | Path, kind: type[ContrastiveAnalysisMethod] | None = None) -> ContrastiveAnalysisMethod:
    """The fitted method that `save_method` wrote, on the CPU.

    Args:
        path: the file, or the folder of a finished cell.
        kind: the method's class; None finds it by its name among installed methods.

    Raises:
        UserError: when the file is missing, damaged or a link in a cell's folder, or was written by another version of
            the method.
    """
    path, meta, state = _read(Path(path))
    if kind is None and meta["name"] not in discovery.plugins("methods"):
        raise UserError(
            f"{path} holds the method {meta['name']!r}, which is not installed; give its class, as in "
            "load_method(path, MyMethod) or `cabench encode --method mine.py`."
        )
    kind = kind or discovery.method_class(meta["name"])
    if kind.name != meta["name"]:
        raise UserError(f"{path} holds the method {meta['name']!r}, not {kind.name!r}; give the class that wrote it.")
    if kind.version != meta["version"]:
        raise UserError(
            f"{path} holds version {meta['version']} of {meta['name']!r}, but version {kind.version} is installed; "
            "fit the method again."
        )
    method = kind(kind.Config.from_mapping(meta["config"]))
    try:
        method.load_state_dict({name: t for name, t in state.items() if not name.startswith(_BESIDE)})
    except (KeyError, ValueError, TypeError, RuntimeError, OverflowError, MemoryError) as error:
        raise UserError(f"{path} does not hold what {meta['name']!r} has learned ({error}).") from error
    return method


def saved_shape(path: str | Path) -> tuple[int, ...]:
    """The shape of the examples that a saved method was fitted on; () if the file does not say.

    Raises:
        UserError: as `load_method`, for a missing or damaged file.
    """
    _, meta, state = _read(Path(path))
    return meta.get("image_shape") or (DataForm.from_tensor(state["form"]).image_shape if "form" in state else ())


def saved_beside(path: str | Path) -> dict[str, Tensor]:
    """The other tensors that were saved with a method, by name.

    Raises:
        UserError: as `load_method`, for a missing or damaged file.
    """
    _, _, state = _read(Path(path))
    return {name.removeprefix(_BESIDE): t for name, t in state.items() if name.startswith(_BESIDE)}


def _read(path: Path) -> tuple[Path, _Saved, dict[str, Tensor]]:
    """The file, its description of the method, and the method's state."""
    if path.is_dir():
        path = plain(path / MODEL, below=path)
        if not path.exists():
            raise UserError(
                f"{path.parent} keeps no fitted method: no cell ended there, or it ran with --no-models or an older "
                "cabench. Name a finished cell, or compute it again with `cabench run --force`."
            )
    if not path.exists():
        raise UserError(f"There is no file or folder {path}; name a finished cell, or a file that save_method wrote.")
    try:
        if not path.is_file():  # a pipe would be waited for
            raise ValueError("it is no regular file")
        with safe_open(path, framework="pt") as file:
            meta = parse_json((file.metadata() or {})["cabench"], _Saved)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the file is no mapping
    except (OSError, KeyError, ValueError, MemoryError, safetensors.SafetensorError) as error:
        raise UserError(f"{path} is not a method saved by cabench ({error}).") from error
    return path, meta, state
