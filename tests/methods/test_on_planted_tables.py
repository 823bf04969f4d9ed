"""What methods find on planted tables: files are built, prepared, fitted, encoded and probed as in a run.

Figures called the notes' are those of the reference notes on methods, found with another draw of the same data. Probes
are fitted on training targets and scored on test targets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from cabench.conformance import context
from cabench.data.contrastive_dimension import estimated_dimension, lacking_directions
from cabench.data.dataset import ContrastiveDataset
from cabench.data.file import DatasetFile
from cabench.data.preparation import Preparation
from cabench.datasets.planted_tables import PlantedTables, PlantedTablesConfig
from cabench.discovery import method_class
from cabench.evaluation.probes import ProbeConfig, class_probe, real_probe
from cabench.experiment.request import check_method
from cabench.method import ContrastiveAnalysisMethod, Generative, Representation
from cabench.pictures.generation import remove_salient


@dataclass(frozen=True)
class Tried:
    """A method fitted on the training split of a planted table, and both splits as it is given them."""

    method: ContrastiveAnalysisMethod
    train: ContrastiveDataset
    test: ContrastiveDataset

    @property
    def vectors(self) -> tuple[Representation, Representation]:
        """Of training and test targets."""
        return self.method.encode(self.train.target.images), self.method.encode(self.test.target.images)

    def accuracy(self, space: str) -> float:
        """At which the group of test targets is read from a space; chance is 0.25."""
        train, test = (getattr(found, space).double().numpy() for found in self.vectors)
        known, asked = (split.target.attributes["group"] for split in (self.train, self.test))
        probe = class_probe(train, known, np.arange(len(known)).astype(str), ProbeConfig())
        return float((probe.classes[probe.evidence(test).argmax(1)] == asked).mean())

    def share(self, space: str, attributes: str) -> float:
        """R^2 of the linear reading of the factors called so, lowest of all of them, logarithms of positive ones."""
        train, test = (getattr(found, space).double().numpy() for found in self.vectors)
        shares = []
        for name in (name for name in self.test.target.attributes if name.startswith(attributes)):
            known, asked = (split.target.attributes[name] for split in (self.train, self.test))
            if min(known.min(), asked.min()) >= 0:
                known, asked = np.log1p(known), np.log1p(asked)
            predicted = real_probe(train, known, np.arange(len(known)).astype(str), ProbeConfig()).predict(test)
            shares.append(1 - ((asked - predicted) ** 2).mean() / asked.var())
        return float(min(shares))


def table(kind: str, rows: int = 400) -> tuple[PlantedTables, DatasetFile]:
    builder = PlantedTables(PlantedTablesConfig(kind=kind, train_size=rows))
    return builder, builder.obtain(None)


def tried(file: DatasetFile, name: str, **fields: object) -> Tried:
    kind = method_class(name)
    method = kind(kind.Config(**fields))
    check_method(method, file.info)
    train, test = (file.read(split) for split in ("train", "test"))
    preparation = Preparation.learned(train, method.takes, file.read_scale())
    if preparation is not None:
        train, test = preparation.split(train), preparation.split(test)
    method.fit(train, context())
    return Tried(method, train, test)


@pytest.fixture(scope="module")
def groups() -> DatasetFile:
    return table("groups")[1]


def smallest_cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Of the principal angles of two spans."""
    return float(np.linalg.svd(np.linalg.qr(one)[0].T @ np.linalg.qr(other)[0])[1].min())


def cosines(found: np.ndarray, planted: np.ndarray) -> np.ndarray:
    """Of each planted column with the most similar one found."""
    one, other = (columns / np.linalg.norm(columns, axis=0) for columns in (found, planted))
    return (other.T @ one).max(1)


@pytest.mark.parametrize(
    ("d_common", "lowest", "highest", "common"),
    [(2, 0.2, 0.4, 0.35), (8, 0.25, 0.6, 0.35), (10, 0.99, 1.0, 0.35), (12, 0.99, 1.0, 0.5)],
)
def test_clvm_reads_groups_with_enough_common_factors(groups, d_common, lowest, highest, common) -> None:
    """The notes' .31, .49, 1.00 and 1.00: fewer than ten common factors fail.

    From the common space the notes' .15 to .33; two factors too many find noise that tells a little of groups.
    """
    found = tried(groups, "clvm", d_common=d_common, d_salient=2, scaling="none")
    assert lowest <= found.accuracy("salient") <= highest
    assert found.accuracy("common") < common


def test_pooled_scaling_makes_few_common_factors_enough(groups) -> None:
    """Beside features that vary ten times as much, groups are small; scaled, they are the largest factor."""
    assert tried(groups, "clvm", d_common=2, d_salient=2, scaling="pooled").accuracy("salient") > 0.99


