"""The dSprites data set: every image is taken apart again into the digits and the sprite that its attributes name."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

import cabench
from cabench.config import ConfigError
from cabench.data.cache import cache_folder
from cabench.data.dataset import ContrastiveDataset, Population
from cabench.data.file import DatasetFile
from cabench.data.sources import LabelledImages, Source
from cabench.datasets import dsprites
from cabench.datasets.dsprites import DSprites, DSpritesConfig
from cabench.datasets.sources import sklearn_digits, sprites, strokes
from cabench.datasets.sources.idx import MNIST, IdxFiles
from cabench.errors import UserError
from cabench.experiment.request import ResolvedProfile
from cabench.experiment.store import ResultsStore
from cabench.profiles import load_profile

DATA = os.environ.get("CABENCH_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="CABENCH_DATA is not set: MNIST is not here")
BOTH_SOURCES = [pytest.param("mnist", marks=needs_data), "sklearn"]
# The first image row and column of each quadrant's cell, and the digit that card B3a puts there.
PLACES = {"top_left": (0, 0, 1), "bottom_left": (32, 0, 2), "top_right": (0, 32, 3), "bottom_right": (32, 32, 4)}
FACTORS = ("shape", "scale", "orientation", "position_x", "position_y")
NARROW = [0, 0, 0.161, 0.322, 0.483, 0.644, -0.161, -0.322, -0.483, -0.644]  # card B3a, to three digits

Build = Callable[..., DatasetFile]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    """Builds small sets, each configuration once; chunks are so small that every split takes several."""
    files: dict[DSpritesConfig, DatasetFile] = {}

    def obtained(**fields: Any) -> DatasetFile:
        config = DSpritesConfig(**{"train_size": 200, "test_size": 120, **fields})
        if config not in files:
            files[config] = DSprites(config).obtain(Path(DATA) if DATA else None)
        return files[config]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CABENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(dsprites, "CHUNK", 37)
        yield obtained


@pytest.fixture(scope="module")
def source() -> Callable[[str], tuple[LabelledImages, LabelledImages]]:
    """Train and test digits by the name of their source."""
    read: dict[str, tuple[LabelledImages, LabelledImages]] = {}

    def digits(name: str) -> tuple[LabelledImages, LabelledImages]:
        if name not in read:
            module = {"mnist": MNIST, "sklearn": sklearn_digits}[name]
            read[name] = module.read(module.locate(Path(DATA) if DATA else None))
        return read[name]

    return digits


@pytest.fixture
def few_positions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A factor grid of two positions a side, small enough to be used up: 3 x 6 x 40 x 2 x 2 sprites."""
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(sprites, "POSITIONS", np.array([0.0, 1.0]))


def splits(file: DatasetFile) -> dict[str, ContrastiveDataset]:
    return {"train": file.read("train"), "test": file.read("test")}


def grey(population: Population) -> np.ndarray:
    """uint8 (n, height, width)."""
    images = population.images.numpy()
    assert images.shape[1] == 1
    return images[:, 0]


def cells(images: np.ndarray, quadrant: str) -> np.ndarray:
    row, column, _ = PLACES[quadrant]
    return images[:, row : row + 32, column : column + 32]


def in_cell(digit: np.ndarray) -> np.ndarray:
    """uint8 (32, 32): a digit of 28 x 28 with two black pixels on each side."""
    return np.pad(digit, 2)


def drawn(population: Population) -> np.ndarray:
    return sprites.render(*(population.attributes[name] for name in FACTORS))


def row_of_digit(digits: LabelledImages, images: np.ndarray) -> np.ndarray:
    """The row in the source of each cell (n, 32, 32) that shows a digit and nothing else."""
    rows = {digit.tobytes(): row for row, digit in enumerate(digits.images)}
    return np.array([rows[cell[2:30, 2:30].tobytes()] for cell in images])


