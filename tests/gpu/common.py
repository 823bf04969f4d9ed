"""What the sections of `gpu_day.py` share: what they report, how large they are, and how time is taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from cabench.context import FitContext, Precision, Randomness
from cabench.experiment.request import ResolvedProfile
from cabench.profiles import load_profile
from cabench.training import Batch, GradientTrainedMethod

CALLS = 5  # between two looks at the clock: a GPU is given work ahead, as in training


class Row(NamedTuple):
    """A line of the table.

    Attributes:
        what: was measured.
        value: a number, or text.
        unit: of the number.
        fault: what is wrong with it, or nothing.
    """

    what: str
    value: float | str
    unit: str = ""
    fault: str = ""


Emit = Callable[[Row], None]


class Scale(NamedTuple):
    """How large the measurements are.

    Attributes:
        profile: where methods have their settings from, with `dataset` the data set that they have them for.
        dataset: see `profile`.
        shape: of the images, which are noise.
        methods: whose steps are timed.
        matrix: the side of the square matrices whose product is the peak.
        views: batches that views are drawn of.
        seconds: that a timing goes on for.
        rows: of each population in the `paper` section.
        seeds: at once and one after another.
        run: the data set and profile whose cells are computed in processes.
        sets: changes of that data set.
    """

    profile: str
    dataset: str
    shape: tuple[int, int, int]
    methods: tuple[str, ...]
    matrix: int
    views: tuple[int, ...]
    seconds: float
    rows: int
    seeds: int
    run: tuple[str, str]
    sets: tuple[str, ...]


FULL = Scale(
    profile="paper",
    dataset="cifar_mnist",
    shape=(3, 32, 32),
    methods=("sepclr", "mmcvae", "sepvae", "double_infogan"),
    matrix=8192,
    views=(64, 512),
    seconds=2.0,
    rows=25_000,
    seeds=5,
    run=("dsprites", "quick"),
    sets=(),
)
SMALL = Scale(
    profile="smoke",
    dataset="planted",
    shape=(1, 32, 32),
    methods=("sepclr", "sepvae"),
    matrix=256,
    views=(16,),
    seconds=0.02,
    rows=64,
    seeds=2,
    run=("planted", "smoke"),
    sets=("planted.repeats=1",),
)


class Arithmetic(NamedTuple):
    """How numbers are multiplied.

    Attributes:
        name: in the table.
        precision: of the networks, as a run is told it.
        tf32: whether a GPU may round factors of float32 products to 10 bits, as torch has it do in convolutions.
        dtype: of the matrices whose product is the peak.
    """

    name: str
    precision: Precision
    tf32: bool
    dtype: torch.dtype


PLAIN = Arithmetic("fp32", "fp32", False, torch.float32)
ARITHMETICS = (
    PLAIN,
    Arithmetic("fp32 with TF32", "fp32", True, torch.float32),
    Arithmetic("bf16", "bf16", True, torch.bfloat16),
)


@contextmanager
def computing(arithmetic: Arithmetic) -> Iterator[None]:
    """Multiply so within the block."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = arithmetic.tf32
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


def method_at(scale: Scale, name: str) -> GradientTrainedMethod:
    """A method with its settings of the scale's profile."""
    method = ResolvedProfile(load_profile(scale.profile)).method(name, scale.dataset)
    assert isinstance(method, GradientTrainedMethod)
    return method


def context_on(device: torch.device, precision: Precision) -> FitContext:
    """A context with the random streams of seed 0."""
    return FitContext(device, precision, Randomness(0, "gpu_day", device))


def noise_batches(method: GradientTrainedMethod, shape: tuple[int, ...], device: torch.device) -> tuple[Batch, Batch]:
    """Both halves of a batch of the method's own size, of random images without attributes."""
    generator = torch.Generator().manual_seed(0)
    halves = torch.rand(2, method.config.batch_size // 2, *shape, generator=generator)
    background, target = (Batch(half.to(device, memory_format=torch.channels_last), {}) for half in halves)
    return background, target


def first_gradient(
    method: GradientTrainedMethod, batches: tuple[Batch, Batch], context: FitContext
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """The gradients that one step leaves, as one vector on the CPU, and the loss terms; the weights stay."""
    for optimizer in method.optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = 0.0
    terms = method.training_step(*batches, context)
    found = [weights.grad.flatten().cpu() for weights in method.network.parameters() if weights.grad is not None]
    return torch.cat(found), terms


def distance(found: Tensor, expected: Tensor) -> float:
    """Relative to the length of what was expected; both on the CPU."""
    return ((found - expected).norm() / expected.norm().clamp(min=torch.finfo(expected.dtype).tiny)).item()


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """The least time of one call, over some seconds of calls after two that are not counted."""
    for _ in range(2):
        work()
    least, end = float("inf"), time.perf_counter() + seconds
    while True:
        synchronise(device)
        started = time.perf_counter()
        for _ in range(CALLS):
            work()
        synchronise(device)
        done = time.perf_counter()
        least = min(least, (done - started) / CALLS)
        if done > end:
            return least
