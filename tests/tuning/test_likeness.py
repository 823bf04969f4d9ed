"""Whether trials differ: how often that is said of trials that are alike, and of others that are not."""

from __future__ import annotations

import numpy as np
import pytest

from cabench.tuning.likeness import LEVEL, differ
from cabench.tuning.tuning_record import Outcome, TrialEntry


def outcome(seed: int, gap: float | None) -> Outcome:
    return Outcome(seed=seed, key="", error="", gap=gap, criteria={}, train_s=0.0, images_seen=0.0)


def entries(first: list[float | None], again: dict[int, list[float]]) -> list[TrialEntry]:
    return [
        TrialEntry(
            number=number,
            settings={},
            refused="",
            outcomes=tuple(outcome(1000 + seed, each) for seed, each in enumerate([gap, *again.get(number, [])])),
        )
        for number, gap in enumerate(first)
    ]


def share_of(spread: float) -> float:
    """How often 16 trials are said to differ whose settings differ by `spread`, and seeds by 1."""
    generator = np.random.default_rng(0)
    found = []
    for _ in range(1000):
        settings = spread * generator.normal(size=16)
        first = settings + generator.normal(size=16)
        again = {int(best): list(settings[best] + generator.normal(size=2)) for best in np.argsort(first)[:4]}
        found.append(differ(entries(first.tolist(), again)))
    return float(np.mean(found))


def test_trials_that_are_alike_are_seldom_said_to_differ() -> None:
    assert share_of(0.0) == pytest.approx(LEVEL, abs=0.02)


def test_trials_that_differ_are_said_to() -> None:
    assert share_of(5.0) > 0.95


def test_trials_that_are_equal_do_not_differ_and_without_luck_others_do() -> None:
    assert differ(entries([0.5] * 4, {0: [0.5, 0.5]})) is False
    assert differ(entries([0.5, 0.4], {0: [0.5, 0.5]})) is True


@pytest.mark.parametrize("first", [[0.5], [0.5, None], [0.5, 0.4]])
def test_of_too_few_nothing_is_said(first: list[float | None]) -> None:
    assert differ(entries(first, {0: [0.5]})) is None
    assert differ([]) is None
