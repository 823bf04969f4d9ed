"""How long methods are trained: which lengths are tried, and which is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from cabench.config import Settings, setting
from cabench.errors import UserError
from cabench.evaluation.score import Score
from cabench.experiment.record import Record
from cabench.tuning.length import LONGEST, SETTLED, _told, check_longest, lengthened, long_enough


@dataclass(frozen=True)
class Trained(Settings):
    epochs: int = setting(10, at_least=1)
    weight: float = 1.0


def auc(space: str, value: float, attribute: str = "is_target") -> Score:
    return Score(
        space=space,
        attribute=attribute,
        attribute_space="salient",
        population="all",
        metric="auc",
        value=value,
        chance=0.5,
        ideal=0.5,
        standard_error=None,
        n_train=10,
        n_test=10,
        converged=True,
    )


@pytest.fixture
def length(failed: Record) -> Callable[..., Record]:
    """Makes the record of a length: what the salient space tells more than the common one, and whether it was flat."""

    def make(difference: float, flat: bool | None) -> Record:
        scores = (auc("salient", 0.5 + difference), auc("common", 0.5), auc("common", 0.9, "kind"))
        return replace(failed, status="ok", error=None, scores=scores, loss_is_flat=flat)

    return make


@pytest.fixture
def failed() -> Record:
    error = {"type": "ValueError", "message": "no", "traceback": "", "step": None, "last_terms": None}
    entry = {"name": "mine", "label": "mine", "version": 1, "config": {}}
    dataset = {**entry, "builder_version": 1, "content_sha256": "ab", "sources": []}
    return Record(
        key="ab" * 32,
        status="failed",
        method=entry,
        dataset=dataset,
        evaluation={"version": 3, "config": {}},
        profile="quick",
        seed=1000,
        precision="fp32",
        scores=(),
        separation_gap=None,
        cost={},
        provenance={},
        error=error,
    )


def test_lengths_are_doubled_up_to_the_longest_and_nothing_else_changes() -> None:
    found = lengthened(Trained(weight=3), 8)
    assert found == [Trained(epochs=10 * times, weight=3) for times in (1, 2, 4, 8)]
    assert lengthened(Trained(), 1) == [Trained()]


def test_a_method_without_epochs_has_one_length() -> None:
    assert lengthened(Settings(), 16) == [Settings()]


@pytest.mark.parametrize("longest", LONGEST)
def test_powers_of_two_are_allowed(longest: int) -> None:
    check_longest(longest)
    assert len(lengthened(Trained(), longest)) == LONGEST.index(longest) + 1


@pytest.mark.parametrize("longest", [0, -1, 3, 32])
def test_others_are_told_what_is(longest: int) -> None:
    with pytest.raises(UserError, match=f"--longest {longest} is not allowed; give one of 1, 2, 4, 8, 16"):
        check_longest(longest)


def test_the_first_is_taken_that_was_flat_and_that_the_next_one_changes_nothing_of(length) -> None:
    assert long_enough([length(0.1, False), length(0.3, True), length(0.31, True), length(0.31, True)]) == 1


def test_a_loss_that_still_fell_is_not_long_enough(length) -> None:
    assert long_enough([length(0.3, False), length(0.3, False), length(0.3, True), length(0.3, True)]) == 2


def test_what_is_told_must_have_settled_though_the_loss_is_flat(length) -> None:
    assert long_enough([length(0.1, True), length(0.2, True), length(0.2 + 0.9 * SETTLED, True)]) == 1
    assert long_enough([length(0.1, True), length(0.2, True), length(0.2 + 1.1 * SETTLED, True)]) == 2


def test_where_no_loss_tells_what_is_told_decides_alone(length) -> None:
    assert long_enough([length(0.1, None), length(0.3, None), length(0.3, None)]) == 1


def test_where_none_is_long_enough_the_longest_is_taken(length) -> None:
    assert long_enough([length(0.1, False), length(0.3, False)]) == 1
    assert long_enough([length(0.1, False)]) == 0


def test_one_that_failed_is_not_long_enough_and_does_not_confirm_another(length, failed: Record) -> None:
    assert long_enough([length(0.3, True), failed, length(0.3, True), length(0.3, True)]) == 2
    assert long_enough([failed, failed]) == 0
    assert long_enough([length(0.3, False), length(0.1, False), failed]) == 1


def test_what_is_told_is_the_salient_space_s_area_less_the_common_one_s(length, failed: Record) -> None:
    assert _told(length(0.25, None)) == pytest.approx(0.25)
    assert _told(failed) is None
    assert _told(replace(failed, scores=(auc("salient", 0.9),))) is None
