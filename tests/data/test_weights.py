"""Weights in files: which names are taken, what is read, and what a network keeps. See also the tests of backbones."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from cabench.data.weights import MisfitError, check_digits, load_but_head, obtain_published, read_weights
from cabench.errors import UserError

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
DIGITS = SHA256[:8]


def file(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(CONTENT)
    return path


# Names


@pytest.mark.parametrize(
    "name", [f"mine-{DIGITS}.pth", f"my-own-{SHA256[:20]}.pth", f"-{SHA256}.pth", f"x-{DIGITS}.pt"]
)
def test_a_name_that_ends_in_digits_of_the_content_is_taken(name: str, tmp_path: Path) -> None:
    check_digits(file(tmp_path, name))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("mine.pth", f"mine-{DIGITS}.pth"),
        ("mine-v2.pth", f"mine-v2-{DIGITS}.pth"),
        (f"mine{DIGITS}.pth", f"mine{DIGITS}-{DIGITS}.pth"),
        (f"mine-{SHA256[:7]}.pth", f"mine-{SHA256[:7]}-{DIGITS}.pth"),
        (f"mine-{DIGITS.upper()}.pth", f"mine-{DIGITS.upper()}-{DIGITS}.pth"),
        ("mine-0123abcd.pth", f"mine-{DIGITS}.pth"),
        (f"mine-{DIGITS}0.pth", f"mine-{DIGITS}.pth"),
    ],
)
def test_another_name_is_refused_with_the_one_it_should_have(name: str, wanted: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        check_digits(file(tmp_path, name))
    assert f"Call it {wanted}, or get it again" in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_a_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    path = file(tmp_path, f"mine-{DIGITS}.pth")
    check_digits(path)
    path.write_bytes(CONTENT + b"!")
    with pytest.raises(UserError, match="is damaged or has another content than its name says"):
        check_digits(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe-0123abcd.pth")
    for path in (tmp_path, tmp_path / "absent.pth", tmp_path / "pipe-0123abcd.pth"):
        with pytest.raises(UserError, match=rf"{path.name} cannot be read .*name a file that is there"):
            check_digits(path)


def test_a_published_file_that_is_there_is_not_asked_for(
    server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path))
    server.files[f"net-{DIGITS}.pth"] = CONTENT
    for _ in range(2):
        path = obtain_published("net", f"{server.address}net-{DIGITS}.pth", "put it there")
        check_digits(path)
    assert path == tmp_path / "sources" / "torchvision" / f"net-{DIGITS}.pth"
    assert len(server.asked) == 1


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path))
    (tmp_path / "sources").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"net could not be downloaded .*sources.* elsewhere and put it there"):
        obtain_published("net", f"http://127.0.0.1:1/net-{DIGITS}.pth", "put it there")


# Contents


def test_names_that_are_no_texts_are_no_state_dict(tmp_path: Path) -> None:
    for content in ({1: torch.zeros(1)}, [torch.zeros(1)], torch.zeros(1), {"a": 1}):
        torch.save(content, tmp_path / "mine.pth")
        with pytest.raises(UserError, match="holds no state dict"):
            read_weights(tmp_path / "mine.pth")


def net(width: int = 3, classes: int = 2) -> nn.Module:
    return nn.ModuleDict(
        {"body": nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width)), "fc": nn.Linear(3, classes)}
    )


@pytest.mark.parametrize(
    "others", [{}, {"fc.weight": torch.zeros(7, 9), "fc.bias": torch.zeros(7), "fc.more": torch.ones(1)}]
)
def test_all_but_the_head_is_loaded_whatever_head_the_weights_have(others: dict[str, torch.Tensor]) -> None:
    ours, theirs = net(), net()
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    wanted = {name: tensor for name, tensor in theirs.state_dict().items() if not name.startswith("fc.")}

    load_but_head(ours, "fc", {**wanted, **others})

    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, before[name] if name.startswith("fc.") else wanted[name])


@pytest.mark.parametrize("change", ["missing", "unexpected", "another size"])
def test_weights_of_another_architecture_are_said_to_be_that(change: str) -> None:
    state = net(width=5 if change == "another size" else 3).state_dict()
    if change == "missing":
        del state["body.0.bias"]
    if change == "unexpected":
        state["body.9.bias"] = torch.zeros(3)
    with pytest.raises(MisfitError, match=r"body\."):
        load_but_head(net(), "fc", state)
