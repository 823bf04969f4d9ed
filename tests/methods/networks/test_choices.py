"""The networks by name: what comes out, published sizes, and which examples are refused."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest
import torch

from cabench.errors import UserError
from cabench.methods.networks.choices import (
    ARCHITECTURES,
    ENCODERS,
    ArchitectureName,
    EncoderName,
    check_architecture,
    check_encoder,
    make_encoder,
)
from cabench.methods.networks.encoders import sepclr_conv


def test_every_name_has_an_encoder():
    assert set(get_args(EncoderName)) == set(ENCODERS)
    assert set(get_args(ArchitectureName)) == set(ARCHITECTURES)


SHAPES = ((1, 32, 32), (3, 64, 64), (1, 28, 28), (1, 32, 64), (40,))
TAKEN = {
    "sepvae_32": {(1, 32, 32)},
    "sepvae_64": {(3, 64, 64)},
    "mmcvae_64": {(3, 64, 64)},
    "sepclr_conv_64": {(3, 64, 64)},
    "dcgan": {(1, 32, 32), (3, 64, 64)},
    "small_dcgan": {(1, 32, 32), (3, 64, 64)},
    "mlp": {(40,)},
}
IMAGES = {shape for shape in SHAPES if len(shape) == 3}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_take_what_their_check_lets_through(name, shape, planted_info):
    info = dataclasses.replace(planted_info, image_shape=shape)
    if shape in TAKEN.get(name, IMAGES):
        check_encoder(name, info, "mine")
        assert make_encoder(name, shape, 5).eval()(torch.rand(2, *shape)).shape == (2, 5)
    else:
        found = rf"are {shape[1]} x {shape[2]}" if shape in IMAGES else r"a table of 40 features; set mine.encoder=mlp"
        with pytest.raises(UserError, match=rf"mine.encoder = {name} takes .* {found}"):
            check_encoder(name, info, "mine")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architectures_take_what_their_check_lets_through_and_give_it_back(name, shape, planted_info):
    info = dataclasses.replace(planted_info, image_shape=shape)
    if shape not in TAKEN[name]:
        with pytest.raises(UserError, match=f"mine.architecture = {name} takes "):
            check_architecture(name, info, "mine")
        return
    check_architecture(name, info, "mine")
    architecture = ARCHITECTURES[name]
    mean, log_variance = architecture.encoder(shape, 5).eval()(torch.rand(2, *shape))
    assert mean.shape == log_variance.shape == (2, 5)
    assert architecture.decoder(5, shape).eval()(mean).shape == (2, *shape)


def test_sepclr_convolutions_have_the_published_size():
    assert sum(p.numel() for size in (32, 5) for p in sepclr_conv((1, 64, 64), size).parameters()) == 5_626_725
