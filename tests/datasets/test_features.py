"""Features of images: their values, what is copied from the data set of images, keys, and what is refused."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal as signals
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from cabench.config import Settings
from cabench.data.builder import DatasetBuilder
from cabench.data.dataset import Attribute
from cabench.data.file import DatasetFile
from cabench.data.sources import Source
from cabench.datasets.features import Features, FeaturesConfig
from cabench.datasets.sources import extraction
from cabench.discovery import Plugin, loadable_methods, plugins
from cabench.errors import UserError
from cabench.experiment.request import ResolvedProfile, check_method
from cabench.profiles import load_profile, profile_names

SIZE = 64
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
DEAD, CONSTANT = 0, 1  # channels of the network below
ATTRIBUTES = (
    Attribute("object", "common", "class", ("cat", "dog")),
    Attribute("age", "common", "real"),
    Attribute("lesion", "salient", "class", ("small", "large")),
)
COUNTS = {"train": (45, 70), "test": (20, 33), "validation": (5, 8)}  # no multiples of a batch


class Photographs(DatasetBuilder):
    """Random colour images in three splits, with names and groups, background and target in turn."""

    name = "photographs"
    version = 1
    Config = Settings

    def locate(self, root):
        return [Source("random values")]

    def build(self, sources, writer):
        writer.note("These are no photographs.")
        generator = np.random.default_rng(0)
        for split, counts in COUNTS.items():
            flags = generator.permutation(np.repeat([False, True], counts))
            with writer.split(split, len(flags), (3, 20, 30), ATTRIBUTES) as out:
                for row, is_target in enumerate(flags):
                    values = {"object": generator.integers(0, 2, 1), "age": generator.normal(size=1)}
                    if is_target:
                        values["lesion"] = generator.integers(0, 2, 1)
                    darkest, brightest = np.sort(generator.integers(0, 256, (2, 1, 3, 1, 1)), axis=0)
                    image = generator.integers(darkest, brightest + 1, (1, 3, 20, 30)).astype(np.uint8)
                    out.append(image, is_target, values, [f"{split} {row}"], [f"patient {row // 3}"])


@pytest.fixture(autouse=True)
def photographs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> DatasetFile:
    """Makes them known by name, in a cache of the test's own."""
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "photographs", sys.modules[Photographs.__module__])
    known = Plugin(Photographs.name, "photographs", Photographs.__name__, "random images")
    monkeypatch.setitem(plugins("datasets"), Photographs.name, known)
    return Photographs().obtain(None)


@pytest.fixture(scope="session")
def network() -> nn.Module:
    """SqueezeNet with random weights; one channel of its last map is always 0, another always 3."""
    from torchvision.models import get_model

    torch.manual_seed(0)
    model = get_model("squeezenet1_1", weights=None).eval()
    last = model.features[12].expand1x1
    with torch.no_grad():
        last.bias[DEAD] = -1e3
        last.weight[CONSTANT] = 0
        last.bias[CONSTANT] = 3
    return model


