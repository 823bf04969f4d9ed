"""Every network method trains, encodes and decodes on a CUDA device that is not there, without a GPU.

Fake tensors have shapes, types and a device, but no numbers; an operation on tensors of two devices raises. Run are the
training step with its views, losses, gradients and optimizers, `encode`, `decode`, and the training loop. Left out is
what needs numbers or a driver: `fit` of methods that measure their data on the CPU before the loop, bf16 autocast,
which torch switches off where no GPU is, cuDNN, and the NumPy arrays that `encode_images` ends in.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily

from cabench.conformance import Subject, context, load_subject
from cabench.context import FitContext
from cabench.data.dataset import as_float
from cabench.discovery import method_class, plugins
from cabench.method import Generative, NetworkMethod, Representation
from cabench.methods.sepclr import SepCLR
from cabench.methods.sepvae import SepVAE
from cabench.training import Batch, GradientTrainedMethod, train

CPU, CUDA = torch.device("cpu"), torch.device("cuda:0")
NETWORKS = [name for name in plugins("methods") if issubclass(method_class(name), NetworkMethod)]
HALF = 8  # rows of a batch from each population
STEPS = 2  # the first makes the optimizers' states
VIEWS = "cabench.methods.shared.views"  # what they draw on the CPU is all that a step may send


class FakeCuda(FakeTensorMode):
    """Within the block tensors are fake, those made before it are taken for CPU tensors, and transfers are listed.

    A number that is read is 0, or True: what is drawn on the CPU may be looked at, as the views do.

    Attributes:
        waits: wherever the host needs a number from the device: the functions of cabench on the stack, innermost first.
        sent: likewise, wherever a tensor of the CPU is sent to the device.
    """

    def __init__(self) -> None:
        super().__init__(allow_non_fake_inputs=True, allow_fallback_kernels=False)
        self.waits: list[list[str]] = []
        self.sent: list[list[str]] = []

    def dispatch(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        aten = torch.ops.aten
        if func is aten._local_scalar_dense.default:
            if args[0].device == CUDA:
                self.waits.append(functions_of_cabench())
            return {torch.bool: True}.get(args[0].dtype, 0.0 if args[0].is_floating_point() else 0)
        # torch has no rule for what these two give.
        if func is aten._pdist_forward.default:
            return args[0].new_empty(len(args[0]) * (len(args[0]) - 1) // 2)
        if func is aten._pdist_backward.default:
            return torch.empty_like(args[1])
        result = super().dispatch(func, types, args, kwargs)
        if func is aten._to_copy.default and args[0].device != result.device:
            (self.sent if result.device == CUDA else self.waits).append(functions_of_cabench())
        return result


def functions_of_cabench() -> list[str]:
    """The functions of cabench and its methods that are being executed, innermost first: "module.function"."""
    frame, found = sys._getframe(), []
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("cabench."):
            found.append(f"{module}.{frame.f_code.co_name}")
        frame = frame.f_back
    return found


class DeviceNoise(torch.Generator):
    """A generator of the CPU that says it is one of the device, which only a driver can make."""

    device = CUDA


def backward(loss: Tensor) -> None:
    """`loss.backward()` in Python: torch's own starts a thread on the device."""
    gradients = {loss.grad_fn: {0: torch.ones_like(loss)}}
    with torch.no_grad():
        for node in from_the_loss(loss.grad_fn):
            if node not in gradients:
                continue
            received = gradients.pop(node)
            if hasattr(node, "variable"):
                parameter = node.variable
                parameter.grad = received[0] if parameter.grad is None else parameter.grad + received[0]
                continue
            given = node(*(received.get(output) for output in range(len(node._input_metadata))))
            for (source, output), gradient in zip(
                node.next_functions, given if isinstance(given, tuple) else (given,), strict=True
            ):
                if source is None or gradient is None:
                    continue
                wanted = source._input_metadata[output]
                assert gradient.device == wanted.device, f"a gradient of {source} is on {gradient.device}"
                slots = gradients.setdefault(source, {})
                gradient = gradient.sum_to_size(wanted.shape)  # where one was broadcast
                slots[output] = gradient if output not in slots else slots[output] + gradient


def from_the_loss(root: Any) -> list[Any]:
    """The nodes of a graph, each before those that its gradients go to."""
    seen, order, stack = set(), [], [(root, False)]
    while stack:
        node, is_complete = stack.pop()
        if is_complete:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(source, False) for source, _ in node.next_functions if source is not None]
    return order[::-1]


@pytest.fixture
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCuda]:
    """A block of fake tensors, in which methods are built on the fake device, with weights drawn before."""

    def prepare(method: NetworkMethod, form: Any, device: torch.device, generator: torch.Generator) -> None:
        with unset_fake_temporarily():
            original(method, form, CPU, generator)
        method.network.to(device)

    original = NetworkMethod.prepare
    monkeypatch.setattr(NetworkMethod, "prepare", prepare)
    monkeypatch.setattr(Tensor, "backward", backward)
    with torch.backends.cudnn.flags(enabled=False), FakeCuda() as mode:
        yield mode