@pytest.mark.parametrize(
    ("name", "fields", "lowest", "highest"),
    [
        ("ratio_pca", {}, 0.99, 1.0),
        ("pca", {}, 0.2, 0.4),
        ("cpca", {"alpha": 0.5, "standardize": False}, 0.4, 0.65),
        ("cpca", {"alpha": 1, "standardize": False}, 0.4, 0.65),
        ("cpca", {"alpha": 2.7, "standardize": False}, 0.99, 1.0),
        ("cpca", {"alpha": 10, "standardize": False}, 0.99, 1.0),
        ("uca", {"standardize": False}, 0.4, 0.65),
    ],
)
def test_who_reads_groups_from_two_directions(groups, name, fields, lowest, highest) -> None:
    """The notes' 1.00 of the ratio, .32 of principal components, .52, .59, 1.00 and 1.00 of cPCA, and .50 of UCA."""
    assert lowest <= tried(groups, name, components=2, **fields).accuracy("salient") <= highest


def test_clvm_finds_planted_loadings() -> None:
    """The notes' cosines are above 0.97."""
    builder, file = table("gaussian", rows=200)
    found = tried(file, "clvm", d_common=3, d_salient=2)
    unscaled = found.method.scale[:, None] / file.read_scale().scale[:, None]
    for estimated, planted in zip(found.method.factors[:2], builder.loadings(), strict=True):
        assert smallest_cosine((estimated * unscaled).numpy(), planted) > 0.97
    assert found.share("salient", "salient") > 0.9 > 0.05 > found.share("common", "salient")
    assert found.share("common", "common") > 0.88 > 0.05 > found.share("salient", "common")


def test_the_additive_projector_finds_the_salient_part() -> None:
    """The notes' R^2 of .9995 with the directions of low ratio left out, on 1,500 rows of each population."""
    builder, file = table("additive", rows=1500)
    found = tried(file, "additive_linear")
    assert isinstance(found.method, Generative)
    rows, scale = found.test.target.images, file.read_scale()
    part = (rows - remove_salient(found.method, rows)).double().numpy() / scale.scale.numpy()
    drawn = builder.draw("test")[1]
    planted = drawn.salient @ builder.loadings().salient.T
    assert 1 - ((part - planted) ** 2).sum() / ((planted - planted.mean(0)) ** 2).sum() > 0.99
    assert found.share("salient", "salient") > 0.99
    assert found.share("salient", "common") < 0.02


def test_two_directions_are_missing_from_the_background_of_nested_tables() -> None:
    """Two with the planted dimensions, as in the notes; of 300 rows both are estimated too low: one or two remain."""
    _, file = table("nested", rows=300)
    train = file.read("train")
    target, background = (part.images.double().numpy() for part in (train.target, train.background))
    rows = target - target.mean(0), background - background.mean(0)
    assert lacking_directions(*rows, 5, 3) == lacking_directions(*rows, 5, 5) == 2
    assert lacking_directions(rows[1], rows[1], 3, 3) == 0
    found = estimated_dimension(file)
    assert 1 <= found.salient <= 2
    assert 4 <= found.target <= 5


@pytest.mark.parametrize("kind", ["counts", "parts"])
def test_cplvm_finds_the_factors_of_counts_and_of_rates(kind) -> None:
    """Rows' sizes are divided out with their totals, of which the factors are a part: so they are read at .6 to .8."""
    builder, file = table(kind)
    found = tried(file, "cplvm", d_common=3, d_salient=2, restarts=2)
    loadings = builder.loadings()
    assert cosines(found.method.shared.numpy(), loadings.common).min() > 0.98
    assert cosines(found.method.own.numpy(), loadings.salient).min() > 0.96
    assert found.share("salient", "salient") > 0.6 > 0.2 > found.share("common", "salient")
    assert found.share("common", "common") > 0.55 > 0.2 > found.share("salient", "common")


def test_bcnmf_finds_the_salient_parts_once_the_background_weighs() -> None:
    """Lowest cosine with a salient part 0.70 with weight 0 and 0.94 with 1; the notes' .12 and .74, of other parts."""
    builder, file = table("parts")
    without, weighed = (tried(file, "bcnmf", components=2, alpha=alpha, rounds=300, restarts=2) for alpha in (0, 1))
    planted = builder.loadings().salient
    assert cosines(without.method.parts.numpy(), planted).min() < 0.8
    assert cosines(weighed.method.parts.numpy(), planted).min() > 0.9
    assert without.share("salient", "salient") < 0.1
    assert weighed.share("salient", "salient") > 0.2
