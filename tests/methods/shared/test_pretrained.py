"""Weights that ResNet-18 encoders start from: what is loaded and when, which files are taken, and what is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cabench.conformance import context
from cabench.data.dataset import Attribute, ContrastiveDataset, DataForm, Population
from cabench.discovery import method_class
from cabench.errors import StopRequested, UserError
from cabench.experiment.identity import method_entry
from cabench.hardening.stopping import StopFlag
from cabench.method import NetworkMethod
from cabench.methods.shared import pretrained
from cabench.saving import load_method, save_method

pytestmark = pytest.mark.usefixtures("torchvision")

METHODS = ["sepclr", "sepclr_supervised", "simclr", "supervised", "random_encoder"]
ROWS, SIZE = 6, 64
DIGIT = Attribute("digit", "salient", "class", ("zero", "one"))


def named(content: bytes, folder: Path, stem: str = "mine") -> Path:
    path = folder / f"{stem}-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    path.write_bytes(content)
    return path


def saved(content: object, folder: Path) -> Path:
    torch.save(content, folder / "unnamed.pth")
    return named((folder / "unnamed.pth").read_bytes(), folder)


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """A ResNet-18 of torchvision's with 1000 classes, and with statistics as training leaves them."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    network = resnet18()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network


@pytest.fixture(scope="module")
def weights(trained: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(trained.state_dict(), tmp_path_factory.mktemp("weights"))


def configured(name: str, start: Path | str, **fields: object) -> NetworkMethod:
    kind = method_class(name)
    known: dict[str, Any] = {
        **{"encoder": "standard_resnet18", "weights": str(start), "epochs": 1, "batch_size": 8, "crop_size": 0},
        **{"saturation": 0.0, "hue": 0.0, "grey": 0.0},
    }
    fields = {key: value for key, value in (known | fields).items() if key in kind.Config.field_names()}
    method = kind(kind.Config.from_mapping(fields))
    assert isinstance(method, NetworkMethod)
    return method


@pytest.fixture
def images(planted_info) -> Callable[..., ContrastiveDataset]:
    """Makes a training split of noise, with a digit on targets."""

    def make(channels: int = 3, size: int = SIZE) -> ContrastiveDataset:
        shape = (channels, size, size)
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randint(256, (2, ROWS, *shape), dtype=torch.uint8, generator=generator)
        info = dataclasses.replace(planted_info, image_shape=shape, attributes=(DIGIT,))
        parts = [Population(half, {"digit": np.arange(ROWS) % 2}) for half in pixels]
        return ContrastiveDataset(info, *parts)

    return make


def encoders(method: NetworkMethod) -> list[nn.Module]:
    from torchvision.models import ResNet

    return [module for module in method.network.modules() if isinstance(module, ResNet)]


def drawn(method: NetworkMethod, data: ContrastiveDataset) -> dict[str, torch.Tensor]:
    """What a method's network is before it starts from anything."""
    plain = type(method)(dataclasses.replace(method.config, weights=""))
    plain.prepare(data.info.form, torch.device("cpu"), context().randomness.initialisation())
    return plain.network.state_dict()


def fit_but_not_train(method: NetworkMethod, data: ContrastiveDataset) -> None:
    """Fit with steps that do nothing, so that the network is left as the first step finds it."""
    method.training_step = lambda *given: {"total": torch.zeros(())}  # type: ignore[attr-defined]
    method.fit(data, context())


# What is loaded


@pytest.mark.parametrize("name", METHODS)
def test_every_encoder_starts_from_the_weights_and_all_else_is_drawn(
    name: str, images: Callable[..., ContrastiveDataset], trained: nn.Module, weights: Path
) -> None:
    data, method = images(), configured(name, weights)
    method.check(data.info)
    fit_but_not_train(method, data)

    before, after = drawn(method, data), method.network.state_dict()
    assert len(encoders(method)) == (1 if name == "simclr" else 2)
    loaded = set()
    for prefix, module in method.network.named_modules():
        if module in encoders(method):
            for key, tensor in trained.state_dict().items():
                if not key.startswith("fc."):
                    loaded.add(f"{prefix}.{key}")
                    assert torch.equal(after[f"{prefix}.{key}"], tensor), key
    assert all(torch.equal(after[key], before[key]) for key in set(after) - loaded)
    assert any(key.endswith("fc.weight") for key in set(after) - loaded)


def test_grey_images_are_seen_as_in_three_channels(trained: nn.Module, weights: Path) -> None:
    grey, colour = (configured("supervised", weights) for _ in range(2))
    outputs = []
    shades = torch.rand(4, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    for method, channels in ((grey, 1), (colour, 3)):
        form = DataForm((channels, SIZE, SIZE), (DIGIT,))
        method.prepare(form, torch.device("cpu"), torch.Generator().manual_seed(0))
        pretrained.start_pretrained(method.network, method.config)  # type: ignore[arg-type]
    for one, other in zip(encoders(grey), encoders(colour), strict=True):
        one.fc.load_state_dict(other.fc.state_dict())
        for training in (False, True):
            outputs.append((one.train(training)(shades), other.train(training)(shades.expand(-1, 3, -1, -1))))
    for ours, theirs in outputs:
        assert theirs.std() > 0.01
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_weights_of_a_grey_network_fit_grey_images_alone(
    images: Callable[..., ContrastiveDataset], trained: nn.Module, tmp_path: Path
) -> None:
    state = trained.state_dict()
    state["conv1.weight"] = state["conv1.weight"][:, :1].clone()
    path = saved(state, tmp_path)
    method = configured("random_encoder", path)
    method.fit(images(1), context())
    assert all(torch.equal(encoder.conv1.weight, state["conv1.weight"]) for encoder in encoders(method))
    with pytest.raises(UserError, match=r"conv1\.weight"):
        method.fit(images(3), context())


def test_weights_without_a_head_or_counts_of_batches_are_taken(
    images: Callable[..., ContrastiveDataset], trained: nn.Module, tmp_path: Path
) -> None:
    """Older files have no counts: torch adds them where a state dict carries no version."""
    state = {
        key: value
        for key, value in trained.state_dict().items()
        if not key.startswith("fc.") and not key.endswith("num_batches_tracked")
    }
    method = configured("random_encoder", saved(state, tmp_path))
    method.fit(images(), context())
    for encoder in encoders(method):
        assert torch.equal(encoder.layer4[1].bn2.running_var, state["layer4.1.bn2.running_var"])


# When it is loaded


def test_training_starts_from_the_weights_and_goes_on_without_them(
    images: Callable[..., ContrastiveDataset], weights: Path, tmp_path: Path
) -> None:
    data, copy = images(1, 32), shutil.copy(weights, tmp_path)
    pixels = data.target.images / 255

    def fitted(start: Path | str, folder: Path | None = None, stop_at: float = 2.0) -> NetworkMethod:
        class Reporter:
            def advanced(self, epoch: int, epochs: int, fraction: float, images_per_s: float) -> None:
                stop.requested = fraction >= stop_at

        stop, method = StopFlag(), configured("simclr", start, batch_size=4)
        method.fit(data, context(folder=folder, stop=stop, reporter=Reporter()))
        return method

    plain, warm = fitted(""), fitted(copy)
    with pytest.raises(StopRequested):
        fitted(copy, tmp_path, stop_at=0.6)
    save_method(warm, tmp_path / "saved.safetensors")
    Path(copy).unlink()
    resumed = fitted(copy, tmp_path)
    loaded = load_method(tmp_path / "saved.safetensors")

    assert not torch.allclose(plain.encode(pixels).salient, warm.encode(pixels).salient, atol=1e-2)
    for other in (resumed, loaded):
        assert other.config == warm.config
        assert all(map(torch.equal, other.encode(pixels), warm.encode(pixels)))


# ImageNet's weights


def published(content: bytes, address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Publishes weights at an address, in place of torchvision's. Gives the file's name."""
    name = f"resnet18-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    monkeypatch.setattr(pretrained, "IMAGENET_URL", address + name)
    return name


def test_the_published_weights_are_torchvisions_of_which_a_record_tells_the_hash(planted_info) -> None:
    from torchvision.models import ResNet18_Weights

    assert ResNet18_Weights.IMAGENET1K_V1.url == pretrained.IMAGENET_URL
    for asked in ("imagenet", "imagenet-f37072fd"):
        method = configured("sepclr", asked)
        assert method_entry(method, "sepclr")["config"]["weights"] == "imagenet-f37072fd"
        method.check(planted_info)  # without a look at the network


def test_imagenets_weights_are_downloaded_once_when_a_method_is_fitted(
    images: Callable[..., ContrastiveDataset],
    weights: Path,
    trained: nn.Module,
    server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path))
    name = published(weights.read_bytes(), server.address, monkeypatch)
    server.files[name] = weights.read_bytes()
    method = configured("random_encoder", "imagenet")
    method.check(images().info)
    assert not server.asked
    for _ in range(2):
        method.fit(images(), context())
    assert [asked for asked, _ in server.asked] == [name]
    assert all(torch.equal(encoder.conv1.weight, trained.conv1.weight) for encoder in encoders(method))


def test_without_network_the_error_says_where_to_put_the_file(
    images: Callable[..., ContrastiveDataset], weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path))
    name = published(weights.read_bytes(), "http://127.0.0.1:1/", monkeypatch)
    place, method = tmp_path / "sources" / "torchvision", configured("random_encoder", "imagenet")
    with pytest.raises(
        UserError, match=rf"resnet18 could not .*or get http://127\.0\.0\.1:1/{name} .*put it in {place}"
    ):
        method.fit(images(), context())
    shutil.copy(weights, place / name)
    method.fit(images(), context())


# What is refused


def test_what_is_neither_imagenet_nor_called_like_a_file_is_refused() -> None:
    for wrong in ("imagnet", "imagenet-00000000", "IMAGENET1K_V1", "weights.safetensors", "mine"):
        with pytest.raises(
            UserError, match=rf"simclr\.weights = '{wrong}' .* takes imagenet, or the path of a \.pth file"
        ):
            configured("simclr", wrong)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("encoder", ["small_image_resnet18", "small_conv"])
def test_other_encoders_are_refused_before_any_work(name: str, encoder: str, images, weights: Path) -> None:
    message = rf"{name}\.weights = .* standard_resnet18 alone, but {name}\.encoder is {encoder}; set .* or leave"
    for start in ("imagenet", weights, "absent.pth"):
        with pytest.raises(UserError, match=message):
            configured(name, start, encoder=encoder).check(images().info)


def test_tables_are_refused_with_weights_for_images(planted_table) -> None:
    with pytest.raises(UserError, match=r"supervised\.encoder is mlp; set"):
        configured("supervised", "imagenet", encoder="mlp").check(planted_table.info)


def test_a_file_that_is_missing_or_does_not_carry_its_hash_is_refused_before_any_work(
    images: Callable[..., ContrastiveDataset], weights: Path, tmp_path: Path
) -> None:
    wrong = [tmp_path / "mine.pth", tmp_path / "mine-01234567.pth", tmp_path / weights.name]
    for path in wrong:
        shutil.copy(weights, path)
    with wrong[2].open("r+b") as damaged:
        damaged.seek(10_000)
        damaged.write(b"?")
    for path in wrong[:2]:
        with pytest.raises(UserError, match=rf"Call it {weights.name}, or"):
            configured("sepclr", path).check(images().info)
    with pytest.raises(UserError, match="damaged or has another content"):
        configured("sepclr", wrong[2]).check(images().info)
    with pytest.raises(UserError, match="damaged or has another content"):
        configured("random_encoder", wrong[2]).fit(images(), context())  # damaged since it was checked
    with pytest.raises(UserError, match=r"absent\.pth cannot be read"):
        configured("sepclr", tmp_path / "absent.pth").check(images().info)


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


def test_what_holds_no_weights_of_the_network_is_refused_and_nothing_in_it_is_executed(
    images: Callable[..., ContrastiveDataset], weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.models import squeezenet1_1

    monkeypatch.chdir(tmp_path)
    cases = [
        (saved({"conv1.weight": Bomb()}, tmp_path), "cannot be read as weights"),
        (named(weights.read_bytes()[:100_000], tmp_path), "cannot be read as weights"),
        (
            saved(squeezenet1_1().state_dict(), tmp_path),
            r"does not hold the weights of torchvision's resnet18 .*layer1",
        ),
        (saved({"conv1.weight": torch.tensor(1.0)}, tmp_path), "does not hold the weights of torchvision's resnet18"),
        (saved({}, tmp_path), "does not hold the weights of torchvision's resnet18"),
    ]
    for path, message in cases:
        for channels in (1, 3):
            method = configured("random_encoder", path)
            method.check(images(channels).info)
            with pytest.raises(UserError, match=message):
                method.fit(images(channels), context())
    assert not Path("executed").exists()


# Records


@pytest.mark.parametrize("name", METHODS)
def test_a_configuration_without_weights_is_what_it_was_before_there_were_any(name: str, weights: Path) -> None:
    plain = configured(name, "").config
    assert {"weights", "vertical_flip"} & set(plain.to_dict()) == set()
    assert configured(name, weights).config.to_dict() == {**plain.to_dict(), "weights": str(weights)}
