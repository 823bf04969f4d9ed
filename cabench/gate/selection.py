"""Which cell groups are compared, which records stand for the code as it is now, what is wrong with the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cabench.errors import UserError, unknown
from cabench.evaluation.gap import is_term
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.gate.baseline import Baseline, CellGroup, GroupName
from cabench.report.summary import grouped


@dataclass(frozen=True)
class Selected:
    """What a results folder has of one cell group.

    Attributes:
        group: the metrics of the current records that ended well; None where there are none.
        problems: clauses that say what is wrong.
    """

    group: CellGroup | None
    problems: tuple[str, ...] = ()


def read_results(results: Path) -> tuple[list[Record], list[str]]:
    """All records of a results folder that can be read, under all their profiles, and why others cannot.

    Raises:
        UserError: when there is no such folder, or it has no records.
    """
    records, unreadable = ResultsStore(results).shown_records() if results.is_dir() else ([], [])
    if not (records or unreadable):
        raise UserError(f"There are no records in {results}; name a folder with --results or start with `cabench run`.")
    return records, unreadable


def restrict(
    baseline: Baseline, records: Sequence[Record], methods: str = "", datasets: str = "", profile: str = ""
) -> tuple[Baseline, list[Record]]:
    """The cell groups of a baseline, and the records, that are to be compared.

    Args:
        baseline: what there was.
        records: those of a results folder.
        methods: labels, separated by commas; empty for all.
        datasets: likewise.
        profile: a profile's name, or the path of its .toml file; empty for all.

    Raises:
        UserError: for a name that neither the baseline nor the results have.
    """
    profile = Path(profile).stem if profile.endswith(".toml") else profile
    chosen = {*baseline.groups, *by_group(records)}
    asked = (("method", "method", methods), ("data set", "dataset", datasets), ("profile", "profile", profile))
    for kind, part, text in asked:
        wanted = {name.strip() for name in text.split(",") if name.strip()}
        known = {getattr(name, part) for name in (*baseline.groups, *by_group(records))}
        for name in sorted(wanted - known):
            raise unknown(kind, name, known)
        chosen = {name for name in chosen if not wanted or getattr(name, part) in wanted}
    groups = {name: group for name, group in baseline.groups.items() if name in chosen}
    return Baseline(groups), [record for record in records if GroupName.of(record) in chosen]


def by_group(records: Sequence[Record]) -> dict[GroupName, list[Record]]:
    """Records by the cell group that they belong to."""
    return grouped(records, GroupName.of)


def select(records: Sequence[Record], like: CellGroup | None = None) -> Selected:
    """The current records of one cell group.

    Records of other versions than the installed ones are left aside where there are current ones. Where the current
    ones are of several configurations or data contents, those of `like` are taken.

    Args:
        records: all of one cell group, at least one.
        like: the baseline's form of it.
    """
    current = [record for record in records if not record.is_stale()]
    if not current:
        return Selected(None, (f"its records are of older versions ({_versions(records)}); run it again",))
    computations = list(grouped(current, lambda record: record.computation).values())
    if len(computations) > 1 and like:
        computations = [found for found in computations if _is_like(found[0], like)] or computations
    if len(computations) > 1:
        problem = (
            f"the results hold {len(computations)} configurations or data contents of it, and the gate compares one; "
            "give the run a results folder of its own (--results), or keep one of them"
        )
        return Selected(None, (problem,))
    chosen = computations[0]
    if len({record.seed for record in chosen}) < len(chosen):
        return Selected(None, ("the results hold two records of one seed; keep the one that was computed last",))
    problems = {record.seed: problem for record in chosen if (problem := _problem(record))}
    sound = [record for record in chosen if record.seed not in problems]
    said = tuple(f"seed {seed} {problems[seed]}" for seed in sorted(problems))
    return Selected(CellGroup.of(sound) if sound else None, said)


def _is_like(record: Record, group: CellGroup) -> bool:
    """Whether a record has the configuration and the data of a baseline's group, whatever the versions."""
    sides = [(side.method["config"], side.dataset["content_sha256"]) for side in (record, group)]
    return sides[0] == sides[1]


def _problem(record: Record) -> str:
    """What is wrong with a record, as the end of a clause; empty where nothing is."""
    if record.status == "failed":
        return f"failed ({record.error['message'] if record.error else 'no cause recorded'})"
    values = [record.separation_gap or 0.0, *(s.value for s in record.scores if is_term(s))]
    return "" if all(map(math.isfinite, values)) else "has scores that are no finite numbers"


def _versions(records: Sequence[Record]) -> str:
    texts = {
        f"method {record.method['version']}, data set builder {record.dataset['builder_version']}, "
        f"evaluation {record.evaluation['version']}"
        for record in records
    }
    return "; ".join(sorted(texts))
