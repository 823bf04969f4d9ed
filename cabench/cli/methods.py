"""`cabench list` and `cabench check-method`: what there is, and whether a method does what every method must."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cabench.cli.options import ProfileName, Sets, columns, say_all
from cabench.files.names import printable


class Listing(StrEnum):
    """What `list` can list."""

    METHODS = "methods"
    DATASETS = "datasets"
    PROFILES = "profiles"


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


def list_(
    what: Annotated[Listing, typer.Argument(help="What to list.")],
    profile: ProfileName = "quick",
) -> None:
    """List methods or data sets, with the variants that a profile names; or profiles."""
    from cabench.profiles import load_profile, profile_names

    if what is Listing.PROFILES:
        columns([(name, load_profile(name).description) for name in profile_names()])
    else:
        from cabench.discovery import Kind, left_out, plugins

        named = load_profile(profile)
        is_method = what is Listing.METHODS
        variants = named.method_variants if is_method else named.dataset_variants
        kind: Kind = "methods" if is_method else "datasets"
        rows = [(plugin.name, plugin.summary) for plugin in plugins(kind).values()]
        columns(rows + [(name, variant.summary) for name, variant in variants.items()])
        say_all(left_out(kind), "Left out: ")
