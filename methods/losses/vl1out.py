"""vL1out: a variational leave-one-out upper bound of mutual information.

Source: Poole, Ozair, van den Oord, Alemi, Tucker. "On variational bounds of mutual information", ICML 2019,
arXiv 1905.06922.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cabench.methods.losses.gaussian_likelihood import pairwise_log_likelihood


def vl1out(mean: Tensor, log_variance: Tensor, salient: Tensor) -> Tensor:
    """How much better s is predicted from its own c than from the mixture of all others.

    vl1out(q; c, s) = mean_i [ log q(s_i | c_i) - log ( 1/(n-1) sum_{j != i} q(s_i | c_j) ) ]

    Bounds the mutual information of c and s from above where q(s | c) is their true conditional; with a fitted q it is
    an estimate that may lie below.

    Args:
        mean: (n, d) floats, row i what q predicts from c_i, n >= 2.
        log_variance: (n, d) floats, likewise.
        salient: (n, d) floats, the vectors s.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast; 0 where q does not depend on c.

    Raises:
        ValueError: if the shapes differ, are not (n, d), or there are fewer than two rows.
    """
    likelihoods = pairwise_log_likelihood(mean, log_variance, salient)  # entry ij: s_j under c_i
    rows = len(likelihoods)
    if rows < 2:
        raise ValueError("vl1out needs at least two rows, but got one.")
    itself = torch.eye(rows, dtype=torch.bool, device=likelihoods.device)
    others = likelihoods.masked_fill(itself, -math.inf).logsumexp(0) - math.log(rows - 1)
    return (likelihoods.diagonal() - others).mean()