@contextmanager
def watched(mode: FakeCuda) -> Iterator[None]:
    """In the block the host waits for nothing, and nothing is sent but what views draw."""
    mode.waits.clear()
    mode.sent.clear()
    yield
    assert mode.waits == []
    assert [stack for stack in mode.sent if not any(name.startswith(VIEWS) for name in stack)] == []


def surroundings() -> FitContext:
    """A context on the fake device."""
    found = context(device=CUDA)
    found.randomness.noise = DeviceNoise()
    return found


def batches(subject: Subject) -> Iterator[Batch]:
    """Half a batch of each population on the fake device, with the attributes that the loop gives."""
    for part in (subject.data.background, subject.data.target):
        attributes = {}
        if subject.kind.supervised:
            tensors = {name: torch.from_numpy(values[:HALF]) for name, values in part.attributes.items()}
            attributes = {name: (t.float() if t.is_floating_point() else t).to(CUDA) for name, t in tensors.items()}
        yield Batch(as_float(part.images[:HALF].to(CUDA)), attributes)


def loaded(name: str, kind: type[NetworkMethod] | None = None) -> tuple[Subject, NetworkMethod]:
    """A method's subject, and a new method of it, or of a subclass."""
    with unset_fake_temporarily():
        subject = load_subject(name)
        return subject, (kind or subject.kind)(subject.config)


def step(mode: FakeCuda, subject: Subject, method: GradientTrainedMethod) -> None:
    """A few training steps."""
    around = surroundings()
    method.prepare(subject.data.info.form, CUDA, around.randomness.initialisation())
    method.optimizers = method.make_optimizers()
    method.network.train()
    method.begin_epoch()
    half = list(batches(subject))
    for _ in range(STEPS):
        with watched(mode):
            terms = method.training_step(*half, around)
        assert {name: (term.device, term.shape) for name, term in terms.items()} == dict.fromkeys(terms, (CUDA, ()))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_method_stays_on_one_device(name: str, fake_cuda: FakeCuda) -> None:
    subject, method = loaded(name)
    if isinstance(method, GradientTrainedMethod):
        step(fake_cuda, subject, method)
    else:
        method.prepare(subject.data.info.form, CUDA, surroundings().randomness.initialisation())
    assert {tensor.device for tensor in method.network.state_dict().values()} == {CUDA}
    images = torch.rand(HALF, *subject.data.info.image_shape)
    for device in (CPU, CUDA):
        vectors = Representation(*(part.to(device) for part in method.encode(images)))
        assert all(len(part) == HALF for part in vectors)
        if isinstance(method, Generative):
            assert method.decode(vectors).shape == images.shape


def test_the_loop_waits_for_the_device_once_an_epoch(fake_cuda: FakeCuda) -> None:
    subject, method = loaded("sepvae")
    train(method, subject.data, surroundings())
    assert {stack[0] for stack in fake_cuda.waits} == {"cabench.checkpoint.mean_terms"}
    assert {stack[0] for stack in fake_cuda.sent if stack[0] != "cabench.training._build"} == {
        "cabench.training.of",
        "cabench.training._draw_order",
    }


class MakesATensorOnTheCPU(SepCLR):
    def loss_terms(self, first, second, backgrounds):
        terms = super().loss_terms(first, second, backgrounds)
        ones = torch.ones(first.common.shape)
        return terms | {"total": terms["total"] + (first.common - ones).square().mean()}


class KeepsAConstantOnTheCPU(SepVAE):
    WEIGHTS = torch.ones(64)

    def decoded(self, common, salient):
        return super().decoded(common * self.WEIGHTS[: common.shape[1]], salient)


@pytest.mark.parametrize("kind", [MakesATensorOnTheCPU, KeepsAConstantOnTheCPU])
def test_tensors_of_two_devices_are_found(kind: type[GradientTrainedMethod], fake_cuda: FakeCuda) -> None:
    subject, method = loaded(kind.name, kind)
    with pytest.raises(RuntimeError, match=r"two devices, cuda:0 and cpu|same device"):
        step(fake_cuda, subject, method)


class ReadsTheLoss(SepVAE):
    def training_step(self, background, target, context):
        terms = super().training_step(background, target, context)
        return terms if terms["total"].item() < 1e9 else {}


class SendsATensor(SepVAE):
    def training_step(self, background, target, context):
        terms = super().training_step(background, target, context)
        return terms | {"total": terms["total"] * torch.ones(()).to(context.device)}


@pytest.mark.parametrize("kind", [ReadsTheLoss, SendsATensor])
def test_transfers_within_a_step_are_found(kind: type[GradientTrainedMethod], fake_cuda: FakeCuda) -> None:
    subject, method = loaded(kind.name, kind)
    with pytest.raises(AssertionError, match=r"^assert \[\["):
        step(fake_cuda, subject, method)


def test_gradients_are_those_of_torch() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    images, shift = torch.rand(6, 3, 8, 8), nn.Parameter(torch.rand(1, 5))
    leaves = [*network.parameters(), shift]

    def loss() -> Tensor:
        outputs = network(images) * shift + shift
        return torch.pdist(outputs).square().mean() + torch.cat(outputs.chunk(2, 1)[:1]).exp().sum()

    expected = torch.autograd.grad(loss(), leaves)
    backward(loss())
    for leaf, gradient in zip(leaves, expected, strict=True):
        torch.testing.assert_close(leaf.grad, gradient)
