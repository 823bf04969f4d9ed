"""Rows of a split: which images, which features, in which order."""

from __future__ import annotations

import numpy as np
import pytest

from cabench.data.dataset import Attribute
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit

KIND = Attribute("kind", "salient", "class", ("x", "y"))
SIZE = Attribute("size", "salient", "real")
SPLIT = EncodedSplit(
    EncodedPopulation(
        {"common": np.float32([[0], [1]]), "salient": np.float32([[10, 0], [11, 0]])},
        {"kind": np.array([-1, -1]), "size": np.array([np.nan, 0.5])},
    ),
    EncodedPopulation(
        {"common": np.float32([[2], [3], [4]]), "salient": np.float32([[12, 0], [13, 0], [14, 0]])},
        {"kind": np.array([1, -1, 0]), "size": np.array([np.nan, 1.5, 2.5])},
    ),
)


def test_features_are_all_images_background_first() -> None:
    np.testing.assert_array_equal(SPLIT.features("common"), [[0], [1], [2], [3], [4]])
    np.testing.assert_array_equal(SPLIT.features("salient")[:, 0], [10, 11, 12, 13, 14])


def test_is_target_follows_the_order_of_features() -> None:
    np.testing.assert_array_equal(SPLIT.is_target(), [False, False, True, True, True])


def test_features_are_in_double_precision() -> None:
    assert SPLIT.features("common").dtype == np.float64
    assert SPLIT.rows(KIND, "common", ("target",))[0].dtype == np.float64


@pytest.mark.parametrize(
    ("attribute", "features", "values"), [(KIND, [12, 14], [1, 0]), (SIZE, [13, 14], [1.5, 2.5])], ids=["class", "real"]
)
def test_rows_are_those_that_define_the_attribute(attribute: Attribute, features: list[int], values: list) -> None:
    rows, found = SPLIT.rows(attribute, "salient", ("target",))

    np.testing.assert_array_equal(rows[:, 0], features)
    np.testing.assert_array_equal(found, values)


def test_rows_of_two_populations_stand_in_the_order_asked_for() -> None:
    rows, values = SPLIT.rows(SIZE, "common", ("target", "background"))

    np.testing.assert_array_equal(rows, [[3], [4], [1]])
    np.testing.assert_array_equal(values, [1.5, 2.5, 0.5])


def test_an_attribute_that_no_image_defines_has_no_rows_of_the_right_width() -> None:
    rows, values = SPLIT.rows(KIND, "salient", ("background",))

    assert rows.shape == (0, 2)
    assert values.shape == (0,)
