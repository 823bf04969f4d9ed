"""Which trial is chosen: ties, failures, equal settings, and what the second look is worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from cabench.tuning import choice
from cabench.tuning.choice import FINALISTS
from cabench.tuning.rules import RULES
from cabench.tuning.tuning_record import WORST, Outcome, TrialEntry

SEEDS = (1000, 1001, 1002)


def outcome(seed: int, gap: float | None, key: str) -> Outcome:
    error = "" if gap is not None else "it failed"
    return Outcome(seed=seed, key=key, error=error, gap=gap, criteria={}, train_s=1.0, images_seen=10.0)


def entry(number: int, *gaps: float | None, settings: object = None, refused: str = "") -> TrialEntry:
    """A trial with gaps under as many seeds; the settings are its number, unless they are given."""
    value = number if settings is None else settings
    outcomes = tuple(outcome(seed, gap, f"{seed} {value}") for seed, gap in zip(SEEDS, gaps, strict=False))
    return TrialEntry(number=number, settings={"weight": value}, refused=refused, outcomes=outcomes)


def entries(*gaps: float | None) -> list[TrialEntry]:
    return [entry(number, gap) for number, gap in enumerate(gaps)]


def finalists(trials: Sequence[TrialEntry]) -> list[TrialEntry]:
    return choice.finalists(trials, RULES["labels"])


def choose(trials: Sequence[TrialEntry]) -> TrialEntry:
    return choice.choose(trials, RULES["labels"])


def numbers(trials: Sequence[TrialEntry]) -> list[int]:
    return [trial.number for trial in trials]


class TestFinalists:
    def test_the_four_smallest_gaps_come_again_the_smallest_first(self) -> None:
        assert numbers(finalists(entries(0.5, 0.1, 0.4, 0.2, 0.6, 0.3))) == [1, 3, 5, 2]

    def test_of_equal_gaps_the_earlier_trial_comes_first(self) -> None:
        assert numbers(finalists(entries(*[0.3] * 6))) == [0, 1, 2, 3]

    def test_there_are_fewer_where_fewer_ended(self) -> None:
        assert numbers(finalists(entries(0.5, None, 0.4))) == [2, 0]
        assert finalists(entries(None, None)) == []

    def test_what_failed_or_was_refused_or_is_not_there_yet_is_none(self) -> None:
        trials = [entry(0, None), entry(1, refused="no"), entry(2), entry(3, WORST)]
        assert numbers(finalists(trials)) == [3]

    def test_they_are_of_different_settings(self) -> None:
        """A method with two settings has both looked at again, however often either was tried."""
        trials = [entry(number, 0.3 + 0.1 * (number % 2), settings=number % 2 == 0) for number in range(8)]
        assert numbers(finalists(trials)) == [0, 1]

    def test_settings_of_any_kind_are_told_apart(self) -> None:
        kinds = [True, 1.5, "none", [1, 2], [2, 1]]
        trials = [entry(number, 0.1 * number, settings=kind) for number, kind in enumerate(kinds)]
        assert numbers(finalists(trials)) == [0, 1, 2, 3]


class TestChoice:
    def test_the_smallest_mean_over_seeds_is_taken(self) -> None:
        trials = [entry(0, 0.30, 0.50, 0.52), entry(1, 0.35, 0.33, 0.34), entry(2, 0.5)]
        assert choose(trials).number == 1

    def test_what_did_not_come_again_cannot_win(self) -> None:
        """Five trials; the fifth has a better single look than the means of those that were looked at again."""
        looked_at = [entry(number, 0.30, 0.60, 0.60) for number in range(FINALISTS)]
        assert choose([*looked_at, entry(FINALISTS, 0.31)]).number == 0

    def test_of_equal_means_the_earlier_trial_is_taken(self) -> None:
        assert choose([entry(0, 0.5, 0.5, 0.5), entry(1, 0.5, 0.5, 0.5)]).number == 0

    def test_a_failure_under_one_seed_counts_as_the_worst_value(self) -> None:
        trials = [entry(0, 0.5, 0.5, 0.5), entry(1, 0.1, 0.1, None)]
        assert trials[1].mean_gap == pytest.approx((0.1 + 0.1 + WORST) / 3)
        assert choose(trials).number == 1
        assert choose([trials[0], entry(1, 0.3, 0.3, None)]).number == 0

    def test_where_every_trial_failed_it_is_the_profile_s_own(self) -> None:
        trials = [entry(0, None), entry(1, refused="no")]
        assert choose(trials).number == 0
        assert [trial.gap for trial in trials] == [WORST, WORST]
        assert [trial.mean_gap for trial in trials] == [WORST, WORST]

    def test_one_trial_alone_is_chosen(self) -> None:
        assert choose(entries(0.7)).number == 0


def tuned(truth: np.ndarray, noise: float, generator: np.random.Generator) -> tuple[int, int, float]:
    """Tune once, gaps in points: the trial that is chosen, the best at first sight, and the mean that it was chosen by.

    Args:
        truth: (n,), the true gap of every trial.
        noise: standard deviation of a look.
        generator: of looks.
    """
    looks = (50 + truth[:, None] + noise * generator.normal(size=(len(truth), len(SEEDS)))) / 100
    first = [entry(number, look) for number, look in enumerate(looks[:, 0])]
    again = set(numbers(finalists(first)))
    trials = [entry(number, *look) if number in again else first[number] for number, look in enumerate(looks)]
    chosen = choose(trials)
    return chosen.number, int(looks[:, 0].argmin()), 100 * chosen.mean_gap - 50


def test_the_second_look_is_worth_what_the_statistics_card_says() -> None:
    """Section 5.2: at noise 3, settings' sd 5, N = 16, 0.7 points over the best at first sight."""
    generator = np.random.default_rng(0)
    won = []
    for _ in range(3000):
        truth = generator.normal(0, 5, 16)
        chosen, first_sight, _ = tuned(truth, 3, generator)
        won.append(truth[first_sight] - truth[chosen])
    error = np.std(won) / len(won) ** 0.5
    assert np.mean(won) == pytest.approx(0.7, abs=4 * error + 0.05)


def test_of_pure_noise_the_choice_is_better_than_the_truth_by_no_more_than_the_card_says() -> None:
    """Section 5.2: 1.0 to 3.5 points at noise 2. The second look takes much of what one look pretends."""
    generator = np.random.default_rng(1)
    pretended = [-tuned(np.zeros(32), 2, generator)[2] for _ in range(1000)]
    assert 1.0 < np.mean(pretended) < 3.5
    assert np.quantile(pretended, 0.95) < 3.5


def test_of_pure_noise_a_method_is_seldom_put_above_one_that_is_better_by_that_much() -> None:
    """Two methods, all of whose settings are equally good: the better one wins by validation too."""
    generator = np.random.default_rng(2)
    better, worse = ([tuned(np.full(16, gap), 2, generator)[2] for _ in range(1000)] for gap in (0.0, 3.5))
    assert np.mean(np.array(worse) < np.array(better)) < 0.01
