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


SHAPES = (
    *((1, 8, 8), (1, 28, 28), (3, 30, 30), (3, 33, 47), (1, 64, 48), (1, 48, 64), (3, 96, 96), (1, 224, 224)),
    *((3, 32, 32), (3, 64, 64), (1, 8, 200), (3, 9, 8)),
)
SMALL, TABLE = ((1, 7, 40), (3, 32, 4)), (40,)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "mlp" and "resnet" not in name])
def test_encoders_take_images_of_any_shape(name, shape, planted_info):
    check_encoder(name, dataclasses.replace(planted_info, image_shape=shape), "mine")
    assert make_encoder(name, shape, 5).eval()(torch.rand(2, *shape)).shape == (2, 5)


@pytest.mark.parametrize("shape", SHAPES[:5], ids=str)
@pytest.mark.parametrize("name", ["small_image_resnet18", "standard_resnet18"])
def test_so_do_the_residual_networks(name, shape):
    assert make_encoder(name, shape, 5).eval()(torch.rand(2, *shape)).shape == (2, 5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "mlp"])
def test_architectures_take_images_of_any_shape_and_give_it_back(name, shape, planted_info):
    check_architecture(name, dataclasses.replace(planted_info, image_shape=shape), "mine")
    architecture = ARCHITECTURES[name]
    mean, log_variance = architecture.encoder(shape, 5).eval()(torch.rand(2, *shape))
    assert mean.shape == log_variance.shape == (2, 5)
    decoded = architecture.decoder(5, shape).eval()(mean)
    assert decoded.shape == (2, *shape)
    assert decoded.min() >= 0
    assert decoded.max() <= 1


@pytest.mark.parametrize("name", ["sepvae_32", "sepvae_64", "mmcvae_64", "dcgan", "small_dcgan"])
def test_every_pixel_of_a_decoded_image_depends_on_the_latent_vector(name):
    """The rows and columns that output padding gives back are no constants."""
    decoder = ARCHITECTURES[name].decoder(5, (1, 33, 47)).eval()
    first, second = decoder(torch.randn(2, 5, generator=torch.Generator().manual_seed(0)))
    assert ((first != second).float().mean() > 0.99).item()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_large_images_do_not_make_large_networks(name):
    """At their published depth, DCGAN and MM-cVAE would leave maps of 14 x 14 of 224 x 224."""
    shape = (40,) if name == "mlp" else (3, 224, 224)
    assert sum(p.numel() for p in ARCHITECTURES[name].encoder(shape, 32).parameters()) < 15_000_000


@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_images_below_8_x_8_are_refused(shape, planted_info):
    info = dataclasses.replace(planted_info, image_shape=shape)
    found = rf"takes images of at least 8 x 8, but the images of planted are {shape[1]} x {shape[2]}; .* larger images"
    with pytest.raises(UserError, match=rf"mine.encoder = small_conv {found}"):
        check_encoder("small_conv", info, "mine")
    with pytest.raises(UserError, match=rf"mine.architecture = dcgan {found}"):
        check_architecture("dcgan", info, "mine")


@pytest.mark.parametrize("name", ENCODERS)
def test_a_table_takes_the_fully_connected_network_and_images_take_the_others(name, planted_info):
    table = dataclasses.replace(planted_info, image_shape=TABLE)
    if name == "mlp":
        check_encoder(name, table, "mine")
        assert make_encoder(name, TABLE, 5).eval()(torch.rand(2, *TABLE)).shape == (2, 5)
        with pytest.raises(UserError, match=r"mine.encoder = mlp takes rows of a table .* are 32 x 32; .*network"):
            check_encoder(name, planted_info, "mine")
    else:
        with pytest.raises(UserError, match=r"a table of 40 features; set mine.encoder=mlp"):
            check_encoder(name, table, "mine")


def test_the_fully_connected_architecture_gives_rows_back(planted_info):
    check_architecture("mlp", dataclasses.replace(planted_info, image_shape=TABLE), "mine")
    mean, _ = ARCHITECTURES["mlp"].encoder(TABLE, 5)(torch.rand(2, *TABLE))
    assert ARCHITECTURES["mlp"].decoder(5, TABLE)(mean).shape == (2, *TABLE)


def test_sepclr_convolutions_have_the_published_size():
    assert sum(p.numel() for size in (32, 5) for p in sepclr_conv((1, 64, 64), size).parameters()) == 5_626_725
