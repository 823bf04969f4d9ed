"""Checkpoints: one safetensors file that holds all that a training run needs to continue exactly. No pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor
from torch.optim import Optimizer

from cabench.files.atomic import replacing
from cabench.files.json import parse_json


class CheckpointMismatchError(Exception):
    """A checkpoint is damaged or belongs to another run."""


@dataclass(frozen=True)
class Checkpoint:
    """A moment of a training run.

    Attributes:
        tensors: weights, optimizer states, generator states and running sums, by name.
        meta: JSON values: the run's identity, position, history, and the optimizers' hyper-parameters.
    """

    tensors: dict[str, Tensor]
    meta: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all."""
        # Copies, because safetensors refuses tensors that share memory, as those of a module used twice do.
        tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in self.tensors.items()}
        meta = json.dumps(self.meta)
        with replacing(path) as temporary:
            metadata = {"cabench": meta, "sha256": _checksum(tensors, meta)}
            safetensors.torch.save_file(tensors, temporary, metadata=metadata)

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a checkpoint.

        Raises:
            CheckpointMismatchError: when the file is damaged, be it in one bit.
        """
        try:
            if not path.is_file():  # a pipe would be waited for
                raise ValueError("it is no regular file")
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            if metadata["sha256"] != _checksum(tensors, metadata["cabench"]):
                raise ValueError("its checksum is another")
            return cls(tensors, parse_json(metadata["cabench"], dict[str, Any]))
        except Exception as error:  # whatever damaged bytes make of the readers
            raise CheckpointMismatchError(f"{path} cannot be read ({error})") from error

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors whose names start with `name` and a dot, without that start."""
        prefix = f"{name}."
        return {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}


def _checksum(tensors: Mapping[str, Tensor], meta: str) -> str:
    """SHA-256 of everything in a checkpoint; safetensors itself checks only that sizes fit. About 1 GB/s."""
    result = hashlib.sha256(meta.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        result.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        result.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return result.hexdigest()


def named(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under names that start with `part` and a dot."""
    return {f"{part}.{name}": tensor for name, tensor in tensors.items()}


def pack_optimizer(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's state as flat tensors ("<parameter index>.<key>") and its JSON values."""
    state = optimizer.state_dict()
    entries = [(f"{index}.{key}", value) for index, slots in state["state"].items() for key, value in slots.items()]
    tensors = {name: value for name, value in entries if isinstance(value, Tensor)}
    values = {name: value for name, value in entries if not isinstance(value, Tensor)}
    return tensors, {"param_groups": state["param_groups"], "values": values}


def unpack_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Give an optimizer the state that `pack_optimizer` took from another over the same parameters."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    slots: dict[int, dict[str, Any]] = {}
    for name, value in {**tensors, **meta["values"]}.items():
        index, key = name.split(".", 1)
        slots.setdefault(int(index), {})[key] = _laid_out_like(parameters[int(index)], value)
    groups = [
        {**group, "betas": tuple(group["betas"])} if "betas" in group else group for group in meta["param_groups"]
    ]
    optimizer.load_state_dict({"state": slots, "param_groups": groups})


def _laid_out_like(parameter: Tensor, value: Any) -> Any:
    """The value in the parameter's memory layout: fused optimizers walk both in the same order of memory."""
    if isinstance(value, Tensor) and value.shape == parameter.shape:
        return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    return value
