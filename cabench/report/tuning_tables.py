"""What tuning was worth on one data set: tables, sentences, the chosen settings and the chart of all methods.

Scores that settings were chosen by are too good and are not shown; test gaps were looked at after the choice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from cabench import discovery
from cabench.errors import UserError, unknown
from cabench.experiment.estimate import HOUR, MINUTE
from cabench.files.json import canonical_json
from cabench.report.charts import Axis, Place, Trend, axis_around, trends
from cabench.report.summary import grouped
from cabench.report.tables import DOWN, FRACTION, NO_SCORE, Entry, Header, Line, Table, number
from cabench.tuning.length import EPOCHS
from cabench.tuning.likeness import LEVEL, differ
from cabench.tuning.tuning_record import TrialEntry, TuningRecord
from cabench.tuning.worth import (
    BAND,
    Curve,
    curves_of,
    is_opened,
    order_agreement,
    rank_changes,
    share_between_methods,
    test_gap_of,
    without_failures,
)

SHOWN = 0.95
"""The part of the resamples that must agree on a change of rank."""
FEWEST_RANKED = 4
"""Methods, below which a rank correlation says nothing."""
UNITS = (("hours", HOUR, 2), ("minutes", MINUTE, 1), ("seconds", 1, 0))
"""Of time, with the digits that tables show: name, seconds, digits."""


@dataclass(frozen=True)
class TuningSection:
    """All tuning records of a data set under one profile and precision, on equal terms; see `cabench.tuning.terms`.

    Attributes:
        dataset: label of the data set.
        profile: whose settings were searched around.
        records: one a method, in the order of their labels.
    """

    dataset: str
    profile: str
    records: tuple[TuningRecord, ...]

    @property
    def current(self) -> list[TuningRecord]:
        """The records of methods as they are installed."""
        return [record for record in self.records if not is_stale(record)]

    @cached_property
    def curves(self) -> list[Curve]:
        """Of every method whose trials are opened, the smallest gap at the largest number of trials first."""
        return sorted(curves_of(self.records), key=lambda curve: (float(curve.expected[-1]), curve.method))

    @cached_property
    def drawn(self) -> list[Curve]:
        """Those of methods as they are installed."""
        return _of(self.current, self.curves)

    @cached_property
    def compared(self) -> list[Curve]:
        """Those of methods as they are installed that do not learn from the attributes."""
        return _of([record for record in self.current if not record.supervised], self.curves)


def is_stale(record: TuningRecord) -> bool:
    """Whether the method was tuned in another version than is installed, as far as it can be imported."""
    try:
        return discovery.method_class(record.name).version != record.version
    except UserError:
        return False


def _of(records: Sequence[TuningRecord], curves: Sequence[Curve]) -> list[Curve]:
    names = {record.method for record in records}
    return [curve for curve in curves if curve.method in names]


def tuning_sections(records: Sequence[TuningRecord], datasets: str = "") -> list[TuningSection]:
    """The records by data set, profile, precision, data, budget and criterion: what differs there is not compared.

    Args:
        records: of one folder.
        datasets: labels separated by commas; "" for all.

    Raises:
        UserError: for a data set of which there is no record.
    """
    there = {record.dataset for record in records}
    wanted = [name.strip() for name in datasets.split(",")] if datasets else sorted(there)
    for name in wanted:
        if name not in there:
            raise unknown("data set of these records", name, there)
    kept = [record for record in records if record.dataset in wanted]
    groups = grouped(kept, lambda r: (r.dataset, r.profile, r.precision, r.content_sha256, r.budget, r.criterion))
    return [TuningSection(key[0], key[1], tuple(groups[key])) for key in sorted(groups)]


def origin_of(section: TuningSection) -> str:
    """What a section was computed on, in one line."""
    first = section.records[0]
    return (
        f"Searched around profile {first.profile}, precision {first.precision}: a budget of {first.budget} trials for "
        f"each method, chosen by {first.criterion} on a fifth of the training groups. Data content "
        f"{first.content_sha256[:8]}."
    )


def worth_table(section: TuningSection) -> Table:
    """The expected test gap of the best of n trials, a line a method."""
    counts = sorted({n for curve in section.curves for n in curve.counts})
    curves = {curve.method: curve for curve in section.curves}
    by_name = {record.method: record for record in section.records}
    order = [*curves, *(name for name in by_name if name not in curves)]
    lines = [
        Line(
            name,
            is_stale(by_name[name]),
            (
                _gap_entry(by_name[name].trials[0]),
                _gap_entry(by_name[name].choice),
                *(_expected_entry(curves.get(name), n) for n in counts),
            ),
        )
        for name in order
    ]
    headers = (
        Header("test gap", "profile's own", DOWN),
        Header("test gap", "chosen", DOWN),
        *(Header("best of", _trials(n), DOWN) for n in counts),
    )
    return Table("Expected test gap of the best of n trials", headers, tuple(lines), {}, tuple(_worth_notes(section)))


def trials_table(section: TuningSection) -> Table:
    """What was spent: trials, those that failed or were still learning, and time, in a unit that suits the longest."""
    longest = max(map(_train_s, section.records))
    unit = next((unit for unit in UNITS if longest >= 2 * unit[1]), UNITS[-1])
    counted = ("trials", "different", "differ", "failed", "loss still changing")
    headers = tuple(Header("", title) for title in (*counted, f"{unit[0]} of training", "chosen"))
    lines = tuple(Line(record.method, is_stale(record), _spent(record, unit)) for record in section.records)
    notes = (
        "Times are of one process, with the second look at the best trials under more seeds, without trials that "
        "failed. A failed trial counts as the largest gap there is. Trial 0 is the profile's own.",
        "Different: trials with settings of their own; where ranges hold few values, some are equal. They differ where "
        f"gaps are shown to vary more between trials than between the seeds of one (F-test, {100 * LEVEL:.0f} %); "
        "otherwise the choice may be luck.",
    )
    return Table("Trials", headers, lines, {}, notes)


def worth_sentence(section: TuningSection) -> str:
    """Which methods change rank between one trial and as many as all have; nothing where there is none to compare."""
    common = set.intersection(*(set(curve.counts) for curve in section.compared)) if section.compared else set()
    if len(section.compared) < 2 or max(common) == 1:
        return ""
    most = max(common)
    changes = rank_changes(section.compared, most)
    first = _names(change.method for change in changes if change.first == 1)
    last = _names(change.method for change in changes if change.last == 1)
    best = (
        f"{first} with one trial and with the best of {most}"
        if first == last
        else f"{first} with one trial, {last} with the best of {most}"
    )
    said = f"Of {len(changes)} methods the best is {best}."
    if len(changes) >= FEWEST_RANKED:
        said += _agreements(section, most)
    moved = sorted((change for change in changes if change.first != change.last), key=lambda change: change.last)
    if not moved:
        return f"{said} No method changes rank between."
    told = ", ".join(f"{change.method} from {change.first} to {change.last}" for change in moved)
    shown = [change.method for change in moved if change.certainty >= SHOWN]
    luck = [change.method for change in moved if change.certainty < SHOWN]
    verdicts = [f"shown for {_names(shown)}"] * bool(shown) + [f"possibly luck for {_names(luck)}"] * bool(luck)
    return (
        f"{said} Ranks change: {told}. That is {', '.join(verdicts)}: a change is shown where {100 * SHOWN:.0f} % of "
        "all sets of trials that are drawn again, with replacement, change in the same direction."
    )


def _agreements(section: TuningSection, most: int) -> str:
    """How much of the order of methods is the tuning: of all, and of those that can separate; "" if all are equal."""
    found = order_agreement(section.compared, most)
    if math.isnan(found.correlation):
        return ""
    said = (
        f" Both orders have a rank correlation of {found.correlation:.2f} ({found.low:.2f} to {found.high:.2f} in "
        f"{100 * BAND:.0f} % of such sets of trials). Of the variance of the test gaps of single trials "
        f"{_share(section, section.compared)} lies between methods, the rest between the trials of a method."
    )
    separating = _of([record for record in section.current if not record.one_space], section.compared)
    if not FEWEST_RANKED <= len(separating) < len(section.compared):
        return said
    found = order_agreement(separating, most)
    if math.isnan(found.correlation):
        return said
    return (
        f"{said} Of the {len(separating)} methods with two spaces the rank correlation is {found.correlation:.2f} "
        f"({found.low:.2f} to {found.high:.2f}), and {_share(section, separating)} of the variance lies between them."
    )


def _share(section: TuningSection, curves: Sequence[Curve]) -> str:
    """The part of the variance that lies between some of the methods."""
    names = {curve.method for curve in curves}
    records = [record for record in section.current if record.method in names]
    share, ended = f"{100 * share_between_methods(records):.0f} %", without_failures(records)
    if ended == records or not ended:
        return share
    return f"{share} ({100 * share_between_methods(ended):.0f} % without trials that failed)"


def uncounted_sentence(section: TuningSection) -> str:
    """Which methods are not among those that are compared, and why; nothing where all are."""
    found = [f"{record.method} ({'; '.join(why)})" for record in section.records if (why := _why_uncounted(record))]
    return f"Not counted: {_names(found)}." if found else ""


def _why_uncounted(record: TuningRecord) -> list[str]:
    reasons = {
        "tuned in an older version": is_stale(record),
        "not all of its trials are opened": not is_opened(record),
        "learns from the attributes": record.supervised,
    }
    return [reason for reason, holds in reasons.items() if holds]


def chosen_lines(section: TuningSection) -> list[str]:
    """The settings that were chosen, a line a method."""
    return [_chosen(record) for record in section.records]


def worth_chart(section: TuningSection) -> str:
    """The expected test gaps against the number of trials, as SVG; nothing where there is one number alone."""
    counts = sorted({n for curve in section.drawn for n in curve.counts})
    if len(counts) < 2:
        return ""
    drawn = [_trend(curve) for curve in section.drawn]
    reached = [y for trend in drawn for place in trend.places for y in (place.y, place.low, place.high)]
    return trends(
        drawn,
        Axis("best of n trials", tuple(map(float, counts)), logarithmic=True),
        axis_around("expected test gap, less is better", reached),
        f"Expected test gap of the best of n trials on {section.dataset}, by method.",
    )


def _trend(curve: Curve) -> Trend:
    low, high = curve.band if curve.has_band else (curve.expected, curve.expected)
    return Trend(
        curve.method,
        tuple(map(Place, map(float, curve.counts), *(each.tolist() for each in (curve.expected, low, high)))),
    )


def _gap_entry(trial: TrialEntry) -> Entry:
    gap = test_gap_of(trial)
    return Entry(NO_SCORE) if gap is None else Entry(FRACTION.text(gap), values=(gap,))


def _expected_entry(curve: Curve | None, n: int) -> Entry:
    if curve is None or n not in curve.counts:
        return Entry(NO_SCORE)
    place = curve.counts.index(n)
    value, (low, high) = float(curve.expected[place]), curve.band[:, place].tolist()
    band = f" ({FRACTION.text(low)} to {FRACTION.text(high)})" if curve.has_band else ""
    return Entry(FRACTION.text(value) + band, values=(value,))


def _worth_notes(section: TuningSection) -> list[str]:
    notes = [
        "Test gap: the separation gap on the test split, from 0, where each space tells all that belongs in it and "
        "nothing else, to 1. The first two columns are of single trials under the one seed that all have: trial 0, "
        "which has the profile's own settings at the length of training of all trials, and the trial that was chosen.",
        "Of n trials the one with the smallest validation gap is taken; shown is its test gap, as the mean over all "
        "sets of n trials; as trials are spread evenly and not at random, it is an approximation. Less is better. One "
        "trial is a setting taken at random, not the profile's own.",
    ]
    if any(curve.has_band for curve in section.curves):
        notes.append(
            "In brackets: where 95 % of such means lie when trials are drawn again, with replacement. At the largest n "
            "these bands are too narrow, as nothing is known of settings better than the best few: in simulations "
            "they held the true value in 72 to 85 % of cases. Nothing is claimed of more than half the trials."
        )
    fixed = [record.method for record in section.records if not record.space]
    if fixed:
        notes.append(f"{_names(fixed)}: nothing to search, so that any number of trials gives the same.")
    closed = [record.method for record in section.records if not is_opened(record)]
    if closed:
        notes.append(
            f"{_names(closed)}: the test split was not opened for all trials yet; `cabench open-trials` does it."
        )
    supervised = [record.method for record in section.records if record.supervised]
    if supervised:
        notes.append(f"{_names(supervised)}: learning from the attributes, and not compared.")
    if any(map(is_stale, section.records)):
        notes.append("Stale: tuned in an older version of the method, and not compared.")
    return notes


def _train_s(record: TuningRecord) -> float:
    return sum(outcome.train_s for trial in record.trials for outcome in trial.outcomes)


def _spent(record: TuningRecord, unit: tuple[str, int, int]) -> tuple[Entry, ...]:
    _, size, digits = unit
    spent = _train_s(record) / size
    first = [trial.outcomes[0] for trial in record.trials if trial.outcomes]
    ended = [outcome for outcome in first if outcome.gap is not None]
    changing = sum(outcome.is_flat is False for outcome in ended)
    different = len({canonical_json(trial.settings) for trial in record.trials})
    return (
        _count(len(record.trials)),
        _count(different),
        Entry({True: "yes", False: "no", None: NO_SCORE}[differ(record.trials)]),
        _count(len(record.trials) - len(ended)),
        _count(changing),
        Entry(number(spent, digits), values=(spent,)),
        _count(record.chosen),
    )


def _count(value: int) -> Entry:
    return Entry(number(value, 0), values=(float(value),))


def _chosen(record: TuningRecord) -> str:
    epochs = {EPOCHS: record.fixed[EPOCHS]} if EPOCHS in record.fixed else {}
    settings = ", ".join(f"{name} = {value}" for name, value in (epochs | dict(record.choice.settings)).items())
    own = " (the profile's own)" if record.chosen == 0 else ""
    return f"{record.method}: trial {record.chosen} of {len(record.trials)}{own}{f': {settings}' if settings else ''}"


def _trials(n: int) -> str:
    return "1 trial" if n == 1 else f"{n} trials"


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)