@pytest.mark.parametrize("digits", BOTH_SOURCES)
@pytest.mark.parametrize("split", ["train", "test"])
class TestFixedGrid:
    def test_background_is_four_digits_of_that_split_and_nothing_else(
        self, build: Build, source, digits: str, split: str
    ) -> None:
        own = source(digits)[split == "test"]
        images = grey(splits(build(digits=digits))[split].background)
        expected = np.zeros_like(images)
        for quadrant, (row, column, _) in PLACES.items():
            for image, chosen in zip(expected, row_of_digit(own, cells(images, quadrant)), strict=True):
                image[row : row + 32, column : column + 32] = in_cell(own.images[chosen])

        np.testing.assert_array_equal(images, expected)

    def test_quadrants_show_one_two_three_and_four(self, build: Build, source, digits: str, split: str) -> None:
        own = source(digits)[split == "test"]
        images = grey(splits(build(digits=digits))[split].background)

        shown = {quadrant: set(own.labels[row_of_digit(own, cells(images, quadrant))]) for quadrant in PLACES}

        assert shown == {"top_left": {1}, "bottom_left": {2}, "top_right": {3}, "bottom_right": {4}}

    def test_thickness_and_slant_are_those_of_the_digit_shown(
        self, build: Build, source, digits: str, split: str
    ) -> None:
        own = source(digits)[split == "test"]
        background = splits(build(digits=digits))[split].background
        for quadrant in PLACES:
            shown = own.images[row_of_digit(own, cells(grey(background), quadrant))]

            np.testing.assert_array_equal(background.attributes[f"slant_{quadrant}"], strokes.slant(shown))
            np.testing.assert_array_equal(background.attributes[f"thickness_{quadrant}"], strokes.thickness(shown))

    def test_target_is_the_brighter_of_its_grid_and_its_sprite(
        self, build: Build, source, digits: str, split: str
    ) -> None:
        own = source(digits)[split == "test"]
        target = splits(build(digits=digits))[split].target
        images, sprite = grey(target), drawn(target)
        assert (images >= sprite).all()
        # Of every fifth image: the digits behind the sprite are those that agree with what it leaves to be seen.
        for quadrant, (_, _, digit) in PLACES.items():
            candidates = np.flatnonzero(own.labels == digit)
            pasted = np.pad(own.images[candidates], ((0, 0), (2, 2), (2, 2)))
            for row in range(0, len(images), 5):
                cell, over = cells(images[[row]], quadrant)[0], cells(sprite[[row]], quadrant)[0]
                fits = candidates[(np.maximum(pasted, over) == cell).all(axis=(1, 2))]

                assert target.attributes[f"slant_{quadrant}"][row] in strokes.slant(own.images[fits])
                assert target.attributes[f"thickness_{quadrant}"][row] in strokes.thickness(own.images[fits])


class TestRandomGrid:
    @pytest.mark.parametrize("digits", BOTH_SOURCES)
    @pytest.mark.parametrize("split", ["train", "test"])
    def test_attributes_are_the_classes_of_the_digits_shown(
        self, build: Build, source, digits: str, split: str
    ) -> None:
        own = source(digits)[split == "test"]
        background = splits(build(digits=digits, grid="random"))[split].background
        for quadrant in PLACES:
            shown = row_of_digit(own, cells(grey(background), quadrant))

            np.testing.assert_array_equal(background.attributes[f"digit_{quadrant}"], own.labels[shown])

    @pytest.mark.parametrize("split", ["train", "test"])
    def test_target_is_the_brighter_of_its_grid_and_its_sprite(self, build: Build, source, split: str) -> None:
        own = source("sklearn")[split == "test"]
        target = splits(build(digits="sklearn", grid="random"))[split].target
        images, sprite = grey(target), drawn(target)
        pasted = np.pad(own.images, ((0, 0), (2, 2), (2, 2)))
        for quadrant in PLACES:
            for row, digit in enumerate(target.attributes[f"digit_{quadrant}"]):
                cell, over = cells(images[[row]], quadrant)[0], cells(sprite[[row]], quadrant)[0]
                assert (np.maximum(pasted[own.labels == digit], over) == cell).all(axis=(1, 2)).any()

    def test_every_class_stands_in_every_quadrant(self, build: Build) -> None:
        train = splits(build(digits="sklearn", grid="random"))["train"]

        for quadrant in PLACES:
            assert set(train.background.attributes[f"digit_{quadrant}"]) == set(range(10))

    def test_quadrants_are_drawn_independently(self, build: Build) -> None:
        values = splits(build(digits="sklearn", grid="random"))["train"].background.attributes

        columns = [values[f"digit_{quadrant}"] for quadrant in PLACES]
        # Equal by chance in a tenth of 100 images; 3 standard deviations are 9 images.
        agree = [np.mean(columns[i] == columns[j]) for i in range(4) for j in range(i)]
        assert max(agree) < 0.2


