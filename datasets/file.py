"""Your own images: an HDF5 file that `cabench data import` or `cabench.write_arrays` made.

`--datasets mine.h5` names one, and tables show it as `mine`. The file's content is checked against its hash whenever it
is opened.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cabench.config import Settings, setting
from cabench.data.builder import DatasetProvider
from cabench.data.file import DatasetFile
from cabench.errors import UserError


@dataclass(frozen=True)
class FileConfig(Settings):
    """Which file."""

    path: str = setting("", help="the HDF5 file")


class File(DatasetProvider):
    """Opens an existing file; see the module."""

    name = "file"
    version = 1
    Config = FileConfig
    config: FileConfig

    def find(self, root: Path | None) -> DatasetFile:
        """The file, checked."""
        if not self.config.path:
            raise UserError(
                f"{self.name!r} stands for a file of your own: write its path, such as --datasets mine.h5; "
                "`cabench data import` makes one."
            )
        file = DatasetFile.open_from_elsewhere(Path(self.config.path)).verify()
        mine = replace(file.info, name=self.name, builder_version=self.version, config=self.config.to_dict())
        return replace(file, info=mine)

    def obtain(self, root: Path | None) -> DatasetFile:
        """See `find`: nothing is built."""
        return self.find(root)
