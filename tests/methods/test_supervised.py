"""The supervised control: which images and labels reach which encoder, and that it learns what it is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cabench.conformance import context, load_subject
from cabench.data.dataset import Attribute, as_float
from cabench.methods.supervised import Supervised, SupervisedConfig
from cabench.training import Batch

ATTRIBUTES = (
    Attribute("digit", "common", "class", ("zero", "one", "two")),
    Attribute("age", "common", "real"),
    Attribute("shape", "salient", "class", ("round", "square")),
)
SMALL = SupervisedConfig(encoder="sepvae_32", d_common=6, d_salient=4)


def labelled(background: Batch, target: Batch) -> tuple[Batch, Batch]:
    rows = len(background.images)
    digit, age = torch.arange(rows) % 3, torch.linspace(0, 1, rows)
    return (
        Batch(background.images, {"digit": digit, "age": age, "shape": torch.full((rows,), -1)}),
        Batch(target.images, {"digit": digit, "age": age.flip(0), "shape": torch.arange(rows) % 2}),
    )


def test_every_attribute_has_a_head_on_its_space(prepared):
    method = prepared(Supervised(SMALL), attributes=ATTRIBUTES)
    shapes = [(head.in_features, head.out_features) for head in method.network["heads"]]
    assert shapes == [(6, 3), (6, 1), (4, 2), (4, 2)]


def test_terms_are_those_of_the_labels(prepared, batches):
    method = prepared(Supervised(SMALL), attributes=ATTRIBUTES)
    background, target = labelled(*batches())
    images = torch.cat([background.images, target.images])
    with torch.no_grad():
        common, salient = method.network["common"](images), method.network["salient"](images)
        digits, ages, shapes, targets = (
            head(vectors).double().numpy()
            for head, vectors in zip(method.network["heads"], (common, common, salient[6:], salient), strict=True)
        )
    terms = method.training_step(background, target, context())

    def cross_entropy(logits: np.ndarray, classes: list[int]) -> float:
        chosen = logits[np.arange(len(logits)), classes]
        return float(np.mean(np.log(np.exp(logits).sum(1)) - chosen))

    ages_told = np.concatenate([np.linspace(0, 1, 6), np.linspace(1, 0, 6)])
    expected = {
        "digit": cross_entropy(digits, [0, 1, 2, 0, 1, 2] * 2),
        "age": ((ages[:, 0] - ages_told) ** 2).sum() / ((ages_told - ages_told.mean()) ** 2).sum(),
        "shape": cross_entropy(shapes, [0, 1] * 3),
        "is_target": cross_entropy(targets, [0] * 6 + [1] * 6),
    }
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value, rel=1e-5), name
    assert terms["total"].item() == pytest.approx(sum(expected.values()), rel=1e-5)


def test_salient_labels_of_background_images_are_not_looked_at(prepared, batches):
    background, target = labelled(*batches())
    found = []
    for shape in (-1, 1):
        method = prepared(Supervised(SMALL), attributes=ATTRIBUTES)
        relabelled = Batch(background.images, {**background.attributes, "shape": torch.full((6,), shape)})
        found.append(method.training_step(relabelled, target, context()))
    assert found[0] == found[1]


def test_nuisances_are_left_alone(prepared, batches):
    site, dose = Attribute("site", "nuisance", "class", ("x", "y")), Attribute("dose", "nuisance", "real")
    background, target = labelled(*batches())
    more = {"site": torch.arange(6) % 2, "dose": torch.linspace(-1, 1, 6)}
    plain = prepared(Supervised(SMALL), attributes=ATTRIBUTES)
    other = prepared(Supervised(SMALL), attributes=(site, *ATTRIBUTES, dose))
    expected = plain.training_step(background, target, context())
    found = other.training_step(*(Batch(b.images, {**b.attributes, **more}) for b in (background, target)), context())
    assert found == expected
    for ours, theirs in zip(other.network.parameters(), plain.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_it_learns_what_it_is_told():
    subject = load_subject("supervised", ["supervised.epochs=12"])
    method = subject.fitted()
    target = subject.data.target
    representation = method.encode(as_float(target.images))
    heads = dict(zip([a.name for a in subject.data.info.attributes], method.network["heads"], strict=False))
    with torch.no_grad():
        for name, vectors in (("common_class", representation.common), ("salient_class", representation.salient)):
            found = heads[name](vectors).argmax(1).numpy()
            assert (found == target.attributes[name]).mean() > 0.95, name
