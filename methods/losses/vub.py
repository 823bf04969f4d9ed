"""vUB: a variational upper bound of mutual information against a standard normal marginal.

Sources: Alemi, Fischer, Dillon, Murphy. "Deep variational information bottleneck", ICLR 2017, arXiv 1612.00410; Poole
et al. "On variational bounds of mutual information", ICML 2019, arXiv 1905.06922.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cabench.methods.losses.gaussian_likelihood import log_likelihood


def vub(mean: Tensor, log_variance: Tensor, salient: Tensor) -> Tensor:
    """How much better s is predicted from c than by a standard normal distribution r.

    vub(q; c, s) = mean_i [ log q(s_i | c_i) - log r(s_i) ],  r = N(0, I)

    Bounds the mutual information of c and s from above where q(s | c) is their true conditional, by the divergence of
    the distribution of s from r: it is 0 then only if s is standard normal and independent of c. The sample form,
    rather than the divergence of q from r, lets the gradient reach s as well as c.

    Args:
        mean: (n, d) floats, row i what q predicts from c_i.
        log_variance: (n, d) floats, likewise.
        salient: (n, d) floats, the vectors s.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast.

    Raises:
        ValueError: if the shapes differ or are not (n, d) with n >= 1.
    """
    zeros = torch.zeros_like(salient)
    return (log_likelihood(mean, log_variance, salient) - log_likelihood(zeros, zeros, salient)).mean()
