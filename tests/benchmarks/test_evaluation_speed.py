"""Speed of probes and of whole evaluations: of 25,000 training images, and of a cell with ten attributes."""

from __future__ import annotations

import numpy as np
import pytest

from cabench.data.dataset import Attribute
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.evaluation.evaluate import evaluate
from cabench.evaluation.probes import ProbeConfig, class_probe, real_probe

CLASSES = tuple("0123456789")
ATTRIBUTES = (Attribute("object", "common", "class", CLASSES), Attribute("digit", "salient", "class", CLASSES))
DIGITS = tuple(Attribute(f"digit_{index}", "common", "class", CLASSES) for index in range(4))
SHAPES = tuple(Attribute(name, "salient", "class", tuple("abc")) for name in ("shape", "place"))
FACTORS = tuple(Attribute(name, "salient", "real") for name in ("scale", "orientation", "x", "y"))
TEN = (*DIGITS, *SHAPES, *FACTORS)
"""Such as those of `dsprites`."""


def features(seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(10, size=25_000)
    centres = generator.normal(size=(10, 32))
    return centres[labels] + generator.normal(size=(25_000, 32)), labels


def split(seed: int, n: int) -> EncodedSplit:
    """Half of the images are background. Each space tells its attribute, and a little of the other's."""
    centres = np.random.default_rng(0).normal(size=(2, 10, 32))
    generator = np.random.default_rng(seed)
    parts = []
    for is_target in (False, True):
        objects, digits = generator.integers(10, size=(2, n // 2))
        shown = is_target * centres[1, digits]
        common = centres[0, objects] + 0.2 * shown + generator.normal(size=(n // 2, 32))
        salient = 0.2 * centres[0, objects] + shown + generator.normal(size=(n // 2, 32))
        values = {"object": objects, "digit": digits if is_target else np.full(n // 2, -1)}
        parts.append(EncodedPopulation({"common": np.float32(common), "salient": np.float32(salient)}, values))
    return EncodedSplit(*parts)


def ten_attributes(seed: int, n: int) -> EncodedSplit:
    """Half of the images are background. 32 common and 16 salient dimensions tell what is theirs, and leak a little."""
    directions, generator = np.random.default_rng(0), np.random.default_rng(seed)
    codes = {attribute.name: directions.normal(size=(len(attribute.classes), 32)) for attribute in DIGITS}
    salient_codes = {attribute.name: directions.normal(size=(3, 16)) for attribute in SHAPES}
    slopes, leaks = directions.normal(size=(4, 16)), [0.1 * directions.normal(size=s) for s in ((16, 32), (32, 16))]
    parts = []
    for is_target in (False, True):
        values = {attribute.name: generator.integers(10, size=n // 2) for attribute in DIGITS}
        common = np.sum([code[values[name]] for name, code in codes.items()], axis=0)
        salient = np.zeros((n // 2, 16))
        for attribute in (*SHAPES, *FACTORS):
            values[attribute.name] = np.full(n // 2, attribute.undefined())
        if is_target:
            values |= {attribute.name: generator.integers(3, size=n // 2) for attribute in SHAPES}
            values |= {attribute.name: generator.random(n // 2) for attribute in FACTORS}
            salient += np.sum([code[values[name]] for name, code in salient_codes.items()], axis=0)
            salient += np.stack([values[attribute.name] for attribute in FACTORS], axis=1) @ slopes
        both = common + salient @ leaks[0], salient + common @ leaks[1]
        vectors = [np.float32(part + generator.normal(size=part.shape)) for part in both]
        parts.append(EncodedPopulation({"common": vectors[0], "salient": vectors[1]}, values))
    return EncodedSplit(*parts)


def test_class_probe(benchmark):
    values, labels = features(0)
    benchmark.pedantic(class_probe, (values, labels, np.arange(len(labels)), ProbeConfig()), rounds=3)


def test_real_probe(benchmark):
    values, labels = features(0)
    benchmark(real_probe, values, labels.astype(float), np.arange(len(labels)), ProbeConfig())


@pytest.mark.slow
def test_whole_evaluation(benchmark):
    images = 25_000 if benchmark.enabled else 2_500  # without a clock, that it runs is all there is to see
    train, test = split(1, images), split(2, images // 5)
    benchmark.extra_info["images"] = images
    benchmark.pedantic(evaluate, (train, test, ATTRIBUTES, ProbeConfig()), rounds=1)


@pytest.mark.slow
def test_whole_evaluation_of_ten_attributes(benchmark):
    images = 8_000 if benchmark.enabled else 800
    train, test = ten_attributes(1, images), ten_attributes(2, images // 2)
    benchmark.extra_info["images"] = images
    benchmark.pedantic(evaluate, (train, test, TEN, ProbeConfig()), rounds=1)