class TestAttributes:
    def test_salient_are_the_five_factors_in_either_grid(self, build: Build) -> None:
        for grid in ("fixed", "random"):
            salient = [a for a in build(digits="sklearn", grid=grid).info.attributes if a.space == "salient"]

            assert [(a.name, a.kind, a.classes) for a in salient] == [
                ("shape", "class", ("square", "ellipse", "heart")),
                *((name, "real", ()) for name in FACTORS[1:]),
            ]

    def test_common_describe_each_quadrant(self, build: Build) -> None:
        common = {
            grid: [(a.name, a.kind) for a in build(digits="sklearn", grid=grid).info.attributes if a.space == "common"]
            for grid in ("fixed", "random")
        }

        assert common["fixed"] == [
            (f"{name}_{quadrant}", "real") for name in ("thickness", "slant") for quadrant in PLACES
        ]
        assert common["random"] == [(f"digit_{quadrant}", "class") for quadrant in PLACES]

    @pytest.mark.parametrize("grid", ["fixed", "random"])
    def test_salient_are_undefined_on_background_and_common_are_defined_everywhere(
        self, build: Build, grid: str
    ) -> None:
        file = build(digits="sklearn", grid=grid)
        for split in splits(file).values():
            for attribute in file.info.attributes:
                assert attribute.is_defined(split.target.attributes[attribute.name]).all()
                on_background = attribute.is_defined(split.background.attributes[attribute.name])
                assert on_background.all() if attribute.space == "common" else not on_background.any()

    def test_built_file_verifies(self, build: Build) -> None:
        build(digits="sklearn").verify()


class TestSprites:
    @pytest.mark.parametrize(("orientations", "values"), [("narrow", 10), ("all", 40)])
    def test_every_sprite_of_the_grid_is_used_once_and_in_one_split_alone(
        self, few_positions: None, orientations: str, values: int
    ) -> None:
        count = 3 * 6 * values * 2 * 2
        sizes = {"train_size": 2 * (count - 100), "test_size": 200}
        config = DSpritesConfig(digits="sklearn", grid="random", orientations=orientations, size=32, **sizes)

        both = [split.target.attributes for split in splits(DSprites(config).obtain(None)).values()]

        used = Counter(row for values in both for row in zip(*(values[name] for name in FACTORS), strict=True))
        # No turn and a full turn are two values of the grid that become one number, so that 0 occurs twice.
        assert used == {
            point: 2 if point[2] == 0 else 1
            for point in product(range(3), sprites.SCALES, {row[2] for row in used}, (0.0, 1.0), (0.0, 1.0))
        }
        assert used.total() == count

    def test_narrow_orientations_are_the_ten_of_the_card(self, few_positions: None) -> None:
        config = DSpritesConfig(train_size=1400, test_size=40, digits="sklearn", grid="random", size=32)
        both = splits(DSprites(config).obtain(None)).values()

        orientation = np.sort(np.concatenate([split.target.attributes["orientation"] for split in both]))

        assert np.abs(orientation).max() < np.pi / 4
        # 72 sprites for each of the ten grid values, all of the small grid's.
        np.testing.assert_allclose(orientation, np.repeat(np.sort(NARROW), 72), atol=5e-4)

    def test_all_orientations_go_round_from_minus_pi_to_pi(self, build: Build) -> None:
        train = splits(build(digits="sklearn", orientations="all", train_size=800))["train"]

        orientation = np.unique(train.target.attributes["orientation"].round(9))

        assert len(orientation) == 39
        assert -np.pi < orientation.min() < -3
        assert 3 < orientation.max() <= np.pi
        np.testing.assert_allclose(np.diff(orientation), 2 * np.pi / 39, atol=1e-6)

    def test_factors_stand_in_random_order(self, build: Build) -> None:
        target = splits(build(digits="sklearn"))["train"].target

        for name in FACTORS:
            values = target.attributes[name]
            # The correlation of 100 independent rows with their order stays below 4 / sqrt(100).
            assert abs(np.corrcoef(values, np.arange(len(values)))[0, 1]) < 0.4
            assert len(np.unique(values)) > 2


