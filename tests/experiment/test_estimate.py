"""Estimates of time: the median of finished cells of the kind, and nothing where there is none."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import cabench
from cabench.experiment.estimate import duration, estimate
from cabench.experiment.plan import resolve
from cabench.experiment.request import Request
from cabench.experiment.workforce import Place

HERE = Place(torch.device("cpu"), torch.get_num_threads())


@pytest.fixture(scope="module")
def grid(tmp_path_factory, cache):
    request = Request("pca,chance", "planted", 3, "smoke", ["planted.repeats=1"], controls=False, device="cpu")
    cells = resolve(request, lambda text: None).cells
    results = tmp_path_factory.mktemp("results")
    records = cabench.run("pca", "planted", 3, "smoke", results, sets=["planted.repeats=1"], controls=False).records
    return cells, [
        dataclasses.replace(r, cost={**r.cost, "train_s": t, "probe_s": 10.0})
        for r, t in zip(records, (20, 50, 500), strict=True)
    ]


def test_the_median_counts_and_what_is_unknown_is_said(grid) -> None:
    cells, records = grid
    assert estimate(cells, records, [HERE]) == (
        "About 3 min for 3 of 6 cells, by finished ones of their kind; nothing tells how long the other 3 will take."
    )
    assert estimate(cells[:1], records, [HERE]) == ("About 60 s for 1 of 1 cells, by finished ones of their kind.")


def test_several_workers_share_the_time(grid) -> None:
    cells, records = grid
    assert estimate(cells, records, [HERE, HERE]) == (
        "About 90 s for 3 of 6 cells, 2 at a time, by finished ones of their kind; nothing tells how long the other 3 "
        "will take."
    )
    assert estimate(cells, records, [dataclasses.replace(HERE, threads=99)]) == ""


def test_other_hardware_configurations_and_failures_tell_nothing(grid) -> None:
    cells, records = grid
    others = [
        dataclasses.replace(records[0], provenance={**records[0].provenance, "threads": 99}),
        dataclasses.replace(records[1], method={**records[1].method, "config": {"components": 3}}),
        dataclasses.replace(records[2], status="failed"),
    ]
    assert estimate(cells, others, [HERE]) == ""
    assert estimate(cells, [], [HERE]) == ""


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0 s"), (119, "119 s"), (121, "2 min"), (7300, "2.0 h")])
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
