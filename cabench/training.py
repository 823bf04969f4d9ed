"""The training loop of every gradient-trained method: one loop, read from top to bottom.

Background and target images stay on the device as uint8. Each step draws half a batch of each, so that it sees two
tensors of fixed shape (the reference codes draw a random mix). Nothing inside a step waits for the device: loss terms
are summed there and read once per epoch, when they are logged and checked to be finite.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from cabench.checkpoint import CheckpointMismatchError, Progress, keep, resume
from cabench.config import Settings, setting
from cabench.context import FitContext
from cabench.data.dataset import ContrastiveDataset, DatasetInfo, Population, as_float
from cabench.errors import StopRequested, UserError
from cabench.files.atomic import append_line, write_text
from cabench.method import NetworkMethod

SMALLEST_BATCH = 4


@dataclass(frozen=True)
class TrainingConfig(Settings):
    """Settings of the loop; the configuration of a gradient-trained method derives from it."""

    epochs: int = setting(100, at_least=1, help="passes over the training images")
    batch_size: int = setting(
        128,
        at_least=SMALLEST_BATCH,
        help="images or rows per step, half of them background; where there are fewer, all of them",
    )


class Batch(NamedTuple):
    """What a step sees of one population.

    Attributes:
        images: float32 (n, channels, height, width) in [0, 1]; of a table float32 (n, features). On the device.
        attributes: by name, (n,) int64 class indices (-1 = undefined) or float32 (NaN = undefined) on the device.
            Empty for methods that are not `supervised`.
    """

    images: Tensor
    attributes: Mapping[str, Tensor]


class NonFiniteLossError(ArithmeticError):
    """A loss term became infinite or NaN.

    Attributes:
        step: the number of steps done when it was noticed, at the end of an epoch.
        terms: the epoch's mean of every term.
    """

    def __init__(self, step: int, terms: Mapping[str, float]) -> None:
        self.step = step
        self.terms = dict(terms)
        wrong = ", ".join(name for name, value in terms.items() if not math.isfinite(value))
        super().__init__(f"The loss was no longer finite by step {step} (terms: {wrong}); try a smaller learning rate.")


class OutOfMemoryError(RuntimeError):
    """The device has no room for a training step."""

    def __init__(self, method: str, device: torch.device, batch_size: int, error: torch.OutOfMemoryError) -> None:
        half = batch_size // 2
        advice = f"set {method}.batch_size to {half} or less" if half >= SMALLEST_BATCH else "use another device"
        cause = str(error).split("\n", 1)[0].rstrip(".")
        super().__init__(f"No room on {device} for a step on {batch_size} images ({cause}); {advice}.")


class GradientTrainedMethod(NetworkMethod):
    """A method trained by gradient steps: it supplies a network, optimizers and one training step.

    Attributes:
        config: derives from `TrainingConfig`.
        optimizers: by name, as `make_optimizers` gave them.
        unmoved: parameters that training does not change, with the reason.
        loss_may_rise: why "total" need not fall while the method learns, as where an adversary learns too; empty where
            it does.
    """

    config: TrainingConfig
    optimizers: dict[str, Optimizer]
    unmoved: ClassVar[Mapping[str, str]] = {}
    loss_may_rise: ClassVar[str] = ""

    def check(self, info: DatasetInfo) -> None:
        """Refuse a training split that is smaller than the smallest batch."""
        rows, examples = sum(info.counts["train"].values()), "rows" if info.is_table else "images"
        if rows < SMALLEST_BATCH:
            raise UserError(
                f"{self.name} needs {SMALLEST_BATCH} training {examples}, but {info.called} has {rows}; use more "
                f"{examples}."
            )

    @abstractmethod
    def make_optimizers(self) -> dict[str, Optimizer]:
        """Optimizers over the parameters of `network`, by name."""

    def warm_start(self) -> None:
        """Called where a run begins, once weights are drawn, but not where it goes on; for weights from elsewhere."""

    def begin_epoch(self) -> None:
        """Called before the first step of every epoch; for what is made anew in each epoch."""

    @abstractmethod
    def training_step(self, background: Batch, target: Batch, context: FitContext) -> dict[str, Tensor]:
        """Update the network once: losses, gradients and the step of every optimizer.

        Args:
            background: half a batch of background images.
            target: as many target images.
            context: gives `autocast()` and the random streams.

        Returns:
            0-d loss terms by name, the same names in each step; "total" is the loss to watch. The loop detaches them.
        """

    def fit(self, data: ContrastiveDataset, context: FitContext) -> None:
        """See `ContrastiveAnalysisMethod.fit`."""
        train(self, data, context)


def descend(optimizer: Optimizer, loss: Tensor) -> None:
    """One gradient step of `optimizer` on a 0-d `loss`."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def weighted_sum(terms: Mapping[str, Tensor], config: Settings) -> Tensor:
    """The sum of 0-d loss terms. Term "x" is multiplied by the setting `x_weight`, or by 1 where there is none."""
    return reduce(add, (getattr(config, f"{name}_weight", 1.0) * term for name, term in terms.items()))


