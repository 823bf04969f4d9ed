"""Makes two folders of images to try `cabench data import` on: plain garments, and garments with a digit on them.

python docs/garments_with_digits.py SOURCE FOLDER

SOURCE holds Fashion-MNIST's train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz, such as
/usr/share/datasets/fashion-mnist of Debian's package dataset-fashion-mnist. Digits are scikit-learn's. FOLDER then has
plain/, with_digit/ and labels.csv: 2,000 images each, of trousers, dresses and sneakers, no garment in both.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from cabench.datasets.sources.idx import read_idx

GARMENTS = {1: "trousers", 3: "dress", 7: "sneaker"}
IMAGES = 2000  # of either folder


def main(source: Path, folder: Path) -> None:
    """Write both folders and the labels."""
    garments = read_idx(source / "train-images-idx3-ubyte.gz")
    kinds = read_idx(source / "train-labels-idx1-ubyte.gz")
    digits = load_digits()
    generator = np.random.default_rng(0)
    chosen = generator.permutation(np.flatnonzero(np.isin(kinds, list(GARMENTS))))[: 2 * IMAGES]
    rows = []
    for number, row in enumerate(chosen):
        place, image, digit = "plain", garments[row], ""
        if number >= IMAGES:
            drawn = generator.integers(len(digits.target))
            place, digit = "with_digit", str(digits.target[drawn])
            ink = Image.fromarray((digits.images[drawn] * 15.9).astype(np.uint8)).resize((28, 28))
            image = (image // 2) + (np.asarray(ink) // 2)
        name = f"{number:04}.png"
        (folder / place).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / place / name)
        rows.append((name, GARMENTS[int(kinds[row])], digit))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "garment", "digit"), *rows])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
