"""The checks of tuning records from elsewhere, and of the profile that was made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cabench import discovery
from cabench.errors import UserError
from cabench.experiment.record import Record
from cabench.files.bounds import LARGEST_SETTINGS, TooLargeError, read_whole
from cabench.profiles import profile_names
from cabench.publication.found import Verification
from cabench.tuning.choice import choose, finalists
from cabench.tuning.rules import tuning_rule
from cabench.tuning.space import check_trials, trial_values
from cabench.tuning.trials import FINAL_SEEDS, SEED
from cabench.tuning.tuned_profile import digest_line, published_profile, tuned_profile
from cabench.tuning.tuning_record import Outcome, TrialEntry, TuningRecord, read_tuning_record


def check_tuning(folder: Path, found: Verification) -> list[TuningRecord]:
    """Check every tuning record below a folder; gives those that can be read."""
    records = []
    for path in sorted(folder.glob("*/*.json")):
        found.tuned += 1
        place = path.relative_to(folder)
        try:
            record = read_tuning_record(folder, path)
        except UserError as error:
            found.find(place, str(error))
            continue
        records.append(record)
        for sentence in (*_trials(record, found), *_choice(record)):
            found.find(place, sentence)
    return records


def check_profile(profile: Path, records: Sequence[TuningRecord], found: Verification) -> None:
    """Check that a profile is the one that tuning records give."""
    try:
        text = read_whole(profile, LARGEST_SETTINGS).decode()
    except (OSError, UnicodeDecodeError, TooLargeError) as error:
        found.find(profile.name, f"it cannot be read ({error}).")
        return
    if digest_line(records) not in text.splitlines():
        found.find(profile.name, "its digest is not that of the tuning records: one of the two was changed.")
        return
    if any(record.profile not in profile_names() for record in records):
        found.note("The profile extends one of the sender's own, so that its settings were not compared.")
        return
    are_told = all(record == record.without_folders() for record in records)
    try:
        if text == (published_profile(records) if are_told else tuned_profile(records, profile)):
            return
        if are_told:
            found.find(profile.name, "it was changed: the tuning records give another profile.")
        else:
            found.note("The profile is not what the tuning records give here. That may be as data files were moved.")
    except UserError as error:
        found.find(profile.name, f"the tuning records give no profile: {error}")


def note_other_settings(records: Sequence[Record], tuned: Sequence[TuningRecord], found: Verification) -> None:
    """Note which cells have other settings than were chosen for their method and data set: they are not tuned ones."""
    chosen = {(record.dataset, record.method): record.settings for record in tuned}
    for record in records:
        labels = record.dataset["label"], record.method["label"]
        if chosen.get(labels, record.method["config"]) != record.method["config"]:
            found.note(f"Cells of {labels[1]} on {labels[0]} have other settings than tuning chose.")


def _trials(record: TuningRecord, found: Verification) -> Iterator[str]:
    """Whether the trials are those that the declared ranges give."""
    try:
        kind = discovery.method_class(record.name)
    except UserError:
        found.note(f"The method {record.name} is not installed, so that its trials were not checked.")
        return
    if kind.version != record.version:
        found.note(
            f"The method {record.name} has version {record.version} in tuning records; here it is {kind.version}: its "
            "trials were not checked."
        )
        return
    if (record.supervised, record.one_space) != (kind.supervised, kind.one_space):
        yield f"{record.name} says something else of what it learns from, or of its spaces."
    declared = kind.Config.searched()
    # What makes a variant what it is, is not searched.
    ranges = {name: found for name, found in declared.items() if name in record.space or record.method == record.name}
    if dict(record.space) != {name: repr(searched) for name, searched in ranges.items()}:
        yield f"it was searched over other ranges than those that {record.name} declares."
        return
    try:
        check_trials(record.budget)
        default = kind.Config.from_mapping(record.fixed)
        wanted = trial_values(default, ranges, record.budget)
    except UserError as error:
        yield f"its budget or fixed settings cannot be: {error}"
        return
    if len(wanted) != len(record.trials):
        yield f"it has {len(record.trials)} trials, of a budget that gives {len(wanted)}."
        return
    fixed = default.to_dict()
    for values, trial in zip(wanted, record.trials, strict=True):
        if dict(trial.settings) != {name: values.get(name, fixed[name]) for name in ranges}:
            yield f"trial {trial.number} has other settings than the declared ranges give."


def _choice(record: TuningRecord) -> Iterator[str]:
    """Whether trials were looked at as often as they should be, and the one that was chosen is the best by its rule."""
    try:
        rule = tuning_rule(record.criterion)
    except UserError as error:
        yield str(error)
        return
    best = [trial.number for trial in finalists(record.trials, rule)] if len(record.trials) > 1 else []
    for trial in record.trials:
        if not _is_looked_at(trial, trial.number in best):
            yield f"trial {trial.number} was not computed under the seeds that it should be."
        if any(not _is_possible(outcome) for outcome in trial.outcomes):
            yield f"trial {trial.number} has an outcome that cannot be."
    if (wanted := choose(record.trials, rule).number) != record.chosen:
        yield f"it chose trial {record.chosen}; by its own outcomes that is trial {wanted}."


def _is_looked_at(trial: TrialEntry, is_finalist: bool) -> bool:
    """Whether a trial has the seeds that it should; others than finalists may be those of another rule."""
    seeds, known = [outcome.seed for outcome in trial.outcomes], [SEED, *FINAL_SEEDS]
    if trial.refused:
        return not seeds
    return seeds == (known if is_finalist else [seed for seed in known if seed in seeds]) and SEED in seeds


def _is_possible(outcome: Outcome) -> bool:
    gaps = [gap for gap in (outcome.gap, outcome.test_gap) if gap is not None]
    return all(0 <= gap <= 1 for gap in gaps) and (outcome.gap is None) == bool(outcome.error)
