"""How long methods are trained: the same rule for all, settled before the trials and the same for all of them.

With the profile's settings a method is trained for once, twice, four times, … the profile's epochs. The first length is
taken after which nothing more happens: its loss was flat at the end, as `cabench.experiment.flatness` has it, and what
contrastive analysis promises, that the salient space tells target from background and the common one does not, came out
as under the next length. Where there is none the longest that did not fail is taken; tables mark what is not flat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from cabench.config import Settings
from cabench.data.dataset import IS_TARGET
from cabench.errors import UserError
from cabench.experiment.record import Record

EPOCHS = "epochs"
SETTLED = 0.02  # of a difference of two areas under ROC curves
LONGEST = (1, 2, 4, 8, 16)


def check_longest(longest: int) -> None:
    """Refuse a most of lengths that is not allowed.

    Raises:
        UserError: saying what is.
    """
    if longest not in LONGEST:
        raise UserError(f"--longest {longest} is not allowed; give one of {', '.join(map(str, LONGEST))}.")


def lengthened(settings: Settings, longest: int) -> list[Settings]:
    """The settings with once, twice, four times, … their epochs; themselves alone for a method without epochs."""
    epochs = getattr(settings, EPOCHS, None)
    if epochs is None:
        return [settings]
    return [replace(settings, **{EPOCHS: epochs * times}) for times in LONGEST if times <= longest]


def long_enough(records: Sequence[Record]) -> int:
    """The index of the length that is taken.

    Args:
        records: of the same settings under growing lengths, one or more; one that failed is not taken, unless all did.
    """
    settled = (index for index, pair in enumerate(pairwise(records)) if _is_settled(*pair))
    ended = [index for index, record in enumerate(records) if record.status == "ok"]
    return next(settled, max(ended, default=0))


def _told(record: Record) -> float | None:
    """How much better the salient space tells target from background than the common one, in [-1, 1]; None where either
    was not measured. A difference of areas under ROC curves (statistics card, section 5.3, A).
    """
    found = {
        score.space: score.value for score in record.scores if score.attribute == IS_TARGET and score.metric == "auc"
    }
    return found["salient"] - found["common"] if {"salient", "common"} <= found.keys() else None


def _is_settled(short: Record, long: Record) -> bool:
    before, after = _told(short), _told(long)
    is_told = before is not None and after is not None and abs(before - after) <= SETTLED
    return is_told and short.loss_is_flat is not False
