"""The data set that a record was computed on: found, or built, from what the record says of it."""

from __future__ import annotations

from cabench import discovery
from cabench.data.builder import DatasetProvider
from cabench.data.sample import SampleProvider
from cabench.data.tuning_split import TuningProvider
from cabench.errors import UserError
from cabench.experiment.identity import Identity


def recorded_provider(cell: Identity) -> DatasetProvider:
    """What provides a cell's data set: the whole, or the part that the cell says it is of.

    The content is not compared: it is the caller's to do.

    Raises:
        UserError: for a data set that is not installed, and for a configuration or a sample that it does not allow.
    """
    kind = discovery.dataset_class(cell.dataset["name"])
    provider = kind(kind.Config.from_mapping(cell.dataset["config"]))
    if "most_rows" in cell.dataset:
        most = cell.dataset["most_rows"]
        if any(rows < 1 for rows in most.values()):
            raise UserError(f"A sample takes 1 row or more of each split, not {most}.")
        provider = SampleProvider(provider, most)
    return TuningProvider(provider) if "validation_of" in cell.dataset else provider
