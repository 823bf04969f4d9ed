"""How fast the device is: products of matrices, training steps, their bare networks, and views."""

from __future__ import annotations

from collections.abc import Callable

import torch
from gpu.common import (
    ARITHMETICS,
    Arithmetic,
    Emit,
    Row,
    Scale,
    computing,
    context_on,
    distance,
    first_gradient,
    method_at,
    noise_batches,
    seconds_of,
)
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import FlopCounterMode

from cabench.context import FitContext
from cabench.data.dataset import DataForm
from cabench.experiment.provenance import peak_memory_gib
from cabench.methods.shared.views import ViewLearner
from cabench.training import Batch, GradientTrainedMethod


def peak(arithmetic: Arithmetic, device: torch.device, scale: Scale) -> float:
    """Operations a second of a product of square matrices."""
    factors = torch.ones(2, scale.matrix, scale.matrix, device=device, dtype=arithmetic.dtype)
    with computing(arithmetic):
        return 2 * scale.matrix**3 / seconds_of(lambda: factors[0] @ factors[1], device, scale.seconds / 4)


def steps(emit: Emit, device: torch.device, scale: Scale) -> None:
    """Rows of whole training steps of each method, views and optimizers included, in every arithmetic."""
    peaks = {arithmetic: peak(arithmetic, device, scale) for arithmetic in ARITHMETICS}
    for arithmetic, value in peaks.items():
        emit(Row(f"product of matrices of side {scale.matrix}, {arithmetic.name}", value / 1e12, "TFLOP/s"))
    for name in scale.methods:
        gradients = {}
        for arithmetic in ARITHMETICS:
            called = f"{name}, {arithmetic.name}"
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            method, context = method_at(scale, name), context_on(device, arithmetic.precision)
            prepare(method, scale, context)
            batches = noise_batches(method, scale.shape, device)
            images = 2 * len(batches[0].images)
            with computing(arithmetic):
                gradients[arithmetic.name] = first_gradient(method, batches, context)[0]
                with FlopCounterMode(display=False) as counter:
                    method.training_step(*batches, context)
                whole = seconds_of(lambda m=method, c=context, b=batches: m.training_step(*b, c), device, scale.seconds)
                networks = seconds_of(bare_networks(method, batches, context), device, scale.seconds / 2)
            share = counter.get_total_flops() / whole / peaks[arithmetic]
            emit(Row(f"{called}: step of {images} images", 1e3 * whole, "ms"))
            emit(Row(f"{called}: over its bare networks", whole / networks, "times"))
            emit(Row(f"{called}: speed", images / whole, "images/s"))
            emit(Row(f"{called}: share of the product's speed", 100 * share, "%"))
            emit(Row(f"{called}: most memory so far", peak_memory_gib(device), "GiB"))
        for arithmetic in ARITHMETICS[1:]:
            apart = distance(gradients[arithmetic.name], gradients["fp32"])
            emit(Row(f"{name}, {arithmetic.name}: first gradient from fp32's", 100 * apart, "%"))


def prepare(method: GradientTrainedMethod, scale: Scale, context: FitContext) -> None:
    """Give a method fresh weights and optimizers on the context's device."""
    method.prepare(DataForm(scale.shape, ()), context.device, context.randomness.initialisation())
    method.optimizers = method.make_optimizers()
    method.network.train()
    method.begin_epoch()


def bare_networks(
    method: GradientTrainedMethod, batches: tuple[Batch, Batch], context: FitContext
) -> Callable[[], None]:
    """The forward and backward passes of a step's networks, on the same inputs, without all else."""
    calls = []

    def note(module: nn.Module, args: tuple, kwargs: dict) -> None:
        alone = tree_map_only(torch.Tensor, lambda x: x.detach().requires_grad_(x.requires_grad), (args, kwargs))
        calls.append((module, torch.is_grad_enabled(), *alone))

    networks = [module for module in method.network.children() if any(True for _ in module.parameters())]
    hooks = [module.register_forward_pre_hook(note, with_kwargs=True) for module in networks]
    method.training_step(*batches, context)
    for hook in hooks:
        hook.remove()

    def passes() -> None:
        method.network.zero_grad(set_to_none=True)
        for module, has_gradient, args, kwargs in calls:
            with torch.set_grad_enabled(has_gradient), context.autocast():
                outputs = [output for output in tree_leaves(module(*args, **kwargs)) if output.requires_grad]
            torch.autograd.backward(outputs, [torch.ones_like(output) for output in outputs])

    return passes


def views(emit: Emit, device: torch.device, scale: Scale) -> None:
    """A row for each size of a batch: random views of images, as SepCLR draws them."""
    method, context = method_at(scale, "sepclr"), context_on(device, "fp32")
    assert isinstance(method, ViewLearner)
    for count in scale.views:
        images = torch.rand(count, *scale.shape).to(device, memory_format=torch.channels_last)
        least = seconds_of(lambda x=images: method.views(x, context.randomness.augmentation), device, scale.seconds)
        emit(Row(f"views of {count} images", 1e3 * least, "ms"))
        emit(Row(f"views of {count} images: speed", count / least, "images/s"))
