"""Variational bounds of mutual information, and the Gaussian log-densities that they use.

All use a prediction q(s | c) of one vector from another, a diagonal Gaussian. They bound the mutual information of
c and s from above where q is their true conditional; with a fitted q they are estimates that may lie below.

Sources: vCLUB: Cheng, Hao, Dai, Liu, Gan, Carin. "CLUB: a contrastive log-ratio upper bound of mutual information",
ICML 2020, arXiv 2006.12013. vUB: Alemi, Fischer, Dillon, Murphy. "Deep variational information bottleneck", ICLR 2017,
arXiv 1612.00410. vL1out, and vUB: Poole, Ozair, van den Oord, Alemi, Tucker. "On variational bounds of mutual
information", ICML 2019, arXiv 1905.06922.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cabench.methods.losses.precision import exact


def vclub(mean: Tensor, log_variance: Tensor, salient: Tensor) -> Tensor:
    """How much better s is predicted from its own c than from the c of another row.

    vclub(q; c, s) = mean_i log q(s_i | c_i) - mean_ij log q(s_j | c_i)

    The second mean runs over all pairs, including i = j.

    Args:
        mean: (n, d) floats, row i what q predicts from c_i.
        log_variance: (n, d) floats, likewise.
        salient: (n, d) floats, the vectors s.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast; 0 where q does not depend on c.

    Raises:
        ValueError: if the shapes differ or are not (n, d) with n >= 1.
    """
    own = log_likelihood(mean, log_variance, salient)
    return own.mean() - pairwise_log_likelihood(mean, log_variance, salient).mean()


def vub(mean: Tensor, log_variance: Tensor, salient: Tensor) -> Tensor:
    """How much better s is predicted from c than by a standard normal distribution r.

    vub(q; c, s) = mean_i [ log q(s_i | c_i) - log r(s_i) ],  r = N(0, I)

    Where q is the true conditional, it exceeds the mutual information by the divergence of the distribution of s from
    r, and is 0 only if s is standard normal and independent of c. The sample form, rather than the divergence of q
    from r, lets the gradient reach s as well as c. Arguments, result and errors are those of `vclub`.
    """
    zeros = torch.zeros_like(salient)
    return (log_likelihood(mean, log_variance, salient) - log_likelihood(zeros, zeros, salient)).mean()


def vl1out(mean: Tensor, log_variance: Tensor, salient: Tensor) -> Tensor:
    """How much better s is predicted from its own c than from the mixture of all others.

    vl1out(q; c, s) = mean_i [ log q(s_i | c_i) - log ( 1/(n-1) sum_{j != i} q(s_i | c_j) ) ]

    Arguments, result and errors are those of `vclub`, but there must be two rows or more.
    """
    likelihoods = pairwise_log_likelihood(mean, log_variance, salient)  # entry ij: s_j under c_i
    rows = len(likelihoods)
    if rows < 2:
        raise ValueError("vl1out needs at least two rows, but got one.")
    itself = torch.eye(rows, dtype=torch.bool, device=likelihoods.device)
    others = likelihoods.masked_fill(itself, -math.inf).logsumexp(0) - math.log(rows - 1)
    return (likelihoods.diagonal() - others).mean()


def log_likelihood(mean: Tensor, log_variance: Tensor, x: Tensor) -> Tensor:
    """Log N(x_i; mean_i, variance_i) for each row i.

    Args:
        mean: (n, d) floats.
        log_variance: (n, d) floats, natural logarithms.
        x: (n, d) floats.

    Returns:
        (n,) tensor, float32 (float64 for float64 input), also under autocast.

    Raises:
        ValueError: if the shapes differ or are not (n, d) with n >= 1.
    """
    mean, log_variance, x = _checked(mean, log_variance, x)
    return _log_density(mean, log_variance, x)


def pairwise_log_likelihood(mean: Tensor, log_variance: Tensor, x: Tensor) -> Tensor:
    """Log N(x_j; mean_i, variance_i) for all rows i, j.

    Arguments and errors are those of `log_likelihood`. The result is (n, n): entry ij is the density of row j under the
    prediction of row i.
    """
    mean, log_variance, x = _checked(mean, log_variance, x)
    return _log_density(mean[:, None], log_variance[:, None], x[None])


def _log_density(mean: Tensor, log_variance: Tensor, x: Tensor) -> Tensor:
    squares = (x - mean).square() * torch.exp(-log_variance)
    return -(squares + log_variance + math.log(2 * math.pi)).sum(-1) / 2


def _checked(*tensors: Tensor) -> list[Tensor]:
    shapes = [tuple(t.shape) for t in tensors]
    if len(set(shapes)) != 1 or len(shapes[0]) != 2 or shapes[0][0] == 0:
        raise ValueError(f"Mean, log-variance and vectors need one shape (n, d) with n >= 1, but got {shapes}.")
    return [exact(t) for t in tensors]
