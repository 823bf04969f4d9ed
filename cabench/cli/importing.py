"""`cabench data import`: a user's own background and target become a data set file.

Either two sources are given, `--background healthy --target ill`, or one that holds both, `--input all.csv --population
diagnosis --background healthy --target ill`. What a source is, is told by its name: a folder is one of images, a file
what its suffix says.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cabench.cli.options import Fit, ValueRange, say, say_all


class Channels(StrEnum):
    """What can be made of images."""

    GREY = "grey"
    COLOUR = "colour"


IMAGES, TABLES, ARRAYS, H5AD = "images", "tables", "arrays", "h5ad"
KINDS = {".csv": TABLES, ".tsv": TABLES, ".txt": TABLES, ".npz": ARRAYS, ".h5ad": H5AD}
"""What a file holds, by its suffix."""
WORDS = {IMAGES: "folders of images", TABLES: "tables", ARRAYS: ".npz files", H5AD: ".h5ad files"}
USES = {
    "labels": (IMAGES,),
    "file_column": (IMAGES,),
    "size": (IMAGES, ARRAYS),
    "fit": (IMAGES, ARRAYS),
    "channels": (IMAGES, ARRAYS),
    "value_range": (IMAGES,),
    "ignore": (TABLES,),
    "features": (TABLES,),
    "counts": (TABLES, H5AD),
    "delimiter": (TABLES, IMAGES),
    "decimal": (TABLES, IMAGES),
    "layer": (H5AD,),
    "genes": (H5AD,),
    "max_gb": (H5AD,),
}
"""The sources that an option is for."""
NEEDS = {"population": "source", "fit": "size"}
"""The option without which another is of no use."""
OF_LABELS = ("file_column", "missing", "delimiter", "decimal")
"""What is of no use with images that have no --labels."""
FLAGS = {"source": "--input", "value_range": "--range"}
"""What options are called whose parameter is called otherwise."""


def data_import(
    context: typer.Context,
    background: Annotated[str, typer.Option(help="Folder or file of background, or values of --population.")],
    target: Annotated[str, typer.Option(help="Folder or file of targets, or values of --population.")],
    output: Annotated[Path, typer.Option(help="The .h5 file to write.")],
    source: Annotated[
        Path | None, typer.Option("--input", help="One folder, or .csv, .npz or .h5ad file, that holds both.")
    ] = None,
    population: Annotated[str, typer.Option(help="Column that tells background from target in --input.")] = "",
    labels: Annotated[Path | None, typer.Option(help="CSV file that says what is known of images.")] = None,
    file_column: Annotated[str, typer.Option(help="Column of --labels that names images.")] = "file",
    common: Annotated[str, typer.Option(help="Columns of what both show, such as sex,age:real.")] = "",
    salient: Annotated[str, typer.Option(help="Columns of what only targets show, such as lesion:class.")] = "",
    nuisance: Annotated[str, typer.Option(help="Columns of how examples were made, such as site,dose:real.")] = "",
    group: Annotated[
        str, typer.Option(help="Column of what was sampled, such as subject: its rows stay on one side of the split.")
    ] = "",
    group_until: Annotated[
        str, typer.Option(help="Groups are what stands before the last of this in --group: mouse_3 is mouse until _.")
    ] = "",
    split: Annotated[str, typer.Option(help="Column that says train, test or val. Default: draw it.")] = "",
    test_fraction: Annotated[float, typer.Option(help="Of the drawn split.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Of the drawn split.")] = 0,
    missing: Annotated[
        str | None, typer.Option(help="Texts that stand for unknown, such as NA,-999. Default: the usual ones.")
    ] = None,
    size: Annotated[str, typer.Option(help="Scale images to this many pixels, such as 64 or 48x64.")] = "",
    fit: Annotated[Fit, typer.Option(help="With --size: crop the middle, pad with black, or squash.")] = Fit.CROP,
    channels: Annotated[Channels | None, typer.Option(help="Make all images grey, or all colour.")] = None,
    value_range: ValueRange = None,
    table: Annotated[bool, typer.Option("--table", help="Both files are tables, whatever they are called.")] = False,
    ignore: Annotated[str, typer.Option(help="Columns of a table to leave out; patterns such as 'X*' too.")] = "",
    features: Annotated[str, typer.Option(help="Columns of a table that are features. Default: all others.")] = "",
    counts: Annotated[bool, typer.Option("--counts", help="Features are counts, for methods that model them.")] = False,
    delimiter: Annotated[
        str,
        typer.Option(help="Between columns of a table, or of --labels: , ; or tab. Default: tab in .tsv files, else ,"),
    ] = "",
    decimal: Annotated[str, typer.Option(help="Decimal mark of a table, or of --labels: . or ,")] = ".",
    layer: Annotated[str, typer.Option(help="Layer of an .h5ad file; raw for its raw matrix. Default: X.")] = "",
    genes: Annotated[str, typer.Option(help="Column of var that says which genes to keep.")] = "",
    max_gb: Annotated[float, typer.Option(help="Largest dense matrix of an .h5ad file, in GB.")] = 8.0,
    force: Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")] = False,
) -> None:
    """Make a data set of your own background and target, which --datasets takes."""
    from cabench.data.checks import check_file
    from cabench.data.importing.arrays import check_free, check_output
    from cabench.data.importing.csv_files import names_in
    from cabench.data.importing.h5ad.cells import Selection, import_h5ad
    from cabench.data.importing.images.fitting import parse_size
    from cabench.data.importing.images.folders import LabelFile, import_folder, import_folders
    from cabench.data.importing.images.npz import import_npz
    from cabench.data.importing.images.reading import ImageForm
    from cabench.data.importing.labels import parse_columns
    from cabench.data.importing.populations import Choice
    from cabench.data.importing.splitting import Drawn
    from cabench.data.importing.tables.files import TableForm, import_table, import_tables

    check_output(output)
    if not force:
        check_free(output)
    kind = TABLES if table else _kind([source] if source else [Path(background), Path(target)])
    _refuse_options_of_others(context, kind)
    _refuse_options_without(context, kind)
    columns = parse_columns(
        common=common,
        salient=salient,
        nuisance=nuisance,
        group=group,
        split=split,
        group_until=group_until,
        missing=missing,
        file=file_column,
    )
    drawn = Drawn(test_fraction, seed)
    image_form = ImageForm(
        parse_size(size) if size else None, fit.value, channels.value if channels else None, value_range
    )
    table_form = TableForm(names_in(ignore), names_in(features), counts, delimiter, decimal)
    label_file = LabelFile(labels, delimiter, decimal) if labels else None
    if source is None:
        both = Path(background), Path(target)
        if kind == IMAGES:
            file = import_folders(*both, output, image_form, label_file, columns, drawn)
        else:
            file = import_tables(*both, output, table_form, columns, drawn)
    else:
        choice = Choice.parsed(population, background, target)
        if kind == IMAGES:
            file = import_folder(source, output, image_form, label_file, columns, choice, drawn)
        elif kind == ARRAYS:
            file = import_npz(source, choice, output, image_form, columns, drawn)
        elif kind == H5AD:
            file = import_h5ad(source, choice, output, columns, drawn, Selection(layer, genes, max_gb, counts))
        else:
            file = import_table(source, choice, output, table_form, columns, drawn)
    say_all(file.info.notes, "Note: ")
    say_all(check_file(file.path).warnings, "Warning: ")
    counted = ", ".join(
        f"{count:,} {population} ({split})"
        for split, part in file.info.counts.items()
        for population, count in part.items()
    )
    say(f"{file.path}: {counted}")
    say(f"Next: cabench run --methods sepclr,cpca --datasets {file.path}")


def _kind(paths: Sequence[Path]) -> str:
    """What the sources hold, all of them the same.

    Raises:
        UserError: for a path that does not exist, a file of another kind, and sources of two kinds.
    """
    from cabench.errors import UserError

    kinds = []
    for path in paths:
        if not path.exists():
            advice = "check the path" if len(paths) == 1 else "check the path, or name one source with --input"
            raise UserError(f"There is no file or folder {path}; {advice}.")
        kind = IMAGES if path.is_dir() else KINDS.get(path.suffix.lower())
        if kind is None:
            raise UserError(
                f"{path} is not understood; name a folder of images, or a file that ends in {', '.join(KINDS)}."
            )
        kinds.append(kind)
    if len(set(kinds)) > 1:
        raise UserError(f"{paths[0]} holds {kinds[0]}, {paths[1]} {kinds[1]}; name two sources of one kind.")
    if kinds[0] in (ARRAYS, H5AD) and len(paths) > 1:
        raise UserError(
            f"Name {paths[0]} as --input, and with --population the column that tells background from target."
        )
    return kinds[0]


def _refuse_options_of_others(context: typer.Context, kind: str) -> None:
    """Refuse options that would be ignored."""
    from cabench.errors import UserError

    for option, kinds in USES.items():
        if kind not in kinds and _is_given(context, option):
            raise UserError(
                f"{_flag(option)} is for {' and '.join(WORDS[item] for item in kinds)}; leave it out with "
                f"{WORDS[kind]}."
            )


def _refuse_options_without(context: typer.Context, kind: str) -> None:
    """Refuse options that would be ignored because another is not given."""
    from cabench.errors import UserError

    needs = NEEDS | (dict.fromkeys(OF_LABELS, "labels") if kind == IMAGES else {})
    for option, needed in needs.items():
        if _is_given(context, option) and not _is_given(context, needed):
            raise UserError(f"{_flag(option)} is of no use without {_flag(needed)}; give both or neither.")


def _is_given(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def _flag(option: str) -> str:
    return FLAGS.get(option, f"--{option.replace('_', '-')}")
