"""The table "Choosing without labels" of one data set, and the sentence on what a practitioner should choose by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cabench.report.tables import DOWN, FRACTION, NO_SCORE, UP, Entry, Header, Line, Table
from cabench.tuning.criteria import APART, FEW_LABELS, LOSS, TOLD
from cabench.tuning.rules import LABEL_FREE, LABELS, RULES, has_ended
from cabench.tuning.selection import (
    DEFAULT,
    FEWEST_RANKED,
    LEVEL,
    RANDOM,
    Estimate,
    Worth,
    comparable,
    looked_at,
    why_not_comparable,
    worth_of,
    worths,
)
from cabench.tuning.tuning_record import TuningRecord

TITLE = "Choosing without labels"
HEADERS = (
    Header("", "rank correlation", UP),
    Header("", "regret", DOWN),
    Header("gain over", "the profile's own", UP),
    Header("gain over", "a random trial", UP),
    Header("", "methods"),
)
_NAMES = {
    LABELS: "labels (upper envelope)",
    DEFAULT: "the profile's own settings",
    RANDOM: "a trial at random",
}
_WHAT = (
    "Means over methods. Rank correlation: Spearman's, of what a rule judges trials by and their test gaps, where it "
    f"judges {FEWEST_RANKED} or more. Regret: the test gap of the trial that it chooses minus the best test gap of any "
    "trial, which the test rows' own luck helps to find. Gain: the test gap of the profile's own settings, or the mean "
    "of all trials that did not fail, minus that of its choice. All rules judge trials under the one seed that all "
    "have, so that how stable trials are between seeds does not count."
)
_INTERVALS = (
    "± is the 95 % interval over methods; of ± 1.000 nothing is known, and without it there is one method alone, or "
    "all have the same value."
)
MEANINGS = {
    LABELS: "the validation gap, with the labels of all rows; the upper envelope, as nobody has these in practice",
    FEW_LABELS: "the validation gap from a hundred labelled rows",
    LABEL_FREE: f"the mean rank by {TOLD} and {APART}; a trial whose salient space has collapsed ranks last",
    TOLD: "how much better target is told from background in the salient space than in the common one",
    APART: "how little the two spaces tell of one another on target rows",
    LOSS: "the method's own, at the end of training",
}
"""What each rule judges trials by, in words."""
_CHOSEN_BY = " ".join(f"{name}: {meaning}." for name, meaning in MEANINGS.items())
_PRACTICAL = tuple(rule for rule in RULES.values() if rule.name != LABELS)
"""What somebody can choose by who has at most a hundred labels."""


def selection_tables(records: Sequence[TuningRecord]) -> list[Table]:
    """What each way to choose is worth on one data set.

    Args:
        records: of one data set, one a method; see `cabench.tuning.selection.comparable` for those that count.

    Returns:
        One table; none where no method counts.
    """
    if not comparable(records):
        return []
    lines = tuple(Line(_NAMES.get(found.name, found.name), False, _entries(found)) for found in worths(records))
    notes = (_WHAT, _INTERVALS, _CHOSEN_BY, *_notes(records))
    return [Table(TITLE, HEADERS, lines, {}, notes, rows="chosen by")]


def selection_sentence(records: Sequence[TuningRecord]) -> str:
    """Which rules are shown to choose well on one data set, without labels and with a hundred.

    Of each kind, rules are named whose gain over the profile's own settings is above 0 in an interval that is corrected
    for the number of rules. Where none is, rules are named whose gain over a trial at random is: who has no settings to
    begin with can choose by these.

    Args:
        records: as of `selection_tables`.

    Returns:
        Sentences; nothing of less than two methods, and where no rule judges a trial.
    """
    level = LEVEL / len(_PRACTICAL)
    found = {rule: worth_of(rule, records, level) for rule in _PRACTICAL}
    if len(comparable(records)) < 2 or all(worth.gain is None for worth in found.values()):
        return ""
    without, hundred = ([worth for rule, worth in found.items() if rule.labels == labels] for labels in ("none", "100"))
    return (
        f"Without labels, {_verdict(without)} With a hundred labels, {_verdict(hundred)} These are 95 % intervals, "
        f"corrected for the {len(_PRACTICAL)} rules. They are too narrow, as all methods share the same rows."
    )


def _verdict(found: Sequence[Worth]) -> str:
    """What is shown of some rules."""
    if all(worth.gain is None for worth in found):
        return "nothing is known."
    if shown := _shown({worth.name: worth.gain for worth in found}):
        return f"a smaller test gap than with the profile's own settings is shown for choices by {shown}."
    by_chance = _shown({worth.name: worth.over_random for worth in found})
    nothing = "no rule is shown to choose better than the profile's own settings"
    return (
        f"{nothing}; better than a trial at random choose: {by_chance}."
        if by_chance
        else f"{nothing}, nor than a trial at random."
    )


def _shown(gains: Mapping[str, Estimate | None]) -> str:
    """The rules whose gain is shown to be one, and is as large as what tables can show."""
    return "; ".join(
        f"{name}, by {FRACTION.text(gain.value)} ± {FRACTION.text(gain.half_width)} over {gain.methods} methods"
        for name, gain in gains.items()
        if gain is not None and gain.half_width is not None and gain.value - gain.half_width > 0
        if round(gain.value, FRACTION.digits) > 0
    )


def _entries(worth: Worth) -> tuple[Entry, ...]:
    methods = str(worth.regret.methods) if worth.regret else "0"
    return (*map(_entry, (worth.correlation, worth.regret, worth.gain, worth.over_random)), Entry(methods))


def _entry(found: Estimate | None) -> Entry:
    if found is None:
        return Entry(NO_SCORE)
    interval = "" if found.half_width is None else FRACTION.text(min(found.half_width, FRACTION.widest))
    return Entry(FRACTION.text(round(found.value, FRACTION.digits) + 0.0), interval)  # -0.0 is shown as 0


def _notes(records: Sequence[TuningRecord]) -> Iterator[str]:
    """On what rules do not judge, and what does not count."""
    among = comparable(records)
    for rule in RULES.values():
        without = [record.method for record in among if not rule.costs(looked_at(record))]
        if without:
            yield f"Not known by {rule.name}: {', '.join(without)}."
    failed = [record.method for record in among if not all(map(has_ended, record.trials))]
    if failed:
        yield (
            f"Some trials failed of {', '.join(failed)}; they count as the largest gap there is, which skews intervals."
        )
    left_out = [f"{record.method} ({'; '.join(why)})" for record in records if (why := why_not_comparable(record))]
    if left_out:
        yield f"Not counted in this table: {', '.join(left_out)}."
