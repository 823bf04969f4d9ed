"""`cabench list` and `cabench check-method`: what there is, and whether a method does what every method must."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cabench.cli.options import ProfileName, Sets, columns, say, say_all


class Listing(StrEnum):
    """What `list` can list."""

    METHODS = "methods"
    DATASETS = "datasets"
    PROFILES = "profiles"


def check_method(
    method: Annotated[
        str, typer.Argument(help="A method's name, or its file: mine.py, mine.py:MyMethod where it holds several.")
    ],
    sets: Sets = None,
) -> None:
    """Run the conformance suite on one method, with the configuration and the images of the smoke profile.

    A method that takes no images is given their pixels as a table.
    """
    from cabench.conformance import findings, load_subject

    failed = False
    for finding in findings(load_subject(method, sets or [])):
        say(str(finding))
        failed |= finding.outcome == "FAILED"
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
