"""Methods whose best settings are known, as an installed package, and the command that tunes them on `planted`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

METHODS = '''
"""Methods whose best settings are known: the oracle of `planted` for some, noise for others."""

import math
import os
import time
from dataclasses import dataclass

import torch

from cabench import ContrastiveAnalysisMethod, GradientTrainedMethod, Representation, Settings, TrainingConfig
from cabench import UserError, descend, setting
from cabench.datasets.planted import CELL_HEIGHT, CELL_WIDTH
from cabench.search import Log


@dataclass(frozen=True)
class RateConfig(Settings):
    rate: float = setting(1e-4, above=0, search=Log(1e-4, 1), help="what counts")
    size: int = setting(4, at_least=1, help="stays")


class KnownBest(ContrastiveAnalysisMethod):
    """The oracle at a rate between 10^-1.5 and 0.1, as one of eight points has; else its salient space is noise."""

    name, version, Config, uses_device = "known_best", 1, RateConfig, False

    def fit(self, data, context):
        if log := os.environ.get("FITS"):
            with open(log, "a") as lines:
                lines.write(f"{self.name} {context.folder.name}\\n")
        time.sleep(float(os.environ.get("FIT_SECONDS", "0")))
        self.drawn = torch.randn(8, 4, generator=context.randomness.noise)

    def encode(self, images):
        cells = images[:, 0, 1::CELL_HEIGHT, 1::CELL_WIDTH]
        salient = cells[:, 1] if -1.5 <= math.log10(self.config.rate) <= -1 else self.noise(images)
        return Representation(cells[:, 0], salient)

    def noise(self, images):
        """Four numbers of each image, which the pixels of noise alone decide: others under another seed or rate."""
        noisy = images[:, 0, 0::CELL_HEIGHT, 0::CELL_WIDTH].flatten(1).double()
        return torch.sin(1e4 * (1 + self.config.rate) * noisy @ self.drawn.double()).float()

    def state_dict(self):
        return {"drawn": self.drawn}

    def load_state_dict(self, state):
        self.drawn = state["drawn"]


class PureNoise(KnownBest):
    """Noise in both spaces, whatever the rate."""

    name = "pure_noise"

    def encode(self, images):
        noise = self.noise(images)
        return Representation(noise[:, :2], noise[:, 2:])


class Fragile(KnownBest):
    """Fails at rates above 0.1, and refuses those below 10^-3 but its default."""

    name = "fragile"

    def check(self, info):
        if 1e-4 < self.config.rate < 1e-3:
            raise UserError(f"fragile takes no rate of {self.config.rate} on {info.called}.")

    def fit(self, data, context):
        super().fit(data, context)
        if self.config.rate > 0.1:
            raise ValueError("the rate was too high")


class NothingToSearch(KnownBest):
    """The oracle with its one setting."""

    name, Config = "nothing_to_search", Settings

    def fit(self, data, context):
        self.drawn = torch.zeros(1)

    def encode(self, images):
        return Representation(*images[:, 0, 1::CELL_HEIGHT, 1::CELL_WIDTH].unbind(1))


@dataclass(frozen=True)
class HalvingConfig(TrainingConfig):
    epochs: int = setting(2, at_least=1)
    batch_size: int = setting(64, at_least=4)
    rate: float = setting(0.25, above=0, search=Log(0.2, 0.3))


class Halving(GradientTrainedMethod):
    """A weight that every step halves, or about that; the loss is its square, and flat from the fifth epoch on."""

    name, version, Config = "halving", 1, HalvingConfig

    def build(self, form):
        return torch.nn.ParameterDict({"weight": torch.nn.Parameter(torch.ones(1))})

    def make_optimizers(self):
        return {"all": torch.optim.SGD(self.network.parameters(), lr=self.config.rate)}

    def training_step(self, background, target, context):
        loss = self.network["weight"].square().sum()
        descend(self.optimizers["all"], loss)
        return {"total": loss}

    def represent(self, images):
        return Representation(*images[:, 0, 1::CELL_HEIGHT, 1::CELL_WIDTH].unbind(1))
'''
CLASSES = ("KnownBest", "PureNoise", "Fragile", "NothingToSearch", "Halving")
NAMES = ("known_best", "pure_noise", "fragile", "nothing_to_search", "halving")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder to put on Python's path."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "known_methods.py").write_text(METHODS, encoding="utf-8")
    told = folder / "known_methods-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: known-methods\nVersion: 1.0\n")
    points = [f"{name} = known_methods:{kind}\n" for name, kind in zip(NAMES, CLASSES, strict=True)]
    (told / "entry_points.txt").write_text("[cabench.methods]\n" + "".join(points))
    return str(folder)


ON_PLANTED = ("--datasets", "planted", "--profile", "smoke", "--set", "planted.repeats=1")
"""A data set of which a trial takes a second."""


@pytest.fixture(scope="session")
def start_known(start_cabench: Callable, site: str) -> Callable:
    """Starts a command in a folder where the methods above are installed. Every fit is a line of its file `fits`."""

    def start(folder: Path, *arguments: object, **environment: str):
        return start_cabench(folder, *arguments, PYTHONPATH=site, FITS=str(folder / "fits"), **environment)

    return start


@pytest.fixture(scope="session")
def tune_in(start_known: Callable) -> Callable:
    """Starts `cabench tune` of methods in a folder, on a small `planted`, with further options."""

    def start(folder: Path, methods: str, *options: object, **environment: str):
        return start_known(folder, "tune", "--methods", methods, *ON_PLANTED, *options, **environment)

    return start