@pytest.mark.parametrize("digits", BOTH_SOURCES)
@pytest.mark.parametrize("grid", ["fixed", "random"])
def test_no_digit_image_stands_in_both_splits(build: Build, source, digits: str, grid: str) -> None:
    both = splits(build(digits=digits, grid=grid))

    shown = {
        name: {cell.tobytes() for quadrant in PLACES for cell in cells(grey(split.background), quadrant)}
        for name, split in both.items()
    }

    assert len(shown["train"]) > 100
    assert not shown["train"] & shown["test"]
    train, test = ({digit.tobytes() for digit in part.images} for part in source(digits))
    assert not train & test


class TestOptions:
    def test_size_32_holds_the_rounded_means_of_two_by_two_pixels(self, build: Build) -> None:
        large, small = (splits(build(digits="sklearn", size=size)) for size in (64, 32))
        for split, population in product(large, ("background", "target")):
            of_large, of_small = (getattr(both[split], population) for both in (large, small))
            images = grey(of_large)
            quarters = [images[:, row::2, column::2].astype(float) for row in (0, 1) for column in (0, 1)]

            np.testing.assert_array_equal(grey(of_small), np.floor(np.mean(quarters, axis=0) + 0.5))
            for name, values in of_large.attributes.items():
                np.testing.assert_array_equal(of_small.attributes[name], values)

    def test_digit_intensity_dims_digits_and_leaves_sprites_white(self, build: Build) -> None:
        bright, dim = (splits(build(digits="sklearn", digit_intensity=value)) for value in (1.0, 0.5))
        for split in bright:
            expected = np.rint(0.5 * grey(bright[split].background).astype(float))
            np.testing.assert_array_equal(grey(dim[split].background), expected)

            sprite = drawn(dim[split].target) > 0
            images = grey(dim[split].target)
            assert (images[sprite] == 255).all()
            assert images[~sprite].max() <= 128

    def test_digit_intensity_changes_no_attribute(self, build: Build) -> None:
        bright, dim = (splits(build(digits="sklearn", digit_intensity=value))["train"] for value in (1.0, 0.5))

        for name, values in bright.background.attributes.items():
            np.testing.assert_array_equal(dim.background.attributes[name], values)

    def test_source_of_the_digits_is_stated(self, build: Build) -> None:
        assert build(digits="sklearn").info.sources == ("scikit-learn digits",)

    @needs_data
    def test_mnist_is_stated(self, build: Build) -> None:
        assert build(digits="mnist").info.sources == ("MNIST",)

    @pytest.mark.parametrize(
        "fields",
        [
            {"size": 48},
            {"digits": "emnist"},
            {"grid": "none"},
            {"digit_size": 30},
            {"digit_intensity": 0.0},
            {"digit_intensity": 1.1},
            {"train_size": 3},
            {"test_size": 2},
            {"seed": -1},
            {"orientations": "wide"},
        ],
        ids=str,
    )
    def test_values_out_of_range_are_refused(self, fields: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match=next(iter(fields))):
            DSpritesConfig(**fields)


