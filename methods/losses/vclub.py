"""vCLUB: a variational contrastive upper bound of mutual information.

Source: Cheng, Hao, Dai, Liu, Gan, Carin. "CLUB: a contrastive log-ratio upper bound of mutual information", ICML 2020,
arXiv 2006.12013.
"""

from __future__ import annotations

from torch import Tensor

from cabench.methods.losses.gaussian_likelihood import log_likelihood, pairwise_log_likelihood


def vclub(mean: Tensor, log_variance: Tensor, salient: Tensor) -> Tensor:
    """How much better s is predicted from its own c than from another one's.

    vclub(q; c, s) = mean_i log q(s_i | c_i) - mean_ij log q(s_j | c_i)

    Bounds the mutual information of c and s from above where q(s | c) is their true conditional; with a fitted q it is
    an estimate that may lie below. The second mean runs over all pairs, including i = j.

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
