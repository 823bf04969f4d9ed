"""What a published archive holds, and under which names. Whoever reads one takes nothing else out of it.

cabench-results/
    README.md                      what is in the archive, generated
    manifest.json                  see `cabench.publication.manifest`
    results/profiles.json          which cells each profile asked for, where the folder has it
    results/<data set>/<method>/seed<k>-<key>/
        record.json                of every cell
        contributions.h5           where the cell has it
        representations.h5         where vectors were asked for
        model.safetensors          where fitted methods were asked for
    tuning/<data set>/<method>.json
    tuned.toml                     the profile of the settings that were chosen
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from cabench.experiment import asked, contributions_file, representations_file
from cabench.files.bounds import LARGEST_TEXT
from cabench.files.names import is_name
from cabench.saving import MODEL

ROOT = "cabench-results"
"""The folder that everything in an archive stands in."""
RESULTS, TUNING = "results", "tuning"
MANIFEST, README, PROFILE, RECORD = "manifest.json", "README.md", "tuned.toml", "record.json"
CELL_FILES = (RECORD, contributions_file.NAME, representations_file.NAME, MODEL)

MOST_FILES = 100_000
MOST_BYTES = 2**36
"""That all files may have together, 64 GiB."""
_LARGEST_ARRAYS = 2**34  # bytes, 16 GiB


def belongs(name: str) -> bool:
    """Whether a file of this name, below the root and with forward slashes, is part of an archive.

    No such name leads out of a folder.
    """
    match name.split("/"):
        case [single]:
            return single in (MANIFEST, README, PROFILE)
        case [folder, file]:
            return (folder, file) == (RESULTS, asked.NAME)
        case [folder, dataset, file]:
            method, dot, kind = file.rpartition(".")
            return folder == TUNING and is_name(dataset) and is_name(method) and f"{dot}{kind}" == ".json"
        case [folder, dataset, method, cell, file]:
            is_cell = re.fullmatch(r"seed[0-9]{1,9}-[0-9a-f]{8}", cell) is not None
            return folder == RESULTS and is_name(dataset) and is_name(method) and is_cell and file in CELL_FILES
        case _:
            return False


def largest(name: str) -> int:
    """How many bytes a file of this name may have: texts are read as a whole."""
    return LARGEST_TEXT if PurePosixPath(name).suffix in (".json", ".md", ".toml") else _LARGEST_ARRAYS
