"""What a trial may be judged by beside its separation gap, from its record and its stored vectors alone.

Nothing is trained, and the test split is not reached: vectors are those of the two parts of the training split. By
name (statistics card, section 5.3), with what each can be fooled by:

- `labels:100`, less is better: the gap from a hundred labelled rows, see `cabench.tuning.few_labels`. Noise.
- `told`, more is better, in [-1, 1]: how much better target is told from background in the salient space than in the
  common one, which contrastive analysis itself promises. One bit of "is target" in the salient space is enough.
- `apart`, more is better, in [0, 1]: 1 less what the spaces tell of one another on target rows. A space that holds
  nothing, or noise.
- `stable`, more is better, in [0, 1]: what the salient space of one seed tells of that of another, on target rows, mean
  over the other seeds; of trials that ran under two or more. A space that holds the same under every seed, such as the
  common content, or one direction alone. (After UDR: Duan et al., Unsupervised Model Selection for Variational
  Disentangled Representation Learning, ICLR 2020, who compare dimension by dimension; spaces here may be rotated.)
- `salient_rank`, from 0: the effective rank of the salient space on target rows. Not a criterion itself: what lies
  below 2 has collapsed, which `apart` and `stable` reward. Noise has a high rank.
- `loss`, less is better: the method's own, in its last epoch of training. It means the same only where all settings
  that weigh its terms are equal, and rewards settings that make the task easy.

What cannot be measured, such as the loss of a method that is not trained by one, is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import entropy

from cabench.data.dataset import IS_TARGET, SPACES, Space
from cabench.evaluation.encoded import EncodedSplit
from cabench.evaluation.evaluate import PROBES
from cabench.evaluation.metrics.shape import space_r2
from cabench.evaluation.probes import ROUNDING
from cabench.evaluation.score import NotMeasurableError, Score

FEW_LABELS, TOLD, APART, STABLE, SALIENT_RANK, LOSS = "labels:100", "told", "apart", "stable", "salient_rank", "loss"
MORE_IS_BETTER = frozenset((TOLD, APART, STABLE))
FEWEST_DIRECTIONS = 2.0
"""The effective rank below which a salient space has collapsed."""


def told(scores: Sequence[Score]) -> float | None:
    """How much better target is told from background in the salient space than in the common one, in [-1, 1].

    Args:
        scores: of a cell.

    Returns:
        None where that was not measured.
    """
    aucs = {score.space: score.value for score in scores if (score.attribute, score.metric) == (IS_TARGET, "auc")}
    if len(aucs) < len(SPACES):
        return None
    common, salient = (max(0.0, 2 * aucs[space] - 1) for space in SPACES)
    return salient - common


def apart(train: EncodedSplit, validation: EncodedSplit) -> float | None:
    """1 less the R² of the space that is better predicted from the other, on target rows, in [0, 1].

    Args:
        train: vectors that the ridge is fitted on.
        validation: vectors that are predicted.

    Returns:
        None where both spaces are constant, or there are too few rows.
    """
    found = [_told_r2((train, validation), one, (train, validation), other) for one, other in (SPACES, SPACES[::-1])]
    known = [r2 for r2 in found if r2 is not None]
    return 1 - max(known) if known else None


def stability(seeds: Sequence[tuple[EncodedSplit, EncodedSplit]]) -> list[float | None]:
    """For each seed of a trial, the mean R², in [0, 1], of salient vectors of target rows predicted from and to others.

    Args:
        seeds: vectors of the training and the validation part, one pair a seed, of the same rows.

    Returns:
        None for a seed where nothing can be predicted: its space is constant, or there is no other seed.
    """
    count = len(seeds)
    r2 = np.full((count, count), np.nan)
    for one in range(count):
        for other in range(count):
            if one != other and (found := _told_r2(seeds[one], "salient", seeds[other], "salient")) is not None:
                r2[one, other] = found
    both_ways = [np.concatenate([r2[seed], r2[:, seed]]) for seed in range(count)]
    known = [values[~np.isnan(values)] for values in both_ways]
    return [float(values.mean()) if len(values) else None for values in known]


def effective_rank(vectors: np.ndarray) -> float:
    """How many directions vectors (n, d) fill: the exponential of the entropy of their singular values' shares.

    From 1 to d; 0 where all are equal but for rounding. Vectors are centred first (Roy and Vetterli, The Effective
    Rank, EUSIPCO 2007).
    """
    centred = vectors - vectors.mean(axis=0)
    if np.abs(centred).max(initial=0.0) <= ROUNDING * np.abs(vectors).max(initial=0.0):
        return 0.0
    return float(np.exp(entropy(np.linalg.svd(centred, compute_uv=False))))


def _told_r2(
    one: tuple[EncodedSplit, EncodedSplit], space: Space, other: tuple[EncodedSplit, EncodedSplit], of: Space
) -> float | None:
    """How well one's space predicts a space of the other on target rows, in [0, 1]; None where that is not defined."""
    groups = one[0].groups[len(one[0].background) :]
    fitted, predicted = ((a.target.vectors(space), b.target.vectors(of)) for a, b in zip(one, other, strict=True))
    try:
        return max(0.0, space_r2(*fitted, groups, *predicted, PROBES).value)
    except NotMeasurableError:
        return None
