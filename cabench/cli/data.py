"""`cabench data`: build, verify, describe and import data sets, and compute features of images."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cabench.cli.importing import data_import
from cabench.cli.options import DataRoot, ProfileName, Sets, columns, say, say_all
from cabench.files.names import printable

if TYPE_CHECKING:
    from cabench.data.file import DatasetFile

app = typer.Typer(no_args_is_help=True, help="Build, import, verify and describe data sets.")
app.command("import")(data_import)


class Processor(StrEnum):
    """Where `data features` can compute."""

    CPU = "cpu"
    CUDA = "cuda"


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
    say(str(file.path))
    say(f"content_sha256 {file.info.content_sha256}")


@app.command("features")
def data_features(
    name: Name,
    output: Annotated[Path, typer.Option(help="The .h5 file to write.")],
    backbone: Annotated[
        str, typer.Option(help="A classification model of torchvision, such as resnet18, or efficientnet_lite0.")
    ] = "efficientnet_lite0",
    weights: Annotated[
        Path | None, typer.Option(help="File of its state dict. Default: the published weights, downloaded.")
    ] = None,
    size: Annotated[
        int, typer.Option(help="Scale images to this height and width. Default: at least 96, at most the backbone's.")
    ] = 0,
    device: Annotated[Processor, typer.Option(help="Where to compute; the two round differently.")] = Processor.CPU,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    profile: ProfileName = "quick",
    sets: Sets = None,
    data_root: DataRoot = None,
) -> None:
    """Turn a data set of images into a table of a pretrained network's features, which --datasets takes."""
    from dataclasses import replace

    from cabench.data.builder import DatasetBuilder
    from cabench.data.importing.arrays import check_free, check_output
    from cabench.experiment.request import FEATURES, ResolvedProfile

    check_output(output)
    if not force:
        check_free(output)
    resolved = ResolvedProfile.read(profile, sets or [], [name])
    chosen = {
        "of": name,
        "backbone": backbone,
        "weights_path": str(weights.absolute()) if weights else "",
        "size": size,
    }
    overrides = {**resolved.overrides, FEATURES: {**chosen, "device": device.value}}
    builder = replace(resolved, overrides=overrides).dataset(FEATURES)
    assert isinstance(builder, DatasetBuilder)
    file = builder.write(output, data_root)
    say_all(file.info.notes, "Note: ")
    counts = ", ".join(f"{sum(part.values()):,} rows ({split})" for split, part in file.info.counts.items())
    say(f"{file.path}: {file.info.image_shape[0]:,} features, {counts}")
    say(f"content_sha256 {file.info.content_sha256}")
    say(f"Next: cabench run --methods sepclr,cpca --datasets {file.path}")


@app.command("verify")
def data_verify(name: Name, profile: ProfileName = "quick", sets: Sets = None, data_root: DataRoot = None) -> None:
    """Check a data set file against every rule of its format. One that is not there yet is built first."""
    from cabench.data.checks import check_file
    from cabench.hardening.trial import try_reading

    path = Path(name) if name.endswith(".h5") else _data_file(name, profile, sets, data_root).path
    try_reading(path)
    findings = check_file(path)
    for warning in findings.warnings:
        say(f"Warning: {warning}")
    say_all(findings.errors, "Error: ")
    if findings.errors:
        raise typer.Exit(2)
    say(f"{path} is sound.")


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
    from cabench.data.contrastive_dimension import described, estimated_dimension
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
            ("estimated salient dimension", described(estimated_dimension(file))),
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
        typer.echo()
        say(f"Some of its images: {place}")
    elif picture:
        raise UserError(f"{file.path} holds a table of features, which has no picture; leave --picture out.")
    say_all(limits_of(file.path), "Warning: ")


def _data_file(name: str, profile: str, sets: Sequence[str] | None, data_root: Path | None) -> DatasetFile:
    from cabench.data.file import DatasetFile
    from cabench.experiment.request import ResolvedProfile

    if name.endswith(".h5"):
        return DatasetFile.open_from_elsewhere(Path(name))
    return ResolvedProfile.read(profile, sets or [], [name]).dataset(name).obtain(data_root)
