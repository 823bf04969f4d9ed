"""Filling the download cache once, and the words for files that are missing."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from cabench.data.cache import download_folder
from cabench.data.sources import Source
from cabench.errors import UserError


def not_found(title: str, root: Path, looked_for: str, layout: str) -> UserError:
    """The error for a folder, named by the user, that does not hold a source.

    Args:
        title: the source's title, e.g. "MNIST".
        root: the folder that the user named.
        looked_for: the files wanted and the places that were tried.
        layout: what the folder should hold, e.g. "MNIST/raw/".
    """
    absent = "" if root.is_dir() else ", which is not a folder"
    return UserError(
        f"{title} was not found in {root}{absent}: looked for {looked_for}. "
        f"Set CABENCH_DATA or --data-root to a folder that holds {layout}."
    )


def must_be_fetched(title: str, root: Path, looked_for: str, owner: str, layout: str) -> UserError:
    """The error for a source that only its owner may hand out, where it is not there.

    Args:
        title: the source's title, e.g. "CelebA".
        root: the folder that was searched.
        looked_for: the files wanted and the places that were tried.
        owner: what to fetch, and from whom.
        layout: what the folder should hold, e.g. "celeba/".
    """
    absent = "" if root.is_dir() else ", which is not a folder"
    return UserError(
        f"{title} was not found in {root}{absent}: looked for {looked_for}. Its licence does not let it be downloaded "
        f"for you: get {owner}, agree to the terms, and put it as {layout} into a folder that CABENCH_DATA or "
        "--data-root names."
    )


def from_cache(
    title: str,
    wanted: str,
    layout: str,
    find: Callable[[Path], Source | None],
    download: Callable[[Path], None],
) -> Source:
    """Find a source in the download cache, downloading it there first where it is not complete.

    Args:
        title: the source's title, e.g. "MNIST".
        wanted: the files, named for the error.
        layout: what a folder given in place of the download should hold, e.g. "MNIST/raw/".
        find: gives the complete source under a folder (which may not exist), or None.
        download: puts the source under a folder that exists.

    Raises:
        UserError: when the download fails or leaves the source incomplete.
    """
    folder = download_folder()
    source = find(folder)
    if source is not None:
        return source
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Of two commands started at once the second waits, and then finds what the first has downloaded.
        with FileLock(folder / f"{title}.lock"):
            if find(folder) is None:
                download(folder)
            source = find(folder)
    # FetchError is an OSError; RuntimeError comes from a torchvision that does not fit the torch that is installed.
    except (OSError, RuntimeError, EOFError, tarfile.TarError) as error:
        raise _failed(title, wanted, layout, folder, " ".join(str(error).split())) from error
    if source is None:
        raise _failed(title, wanted, layout, folder, "files are missing after the download")
    return source


def _failed(title: str, wanted: str, layout: str, folder: Path, reason: str) -> UserError:
    return UserError(
        f"{title} could not be downloaded ({reason}); looked for {wanted} in {folder}. "
        f"Set CABENCH_DATA or --data-root to a folder that holds {layout}, or try again with network access."
    )
