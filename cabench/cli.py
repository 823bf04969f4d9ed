"""The command line. Nothing here imports torch until a command needs it, so that help and listings answer at once."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cabench.files.names import printable

if TYPE_CHECKING:
    from cabench.data.file import DatasetFile

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The benchmark suite for contrastive analysis: common and salient representations, probed alike.",
)
data_app = typer.Typer(no_args_is_help=True, help="Build, verify and describe data sets.")
app.add_typer(data_app, name="data")

LINE = 100  # characters of a description's line
DEFAULT_RESULTS = Path("results/runs")
DEFAULT_PUBLISHED = Path("results/published_elsewhere.csv")

Methods = Annotated[
    str, typer.Option(help="Methods, separated by commas, or all that take the data set; see `cabench list methods`.")
]
Datasets = Annotated[
    str, typer.Option(help="Data sets or .h5 files of your own, separated by commas. Default: the profile's.")
]
Seeds = Annotated[str, typer.Option(help="Seeds, such as 0-4 or 0,2. Default: the profile's.")]
ProfileName = Annotated[
    str, typer.Option("--profile", help="smoke, quick, paper, matched, or the path of a .toml file.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME.FIELD=VALUE", help="Set one field of a method or data set. Repeatable."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<number>.")]
PrecisionName = Annotated[str, typer.Option("--precision", help="auto, fp32 or bf16.")]
Results = Annotated[Path, typer.Option(help="Folder of records.")]
DataRoot = Annotated[
    Path | None, typer.Option(envvar="CABENCH_DATA", help="Folder of raw data. Default: download into the cache.")
]
Protocols = Annotated[
    list[str] | None,
    typer.Option("--protocol", help="Add a paper's own scores: sepclr, sepvae or double-infogan. Repeatable."),
]
Controls = Annotated[bool, typer.Option(help="Add the profile's control methods.")]


class Format(StrEnum):
    """What `report` can write."""

    MARKDOWN = "markdown"
    SUMMARY = "summary"
    CSV = "csv"
    LATEX = "latex"
    HTML = "html"


class Channels(StrEnum):
    """What `data import` can make of images."""

    GREY = "grey"
    COLOUR = "colour"


class Listing(StrEnum):
    """What `list` can list."""

    METHODS = "methods"
    DATASETS = "datasets"
    PROFILES = "profiles"


@app.command()
def run(
    methods: Methods,
    datasets: Datasets = "",
    seeds: Seeds = "",
    profile: ProfileName = "quick",
    sets: Sets = None,
    device: Device = "auto",
    precision: PrecisionName = "auto",
    results: Results = DEFAULT_RESULTS,
    data_root: DataRoot = None,
    controls: Controls = True,
    force: Annotated[bool, typer.Option("--force", help="Compute finished cells again.")] = False,
    checkpoint_seconds: Annotated[float, typer.Option(help="Seconds between two checkpoints, from 0.")] = 60.0,
    protocol: Protocols = None,
) -> None:
    """Train and probe methods, and print the table. Finished cells are not computed again."""
    from cabench.errors import UserError
    from cabench.evaluation.protocols import check_protocols
    from cabench.experiment.plan import Request, resolve
    from cabench.experiment.progress import make_reporter
    from cabench.experiment.reevaluation import Evaluator
    from cabench.experiment.runner import Runner
    from cabench.experiment.store import ResultsStore
    from cabench.hardening.supervision import journal
    from cabench.report.markdown import markdown

    if not 0 <= checkpoint_seconds < math.inf:
        raise UserError(f"--checkpoint-seconds {checkpoint_seconds} is not allowed; it must be from 0, such as 60.")
    # Absolute, as methods may change the working folder.
    store, data_root = ResultsStore(results.absolute()), data_root and data_root.absolute()
    reporter = make_reporter()
    request = Request(methods, datasets, seeds, profile, sets or [], device, precision, data_root, controls)
    check_protocols(protocol or [], [])
    experiment = resolve(request, say=reporter.say)
    check_protocols(protocol or [], [cell.dataset.name for cell, _ in experiment.cells])
    store.check_writable()
    runner = Runner(store, experiment.device, reporter, checkpoint_seconds, journal())
    records = runner.run(experiment.cells, force)
    records, unread = Evaluator(store, data_root, protocol or [], reporter.say).bring_up_to_date(records)
    for reason in unread:
        typer.echo(printable(reason), err=True)
    typer.echo(markdown(records))
    unreadable = store.write_report(markdown)
    for reason in unreadable:
        typer.echo(printable(f"not in report.md: {reason}"), err=True)
    if len(records) < len(experiment.cells):
        typer.echo(f"{len(experiment.cells) - len(records)} cells are left to other processes; see plan.", err=True)
    failed = [record for record in records if record.status == "failed"]
    if failed:
        typer.echo(f"{len(failed)} of {len(experiment.cells)} cells failed; `cabench plan` names them.", err=True)
    if failed or unread:
        raise typer.Exit(1)


@app.command()
def plan(
    methods: Methods,
    datasets: Datasets = "",
    seeds: Seeds = "",
    profile: ProfileName = "quick",
    sets: Sets = None,
    device: Device = "auto",
    precision: PrecisionName = "auto",
    results: Results = DEFAULT_RESULTS,
    data_root: DataRoot = None,
    controls: Controls = True,
) -> None:
    """Show every cell of a run and its state; compute nothing."""
    from tabulate import tabulate

    from cabench.experiment.plan import Request, survey
    from cabench.experiment.store import ResultsStore

    request = Request(methods, datasets, seeds, profile, sets or [], device, precision, data_root, controls)
    lines = survey(request, ResultsStore(results))
    typer.echo(printable(tabulate(lines, headers=["data set", "method", "seed", "key", "state"], tablefmt="simple")))


@app.command()
def evaluate(
    results: Results = DEFAULT_RESULTS,
    protocol: Protocols = None,
    data_root: DataRoot = None,
) -> None:
    """Evaluate the stored representations of finished cells whose evaluation is out of date. Trains nothing."""
    from cabench.errors import UserError
    from cabench.experiment.progress import make_reporter
    from cabench.experiment.reevaluation import Evaluator
    from cabench.experiment.store import ResultsStore

    if not results.is_dir():
        raise UserError(f"There is no results folder {results}; name one with --results or start with `cabench run`.")
    store = ResultsStore(results)
    store.check_writable()
    records, unreadable = store.readable_records()
    _, failures = Evaluator(store, data_root, protocol or [], make_reporter().say).bring_up_to_date(records)
    typer.echo(f"{len(records) - len(failures)} of {len(records)} records are up to date.")
    for failure in [*failures, *unreadable]:
        typer.echo(printable(f"not evaluated: {failure}"), err=True)
    if failures or unreadable:
        raise typer.Exit(1)


@app.command()
def report(
    results: Results = DEFAULT_RESULTS,
    format: Annotated[Format, typer.Option(help="What to write.")] = Format.MARKDOWN,
    output: Annotated[Path | None, typer.Option(help="File, or page with a marked block, to write.")] = None,
    published: Annotated[
        Path | None, typer.Option(help=f"CSV of figures from papers. Default: {DEFAULT_PUBLISHED}, where it is there.")
    ] = None,
) -> None:
    """Write what all records in a results folder say: tables, their summary, all scores, or a page to look at."""
    from cabench.errors import UserError
    from cabench.experiment.store import ResultsStore
    from cabench.report.html import html_page
    from cabench.report.latex import latex
    from cabench.report.markdown import markdown, markdown_summary
    from cabench.report.output import write_report
    from cabench.report.published import read_published
    from cabench.report.tidy_csv import tidy_csv

    if not results.is_dir():
        raise UserError(f"There is no results folder {results}; name one with --results or start with `cabench run`.")
    if published is None and DEFAULT_PUBLISHED.exists():
        published = DEFAULT_PUBLISHED
    figures = read_published(published) if published else []
    records, unreadable = ResultsStore(results).readable_records()
    write = {
        Format.MARKDOWN: lambda: markdown(records, figures),
        Format.SUMMARY: lambda: markdown_summary(records),
        Format.CSV: lambda: tidy_csv(records),
        Format.LATEX: lambda: latex(records, figures),
        Format.HTML: lambda: html_page(records, results, figures),
    }
    text = write[format]()
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_report(output, text)
    for reason in unreadable:
        typer.echo(printable(f"not reported: {reason}"), err=True)
    if unreadable:
        raise typer.Exit(1)


@app.command()
def gate(
    baseline: Annotated[Path, typer.Option(help="File of what metrics were; see --update.")],
    results: Results = DEFAULT_RESULTS,
    update: Annotated[
        bool, typer.Option("--update", help="Write a new baseline from the results, and show old against new.")
    ] = False,
    markdown: Annotated[Path | None, typer.Option(help="Write the outcome as Markdown too.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the outcome as JUnit XML too.")] = None,
    level: Annotated[float, typer.Option(help="Share of comparisons without a change that may fail.")] = 0.05,
    effect: Annotated[float, typer.Option(help="Loss, as a fraction, that must be shown to be exceeded.")] = 0.005,
    max_slowdown: Annotated[
        float | None, typer.Option(help="Fail when this part of the throughput is lost, on the same hardware.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds that were run, such as 0-2. Default: the baseline's.")] = "",
) -> None:
    """Compare records with a baseline; exit status 1 when a metric got worse or a cell cannot be compared."""
    from cabench.experiment.request import parse_seeds
    from cabench.gate.baseline import Baseline
    from cabench.gate.gate import check, new_baseline, read_results
    from cabench.gate.junit import junit as as_junit
    from cabench.gate.markdown import markdown as as_markdown
    from cabench.gate.text import changes_text, text
    from cabench.report.output import write_report

    records, unreadable = read_results(results)
    if baseline.exists() or not update:
        chosen = parse_seeds(seeds) if seeds else None
        outcome = check(Baseline.read(baseline), records, level, effect, max_slowdown, unreadable, chosen)
        typer.echo(changes_text(outcome) if update else text(outcome), nl=False)
        if markdown:
            write_report(markdown, as_markdown(outcome))
        if junit:
            write_report(junit, as_junit(outcome))
        if not (update or outcome.passed):
            raise typer.Exit(1)
    if update:
        written = new_baseline(records, unreadable)
        written.write(baseline)
        typer.echo(f"{baseline} now holds {len(written.groups)} cells.")


@app.command("check-method")
def check_method(
    name: Annotated[str, typer.Argument(help="A method's name; see `cabench list methods`.")],
    sets: Sets = None,
) -> None:
    """Run the conformance suite on one method, with the configuration of the smoke profile."""
    from cabench.conformance import CHECKS, NotApplicable, load_subject

    subject = load_subject(name, sets or [])
    failed = 0
    for check in CHECKS:
        title = check.__name__.removeprefix("check_").replace("_", " ")
        try:
            check(subject)
            typer.echo(f"passed   {title}")
        except NotApplicable as reason:
            typer.echo(printable(f"skipped  {title}: {reason}"))
        except Exception as error:  # whatever a method raises is a finding
            failed += 1
            typer.echo(printable(f"FAILED   {title}: {type(error).__name__}: {error}"))
    if failed:
        raise typer.Exit(1)


@app.command("list")
def list_(
    what: Annotated[Listing, typer.Argument(help="What to list.")],
    profile: ProfileName = "quick",
) -> None:
    """List methods or data sets, with the variants that a profile names; or profiles."""
    from cabench.profiles import load_profile, profile_names

    if what is Listing.PROFILES:
        _columns([(name, load_profile(name).description) for name in profile_names()])
    else:
        from cabench.discovery import Kind, left_out, plugins

        named = load_profile(profile)
        is_method = what is Listing.METHODS
        variants = named.method_variants if is_method else named.dataset_variants
        kind: Kind = "methods" if is_method else "datasets"
        rows = [(plugin.name, plugin.summary) for plugin in plugins(kind).values()]
        _columns(rows + [(name, variant.summary) for name, variant in variants.items()])
        for reason in left_out(kind):
            typer.echo(printable(f"Left out: {reason}"), err=True)


def _columns(rows: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        typer.echo(printable(f"{name:<{width}}  {text}"))


def _wrapped_columns(rows: Sequence[tuple[str, str]]) -> None:
    """Two columns, of which the second goes on below itself where a line would be too long."""
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        lines = textwrap.wrap(printable(text), LINE - width - 2, break_long_words=False, break_on_hyphens=False) or [""]
        typer.echo(f"{name:<{width}}  " + f"\n{'':<{width}}  ".join(lines))


Name = Annotated[str, typer.Argument(help="A data set's name, or the path of an .h5 file.")]


@data_app.command("build")
def data_build(
    name: Annotated[str, typer.Argument(help="A data set's name.")],
    profile: ProfileName = "quick",
    sets: Sets = None,
    data_root: DataRoot = None,
) -> None:
    """Build a data set with the configuration that a profile gives it."""
    file = _data_file(name, profile, sets, data_root)
    for note in file.info.notes:
        typer.echo(printable(f"Note: {note}"), err=True)
    typer.echo(f"{file.path}\ncontent_sha256 {file.info.content_sha256}")


@data_app.command("import")
def data_import(
    background: Annotated[Path, typer.Option(help="Folder of background images, or CSV file with --table.")],
    target: Annotated[Path, typer.Option(help="Folder of target images, or CSV file with --table.")],
    output: Annotated[Path, typer.Option(help="The .h5 file to write.")],
    labels: Annotated[
        Path | None, typer.Option(help="CSV file: a column `file`, and those that other options name.")
    ] = None,
    common: Annotated[str, typer.Option(help="Columns of what both show, such as sex,age:real.")] = "",
    salient: Annotated[str, typer.Option(help="Columns of what only targets show, such as lesion:class.")] = "",
    group: Annotated[str, typer.Option(help="Column whose rows stay on one side of the split, such as subject.")] = "",
    split: Annotated[str, typer.Option(help="Column that says train or test. Default: draw it.")] = "",
    test_fraction: Annotated[float, typer.Option(help="Of the drawn split.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Of the drawn split.")] = 0,
    size: Annotated[int | None, typer.Option(help="Scale the middle square to this many pixels.")] = None,
    channels: Annotated[Channels | None, typer.Option(help="Make all images grey, or all colour.")] = None,
    value_range: Annotated[
        tuple[int, int] | None, typer.Option("--range", help="Values of 16-bit images that become black and white.")
    ] = None,
    table: Annotated[bool, typer.Option("--table", help="Import features from CSV files, not images.")] = False,
) -> None:
    """Make a data set of your own background and target, which --datasets takes."""
    from cabench.data.checks import check_file
    from cabench.data.importing.arrays import Drawn
    from cabench.data.importing.folders import import_folders
    from cabench.data.importing.images import FULL_RANGE, ImageForm
    from cabench.data.importing.labels import parse_columns
    from cabench.data.importing.tables import import_tables
    from cabench.errors import UserError

    columns = parse_columns(common, salient, group, split)
    drawn = Drawn(test_fraction, seed)
    if table:
        if labels or size or channels or value_range:
            raise UserError("--labels, --size, --channels and --range are for images; leave them out with --table.")
        file = import_tables(background, target, output, columns, drawn)
    else:
        form = ImageForm(size, channels.value if channels else None, value_range or FULL_RANGE)
        file = import_folders(background, target, output, form, labels, columns, drawn)
    for note in file.info.notes:
        typer.echo(printable(f"Note: {note}"), err=True)
    for warning in check_file(file.path).warnings:
        typer.echo(printable(f"Warning: {warning}"), err=True)
    counts = ", ".join(
        f"{count:,} {population} ({split})"
        for split, part in file.info.counts.items()
        for population, count in part.items()
    )
    typer.echo(f"{file.path}: {counts}\nNext: cabench run --methods sepclr,mmcvae --datasets {file.path}")


@data_app.command("verify")
def data_verify(name: Name, profile: ProfileName = "quick", sets: Sets = None, data_root: DataRoot = None) -> None:
    """Check everything that a data set file must keep to. One that is not there yet is built first."""
    from cabench.data.checks import check_file
    from cabench.hardening.trial import try_reading

    path = Path(name) if name.endswith(".h5") else _data_file(name, profile, sets, data_root).path
    try_reading(path)
    findings = check_file(path)
    for warning in findings.warnings:
        typer.echo(printable(f"Warning: {warning}"))
    for error in findings.errors:
        typer.echo(printable(f"Error: {error}"), err=True)
    if findings.errors:
        raise typer.Exit(2)
    typer.echo(f"{path} is sound.")


@data_app.command("info")
def data_info(
    name: Name,
    profile: ProfileName = "quick",
    sets: Sets = None,
    data_root: DataRoot = None,
    picture: Annotated[
        Path | None, typer.Option(help="PNG file for a picture of some images. Default: beside the data set's file.")
    ] = None,
) -> None:
    """Describe a data set: sizes, sources, values of attributes, and a picture. One not there yet is built first."""
    from tabulate import tabulate

    from cabench.data import overview as dataset_overview
    from cabench.data.checks import check_layout
    from cabench.data.dataset import SPACES
    from cabench.errors import UserError

    file = _data_file(name, profile, sets, data_root)
    if errors := check_layout(file.path).errors:
        raise UserError(errors[0])
    info = file.info
    shape = "features" if info.is_table else "channels x height x width"
    _wrapped_columns(
        [
            ("file", str(file.path)),
            ("data set", f"{info.name}, builder version {info.builder_version}"),
            ("config", ", ".join(f"{key}={value}" for key, value in info.config.items())),
            ("sources", ", ".join(info.sources)),
            ("shape", f"{' x '.join(map(str, info.image_shape))} ({shape})"),
            *(
                (split, ", ".join(f"{n:,} {name}" for name, n in counts.items()))
                for split, counts in info.counts.items()
            ),
            *((space, ", ".join(a.name for a in info.attributes if a.space == space) or "none") for space in SPACES),
            *(("note", note) for note in info.notes),
            ("content_sha256", info.content_sha256),
        ]
    )
    if info.attributes:
        table = dataset_overview.value_table(file)
        align = ("left", "left", *["right"] * (len(dataset_overview.HEADERS) - 2))
        shown = tabulate(table, dataset_overview.HEADERS, "simple", colalign=align, disable_numparse=True)
        typer.echo(printable(f"\n{shown}"))
    if not info.is_table:
        place = picture or file.path.with_suffix(".images.png")
        dataset_overview.write_picture(file, place)
        typer.echo(f"\nSome of its images: {place}")
    elif picture:
        raise UserError(f"{file.path} holds a table of features, which has no picture; leave --picture out.")


def _data_file(name: str, profile: str, sets: Sequence[str] | None, data_root: Path | None) -> DatasetFile:
    from cabench.data.file import DatasetFile
    from cabench.experiment.request import check_overrides, make_dataset, parse_overrides
    from cabench.profiles import load_profile

    if name.endswith(".h5"):
        return DatasetFile.open_from_elsewhere(Path(name))
    overrides = parse_overrides(sets or [])
    check_overrides(overrides, [name])
    return make_dataset(name, load_profile(profile), overrides).obtain(data_root)
