"""Maps of both spaces of any cell: where its test images lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cabench.data.dataset import Attribute, spaced
from cabench.evaluation.encoded import EncodedSplit
from cabench.evaluation.probes import Scaling

MAPPED = 200  # images of either population


def maps(test: EncodedSplit, attributes: Sequence[Attribute]) -> dict[str, Any]:
    """The first two principal components of both spaces, with what is known of each image.

    Principal components, and not a non-linear map: distances in the picture are then those in the space.

    Returns:
        Plain values for JSON: "attributes" (name, space, kind, classes), "is_target" (0 or 1 for each image), "values"
        (by attribute; None where undefined) and "spaces" (by space "points", [x, y] for each image, and "explained",
        the share of the standardised vectors' variance along either axis).
    """
    counts = np.bincount(test.is_target(), minlength=2)
    chosen = [spaced(np.arange(count), MAPPED) for count in counts]
    parts = list(zip(test, chosen, strict=True))
    return {
        "attributes": [
            {"name": a.name, "space": a.space, "kind": a.kind, "classes": list(a.classes)} for a in attributes
        ],
        "is_target": np.repeat([0, 1], [len(rows) for rows in chosen]).tolist(),
        "values": {
            a.name: _plain(a, np.concatenate([part.attributes[a.name][rows] for part, rows in parts]))
            for a in attributes
        },
        "spaces": {
            space: _plane(np.concatenate([part.spaces[space][rows] for part, rows in parts]))
            for space in test.target.spaces
        },
    }


def _plane(features: np.ndarray) -> dict[str, Any]:
    """Coordinates along the two directions of largest variance; zeros where there is no second, or none at all."""
    scaled = Scaling.of(features.astype(np.float64))(features)
    axes, deviations, _ = np.linalg.svd(scaled, full_matrices=False)
    points = np.zeros((len(features), 2))
    kept = min(2, len(deviations))
    # Either end of an axis may come first; the sign is set so that equal vectors give equal maps.
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])[:kept]
    points[:, :kept] = axes[:, :kept] * deviations[:kept] * signs
    shares = np.zeros(2)
    shares[:kept] = deviations[:kept] ** 2 / max((deviations**2).sum(), np.finfo(float).tiny)
    return {"points": points.round(3).tolist(), "explained": shares.round(4).tolist()}


def _plain(attribute: Attribute, values: np.ndarray) -> list[float | int | None]:
    defined = attribute.is_defined(values)
    numbers = values.tolist() if attribute.kind == "class" else values.round(4).tolist()
    return [number if known else None for number, known in zip(numbers, defined, strict=True)]
