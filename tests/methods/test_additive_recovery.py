"""What additive methods find of planted features that add up without noise, and which give the salient part up.

Four common and two salient factors on 20 features, 1,500 rows of each population; one seed. The figures of card F8,
found with another draw and 1,500 steps, stand beside ours, which take 1,000 or, where that shows it, 460.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch

from cabench.conformance import context
from cabench.data.dataset import ContrastiveDataset, DatasetInfo, Population
from cabench.method import Generative
from cabench.methods.additive_linear import AdditiveLinear, AdditiveLinearConfig
from cabench.methods.additive_separator import AdditiveSeparator, AdditiveSeparatorConfig
from cabench.methods.diffca_separator import DiffCASeparator, DiffCASeparatorConfig
from cabench.methods.networks.separators import HardSum, Separator
from cabench.methods.sage_separator import SAGESeparator, SAGESeparatorConfig
from cabench.pictures.generation import reconstruct, remove_salient

FEATURES, COMMON, SALIENT, ROWS = 20, 4, 2, 1500
NETWORKS = {"hidden": 128, "critic_hidden": 64, "learning_rate": 1e-3}
BUDGET = {**NETWORKS, "epochs": 43, "batch_size": 128}
SHORT = {**BUDGET, "epochs": 20}
CARD = {**NETWORKS, "epochs": 136, "batch_size": 256}


class AdditiveFeatures(NamedTuple):
    """Rows that are a common plus a salient part, with the truth about target rows.

    Attributes:
        data: the training split.
        part: float64 (rows, features), the salient part.
        salient: float64 (rows, 2), the factors behind it.
        common: float64 (rows, 4), the other factors.
    """

    data: ContrastiveDataset
    part: np.ndarray
    salient: np.ndarray
    common: np.ndarray


class Found(NamedTuple):
    """What a method takes for the salient part of target rows, in the data's own units.

    Attributes:
        share: R^2 of the salient part.
        salient: R^2 of a linear reading of the salient factors from it.
        common: likewise of the common factors, with noise of a hundredth of a feature's deviation.
        energy: its mean square over that of the true one.
    """

    share: float
    salient: float
    common: float
    energy: float


class HardDiffCA(DiffCASeparator):
    """Diff-CA's losses, reversed gradients among them, on parts that add up exactly."""

    def make_separator(self, features: int, size: int) -> Separator:
        return HardSum(features, size, self.config.hidden)


@pytest.fixture(scope="module")
def features() -> AdditiveFeatures:
    draw = np.random.default_rng(3)
    common_loadings, salient_loadings = draw.normal(size=(FEATURES, COMMON)), draw.normal(size=(FEATURES, SALIENT))
    background, common = draw.normal(size=(ROWS, COMMON)), draw.normal(size=(ROWS, COMMON))
    salient = draw.normal(size=(ROWS, SALIENT))
    part = salient @ salient_loadings.T
    rows = background @ common_loadings.T, common @ common_loadings.T + part
    counts = {"train": {"background": ROWS, "target": ROWS}}
    info = DatasetInfo("additive_features", 1, {}, "0" * 64, (), (FEATURES,), (), counts)
    populations = (Population(torch.from_numpy(values).float(), {}) for values in rows)
    return AdditiveFeatures(ContrastiveDataset(info, *populations), part, salient, common)


def explained(expected: np.ndarray, found: np.ndarray) -> float:
    return 1 - ((found - expected) ** 2).sum() / ((expected - expected.mean(0)) ** 2).sum()


def read(rows: np.ndarray, values: np.ndarray) -> float:
    """R^2 of values read linearly from rows: learned on one half of them, tested on the other."""
    design = np.column_stack([rows, np.ones(len(rows))])
    half = len(rows) // 2
    weights = np.linalg.lstsq(design[:half], values[:half], rcond=None)[0]
    return explained(values[half:], design[half:] @ weights)


def found_by(method: Generative, features: AdditiveFeatures) -> Found:
    method.fit(features.data, context())
    rows = features.data.target.images
    part = (reconstruct(method, rows) - remove_salient(method, rows)).double().numpy()
    noisy = part + 0.01 * features.part.std() * np.random.default_rng(0).normal(size=part.shape)
    return Found(
        share=explained(features.part, part),
        salient=read(part, features.salient),
        common=read(noisy, features.common),
        energy=(part**2).mean() / (features.part**2).mean(),
    )


