"""Multiplicative steps of non-negative factorisations: rows as products of codes and parts, all from 0 up.

Rows V (n, p) are approximated by H W^T, with codes H (n, K) and parts W (p, K). A step multiplies codes or parts by the
negative part of their gradient over its positive part, so that they stay from 0 up: Lee and Seung. "Algorithms for
non-negative matrix factorization", NIPS 2000. For ordinary factorisation no step raises the divergence.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor


class Terms(NamedTuple):
    """The two parts of a gradient, both from 0 up and of one shape: what pulls values up, and what pulls them down."""

    up: Tensor
    down: Tensor


class Divergence(Protocol):
    """How far rows are from their factorisation, and what its multiplicative steps need.

    All arguments are floats of one dtype: rows (n, p), codes (n, K), parts (p, K), from 0 up.

    Attributes:
        floor: added to denominators.
    """

    floor: float

    def value(self, rows: Tensor, codes: Tensor, parts: Tensor) -> Tensor:
        """The divergence, a 0-d tensor, summed over all values."""

    def code_terms(self, rows: Tensor, codes: Tensor, parts: Tensor) -> Terms:
        """What a step of the codes needs, (n, K) each; that of a row depends on no other row."""

    def part_terms(self, rows: Tensor, codes: Tensor, parts: Tensor) -> Terms:
        """What a step of the parts needs, (p, K) each; those of several samples of rows add up."""


class SquaredError:
    """||V - H W^T||^2. Terms: V W over H W^T W for codes, V^T H over W H^T H for parts."""

    floor = 1e-10

    def value(self, rows: Tensor, codes: Tensor, parts: Tensor) -> Tensor:
        """See `Divergence.value`."""
        return (rows - codes @ parts.T).square().sum()

    def code_terms(self, rows: Tensor, codes: Tensor, parts: Tensor) -> Terms:
        """See `Divergence.code_terms`."""
        return Terms(rows @ parts, codes @ (parts.T @ parts))

    def part_terms(self, rows: Tensor, codes: Tensor, parts: Tensor) -> Terms:
        """See `Divergence.part_terms`."""
        return Terms(rows.T @ codes, parts @ (codes.T @ codes))


class Poisson:
    """sum(R - V log R) with rates R = H W^T: minus the logarithm of the Poisson likelihood, but for log V!.

    Terms: (V / R) W over the sums of W's columns for codes, (V / R)^T H over the sums of H's columns for parts.
    """

    floor = 1e-16

    def value(self, rows: Tensor, codes: Tensor, parts: Tensor) -> Tensor:
        """See `Divergence.value`."""
        rates = poisson_rates(codes, parts)
        return (rates - rows * rates.log()).sum()

    def code_terms(self, rows: Tensor, codes: Tensor, parts: Tensor) -> Terms:
        """See `Divergence.code_terms`."""
        return Terms(rows / poisson_rates(codes, parts) @ parts, parts.sum(0).expand_as(codes))

    def part_terms(self, rows: Tensor, codes: Tensor, parts: Tensor) -> Terms:
        """See `Divergence.part_terms`."""
        return Terms((rows / poisson_rates(codes, parts)).T @ codes, codes.sum(0).expand_as(parts))


def poisson_rates(codes: Tensor, parts: Tensor) -> Tensor:
    """H W^T, float (n, p), with 1e-16 added: rates to divide by and to take logarithms of, even where a part is 0."""
    rates: Tensor = codes @ parts.T + Poisson.floor
    return rates


def multiplied(values: Tensor, terms: Terms, floor: float) -> Tensor:
    """One multiplicative step of codes or parts: `values` times up / (down + floor), of the same shape."""
    return values * terms.up / (terms.down + floor)
