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
    check_device(name)
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


def check_device(name: str) -> None:
    """Refuse what is no name of a device, on whatever machine.

    Raises:
        UserError: naming those that are.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", name):
        raise UserError(f"Unknown device {name!r}; use auto, cpu, cuda or cuda:<number>.")


def resolve_precision(name: str) -> Precision:
    """The precision behind "auto", "fp32" or "bf16"; "auto" is fp32 on every device.

    No reference script asks for less, and no seeds have shown yet that scores agree. Of an untrained deep network that
    normalises its batches, the first gradient under bf16 differs from that in fp32 by a third of its length, because
    rounding moves units across zero (tests/methods/test_bf16.py). And a precision that followed from the device would
    give records of different machines different keys.

    Raises:
        UserError: for another name.
    """
    if name in ("auto", "fp32"):
        return "fp32"
    if name == "bf16":
        return "bf16"
    raise UserError(f"Unknown precision {name!r}; use auto, fp32 or bf16.")