class TestDoubleInfoGAN:
    """Card B3b: larger digits at half intensity along the rows, sprites in all orientations."""

    FIELDS: ClassVar[dict[str, Any]] = {
        "grid": "fixed-by-rows",
        "digit_size": 32,
        "digit_intensity": 0.5,
        "orientations": "all",
    }

    @pytest.mark.parametrize("split", ["train", "test"])
    def test_background_is_the_grid_of_the_card(self, build: Build, source, split: str) -> None:
        own = source("sklearn")[split == "test"]
        images = grey(splits(build(digits="sklearn", **self.FIELDS))[split].background)
        labels = {}
        for digit, label in zip(own.images, own.labels, strict=True):
            scaled = np.asarray(Image.fromarray(digit).resize((32, 32), Image.Resampling.BILINEAR))
            labels[np.rint(0.5 * scaled.astype(float)).astype(np.uint8).tobytes()] = label
        # Corner of each cell and its digit, as the card gives them.
        for digit, (row, column) in {1: (0, 0), 2: (0, 32), 3: (32, 0), 4: (32, 32)}.items():
            shown = images[:, row : row + 32, column : column + 32]
            assert {labels[cell.tobytes()] for cell in shown} == {digit}

    def test_target_is_a_white_sprite_over_such_a_grid(self, build: Build) -> None:
        train = splits(build(digits="sklearn", **self.FIELDS))["train"]
        images, sprite = grey(train.target), drawn(train.target) > 0

        assert (images[sprite] == 255).all()
        assert images[~sprite].max() == grey(train.background).max() == 128  # half of 255, to the nearest even
        assert np.abs(train.target.attributes["orientation"]).max() > np.pi / 2

    def test_the_layout_moves_digits_and_nothing_else(self, build: Build) -> None:
        columns, rows = (
            splits(build(digits="sklearn", grid=grid))["train"].target.attributes for grid in ("fixed", "fixed-by-rows")
        )

        for name in FACTORS:
            np.testing.assert_array_equal(columns[name], rows[name])

    def test_the_paper_profile_names_it(self) -> None:
        builder = ResolvedProfile(load_profile("paper")).dataset("dsprites_double_infogan")

        config = builder.config.to_dict()
        assert {name: config[name] for name in self.FIELDS} == self.FIELDS
        assert (config["size"], config["digits"]) == (64, "mnist")
        # Card B3b: of 737,280 sprites about 73,700 in training, 7,000 to evaluate on, and as many backgrounds.
        assert config["train_size"] == 2 * 737_280 // 10
        assert config["test_size"] == 2 * 7_000


