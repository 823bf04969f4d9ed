"""Which image a label is of, however the table names it."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from cabench.data.importing.images.reading import Folder
from cabench.data.layout import counted, listed
from cabench.errors import UserError


class ImageNames:
    """The names that images of one or two folders may have in a table of labels.

    These are the path from the image's folder, from the folder that holds it, from the nearest folder that holds all
    images, from the table, and the absolute one. A name is understood if there is one image that it can mean.
    """

    def __init__(self, folders: Sequence[Folder], table: Path) -> None:
        places = [folder.path.resolve() for folder in folders]
        root = Path(os.path.commonpath([place.parent for place in places]))
        self._table = table.resolve().parent
        self._real: dict[str, str] = {}
        self._names: list[tuple[str, str, str, str]] = []
        """Of each image, folder by folder: from `root`, from the folder's parent, from the folder, and absolute."""
        for folder, place in zip(folders, places, strict=True):
            below = place.relative_to(root).as_posix()
            self._names += [
                (f"{below}/{name}", f"{place.name}/{name}", name, f"{place}/{name}") for name in folder.names
            ]
        self._images: tuple[dict[str, list[int]], ...] = tuple(defaultdict(list) for _ in range(4))
        for image, names in enumerate(self._names):
            for images, name in zip(self._images, names, strict=True):
                images[name].append(image)

    def __len__(self) -> int:
        return len(self._names)

    def name(self, image: int) -> str:
        """The shortest of the image's names that can mean no other."""
        return min((name for name in self._names[image] if self._meant(name) == {image}), key=len)

    def find(self, given: str) -> int | None:
        """The index of the image that is meant, through all folders in order; None for a name that no image has.

        Raises:
            UserError: for a name that may mean several images.
        """
        meant = self._meant(given) or self._meant(str(PurePosixPath(given.replace("\\", "/"))))
        if len(meant) > 1:
            first, second = sorted(meant)[:2]
            raise UserError(f"{given!r} may be {self.name(first)} or {self.name(second)}; write one of these names.")
        return next(iter(meant), None)

    def _meant(self, given: str) -> set[int]:
        """The images that a name can mean: those that some way of naming gives to one image alone, else all."""
        ways = (given, given, given, self._absolute(given))
        found = [images.get(name, []) for images, name in zip(self._images, ways, strict=True)]
        alone = {images[0] for images in found if len(images) == 1}
        return alone or {image for images in found for image in images}

    def _absolute(self, given: str) -> str:
        """The path of what is given from the table, or from the root, without links to folders."""
        folder, name = os.path.split(self._table / given)
        if folder not in self._real:
            self._real[folder] = "" if "\0" in folder else os.path.realpath(folder)
        return f"{self._real[folder]}/{name}"


class Matched(NamedTuple):
    """Which rows of a table are of which images.

    Attributes:
        rows: the row of each image, through all folders in order.
        said: sentences on rows that are of none.
    """

    rows: list[int]
    said: list[str]


def match(table: Path, named: Sequence[str], folders: Sequence[Folder]) -> Matched:
    """Find the row of each image. A table may be of more images than there are; its other rows are left out.

    Args:
        table: the file that names images, for messages and for paths from there.
        named: (n,) names, one a row.
        folders: of images.

    Raises:
        UserError: for a name that may mean several images, two rows of one image, images without a row, and where no
            row names an image.
    """
    names = ImageNames(folders, table)
    rows: dict[int, int] = {}
    others: list[str] = []
    for row, given in enumerate(named):
        try:
            image = names.find(given)
        except UserError as error:
            raise UserError(f"{table}: {error}") from error
        if image is None:
            others.append(f"{given!r:.60}")
        elif image in rows:
            raise UserError(f"{table} has two rows for {names.name(image)}; remove one.")
        else:
            rows[image] = row
    if not rows:
        raise UserError(
            f"{table}: no row names an image ({listed(others)}); name them by their paths, such as {names.name(0)!r}."
        )
    said = [f"Left out, as they name no image: {counted(len(others), 'row')} of {table.name} ({listed(others)})."]
    said = said if others else []
    missing = [names.name(image) for image in range(len(names)) if image not in rows]
    if missing:
        raise UserError(
            f"{table} has no label for {counted(len(missing), 'image')} ({listed(missing)}); add a row for "
            f"each, or move it elsewhere. {' '.join(said)}".strip()
        )
    return Matched([rows[image] for image in range(len(names))], said)
