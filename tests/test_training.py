"""The training loop on a method of one linear layer: what it draws, logs and refuses, and how it continues."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import re
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from cabench import checkpoint
from cabench.checkpoint import Checkpoint
from cabench.context import FitContext, Randomness
from cabench.data.dataset import ContrastiveDataset, DataForm, DatasetInfo, Population
from cabench.errors import StopRequested, UserError
from cabench.files.atomic import StorageError
from cabench.hardening.stopping import StopFlag
from cabench.method import Representation
from cabench.training import (
    Batch,
    GradientTrainedMethod,
    NonFiniteLossError,
    OutOfMemoryError,
    TrainingConfig,
    descend,
    weighted_sum,
)

CPU = torch.device("cpu")
SIZE = 2


@dataclass(frozen=True)
class LinearConfig(TrainingConfig):
    """Small numbers."""

    epochs: int = 3
    batch_size: int = 4


class Linear(GradientTrainedMethod):
    """Makes target images brighter than background ones, by one linear layer with noise.

    Each image carries its row in its first pixel, so that `seen` tells which rows each step was given.
    """

    name = "linear"
    version = 1
    Config = LinearConfig
    config: LinearConfig

    def __init__(self, config: LinearConfig | None = None) -> None:
        super().__init__(config)
        self.seen: list[tuple[list[int], list[int]]] = []
        self.inputs: list[Tensor] = []
        self.begun: list[int] = []
        self.after_step: Callable[[int], None] = lambda step: None
        self.terms: Callable[[int, Tensor], dict[str, Tensor]] = lambda step, loss: {"total": loss, "twice": 2 * loss}

    def build(self, form: DataForm) -> nn.ModuleDict:
        return nn.ModuleDict({"layer": nn.Linear(math.prod(form.image_shape), 1)})

    def make_optimizers(self) -> dict[str, Optimizer]:
        return {"all": Adam(self.network.parameters(), lr=1e-2, fused=True)}

    def begin_epoch(self) -> None:
        self.begun.append(len(self.seen))

    def training_step(self, background: Batch, target: Batch, context: FitContext) -> dict[str, Tensor]:
        self.seen.append((rows_of(background.images), rows_of(target.images)))
        self.inputs += [background.images, target.images]
        noise = torch.randn(len(target.images), generator=context.randomness.noise)
        shade = torch.rand((), generator=context.randomness.augmentation)
        layer = self.network["layer"]
        dark, bright = (layer(batch.images.flatten(1))[:, 0] for batch in (background, target))
        loss = dark.mean() - (bright * (shade + noise)).mean()
        descend(self.optimizers["all"], loss)
        terms = self.terms(len(self.seen), loss)
        self.after_step(len(self.seen))
        return terms

    def represent(self, images: Tensor) -> Representation:
        return Representation(images.flatten(1), self.network["layer"](images.flatten(1)))


def rows_of(images: Tensor) -> list[int]:
    return (images[:, 0, 0, 0] * 255).round().long().tolist()


def dataset(background: int = 8, target: int = 8) -> ContrastiveDataset:
    def population(rows: int, seed: int) -> Population:
        images = np.random.default_rng(seed).integers(0, 256, (rows, 1, SIZE, SIZE), dtype=np.uint8)
        images[:, 0, 0, 0] = np.arange(rows)
        return Population(torch.from_numpy(images), {})

    info = DatasetInfo(
        name="tiny",
        builder_version=1,
        config={},
        content_sha256="0" * 64,
        sources=(),
        image_shape=(1, SIZE, SIZE),
        attributes=(),
        counts={"train": {"background": background, "target": target}},
    )
    return ContrastiveDataset(info, population(background, 0), population(target, 1))


def context(folder: Path | None = None, **changes: object) -> FitContext:
    plain = FitContext(device=CPU, precision="fp32", randomness=Randomness(0, "tiny", CPU), folder=folder, identity="k")
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def linear(**fields: int) -> Linear:
    return Linear(LinearConfig(**fields))


def fitted(data: ContrastiveDataset, surroundings: FitContext, **fields: int) -> Linear:
    method = linear(**fields)
    method.fit(data, surroundings)
    return method


def assert_same_weights(one: Linear, other: Linear) -> None:
    left, right = one.state_dict(), other.state_dict()
    assert set(left) == set(right)
    assert all(torch.equal(left[name], right[name]) for name in left)


def epochs_of(method: Linear, population: int, steps: int) -> list[list[int]]:
    """The rows of one population (0: background, 1: target) that each epoch drew, in order."""
    batches = [seen[population] for seen in method.seen]
    return [list(chain(*batches[start : start + steps])) for start in range(0, len(batches), steps)]


# What is drawn


@pytest.mark.parametrize(
    ("background", "target", "batch_size", "steps"),
    [(8, 8, 4, 4), (8, 8, 16, 1), (7, 8, 4, 3), (20, 4, 4, 6), (4, 21, 8, 3), (10, 10, 6, 3), (1, 15, 4, 4)],
)
def test_an_epoch_has_as_many_steps_as_whole_batches_of_all_images(
    background: int, target: int, batch_size: int, steps: int
) -> None:
    surroundings = context()
    method = fitted(dataset(background, target), surroundings, batch_size=batch_size, epochs=2)
    assert len(method.seen) == 2 * steps
    assert {(len(b), len(t)) for b, t in method.seen} == {(batch_size // 2, batch_size // 2)}
    assert surroundings.cost.steps == 2 * steps
    assert surroundings.cost.images_seen == 2 * steps * batch_size
    assert surroundings.cost.train_s > 0


def test_equal_populations_are_seen_whole_once_an_epoch() -> None:
    method = fitted(dataset(8, 8), context(), epochs=3)
    for population in (0, 1):
        for rows in epochs_of(method, population, steps=4):
            assert sorted(rows) == list(range(8))


@pytest.mark.parametrize(("background", "target", "steps"), [(20, 4, 6), (4, 20, 6), (3, 14, 4), (1, 15, 4)])
def test_a_small_population_goes_round_whole_and_a_large_one_never_repeats(
    background: int, target: int, steps: int
) -> None:
    method = fitted(dataset(background, target), context(), epochs=2)
    for population, rows in enumerate((background, target)):
        for drawn in epochs_of(method, population, steps):
            assert len(drawn) == 2 * steps
            counts = Counter(drawn)
            assert set(counts) <= set(range(rows))
            times = [counts[row] for row in range(rows)]
            assert max(times) - min(times) <= 1
            rounds = [drawn[start : start + rows] for start in range(0, len(drawn), rows)]
            assert all(len(set(one)) == len(one) for one in rounds), "a row came again before all had come"


def test_rounds_and_epochs_have_orders_of_their_own() -> None:
    method = fitted(dataset(24, 8), context(), epochs=3, batch_size=8)
    for population, rows in ((0, 16), (1, 8)):
        drawn = list(chain(*epochs_of(method, population, 4)))
        rounds = [drawn[start : start + rows] for start in range(0, len(drawn), rows)]
        assert all(one != other for one, other in pairwise(rounds))


def test_background_and_target_are_drawn_independently() -> None:
    method = fitted(dataset(8, 8), context(), epochs=3)
    assert epochs_of(method, 0, 4) != epochs_of(method, 1, 4)


def test_steps_receive_the_images_as_floats_from_0_to_1_in_channels_last_memory() -> None:
    data = dataset(8, 8)
    method = fitted(data, context(), epochs=1)
    for images, rows, population in zip(method.inputs, method.seen[0], (data.background, data.target), strict=False):
        assert images.dtype == torch.float32
        assert images.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(images, population.images[rows].float() / 255)


def test_the_order_and_the_result_depend_on_the_seed_alone() -> None:
    one, same = (fitted(dataset(), context()) for _ in range(2))
    torch.rand(5)
    assert one.seen == same.seen
    assert_same_weights(one, same)
    other = fitted(dataset(), context(randomness=Randomness(1, "tiny", CPU)))
    assert other.seen != one.seen


def test_training_leaves_the_global_generators_alone() -> None:
    np.random.seed(0)  # noqa: NPY002 - the state of the legacy generator is what is watched
    before, before_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    fitted(dataset(), context())
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], before_numpy)  # type: ignore[index]  # noqa: NPY002


@pytest.mark.parametrize(("background", "target"), [(8, 8), (20, 15), (2, 3), (1, 3)])
def test_a_batch_has_no_more_images_than_there_are(background: int, target: int) -> None:
    """Of an odd number one is left out of each epoch, as halves are equal."""
    half, surroundings = (background + target) // 2, context()
    method = fitted(dataset(background, target), surroundings, batch_size=64, epochs=2)
    assert [(len(b), len(t)) for b, t in method.seen] == 2 * [(half, half)]
    assert surroundings.cost.images_seen == 4 * half


def test_more_than_there_are_images_is_as_good_as_all_of_them() -> None:
    whole, larger = (fitted(dataset(9, 8), context(), batch_size=size) for size in (16, 1000))
    assert whole.seen == larger.seen
    assert_same_weights(whole, larger)


@pytest.mark.parametrize(("shape", "examples"), [((1, SIZE, SIZE), "images"), ((5,), "rows")])
def test_fewer_than_the_smallest_batch_are_refused(shape: tuple[int, ...], examples: str) -> None:
    info = dataclasses.replace(dataset(1, 2).info, image_shape=shape)
    with pytest.raises(UserError, match=f"linear needs 4 training {examples}, but tiny has 3; use more {examples}"):
        linear(batch_size=8).check(info)
    linear(batch_size=8).check(dataset(2, 2).info)


# What is reported


class Reports:
    def __init__(self) -> None:
        self.calls: list[tuple[int, int, float, float]] = []

    def advanced(self, epoch: int, epochs: int, fraction: float, images_per_s: float) -> None:
        self.calls.append((epoch, epochs, fraction, images_per_s))


def test_progress_is_reported_after_each_step() -> None:
    reports = Reports()
    fitted(dataset(), context(reporter=reports), epochs=2)
    assert [call[0] for call in reports.calls] == [1] * 4 + [2] * 4
    assert {call[1] for call in reports.calls} == {2}
    assert [call[2] for call in reports.calls] == [step / 8 for step in range(1, 9)]
    assert all(call[3] > 0 for call in reports.calls)


def read_log(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_log_has_the_mean_of_every_term_for_each_epoch(tmp_path: Path) -> None:
    method = linear(epochs=2)
    method.terms = lambda step, loss: {"total": torch.tensor(float(step)), "constant": torch.tensor(7.0)}
    method.fit(dataset(), context(tmp_path))
    entries = read_log(tmp_path)
    assert [entry["epoch"] for entry in entries] == [1, 2]
    assert [entry["terms"] for entry in entries] == [
        {"total": 2.5, "constant": 7.0},
        {"total": 6.5, "constant": 7.0},
    ]
    assert entries[0]["elapsed_s"] <= entries[1]["elapsed_s"]  # type: ignore[operator]
    for entry, images in zip(entries, (16, 32), strict=True):
        assert entry["images_per_s"] == pytest.approx(images / entry["elapsed_s"])  # type: ignore[operator]


def test_nothing_is_written_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fitted(dataset(), context(None, checkpoint_every_s=0))
    assert list(tmp_path.iterdir()) == []


def test_terms_are_summed_with_the_weights_that_the_configuration_has_for_them() -> None:
    @dataclass(frozen=True)
    class Weights(TrainingConfig):
        second_weight: float = 3.0
        fourth_weight: float = 100.0

    terms = {name: torch.tensor(value) for name, value in (("first", 1.0), ("second", 2.0), ("third", 0.5))}
    assert weighted_sum(terms, Weights()).item() == 1 + 3 * 2 + 0.5


def test_the_graphs_of_a_steps_terms_are_gone_when_the_next_step_begins() -> None:
    method, graphs = Linear(), []

    def terms(step: int, loss: Tensor) -> dict[str, Tensor]:
        assert [graph() for graph in graphs] == [None] * (step - 1)
        marked = loss * 1
        assert marked.requires_grad
        graphs.append(weakref.ref(marked))
        return {"total": marked}

    method.terms = terms
    method.fit(dataset(), context())
    assert len(graphs) > 3


def test_terms_of_lower_precision_are_summed_in_float32(tmp_path: Path) -> None:
    method = linear(epochs=1, batch_size=4)
    method.terms = lambda step, loss: {"total": torch.tensor(1.0, dtype=torch.bfloat16)}
    method.fit(dataset(600, 600), context(tmp_path))
    assert read_log(tmp_path)[0]["terms"] == {"total": 1.0}, "a bfloat16 sum would have stopped at 256"


# Losses that are not finite


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_term_that_is_not_finite_ends_training_at_the_end_of_its_epoch(tmp_path: Path, bad: float) -> None:
    method = linear(epochs=5)
    method.terms = lambda step, loss: {
        "total": torch.tensor(1.0),
        "divergence": torch.tensor(bad if step == 6 else 0.0),
    }
    with pytest.raises(NonFiniteLossError, match=r"by step 8 \(terms: divergence\).*learning rate") as caught:
        method.fit(dataset(), context(tmp_path))
    assert len(method.seen) == 8, "the second of five epochs"
    assert caught.value.step == 8
    assert set(caught.value.terms) == {"total", "divergence"}
    assert caught.value.terms["total"] == 1.0
    assert not math.isfinite(caught.value.terms["divergence"])
    assert [entry["epoch"] for entry in read_log(tmp_path)] == [1], "only finite epochs are logged"


# Stopping and continuing


def stop_after(method: Linear, step: int) -> StopFlag:
    stop = StopFlag()

    def request(done: int) -> None:
        stop.requested = done == step

    method.after_step = request
    return stop


@pytest.mark.parametrize("step", [1, 2, 4, 5, 8, 11, 12])
def test_stopping_and_continuing_equals_not_stopping_bit_for_bit(tmp_path: Path, step: int) -> None:
    data = dataset(9, 7)
    (tmp_path / "whole").mkdir()
    whole = fitted(data, context(tmp_path / "whole"), epochs=3)

    (tmp_path / "parts").mkdir()
    first = linear(epochs=3)
    with pytest.raises(StopRequested):
        first.fit(data, context(tmp_path / "parts", stop=stop_after(first, step)))
    assert len(first.seen) == step, "training went on after it was asked to stop"

    surroundings = context(tmp_path / "parts", randomness=Randomness(0, "tiny", CPU))
    second = fitted(data, surroundings, epochs=3)
    assert first.seen + second.seen == whole.seen
    assert_same_weights(second, whole)
    logs = [[(entry["epoch"], entry["terms"]) for entry in read_log(tmp_path / name)] for name in ("whole", "parts")]
    assert logs[0] == logs[1]
    assert (surroundings.cost.steps, surroundings.cost.images_seen) == (12, 48), "counted over all continuations"


def test_an_epoch_begins_once_even_if_it_is_continued(tmp_path: Path) -> None:
    assert fitted(dataset(), context(), epochs=3).begun == [0, 4, 8]
    for stopped_at, begun in ((2, [2, 6]), (4, [0, 4]), (5, [3])):
        folder = tmp_path / str(stopped_at)
        folder.mkdir()
        first = linear(epochs=3)
        with pytest.raises(StopRequested):
            first.fit(dataset(), context(folder, stop=stop_after(first, stopped_at)))
        assert fitted(dataset(), context(folder), epochs=3).begun == begun, "counted in steps since it was continued"


class Warm(Linear):
    """Starts from weights that are not drawn."""

    starts: ClassVar[list[str]] = []

    def warm_start(self) -> None:
        assert self.optimizers
        self.starts.append(self.name)
        self.network.load_state_dict({"layer.weight": torch.full((1, SIZE**2), 3.0), "layer.bias": torch.zeros(1)})


def test_a_run_starts_warm_where_it_begins_but_not_where_it_goes_on_or_is_loaded(tmp_path: Path) -> None:
    def fit(folder: Path, step: int = 0, identity: str = "k") -> Warm:
        method = Warm(LinearConfig())
        with contextlib.suppress(StopRequested):
            method.fit(dataset(), context(folder, stop=stop_after(method, step), identity=identity))
        return method

    for folder in ("whole", "parts"):
        (tmp_path / folder).mkdir()
    whole = fit(tmp_path / "whole")
    assert len(Warm.starts) == 1
    assert (whole.network["layer"].weight > 2).all(), "three epochs move weights by less than 0.2"
    fit(tmp_path / "parts", step=1)
    assert len(Warm.starts) == 2
    assert_same_weights(fit(tmp_path / "parts"), whole)
    Warm().load_state_dict(whole.state_dict())
    assert len(Warm.starts) == 2
    with pytest.warns(match="Training starts again"):
        fit(tmp_path / "parts", identity="another")
    assert len(Warm.starts) == 3


class Labelled(Linear):
    """Looks at what it is given of the attributes."""

    supervised = True

    def training_step(self, background: Batch, target: Batch, context: FitContext) -> dict[str, Tensor]:
        for batch in (background, target):
            rows = rows_of(batch.images)
            assert batch.attributes["row"].tolist() == rows
            assert batch.attributes["row"].dtype == torch.int64
            assert batch.attributes["level"].tolist() == [row / 2 for row in rows]
            assert batch.attributes["level"].dtype == torch.float32
        return super().training_step(background, target, context)


class Unlabelled(Linear):
    """Expects no attributes."""

    def training_step(self, background: Batch, target: Batch, context: FitContext) -> dict[str, Tensor]:
        assert not background.attributes
        assert not target.attributes
        return super().training_step(background, target, context)


@pytest.mark.parametrize("kind", [Labelled, Unlabelled])
def test_supervised_methods_alone_are_given_the_attributes_of_their_images(kind: type[Linear]) -> None:
    data = dataset()
    labels = {"row": np.arange(8), "level": np.arange(8) / 2}
    parts = {name: Population(getattr(data, name).images, labels) for name in ("background", "target")}
    method = kind(LinearConfig())
    method.fit(data._replace(**parts), context())
    assert len(method.seen) == 12


def test_stopping_at_every_step_equals_not_stopping(tmp_path: Path) -> None:
    whole = fitted(dataset(), context(), epochs=2)
    seen = []
    for _ in range(8):
        part = linear(epochs=2)
        with pytest.raises(StopRequested):
            part.fit(dataset(), context(tmp_path, stop=stop_after(part, 1)))
        seen += part.seen
    last = fitted(dataset(), context(tmp_path), epochs=2)
    assert seen == whole.seen
    assert last.seen == []
    assert_same_weights(last, whole)


def test_a_run_that_was_killed_continues_from_its_last_checkpoint(tmp_path: Path) -> None:
    whole = fitted(dataset(), context(), epochs=3)
    killed = linear(epochs=3)

    def die(step: int) -> None:
        if step == 7:
            raise KeyboardInterrupt

    killed.after_step = die
    with pytest.raises(KeyboardInterrupt):
        killed.fit(dataset(), context(tmp_path, checkpoint_every_s=0))
    continued = fitted(dataset(), context(tmp_path), epochs=3)
    assert continued.seen == whole.seen[6:]
    assert_same_weights(continued, whole)


def test_a_link_in_place_of_the_log_is_replaced_and_one_put_there_later_is_refused(tmp_path: Path) -> None:
    elsewhere, log = tmp_path / "elsewhere", tmp_path / "run" / "log.jsonl"
    elsewhere.write_text("kept")
    log.parent.mkdir()
    log.symlink_to(elsewhere)

    def put_a_link(step: int) -> None:
        assert not (step == 1 and log.is_symlink())
        if step == 7:
            log.unlink()
            log.symlink_to(elsewhere)

    method = linear()
    method.after_step = put_a_link
    with pytest.raises(StorageError, match=r"log\.jsonl"):
        method.fit(dataset(), context(log.parent))
    assert elsewhere.read_text() == "kept"


def test_fitting_again_in_the_folder_of_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    once = fitted(dataset(), context(tmp_path))
    log = (tmp_path / "log.jsonl").read_text()
    surroundings = context(tmp_path)
    again = fitted(dataset(), surroundings)
    assert again.seen == []
    assert_same_weights(again, once)
    assert (tmp_path / "log.jsonl").read_text() == log
    assert surroundings.cost.steps == 12
    assert surroundings.cost.train_s > 0


def test_training_time_is_counted_over_all_continuations(tmp_path: Path) -> None:
    first = linear()
    with pytest.raises(StopRequested):
        first.fit(dataset(), context(tmp_path, stop=stop_after(first, 6)))
    path = tmp_path / "checkpoint" / "state.safetensors"
    checkpoint = Checkpoint.load(path)
    checkpoint.meta["elapsed_s"] = 1000.0
    checkpoint.save(path)
    surroundings = context(tmp_path)
    fitted(dataset(), surroundings)
    assert 1000 < surroundings.cost.train_s < 1060


def test_checkpoints_are_as_rare_as_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saves: list[int] = []
    save = Checkpoint.save

    def count(self: Checkpoint, path: Path) -> None:
        saves.append(self.meta["epoch"])
        save(self, path)

    monkeypatch.setattr(Checkpoint, "save", count)
    fitted(dataset(), context(tmp_path, checkpoint_every_s=3600))
    assert saves == [3], "one at the end"
    (tmp_path / "often").mkdir()
    fitted(dataset(), context(tmp_path / "often", checkpoint_every_s=-1), epochs=1)
    assert len(saves) == 1 + 4 + 1, "one a step and one at the end"


# Checkpoints that do not fit


@pytest.fixture
def interrupted(tmp_path: Path) -> Iterator[Path]:
    """A folder with the checkpoint and the log of a run that was stopped in its second epoch."""
    method = linear()
    with pytest.raises(StopRequested):
        method.fit(dataset(), context(tmp_path, stop=stop_after(method, 6)))
    return tmp_path


def start_anew(folder: Path, **changes: object) -> None:
    """Train in a folder whose checkpoint does not fit: it must be set aside, and training start from nothing."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        method = fitted(dataset(), context(folder, **changes))
    (warning,) = caught
    assert re.search(r"set aside as .*checkpoint\.damaged.* Training starts again", str(warning.message), re.DOTALL)
    fresh = fitted(dataset(), context(**changes))
    assert method.seen == fresh.seen
    assert_same_weights(method, fresh)
    assert [entry["epoch"] for entry in read_log(folder)] == [1, 2, 3]
    assert (folder / "checkpoint.damaged").exists()


