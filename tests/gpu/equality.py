"""Whether the device computes what the CPU computes: a training step and an encoding of every trained method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from gpu.common import PLAIN, Emit, Row, Scale, computing, context_on, distance, first_gradient
from torch import Tensor
from torch.overrides import TorchFunctionMode

from cabench.conformance import Subject, load_subject
from cabench.data.dataset import Population, as_float
from cabench.discovery import method_class, plugins
from cabench.training import Batch, GradientTrainedMethod

CPU = torch.device("cpu")
HALF = 32
# Relative. Sums of float32 products round in another order. First gradients are far more sensitive, because units cross
# zero: inputs moved by 2^-13 of themselves move SepCLR's by a twentieth, and the root of what they are moved by counts.
VECTORS, TERMS, GRADIENT = 1e-4, 1e-4, 2e-2


class DrawnOnTheCPU(TorchFunctionMode):
    """What a generator of the CPU draws for another device is drawn on the CPU and sent."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("generator") is None or "device" not in kwargs:
            return func(*args, **kwargs)
        return func(*args, **kwargs | {"device": CPU}).to(kwargs["device"])


def equality(emit: Emit, device: torch.device, scale: Scale) -> None:
    """A row for each method: how far its vectors, loss terms and first gradient are from the CPU's."""
    for name in plugins("methods"):
        if issubclass(method_class(name), GradientTrainedMethod):
            subject = load_subject(name)
            with computing(PLAIN):
                expected, found = results(subject, CPU), results(subject, device)
            apart = {part: distance(found[part], value) for part, value in expected.items()}
            tolerated = {"vectors": VECTORS, "terms": TERMS, "gradient": GRADIENT}
            wrong = [part for part, value in apart.items() if not value <= tolerated[part]]
            fault = f"more than {tolerated[wrong[0]]:g}" if wrong else ""
            emit(Row(name, ", ".join(f"{part} {value:.1e}" for part, value in apart.items()), "", fault))


def results(subject: Subject, device: torch.device) -> dict[str, Tensor]:
    """On the CPU: vectors of the untrained method, the loss terms of its first step, and the gradient."""
    method, context = subject.new(), context_on(device, "fp32")
    assert isinstance(method, GradientTrainedMethod)
    context.randomness.noise = _saying(device, context_on(CPU, "fp32").randomness.noise)
    method.prepare(subject.data.info.form, device, context.randomness.initialisation())
    method.optimizers = method.make_optimizers()
    method.network.train()
    method.begin_epoch()
    background, target = (_batch(part, device) for part in (subject.data.background, subject.data.target))
    vectors = torch.cat([part.cpu() for part in method.encode(background.images)], dim=1)
    with DrawnOnTheCPU():
        gradient, terms = first_gradient(method, (background, target), context)
    return {"vectors": vectors, "terms": torch.stack([term.cpu() for term in terms.values()]), "gradient": gradient}


def _saying(device: torch.device, generator: torch.Generator) -> torch.Generator:
    """A generator of the CPU in the same state, which says that it is one of the device."""
    kind = type("Generator", (torch.Generator,), {"device": device})
    said = kind()
    said.set_state(generator.get_state())
    return said


def _batch(population: Population, device: torch.device) -> Batch:
    attributes = {name: torch.from_numpy(values[:HALF]) for name, values in population.attributes.items()}
    floats = {name: (t.float() if t.is_floating_point() else t).to(device) for name, t in attributes.items()}
    return Batch(as_float(population.images[:HALF].to(device)), floats)
