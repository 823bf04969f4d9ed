"""Under bf16 the networks alone lose precision: losses are computed in float32. How far first gradients move for that.

Where the gradients of SepCLR's and SimCLR's first step move by a third of their length, it is neither the kernels nor
their weights, but the untrained trunk: rounding moves units across zero, and the encodings of different images differ
little at first. Measured on the CPU, SepCLR's `paper` networks, 32 + 32 images of `cifar_mnist`, relative to float32:

    bf16 autocast                                                       0.31 (SimCLR on the same trunk 0.36)
    all linear layers, projectors included, in float32                  0.31
    all of the two last of four stages and what follows in float32      0.31
    the first convolution, and the first of four stages, in float32     0.18
    activations rounded to bf16, all else float32                       0.26
    gradients of activations rounded to bf16, all else float32          0.006
    nothing rounded, inputs moved by up to 2^-9 of themselves           0.19

So no cheap part can be kept in float32. The deviation looks like noise: it falls with the root of the number of
batches, 0.31 of one batch and 0.18 of the mean of twelve, whose own length is half that of one; and the gradients of
two batches differ by about their length.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cabench.conformance import Subject, context, load_subject
from cabench.context import Precision
from cabench.data.dataset import Population, as_float
from cabench.discovery import method_class, plugins
from cabench.training import Batch, GradientTrainedMethod

TRAINED = [name for name in plugins("methods") if issubclass(method_class(name), GradientTrainedMethod)]
HALF = 24  # rows of a batch from each population
# Seen of three seeds, at most 0.066, and 0.37 where views are contrasted.
FARTHEST = 0.15
CONTRASTED = {"sepclr": 0.5, "simclr": 0.5}

Change = Callable[[nn.ModuleDict], None]


def first_gradient(subject: Subject, precision: Precision, change: Change = lambda network: None) -> Tensor:
    """The gradients that the first training step leaves, as one vector."""
    method, surroundings = subject.new(), context(precision=precision)
    assert isinstance(method, GradientTrainedMethod)
    method.prepare(subject.data.info.form, torch.device("cpu"), surroundings.randomness.initialisation())
    change(method.network)
    method.optimizers = method.make_optimizers()
    for optimizer in method.optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = 0.0  # a step of an adversary leaves the weights as they are
    method.network.train()
    method.begin_epoch()
    method.training_step(batch(subject.data.background), batch(subject.data.target), surroundings)
    return torch.cat([weights.grad.flatten() for weights in method.network.parameters() if weights.grad is not None])


def batch(population: Population) -> Batch:
    attributes = {name: torch.from_numpy(values[:HALF]) for name, values in population.attributes.items()}
    floats = {name: t.float() if t.is_floating_point() else t for name, t in attributes.items()}
    return Batch(as_float(population.images[:HALF]), floats)


def in_float32(network: nn.ModuleDict) -> None:
    """Have the modules leave autocast."""
    for module in network.children():
        module.forward = torch.autocast("cpu", enabled=False)(module.forward)


class Rounded(torch.autograd.Function):
    """Rounds activations to bf16, and lets gradients pass."""

    @staticmethod
    def forward(ctx, activations):
        return activations.bfloat16().float()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class RoundedGradients(torch.autograd.Function):
    """Rounds gradients to bf16, and lets activations pass."""

    @staticmethod
    def forward(ctx, activations):
        return activations.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient.bfloat16().float()


def after_every_layer(function: type[torch.autograd.Function]) -> Change:
    def change(network: nn.ModuleDict) -> None:
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d):
                module.register_forward_hook(lambda module, inputs, output: function.apply(output))

    return change


def distance(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("name", TRAINED)
def test_networks_alone_lose_precision(name: str) -> None:
    subject = load_subject(name)
    assert torch.equal(first_gradient(subject, "bf16", in_float32), first_gradient(subject, "fp32"))


@pytest.mark.parametrize("name", TRAINED)
def test_first_gradients_stay_near_those_in_float32(name: str) -> None:
    subject = load_subject(name)
    moved = distance(first_gradient(subject, "bf16"), first_gradient(subject, "fp32"))
    assert 0 < moved < CONTRASTED.get(name, FARTHEST)


@pytest.mark.parametrize("name", CONTRASTED)
def test_rounded_activations_move_them_and_rounded_gradients_do_not(name: str) -> None:
    subject = load_subject(name)
    exact = first_gradient(subject, "fp32")
    moved = distance(first_gradient(subject, "fp32", after_every_layer(Rounded)), exact)
    moved_back = distance(first_gradient(subject, "fp32", after_every_layer(RoundedGradients)), exact)
    assert moved > 0.05
    assert moved_back < 0.02
