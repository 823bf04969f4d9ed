"""Maps and nearest neighbours: what they show is what is near in the space, and they never fail for want of variety."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from cabench.data.dataset import SPACES, Attribute
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.pictures.maps import maps
from cabench.pictures.neighbours import neighbour_grid

KIND = Attribute("kind", "salient", "class", ("x", "y", "z"))
DEPTH = Attribute("depth", "common", "real")


def encoded(background: int = 5, target: int = 7, width: int = 3, constant: float | None = None) -> EncodedSplit:
    generator = np.random.default_rng(0)

    def population(rows: int, is_target: bool) -> EncodedPopulation:
        spaces = {space: generator.normal(size=(rows, width)).astype(np.float32) for space in SPACES}
        if constant is not None:
            spaces = {space: np.full_like(values, constant) for space, values in spaces.items()}
        kind = generator.integers(0, 3, rows) if is_target else np.full(rows, -1)
        depth = np.where(np.arange(rows) % 2, np.nan, generator.normal(size=rows))
        return EncodedPopulation(spaces, {"kind": kind, "depth": depth})

    return EncodedSplit(population(background, False), population(target, True))


# Maps


def test_points_are_principal_components_of_the_standardised_space() -> None:
    test = encoded(90, 110, width=4)
    mapped = maps(test, [])
    for space in SPACES:
        components = PCA(2).fit(StandardScaler().fit_transform(test.features(space)))
        expected = components.transform(StandardScaler().fit_transform(test.features(space)))
        points = np.array(mapped["spaces"][space]["points"])
        np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=6e-4)
        assert mapped["spaces"][space]["explained"] == pytest.approx(components.explained_variance_ratio_, abs=6e-5)


def test_every_point_has_its_population_and_values_with_none_where_undefined() -> None:
    test = encoded(3, 4)
    mapped = maps(test, [KIND, DEPTH])
    assert mapped["attributes"] == [
        {"name": "kind", "space": "salient", "kind": "class", "classes": ["x", "y", "z"]},
        {"name": "depth", "space": "common", "kind": "real", "classes": []},
    ]
    assert mapped["is_target"] == [0, 0, 0, 1, 1, 1, 1]
    assert mapped["values"]["kind"] == [None] * 3 + test.target.attributes["kind"].tolist()
    assert [value is None for value in mapped["values"]["depth"]] == [False, True, False, False, True, False, True]
    assert mapped["values"]["depth"][0] == pytest.approx(test.background.attributes["depth"][0], abs=1e-4)


def test_of_many_images_an_even_choice_is_shown() -> None:
    test = encoded(1000, 300)
    test.background.spaces["common"][:] = np.arange(1000)[:, None]
    test.target.spaces["common"][:] = 1000 + np.arange(300)[:, None]
    mapped = maps(test, [KIND])
    assert mapped["is_target"] == [0] * 200 + [1] * 200
    assert len(mapped["values"]["kind"]) == 400
    line = np.array(mapped["spaces"]["common"]["points"])[:, 0]
    steps = np.abs(np.diff(line)) / np.abs(line[199] - line[0])
    assert steps[:199] == pytest.approx(1 / 199, rel=0.21)


@pytest.mark.parametrize(
    "test",
    [
        pytest.param(encoded(width=1), id="one dimension"),
        pytest.param(encoded(width=50), id="more dimensions than images"),
        pytest.param(encoded(constant=0.0), id="zeros"),
        pytest.param(encoded(150, 170, constant=0.1), id="a constant that is no binary fraction"),
        pytest.param(encoded(constant=1e30), id="a large constant"),
        pytest.param(encoded(1, 1), id="one image each"),
        pytest.param(encoded(0, 1), id="one image in all"),
    ],
)
def test_maps_of_poor_spaces_are_plain_json_without_a_warning(test: EncodedSplit) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mapped = maps(test, [KIND, DEPTH])
    assert json.loads(json.dumps(mapped, allow_nan=False)) == mapped
    for space in SPACES:
        assert np.array(mapped["spaces"][space]["points"]).shape == (len(test.is_target()), 2)
        assert 0 <= sum(mapped["spaces"][space]["explained"]) <= 1.0001


def test_one_dimension_has_no_second_axis() -> None:
    mapped = maps(encoded(width=1), [])["spaces"]["common"]
    assert mapped["explained"] == [1, 0]
    assert {y for _, y in mapped["points"]} == {0}
    assert len({x for x, _ in mapped["points"]}) == 12


@pytest.mark.parametrize("constant", [0.0, 0.1, 1 / 3, -7.7, 1e30])
def test_a_constant_space_is_one_point_that_explains_nothing(constant: float) -> None:
    mapped = maps(encoded(150, 170, constant=constant), [])["spaces"]["salient"]
    assert mapped == {"points": [[0, 0]] * 320, "explained": [0, 0]}


def test_the_farthest_image_lies_at_the_positive_end_of_either_axis() -> None:
    for width in range(2, 12):
        points = np.array(maps(encoded(40, 40, width), [])["spaces"]["common"]["points"])
        assert (points.max(axis=0) >= -points.min(axis=0)).all()


# Nearest neighbours

TILE, LABELS, GAP = 64, 130, 2


def shades(picture: Image.Image) -> np.ndarray:
    """The grey value at the middle of every tile, by row and column."""
    pixels = np.asarray(picture.convert("L"))
    return pixels[TILE // 2 :: TILE + GAP, LABELS + TILE // 2 :: TILE + GAP]


def plain_images(values: np.ndarray) -> torch.Tensor:
    """One image of one grey value for each."""
    return torch.from_numpy(values.astype(np.uint8))[:, None, None, None].expand(-1, 1, 8, 8).contiguous()


def test_below_each_target_stand_its_duplicates_in_the_common_and_in_the_salient_space() -> None:
    generator = np.random.default_rng(0)
    common, salient = (generator.normal(size=(24, 3)).astype(np.float32) for _ in range(2))
    # Image i is one of 8 targets; 8 + i its double in the common, 16 + i in the salient space; all others are far off.
    common[8:16] = common[:8] + np.float32(1e-3)
    salient[16:] = salient[:8] + np.float32(1e-3)
    values = np.arange(24) * 10
    no_attributes: dict[str, np.ndarray] = {}
    target = EncodedPopulation({"common": common[:8], "salient": salient[:8]}, no_attributes)
    background = EncodedPopulation({"common": common[8:], "salient": salient[8:]}, no_attributes)
    grid = neighbour_grid(plain_images(values[8:]), plain_images(values[:8]), EncodedSplit(background, target))
    shown = shades(grid)
    assert shown.shape == (5, 8)
    np.testing.assert_array_equal(shown[0], values[:8])
    np.testing.assert_array_equal(shown[1], values[8:16])
    np.testing.assert_array_equal(shown[3], values[16:])
    assert not (shown[1:] == shown[0]).any(), "an image is shown as its own neighbour"


def test_no_dimension_counts_more_for_its_unit() -> None:
    spaces = np.array([[0, 0], [0.1, 1000], [4, 10], [-4, -2000]], np.float32)
    populations = EncodedSplit(
        *(EncodedPopulation(dict.fromkeys(SPACES, rows), {}) for rows in (spaces[1:], spaces[:1]))
    )
    shown = shades(neighbour_grid(plain_images(np.array([10, 20, 30])), plain_images(np.array([0])), populations))
    assert shown[1:, 0].tolist() == [10, 20, 10, 20]


def test_queries_are_spread_over_all_targets() -> None:
    values = np.arange(100)
    shown = shades(neighbour_grid(plain_images(values[:5]), plain_images(values), encoded(5, 100)))
    assert shown[0].tolist() == [0, 14, 28, 42, 56, 70, 84, 99]


def test_images_of_two_populations_of_one_each_are_each_others_neighbour() -> None:
    shown = shades(neighbour_grid(plain_images(np.array([200])), plain_images(np.array([40])), encoded(1, 1)))
    assert shown[:, 0].tolist() == [40, 200, 200]


def test_a_single_image_is_shown_alone() -> None:
    shown = shades(neighbour_grid(plain_images(np.array([])), plain_images(np.array([40])), encoded(0, 1)))
    assert shown.tolist() == [[40]]


def test_colour_images_keep_their_colour() -> None:
    colours = torch.randint(0, 256, (12, 3, 1, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = colours.expand(-1, 3, 16, 16).contiguous()
    picture = neighbour_grid(images[:5], images[5:], encoded())
    assert picture.getpixel((LABELS + 5, 5)) == tuple(images[5, :, 0, 0].tolist())