@pytest.fixture(scope="session")
def weights(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    torch.save(network.state_dict(), path)
    return path


def features(file: Path, **changes: object) -> Features:
    fields = {"of": "photographs", "backbone": "squeezenet1_1", "weights_path": str(file), "size": SIZE}
    return Features(FeaturesConfig(**{**fields, **changes}))


def expected_features(network: nn.Module, images: np.ndarray) -> np.ndarray:
    """The whole split at once, float64 where it matters: torchvision's scaling, a hook at the last map, its mean."""
    from torchvision.transforms.v2 import functional

    maps: list[torch.Tensor] = []
    with network.features.register_forward_hook(lambda module, given, output: maps.append(output)):
        scaled = functional.resize(torch.from_numpy(images).float() / 255, [SIZE, SIZE], antialias=True).numpy()
        normal = (scaled - MEAN[:, None, None]) / DEVIATION[:, None, None]
        with torch.inference_mode():
            network(torch.from_numpy(normal.astype(np.float32)))
    return maps[0].double().mean((2, 3)).numpy()


# Values


def test_rows_are_standardised_features_background_first_with_all_else_copied(
    photographs: DatasetFile, network: nn.Module, weights: Path
) -> None:
    file = features(weights).obtain(None)

    file.verify()
    assert file.info.is_table
    assert file.info.non_negative, "the network ends in a ReLU"
    assert file.info.attributes == ATTRIBUTES
    with h5py.File(photographs.path) as images, h5py.File(file.path) as table:
        assert set(table) == set(COUNTS)
        orders = {split: np.argsort(images[split]["is_target"][:], kind="stable") for split in COUNTS}
        raw = {split: expected_features(network, images[split]["images"][:][orders[split]]) for split in COUNTS}
        mean, deviation = raw["train"].mean(0), raw["train"].std(0)
        constant = deviation <= 1e-6 * mean
        assert constant[[DEAD, CONSTANT]].all()
        assert constant.sum() < 200
        np.testing.assert_allclose(mean[[DEAD, CONSTANT]], [0, 3])
        deviation[constant] = np.inf
        for split, order in orders.items():
            ours, theirs = table[split], images[split]
            assert ours["features"].dtype == np.float32
            np.testing.assert_allclose(ours["features"][:], (raw[split] - mean) / deviation, atol=2e-3)
            assert (ours["features"][:, constant] == 0).all()
            np.testing.assert_allclose(ours["mean"][:], mean, atol=1e-5)
            np.testing.assert_allclose(ours["scale"][:], 1 / deviation, rtol=1e-3)
            assert ours["is_target"][:].tolist() == theirs["is_target"][:][order].tolist()
            for column in ("names", "groups"):
                assert ours[column].asstr()[:].tolist() == theirs[column].asstr()[:][order].tolist()
            for attribute in ATTRIBUTES:
                values = theirs["attributes"][attribute.name][:][order]
                np.testing.assert_array_equal(ours["attributes"][attribute.name][:], values)
        np.testing.assert_allclose(table["train"]["features"][:].mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(table["train"]["features"][:].std(0)[~constant], 1, atol=1e-5)


def test_grey_images_are_taken_too(network: nn.Module, weights: Path) -> None:
    file = features(weights, of="planted", of_config='{"repeats":1}').obtain(None)
    with h5py.File(Planted(repeats=1).path) as images, h5py.File(file.path) as table:
        raw = expected_features(network, images["train"]["images"][:].repeat(3, axis=1))
        deviation = raw.std(0)
        deviation[deviation <= 1e-6 * raw.mean(0)] = np.inf
        np.testing.assert_allclose(table["train"]["features"][:], (raw - raw.mean(0)) / deviation, atol=5e-3)


def test_features_below_0_are_not_called_non_negative(tmp_path: Path) -> None:
    from torchvision.models import get_model

    torch.manual_seed(0)
    path = tmp_path / "mobilenet.pth"
    torch.save(get_model("mobilenet_v3_small", weights=None).state_dict(), path)  # ends in a hard swish
    file = features(path, backbone="mobilenet_v3_small").obtain(None)
    scale = file.read_scale()
    assert ((file.read("train").target.images.double() / scale.scale.clamp(min=1e-9) + scale.mean) < 0).any()
    assert not file.info.non_negative


def Planted(**fields: int) -> DatasetFile:  # noqa: N802
    from cabench.datasets import planted

    return planted.Planted(planted.PlantedConfig(**fields)).obtain(None)


def test_the_bits_do_not_depend_on_the_number_of_cores_and_threads(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = set()
    for cores, threads in ((1, 1), (2, 1), (5, 2)):
        monkeypatch.setattr(extraction, "_cores", lambda cores=cores: cores)
        torch.set_num_threads(threads)
        try:
            file = features(weights).write(tmp_path / f"of_{cores}.h5", None)
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(1)
        found.add(file.info.content_sha256)
    assert len(found) == 1


def test_the_file_says_which_network_made_it_and_how(photographs: DatasetFile, weights: Path) -> None:
    info = features(weights).obtain(None).info

    ((_, entry),) = [features(weights).locate(None)]
    sha256 = entry.provenance()[0]["sha256"]
    assert info.sources == ("photographs (random values)", "squeezenet1_1 (squeezenet.pth)")
    assert info.config["backbone"] == "squeezenet1_1"
    own, made = info.notes
    assert own == "These are no photographs."
    assert f"squeezenet1_1, weights of SHA-256 {sha256}" in made
    assert "scaled to 64 x 64 by antialiased bilinear interpolation" in made
    assert "less (0.485, 0.456, 0.406) divided by (0.229, 0.224, 0.225)" in made


def test_the_file_does_not_say_where_images_and_weights_are(
    photographs: DatasetFile, weights: Path, tmp_path: Path
) -> None:
    """Nor where the images were built from, as files of older caches say."""
    (tmp_path / "jane").mkdir()
    own = Path(shutil.copy(photographs.path, tmp_path / "jane" / "own.h5"))
    with h5py.File(own, "r+") as stored:
        stored.attrs["sources"] = json.dumps([{"title": "scans", "path": "/home/jane/scans"}])
    origin = {"of": "file", "of_config": json.dumps({"path": str(own)})}
    kept = Path(shutil.copy(weights, tmp_path / "jane" / "weights.pth"))
    content = features(kept, **origin).write(tmp_path / "features.h5", None).path.read_bytes()
    assert b"own.h5" in content
    assert b"weights.pth" in content
    assert b"jane" not in content


# Keys


def test_it_is_found_once_it_is_built_and_depends_on_images_and_weights(
    photographs: DatasetFile, network: nn.Module, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = features(weights)
    assert builder.find(None) is None
    built = builder.obtain(None)
    assert builder.find(None) == builder.obtain(None) == built

    others = weights.with_name("others.pth")
    torch.save({**network.state_dict(), "features.0.bias": torch.zeros(64)}, others)
    assert features(others).find(None) is None

    monkeypatch.setattr(Photographs, "version", 2)
    assert builder.find(None) is None
    assert builder.obtain(None).path == built.path  # equal images built anew


def test_finding_builds_no_images(weights: Path, photographs: DatasetFile) -> None:
    photographs.path.unlink()
    assert features(weights).find(None) is None
    assert not photographs.path.exists()


# Profiles


def test_a_profile_gives_the_images_their_configuration() -> None:
    quick = ResolvedProfile(load_profile("quick"), {"dsprites": {"size": 64}})
    config = quick.dataset("dsprites_features").config

    assert config.of == "dsprites"
    assert json.loads(config.of_config) == quick.dataset("dsprites").config.to_dict()
    assert json.loads(config.of_config)["size"] == 64
    paper = ResolvedProfile(load_profile("paper"), {"features": {"of": "cifar_mnist_published_split"}})
    assert json.loads(paper.dataset("features").config.of_config)["test_split"] == "paper"


def test_a_file_of_ones_own_can_be_named(photographs: DatasetFile, weights: Path) -> None:
    fields = {"of": str(photographs.path), "backbone": "squeezenet1_1", "weights_path": str(weights), "size": SIZE}
    builder = ResolvedProfile(load_profile("quick"), {"features": fields}).dataset("features")

    assert builder.obtain(None).info.content_sha256 == features(weights).obtain(None).info.content_sha256


@pytest.mark.parametrize(
    ("of", "message"),
    [
        ("dsprites_features", "made of dsprites_features, which is made of another data set itself"),
        ("features", "made of another data set itself"),
        ("dspritez", "Unknown data set 'dspritez'; did you mean 'dsprites'"),
        (3, "int is no data set"),
        ("absent.h5", r"no data set file absent\.h5"),
    ],
)
def test_what_features_cannot_be_made_of_is_refused(of: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ResolvedProfile(load_profile("quick"), {"features": {"of": of}}).dataset("features")


@pytest.mark.parametrize("profile", profile_names())
def test_every_method_that_takes_tables_has_settings_for_features(
    profile: str, weights: Path, planted_table: DatasetFile
) -> None:
    resolved = ResolvedProfile(load_profile(profile))
    taken = {"tables", "non-negative"}
    able = [method.name for method in loadable_methods() if taken & set(method.takes) and method.name != "oracle"]
    assert len(able) > 20
    counts = {split: {"background": 1000, "target": 1000} for split in ("train", "test")}
    info = replace(planted_table.info, image_shape=(1280,), counts=counts, non_negative=True)
    for name in able:
        check_method(resolved.method(name, "cifar_mnist_features"), info)


# Refusals


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"of": ""}, "'features' stands for the features of another data set"),
        ({"of": "photograph"}, "Unknown data set 'photograph'; did you mean 'photographs'"),
        ({"of_config": "[1]"}, r"features\.of_config is no JSON object"),
        ({"of_config": '{"a": 1}'}, "Unknown field"),
        ({"of": "planted_table"}, "planted_table .* holds a table of 40 features; .* images alone"),
        ({"backbone": "squeezenet"}, "Unknown backbone 'squeezenet'; did you mean 'squeezenet1_"),
        ({"backbone": "shufflenet_v2_x0_5"}, r"squeezenet\.pth does not hold the weights of shufflenet_v2_x0_5"),
        ({"size": 8}, "squeezenet1_1 takes no images of 8 x 8"),
        ({"weights_path": "absent.pth"}, r"no weights file absent\.pth"),
        ({"device": "cuda"}, "no CUDA device here; choose cpu"),
    ],
)
def test_what_cannot_be_built_is_refused_and_leaves_nothing(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], message: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    known = Plugin("planted_table", "conftest_table", "PlantedTable", "a planted table")
    monkeypatch.setitem(sys.modules, "conftest_table", sys.modules["tests.conftest"])
    monkeypatch.setitem(plugins("datasets"), "planted_table", known)

    with pytest.raises(UserError, match=message):
        features(weights, **changes).write(tmp_path / "out.h5", None)

    assert not list(tmp_path.glob("*out*"))


def test_weights_that_give_no_finite_numbers_are_refused(network: nn.Module, tmp_path: Path) -> None:
    state = network.state_dict()
    torch.save({**state, "features.0.bias": torch.full_like(state["features.0.bias"], torch.nan)}, tmp_path / "nan.pth")
    with pytest.raises(UserError, match="features that are not finite numbers; its weights are damaged"):
        features(tmp_path / "nan.pth").write(tmp_path / "out.h5", None)
    assert not list(tmp_path.glob("*out*"))


# The command line


def test_the_command_writes_a_data_set_that_runs_take(cabench_here, weights: Path, tmp_path: Path) -> None:
    asked = ("data", "features", "planted", "--output", "mine.h5", "--backbone", "squeezenet1_1")
    asked += ("--weights", str(weights), "--size", "64", "--set", "planted.repeats=1")
    done = cabench_here(*asked)
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        0,
        "mine.h5: 512 features, 450 rows (train), 450 rows (test)",
    ), done.stderr
    assert "Computing features of planted: 0 of 900" in done.stderr
    config = DatasetFile.open(tmp_path / "mine.h5").info.config
    assert json.loads(str(config["of_config"]))["repeats"] == 1

    before = (tmp_path / "mine.h5").read_bytes()
    again = cabench_here(*asked)
    assert again.returncode == 2
    assert "mine.h5 exists already; give --force to replace it, or choose another --output." in again.stderr
    assert (tmp_path / "mine.h5").read_bytes() == before
    assert cabench_here(*asked, "--force").stdout == done.stdout

    table = cabench_here("data", "features", "mine.h5", "--output", "twice.h5")
    assert table.returncode == 2
    assert "holds a table of 512 features" in table.stderr
    ran = cabench_here("run", "--methods", "cpca", "--datasets", "mine.h5", "--seeds", "0", "--no-controls")
    assert ran.returncode == 0, ran.stderr