class TestReproducible:
    def test_published_records_are_of_what_is_built_today(self, tmp_path: Path, monkeypatch) -> None:
        published = ResultsStore(Path(cabench.__file__).parent.parent / "results" / "published").records()
        stored = {
            record.dataset["content_sha256"]: record.dataset["config"]
            for record in published
            if record.dataset["name"] == "dsprites"
        }
        if not stored:
            pytest.skip("the package is installed, its published records are not here")
        monkeypatch.setenv("CABENCH_CACHE", str(tmp_path))
        for content, config in stored.items():
            # Configurations may lack the fields that came later, whose defaults must leave the content as it was.
            for given in (config, {name: value for name, value in config.items() if name != "digit_size"}):
                file = DSprites(DSpritesConfig.from_mapping(given)).obtain(None)
                assert file.info.content_sha256 == content

    def test_same_configuration_gives_the_same_content(
        self, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = build(digits="sklearn")
        monkeypatch.setenv("CABENCH_CACHE", str(tmp_path))
        again = DSprites(DSpritesConfig(train_size=200, test_size=120, digits="sklearn")).obtain(None)

        assert again.path != first.path
        assert again.info.content_sha256 == first.info.content_sha256

    def test_another_seed_gives_other_digits_and_other_sprites(self, build: Build) -> None:
        first, other = (build(digits="sklearn", seed=seed) for seed in (0, 1))

        assert first.info.content_sha256 != other.info.content_sha256
        for split, one in splits(first).items():
            two = splits(other)[split]
            assert (grey(one.background) != grey(two.background)).any(axis=(1, 2)).all()
            assert (one.target.attributes["position_x"] != two.target.attributes["position_x"]).any()

    def test_both_splits_and_both_populations_draw_digits_of_their_own(self, build: Build) -> None:
        both = splits(build(digits="sklearn", grid="random")).values()

        columns = [
            getattr(split, name).attributes["digit_top_left"][:60] for split in both for name in split._fields[1:]
        ]

        assert len({column.tobytes() for column in columns}) == 4


class TestDefaults:
    def test_are_those_of_the_card(self) -> None:
        config = DSpritesConfig()

        assert (config.train_size, config.test_size, config.size) == (50_000, 5_000, 64)
        assert (config.digits, config.grid, config.digit_intensity) == ("mnist", "fixed", 1.0)
        assert (config.orientations, config.digit_size) == ("narrow", 28)

    def test_declare_halves_of_25000_and_2500_and_as_many_sprites(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # The builder's own steps with drawing and measuring left out.
        digits = LabelledImages(np.ones((10, 28, 28), np.uint8), np.arange(10))
        monkeypatch.setattr(IdxFiles, "read", lambda self, source: (digits, digits))
        monkeypatch.setattr(sprites, "render", lambda *factors: np.zeros((len(factors[0]), 64, 64), np.uint8))
        monkeypatch.setattr(dsprites, "thickness", lambda images: np.zeros(len(images)))
        monkeypatch.setattr(dsprites, "slant", lambda images: np.zeros(len(images)))
        writer = CountingWriter()

        DSprites().build([Source("MNIST")], writer)

        assert writer.declared == {"train": (50_000, (1, 64, 64)), "test": (5_000, (1, 64, 64))}
        assert writer.images == {
            ("train", False): 25_000,
            ("train", True): 25_000,
            ("test", False): 2_500,
            ("test", True): 2_500,
        }
        assert writer.sprites == {"train": 25_000, "test": 2_500}


class CountingWriter:
    """Stands in for a data set's writer and counts what it is given."""

    def __init__(self) -> None:
        self.declared: dict[str, tuple[int, tuple[int, ...]]] = {}
        self.images: Counter[tuple[str, bool]] = Counter()
        self.sprites: Counter[str] = Counter()

    def split(self, name: str, rows: int, image_shape: tuple[int, ...], attributes: object) -> CountingWriter:
        self.declared[name] = (rows, image_shape)
        self._name = name
        return self

    def append(self, images: np.ndarray, is_target: bool, attributes: dict[str, np.ndarray]) -> None:
        self.images[self._name, is_target] += len(images)
        self.sprites[self._name] += len(attributes.get("shape", ()))

    def __enter__(self) -> CountingWriter:
        return self

    def __exit__(self, *error: object) -> None:
        pass


class TestTooManySprites:
    def test_more_than_the_grid_holds_are_refused_and_leave_nothing_behind(self, few_positions: None) -> None:
        config = DSpritesConfig(train_size=1402, test_size=40, digits="sklearn")

        with pytest.raises(UserError, match="721 different sprites, but there are 720"):
            DSprites(config).obtain(None)

        assert list(cache_folder().rglob("*.h5")) == []

    def test_refusal_is_an_error_for_users(self, few_positions: None) -> None:
        config = DSpritesConfig(train_size=1402, test_size=40, digits="sklearn")

        with pytest.raises(UserError, match="train_size"):
            DSprites(config).obtain(None)


def test_odd_sizes_are_refused_or_kept(build: Build) -> None:
    try:
        counts = build(digits="sklearn", train_size=201).info.counts["train"]
    except UserError:
        return
    assert sum(counts.values()) == 201
