"""Saved methods: what they were, or one sentence on why not."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from cabench.discovery import method_class as kind_of
from cabench.errors import UserError
from cabench.methods.pca import PCA
from cabench.saving import MODEL, load_method, save_method

META = {"name": "pca", "version": PCA.version, "config": {"components": 2}}
TENSORS = {"mean": torch.zeros(16), "directions": torch.ones(16, 2)}


def write(path: Path, meta: Any, tensors: dict[str, torch.Tensor]) -> Path:
    text = meta if isinstance(meta, str) else json.dumps(meta)
    safetensors.torch.save_file(tensors, path, metadata={"cabench": text})
    return path


def test_a_method_comes_back(tmp_path: Path) -> None:
    method = PCA(PCA.Config(components=2))
    method.mean, method.directions = TENSORS["mean"], TENSORS["directions"]
    save_method(method, tmp_path / "pca.safetensors")
    images = torch.rand(3, 1, 4, 4)
    assert torch.equal(load_method(tmp_path / "pca.safetensors").encode(images).common, method.encode(images).common)


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({**META, "name": ["pca"]}, "name: "),
        ({**META, "name": "../pca"}, "which is not installed"),
        ({**META, "version": "2"}, "version: "),
        ({**META, "config": None}, "config: "),
        ({**META, "config": {"components": 0}}, "must be at least 1"),
        ([], "content: "),
        ("[" * 9000, "deeper than 50"),
        ("NaN", "the number NaN"),
    ],
)
def test_a_description_of_another_kind_is_refused(tmp_path: Path, meta: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_method(write(tmp_path / "pca.safetensors", meta, TENSORS))


@pytest.mark.parametrize("name", ["pca", "random_encoder"])
def test_a_method_without_what_it_learned_is_refused(tmp_path: Path, name: str) -> None:
    meta = {"name": name, "version": kind_of(name).version, "config": {}}
    with pytest.raises(UserError, match=f"does not hold what '{name}' has learned"):
        load_method(write(tmp_path / "it.safetensors", meta, {"mean": torch.zeros(3)}))


def as_text(form: object) -> torch.Tensor:
    text = form if isinstance(form, str) else json.dumps(form)
    return torch.tensor(list(text.encode()), dtype=torch.uint8)


ATTRIBUTE = {"name": "a", "space": "common", "kind": "class", "classes": ["x", "y"]}


@pytest.mark.parametrize(
    "form",
    [
        as_text("[" * 9000),
        as_text('{"image_shape":' * 9000),
        *(as_text(other) for other in ([], 7, None, {}, {"image_shape": [1, 8, 8]})),
        *(
            as_text({"image_shape": shape, "attributes": []})
            for shape in (None, 7, "188", ["1", 8, 8], [1, 8], [-1] * 3)
        ),
        *(as_text({"image_shape": [1, 8, 8], "attributes": other}) for other in (None, 7, [7], ["x"], [{}])),
        as_text({"image_shape": [1, 8, 8], "attributes": [{**ATTRIBUTE, "classes": 7}]}),
        as_text({"image_shape": [1, 8, 8], "attributes": [{**ATTRIBUTE, "kind": []}]}),
        as_text({"image_shape": [2**62, 8, 8], "attributes": [ATTRIBUTE]}),
        torch.tensor(10**15),
        torch.tensor([0.5]),
        torch.tensor([[1, 2]], dtype=torch.uint8),
        torch.tensor([255], dtype=torch.uint8),
    ],
)
def test_a_network_of_another_form_is_refused(tmp_path: Path, form: torch.Tensor) -> None:
    meta = {"name": "random_encoder", "version": kind_of("random_encoder").version, "config": {}}
    with pytest.raises(UserError, match="does not hold what 'random_encoder' has learned"):
        load_method(write(tmp_path / "it.safetensors", meta, {"form": form}))


def test_a_link_in_a_cell_is_refused_and_one_that_is_named_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "theirs.safetensors", META, TENSORS)
    (tmp_path / "cell").mkdir()
    (tmp_path / "cell" / MODEL).symlink_to(tmp_path / "theirs.safetensors")
    with pytest.raises(UserError, match="is a link"):
        load_method(tmp_path / "cell")
    assert isinstance(load_method(tmp_path / "cell" / MODEL), PCA)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="no regular file"):
        load_method(tmp_path / "pipe")
