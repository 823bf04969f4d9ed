"""What a data set builder is, and how its file is built once and found again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import h5py
from filelock import FileLock

from cabench.atomic import replacing
from cabench.cache import cache_folder, download_folder
from cabench.config import Settings, digest
from cabench.dataset_file import SCHEMA, DatasetFile, DatasetWriter
from cabench.errors import UserError
from cabench.sources import Source


class DatasetBuilder(ABC):
    """Builds one data set from its sources. One subclass stands in one file of `datasets/`, named like it.

    Attributes:
        name: the registry name, equal to the file's name.
        version: raised whenever the built file may change.
        Config: the frozen, validated configuration.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    Config: ClassVar[type[Settings]]
    config: Settings

    def __init__(self, config: Settings | None = None) -> None:
        self.config = config if config is not None else self.Config()

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


def cached_path(builder: DatasetBuilder, sources: Sequence[Source]) -> Path:
    """Where the file of this builder, version, configuration and kind of sources stands in the cache."""
    key = digest(
        {
            "schema": SCHEMA,
            "name": builder.name,
            "version": builder.version,
            "config": builder.config.to_dict(),
            "sources": [source.identity() for source in sources],
        }
    )
    return cache_folder() / "datasets" / f"{builder.name}-{key[:16]}.h5"


def find(builder: DatasetBuilder, root: Path | None) -> DatasetFile | None:
    """The data set's file, where it has been built already. Nothing is built or downloaded.

    Raises:
        UserError: when the user's own folder `root` lacks the sources.
    """
    try:
        # Looked for as in a folder of the user's, what was downloaded earlier is found and nothing is fetched.
        sources = builder.locate(root or download_folder())
    except UserError:
        if root is None:
            return None
        raise
    path = cached_path(builder, sources)
    return DatasetFile.open(path) if path.exists() else None


def obtain(builder: DatasetBuilder, root: Path | None) -> DatasetFile:
    """The data set's file, built now where it is not in the cache. Processes that ask at once build it once.

    Raises:
        UserError: when sources are missing or damaged, or the cache cannot be written. Nothing half-built remains.
    """
    sources = builder.locate(root)
    path = cached_path(builder, sources)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                with replacing(path) as temporary, h5py.File(temporary, "w") as file:
                    _write(builder, sources, file)
    except OSError as error:
        raise UserError(
            f"Data set {builder.name!r} could not be built: {error}. Its sources must be readable, and there must be "
            f"room in {path.parent}, which CABENCH_CACHE can move."
        ) from error
    return DatasetFile.open(path)


def _write(builder: DatasetBuilder, sources: Sequence[Source], file: h5py.File) -> None:
    writer = DatasetWriter(file)
    builder.build(sources, writer)
    provenance = [entry for source in sources for entry in source.provenance()]
    writer.finish(builder.name, builder.version, builder.config.to_dict(), provenance)
