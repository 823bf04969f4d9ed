"""The README of an archive: what is in it, where it came from, and what to do with it. All of it from the records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from cabench.experiment import representations_file
from cabench.experiment.record import Record
from cabench.publication.layout import PROFILE, TUNING
from cabench.publication.manifest import Summary


def readme(summary: Summary, records: Sequence[Record], profiles: set[str], names: Sequence[str]) -> str:
    """The page, as Markdown.

    Args:
        summary: of the records.
        records: in the archive.
        profiles: that asked for these cells.
        names: of the files in the archive, but for page and manifest.
    """
    return "\n".join(_lines(summary, records, profiles, names)) + "\n"


def _lines(summary: Summary, records: Sequence[Record], profiles: set[str], names: Sequence[str]) -> Iterator[str]:
    yield "# Results of cabench"
    yield ""
    yield f"{len(records)} cells, each one method on one data set under one seed; {summary.failed} of them failed."
    yield ""
    yield from ("| data set | content | method | cells |", "|---|---|---|---|")
    for label, methods in summary.cells.items():
        content = ", ".join(found[:8] for found in summary.datasets[label])
        yield from (f"| {label} | {content} | {method} | {count} |" for method, count in methods.items())
    yield ""
    yield from _told("Profiles", profiles)
    yield from _told("Versions of cabench", {str(record.provenance.get("cabench", "unknown")) for record in records})
    yield from _told("Versions of PyTorch", {str(record.provenance.get("torch", "unknown")) for record in records})
    yield from _told("Processors", {str(record.provenance.get("cpu", "unknown")) for record in records})
    yield ""
    yield "## What is here"
    yield ""
    yield "- `manifest.json`: SHA-256 and size of every file, versions, and what cells there are."
    yield "- `results/`: a folder for each cell. `record.json` has its scores, settings and costs, `contributions.h5`"
    yield "  what each group of test rows adds to each score: reports compare methods by it."
    if any(name.endswith(representations_file.NAME) for name in names):
        yield "  `representations.h5` has its vectors, from which its scores can be computed anew."
    else:
        yield "  Vectors are not here, so that scores cannot be computed anew."
    if any(name.startswith(f"{TUNING}/") for name in names):
        yield "- `tuning/`: for each method and data set all trials, and which was chosen."
    if PROFILE in names:
        yield f"- `{PROFILE}`: the profile of the settings that were chosen."
    yield ""
    yield "## What to do with it"
    yield ""
    yield "In the folder that holds this page:"
    yield ""
    yield "```sh"
    yield "cabench verify-results .               # hashes, keys, versions, data, and scores where vectors are here"
    yield "cabench report --results results       # the tables"
    if PROFILE in names:
        tuned = ",".join(sorted({PurePosixPath(name).stem for name in names if name.startswith(f"{TUNING}/")}))
        yield f"cabench run --profile {PROFILE} --methods {tuned}   # with the settings that were chosen"
    yield "```"


def _told(title: str, values: set[str]) -> Iterator[str]:
    yield f"{title}: {', '.join(sorted(values))}.  "