@pytest.fixture(scope="module")
def in_closed_form(features) -> Found:
    return found_by(AdditiveLinear(AdditiveLinearConfig(ridge=0)), features)


def test_the_closed_form_finds_the_salient_part(features, in_closed_form):
    """R^2 0.9993, card .9995 with the directions that vary twice as much in the target, which are two."""
    assert in_closed_form.share > 0.999


def test_the_closed_form_with_all_directions_finds_a_little_less(features, in_closed_form):
    """R^2 0.986, card .995."""
    background, target = (part.images.double().numpy() for part in (features.data.background, features.data.target))
    c_b, c_t = (np.cov(rows.T) for rows in (background, target))
    projector = np.eye(FEATURES) - c_b @ np.linalg.pinv(c_t, rcond=1e-6)
    share = explained(features.part, (target - background.mean(0)) @ projector.T)
    assert 0.98 < share < in_closed_form.share


def test_the_additive_separator_finds_the_salient_part(features):
    """R^2 0.92, card .96; common factors are not in the two numbers of its code, card .00."""
    found = found_by(AdditiveSeparator(AdditiveSeparatorConfig(**BUDGET, d_salient=SALIENT)), features)
    assert 0.88 < found.share < 1
    assert found.salient > 0.99
    assert found.common < 0.05


def test_without_its_adversary_it_finds_nothing(features):
    config = AdditiveSeparatorConfig(**SHORT, d_salient=SALIENT, adversary_weight=0)
    assert abs(found_by(AdditiveSeparator(config), features).share) < 0.02


@pytest.mark.parametrize("size", [SALIENT, 8])
def test_with_reversed_gradients_parts_that_add_up_collapse(features, size):
    """R^2 0.00, as in card F8, at an energy of 3e-4."""
    found = found_by(HardDiffCA(DiffCASeparatorConfig(**SHORT, d_salient=size, adversary_weight=0.1)), features)
    assert abs(found.share) < 0.02
    assert found.energy < 1e-3


def test_diffca_as_published_gives_a_small_salient_part_up(features):
    """R^2 0.05, and 0.00 after 1,500 steps: what the common part can keep, no loss moves into a code of two numbers."""
    found = found_by(DiffCASeparator(DiffCASeparatorConfig(**SHORT, d_salient=SALIENT)), features)
    assert abs(found.share) < 0.1
    assert found.energy < 0.01


def test_diffca_finds_a_salient_part_as_large_as_the_row_and_with_it_common_factors(features):
    """R^2 0.87, card .91; common factors can be read, R^2 0.44, card .29."""
    config = DiffCASeparatorConfig(**BUDGET, d_salient=FEATURES, adversary_weight=0.1)
    found = found_by(DiffCASeparator(config), features)
    assert 0.75 < found.share < 1
    assert found.salient > 0.99
    assert found.common > 0.1


def test_sage_finds_the_salient_part_with_its_discriminators(features):
    """R^2 0.985, card .98."""
    found = found_by(SAGESeparator(SAGESeparatorConfig(**SHORT, d_salient=SALIENT)), features)
    assert 0.97 < found.share < 1
    assert found.salient > 0.99
    assert found.common < 0.05


def test_sage_finds_nothing_without_them(features):
    """R^2 0.00, as in card F8."""
    config = SAGESeparatorConfig(**SHORT, d_salient=SALIENT, adversary_weight=0)
    found = found_by(SAGESeparator(config), features)
    assert abs(found.share) < 0.02
    assert found.energy < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "least"),
    [
        (AdditiveSeparator(AdditiveSeparatorConfig(**CARD, d_salient=SALIENT)), 0.93),
        (AdditiveSeparator(AdditiveSeparatorConfig(**CARD, d_salient=8)), 0.83),
        (DiffCASeparator(DiffCASeparatorConfig(**CARD, d_salient=FEATURES, adversary_weight=0.1)), 0.85),
        (SAGESeparator(SAGESeparatorConfig(**CARD, d_salient=SALIENT)), 0.98),
    ],
    ids=["additive, 2", "additive, 8", "diffca, 20", "sage, 2"],
)
def test_separators_reach_the_figures_of_the_card_with_its_budget(features, method, least):
    """R^2 0.956, 0.878, 0.892 and 0.991; card .96, .96, .91 and .98."""
    assert least < found_by(method, features).share < 1