def test_a_pipe_in_place_of_a_checkpoint_is_not_waited_for(interrupted: Path) -> None:
    path = interrupted / "checkpoint" / "state.safetensors"
    path.unlink()
    os.mkfifo(path)
    start_anew(interrupted)


def test_a_checkpoint_of_another_run_is_set_aside(interrupted: Path) -> None:
    before = (interrupted / "checkpoint" / "state.safetensors").read_bytes()
    start_anew(interrupted, identity="another")
    assert (interrupted / "checkpoint.damaged").read_bytes() == before
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(dataset(), context(interrupted, identity="another"))


@pytest.mark.parametrize("kept", [0, 7, 100, -10])
def test_a_truncated_checkpoint_is_set_aside(interrupted: Path, kept: int) -> None:
    path = interrupted / "checkpoint" / "state.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    start_anew(interrupted)


def test_foreign_bytes_in_place_of_a_checkpoint_are_set_aside(interrupted: Path) -> None:
    (interrupted / "checkpoint" / "state.safetensors").write_bytes(b"not a checkpoint at all")
    start_anew(interrupted)


def edit(folder: Path, change: Callable[[Checkpoint], None]) -> None:
    path = folder / "checkpoint" / "state.safetensors"
    checkpoint = Checkpoint.load(path)
    change(checkpoint)
    checkpoint.save(path)


