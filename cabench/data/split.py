"""Choosing the images of the test split: in whole groups, the same on every machine."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd


def held_out(groups: pd.Series, strata: pd.Series, fraction: float, seed: int) -> np.ndarray:
    """Choose about `fraction` of each stratum's images, always in whole groups.

    Groups are chosen in the order of the SHA-256 of "<seed>/<group>", so that anybody can make a split again from its
    seed, with any version of any library.

    Args:
        groups: (n,) equal for images that must stay on one side: a patient, or the image itself.
        strata: (n,) the kinds to divide in proportion; a group counts for the stratum of its first image.
        fraction: of a stratum's images, in (0, 1), rounded to whole images; the group that crosses it is included.
        seed: of the order.

    Returns:
        Bool (n,): True for images of the test split.
    """
    images = pd.DataFrame({"group": groups.to_numpy(), "stratum": strata.to_numpy()})
    whole = images.groupby("group", sort=False)["stratum"].agg(["first", "size"])
    order = [hashlib.sha256(f"{seed}/{group}".encode()).hexdigest() for group in whole.index]
    whole = whole.iloc[np.argsort(order)]
    sizes = whole.groupby("first")["size"]
    before = sizes.cumsum() - whole["size"]
    chosen = whole.index[before < (fraction * sizes.transform("sum")).round()]
    return images["group"].isin(chosen).to_numpy()
