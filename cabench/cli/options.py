"""Options that several commands share, each declared once, and how commands print."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_type_hints

import typer

from cabench.files.names import message, printable

if TYPE_CHECKING:
    from cabench.experiment.request import Request


class Fit(StrEnum):
    """How images come to one size."""

    CROP = "crop"
    PAD = "pad"
    SQUASH = "squash"


LINE = 100  # characters of a description's line
DEFAULT_RESULTS = Path("results/runs")

ProfileName = Annotated[
    str, typer.Option("--profile", help="smoke, quick, paper, matched, or the path of a .toml file.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME.FIELD=VALUE", help="Set one field of a method or data set. Repeatable."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<number>.")]
ValueRange = Annotated[
    tuple[int, int] | None, typer.Option("--range", help="Values of 16-bit images that become black and white.")
]
Results = Annotated[Path, typer.Option(file_okay=False, help="Folder of records.")]
DataRoot = Annotated[
    Path | None, typer.Option(envvar="CABENCH_DATA", help="Folder of raw data. Default: download into the cache.")
]
Protocols = Annotated[
    list[str] | None,
    typer.Option("--protocol", help="Add a paper's own scores: sepclr, sepvae or double-infogan. Repeatable."),
]


def _request(
    methods: Annotated[
        str,
        typer.Option(help="Methods, separated by commas, or all that take the data set; see `cabench list methods`."),
    ],
    datasets: Annotated[
        str, typer.Option(help="Data sets or .h5 files of your own, separated by commas. Default: the profile's.")
    ] = "",
    seeds: Annotated[str, typer.Option(help="Seeds, such as 0-4 or 0,2. Default: the profile's.")] = "",
    profile: ProfileName = "quick",
    sets: Sets = None,
    device: Device = "auto",
    precision: Annotated[str, typer.Option("--precision", help="auto, fp32 or bf16.")] = "auto",
    data_root: DataRoot = None,
    controls: Annotated[bool, typer.Option(help="Add the profile's control methods.")] = True,
) -> Request:
    from cabench.experiment.request import Request

    # Absolute, as methods may change the working folder.
    root = data_root and data_root.absolute()
    return Request(methods, datasets, seeds, profile, sets or [], device, precision, root, controls)


def takes_request(command: Callable[..., None], without: Sequence[str] = ()) -> Callable[..., None]:
    """Give a command the options of a request, before its own; it receives the request as its first argument.

    Args:
        command: what to do with the request.
        without: names of options that mean nothing to it.
    """
    _, *own = inspect.signature(command).parameters.values()
    shared = {name: item for name, item in inspect.signature(_request).parameters.items() if name not in without}

    def with_options(**values: object) -> None:
        request = _request(**{name: values.pop(name) for name in shared})  # type: ignore[arg-type]
        command(request, **values)

    hints = _hints(command) | _hints(_request)
    # By keyword, so that an option without a default may stand after others.
    by_keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [item.replace(annotation=hints[item.name], kind=by_keyword) for item in (*shared.values(), *own)]
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {item.name: item.annotation for item in parameters}
    with_options.__name__, with_options.__doc__ = command.__name__, command.__doc__
    return with_options


def _hints(command: Callable[..., object]) -> dict[str, object]:
    # The request itself is no option; importing its class would import torch.
    return get_type_hints(command, localns={"Request": object}, include_extras=True)


def say_all(reasons: Sequence[str], prefix: str = "") -> None:
    """Print sentences on standard error, one a line, as a terminal may show them."""
    for reason in reasons:
        typer.echo(message(f"{prefix}{reason}"), err=True)


def say(text: str) -> None:
    """Print one sentence on standard output, likewise."""
    typer.echo(message(text))


def columns(rows: Sequence[tuple[str, str]]) -> None:
    """Print two columns. Where a line would be too long, the second goes on below itself."""
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        lines = textwrap.wrap(printable(text), LINE - width - 2, break_long_words=False, break_on_hyphens=False) or [""]
        typer.echo(f"{name:<{width}}  " + f"\n{'':<{width}}  ".join(lines))
