"""The conformance suite finds faults: each broken method below fails the check that is meant for it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from cabench import conformance
from cabench.config import setting
from cabench.conformance import Subject, load_subject
from cabench.data.dataset import as_float
from cabench.method import Representation
from cabench.training import GradientTrainedMethod, TrainingConfig, descend


@dataclass(frozen=True)
class LinearConfig(TrainingConfig):
    epochs: int = setting(2, at_least=1)
    batch_size: int = setting(32, at_least=4)


class Linear(GradientTrainedMethod):
    """An autoencoder of the mean pixel, sound in every respect; the subclasses below each break one thing."""

    name = "linear"
    version = 1
    Config = LinearConfig

    def build(self, form):
        return nn.ModuleDict({"encoder": nn.Linear(1, 2), "decoder": nn.Linear(2, 1)})

    def make_optimizers(self):
        return {"all": torch.optim.Adam(self.network.parameters(), lr=0.05)}

    def loss(self, background, target, context):
        means = torch.cat([background.images, target.images]).mean((1, 2, 3))[:, None]
        return (self.network["decoder"](self.network["encoder"](means)) - means).square().mean()

    def training_step(self, background, target, context):
        loss = self.loss(background, target, context)
        descend(self.optimizers["all"], loss)
        return {"total": loss}

    def represent(self, images):
        encoded = self.network["encoder"](images.mean((1, 2, 3))[:, None])
        return Representation(encoded[:, :1], encoded[:, 1:])


class WrongShape(Linear):
    def represent(self, images):
        common, salient = super().represent(images)
        return Representation(common[:, 0], salient)


class NoisyEncoding(Linear):
    def represent(self, images):
        return Representation(*(part + torch.randn_like(part) for part in super().represent(images)))


class BatchDependentEncoding(Linear):
    def represent(self, images):
        return Representation(*(part - part.mean() for part in super().represent(images)))


class LeavesEvalMode(Linear):
    def encode(self, images):
        self.network.eval()
        with torch.no_grad():
            return self.represent(images)


class GlobalRandomness(Linear):
    def loss(self, background, target, context):
        return super().loss(background._replace(images=torch.rand_like(background.images)), target, context)


class ForgetsOnSaving(Linear):
    def state_dict(self):
        return {name: torch.zeros_like(t) if t.is_floating_point() else t for name, t in super().state_dict().items()}


class UnusedHead(Linear):
    def build(self, form):
        return nn.ModuleDict({**super().build(form), "unused": nn.Linear(1, 1)})


class ClimbsTheLoss(Linear):
    def training_step(self, background, target, context):
        loss = self.loss(background, target, context)
        descend(self.optimizers["all"], -loss)
        return {"total": loss}


class IgnoresBackground(Linear):
    def loss(self, background, target, context):
        return super().loss(target, target, context)


class KeepsStateOutsideTheNetwork(Linear):
    def prepare(self, *arguments):
        super().prepare(*arguments)
        self.seen = 0

    def loss(self, background, target, context):
        self.seen += 1
        return (
            super().loss(background, target, context) * self.seen
            + 0.01 * self.seen * self.network["encoder"].weight.square().sum()
        )


class LearnsFromLabelsUnsaid(Linear):
    def fit(self, data, context):
        super().fit(data, context)
        level = torch.from_numpy(data.target.attributes["common_level"])[:10].sum()
        with torch.no_grad():
            self.network["encoder"].bias += level.float()


class SaysThatItLearnsFromLabels(Linear):
    supervised = True


class NoiseByPlace(Linear):
    def represent(self, images):
        noise = torch.randn(len(images), 1, generator=torch.Generator().manual_seed(0))
        return Representation(*(part + noise for part in super().represent(images)))


class ConstantSalient(Linear):
    def represent(self, images):
        common, salient = super().represent(images)
        return Representation(common, torch.zeros_like(salient))


class IgnoresTarget(Linear):
    def loss(self, background, target, context):
        return super().loss(background, background, context)


class ForgetsItsPlaceInTheEpoch(Linear):
    """Steps get smaller within an epoch; a run that goes on in the middle of one starts with large ones again."""

    def begin_epoch(self):
        self.done = 0

    def loss(self, background, target, context):
        self.done = getattr(self, "done", 0) + 1
        return super().loss(background, target, context) / self.done**2

    def make_optimizers(self):
        return {"all": torch.optim.SGD(self.network.parameters(), lr=0.05)}


BROKEN = {
    WrongShape: conformance.check_representation_has_the_right_form,
    NoisyEncoding: conformance.check_encoding_is_deterministic,
    BatchDependentEncoding: conformance.check_encoding_is_in_eval_mode,
    LeavesEvalMode: conformance.check_encoding_is_in_eval_mode,
    GlobalRandomness: conformance.check_fitting_is_deterministic,
    ForgetsOnSaving: conformance.check_saving_and_loading,
    UnusedHead: conformance.check_every_parameter_moves,
    ClimbsTheLoss: conformance.check_training_lowers_the_loss,
    IgnoresBackground: conformance.check_background_images_matter,
    LearnsFromLabelsUnsaid: conformance.check_learning_from_attributes_is_said,
    SaysThatItLearnsFromLabels: conformance.check_learning_from_attributes_is_said,
    KeepsStateOutsideTheNetwork: conformance.check_resuming_continues_exactly,
    NoiseByPlace: conformance.check_encoding_is_in_eval_mode,
    ConstantSalient: conformance.check_images_are_told_apart,
    IgnoresTarget: conformance.check_target_images_matter,
    ForgetsItsPlaceInTheEpoch: conformance.check_resuming_continues_exactly,
}


@pytest.fixture(scope="module")
def data():
    return load_subject("pca").data


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_a_broken_method_fails_its_check(kind, data):
    with pytest.raises(AssertionError):
        BROKEN[kind](Subject(kind, LinearConfig(), data))


@pytest.mark.parametrize("check", sorted(set(BROKEN.values()), key=lambda check: check.__name__))
def test_a_sound_method_passes(check, data):
    check(Subject(Linear, LinearConfig(), data))


def test_subjects_are_float_images_of_both_populations(data):
    images = Subject(Linear, LinearConfig(), data).images()
    assert images.shape == (2 * conformance.IMAGES, 1, 32, 32)
    torch.testing.assert_close(images[: conformance.IMAGES], as_float(data.background.images[: conformance.IMAGES]))