def test_a_variant_of_a_profile_is_run_and_evaluated_from_its_record_alone(
    cabench_here, weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text(
        'extends = "quick"\n[datasets.planted]\nrepeats = 1\n[variants.planted_features]\ndataset = "features"\n'
        f'of = "planted"\nbackbone = "squeezenet1_1"\nweights_path = "{weights}"\nsize = 64\n'
    )
    asked = ("--profile", "mine.toml", "--methods", "pca", "--datasets", "planted_features", "--seeds", "0")
    asked += ("--no-controls",)
    plan = cabench_here("plan", *asked)
    assert "data set not built" in plan.stdout, plan.stderr
    ran = cabench_here("run", *asked)
    assert ran.returncode == 0, ran.stderr
    assert "Building data set planted_features" in ran.stderr
    (record,) = (tmp_path / "results" / "runs").rglob("record.json")
    kept = json.loads(record.read_text())
    kept["contributions"] = None  # as if it had been measured by an older evaluation
    record.write_text(json.dumps(kept))
    assert cabench_here("evaluate").returncode == 0
    assert "done" in cabench_here("plan", *asked).stdout


@pytest.mark.parametrize("signal", [signals.SIGTERM, signals.SIGKILL])
def test_a_build_that_is_ended_leaves_nothing(
    start_cabench, weights: Path, tmp_path: Path, signal: signals.Signals
) -> None:
    asked = ("data", "features", "planted", "--output", "mine.h5", "--backbone", "squeezenet1_1")
    asked += ("--weights", weights, "--set", "planted.repeats=1", "--size", 512)
    process = start_cabench(tmp_path, *asked, CABENCH_CACHE=str(tmp_path / "cache"))
    while not writes_in(tmp_path, process.pid):
        assert not process.ended(0.01)
    process.send_signal(signal)
    process.communicate()
    assert process.returncode != 0
    assert not list(tmp_path.glob("*mine*"))


def writes_in(folder: Path, pid: int) -> bool:
    """Whether a process holds a file without a name open in a folder."""
    with contextlib.suppress(OSError):  # files are closed meanwhile
        links = [handle.readlink() for handle in Path(f"/proc/{pid}/fd").iterdir()]
        return any(link.parent == folder and link.name.endswith("(deleted)") for link in links)
    return False
