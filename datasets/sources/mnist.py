"""MNIST: 60,000 + 10,000 grey images of handwritten digits, 28x28, read from its four IDX files."""

from __future__ import annotations

from cabench.datasets.sources.idx import IdxFiles, read

__all__ = ["TITLE", "locate", "read"]

TITLE = "MNIST"

# Its files alone are often unpacked without torchvision's folders.
locate = IdxFiles(TITLE, "MNIST", ("MNIST/raw", "raw", ".")).locate
