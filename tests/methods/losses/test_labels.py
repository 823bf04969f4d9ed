"""Losses of labels: against loops, with undefined rows left out of values and gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cabench.methods.losses.labels import class_error, real_error


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_class_error_is_its_formula_over_defined_rows():
    logits, classes = normal(6, 3), torch.tensor([0, -1, 2, 1, -1, 2])
    losses = [
        math.log(sum(math.exp(v) for v in row)) - row[k]
        for row, k in zip(logits.tolist(), classes.tolist(), strict=True)
        if k >= 0
    ]
    assert class_error(logits, classes).item() == pytest.approx(np.mean(losses), rel=1e-12)


def test_real_error_is_its_formula_over_defined_rows():
    predictions, values = normal(6), normal(6, seed=1)
    values[[1, 4]] = math.nan
    pairs = [(p, y) for p, y in zip(predictions.tolist(), values.tolist(), strict=True) if not math.isnan(y)]
    mean = np.mean([y for _, y in pairs])
    expected = sum((p - y) ** 2 for p, y in pairs) / sum((y - mean) ** 2 for _, y in pairs)
    assert real_error(predictions, values).item() == pytest.approx(expected, rel=1e-10)


def test_units_do_not_matter_and_the_mean_costs_one():
    values = normal(20)
    mean = values.mean().expand(20)
    assert real_error(mean, values).item() == pytest.approx(1)
    assert real_error(1000 * normal(20, seed=1), 1000 * values).item() == pytest.approx(
        real_error(normal(20, seed=1), values).item()
    )


@pytest.mark.parametrize(
    ("loss", "predictions", "labels"),
    [
        (class_error, normal(3, 2), torch.tensor([-1, 1, -1])),
        (class_error, normal(3, 2), torch.tensor([-1, -1, -1])),
        (real_error, normal(3), torch.tensor([math.nan, 1.0, 2.0])),
        (real_error, normal(3), torch.tensor([math.nan] * 3)),
        (real_error, normal(3), torch.tensor([2.0, 2.0, 2.0])),
    ],
)
def test_undefined_rows_have_no_gradient(loss, predictions, labels):
    predictions = predictions.clone().requires_grad_()
    value = loss(predictions, labels)
    value.backward()
    assert value.isfinite()
    assert predictions.grad.isfinite().all()
    undefined = labels.isnan() if labels.is_floating_point() else labels < 0
    assert (predictions.grad[undefined] == 0).all()
    nothing_to_learn = (~undefined).sum() < (2 if loss is real_error else 1) or len(labels[~undefined].unique()) == 1
    if loss is real_error and nothing_to_learn:
        assert value.item() == 0
        assert (predictions.grad == 0).all()


def test_misfitting_shapes_are_refused():
    with pytest.raises(ValueError, match="class_error needs shapes"):
        class_error(torch.zeros(3, 2), torch.zeros(4, dtype=torch.long))
    with pytest.raises(ValueError, match="real_error needs two equal shapes"):
        real_error(torch.zeros(3, 1), torch.zeros(3))
