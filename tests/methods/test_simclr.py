"""SimCLR: its step on the same views, and one vector for both spaces."""

from __future__ import annotations

import pytest
import torch

from cabench.conformance import context
from cabench.errors import UserError
from cabench.methods.losses.contrastive import nt_xent
from cabench.methods.simclr import SimCLR, SimCLRConfig

GREY = {"saturation": 0, "hue": 0, "grey": 0}
SMALL = SimCLRConfig(encoder="sepvae_32", crop_size=32, temperature=0.2, **GREY)


def test_a_step_contrasts_two_views_of_all_images(prepared, batches):
    method = prepared(SimCLR(SMALL))
    background, target = batches()
    images, augmentation = torch.cat([background.images, target.images]), context().randomness.augmentation
    views = [method.views(images, augmentation) for _ in range(2)]
    assert not torch.equal(*views)
    with torch.no_grad():
        expected = nt_xent(*(method.network["encoder"](view) for view in views), 0.2)
    method = prepared(SimCLR(SMALL))
    torch.testing.assert_close(method.training_step(background, target, context())["total"], expected)


def test_both_spaces_hold_the_vector_before_the_projector(prepared):
    method = prepared(SimCLR(SMALL))
    images = torch.rand(3, 1, 32, 32)
    common, salient = method.encode(images)
    assert torch.equal(common, salient)
    torch.testing.assert_close(common, method.network["encoder"].encoder(images))


def test_encoder_and_projector_are_those_of_one_branch_of_sepclr(prepared):
    from cabench.methods.sepclr import SepCLR

    ours, theirs = prepared(SimCLR(), (3, 32, 32)), prepared(SepCLR(), (3, 32, 32))
    assert 2 * ours.parameter_count() == theirs.parameter_count()


def test_settings_that_do_not_fit_are_refused(planted_info):
    with pytest.raises(UserError, match=r"set simclr.saturation, simclr.hue and simclr.grey to 0"):
        SimCLR(SimCLRConfig(batch_size=64)).check(planted_info)
    with pytest.raises(UserError, match=r"simclr.crop_size is 24; set it to 0"):
        SimCLR(SimCLRConfig(batch_size=64, encoder="dcgan", **GREY)).check(planted_info)
    with pytest.raises(UserError, match=r"simclr.temperature = 0.0 is not allowed; it must be above 0"):
        SimCLRConfig(temperature=0)
