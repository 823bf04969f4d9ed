"""Speed of probes, at the size of CIFAR-MNIST: 25,000 target images and 32 dimensions."""

from __future__ import annotations

import numpy as np

from cabench.evaluation.probes import ProbeConfig, class_probe, real_probe


def features(seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(10, size=25_000)
    centres = generator.normal(size=(10, 32))
    return centres[labels] + generator.normal(size=(25_000, 32)), labels


def test_class_probe(benchmark):
    benchmark.pedantic(class_probe, (*features(0), ProbeConfig()), rounds=3)


def test_real_probe(benchmark):
    values, labels = features(0)
    benchmark(real_probe, values, labels.astype(float), ProbeConfig())
