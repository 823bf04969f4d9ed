"""In how many directions targets vary in which backgrounds do not: a rough estimate, beside a data set's sizes.

Hawke, Ma, Li. "Contrastive dimension reduction: when and how?", NeurIPS 2024, as its released code does it (commit
15fa3cb). Each population has an intrinsic dimension, and spans as many leading principal directions. The estimate is
the number of directions of the target that lie apart from all of the background's (the cosine of the principal angle is
below 1 - 0.1), and of those that the target has more.

Limits. It depends wholly on both intrinsic dimensions, which noise raises and few rows lower; where rows repeat one
subject, neighbours are too near and dimensions too low. Directions in which both populations vary, but the target more,
count for nothing, although methods such as ratio PCA find them. It is no measure of a method and chooses none.

The authors' test of dimension 0 by bootstrap is not here. Where the two dimensions differ it sees nothing. Where both
are the larger one it depends on that number: of 30 draws with 3 common and 2 salient directions and 300 + 300 rows, it
found p below 0.05 in all with the true dimension of 5, but in 11 with the estimated one of 4. Rows of one subject break
it too.

Deviations: at most 500 evenly spaced training rows of each population are looked at. Missing values and counts are
prepared as for a method that takes neither.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.distance import cdist

from cabench.data.dataset import ContrastiveDataset, Population, as_float, spaced
from cabench.data.file import DatasetFile
from cabench.data.layout import examples
from cabench.data.preparation import Preparation
from cabench.files.hdf5 import reading_hdf5

ROWS = 500  # of each population, looked at
FEWEST = 20  # rows of each population, below which nothing is said
NEIGHBOURS = 100
APART = 0.1  # what a cosine is short of 1, for directions that are not the same


class ContrastiveDimension(NamedTuple):
    """Estimated dimensions, as whole numbers.

    Attributes:
        salient: directions of the target that the background lacks.
        target: the target's intrinsic dimension.
        background: the background's.
    """

    salient: int
    target: int
    background: int


def estimated_dimension(file: DatasetFile) -> ContrastiveDimension | None:
    """The estimate for the training rows of a data set; None where they are too few or do not vary."""
    rows = _rows(file)
    if min(map(len, rows)) < FEWEST or not all((part != part[0]).any() for part in rows):
        return None
    populations = [part - part.mean(0) for part in rows]
    # Coordinates in the span of all rows: distances and angles stay, and large images become short.
    coordinates = torch.linalg.qr(torch.from_numpy(np.concatenate(populations).T), mode="r")[1].T
    background, target = np.split(coordinates.numpy(), [len(populations[0])])
    sizes = intrinsic_dimension(target), intrinsic_dimension(background)
    return ContrastiveDimension(lacking_directions(target, background, *sizes), *sizes)


def described(dimension: ContrastiveDimension | None) -> str:
    """The estimate in words, with what it rests on."""
    if dimension is None:
        return "not estimated: too few training rows, or rows that do not vary"
    salient, target, background = dimension
    return f"about {salient}, a rough estimate; intrinsic dimensions: target {target}, background {background}"


def intrinsic_dimension(rows: np.ndarray) -> int:
    """The dimension around a row, by the method of moments, rounded mean over all rows; at least 1, at most the rank.

    With m the mean distance of a row to its k nearest and r the largest of these distances, it is m / (r - m): Amsaleg,
    Chelly, Furon, Girard, Houle, Kawarabayashi, Nett. "Estimating local intrinsic dimensionality", KDD 2015. Here
    k = 100, or all other rows. Rows whose distances are all the same say nothing.

    Args:
        rows: float64 (n, values), n >= 2, centred, not all the same.
    """
    scores, sizes, _ = np.linalg.svd(rows, full_matrices=False)
    coordinates = scores * sizes  # the same distances, of fewer values
    nearest = np.sort(cdist(coordinates, coordinates), axis=1)[:, 1 : NEIGHBOURS + 1]  # the first is the row itself
    mean, largest = nearest.mean(1), nearest[:, -1]
    known = largest - mean > 1e-9 * largest.max()
    rank = int((sizes > 1e-6 * sizes[0]).sum())
    dimension = (mean[known] / (largest - mean)[known]).mean() if known.any() else 1
    return int(np.clip(round(float(dimension)), 1, rank))


def lacking_directions(target: np.ndarray, background: np.ndarray, target_size: int, background_size: int) -> int:
    """How many leading directions of the target the background lacks.

    Args:
        target: float64 (n, values), centred.
        background: float64 (m, values), centred.
        target_size: how many leading directions of the target there are.
        background_size: likewise.
    """
    ours, theirs = _leading(target, target_size), _leading(background, background_size)
    cosines = np.linalg.svd(ours @ theirs.T, compute_uv=False)
    return int((cosines < 1 - APART).sum()) + max(target_size - background_size, 0)


def _leading(rows: np.ndarray, count: int) -> np.ndarray:
    directions: np.ndarray = np.linalg.svd(rows, full_matrices=False)[2][:count]  # (count, values)
    return directions


def _rows(file: DatasetFile) -> list[np.ndarray]:
    """Float64 (n, values) of background and of target."""
    with reading_hdf5(file.path) as stored:
        group = stored["train"]
        is_target = group["is_target"][:]
        parts = [
            Population(torch.from_numpy(examples(group)[spaced(np.flatnonzero(is_target == wanted), ROWS)]), {})
            for wanted in (False, True)
        ]
    data = ContrastiveDataset(file.info, *parts)
    preparation = Preparation.learned(data, ("images", "tables"))
    prepared = preparation.split(data) if preparation else data
    return [as_float(part.images).flatten(1).double().numpy() for part in (prepared.background, prepared.target)]
