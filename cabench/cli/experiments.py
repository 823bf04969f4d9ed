"""The commands on experiments: `run`, `evaluate`, `report` and `gate`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cabench.cli.options import DEFAULT_RESULTS, DataRoot, Protocols, Results, say, say_all, takes_request

if TYPE_CHECKING:
    from cabench.experiment.record import Record
    from cabench.experiment.request import Request

DEFAULT_PUBLISHED = Path("results/published_elsewhere.csv")


class Executor(StrEnum):
    """Where `run` computes."""

    LOCAL = "local"
    SLURM = "slurm"


class Format(StrEnum):
    """What `report` can write."""

    MARKDOWN = "markdown"
    SUMMARY = "summary"
    CSV = "csv"
    LATEX = "latex"
    HTML = "html"


@takes_request
def run(
    request: Request,
    results: Results = DEFAULT_RESULTS,
    force: Annotated[bool, typer.Option("--force", help="Compute finished cells again.")] = False,
    checkpoint_seconds: Annotated[float, typer.Option(help="Seconds between two checkpoints, from 0.")] = 60.0,
    protocol: Protocols = None,
    models: Annotated[bool, typer.Option(help="Keep the fitted method with each cell.")] = True,
    workers: Annotated[
        str, typer.Option(metavar="N|auto", help="Processes that compute cells at a time; auto: as the machine allows.")
    ] = "1",
    time_limit: Annotated[
        str, typer.Option(metavar="TIME", help="Begin no cell for which too little is left of it, such as 3h50m.")
    ] = "",
    only_gpu: Annotated[
        bool, typer.Option("--only-gpu", help="Leave cells that need no GPU to processes without one.")
    ] = False,
    executor: Annotated[Executor, typer.Option(help="This machine, or a SLURM cluster.")] = Executor.LOCAL,
    cluster: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Of slurm: the TOML file of its settings; docs/clusters.md.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Of slurm: wait for the cells, and print the table.")] = False,
) -> None:
    """Train and probe methods, and print the table. Finished cells are not computed again."""
    from cabench.api import run_request
    from cabench.experiment.executors import RunSettings

    settings = RunSettings(
        force=force,
        checkpoint_seconds=checkpoint_seconds,
        protocols=protocol or [],
        models=models,
        workers=workers,
        time_limit=time_limit,
        only_gpu=only_gpu,
        executor=executor,
        cluster=cluster,
        wait=wait,
    )
    done = run_request(request, results, settings)
    if not done.is_waited_for:
        return
    say_all(done.unread)
    typer.echo(str(done))
    say_all(done.unreported, "not in report.md: ")
    if done.left:
        typer.echo(f"{done.left} cells are left; `cabench plan` names them.", err=True)
    if failed := [record for record in done.records if record.status == "failed"]:
        count = len(done.records) + done.left
        typer.echo(f"{len(failed)} of {count} cells failed; `cabench plan` names them.", err=True)
    if failed or done.unread:
        raise typer.Exit(1)


def evaluate(
    results: Results = DEFAULT_RESULTS,
    protocol: Protocols = None,
    data_root: DataRoot = None,
) -> None:
    """Evaluate the stored representations of finished cells whose evaluation is out of date. Trains nothing."""
    from cabench.errors import UserError
    from cabench.experiment.progress import make_reporter
    from cabench.experiment.reevaluation import Reevaluation
    from cabench.experiment.store import ResultsStore

    if not results.is_dir():
        raise UserError(f"There is no results folder {results}; name one with --results or start with `cabench run`.")
    store = ResultsStore(results)
    store.check_writable()
    records, unreadable = store.readable_records()
    _, failures = Reevaluation(store, data_root, protocol or [], make_reporter().say).bring_up_to_date(records)
    typer.echo(f"{len(records) - len(failures)} of {len(records)} records are up to date.")
    say_all([*failures, *unreadable], "not evaluated: ")
    if failures or unreadable:
        raise typer.Exit(1)


def report(
    results: Results = DEFAULT_RESULTS,
    format: Annotated[Format, typer.Option(help="What to write.")] = Format.MARKDOWN,
    output: Annotated[Path | None, typer.Option(help="File, or page with a marked block, to write.")] = None,
    published: Annotated[
        Path | None, typer.Option(help=f"CSV of figures from papers. Default: {DEFAULT_PUBLISHED}, where it is there.")
    ] = None,
    stale: Annotated[
        bool, typer.Option("--stale", help="Show records of older versions under their version, and compare them.")
    ] = False,
    datasets: Annotated[str, typer.Option(help="Data sets to report, separated by commas. Default: all.")] = "",
    reference: Annotated[
        str, typer.Option(help="Method that all others are compared with, chosen before the results were seen.")
    ] = "",
    tuning: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Tuning records to report instead of results: what tuning was worth."),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write charts and pictures as SVG and PNG into this folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are no reports of cabench.")] = False,
) -> None:
    """Write what all records in a results folder say: tables, their summary, all scores, or a page to look at."""
    if tuning is not None:
        _report_tuning(tuning, format, output, datasets, figures, force)
        return
    from cabench.errors import UserError
    from cabench.report.output import check_own

    if not results.is_dir():
        raise UserError(f"There is no results folder {results}; name one with --results or start with `cabench run`.")
    if output is not None and not force:
        check_own(output)
    if published is None and DEFAULT_PUBLISHED.exists():
        published = DEFAULT_PUBLISHED
    text, unreadable = _written(format, results, datasets, published, stale, reference)
    if figures:
        _draw(figures, _figures_of(results, datasets), force)
    _put(text, output, format)
    say_all(unreadable, "not reported: ")
    if unreadable:
        raise typer.Exit(1)


def _written(
    format: Format, results: Path, datasets: str, published: Path | None, stale: bool, reference: str
) -> tuple[str, list[str]]:
    """A report, and why records that are missing in it cannot be read."""
    from cabench.experiment.without_collecting import without_collecting
    from cabench.report.folder_markdown import FolderMarkdown
    from cabench.report.html import html_page
    from cabench.report.latex import latex
    from cabench.report.markdown import summary_of, tables_of
    from cabench.report.published import read_published
    from cabench.report.tidy_csv import tidy_csv

    from_papers = read_published(published) if published else []
    if format in (Format.MARKDOWN, Format.SUMMARY):
        section = summary_of if format is Format.SUMMARY else partial(tables_of, published=from_papers)
        return FolderMarkdown(results, datasets, stale, reference, section).write()
    with without_collecting():
        records, unreadable = _records_of(results, datasets)
        write = {
            Format.CSV: lambda: tidy_csv(records, stale),
            Format.LATEX: lambda: latex(records, from_papers, stale, reference),
            Format.HTML: lambda: html_page(records, results, from_papers, stale, reference),
        }
        return write[format](), unreadable


def _figures_of(results: Path, datasets: str) -> Mapping[str, str]:
    from cabench.experiment.without_collecting import without_collecting
    from cabench.report.section_figures import section_figures

    with without_collecting():
        return section_figures(_records_of(results, datasets)[0], results)


def _records_of(results: Path, datasets: str) -> tuple[list[Record], list[str]]:
    """The records of some data sets, or all; and why others cannot be read."""
    from cabench.experiment.store import ResultsStore
    from cabench.report.summary import of_datasets

    records, unreadable = ResultsStore(results).shown_records()
    return of_datasets(records, datasets) if datasets else records, unreadable


def _report_tuning(
    folder: Path, format: Format, output: Path | None, datasets: str, figures: Path | None, force: bool
) -> None:
    from cabench.errors import UserError
    from cabench.report.output import check_own
    from cabench.report.tuning_report import tuning_figures, tuning_html, tuning_markdown
    from cabench.tuning.tuning_record import read_tuning_records

    if not folder.is_dir():
        raise UserError(f"There is no folder of tuning records {folder}; `cabench tune` writes one.")
    write = {Format.MARKDOWN: tuning_markdown, Format.HTML: tuning_html}
    if format not in write:
        raise UserError(f"Tuning is not reported as {format}; choose --format {' or '.join(write)}.")
    if output is not None and not force:
        check_own(output)
    records = read_tuning_records(folder)
    text = write[format](records, datasets)
    if figures:
        _draw(figures, tuning_figures(records, datasets), force)
    _put(text, output, format)


def _draw(folder: Path, figures: Mapping[str, str], force: bool) -> None:
    """Write figures, and say where they are."""
    from cabench.report.figures import ONLY_SVG, can_draw_png, check_free, write_figures

    if not force:
        check_free(folder, figures)
    written = write_figures(folder, figures)
    say_all([f"{len(written)} files of figures are in {folder}." + ("" if can_draw_png() else f" {ONLY_SVG}")])


def _put(text: str, output: Path | None, format: Format) -> None:
    """Print a report, or write it to where it belongs. Tables for people are in the terminal's encoding, all else in
    UTF-8, as a page of HTML says of itself.
    """
    from cabench.report.output import write_marked, write_report

    is_for_people = format in (Format.MARKDOWN, Format.SUMMARY)
    if output is None:
        typer.echo(text if is_for_people else text.encode(), nl=False)
    else:
        (write_marked if is_for_people else write_report)(output, text)


def gate(
    baseline: Annotated[Path, typer.Option(help="The baseline file; --update writes it.")],
    results: Annotated[
        Path,
        typer.Option(file_okay=False, help="Folder of records: one of its own, with the run to compare and no other."),
    ] = DEFAULT_RESULTS,
    update: Annotated[
        bool, typer.Option("--update", help="Write a new baseline from the results, and show old against new.")
    ] = False,
    markdown: Annotated[Path | None, typer.Option(help="Write the outcome as Markdown too.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the outcome as JUnit XML too.")] = None,
    level: Annotated[float, typer.Option(help="How often a comparison may fail where nothing changed.")] = 0.05,
    effect: Annotated[
        float, typer.Option(help="A metric fails where its loss is shown to exceed this fraction.")
    ] = 0.005,
    max_slowdown: Annotated[
        float | None, typer.Option(help="Fail when a larger fraction of the throughput is lost on the same hardware.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds that were run, such as 0-2. Default: the baseline's.")] = "",
    methods: Annotated[str, typer.Option(help="Methods to compare, separated by commas. Default: all.")] = "",
    datasets: Annotated[str, typer.Option(help="Data sets to compare, separated by commas. Default: all.")] = "",
    profile: Annotated[str, typer.Option(help="Profile to compare. Default: all.")] = "",
) -> None:
    """Compare records with a baseline; exit status 1 when a metric got worse or a cell cannot be compared.

    Give the run a results folder of its own: where a folder holds several configurations of a cell, none is compared.
    """
    from cabench.errors import UserError
    from cabench.experiment.request import parse_seeds
    from cabench.gate.baseline import Baseline
    from cabench.gate.formats import changes_text, text
    from cabench.gate.formats import junit as as_junit
    from cabench.gate.formats import markdown as as_markdown
    from cabench.gate.gate import check, new_baseline
    from cabench.gate.selection import read_results, restrict
    from cabench.report.output import write_report

    records, unreadable = read_results(results)
    there = Baseline.read(baseline) if baseline.exists() or not update else Baseline({})
    compared, records = restrict(there, records, methods, datasets, profile)
    if there.groups and not (compared.groups or update):
        raise UserError(
            f"{baseline} has none of the cells that were asked for; name others, or add them with --update."
        )
    if there.groups:
        chosen = parse_seeds(seeds) if seeds else None
        outcome = check(compared, records, level, effect, max_slowdown, unreadable, chosen)
        typer.echo(changes_text(outcome) if update else text(outcome), nl=False)
        if markdown:
            write_report(markdown, as_markdown(outcome))
        if junit:
            write_report(junit, as_junit(outcome))
        if not (update or outcome.passed):
            raise typer.Exit(1)
    if update:
        left_alone = {name: group for name, group in there.groups.items() if name not in compared.groups}
        written = Baseline(left_alone | dict(new_baseline(records, unreadable).groups))
        written.write(baseline)
        say(f"{baseline} now holds {len(written.groups)} cells.")
