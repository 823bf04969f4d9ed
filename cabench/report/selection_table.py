"""The table "Choosing without labels" of one data set, and the sentence on what a practitioner should choose by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cabench.report.tables import DOWN, FRACTION, NO_SCORE, UP, Entry, Header, Line, Table
from cabench.tuning.criteria import APART, FEW_LABELS, LOSS, TOLD
from cabench.tuning.kinds import has_two_spaces, installed, is_told
from cabench.tuning.rules import LABEL_FREE, LABELS, RULES, Rule
from cabench.tuning.selection import (
    DEFAULT,
    FEWEST_RANKED,
    LEVEL,
    RANDOM,
    Estimate,
    Worth,
    comparable,
    looked_at,
    worth_of,
    worths,
)
from cabench.tuning.tuning_record import TuningRecord
from cabench.tuning.worth import is_opened

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
    f"judges {FEWEST_RANKED} or more. Regret: the test gap of the trial that it chooses less the best test gap of any "
    "trial, which the test rows' own luck helps to find. Gain: the test gap of the profile's own settings, or the mean "
    "of all trials, less that of its choice."
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
        records: of one data set, one a method. A method with one trial, or whose test gaps are not known, does not
            count, nor does one that is told the attributes or has one vector for both spaces.

    Returns:
        One table; none where no method counts.
    """
    if not comparable(records):
        return []
    lines = tuple(Line(_NAMES.get(found.name, found.name), False, _entries(found)) for found in worths(records))
    notes = (_WHAT, _INTERVALS, _CHOSEN_BY, *_notes(records))
    return [Table(TITLE, HEADERS, lines, {}, notes, rows="chosen by")]


def selection_sentence(records: Sequence[TuningRecord]) -> str:
    """Which rule to choose by on one data set, without labels and with a hundred; empty where nothing is known.

    A rule is named where its gain over the profile's own settings is above 0 in an interval that is corrected for the
    number of rules; of several, the one whose interval has the highest lower end. Where none is, all are named whose
    gain over a trial at random is: who has no settings to begin with can choose by these.

    Args:
        records: as of `selection_tables`.
    """
    if len(comparable(records)) < 2:
        return ""
    level = LEVEL / len(_PRACTICAL)
    worths = {rule: worth_of(rule, records, level) for rule in _PRACTICAL}
    without, hundred = (
        {rule: worth for rule, worth in worths.items() if rule.labels == labels} for labels in ("none", "100")
    )
    return (
        f"Without labels, {_advice(without)} With a hundred labels, {_advice(hundred)} Intervals are of 95 %, for each "
        f"question corrected for {len(_PRACTICAL)} rules."
    )


def _advice(worths: Mapping[Rule, Worth]) -> str:
    """The end of a sentence: which of some rules to choose by."""
    if all(worth.gain is None for worth in worths.values()):
        return "nothing is known."
    shown = _above_0({rule: worth.gain for rule, worth in worths.items()})
    if shown:
        rule, gain = max(shown.items(), key=lambda item: item[1].low or 0.0)
        return (
            f"choose by {rule.name}: over {gain.methods} methods the test gap is smaller than with the profile's own "
            f"settings by {_interval(gain)}."
        )
    return (
        "no rule is shown to choose better than the profile's own settings"
        f"{_by_chance(_above_0({rule: worth.over_random for rule, worth in worths.items()}))}"
    )


def _by_chance(shown: Mapping[Rule, Estimate]) -> str:
    """The end of the sentence: which rules choose better than chance does, and by how much."""
    if not shown:
        return ", nor than a trial at random."
    gains = [f"{rule.name}, by {_interval(gain)} over {gain.methods} methods" for rule, gain in shown.items()]
    return f". Better than a trial at random: {'; '.join(gains)}."


def _above_0(gains: Mapping[Rule, Estimate | None]) -> dict[Rule, Estimate]:
    return {rule: gain for rule, gain in gains.items() if gain is not None and (gain.low or 0.0) > 0}


def _interval(gain: Estimate) -> str:
    assert gain.half_width is not None  # what is shown has an interval
    return f"{FRACTION.text(gain.value)} ± {FRACTION.text(gain.half_width)}"


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
        without = [record.method for record in among if not rule.costs(looked_at(record, rule))]
        if without:
            yield f"Not known by {rule.name}: {', '.join(without)}."
    criterion = among[0].criterion
    yield (
        f"Rules but {criterion} judge trials under the one seed that all have, as more seeds ran only of those that "
        f"{criterion} had picked. So how stable trials are between seeds is not compared."
    )
    searched = [record for record in records if len(record.trials) > 1]
    told = [record.method for record in searched if is_told(record)]
    one_vector = [record.method for record in searched if not has_two_spaces(record) and not is_told(record)]
    closed = [record.method for record in searched if not is_opened(record)]
    reasons = {
        "they are told the attributes": told,
        "they have one vector for both spaces": one_vector,
        "the test gaps of their trials are not known": closed,
    }
    yield from (f"Not counted, as {why}: {', '.join(names)}." for why, names in reasons.items() if names)
    not_asked = [record.method for record in among if installed(record) is None]
    if not_asked:
        yield (
            "Not installed, so that it is taken that they are not told the attributes and have two spaces: "
            f"{', '.join(not_asked)}."
        )
