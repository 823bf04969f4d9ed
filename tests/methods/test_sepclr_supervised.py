"""SepCLR with known attributes: its size, its objective from the formula, and what reaches which encoder."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from cabench.conformance import context
from cabench.data.dataset import Attribute
from cabench.errors import UserError
from cabench.methods.sepclr_supervised import SepCLRSupervised, SepCLRSupervisedConfig
from cabench.training import Batch

SHAPE = Attribute("shape", "salient", "class", ("square", "ellipse", "heart"))
SCALE, X, Y = (Attribute(name, "salient", "real") for name in ("scale", "x", "y"))
ORIENTATION = Attribute("orientation", "salient", "real")
DIGIT = Attribute("digit", "common", "class", ("zero", "one"))
SPRITES = (DIGIT, SHAPE, SCALE, ORIENTATION, X, Y)
SMALL = {"encoder": "sepvae_32", "crop_size": 32, "d_common": 6}


def test_published_size(prepared):
    assert prepared(SepCLRSupervised(), (1, 64, 64), SPRITES).parameter_count() == 5_626_725


def test_defaults_are_those_of_the_released_script():
    config = SepCLRSupervisedConfig()
    assert (config.epochs, config.batch_size, config.learning_rate, config.d_common) == (250, 1024, 3e-4, 32)
    assert (config.salient_weight, config.independence_weight, config.attribute_temperature) == (100, 10, 0.025)
    assert (config.crop_size, config.crop_scale, config.rotation, config.flip) == (64, (0.5, 1.0), 25, 0.5)
    assert (config.noise, config.jitter, config.grey) == (1, 0, 0)


def total_by_loops(
    c: np.ndarray, v: np.ndarray, s: np.ndarray, backgrounds: int, attributes: list[tuple[str, np.ndarray]]
) -> float:
    """The whole objective from the released script's formula, with its constants."""

    def squared(x: np.ndarray) -> np.ndarray:
        return ((x[:, None] - x[None]) ** 2).sum(-1)

    def uniformity(x: np.ndarray) -> float:
        return float(np.log(np.exp(-squared(x))[np.triu_indices(len(x), 1)].mean()))

    emptied = s.copy()
    emptied[:backgrounds] = 0
    dimensions = []
    for i, (kind, a) in enumerate(attributes):
        follow = []
        for p in range(len(a)):
            for q in range(p + 1, len(a)):
                if np.isnan(a[p]) or np.isnan(a[q]):
                    continue
                weight = np.exp(-((a[p] - a[q]) ** 2) / (2 * 0.025)) if kind == "real" else float(a[p] == a[q])
                follow.append(weight * (s[backgrounds + p, i] - s[backgrounds + q, i]) ** 2)
        pull = (s[:backgrounds, i] ** 2).mean() * (20 if kind == "real" else 1)
        dimensions.append(uniformity(emptied[:, [i]]) + (np.mean(follow) + pull) / 2)
    common = ((c - v) ** 2).sum(1).mean() + (uniformity(c) + uniformity(v)) / 2
    jem = np.log(np.exp(-squared(c) - squared(emptied)).mean(1)).mean()
    return float(common + 100 * np.mean(dimensions) + 10 * jem)


@pytest.mark.parametrize("undefined", [[], [0, 2]])
def test_objective_equals_the_formula(prepared, undefined):
    method = prepared(SepCLRSupervised(SepCLRSupervisedConfig(**SMALL)), attributes=(DIGIT, SHAPE, SCALE, X))
    generator = torch.Generator().manual_seed(0)
    c, v = (normalize(torch.randn(11, 4, generator=generator, dtype=torch.float64)) for _ in range(2))
    s = torch.randn(11, 3, generator=generator, dtype=torch.float64)
    shape = torch.tensor([0, 1, 1, 2, 0, 1])
    scale, x = torch.rand(2, 6, generator=generator, dtype=torch.float64)
    shape[undefined], scale[undefined] = -1, torch.nan
    attributes = {"shape": shape, "scale": scale, "x": x, "digit": torch.zeros(6).long()}
    total = method.loss_terms(c, v, s, 5, attributes)["total"].item()
    known = np.where(shape.numpy() < 0, np.nan, shape.numpy().astype(float))
    columns = [("class", known), ("real", scale.numpy()), ("real", x.numpy())]
    assert total == pytest.approx(total_by_loops(c.numpy(), v.numpy(), s.numpy(), 5, columns), rel=1e-9)


