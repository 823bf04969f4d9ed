"""Checkpoints: a run that continues from one is, bit for bit, the run that was never interrupted."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from cabench.checkpoint import (
    Checkpoint,
    CheckpointMismatchError,
    named,
    pack_optimizer,
    unpack_optimizer,
)
from cabench.context import Randomness, drawing_from

CPU = torch.device("cpu")


class Run:
    """A small convolutional network in channels-last memory, its optimizer and its random streams."""

    def __init__(self, seed: int = 0, kind: type[Optimizer] = Adam, **settings: object) -> None:
        self.randomness = Randomness(seed, "data", CPU)
        with drawing_from(self.randomness.initialisation()):
            layers = (
                nn.Conv2d(3, 8, 3),
                nn.BatchNorm2d(8),
                nn.ReLU(),
                nn.Conv2d(8, 4, 3),
                nn.Flatten(),
                nn.Linear(64, 2),
            )
            network = nn.Sequential(*layers)
        self.network = network.to(memory_format=torch.channels_last)
        self.optimizer = kind(self.network.parameters(), **({"lr": 1e-2} | settings))  # type: ignore[call-arg]

    def steps(self, count: int) -> None:
        for _ in range(count):
            images = torch.rand(6, 3, 8, 8, generator=self.randomness.sampling).to(memory_format=torch.channels_last)
            wanted = torch.randn(6, 2, generator=self.randomness.noise)
            loss = functional.mse_loss(self.network(images), wanted)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def save(self, path: Path) -> None:
        packed, meta = pack_optimizer(self.optimizer)
        tensors = named("network", self.network.state_dict()) | named("optimizer", packed)
        Checkpoint(tensors | named("random", self.randomness.state()), {"optimizer": meta, "epoch": 3}).save(path)

    def load(self, path: Path) -> None:
        checkpoint = Checkpoint.load(path)
        self.network.load_state_dict(checkpoint.part("network"))
        unpack_optimizer(self.optimizer, checkpoint.part("optimizer"), checkpoint.meta["optimizer"])
        self.randomness.restore(checkpoint.part("random"))

    def state(self) -> dict[str, Tensor]:
        return self.network.state_dict() | named("optimizer", pack_optimizer(self.optimizer)[0])


def assert_same_state(one: Run, other: Run) -> None:
    left, right = one.state(), other.state()
    assert set(left) == set(right)
    different = [name for name in left if not torch.equal(left[name], right[name])]
    assert not different


OPTIMIZERS = [
    pytest.param(Adam, {"fused": True}, id="Adam, fused"),
    pytest.param(Adam, {"fused": True, "betas": (0.5, 0.9), "amsgrad": True}, id="Adam, fused, amsgrad"),
    pytest.param(AdamW, {"weight_decay": 0.1}, id="AdamW"),
    pytest.param(SGD, {"momentum": 0.9, "nesterov": True}, id="SGD with momentum"),
    pytest.param(SGD, {}, id="SGD without state"),
    pytest.param(RMSprop, {"centered": True}, id="RMSprop"),
]


@pytest.mark.parametrize(("kind", "settings"), OPTIMIZERS)
def test_continuing_from_a_checkpoint_is_continuing_without_bit_for_bit(
    tmp_path: Path, kind: type[Optimizer], settings: dict[str, object]
) -> None:
    undisturbed = Run(0, kind, **settings)
    undisturbed.steps(5)
    undisturbed.save(tmp_path / "checkpoint")
    undisturbed.steps(5)

    continued = Run(1, kind, **settings)  # other weights and other randomness, to be overwritten
    continued.load(tmp_path / "checkpoint")
    continued.steps(5)
    assert_same_state(continued, undisturbed)


def test_a_loaded_run_is_the_saved_one(tmp_path: Path) -> None:
    saved, loaded = Run(0, fused=True), Run(1, fused=True)
    saved.steps(3)
    saved.save(tmp_path / "checkpoint")
    loaded.load(tmp_path / "checkpoint")
    assert_same_state(loaded, saved)
    assert loaded.optimizer.state_dict()["param_groups"] == saved.optimizer.state_dict()["param_groups"]


def test_loaded_weights_and_optimizer_state_lie_in_channels_last_memory(tmp_path: Path) -> None:
    saved, loaded = Run(0, fused=True), Run(1, fused=True)
    saved.steps(1)
    saved.save(tmp_path / "checkpoint")
    loaded.load(tmp_path / "checkpoint")
    weight = loaded.network[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    for name in ("exp_avg", "exp_avg_sq"):
        assert loaded.optimizer.state[weight][name].stride() == weight.stride()


def test_hyper_parameters_changed_while_training_are_taken_over(tmp_path: Path) -> None:
    saved, loaded = Run(0), Run(0)
    saved.optimizer.param_groups[0]["lr"] = 1e-4
    saved.save(tmp_path / "checkpoint")
    loaded.load(tmp_path / "checkpoint")
    assert loaded.optimizer.param_groups[0]["lr"] == 1e-4
    assert loaded.optimizer.param_groups[0]["betas"] == (0.9, 0.999)


def test_several_parameter_groups_are_kept_apart(tmp_path: Path) -> None:
    def optimizer(first: nn.Module, second: nn.Module) -> Adam:
        return Adam([{"params": first.parameters(), "lr": 0.5}, {"params": second.parameters(), "lr": 0.25}])

    def step(modules: tuple[nn.Linear, nn.Linear], chosen: Adam) -> None:
        (modules[0].weight.sum() + 2 * modules[1].weight.sum()).backward()
        chosen.step()

    modules = nn.Linear(2, 3), nn.Linear(3, 4)
    one = optimizer(*modules)
    step(modules, one)
    packed, meta = pack_optimizer(one)
    Checkpoint(packed, meta).save(tmp_path / "checkpoint")
    other = optimizer(*modules)
    checkpoint = Checkpoint.load(tmp_path / "checkpoint")
    unpack_optimizer(other, checkpoint.tensors, checkpoint.meta)
    assert [group["lr"] for group in other.param_groups] == [0.5, 0.25]
    assert torch.equal(other.state[modules[1].weight]["exp_avg"], one.state[modules[1].weight]["exp_avg"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
def test_tensors_and_meta_come_back_as_they_were(tmp_path: Path, dtype: torch.dtype) -> None:
    values = torch.arange(24).reshape(1, 2, 3, 4).to(dtype)
    tensors = {"a.values": values, "b.scalar": torch.tensor(3).to(dtype), "c.empty": torch.zeros(0, dtype=dtype)}
    meta = {"epoch": 3, "loss": 0.1 + 0.2, "names": ["a", "ü"], "nothing": None}
    Checkpoint(tensors, meta).save(tmp_path / "new folder" / "checkpoint")
    loaded = Checkpoint.load(tmp_path / "new folder" / "checkpoint")
    assert loaded.meta == meta
    assert set(loaded.tensors) == set(tensors)
    for name, tensor in tensors.items():
        assert loaded.tensors[name].dtype == dtype
        assert torch.equal(loaded.tensors[name], tensor)


def test_parts_are_told_apart_by_whole_names() -> None:
    one, other = torch.zeros(1), torch.ones(1)
    checkpoint = Checkpoint(named("optimizer.a", {"x": one}) | named("optimizer.ab", {"x": other}), {})
    assert list(checkpoint.part("optimizer.a")) == ["x"]
    assert checkpoint.part("optimizer.ab")["x"] is other
    assert checkpoint.part("absent") == {}


def test_saving_over_a_checkpoint_replaces_it(tmp_path: Path) -> None:
    for epoch in (1, 2):
        Checkpoint({"x": torch.zeros(3)}, {"epoch": epoch}).save(tmp_path / "checkpoint")
    assert Checkpoint.load(tmp_path / "checkpoint").meta == {"epoch": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_a_network_that_uses_one_module_twice_can_be_saved(tmp_path: Path) -> None:
    shared = nn.Linear(2, 2)
    network = nn.ModuleDict({"one": shared, "other": shared})
    Checkpoint(network.state_dict(), {}).save(tmp_path / "checkpoint")
    assert set(Checkpoint.load(tmp_path / "checkpoint").tensors) == set(network.state_dict())


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 100, -1000, -1])
def test_a_truncated_file_is_refused_by_name(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "checkpoint"
    run = Run()
    run.steps(1)
    run.save(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointMismatchError, match="checkpoint cannot be read"):
        Checkpoint.load(path)


@pytest.mark.parametrize(
    "content",
    [b"not a checkpoint", b"\x00" * 64, b"\xff" * 64, b"PK\x03\x04 a pickle of torch.save", b'{"json": true}'],
)
def test_foreign_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint").write_bytes(content)
    with pytest.raises(CheckpointMismatchError):
        Checkpoint.load(tmp_path / "checkpoint")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"cabench": "not JSON"}])
def test_a_safetensors_file_from_elsewhere_is_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    safetensors.torch.save_file({"x": torch.zeros(2)}, tmp_path / "checkpoint", metadata=metadata)
    with pytest.raises(CheckpointMismatchError):
        Checkpoint.load(tmp_path / "checkpoint")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointMismatchError):
        Checkpoint.load(tmp_path / "absent")


def test_one_flipped_bit_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    tensors = {"weights": torch.arange(300.0).reshape(30, 10), "random.noise": torch.arange(200).to(torch.uint8)}
    Checkpoint(tensors, {"identity": "k", "epoch": 3, "history": [{"terms": {"total": 0.5}}]}).save(path)
    whole = path.read_bytes()
    draw = random.Random(0)
    for bit in draw.sample(range(8 * len(whole)), 300):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            back = Checkpoint.load(path)
        except CheckpointMismatchError:
            continue
        # White space in the header, and nothing else, may change unseen.
        assert back.meta["epoch"] == 3
        assert all(torch.equal(back.tensors[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize(
    "header",
    [
        b"\xff" * 8,
        (10**9).to_bytes(8, "little") + b"{",
        (3).to_bytes(8, "little") + b"{}}",
        (2 * 10**5).to_bytes(8, "little") + b"[" * 2 * 10**5,
        (60).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4]}}',
    ],
    ids=["longest", "huge", "no JSON", "deep", "a huge tensor"],
)
def test_a_hostile_header_is_refused(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "state.safetensors").write_bytes(header)
    with pytest.raises(CheckpointMismatchError, match="state"):
        Checkpoint.load(tmp_path / "state.safetensors")
