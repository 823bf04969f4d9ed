"""A survey as JSON, for programs.

The document has these fields; times are in seconds, None (null) is what nobody knows.

    schema      1, raised when a field changes its meaning
    request     as it was given: methods, datasets, seeds, profile, sets, device, precision, data_root, controls
    results     the results folder, an absolute path
    device      that cells would be computed on, such as "cpu" or "cuda:0"
    cells       one object each, data sets outermost and seeds innermost:
                dataset, method  labels
                seed             from 0
                key              64 hexadecimal digits; null where the data set is not built
                state            done, failed, running, stale, damaged or missing
                deaths           processes in a row that died at it, of a cell that waits; else 0
                worker           the process that works on it and its machine, of a running cell; else null
                error            of a failed cell: type, message and step (or null); else null
                expected_s       how long it will take, by finished cells of its kind; null once it is done
                trial            with --trials: which try at settings it is, such as "trial 3"; else ""
    totals      how many cells are in each state that there is
    waiting     how many cells are stale, damaged or missing: a run would compute them
    expected_s  of all cells that are not done, one after the other, where it is known
    unknown     how many of these nothing is known of
    left_out    methods that nobody asked for by name and that do not take a data set: dataset, method, reason
    plugins     why entry points of installed packages are left out, a sentence each
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from cabench.experiment.request import Request
from cabench.experiment.store import ResultsStore
from cabench.experiment.survey import Survey, SurveyedCell

SCHEMA = 1


def plan_document(request: Request, store: ResultsStore, survey: Survey, plugins: Sequence[str]) -> dict[str, Any]:
    """What JSON says of a survey, see above.

    Args:
        request: of texts alone.
        store: the results folder.
        survey: what was found there.
        plugins: why entry points are left out.
    """
    known = [cell.expected_s for cell in survey.left if cell.expected_s is not None]
    asked = dataclasses.asdict(request)
    return {
        "schema": SCHEMA,
        "request": asked | {"data_root": str(request.data_root) if request.data_root else None},
        "results": str(store.folder.absolute()),
        "device": str(survey.device),
        "cells": [_cell(cell) for cell in survey.cells],
        "totals": survey.totals,
        "waiting": sum(cell.is_waiting for cell in survey.cells),
        "expected_s": sum(known) if known else None,
        "unknown": len(survey.left) - len(known),
        "left_out": [left._asdict() for left in survey.left_out],
        "plugins": list(plugins),
    }


def _cell(cell: SurveyedCell) -> dict[str, Any]:
    error = cell.error and {name: cell.error.get(name) for name in ("type", "message", "step")}
    return dataclasses.asdict(cell) | {"key": cell.key or None, "error": error}
