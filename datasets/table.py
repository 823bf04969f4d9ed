"""Your own table of features: an HDF5 file that `cabench data import --table` or `cabench.write_arrays` made.

It is used like a file of images, `--datasets mine.h5`; profiles set methods for it under [on.table].
"""

from __future__ import annotations

from cabench.datasets.file import File


class Table(File):
    """Opens an existing file; see `cabench.datasets.file`."""

    name = "table"