def train(method: GradientTrainedMethod, data: ContrastiveDataset, context: FitContext) -> None:
    """Train `method` for `config.epochs` epochs, continuing from the context's checkpoint where there is one.

    An epoch has (background + target images) // batch_size steps, and draws both populations without replacement; a
    population that is too small for its half is drawn again, in a new order. A batch has no more images than there are.

    Raises:
        NonFiniteLossError: at the end of the epoch in which a loss term was not finite.
        OutOfMemoryError: naming the batch size.
        StopRequested: after a checkpoint was written, when the context asked to stop.
        StorageError: when a checkpoint or the log cannot be written.
    """
    progress = _begin(method, data.info, context)
    background, target = (_Rows.of(part, method.supervised, context.device) for part in (data.background, data.target))
    batch_size = min(method.config.batch_size, len(background.images) + len(target.images))
    try:
        with context.stop.heeded():
            _loop(method, background, target, batch_size, context, progress)
    except torch.OutOfMemoryError as error:
        context.cost.last_terms = progress.last_terms()
        raise OutOfMemoryError(method.name, context.device, batch_size, error) from error
    except Exception:
        context.cost.last_terms = progress.last_terms()
        raise


def _loop(
    method: GradientTrainedMethod,
    background: _Rows,
    target: _Rows,
    batch_size: int,
    context: FitContext,
    progress: Progress,
) -> None:
    config, cost = method.config, context.cost
    half = batch_size // 2
    steps = (len(background.images) + len(target.images)) // batch_size
    saved = time.monotonic()
    started = saved - progress.elapsed_s

    while progress.epoch < config.epochs:
        order_state = context.randomness.sampling.get_state()
        background_order = _draw_order(len(background.images), half * steps, context)
        target_order = _draw_order(len(target.images), half * steps, context)
        if progress.step == 0:
            method.begin_epoch()
        while progress.step < steps:
            rows = slice(progress.step * half, (progress.step + 1) * half)
            batches = background.batch(background_order[rows]), target.batch(target_order[rows])
            progress.add(method.training_step(*batches, context))
            progress.elapsed_s = time.monotonic() - started
            done = progress.epoch * steps + progress.step
            cost.train_s, cost.steps, cost.images_seen = progress.elapsed_s, done, done * 2 * half
            context.reporter.advanced(
                progress.epoch + 1,
                config.epochs,
                done / (config.epochs * steps),
                done * 2 * half / progress.elapsed_s,
            )
            due = time.monotonic() - saved > context.checkpoint_every_s
            if due or context.stop.requested:
                keep(method.network, method.optimizers, context, progress, order_state)
                saved = time.monotonic()
            if context.stop.requested:
                raise StopRequested
        terms_of_epoch = progress.mean_terms()
        progress.elapsed_s = time.monotonic() - started
        context.check_folder()  # its log may be another process's by now
        _end_epoch(progress, terms_of_epoch, steps, 2 * half, context.folder)

    keep(method.network, method.optimizers, context, progress, context.randomness.sampling.get_state())
    done = config.epochs * steps
    cost.train_s, cost.steps, cost.images_seen = progress.elapsed_s, done, done * 2 * half


class _Rows(NamedTuple):
    """A population on the device: images as stored, and the attributes that a supervised method learns from."""

    images: Tensor
    attributes: Mapping[str, Tensor]

    @classmethod
    def of(cls, population: Population, supervised: bool, device: torch.device) -> _Rows:
        attributes = population.attributes if supervised else {}
        tensors = {name: torch.from_numpy(values) for name, values in attributes.items()}
        return cls(
            population.images.to(device),
            {name: (t.float() if t.is_floating_point() else t).to(device) for name, t in tensors.items()},
        )

    def batch(self, rows: Tensor) -> Batch:
        return Batch(as_float(self.images[rows]), {name: values[rows] for name, values in self.attributes.items()})


def _draw_order(rows: int, count: int, context: FitContext) -> Tensor:
    """`count` row indices on the device: whole permutations of all rows, one after another."""
    generator = context.randomness.sampling
    passes = [torch.randperm(rows, generator=generator) for _ in range(math.ceil(count / rows))]
    return torch.cat(passes)[:count].to(context.device)


def _end_epoch(progress: Progress, terms: dict[str, float], steps: int, batch: int, folder: Path | None) -> None:
    """Check and log the epoch's terms, and move on to the next epoch."""
    if not all(math.isfinite(value) for value in terms.values()):
        raise NonFiniteLossError((progress.epoch + 1) * steps, terms)
    progress.epoch += 1
    progress.step = 0
    done = progress.epoch * steps
    images_per_s = done * batch / progress.elapsed_s
    entry = {
        "epoch": progress.epoch,
        "steps": done,
        "terms": terms,
        "elapsed_s": progress.elapsed_s,
        "images_per_s": images_per_s,
    }
    progress.history.append(entry)
    if folder is not None:
        append_line(folder / "log.jsonl", json.dumps(entry))


def _begin(method: GradientTrainedMethod, info: DatasetInfo, context: FitContext) -> Progress:
    """Build the method and load the folder's checkpoint. One that does not fit has no effect but a warning."""
    _build(method, info, context)
    try:
        progress = resume(method.network, method.optimizers, context)
    except CheckpointMismatchError as error:
        warnings.warn(f"{error} Training starts again.", stacklevel=2)
        _build(method, info, context)
        progress = Progress()
    if progress.is_new:
        method.warm_start()
    if context.folder is not None:
        lines = [json.dumps(entry) + "\n" for entry in progress.history]
        # Drops what was logged after the checkpoint, and a line that a kill cut short.
        write_text(context.folder / "log.jsonl", "".join(lines))
    return progress


def _build(method: GradientTrainedMethod, info: DatasetInfo, context: FitContext) -> None:
    method.prepare(info.form, context.device, context.randomness.initialisation())
    method.optimizers = method.make_optimizers()
    method.network.train()