def labelled(batches) -> tuple[Batch, Batch]:
    background, target = batches()
    values = {"shape": torch.arange(6) % 3, "scale": torch.linspace(0, 1, 6)}
    return background, Batch(target.images, values)


def test_the_salient_encoder_sees_images_as_they_are_and_the_common_one_views_as_well(prepared, batches):
    method = prepared(SepCLRSupervised(SepCLRSupervisedConfig(**SMALL)), attributes=(SHAPE, SCALE))
    seen = {"common": [], "salient": []}
    for space, inputs in seen.items():
        method.network[space].register_forward_pre_hook(lambda _, given, inputs=inputs: inputs.append(given[0]))
    background, target = labelled(batches)
    method.training_step(background, target, context())
    images = torch.cat([background.images, target.images])
    assert [torch.equal(x, images) for x in seen["salient"]] == [True]
    assert [torch.equal(x, images) for x in seen["common"]] == [True, False]


def test_half_of_the_views_get_strong_noise(prepared):
    method = prepared(SepCLRSupervised(SepCLRSupervisedConfig(**SMALL)), attributes=(SHAPE,))
    views = torch.full((400, 1, 8, 8), 0.5)
    noise = method._with_noise(views, torch.Generator().manual_seed(0)) - views
    noisy = noise.flatten(1).abs().sum(1) > 0
    assert 160 < noisy.sum() < 240
    assert noise[noisy].std().item() == pytest.approx(1, rel=0.02)


def test_nuisances_are_left_alone(prepared, batches):
    site = Attribute("site", "nuisance", "class", ("x", "y"))
    found = []
    for attributes in ((SHAPE, SCALE), (site, SHAPE, SCALE)):
        method = prepared(SepCLRSupervised(SepCLRSupervisedConfig(**SMALL)), attributes=attributes)
        background, target = labelled(batches)
        target.attributes["site"] = torch.arange(6) % 2
        found.append(method.training_step(background, target, context()))
    assert found[0] == found[1]


def test_attributes_of_background_images_are_not_looked_at(prepared, batches):
    background, target = labelled(batches)
    found = []
    for value in (0.0, 1.0):
        method = prepared(SepCLRSupervised(SepCLRSupervisedConfig(**SMALL)), attributes=(SHAPE, SCALE))
        told = Batch(background.images, {"shape": torch.zeros(6).long(), "scale": torch.full((6,), value)})
        found.append(method.training_step(told, target, context()))
    assert found[0] == found[1]


def test_there_is_one_salient_dimension_for_each_salient_attribute(prepared):
    method = prepared(SepCLRSupervised(SepCLRSupervisedConfig(**SMALL)), attributes=(DIGIT, SHAPE, SCALE, X))
    common, salient = method.encode(torch.rand(3, 1, 32, 32))
    assert (common.shape, salient.shape) == ((3, 6), (3, 3))


def test_data_without_salient_attributes_is_refused(planted_info):
    info = dataclasses.replace(planted_info, attributes=(DIGIT,))
    with pytest.raises(UserError, match="sepclr_supervised learns salient attributes, but planted has none"):
        SepCLRSupervised(SepCLRSupervisedConfig(**SMALL, batch_size=64)).check(info)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"attribute_temperature": 0.0}, "attribute_temperature = 0.0 is not allowed; it must be above 0"),
        ({"noise": -1.0}, "noise = -1.0 is not allowed; it must be at least 0"),
        ({"rotation": 181.0}, "rotation = 181.0 is not allowed; it must be at least 0 and at most 180"),
        ({"d_common": 0}, "d_common = 0 is not allowed; it must be at least 1"),
    ],
)
def test_wrong_values_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        SepCLRSupervisedConfig(**fields)
