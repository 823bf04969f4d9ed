"""How the rows of a table were given to a method that is fitted now, so that other rows are given to it likewise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from cabench.data.dataset import ContrastiveDataset, Population
from cabench.data.file import DatasetFile
from cabench.data.layout import Split
from cabench.data.preparation import Preparation, needs_logarithms
from cabench.data.scaling import Scale
from cabench.errors import UserError
from cabench.method import ContrastiveAnalysisMethod
from cabench.saving import saved_beside

_PARTS: Mapping[str, Any] = {"preparation": Preparation, "scale": Scale}


@dataclass(frozen=True)
class FittedRows:
    """How rows were given to a fitted method; images are always given as they are.

    Attributes:
        preparation: in place of what the method does not take; None where it was given rows as they are stored.
        scale: of the table's columns; None where its file keeps none.
    """

    preparation: Preparation | None = None
    scale: Scale | None = None

    @classmethod
    def of(cls, method: ContrastiveAnalysisMethod, data: DatasetFile, train: ContrastiveDataset) -> FittedRows:
        """How rows of a data set are given to a method, learned from the training split."""
        scale = data.read_scale()
        return cls(Preparation.learned(train, method.takes, scale), scale)

    @classmethod
    def saved(cls, cell: str | Path) -> FittedRows:
        """What was kept beside a saved method.

        Raises:
            UserError: for a file that is missing or damaged.
        """
        kept = saved_beside(cell)
        found = {}
        for part, kind in _PARTS.items():
            tensors = {name.removeprefix(f"{part}."): t for name, t in kept.items() if name.startswith(f"{part}.")}
            if tensors and tensors.keys() != set(kind._fields):
                raise UserError(f"{cell} does not say all of how rows were given to its method; compute it again.")
            found[part] = kind(**tensors) if tensors else None
        return cls(**found)

    def tensors(self) -> Mapping[str, Tensor]:
        """What `saved` reads, by name."""
        parts = {"preparation": self.preparation, "scale": self.scale}
        return {
            f"{name}.{field}": tensor
            for name, part in parts.items()
            if part is not None
            for field, tensor in part._asdict().items()
        }

    def given(self, split: ContrastiveDataset) -> ContrastiveDataset:
        """A split of the method's own data set as it is given to the method."""
        return self.preparation.split(split) if self.preparation else split

    def given_of(self, data: DatasetFile, split: Split, method: ContrastiveAnalysisMethod) -> ContrastiveDataset:
        """A split of another data set as it is given to the method, on the scale of the method's own table.

        Raises:
            UserError: for counts or missing values where the method was fitted on a table without, and the reverse.
        """
        self._check(data, method)
        read, own = data.read(split), data.read_scale()
        if self.scale is not None and own is not None:
            parts = (Population(self.scale.rows_from(part.images, own), part.attributes) for part in read[1:])
            read = ContrastiveDataset(read.info, *parts)
        return self.given(read)

    def _check(self, data: DatasetFile, method: ContrastiveAnalysisMethod) -> None:
        made_of_counts = self.preparation is not None and bool(self.preparation.takes_log)
        if made_of_counts != needs_logarithms(data.info, method.takes):
            held, other = ("counts", "real numbers") if data.info.are_counts else ("real numbers", "counts")
        elif data.info.missing and "missing" not in method.takes and self.preparation is None:
            held, other = "missing values", "a table without"
        else:
            return
        raise UserError(
            f"{data.path} holds {held}, but {method.name} was fitted on {other}; import the table likewise."
        )
