"""Which images are kept for the test split: whole groups of them, the same on every machine."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd


def held_out(groups: pd.Series, strata: pd.Series, fraction: float, seed: int) -> np.ndarray:
    """Choose about `fraction` of each stratum's images, and with an image all others of its group.

    The order in which groups are chosen is that of the SHA-256 of "<seed>/<group>", so that a split can be made again
    from its seed by anybody, whatever the version of a library's random numbers.

    Args:
        groups: (n,) what must stay on one side: a patient, or the image itself.
        strata: (n,) what both sides should have their share of; a group counts for the stratum of its first image.
        fraction: of a stratum's images, in (0, 1), rounded to whole images; the group that crosses it still counts.
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
