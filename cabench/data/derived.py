"""Data sets that are made of another data set, such as features of its images."""

from __future__ import annotations

from dataclasses import dataclass

from cabench.config import Settings, setting


@dataclass(frozen=True)
class DerivedConfig(Settings):
    """Which data set another one is made of.

    In a profile `of` may be all that `--datasets` takes: the name of a data set or variant, or the path of an .h5 file.
    Resolving the profile replaces it by the name of what provides that data set, and fills in the configuration that
    the profile gives it. So a resolved configuration says all that is needed to make the data set again.
    """

    of: str = setting("", help="the data set that it is made of: a name, a variant, or the path of an .h5 file")
    of_config: str = setting("", help="that data set's configuration, as JSON; the profile's where it is not set")
