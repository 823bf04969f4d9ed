"""Which records of a results folder stand for the code as it is now, and what is wrong with the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cabench.evaluation.grid import MAIN_METRICS
from cabench.experiment.record import Record
from cabench.files.json import canonical_json
from cabench.gate.baseline import CellGroup, Place
from cabench.report.summary import separation_gap_of


@dataclass(frozen=True)
class Selected:
    """What a results folder has for one place of a baseline.

    Attributes:
        group: the metrics of the current records that ended well; None where there are none.
        problems: clauses that say what is wrong.
    """

    group: CellGroup | None
    problems: tuple[str, ...] = ()


def by_place(records: Sequence[Record]) -> dict[Place, list[Record]]:
    """Records by where they stand."""
    found: dict[Place, list[Record]] = {}
    for record in records:
        place = Place(record.dataset["label"], record.method["label"], record.profile, record.precision)
        found.setdefault(place, []).append(record)
    return found


def select(records: Sequence[Record], like: CellGroup | None = None) -> Selected:
    """The current records of one place.

    Records of other versions than the installed ones are left aside where there are current ones. Where the current
    ones are of several configurations or data contents, those of `like` are taken.

    Args:
        records: all of one place, at least one.
        like: the baseline's group at the place.
    """
    current = [record for record in records if not record.is_stale()]
    if not current:
        return Selected(None, (f"its records are of older versions ({_versions(records)}); run it again",))
    computations: dict[str, list[Record]] = {}
    for record in current:
        computation = _computation(record.method["config"], record.dataset["content_sha256"])
        computations.setdefault(computation, []).append(record)
    wanted = _computation(like.method["config"], like.dataset["content_sha256"]) if like else ""
    if len(computations) > 1 and wanted not in computations:
        problem = (
            f"the results hold {len(computations)} configurations or data contents of it; "
            "keep one of them, or give the run a results folder of its own"
        )
        return Selected(None, (problem,))
    chosen = computations.get(wanted) or next(iter(computations.values()))
    if len({record.seed for record in chosen}) < len(chosen):
        return Selected(None, ("the results hold two records of one seed; keep the one that was computed last",))
    problems = {record.seed: problem for record in chosen if (problem := _problem(record))}
    sound = [record for record in chosen if record.seed not in problems]
    said = tuple(f"seed {seed} {problems[seed]}" for seed in sorted(problems))
    return Selected(CellGroup.of(sound) if sound else None, said)


def _problem(record: Record) -> str:
    """What is wrong with a record, as the end of a clause; empty where nothing is."""
    if record.status == "failed":
        return f"failed ({record.error['message'] if record.error else 'no cause recorded'})"
    values = [separation_gap_of(record), *(s.value for s in record.scores if s.metric in MAIN_METRICS)]
    return "" if all(map(math.isfinite, values)) else "has scores that are no finite numbers"


def _computation(config: Mapping[str, object], content: str) -> str:
    return canonical_json([config, content])


def _versions(records: Sequence[Record]) -> str:
    texts = {
        f"method {record.method['version']}, data set builder {record.dataset['builder_version']}, "
        f"evaluation {record.evaluation['version']}"
        for record in records
    }
    return "; ".join(sorted(texts))
