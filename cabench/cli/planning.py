"""`cabench plan`: what has become of the cells of a request, once, as JSON, or until they have ended."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cabench.cli.options import DEFAULT_RESULTS, say_all, takes_request
from cabench.cli.tuning import TRIALS_FOLDER, Criterion
from cabench.files.names import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cabench.experiment.request import Request
    from cabench.experiment.survey import Survey, SurveyedCell, Surveyor

TRIAL = "trial"
HEADERS = ("data set", "method", TRIAL, "seed", "key", "state")
LEAST_S = 0.1  # between two looks
MOST_SHOWN = 15  # cells that the live display names


@takes_request
def plan(
    request: Request,
    results: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, help=f"Folder of records. Default: {DEFAULT_RESULTS}, with --trials {TRIALS_FOLDER}."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON document.")] = False,
    watched: Annotated[bool, typer.Option("--watch", help="Look again until every cell has ended.")] = False,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", help=f"Between two looks of --watch, from {LEAST_S}.")
    ] = 5.0,
    trials: Annotated[
        int, typer.Option(metavar="N", help="Show the cells of `cabench tune --trials N` instead; 0 for a run's.")
    ] = 0,
    longest: Annotated[int, typer.Option(metavar="N", help="Of `cabench tune --longest N`.")] = 1,
    criterion: Annotated[Criterion, typer.Option(help="Of `cabench tune --criterion ...`.")] = Criterion.LABELS,
) -> None:
    """Show every cell of a run and its state; compute nothing.

    With --watch it ends when every cell has ended, with 1 if some failed.
    """
    from cabench.errors import UserError
    from cabench.experiment.plan import left_out_plugins, outline
    from cabench.experiment.plan_document import plan_document
    from cabench.experiment.store import ResultsStore
    from cabench.experiment.survey import Surveyor
    from cabench.tuning.rules import tuning_rule
    from cabench.tuning.trials import tuning_outline

    if as_json and watched:
        raise UserError("--json writes one document and --watch goes on; leave one of them out.")
    if not every >= LEAST_S:
        raise UserError(f"--every {every} is not allowed; it must be from {LEAST_S} seconds, such as 5.")
    store = ResultsStore(results or (TRIALS_FOLDER if trials else DEFAULT_RESULTS))
    rule = tuning_rule(criterion)
    outlined = tuning_outline(request, trials, longest, rule, store) if trials else outline(request)
    surveyor = Surveyor(outlined, request.data_root, store)
    if not as_json:
        say_all(left_out_plugins(), "Left out: ")
    if watched:
        raise typer.Exit(_watch(surveyor, every))
    survey = surveyor.look()
    if as_json:
        typer.echo(json.dumps(plan_document(request, store, survey, left_out_plugins()), indent=1, allow_nan=False))
    else:
        typer.echo(_table(survey))


def _table(survey: Survey) -> str:
    """Every cell and every method that is left out, and how long the rest will take."""
    from tabulate import tabulate

    lines: list[tuple[str, str, str, int | str, str, str]] = [
        (cell.dataset, cell.method, cell.trial, cell.seed, cell.key[:8], cell.said) for cell in survey.cells
    ]
    lines += [(left.dataset, left.method, "", "", "", f"left out ({left.reason})") for left in survey.left_out]
    shown = [name for name in HEADERS if name != TRIAL or any(cell.trial for cell in survey.cells)]
    table = tabulate(
        [[text for name, text in zip(HEADERS, line, strict=True) if name in shown] for line in lines],
        headers=shown,
        tablefmt="simple",
    )
    estimate = _estimate(survey, survey.left)
    return printable(f"{table}\n\n{estimate}" if estimate else table)


def _estimate(survey: Survey, cells: Sequence[SurveyedCell]) -> str:
    """How long some of the cells will take, with as many at a time as run now."""
    from cabench.experiment.estimate import in_words

    return in_words([cell.expected_s for cell in cells], max(1, survey.totals.get("running", 0)))


def _watch(surveyor: Surveyor, every: float) -> int:
    """Show the cells until every one has ended; gives the exit status."""
    from rich.console import Console
    from rich.live import Live

    console, last = Console(), None
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as display:
            for survey in _looks(surveyor, every):
                display.update(_shown(survey), refresh=True)
                last = survey
    else:
        for survey in _looks(surveyor, every):
            if last is None or survey.totals != last.totals:
                typer.echo(_summary(survey))
            last = survey
    return 1 if last and last.totals.get("failed") else 0


def _looks(surveyor: Surveyor, every: float) -> Iterator[Survey]:
    """One survey after another, up to that in which every cell has ended."""
    while True:
        survey = surveyor.look()
        yield survey
        if not survey.not_ended:
            return
        time.sleep(every)


def _summary(survey: Survey) -> str:
    """The totals in one line."""
    totals = ", ".join(f"{count:,} {state}" for state, count in survey.totals.items())
    return f"{len(survey.cells):,} cells: {totals}. {_estimate(survey, survey.not_ended)}".rstrip()


def _shown(survey: Survey) -> RenderableType:
    """The totals, and the cells that run or have failed."""
    from rich.text import Text

    named = [cell for state in ("running", "failed") for cell in survey.cells if cell.state == state]
    lines = [f"{_title(cell)}: {cell.said}" for cell in named[:MOST_SHOWN]]
    lines += [f"and {len(named) - MOST_SHOWN:,} more that run or have failed"] if len(named) > MOST_SHOWN else []
    return Text(printable("\n".join([*lines, _summary(survey)])))


def _title(cell: SurveyedCell) -> str:
    title = f"{cell.dataset} / {cell.method} / seed {cell.seed}"
    return f"{title} / {cell.trial}" if cell.trial else title
