"""Fixtures that all tests share."""

from __future__ import annotations

import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch
from hypothesis import settings

from cabench.config import Settings
from cabench.data.builder import DatasetBuilder
from cabench.data.dataset import Attribute
from cabench.data.file import DatasetFile
from cabench.data.layout import SPLITS
from cabench.data.sources import Source
from cabench.discovery import Plugin, plugins
from cabench.tuning.tuning_record import Outcome, TrialEntry, TuningRecord

# One thread a process: tests run beside each other, and sums come out the same however many cores there are.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))  # the imports above have set it already

# A test passes or fails by what it finds, however busy the machine is.
settings.register_profile("at any speed", deadline=None)
settings.load_profile("at any speed")

CommandLine = Callable[..., subprocess.CompletedProcess[str]]
StartPython = Callable[..., "Process"]
MakeTuningRecord = Callable[..., TuningRecord]


@pytest.fixture(autouse=True, scope="session")
def signals() -> None:
    """Signals reach the tests and the processes that they start, whichever of them were ignored where the tests began.

    A shell's background jobs ignore Ctrl-C, and those of `nohup` SIGHUP; a process inherits that from its parent.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:  # Python itself ignores these two
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set cache of this test session alone, so that no test sees what an earlier one built."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["CABENCH_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of raw data, named by CABENCH_DATA."""
    root = os.environ.get("CABENCH_DATA")
    if not root:
        pytest.skip("CABENCH_DATA is not set: the real data sets are not here")
    return Path(root)


class Process:
    """A process that `start_python` began.

    Attributes:
        pid: its process id.
        returncode: its exit status, negative where a signal ended it; None before `communicate`.
    """

    def __init__(self, warm: socket.socket, request: dict[str, object]) -> None:
        self._output, self._errors = (os.fdopen(os.memfd_create(name), "rb") for name in ("output", "errors"))
        reading, writing = os.pipe()
        self._report = os.fdopen(reading)
        with Path(os.devnull).open() as nothing:
            files = [nothing.fileno(), self._output.fileno(), self._errors.fileno(), writing]
            socket.send_fds(warm, [json.dumps(request).encode()], files)
        os.close(writing)
        self.pid = int(self._report.readline())
        self.returncode: int | None = None

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def ended(self, timeout: float = 0.0) -> bool:
        """Whether it ends within so many seconds."""
        return bool(select.select([self._report], [], [], timeout)[0])

    def wait_for(self, text: str) -> None:
        """Wait until its standard output holds a text."""
        while text not in _content(self._output):
            assert not self.ended(0.01), _content(self._errors)

    def communicate(self, timeout: float = 300.0) -> tuple[str, str]:
        """Wait until it ends, for so many seconds, and give what it wrote to standard output and error."""
        if not self.ended(timeout):
            self.send_signal(signal.SIGKILL)
            raise subprocess.TimeoutExpired("python", timeout)
        self.returncode = int(self._report.readline())
        return _content(self._output), _content(self._errors)


def _content(file: BinaryIO) -> str:
    # The process writes on from the position that it shares with this file, which must stay where it is.
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode()


