"""Images that look almost the same, such as the same photograph compressed twice, found by a perceptual hash.

The hash is a difference hash (N. Krawetz, "Kind of like that", 2013): an image is averaged to 8 rows of 9 grey values,
and each of the 64 bits says whether a value is clearly above its left neighbour. Hashes that differ in few bits are
brought side by side by sorting them four times, each time with another quarter of the bits in front (as in G. S. Manku
et al., "Detecting near-duplicates for web crawling", WWW 2007), so that no image is compared with all others. What
looks alike there is compared again, in more detail.

Images that are nearly flat have no hash: all of them would look alike. What is missed are images that were cropped,
turned or mirrored.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cabench.data.layout import Findings, StoredSplit
from cabench.files.hdf5 import pieces

ROWS, COLUMNS = 8, 9
CLEARLY = 0.1  # of the standard deviation of the averages: what compression changes stays below
FEWEST_BITS = 8  # of 64 that are set, for an image that shows something
MOST_BITS = 3  # by which hashes of near-duplicates differ: one of four quarters is then the same
NEIGHBOURS = 16  # compared with each hash, in each of the four orders
MOST_PAIRS = 10_000  # compared in detail, those of the closest hashes first: 20 MB
DETAIL = 16  # rows and columns of averages that are compared
ALIKE = 0.995  # their correlation. Of the closest 20,000 pairs of MNIST, 21 reach 0.99 and none 0.995
NO_HASH = np.uint64(0)
_ONES = np.array([value.bit_count() for value in range(256)], np.uint8)  # of a byte


def difference_hashes(images: np.ndarray) -> np.ndarray:
    """The hash of each image.

    Args:
        images: uint8 (n, channels, height, width).

    Returns:
        uint64 (n,); 0 for an image that is nearly flat.
    """
    averages = _averages(images, ROWS, COLUMNS)
    steps = np.diff(averages, axis=2)
    bits = (steps > CLEARLY * averages.std(axis=(1, 2), keepdims=True)).reshape(len(images), -1)
    hashes: np.ndarray = np.packbits(bits, axis=1).view(np.uint64)[:, 0]
    return np.where(bits.sum(axis=1) >= FEWEST_BITS, hashes, NO_HASH)


def closest(hashes: np.ndarray, kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each image one of another kind whose hash differs least, in at most three bits; not always the very closest.

    Args:
        hashes: uint64 (n,), as `difference_hashes` gives them.
        kinds: (n,) integers; images of one kind are not compared.

    Returns:
        int64 (n,) the index of the other image, -1 = none; and uint8 (n,) in how many bits they differ.
    """
    other, differ = np.full(len(hashes), -1, np.int64), np.full(len(hashes), MOST_BITS + 1, np.uint8)
    known = np.flatnonzero(hashes != NO_HASH)
    for bits in np.arange(0, 64, 16, dtype=np.uint64):
        turned = (hashes[known] << bits) | (hashes[known] >> (np.uint64(64) - bits) % np.uint64(64))
        order = np.argsort(turned, kind="stable")
        rows, turned = known[order], turned[order]
        for step in range(1, min(NEIGHBOURS + 1, len(rows))):
            distance = _ones(turned[:-step] ^ turned[step:])
            distance[kinds[rows[:-step]] == kinds[rows[step:]]] = MOST_BITS + 1
            for ones, others in ((rows[:-step], rows[step:]), (rows[step:], rows[:-step])):
                closer = distance < differ[ones]
                differ[ones[closer]], other[ones[closer]] = distance[closer], others[closer]
    return other, differ


def details(images: np.ndarray) -> np.ndarray:
    """Grey values averaged over 16 x 16 areas, apart from brightness and contrast: float32 (n, 256) of length 1.

    Their scalar product is a correlation. It is at least 0.995 of images that look almost the same.

    Args:
        images: uint8 (n, channels, height, width).
    """
    values = _averages(images, DETAIL, DETAIL).reshape(len(images), -1)
    values = values - values.mean(axis=1, keepdims=True)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6))


def warn_of_near_duplicates(
    splits: Sequence[StoredSplit], hashes: Sequence[np.ndarray], digests: Sequence[np.ndarray], findings: Findings
) -> None:
    """Warn of images that look almost like one of another split, or of the other population.

    Args:
        splits: of images, of one file.
        hashes: of each split, as `difference_hashes` gives them.
        digests: of each split, (n,) equal for equal images, which are left out.
        findings: gets a warning of each kind, with how many there are.
    """
    is_target = np.concatenate([split.is_target for split in splits])
    side = np.repeat(np.arange(len(splits)), [len(split.is_target) for split in splits])
    other, differ = closest(np.concatenate(hashes), 2 * side + is_target)
    exact = np.concatenate(digests)
    rows = np.flatnonzero((other >= 0) & (exact != exact[other]))
    rows = np.sort(rows[np.argsort(differ[rows], kind="stable")[:MOST_PAIRS]])
    rows = rows[_look_alike(splits, rows, other[rows])]
    starts = np.cumsum([0, *(len(split.is_target) for split in splits)])

    def warn(found: np.ndarray, total: int, what: str, like: str) -> None:
        if len(found):
            first, second = (splits[side[row]].row(row - starts[side[row]]) for row in (found[0], other[found[0]]))
            findings.warn(
                f"{len(found):,} of the {total:,} {what} look almost the same as {like}, first {first} as {second}: "
                "what is learnt of one is known of the other"
            )

    for later, split in enumerate(splits):
        leaks = rows[(side[rows] == later) & (side[other[rows]] < later)]
        warn(leaks, len(split.is_target), f"rows of {split.examples.name}", "rows of an earlier split")
    both = rows[is_target[rows] & ~is_target[other[rows]]]
    warn(both, int(is_target.sum()), "target images", "background images")


def _look_alike(splits: Sequence[StoredSplit], ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Bool (m,): whether the images of each pair look alike. Rows count through all splits."""
    wanted, place = np.unique(np.concatenate([ones, others]), return_inverse=True)
    found = np.empty((len(wanted), DETAIL**2), np.float32)
    start = 0
    for split in splits:
        for first, images in pieces(split.examples):
            low, high = np.searchsorted(wanted, [start + first, start + first + len(images)])
            if low < high:
                found[low:high] = details(images[wanted[low:high] - start - first])
        start += len(split.examples)
    return np.asarray((found[place[: len(ones)]] * found[place[len(ones) :]]).sum(axis=1) >= ALIKE)


def _ones(words: np.ndarray) -> np.ndarray:
    """uint8 (n,): how many bits of uint64 (n,) are set."""
    return np.asarray(_ONES[words.view(np.uint8).reshape(-1, 8)].sum(axis=1, dtype=np.uint8))


def _averages(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """float32 (n, rows, columns): grey values averaged over areas of equal size."""
    grey = images.mean(axis=1, dtype=np.float32)
    return np.asarray(_areas(grey.shape[1], rows) @ grey @ _areas(grey.shape[2], columns).T)


def _areas(length: int, parts: int) -> np.ndarray:
    """float32 (parts, length): the share of each pixel in each part, where parts are of equal length."""
    edges = np.linspace(0, length, parts + 1)
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(overlap.clip(0) * (parts / length), np.float32)
