"""Weights of networks in files: published ones are downloaded once and checked, and nothing in a file is executed.

Published files are called like `resnet18-f37072fd.pth`: the name ends in the first digits of the content's SHA-256.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import torch
from filelock import FileLock
from torch import Tensor, nn

from cabench.data.cache import checked, content_digest, download_folder
from cabench.data.download import fetch
from cabench.errors import UserError
from cabench.files.bounds import TooLargeError, most_unpacked


class MisfitError(ValueError):
    """A state dict belongs to another architecture; the text says in which tensors."""


def published_path(url: str) -> Path:
    """Where the file of an address is, or will be once it is downloaded."""
    return checked(download_folder() / "torchvision" / Path(urlsplit(url).path).name)


def obtain_published(name: str, url: str, advice: str) -> Path:
    """The file of published weights, downloaded now if need be and checked against the digits in its name.

    Args:
        name: of the network, for the error.
        url: of the file.
        advice: what to do with a file that the user got elsewhere, as the end of a sentence.

    Raises:
        UserError: when the download fails, or its folder cannot be written to.
    """
    path = published_path(url)
    if not path.is_file():
        checksum = re.findall(r"-([0-9a-f]+)\.", path.name)[-1]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                if not path.is_file():
                    fetch([url], path, checksum, "sha256")
        except OSError as error:  # as a FetchError is
            raise UserError(
                f"The weights of {name} could not be downloaded ({error}). Try again with network access, or get {url} "
                f"elsewhere and {advice}."
            ) from error
    return path


def check_digits(path: Path) -> None:
    """Refuse a file whose name does not end in the first 8 or more digits of the SHA-256 of its content.

    So equal names mean equal weights.

    Raises:
        UserError: with the name that it should have, or because it is no file that can be read.
    """
    try:
        if not path.is_file():  # a pipe would be waited for
            raise FileNotFoundError("there is no such file")
        sha256 = content_digest(path)
    except OSError as error:
        raise UserError(f"The weights file {path} cannot be read ({error}); name a file that is there.") from error
    digits = re.search(r"-([0-9a-f]{8,64})$", path.stem)
    if digits is None or not sha256.startswith(digits[1]):
        stem = path.stem.removesuffix(digits[0]) if digits else path.stem
        found = "is damaged or has another content than its name says" if digits else "does not say what it holds"
        raise UserError(
            f"The weights file {path} {found}: its name must end in the first 8 or more digits of the SHA-256 of its "
            f"content. Call it {stem}-{sha256[:8]}{path.suffix}, or get it again if that is not what you mean."
        )


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in a file. Its own type is kept: some networks read the version that it carries.

    Raises:
        UserError: for a file that holds something else.
    """
    try:
        _check_unpacked(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except TooLargeError as error:
        raise UserError(
            f"{path} cannot be read as weights: {error}. Save it with torch.save, which packs nothing."
        ) from error
    except Exception as error:  # of a damaged file; which, depends on where the damage is
        # What torch says is not shown: it advises to load the file in a way that executes code in it.
        raise UserError(
            f"{path} cannot be read as weights: it is damaged, or holds more than tensors. Give a file that torch.save "
            "made of a model's state_dict()."
        ) from error
    entries = state.items() if isinstance(state, dict) else [(None, state)]
    if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in entries):
        raise UserError(f"{path} holds no state dict, which is tensors by name alone; save model.state_dict().")
    return cast("dict[str, Tensor]", state)


def _check_unpacked(path: Path) -> None:
    """Raise TooLargeError for an archive that unpacks to far more than it is long, and others for damage."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked, most = sum(member.file_size for member in archive.infolist()), most_unpacked(path.stat().st_size)
        if unpacked > most:
            raise TooLargeError(f"it unpacks to {unpacked:,} bytes, of {most:,} that are allowed")


def load_but_head(network: nn.Module, head: str, state: dict[str, Tensor]) -> None:
    """Give a network the weights of a state dict, but for its classification head, which stays as it is.

    So weights of a network that was tuned to other classes fit as well.

    Args:
        network: takes the weights, on its own device.
        head: the name of the module that is left alone.
        state: as `read_weights` gave it; its entries of the head are replaced.

    Raises:
        MisfitError: when it belongs to another architecture.
    """
    prefix = f"{head}."
    for name in [name for name in state if name.startswith(prefix)]:
        del state[name]
    state.update({name: tensor for name, tensor in network.state_dict().items() if name.startswith(prefix)})
    try:
        network.load_state_dict(state)
    except (RuntimeError, ValueError) as error:
        raise MisfitError(" ".join([*str(error).split()[:40], "..."])) from error