def test_a_checkpoint_that_fits_in_part_leaves_no_trace(interrupted: Path) -> None:
    edit(interrupted, lambda checkpoint: checkpoint.tensors.pop("network.layer.bias"))
    start_anew(interrupted)


def test_a_checkpoint_from_another_kind_of_device_is_set_aside(interrupted: Path) -> None:
    # The state of a CUDA generator has 16 bytes. The device takes no part in the key.
    edit(
        interrupted, lambda checkpoint: checkpoint.tensors.update({"random.noise": torch.zeros(16, dtype=torch.uint8)})
    )
    start_anew(interrupted)


@pytest.mark.parametrize("lost", ["sums", "random.sampling"])
def test_a_checkpoint_without_one_of_its_tensors_is_set_aside(interrupted: Path, lost: str) -> None:
    edit(interrupted, lambda checkpoint: checkpoint.tensors.pop(lost))
    start_anew(interrupted)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("network.layer.weight", lambda tensor: tensor.double()),
        ("network.layer.weight", lambda tensor: tensor[:, :1]),
        ("random.noise", lambda tensor: torch.full((len(tensor),), torch.nan)),
        ("random.sampling", lambda tensor: tensor[:-1]),
    ],
)
def test_a_checkpoint_whose_tensors_are_of_another_kind_is_set_aside(
    interrupted: Path, name: str, change: Callable[[Tensor], Tensor]
) -> None:
    edit(interrupted, lambda checkpoint: checkpoint.tensors.update({name: change(checkpoint.tensors[name])}))
    start_anew(interrupted)


