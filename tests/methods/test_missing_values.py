"""Methods that take no missing values refuse them in a sentence; what a run gives them has none.

That the others take them is a check of the conformance suite.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cabench.conformance import context
from cabench.data.dataset import ContrastiveDataset, Population
from cabench.data.preparation import Preparation
from cabench.datasets.planted_tables import PlantedTables, PlantedTablesConfig
from cabench.discovery import method_class, plugins
from cabench.errors import UserError
from cabench.method import ContrastiveAnalysisMethod

OF_TABLES = [
    name for name in plugins("methods") if {"tables", "counts", "non-negative"} & set(method_class(name).takes)
]
UNABLE = [name for name in OF_TABLES if "missing" not in method_class(name).takes]


@pytest.fixture(scope="module")
def incomplete() -> ContrastiveDataset:
    """Counts, of which the first target row lacks one."""
    train = PlantedTables(PlantedTablesConfig(kind="counts", train_size=20, test_size=20)).obtain(None).read("train")
    rows = train.target.images.clone()
    rows[0, 3] = torch.nan
    info = replace(train.info, missing=1 / train.images.numel())
    return ContrastiveDataset(info, train.background, Population(rows, train.target.attributes))


def made(name: str) -> ContrastiveAnalysisMethod:
    return method_class(name)()


@pytest.mark.parametrize("name", UNABLE)
def test_missing_values_are_refused_before_any_work(name: str, incomplete: ContrastiveDataset) -> None:
    said = rf"^{name} takes no missing values, but there are some \(NaN\) in 1 of 20 rows; fill them"
    with pytest.raises(UserError, match=said):
        made(name).fit(incomplete, context())
    with pytest.raises(UserError, match=said):
        made(name).encode(incomplete.target.images)


@pytest.mark.parametrize("name", OF_TABLES)
def test_a_run_gives_missing_values_to_those_that_take_them_alone(name: str, incomplete: ContrastiveDataset) -> None:
    takes = method_class(name).takes
    preparation = Preparation.learned(incomplete, takes)
    given = preparation.split(incomplete) if preparation else incomplete
    assert bool(given.images.isnan().any()) == (name not in UNABLE)


def test_both_kinds_of_methods_are_here() -> None:
    assert {"clvm", "pcpca"} == set(OF_TABLES) - set(UNABLE)
    assert {"pca", "cpca", "sepclr", "cplvm", "bcnmf", "contrastivevi", "additive_separator"} <= set(UNABLE)
