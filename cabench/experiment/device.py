"""Which device and precision a run uses."""

from __future__ import annotations

import re

import torch

from cabench.context import Precision
from cabench.errors import UserError


def resolve_device(name: str) -> torch.device:
    """The device behind "auto", "cpu", "cuda" or "cuda:1"; "auto" takes the first CUDA device, else the processor.

    Raises:
        UserError: for another name, or a CUDA device that is not there. Nothing falls back to the processor.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:[0-9]{1,3})?", name):
        raise UserError(f"Unknown device {name!r}; use auto, cpu, cuda or cuda:<number>.")
    kind, _, index = name.partition(":")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"Device {name!r} was asked for, but {torch.cuda.device_count()} CUDA devices are visible; "
            "use --device cpu, or check the driver and CUDA_VISIBLE_DEVICES."
        )
    return torch.device(name)


def check_gpu(name: str) -> None:
    """Refuse to compute cells that need a GPU alone where a run is on the processor.

    Args:
        name: of the run's device, as of `resolve_device`.

    Raises:
        UserError: saying what to do; and as `resolve_device` does.
    """
    if resolve_device(name).type == "cpu":
        found = "cpu was asked for" if name == "cpu" else "there is none here"
        raise UserError(f"--only-gpu is for runs on a GPU, but {found}; leave it out, or see --device.")


def resolve_precision(name: str, device: torch.device) -> Precision:
    """The precision behind "auto", "fp32" or "bf16"; "auto" takes bf16 on GPUs that compute it natively, else fp32.

    On the small networks of the quick profile two AVX512-bf16 cores gained 15 % from bf16 (sepclr in batches of 256:
    2,097 images/s in fp32, 2,400 in bf16, 20 steps). That is too little to give records of different processors
    different keys.

    Raises:
        UserError: for another name.
    """
    if name == "auto":
        native = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
        return "bf16" if native else "fp32"
    if name == "fp32":
        return "fp32"
    if name == "bf16":
        return "bf16"
    raise UserError(f"Unknown precision {name!r}; use auto, fp32 or bf16.")
