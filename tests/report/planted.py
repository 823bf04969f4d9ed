"""Records through the real evaluation, of vectors in which information is planted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cabench.data.dataset import Attribute
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.experiment.measuring import measure
from cabench.experiment.record import Record

DIGIT = Attribute("digit", "salient", "class", ("a", "b", "c"))
SIZE = Attribute("size", "salient", "real")
HAIR = Attribute("hair_colour", "common", "class", ("dark", "fair"))
SITE = Attribute("site", "nuisance", "class", ("x", "y", "z"))
ATTRIBUTES = (DIGIT, SIZE, HAIR)


class Images:
    """The attributes of the images of one split, the same for all methods and seeds.

    Args:
        seed: of the draw.
        counts: of background and target images.
        groups: of each population; every image is its own where 0. The sex-like `hair_colour` is constant in a group.
        sizes: how much each group has of its population's images; equal where empty.
        attributes: what is known of the images.
    """

    def __init__(
        self,
        seed: int,
        counts: tuple[int, int] = (60, 60),
        groups: int = 0,
        sizes: Sequence[float] = (),
        attributes: Sequence[Attribute] = ATTRIBUTES,
    ) -> None:
        generator = np.random.default_rng(seed)
        self.attributes = attributes
        self.values: list[dict[str, np.ndarray]] = []
        self.groups: list[np.ndarray | None] = []
        for name, n in zip("bt", counts, strict=True):
            parts = np.array(sizes or [1.0] * max(groups, 1))
            codes = np.searchsorted(np.cumsum(parts) / parts.sum(), (np.arange(n) + 0.5) / n) if groups else None
            hair = np.arange(n) % 2 if codes is None else codes % 2
            values = {
                "digit": generator.integers(0, 3, n) if name == "t" else np.full(n, -1),
                "size": generator.normal(size=n) if name == "t" else np.full(n, np.nan),
                "hair_colour": hair,
                "site": generator.choice(3, n, p=[0.6, 0.3, 0.1] if name == "t" else [0.1, 0.3, 0.6]),
            }
            self.values.append({attribute.name: values[attribute.name] for attribute in attributes})
            self.groups.append(None if codes is None else np.array([f"{name}{code}" for code in codes], object))


def encoded(images: Images, seed: int, kept: float, leak: float) -> EncodedSplit:
    """Vectors that hold the attributes of their own space `kept` standard deviations apart, the others' `leak`."""
    generator = np.random.default_rng(seed)
    parts = []
    for is_target, (values, groups) in enumerate(zip(images.values, images.groups, strict=True)):
        n = len(values["digit"])
        size = np.nan_to_num(values["size"])[:, None]
        salient = [np.eye(3)[values["digit"]] * is_target, size * is_target, np.full((n, 1), is_target)]
        of_digit = np.concatenate(salient, axis=1)
        of_hair = np.concatenate([np.eye(2)[values["hair_colour"]], np.zeros((n, 3))], axis=1)
        noise = generator.normal(size=(2, n, 5))
        spaces = {
            "common": (kept * of_hair + leak * of_digit + noise[0]).astype(np.float32),
            "salient": (kept * of_digit + leak * of_hair + noise[1]).astype(np.float32),
        }
        parts.append(EncodedPopulation(spaces, values, groups))
    return EncodedSplit(*parts)


def measured(record: Record, train: Images, test: Images, noise: int, kept: float, leak: float) -> Record:
    """A record with what the evaluation says of planted vectors.

    Args:
        record: what is known of the cell; its scores are replaced.
        train: images that probes are fitted on.
        test: images that they are scored on.
        noise: seed of the vectors' noise; equal noise gives equal vectors.
        kept: how far apart a space holds its own attributes.
        leak: how far apart it holds the other's.
    """
    vectors = [encoded(images, 2 * noise + index, kept, leak) for index, images in enumerate((train, test))]
    fields, _ = measure(*vectors, test.attributes)
    return Record(**{**vars(record), **fields})
