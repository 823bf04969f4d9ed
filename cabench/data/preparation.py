"""What a method is given of a table in place of what it does not take: filled missing values, logarithms of counts.

Everything is learned from the training rows alone:

- counts, for a method that takes real numbers: log(1 + count), standardised by mean and standard deviation;
- numbers from 0 up, for a method that takes them alone: scaled as the data set says, but not centred;
- missing values, for a method that does not take them: the mean of the feature's known values, of counts rounded.

A method that takes what the table holds is given it as it is stored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from cabench.data.dataset import ContrastiveDataset, DatasetInfo, Population
from cabench.data.scaling import Scale

ROWS = 1000  # prepared at a time
ROUNDING = 1e-11  # of the mean of equal numbers, relative; logarithms that differ, of counts below 10^9, differ by more


class Preparation(NamedTuple):
    """How the rows of a table are prepared for a method.

    Attributes:
        fill: float64 (features,), what missing values become, before scaling; NaN where they stay missing.
        mean: float64 (features,), taken off each row.
        scale: float64 (features,), what each row is then multiplied by; 0 where a feature is constant.
        takes_log: 0-d bool, whether the logarithm of 1 + value comes first.
        lowest: 0-d float64, what prepared values are at least: 0 or minus infinity.
    """

    fill: Tensor
    mean: Tensor
    scale: Tensor
    takes_log: Tensor
    lowest: Tensor

    @classmethod
    def learned(
        cls, train: ContrastiveDataset, takes: Collection[str], stored: Scale | None = None
    ) -> Preparation | None:
        """What a method needs on a table; None where it takes the data as they are.

        Args:
            train: the training split.
            takes: what the method takes, see `ContrastiveAnalysisMethod.takes`.
            stored: the scale of the table's columns, as its file keeps it.
        """
        info = train.info
        if not said_of(info, takes):
            return None
        log = needs_logarithms(info, takes)
        known, mean, variance = _moments(train, log)
        fill = torch.full_like(mean, torch.nan) if "missing" in takes else torch.where(known > 0, mean, 0)
        if info.are_counts and not log:
            fill = fill.round()
        scale = torch.where(variance > (ROUNDING * mean).square(), variance.rsqrt(), 0)
        lowest = torch.tensor(-torch.inf, dtype=torch.float64)
        if _needs_no_centre(info, takes):
            if stored is None:
                raise ValueError("a table that says it was non-negative lacks the scale of its columns")
            mean, scale, lowest = -stored.mean * stored.scale, torch.ones_like(mean), torch.zeros_like(lowest)
        elif not log:
            mean, scale = torch.zeros_like(mean), torch.ones_like(mean)
        return cls(fill, mean, scale, torch.tensor(log), lowest)

    def rows(self, features: Tensor) -> Tensor:
        """Float32 (n, features): prepared rows of float32 (n, features), NaN = missing; a copy."""
        values = features.double()
        if self.takes_log:
            values = values.log1p()
        values = torch.where(values.isnan(), self.fill, values)
        return ((values - self.mean) * self.scale).clamp(min=self.lowest).float()

    def split(self, data: ContrastiveDataset) -> ContrastiveDataset:
        """A prepared split, in pieces of a bounded size."""
        parts = (
            Population(torch.cat([self.rows(rows) for rows in _in_pieces(part.images)]), part.attributes)
            for part in (data.background, data.target)
        )
        filled = not self.fill.isnan().any()
        info = replace(
            data.info,
            are_counts=data.info.are_counts and not self.takes_log,
            missing=0.0 if filled else data.info.missing,
        )
        return ContrastiveDataset(info, *parts)


def said_of(info: DatasetInfo, takes: Collection[str]) -> tuple[str, ...]:
    """What tables of results say of the preparation that a method needs on a data set; nothing where it needs none."""
    said = []
    if needs_logarithms(info, takes):
        said.append("counts as log(1 + count), standardised over the training rows")
    if _needs_no_centre(info, takes):
        said.append("features scaled as in the data set, not centred")
    if info.missing and "missing" not in takes:
        said.append(f"missing values ({info.missing:.1%}) filled by means of the training rows")
    return tuple(said)


def needs_logarithms(info: DatasetInfo, takes: Collection[str]) -> bool:
    """Whether a data set holds counts and a method does not take them, nor other numbers from 0 up."""
    return info.are_counts and not {"counts", "non-negative"} & set(takes)


def _needs_no_centre(info: DatasetInfo, takes: Collection[str]) -> bool:
    return info.is_table and not info.are_counts and "tables" not in takes


def _moments(train: ContrastiveDataset, log: bool) -> tuple[Tensor, Tensor, Tensor]:
    """How many values are known, their mean and their variance, (features,), in two passes."""
    known = total = torch.zeros(train.info.image_shape, dtype=torch.float64)
    for rows in _pieces(train, log):
        known, total = known + (~rows.isnan()).sum(0), total + rows.nansum(0)
    mean = total / known.clamp(min=1)
    squares = torch.zeros_like(mean)
    for rows in _pieces(train, log):
        squares = squares + (rows - mean).square().nansum(0)
    return known, mean, squares / known.clamp(min=1)


def _pieces(train: ContrastiveDataset, log: bool) -> Iterator[Tensor]:
    for part in (train.background, train.target):
        for rows in _in_pieces(part.images):
            yield rows.double().log1p() if log else rows.double()


def _in_pieces(features: Tensor) -> Iterator[Tensor]:
    return (features[start : start + ROWS] for start in range(0, len(features), ROWS))