@pytest.fixture(scope="session")
def warm_python(signals: None) -> Iterator[socket.socket]:
    """Where `warm_python.py` takes requests for processes."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    script = Path(__file__).parent / "warm_python.py"
    command = [sys.executable, str(script), str(theirs.fileno())]
    with ours, subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL):
        theirs.close()
        yield ours
        ours.close()


@pytest.fixture(scope="session")
def start_python(warm_python: socket.socket) -> StartPython:
    """Starts `python -m MODULE ...` or `python -c CODE ...` in a folder, without raw data.

    It is a process of its own, forked from one that has imported the libraries: see `warm_python.py`.
    """

    def start(folder: Path, *arguments: object, **environment: str) -> Process:
        inherited = {name: value for name, value in os.environ.items() if name != "CABENCH_DATA"}
        request = {"arguments": [*map(str, arguments)], "folder": str(folder)}
        return Process(warm_python, {**request, "environment": {**inherited, **environment}})

    return start


@pytest.fixture(scope="session")
def start_cabench(start_python: StartPython) -> StartPython:
    """Starts a command in a folder, as the process that computes, unwatched: see `cabench.hardening.supervision`."""

    def start(folder: Path, *arguments: object, **environment: str) -> Process:
        return start_python(folder, "-c", "from cabench.__main__ import main; main()", *arguments, **environment)

    return start


@pytest.fixture(scope="session")
def patient() -> Path:
    """The file of a method whose training waits where it is told to."""
    return Path(__file__).with_name("patient.py")


@pytest.fixture
def cabench(tmp_path: Path, start_cabench: StartPython) -> CommandLine:
    """Runs the command line in a process of its own, in an empty folder, without raw data."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        process = start_cabench(tmp_path, *arguments, **environment)
        said = process.communicate()
        assert process.returncode is not None
        return subprocess.CompletedProcess(arguments, process.returncode, *said)

    return run


@pytest.fixture
def cabench_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Runs the command line in this process, in an empty folder, without raw data: for tests of many small requests."""
    from cabench.__main__ import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CABENCH_DATA", raising=False)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["cabench", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, ended.value.code or 0, said.out, said.err)

    return run


TABLE_ATTRIBUTES = (
    Attribute("common_class", "common", "class", ("first", "second", "third")),
    Attribute("common_level", "common", "real"),
    Attribute("salient_class", "salient", "class", ("first", "second")),
    Attribute("salient_level", "salient", "real"),
)


class PlantedTable(DatasetBuilder):
    """Tables of 40 features. All attributes are planted along directions of their own; common ones vary most."""

    name = "planted_table"
    version = 1
    Config = Settings
    ROWS, FEATURES = 100, 40

    def locate(self, root):
        return [Source("planted values")]

    def build(self, sources, writer):
        directions = np.linalg.qr(np.random.default_rng(0).normal(size=(self.FEATURES, 4)))[0].T
        drawn = {split: list(self._draw(seed, directions)) for seed, split in enumerate(SPLITS)}
        rows = np.concatenate([rows for rows, _ in drawn["train"]])
        for split, populations in drawn.items():
            with writer.split(split, 2 * self.ROWS, (self.FEATURES,), TABLE_ATTRIBUTES) as out:
                for is_target, (features, values) in enumerate(populations):
                    standardised = (features - rows.mean(0)) / rows.std(0)
                    out.append(standardised.astype(np.float32), bool(is_target), values)

    def _draw(self, seed, directions):
        generator = np.random.default_rng(seed)
        for is_target in (False, True):
            classes = generator.integers(0, (3, 2), (self.ROWS, 2))
            levels = generator.normal(size=(self.ROWS, 2))
            strengths = np.stack(
                [4 * (classes[:, 0] - 1), 4 * levels[:, 0], 4 * classes[:, 1] - 2, 2 * levels[:, 1]], 1
            )
            strengths[:, 2:] *= is_target
            values = {"common_class": classes[:, 0], "common_level": levels[:, 0]}
            if is_target:
                values |= {"salient_class": classes[:, 1], "salient_level": levels[:, 1]}
            yield strengths @ directions + 0.3 * generator.normal(size=(self.ROWS, self.FEATURES)), values


@pytest.fixture(scope="session")
def planted_table(cache: Path) -> DatasetFile:
    """A data set of feature tables: 100 rows of each population and split."""
    return PlantedTable().obtain(None)


@pytest.fixture
def planted_table_by_name(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name under which the command line knows that data set during a test."""
    monkeypatch.setitem(sys.modules, "planted_table", sys.modules[PlantedTable.__module__])
    known = Plugin(PlantedTable.name, "planted_table", PlantedTable.__name__, "a planted table")
    monkeypatch.setitem(plugins("datasets"), PlantedTable.name, known)
    return PlantedTable.name


