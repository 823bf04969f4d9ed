"""The folders that results are published from, or checked in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cabench.errors import UserError
from cabench.experiment.store import ResultsStore
from cabench.publication.layout import PROFILE, RESULTS, TUNING


@dataclass(frozen=True)
class Sources:
    """Where results, tuning records and the profile made of these are.

    Attributes:
        results: the results folder.
        tuning: the folder of tuning records; None where there are none.
        profile: the file of the profile; None where there is none.
    """

    results: ResultsStore
    tuning: Path | None
    profile: Path | None

    @classmethod
    def at(cls, results: str | Path, tuning: str | Path | None, profile: str | Path | None) -> Sources:
        """At places that a user names.

        Raises:
            UserError: for one that is not there, or means nothing without another.
        """
        sources = cls(
            ResultsStore(Path(results).absolute()),
            None if tuning is None else Path(tuning),
            None if profile is None else Path(profile),
        )
        sources._check_present()
        return sources

    @classmethod
    def unpacked(cls, folder: Path) -> Sources:
        """Of an archive that was unpacked to a folder."""
        tuning, profile = folder / TUNING, folder / PROFILE
        return cls(
            ResultsStore(folder / RESULTS),
            tuning if tuning.is_dir() and not tuning.is_symlink() else None,
            profile if profile.is_file() and not profile.is_symlink() else None,
        )

    def _check_present(self) -> None:
        if not self.results.paths():
            raise UserError(f"{self.results.folder} holds no records; name a results folder, such as results/runs.")
        if self.tuning is not None and not any(self.tuning.glob("*/*.json")):
            raise UserError(f"{self.tuning} holds no tuning records; name the folder that `cabench tune` wrote to.")
        if self.profile is not None and not self.profile.is_file():
            raise UserError(f"There is no profile file {self.profile}; name the one that `cabench tune` wrote.")
        if self.profile is not None and self.tuning is None:
            raise UserError(f"{self.profile} is checked by its tuning records; name their folder with --tuning.")
