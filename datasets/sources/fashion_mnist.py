"""Fashion-MNIST (Xiao et al., 2017): 60,000 + 10,000 grey images of garments, 28x28, in files named like MNIST's."""

from __future__ import annotations

from cabench.datasets.sources.idx import IdxFiles, read

__all__ = ["CLASSES", "TITLE", "locate", "read"]

TITLE = "Fashion-MNIST"
# As published, in lower case, in the order of the labels.
CLASSES = (
    "t-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)

# Not in the root itself: MNIST's files have the same names there. The second place is Debian's, in /usr/share/datasets.
locate = IdxFiles(TITLE, "FashionMNIST", ("FashionMNIST/raw", "fashion-mnist")).locate
