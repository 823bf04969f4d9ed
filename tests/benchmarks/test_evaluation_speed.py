"""Speed of probes and of a whole evaluation, on 25,000 training images and 32 dimensions."""

from __future__ import annotations

import numpy as np
import pytest

from cabench.data.dataset import Attribute
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.evaluation.evaluate import evaluate
from cabench.evaluation.probes import ProbeConfig, class_probe, real_probe

CLASSES = tuple("0123456789")
ATTRIBUTES = (Attribute("object", "common", "class", CLASSES), Attribute("digit", "salient", "class", CLASSES))


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


def test_class_probe(benchmark):
    benchmark.pedantic(class_probe, (*features(0), ProbeConfig()), rounds=3)


def test_real_probe(benchmark):
    values, labels = features(0)
    benchmark(real_probe, values, labels.astype(float), ProbeConfig())


@pytest.mark.slow
def test_whole_evaluation(benchmark):
    images = 25_000 if benchmark.enabled else 2_500  # without a clock, that it runs is all there is to see
    train, test = split(1, images), split(2, images // 5)
    benchmark.extra_info["images"] = images
    benchmark.pedantic(evaluate, (train, test, ATTRIBUTES, ProbeConfig()), rounds=1)