@pytest.mark.parametrize("meta", [[], None, {"identity": "k"}, {"identity": "k", "optimizers": 3, "epoch": "1"}])
def test_a_checkpoint_whose_position_is_no_position_is_set_aside(interrupted: Path, meta: Any) -> None:
    path = interrupted / "checkpoint" / "state.safetensors"
    Checkpoint(Checkpoint.load(path).tensors, meta).save(path)
    start_anew(interrupted)


def test_a_flipped_bit_in_the_weights_is_noticed(interrupted: Path) -> None:
    path = interrupted / "checkpoint" / "state.safetensors"
    weights = Checkpoint.load(path).tensors["network.layer.weight"].numpy().tobytes()
    content = path.read_bytes()
    assert content.count(weights) == 1
    path.write_bytes(content.replace(weights, bytes([weights[0] ^ 1]) + weights[1:]))
    start_anew(interrupted)


def test_a_device_that_is_full_when_a_checkpoint_is_loaded_does_not_cost_the_checkpoint(
    interrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "unpack_optimizer", full)
        with pytest.raises(torch.OutOfMemoryError):
            fitted(dataset(), context(interrupted))
    assert len(fitted(dataset(), context(interrupted)).seen) == 6, "training began anew"


def test_a_line_that_a_kill_cut_short_goes_from_the_log(interrupted: Path) -> None:
    with (interrupted / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"epoch": 2, "ste')
    fitted(dataset(), context(interrupted))
    assert [(entry["epoch"], entry["steps"]) for entry in read_log(interrupted)] == [(1, 4), (2, 8), (3, 12)]


def test_a_log_that_cannot_be_written_is_no_fault_of_the_method(tmp_path: Path) -> None:
    method = linear()

    def put_a_folder_in_its_place(step: int) -> None:
        if step == 1:
            (tmp_path / "log.jsonl").unlink()
            (tmp_path / "log.jsonl").mkdir()

    method.after_step = put_a_folder_in_its_place
    with pytest.raises(StorageError, match="log"):
        method.fit(dataset(), context(tmp_path))


@pytest.mark.parametrize(
    ("asked", "batch", "advice"),
    [
        (16, 16, "set linear.batch_size to 8 or less"),
        (64, 16, "set linear.batch_size to 8 or less"),  # of 16 images
        (4, 4, "use another device"),
    ],
)
def test_a_device_without_room_for_a_step_is_told_with_a_batch_size(asked: int, batch: int, advice: str) -> None:
    def full(step: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has ...")

    method, surroundings = linear(batch_size=asked), context()
    method.after_step = full
    with pytest.raises(OutOfMemoryError, match=rf"cpu for a step on {batch} images \(CUDA .* MiB\); {advice}\.$"):
        method.fit(dataset(), surroundings)
