"""Values of arrays as cells of a table: text, as a CSV file would hold it."""

from __future__ import annotations

import numpy as np

KINDS = "biufSU"
"""NumPy's letters of the types that can be cells: true or false, numbers and text."""


def cells_of(values: np.ndarray) -> np.ndarray:
    """Text (n,): whole numbers as "3", others with the fewest digits that tell them apart, truth as "True".

    Args:
        values: (n,) of a type in `KINDS`, or texts as objects.

    Returns:
        Objects; "" = missing, which of numbers is NaN. Blanks around text are taken off.

    Raises:
        ValueError: for bytes that are not UTF-8.
    """
    texts = np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values.astype(str)
    cells = np.array([text.strip() for text in texts.tolist()], object)
    if values.dtype.kind == "f":
        cells[np.isnan(values)] = ""
    return cells
