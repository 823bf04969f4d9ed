"""From NumPy arrays of background and target examples to a data set file: checked, split and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cabench.data.dataset import Attribute
from cabench.data.file import DatasetFile
from cabench.data.importing.declarations import check_attributes
from cabench.data.importing.examples import Examples, check_examples, check_values
from cabench.data.importing.splitting import Drawn, Rows, divided
from cabench.data.importing.standardising import Standardisation
from cabench.data.writing import DatasetWriter, SplitWriter
from cabench.errors import UserError
from cabench.files.hdf5 import replacing_hdf5
from cabench.files.names import NAME_LETTERS, is_name

NAME, VERSION = "file", 1
PIECE_BYTES = 1 << 23  # of images or features copied at a time while they are written


def write_arrays(
    path: Path,
    background: Examples,
    target: Examples,
    attributes: Sequence[Attribute] = (),
    *,
    test_fraction: float = 0.2,
    seed: int = 0,
    title: str = "own data",
    notes: Sequence[str] = (),
    features: Sequence[str] = (),
    counts: bool = False,
) -> DatasetFile:
    """Write a data set that `--datasets` takes like a built-in one.

    Unless the split is given, about `test_fraction` of each population, and of each of its salient classes, is held
    out, in the order of a hash of `seed` and group: see `cabench.data.importing.splitting`. Examples of one group, and
    equal images, stay on one side. Features are standardised by mean and standard deviation of the training rows;
    constant ones become 0, and missing ones stay missing. Counts are kept as they are.

    Args:
        path: the file to write, whole or not at all; it ends in .h5.
        background: examples that show only what is common.
        target: examples that show what is common and what is salient.
        attributes: what is known of the examples, in the order in which tables show it.
        test_fraction: in (0, 1).
        seed: of the split, from 0.
        title: what tables say the data set was built from.
        notes: sentences that users of the data must know.
        features: names of a table's columns, for messages and notes.
        counts: whether features are counts: whole numbers from 0, for methods that model them.

    Returns:
        The file, opened again.

    Raises:
        UserError: for arrays of another kind, values that the attributes do not allow, an image in both populations, a
            split that would lack a population, and a path that cannot be written.
    """
    path = Path(path)
    check_output(path)
    drawn = Drawn(test_fraction, seed)
    drawn.check()
    parts = {"background": background, "target": target}
    check_examples(parts, features, counts)
    check_attributes(attributes)
    for population, part in parts.items():
        check_values(population, part, attributes)
    rows, said = divided(parts, attributes, drawn)
    if counts:
        form: _Form = _Counts()
    elif background.is_table:
        learned = Standardisation.of({name: part.images for name, part in parts.items()}, rows["train"])
        non_negative = all(np.fmin.reduce(part.images, axis=None, initial=0) >= 0 for part in parts.values())
        form, said = _Standardised(learned, non_negative), [*said, *learned.said(features)]
    else:
        form = _Form()
    try:
        with replacing_hdf5(path) as file:
            writer = DatasetWriter(file)
            writer.note(*notes, *said)
            _write(writer, parts, rows, attributes, form)
            config = drawn._asdict() if background.is_test is None else {"split": "given"}
            writer.finish(NAME, VERSION, config, [{"title": title}])
    except OSError as error:
        raise UserError(f"{path} could not be written ({error}); choose another --output or make room.") from error
    return DatasetFile.open(path)


def check_output(path: Path) -> None:
    """Refuse, before any work, a path that could not be used as a data set's name.

    Raises:
        UserError: saying what a path may look like.
    """
    if path.suffix != ".h5" or not is_name(path.stem):
        raise UserError(f"The data set file {str(path)!r} must have a name of {NAME_LETTERS}, ending in .h5.")
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file that ends in .h5.")


def check_free(path: Path, option: str = "--output") -> None:
    """Refuse to replace a file, named by an option, that nobody said may be replaced.

    Raises:
        UserError: saying how to replace it.
    """
    if path.exists():
        raise UserError(f"{path} exists already; give --force to replace it, or choose another {option}.")


class _Form:
    """How examples are stored: as they are."""

    def declare(self, out: SplitWriter) -> None:
        """Say what the stored values are."""

    def stored(self, images: np.ndarray) -> np.ndarray:
        """Examples as the file holds them."""
        return images


class _Counts(_Form):
    """Counts, as float32."""

    def declare(self, out: SplitWriter) -> None:
        out.declare_counts()

    def stored(self, images: np.ndarray) -> np.ndarray:
        return images.astype(np.float32)


class _Standardised(_Form):
    """Features on the scale of the training rows."""

    def __init__(self, learned: Standardisation, non_negative: bool) -> None:
        self._learned = learned
        self._non_negative = non_negative

    def declare(self, out: SplitWriter) -> None:
        out.declare_scaling(self._learned.mean, self._learned.scale)
        if self._non_negative:
            out.declare_non_negative()

    def stored(self, images: np.ndarray) -> np.ndarray:
        return self._learned.rows(images)


def _write(
    writer: DatasetWriter, parts: Mapping[str, Examples], rows: Rows, attributes: Sequence[Attribute], form: _Form
) -> None:
    """All splits, background first, each population in the order given."""
    shape = parts["background"].images.shape[1:]
    for split, populations in rows.items():
        count = sum(len(chosen) for chosen in populations.values())
        with writer.split(split, count, shape, attributes) as out:
            form.declare(out)
            for population, chosen in populations.items():
                _append(out, parts[population], chosen, population == "target", form)


def _append(out: SplitWriter, part: Examples, rows: np.ndarray, is_target: bool, form: _Form) -> None:
    step = max(1, PIECE_BYTES // (part.images.nbytes // len(part.images)))
    for start in range(0, len(rows), step):
        chosen = rows[start : start + step]
        values = {name: np.asarray(column)[chosen] for name, column in part.values.items()}
        texts = [None if c is None else [str(c[row]) for row in chosen] for c in (part.names, part.groups)]
        out.append(form.stored(part.images[chosen]), is_target, values, *texts)
