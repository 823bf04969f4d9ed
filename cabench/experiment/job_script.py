"""Scripts that start a request on several machines, or several times on one: identical workers share its cells.

A script is a starting point for the user to adapt. Each of its workers is `cabench run` with the request's own options;
the results folder divides the work among them, see `cabench.experiment.store`.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from cabench.data.cache import cache_folder
from cabench.data.named_files import OWN_SUFFIX
from cabench.errors import UserError
from cabench.experiment.estimate import HOUR, MINUTE
from cabench.experiment.plan import outline
from cabench.experiment.request import Request
from cabench.experiment.time_span import span_text

Kind = Literal["slurm", "pbs", "shell"]
NOTICE_S = MINUTE
"""How long before its time is up a job is told to stop: time enough for a checkpoint."""
CLAIMING_ENDS_S = 2 * MINUTE
"""How long before its time is up a worker begins no cell any more: SLURM may send its notice a minute early."""
SHORTEST_S = 5 * MINUTE


@dataclass(frozen=True)
class Job:
    """What a script shall start.

    Attributes:
        request: of texts alone.
        results: the results folder.
        workers: how many, from 1.
        limit_s: how long each of them may take, in seconds; None for no limit.
    """

    request: Request
    results: Path
    workers: int
    limit_s: int | None


def job_script(kind: Kind, job: Job) -> str:
    """The text of a script for bash.

    Raises:
        UserError: for a request that cannot be run, and for too few workers or too little time.
    """
    if job.workers < 1:
        raise UserError(f"--workers {job.workers} is not allowed; it must be at least 1.")
    if job.limit_s is not None and job.limit_s < SHORTEST_S:
        raise UserError(
            f"--time {span_text(job.limit_s)} is too short for a job that is told to stop before its time is up; give "
            f"at least {span_text(SHORTEST_S)}."
        )
    environment = Environment(
        loader=PackageLoader("cabench.experiment", "scripts"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"quoted": shlex.quote, "commented": lambda text: text.replace("\n", "\n#   ")}
    results = str(job.results.absolute())
    return environment.get_template(f"{kind}.sh").render(
        python=sys.executable,
        folder=str(Path.cwd()),
        cache=str(cache_folder()),
        results=results,
        arguments=shlex.join([*request_arguments(job.request), "--results", results]),
        builds=_builds(job.request),
        workers=job.workers,
        needs_gpu=job.request.device.startswith("cuda"),
        walltime=_clock(job.limit_s) if job.limit_s else "",
        time_limit=span_text(job.limit_s - CLAIMING_ENDS_S) if job.limit_s else "",
        notice_s=NOTICE_S,
        notice_at_s=job.limit_s - NOTICE_S if job.limit_s else 0,
    )


def request_arguments(request: Request) -> list[str]:
    """The options of the command line that stand for a request, those that were given alone; paths are absolute."""
    options = {
        "--methods": ",".join(_located(name, (".py",)) for name in _names(request.methods)),
        "--datasets": ",".join(_located(name, (OWN_SUFFIX,)) for name in _names(request.datasets)),
        "--seeds": str(request.seeds),
        "--profile": _located(request.profile, (".toml",)),
        "--device": request.device,
        "--precision": request.precision,
        "--data-root": str(request.data_root or ""),
    }
    plain = {"--profile": "quick", "--device": "auto", "--precision": "auto"}
    given = {option: value for option, value in options.items() if value not in ("", plain.get(option))}
    words = [word for option in given.items() for word in option]
    words += [word for change in request.sets for word in ("--set", change)]
    return words if request.controls else [*words, "--no-controls"]


def _names(text: object) -> list[str]:
    return [name.strip() for name in str(text).split(",") if name.strip()]


def _located(name: str, endings: Sequence[str]) -> str:
    """A name, or where it is a path an absolute one; a class may follow the path of a Python file."""
    path, colon, kind = name.partition(":")
    return f"{Path(path).absolute()}{colon}{kind}" if path.endswith(tuple(endings)) else name


def _builds(request: Request) -> list[str]:
    """The commands that build the data sets of a request that are not in the cache.

    Raises:
        UserError: for a request that cannot be run. The machine that runs it may have other devices than this one.
    """
    outlined = outline(dataclasses.replace(request, device="cpu"))
    commands = []
    for label, dataset in outlined.datasets.items():
        if dataset.find(request.data_root) is None:
            own = [change for change in request.sets if change.strip().startswith(f"{label}.")]
            part = Request("", profile=request.profile, sets=own, data_root=request.data_root)
            arguments = [sys.executable, "-P", "-m", "cabench", "data", "build", label, *request_arguments(part)]
            commands.append(shlex.join(arguments))
    return commands


def _clock(seconds: int) -> str:
    """Seconds as schedulers write them: hours, minutes and seconds."""
    return f"{seconds // HOUR:02}:{seconds % HOUR // MINUTE:02}:{seconds % MINUTE:02}"
