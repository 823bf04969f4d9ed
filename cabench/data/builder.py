"""Providers of data sets: builders, whose files are built once and cached, and files that exist already."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from filelock import FileLock

from cabench.config import Settings
from cabench.data.cache import cache_folder, checked, download_folder
from cabench.data.file import DatasetFile
from cabench.data.layout import SCHEMA
from cabench.data.named_files import without_folders
from cabench.data.sources import Source
from cabench.data.writing import DatasetWriter
from cabench.errors import UserError
from cabench.files.atomic import remove_left_behind
from cabench.files.hdf5 import replacing_hdf5
from cabench.files.json import canonical_json, digest


class DatasetProvider(ABC):
    """Provides the file of one data set. Each subclass has its own file in `datasets/`, named like it.

    Attributes:
        name: the registry name, equal to the file's name.
        version: raised whenever the provided file may change.
        Config: the frozen, validated configuration.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    Config: ClassVar[type[Settings]]
    config: Settings

    def __init__(self, config: Settings | None = None) -> None:
        self.config = config if config is not None else self.Config()

    @abstractmethod
    def find(self, root: Path | None) -> DatasetFile | None:
        """The data set's file if it exists already, else None. Nothing is built or downloaded.

        Args:
            root: the user's own folder of sources, or None to use the download cache.

        Raises:
            UserError: when a file or folder that the user named does not exist.
        """

    @abstractmethod
    def obtain(self, root: Path | None) -> DatasetFile:
        """The data set's file, made now if it does not exist.

        Args:
            root: the user's own folder of sources, or None to use (and fill) the download cache.

        Raises:
            UserError: when that is not possible. No partial file remains.
        """


class DatasetBuilder(DatasetProvider):
    """Builds one data set from its sources, once, into the cache."""

    @abstractmethod
    def locate(self, root: Path | None) -> Sequence[Source]:
        """Find what the data set is built from.

        Args:
            root: a folder that holds the sources, or None to use (and fill) the download cache.

        Raises:
            UserError: naming the files wanted, where they were looked for, and how to get them.
        """

    @abstractmethod
    def build(self, sources: Sequence[Source], writer: DatasetWriter) -> None:
        """Write the train and the test split from the sources that `locate` gave.

        Raises:
            UserError: for a source that is damaged, naming it.
        """

    def find(self, root: Path | None) -> DatasetFile | None:
        """See `DatasetProvider`: the file in the cache."""
        try:
            # With the download folder as root, earlier downloads are found and nothing is fetched.
            sources = self.locate(root or download_folder())
        except UserError:
            if root is None:
                return None
            raise
        path = self.cached_path(sources)
        return self.open_cached(path) if path.exists() else None

    def obtain(self, root: Path | None) -> DatasetFile:
        """See `DatasetProvider`. Several processes at a time build the file once.

        What a killed process leaves has another name; the next build deletes it.
        """
        sources = self.locate(root)
        path = self.cached_path(sources)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                if not path.exists():
                    self._build_at(path, sources)
        except OSError as error:
            raise UserError(
                f"Data set {self.name!r} could not be built: {error}. Its sources must be readable, and there must be "
                f"room in {path.parent}, which CABENCH_CACHE can move."
            ) from error
        return self.open_cached(path)

    def open_cached(self, path: Path) -> DatasetFile:
        """The file at a `cached_path`, with this builder's configuration: the file does not say where others are kept.

        Raises:
            UserError: when it is damaged, or that of another data set, version or configuration.
        """
        file = DatasetFile.open(path)
        mine = dict(sorted(self.config.to_dict().items()))  # as files keep it
        found = file.info.name, file.info.builder_version, canonical_json(without_folders(file.info.config))
        if found != (self.name, self.version, canonical_json(without_folders(mine))):
            raise UserError(
                f"{path} is not what its name says: it holds {file.info.name!r}, version {file.info.builder_version}, "
                "built in another way. Delete it, and it is built again."
            )
        return replace(file, info=replace(file.info, config=mine))

    def write(self, path: Path, root: Path | None) -> DatasetFile:
        """Build the data set anew to a place outside the cache, whole or not at all, over what is there.

        Args:
            path: the file to write. No other process may be writing it.
            root: the user's own folder of sources, or None to use (and fill) the download cache.

        Raises:
            UserError: when that is not possible. What was there before remains.
        """
        sources = self.locate(root)
        try:
            self._build_at(path, sources)
        except OSError as error:
            raise UserError(f"{path} could not be written ({error}); choose another place or make room.") from error
        return DatasetFile.open(path)

    def _build_at(self, path: Path, sources: Sequence[Source]) -> None:
        remove_left_behind(path)
        with replacing_hdf5(path) as file:
            writer = DatasetWriter(file)
            self.build(sources, writer)
            provenance = [entry for source in sources for entry in source.provenance()]
            writer.finish(self.name, self.version, without_folders(self.config.to_dict()), provenance)

    def cached_path(self, sources: Sequence[Source]) -> Path:
        """Where the file of this builder, version, configuration and kind of sources stands in the cache.

        Raises:
            UserError: for a source that cannot be read, and for a link in the cache.
        """
        key = digest(
            {
                "schema": SCHEMA,
                "name": self.name,
                "version": self.version,
                "config": self.config.to_dict(),
                "sources": [source.identity() for source in sources],
            }
        )
        return checked(cache_folder() / "datasets" / f"{self.name}-{key[:16]}.h5")
