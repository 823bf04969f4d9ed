"""Workers that cannot be started, followed or given their methods: nothing is lost without a word."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from cabench.errors import UserError
from cabench.experiment import crew as module
from cabench.experiment.assignment import Assignment
from cabench.experiment.crew import Crew
from cabench.experiment.plan import resolve
from cabench.experiment.progress import make_reporter
from cabench.experiment.request import Request
from cabench.experiment.store import ResultsStore
from cabench.experiment.task import tasks_of
from cabench.experiment.workforce import Place
from cabench.hardening.import_path import import_path
from cabench.hardening.journal import Journal
from cabench.methods.chance import Chance


@pytest.fixture
def assignment(tmp_path: Path) -> Assignment:
    request = Request("chance", "planted", "0", "smoke", ["planted.repeats=1"], "cpu", "fp32", None, False)
    store = ResultsStore(tmp_path)
    return Assignment(
        tasks_of(resolve(request, say=lambda text: None).cells, store, False, Journal()), store, 60.0, True
    )


def crew_of(assignment: Assignment) -> Crew:
    return Crew(assignment, [Place(torch.device("cpu"), 1)], make_reporter(), Journal())


def test_a_worker_that_cannot_be_started_ends_the_run_in_a_sentence(assignment, monkeypatch):
    def refuse(duty):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(module, "_start", refuse)
    with pytest.raises(UserError, match=r"could not be started or followed .*Too many open files"):
        crew_of(assignment).work()


def dying(duty):
    """A worker that dies before it begins a cell."""
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe)


def test_workers_that_die_while_they_start_are_replaced_twice(assignment, monkeypatch):
    starts = []

    def start(duty, start=module._start):
        starts.append(duty)
        return dying(duty) if len(starts) < 3 else start(duty)

    monkeypatch.setattr(module, "_start", start)
    crew_of(assignment).work()
    assert len(starts) == 3
    assert [task.has_ended(assignment.store) for task in assignment.tasks] == [True]


def test_workers_that_always_die_while_they_start_are_given_up(assignment, monkeypatch):
    monkeypatch.setattr(module, "_start", dying)
    with pytest.raises(UserError, match="was ended by SIGKILL before it began a cell"):
        crew_of(assignment).work()


def test_a_method_that_cannot_be_given_to_workers_is_refused_in_a_sentence(assignment, monkeypatch):
    monkeypatch.setattr(Chance, "__reduce__", lambda self: (threading.Lock,), raising=False)
    monkeypatch.setattr(Chance, "__reduce_ex__", lambda self, protocol: (id, (threading.Lock(),)), raising=False)
    with pytest.raises(UserError, match=r"Workers cannot be given these methods \(TypeError"):
        assignment.packed()


def test_entries_of_the_import_path_that_are_no_text_are_passed_over(monkeypatch):
    monkeypatch.setattr(sys, "path", ["/a", Path("/b"), "/c"])
    assert import_path() == "/a:/c"
