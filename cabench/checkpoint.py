"""The position of a training run, and checkpoints: one safetensors file with all it needs to continue. No pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.optim import Optimizer

from cabench.context import FitContext
from cabench.files.atomic import replacing, storing
from cabench.files.json import parse_json
from cabench.files.regular import is_regular

PLACE = Path("checkpoint") / "state.safetensors"  # in a cell's folder


class CheckpointMismatchError(Exception):
    """A checkpoint is damaged or belongs to another run."""


@dataclass
class Progress:
    """The position of a run. `step` counts within the epoch; `sums` holds the sums of the epoch's loss terms."""

    epoch: int = 0
    step: int = 0
    elapsed_s: float = 0.0
    names: list[str] = field(default_factory=list)
    sums: Tensor = field(default_factory=lambda: torch.zeros(0))
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_new(self) -> bool:
        """Whether no step was done."""
        return self.epoch == self.step == 0

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Add a step's terms to the sums, detached from their graphs."""
        values = torch.stack([term.detach().to(torch.float32) for term in terms.values()])
        self.sums = values if self.step == 0 else self.sums + values
        self.names = list(terms)
        self.step += 1

    def mean_terms(self) -> dict[str, float]:
        """The mean terms of the epoch so far; this waits until the device has computed them."""
        return dict(zip(self.names, (self.sums / self.step).tolist(), strict=True))

    def last_terms(self) -> dict[str, float]:
        """Likewise; at the start of an epoch, or if the device no longer answers, those of the last complete epoch."""
        if self.step > 0:
            with suppress(RuntimeError):
                return self.mean_terms()
        return dict(self.history[-1]["terms"]) if self.history else {}


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
            CheckpointMismatchError: when the file is damaged, even in one bit.
        """
        try:
            if not is_regular(path):
                raise ValueError("it is no regular file")
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            if metadata["sha256"] != _checksum(tensors, metadata["cabench"]):
                raise ValueError("its checksum does not match")
            return cls(tensors, parse_json(metadata["cabench"], dict[str, Any]))
        except Exception as error:  # readers may raise anything on damaged bytes
            raise CheckpointMismatchError(f"{path} cannot be read ({error})") from error

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors whose names start with `name` and a dot, under their names without this prefix."""
        prefix = f"{name}."
        return {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}


def keep(
    network: nn.Module,
    optimizers: Mapping[str, Optimizer],
    context: FitContext,
    progress: Progress,
    order_state: Tensor,
) -> None:
    """Write a checkpoint to the context's folder, if it has one.

    Args:
        network: its parameters and buffers.
        optimizers: by name.
        context: gives the identity, the random streams and the folder.
        progress: the position of the run.
        order_state: of the sampling generator, just before the epoch's order was drawn.

    Raises:
        StorageError: when it cannot be written, or the folder is no longer this process's own.
    """
    if context.folder is None:
        return
    context.check_folder()
    tensors = named("network", network.state_dict())
    packed = {name: pack_optimizer(optimizer) for name, optimizer in optimizers.items()}
    for name, (state, _) in packed.items():
        tensors |= named(f"optimizer.{name}", state)
    tensors |= named("random", context.randomness.state() | {"sampling": order_state})
    tensors["sums"] = progress.sums
    meta = {
        "identity": context.identity,
        "epoch": progress.epoch,
        "step": progress.step,
        "elapsed_s": progress.elapsed_s,
        "names": progress.names,
        "history": progress.history,
        "optimizers": {name: values for name, (_, values) in packed.items()},
    }
    Checkpoint(tensors, meta).save(context.folder / PLACE)


def resume(network: nn.Module, optimizers: Mapping[str, Optimizer], context: FitContext) -> Progress:
    """Load the checkpoint in the context's folder; without one, the run starts at its beginning.

    Raises:
        CheckpointMismatchError: when it is damaged or of another run. It is then set aside, and the random streams are
            restored; network and optimizers may hold parts of it.
    """
    if context.folder is None or not (path := context.folder / PLACE).exists():
        return Progress()
    untouched = context.randomness.state()
    try:
        return _take_over(network, optimizers, context, Checkpoint.load(path))
    except CheckpointMismatchError as error:
        aside = context.folder / "checkpoint.damaged"
        with storing():
            path.replace(aside)
        context.randomness.restore(untouched)
        raise CheckpointMismatchError(f"Checkpoint set aside as {aside}: {error}.") from error


def _take_over(
    network: nn.Module, optimizers: Mapping[str, Optimizer], context: FitContext, checkpoint: Checkpoint
) -> Progress:
    meta = checkpoint.meta
    if meta.get("identity") != context.identity:
        raise CheckpointMismatchError("it belongs to another run")
    try:
        sums = checkpoint.tensors["sums"].to(context.device)
        weights = checkpoint.part("network")
        for name, tensor in network.state_dict().items():
            if weights[name].dtype != tensor.dtype:
                raise ValueError(f"{name} is {weights[name].dtype}, not {tensor.dtype}")
        network.load_state_dict(weights)
        for name, optimizer in optimizers.items():
            unpack_optimizer(optimizer, checkpoint.part(f"optimizer.{name}"), meta["optimizers"][name])
        context.randomness.restore(checkpoint.part("random"))
        return Progress(meta["epoch"], meta["step"], meta["elapsed_s"], meta["names"], sums, meta["history"])
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # loading may raise anything on a foreign state
        raise CheckpointMismatchError(f"it does not fit this run ({error})") from error


def _checksum(tensors: Mapping[str, Tensor], meta: str) -> str:
    """SHA-256 of everything in a checkpoint; safetensors itself checks only that sizes fit. About 1 GB/s."""
    result = hashlib.sha256(meta.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        result.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        result.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return result.hexdigest()


def named(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, with `part` and a dot in front of their names."""
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