@pytest.fixture(scope="session")
def planted_info(cache: Path):
    """The description of the `planted` data set: grey images of 32 x 32, 450 of each population and split."""
    from cabench.conformance import load_subject

    return load_subject("pca").data.info


@pytest.fixture(scope="session")
def torchvision() -> None:
    """Skips a test where torchvision cannot be imported."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        pytest.skip(f"torchvision is not built for the torch that is installed: {error}")


class FileServer(ThreadingHTTPServer):
    """A file server on this machine, which can be told to give no parts of files and to cut connections.

    Attributes:
        files: what it serves, by name.
        gives_parts: whether it heeds Range.
        cuts: for each of the next answers, after how many bytes of it the connection is cut.
        asked: name and Range of every request so far.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.gives_parts = True
        self.cuts: list[int] = []
        self.asked: list[tuple[str, str | None]] = []

    @property
    def address(self) -> str:
        """Of its folder, with a slash at the end."""
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        name, wanted = self.path.lstrip("/"), self.headers.get("Range")
        self.server.asked.append((name, wanted))
        if name not in self.server.files:
            self.send_error(404)
            return
        content = self.server.files[name]
        first = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.server.gives_parts else 0
        if first and first >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        cut = self.server.cuts.pop(0) if self.server.cuts else len(content)
        self.wfile.write(content[first : first + cut])
        self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def kornia_views() -> type:
    """`KorniaViews` of `tests/kornia_views.py`."""
    pytest.importorskip("kornia")
    return runpy.run_path(str(Path(__file__).parent / "kornia_views.py"))["KorniaViews"]


@pytest.fixture(scope="session")
def make_tuning_record() -> MakeTuningRecord:
    """Makes the record of a method whose trials, under one seed, have these validation and test gaps; None = failed, or
    not known. The one with the smallest validation gap is chosen.
    """

    def outcome(number: int, gap: float | None, test_gap: float | None) -> Outcome:
        return Outcome(
            seed=1000,
            key=f"{number:064x}",
            error="the loss is not finite" if gap is None else "",
            gap=gap,
            criteria={},
            train_s=0.0 if gap is None else 90.0,
            images_seen=0.0 if gap is None else 1e5,
            test_gap=test_gap,
        )

    def make(
        method: str, gaps: Sequence[float | None], tested: Sequence[float | None], **changes: object
    ) -> TuningRecord:
        trials = tuple(
            TrialEntry(number=n, settings={"weight": 1.5 + n}, refused="", outcomes=(outcome(n, *pair),))
            for n, pair in enumerate(zip(gaps, tested, strict=True))
        )
        record = TuningRecord(
            dataset="dsprites",
            data={"name": "dsprites", "config": {}},
            content_sha256="0" * 64,
            profile="quick",
            method=method,
            name=method,
            version=1,
            supervised=False,
            one_space=False,
            precision="fp32",
            budget=len(trials),
            space={"weight": "Log(low=1, high=1000)"},
            fixed={"weight": 1.5, "latent_size": 8},
            criterion="labels",
            chosen=min(trials, key=lambda trial: trial.gap).number,
            trials=trials,
        )
        return replace(record, **changes)

    return make


@pytest.fixture(scope="session")
def judged_record(make_tuning_record: MakeTuningRecord) -> MakeTuningRecord:
    """Makes a record of tuning whose trials, under one seed, have these test gaps and criteria; None = not known."""

    def make(
        test_gaps: Sequence[float | None],
        criteria: Mapping[str, Sequence[float | None]],
        gaps: Sequence[float | None] | None = None,
        method: str = "mmcvae",
    ) -> TuningRecord:
        record = make_tuning_record(method, gaps or [0.5] * len(test_gaps), test_gaps, space={}, fixed={}, chosen=0)
        trials = []
        for trial in record.trials:
            known = {name: value for name, values in criteria.items() if (value := values[trial.number]) is not None}
            trials.append(replace(trial, settings={}, outcomes=(replace(trial.outcomes[0], criteria=known),)))
        return replace(record, trials=tuple(trials))

    return make
