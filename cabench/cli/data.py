"""`cabench data`: build, verify, describe and import data sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cabench.cli.importing import data_import
from cabench.cli.options import DataRoot, ProfileName, Sets, columns, say_all
from cabench.files.names import printable

if TYPE_CHECKING:
    from cabench.data.file import DatasetFile

app = typer.Typer(no_args_is_help=True, help="Build, import, verify and describe data sets.")
app.command("import")(data_import)


Name = Annotated[str, typer.Argument(help="A data set's name, or the path of an .h5 file.")]


@app.command("build")
def data_build(
    name: Annotated[str, typer.Argument(help="A data set's name.")],
    profile: ProfileName = "quick",
    sets: Sets = None,
    data_root: DataRoot = None,
) -> None:
    """Build a data set with the configuration that a profile gives it."""
    file = _data_file(name, profile, sets, data_root)
    say_all(file.info.notes, "Note: ")
    typer.echo(f"{file.path}\ncontent_sha256 {file.info.content_sha256}")


@app.command("verify")
def data_verify(name: Name, profile: ProfileName = "quick", sets: Sets = None, data_root: DataRoot = None) -> None:
    """Check a data set file against every rule of its format. One that is not there yet is built first."""
    from cabench.data.checks import check_file
    from cabench.hardening.trial import try_reading

    path = Path(name) if name.endswith(".h5") else _data_file(name, profile, sets, data_root).path
    try_reading(path)
    findings = check_file(path)
    for warning in findings.warnings:
        typer.echo(printable(f"Warning: {warning}"))
    say_all(findings.errors, "Error: ")
    if findings.errors:
        raise typer.Exit(2)
    typer.echo(f"{path} is sound.")


@app.command("info")
def data_info(
    name: Name,
    profile: ProfileName = "quick",
    sets: Sets = None,
    data_root: DataRoot = None,
    picture: Annotated[
        Path | None, typer.Option(help="PNG file for a picture of some images. Default: beside the data set's file.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the picture if it exists.")] = False,
) -> None:
    """Describe a data set: sizes, groups, sources, values of attributes, a picture, and what limits evaluations on it.

    One that is not there yet is built first.
    """
    from tabulate import tabulate

    from cabench.data import overview as dataset_overview
    from cabench.data.dataset import OWNERS
    from cabench.data.importing.arrays import check_free
    from cabench.data.limits import limits_of
    from cabench.errors import UserError

    if picture and not force:
        check_free(picture, "--picture")
    file = _data_file(name, profile, sets, data_root)
    info = file.info
    shape = ("counts" if info.are_counts else "features") if info.is_table else "channels x height x width"
    columns(
        [
            ("file", str(file.path)),
            ("data set", f"{info.name}, builder version {info.builder_version}"),
            ("config", ", ".join(f"{key}={value}" for key, value in info.config.items())),
            ("sources", ", ".join(info.sources)),
            ("shape", f"{' x '.join(map(str, info.image_shape))} ({shape})"),
            *([("missing", f"{info.missing:.2%} of the values")] if info.missing else []),
            *(
                (split, ", ".join(f"{n:,} {name}" for name, n in counts.items()))
                for split, counts in info.counts.items()
            ),
            *((f"groups ({split})", text) for split, text in dataset_overview.group_lines(file).items()),
            *((owner, ", ".join(a.name for a in info.attributes if a.space == owner) or "none") for owner in OWNERS),
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
    say_all(limits_of(file.path), "Warning: ")


def _data_file(name: str, profile: str, sets: Sequence[str] | None, data_root: Path | None) -> DatasetFile:
    from cabench.data.file import DatasetFile
    from cabench.experiment.request import ResolvedProfile

    if name.endswith(".h5"):
        return DatasetFile.open_from_elsewhere(Path(name))
    return ResolvedProfile.read(profile, sets or [], [name]).dataset(name).obtain(data_root)
