"""Whether a curve of losses is flat at its end, and which curve a cell's log holds."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import cabench
from cabench.config import setting
from cabench.experiment.flatness import CHANGE, FEWEST_EPOCHS, is_flat
from cabench.experiment.record import Record
from cabench.experiment.training_log import losses
from cabench.method import Representation
from cabench.training import GradientTrainedMethod, TrainingConfig, descend

CURVES = st.lists(st.floats(-1e3, 1e3), min_size=FEWEST_EPOCHS, max_size=60)


def decaying(epochs: int, half_life: float, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """From 1 towards 0, half of the rest every `half_life` epochs."""
    return 0.5 ** (np.arange(epochs) / half_life) + noise * np.random.default_rng(seed).normal(size=epochs)


@pytest.mark.parametrize("epochs", [5, 10, 50, 400])
def test_a_curve_that_falls_in_a_straight_line_is_not_flat(epochs: int) -> None:
    assert not is_flat(np.linspace(2, 1, epochs).tolist())


@pytest.mark.parametrize(("half_lives", "flat"), [(2, False), (5, False), (10, True), (20, True)])
def test_a_decaying_curve_is_flat_when_little_is_left_of_it(half_lives: int, flat: bool) -> None:
    assert is_flat(decaying(100, 100 / half_lives).tolist()) is flat


@pytest.mark.parametrize("seed", range(20))
def test_noise_around_the_end_does_not_hide_that_it_is_flat_nor_that_it_falls(seed: int) -> None:
    assert is_flat(decaying(200, 10, 0.01, seed).tolist())
    assert not is_flat(decaying(200, 80, 0.01, seed).tolist())


def test_a_curve_that_rises_at_its_end_is_not_flat() -> None:
    assert not is_flat([*decaying(80, 8), *np.linspace(0, 0.5, 20)])


def test_the_same_loss_in_every_epoch_is_flat() -> None:
    assert is_flat([0.1] * 7)


@pytest.mark.parametrize("epochs", range(FEWEST_EPOCHS))
def test_of_too_few_epochs_none_is_seen_to_be_flat(epochs: int) -> None:
    assert not is_flat([1.0] * epochs)


@given(CURVES, st.sampled_from([0.25, 2.0, 1024.0]))
def test_another_unit_of_the_loss_changes_nothing(curve: list[float], factor: float) -> None:
    assert is_flat([factor * loss for loss in curve]) == is_flat(curve)


@given(CURVES)
def test_a_loss_and_its_opposite_are_alike(curve: list[float]) -> None:
    assert is_flat([-loss for loss in curve]) == is_flat(curve)


@given(CURVES)
def test_it_is_as_an_independent_version_has_it(curve: list[float]) -> None:
    fifth = round(len(curve) / 5)
    end = np.array(curve[-max(2 * fifth, 3) :])
    places = np.arange(len(end)) - (len(end) - 1) / 2
    slope = places @ end / (places @ places)
    rest = end - end.mean() - slope * places
    error = math.sqrt(max(rest @ rest, 0.0) / (len(end) - 2) / (places @ places))
    most = max(CHANGE * (max(curve[1:]) - min(curve[1:])), 2 * error * fifth if len(curve) >= 15 else 0.0)
    if abs(abs(slope) * fifth - most) > 1e-6 * (1 + abs(slope)):
        assert is_flat(curve) == (abs(slope) * fifth <= most)


@pytest.mark.parametrize("epochs", [15, 30, 100])
def test_noise_around_a_level_is_flat_nearly_always(epochs: int) -> None:
    generator = np.random.default_rng(epochs)
    assert np.mean([is_flat(generator.normal(size=epochs).tolist()) for _ in range(200)]) > 0.85


def test_a_first_epoch_far_above_the_rest_does_not_hide_that_it_falls() -> None:
    assert not is_flat([1000, 10, 9, 8, 7, 6.5, 6, 5.8, 5.5, 5.3])


def logged(folder: Path, *lines: object) -> list[float]:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    (folder / "log.jsonl").write_text(text, encoding="utf-8")
    return losses(folder)


def test_losses_are_the_totals_of_a_log_up_to_its_first_damaged_line(tmp_path: Path) -> None:
    first, second = ({"steps": 2 * epoch, "terms": {"total": 1 / epoch, "kl": 7.0}} for epoch in (1, 2))
    assert losses(tmp_path) == []
    assert logged(tmp_path, first, second) == [1.0, 0.5]
    assert logged(tmp_path, first, '{"steps": 4, "ter', second) == [1.0]


def test_a_log_without_the_loss_to_watch_has_none(tmp_path: Path) -> None:
    assert logged(tmp_path, {"steps": 1, "terms": {"critic": 1.0}}) == []


@pytest.mark.parametrize("method", ["pca", "additive_separator"])
def test_a_record_says_nothing_where_no_loss_tells(
    cabench_here, planted_table_by_name: str, tmp_path: Path, method: str
) -> None:
    """Of what is not trained by steps, and where an adversary learns too."""
    command = ("run", "--methods", method, "--datasets", planted_table_by_name, "--profile", "smoke", "--no-controls")
    done = cabench_here(*command)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("results/runs/*/*/seed0-*/record.json")
    assert Record.load(path).loss_is_flat is None


@dataclass(frozen=True)
class HalvingConfig(TrainingConfig):
    epochs: int = setting(4, at_least=1)
    batch_size: int = setting(200, at_least=4)


class Halving(GradientTrainedMethod):
    """A weight that every step halves; the loss is its square."""

    name = "halving"
    version = 1
    Config = HalvingConfig
    takes = ("images", "tables")

    def build(self, form):
        return nn.ParameterDict({"weight": nn.Parameter(torch.ones(1))})

    def make_optimizers(self):
        return {"all": torch.optim.SGD(self.network.parameters(), lr=0.25)}

    def training_step(self, background, target, context):
        loss = self.network["weight"].square().sum()
        descend(self.optimizers["all"], loss)
        return {"total": loss}

    def represent(self, images):
        return Representation(images.flatten(1)[:, :2], images.flatten(1)[:, 2:4])


@pytest.mark.parametrize(("epochs", "flat"), [(4, False), (8, True)])
def test_a_record_says_when_the_loss_was_flat_at_last(
    planted_table_by_name: str, tmp_path: Path, epochs: int, flat: bool
) -> None:
    method = Halving(HalvingConfig(epochs=epochs))
    found = cabench.run([method], planted_table_by_name, 1, "smoke", tmp_path, controls=False, device="cpu")
    assert [record.loss_is_flat for record in found.records] == [flat]
    if flat:
        (log,) = tmp_path.glob("*/halving/seed0-*")
        assert losses(log) == [0.25**epoch for epoch in range(epochs)]
