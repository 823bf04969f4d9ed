"""The conformance suite blames each faulty method below for its own fault, and for nothing that follows from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from cabench.config import setting
from cabench.conformance import CHECKS, Finding, check, findings, title
from cabench.conformance import checks as conformance
from cabench.conformance.subject import Subject, load_subject
from cabench.data.dataset import as_float
from cabench.errors import UserError
from cabench.method import Generative, Representation
from cabench.training import GradientTrainedMethod, TrainingConfig, descend


@dataclass(frozen=True)
class LinearConfig(TrainingConfig):
    epochs: int = setting(2, at_least=1)
    batch_size: int = setting(32, at_least=4)


class Linear(GradientTrainedMethod, Generative):
    """An autoencoder of the mean pixel, sound in every respect; the subclasses below each break one thing."""

    name = "linear"
    version = 1
    Config = LinearConfig
    takes = ("images", "tables", "missing")

    def means(self, images):
        return images.flatten(1).nanmean(1, keepdim=True).nan_to_num(0.0)

    def build(self, form):
        return nn.ModuleDict({"encoder": nn.Linear(1, 2), "decoder": nn.Linear(2, 1)})

    def make_optimizers(self):
        return {"all": torch.optim.Adam(self.network.parameters(), lr=0.05)}

    def loss(self, background, target, context):
        means = self.means(torch.cat([background.images, target.images]))
        return (self.network["decoder"](self.network["encoder"](means)) - means).square().mean()

    def training_step(self, background, target, context):
        loss = self.loss(background, target, context)
        descend(self.optimizers["all"], loss)
        return {"total": loss}

    def represent(self, images):
        encoded = self.network["encoder"](self.means(images))
        return Representation(encoded[:, :1], encoded[:, 1:])

    def decode(self, representation):
        with self.evaluating():
            means = self.network["decoder"](torch.cat(list(representation), 1)).clamp(0, 1)
        return means.reshape(-1, *[1] * len(self.form.image_shape)).expand(-1, *self.form.image_shape)


class FailsToFit(Linear):
    def fit(self, data, context):
        raise ValueError("no such thing")


class PairOfVectors(Linear):
    def represent(self, images):
        return tuple(super().represent(images))


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


class GlobalRandomnessOfNumPy(Linear):
    def loss(self, background, target, context):
        return super().loss(background, target, context) * np.random.rand()  # noqa: NPY002 - the fault


class SeedsTheGlobalGenerator(Linear):
    def loss(self, background, target, context):
        torch.manual_seed(0)
        return super().loss(background, target, context)


class UnseededRandomness(Linear):
    def loss(self, background, target, context):
        return super().loss(background, target, context) * np.random.default_rng().random()


class ForgetsOnSaving(Linear):
    def state_dict(self):
        return {name: torch.zeros_like(t) if t.is_floating_point() else t for name, t in super().state_dict().items()}


class CannotBeLoaded(Linear):
    def load_state_dict(self, state):
        raise KeyError("weights")


class NothingMoves(Linear):
    def make_optimizers(self):
        return {"all": torch.optim.SGD(self.network.parameters(), lr=0.0)}


class NothingMovesByNoise(GlobalRandomness):
    """Two faults, of which the second shows once the first is mended."""

    def make_optimizers(self):
        return {"all": torch.optim.Adam([self.network["decoder"].weight], lr=0.05)}


class UnusedHead(Linear):
    def build(self, form):
        return nn.ModuleDict({**super().build(form), "unused": nn.Linear(1, 1)})


class ClimbsTheLoss(Linear):
    def training_step(self, background, target, context):
        loss = self.loss(background, target, context)
        descend(self.optimizers["all"], -loss)
        return {"total": loss}


class NoTotal(Linear):
    def training_step(self, background, target, context):
        return {"error": super().training_step(background, target, context)["total"]}


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


class ConstantVectors(Linear):
    def represent(self, images):
        return Representation(*map(torch.zeros_like, super().represent(images)))


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


class SaysThatItDoesNotLearn(Linear):
    learns = False


class SaysThatItComputesOnTheProcessor(Linear):
    uses_device = False


class DecodesBeyondWhite(Linear):
    def decode(self, representation):
        return super().decode(representation) + 1


class NoisyDecoding(Linear):
    def decode(self, representation):
        return (super().decode(representation) * torch.rand(1)).clamp(0, 1)


class DecodesByTheBatch(Linear):
    def decode(self, representation):
        return super().decode(representation) / len(representation.common)


class DecodingLeavesEvalMode(Linear):
    def decode(self, representation):
        self.network.eval()
        return super().decode(representation)


class DecodesToOneSize(Linear):
    def decode(self, representation):
        return super().decode(representation)[:, :, :1, :1].expand(-1, -1, 32, 32)


class LetsMissingValuesThrough(Linear):
    def represent(self, images):
        encoded = super().represent(images)
        return Representation(encoded.common + 0 * images.flatten(1).sum(1, keepdim=True), encoded.salient)


class NeedsOneValue(Linear):
    def means(self, images):
        return images.flatten(1).nanmean(1, keepdim=True)


class RefusesOtherSizes(Linear):
    def check(self, info):
        if info.image_shape[1:] != (32, 32):
            raise UserError("linear takes images of 32 x 32.")


FAULTY = {
    DecodesToOneSize: conformance.check_images_of_other_sizes_are_taken,
    FailsToFit: conformance.check_fitting_works,
    PairOfVectors: conformance.check_representation_has_the_right_form,
    WrongShape: conformance.check_representation_has_the_right_form,
    NoisyEncoding: conformance.check_encoding_is_deterministic,
    BatchDependentEncoding: conformance.check_encoding_is_in_eval_mode,
    NoiseByPlace: conformance.check_encoding_is_in_eval_mode,
    LeavesEvalMode: conformance.check_encoding_is_in_eval_mode,
    GlobalRandomness: conformance.check_fitting_is_deterministic,
    GlobalRandomnessOfNumPy: conformance.check_fitting_is_deterministic,
    SeedsTheGlobalGenerator: conformance.check_fitting_is_deterministic,
    UnseededRandomness: conformance.check_fitting_is_deterministic,
    NothingMovesByNoise: conformance.check_fitting_is_deterministic,
    ForgetsOnSaving: conformance.check_saving_and_loading,
    CannotBeLoaded: conformance.check_saving_and_loading,
    UnusedHead: conformance.check_every_parameter_moves,
    NothingMoves: conformance.check_every_parameter_moves,
    ClimbsTheLoss: conformance.check_training_lowers_the_loss,
    NoTotal: conformance.check_training_lowers_the_loss,
    ConstantSalient: conformance.check_images_are_told_apart,
    ConstantVectors: conformance.check_images_are_told_apart,
    IgnoresBackground: conformance.check_background_images_matter,
    IgnoresTarget: conformance.check_target_images_matter,
    LearnsFromLabelsUnsaid: conformance.check_learning_from_attributes_is_said,
    SaysThatItLearnsFromLabels: conformance.check_learning_from_attributes_is_said,
    KeepsStateOutsideTheNetwork: conformance.check_resuming_continues_exactly,
    ForgetsItsPlaceInTheEpoch: conformance.check_resuming_continues_exactly,
    SaysThatItComputesOnTheProcessor: conformance.check_the_processor_is_enough_where_the_method_says_so,
    DecodesBeyondWhite: conformance.check_decoding_gives_images,
    NoisyDecoding: conformance.check_decoding_gives_images,
    DecodesByTheBatch: conformance.check_decoding_gives_images,
    DecodingLeavesEvalMode: conformance.check_decoding_gives_images,
    LetsMissingValuesThrough: conformance.check_missing_values_are_taken,
    NeedsOneValue: conformance.check_missing_values_are_taken,
}


@pytest.fixture(scope="module")
def data():
    return load_subject("pca").data


@pytest.mark.parametrize("kind", FAULTY, ids=lambda kind: kind.__name__)
def test_a_faulty_method_is_blamed_for_its_own_fault_alone(kind, data):
    found = list(findings(Subject(kind, LinearConfig(), data)))
    failed = [finding for finding in found if finding.outcome == "FAILED"]
    assert [finding.title for finding in failed] == [title(FAULTY[kind])], failed
    reason = f"rests on {title(FAULTY[kind])!r}, which failed"
    assert {finding.reason for finding in found if finding.outcome == "skipped"} <= {reason}


def test_a_sound_method_passes_every_check(data):
    found = list(findings(Subject(Linear, LinearConfig(), data)))
    assert found == [Finding(title(each), "passed") for each in CHECKS]


def test_every_check_has_a_fault_that_it_finds():
    assert set(FAULTY.values()) == set(CHECKS)


def test_checks_come_after_those_that_they_rest_on():
    done = []
    for each, grounds in CHECKS.items():
        assert set(grounds) <= set(done)
        done.append(each)


def test_a_method_may_refuse_other_sizes(data):
    found = list(findings(Subject(RefusesOtherSizes, LinearConfig(), data)))
    refused = ("images of other sizes are taken", "missing values are taken")
    assert found[-2:] == [Finding(name, "skipped", "linear takes images of 32 x 32.") for name in refused]
    assert {finding.outcome for finding in found[:-2]} == {"passed"}


def test_a_method_that_takes_no_missing_values_is_not_asked_about_them(data):
    class TakesAll(Linear):
        takes = ("images", "tables")

    found = list(findings(Subject(TakesAll, LinearConfig(), data)))
    assert found[-1].outcome == "skipped"
    assert found[-1].reason.startswith("the method takes no missing values")


def test_a_method_that_says_wrongly_that_it_does_not_learn_fails_where_it_does(data):
    found = findings(Subject(SaysThatItDoesNotLearn, LinearConfig(), data))
    failed = [finding.title for finding in found if finding.outcome == "FAILED"]
    assert failed == ["background images matter", "target images matter"]


@pytest.mark.parametrize(
    ("kind", "library"),
    [(GlobalRandomness, "torch"), (GlobalRandomnessOfNumPy, "NumPy"), (SeedsTheGlobalGenerator, "torch")],
)
def test_a_global_generator_is_named_with_what_to_use_in_its_place(kind, library, data):
    with pytest.raises(
        AssertionError, match=f"global random generator of {library}; draw from context.randomness alone"
    ):
        conformance.check_fitting_is_deterministic(Subject(kind, LinearConfig(), data))


def test_a_fit_that_differs_by_itself_is_told_what_to_draw_from(data):
    with pytest.raises(AssertionError, match=r"a second fit .* another common vector; draw from context\.randomness"):
        conformance.check_fitting_is_deterministic(Subject(UnseededRandomness, LinearConfig(), data))


def test_a_finding_is_one_line():
    assert str(Finding("saving and loading", "passed")) == "passed   saving and loading"
    assert str(Finding("saving and loading", "FAILED", "KeyError: 'a'")) == "FAILED   saving and loading: KeyError: 'a'"


def test_subjects_are_float_images_of_both_populations(data):
    images = Subject(Linear, LinearConfig(), data).images()
    assert images.shape == (2 * conformance.IMAGES, 1, 32, 32)
    torch.testing.assert_close(images[: conformance.IMAGES], as_float(data.background.images[: conformance.IMAGES]))


# Classes and objects in Python


def test_a_class_or_an_object_is_checked_as_it_is():
    for method in (Linear, Linear(LinearConfig(epochs=1))):
        assert {finding.outcome for finding in check(method)} == {"passed"}


def test_an_object_keeps_its_configuration_but_for_what_is_set():
    method = Linear(LinearConfig(epochs=1, batch_size=16))
    assert load_subject(method).config == LinearConfig(epochs=1, batch_size=16)
    assert load_subject(method, ["linear.epochs=3"]).config == LinearConfig(epochs=3, batch_size=16)


def test_a_class_that_lacks_something_is_refused():
    class Nameless(GradientTrainedMethod):
        Config = LinearConfig
        version = 1

    with pytest.raises(UserError, match="The method Nameless lacks name, build, make_optimizers, represent, training"):
        check(Nameless)
