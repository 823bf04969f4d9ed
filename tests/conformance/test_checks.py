"""The conformance suite blames each faulty method below for its own fault, and for nothing that follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn

from cabench import search as ranges
from cabench.config import ConfigError, setting
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


class SaysThatItsSpacesAreOne(Linear):
    one_space = True


class DoesNotSayThatItsSpacesAreOne(Linear):
    def represent(self, images):
        common, _ = super().represent(images)
        return Representation(common, common)


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
    learns_from = ()


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


@dataclass(frozen=True)
class SearchesItsSize(LinearConfig):
    dimensions: int = setting(2, at_least=1, search=ranges.Linear(1, 5))


class NamesASizeToSearch(Linear):
    Config = SearchesItsSize


class RefusesOtherSizes(Linear):
    def check(self, info):
        if info.image_shape[1:] != (32, 32):
            raise UserError("linear takes images of 32 x 32.")


FAULTY = {
    DecodesToOneSize: conformance.check_images_of_other_sizes_are_taken,
    FailsToFit: conformance.check_fitting_works,
    PairOfVectors: conformance.check_representation_has_the_right_form,
    WrongShape: conformance.check_representation_has_the_right_form,
    SaysThatItsSpacesAreOne: conformance.check_representation_has_the_right_form,
    DoesNotSayThatItsSpacesAreOne: conformance.check_representation_has_the_right_form,
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
    NamesASizeToSearch: conformance.check_what_is_searched_can_be_used,
}


@pytest.fixture(scope="module")
def data():
    return load_subject("pca").data


@pytest.mark.parametrize("kind", FAULTY, ids=lambda kind: kind.__name__)
def test_a_faulty_method_is_blamed_for_its_own_fault_alone(kind, data):
    found = list(findings(Subject(kind, kind.Config(), data)))
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
    skipped = [finding for finding in found if finding.outcome != "passed"]
    assert skipped == [Finding(name, "skipped", "linear takes images of 32 x 32.") for name in refused]


def test_a_method_that_takes_no_missing_values_is_not_asked_about_them(data):
    class TakesAll(Linear):
        takes = ("images", "tables")

    (skipped,) = [each for each in findings(Subject(TakesAll, LinearConfig(), data)) if each.outcome != "passed"]
    assert skipped.outcome == "skipped"
    assert skipped.reason.startswith("the method takes no missing values")


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


# What is searched


@dataclass(frozen=True)
class SearchedConfig(LinearConfig):
    rate: float = setting(0.05, above=0, at_most=1, search=ranges.Log(0.01, 1))
    slope: float = setting(0.0, at_least=0, search=ranges.Log(0.1, 10))
    decay: Literal["none", "linear", "cosine"] = setting("none", search=ranges.OneOf("none", "linear"))


class Searched(Linear):
    Config = SearchedConfig


def blamed(config, data) -> str:
    with pytest.raises(AssertionError) as blame:
        conformance.check_what_is_searched_can_be_used(Subject(Searched, config, data))
    return str(blame.value).splitlines()[0]  # pytest adds what the assertion was


def test_ranges_that_can_be_used_pass_and_zero_may_stand_for_off(data):
    conformance.check_what_is_searched_can_be_used(Subject(Searched, SearchedConfig(), data))
    conformance.check_what_is_searched_can_be_used(Subject(Searched, SearchedConfig(slope=10), data))


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"rate": 0.009}, "rate = 0.009"), ({"slope": 11}, "slope = 11.0"), ({"decay": "cosine"}, "decay = 'cosine'")],
)
def test_the_values_that_are_searched_around_lie_in_the_ranges(changes, name, data):
    assert blamed(SearchedConfig(**changes), data).startswith(f"{name} lies outside of what is searched, ")


def test_every_end_of_a_range_is_allowed(data):
    @dataclass(frozen=True)
    class TooHigh(SearchedConfig):
        rate: float = setting(0.05, above=0, at_most=1, search=ranges.Log(0.01, 1.5))

    said = blamed(TooHigh(), data)
    assert said.startswith("{'rate': 1.5, ")
    assert "may be tried, but is refused: " in said
    assert "must be above 0 and at most 1" in said


def test_every_single_value_is_allowed(data):
    @dataclass(frozen=True)
    class NoSuchChoice(SearchedConfig):
        decay: Literal["none", "linear"] = setting("none", search=ranges.OneOf("none", "quadratic", "linear"))

    assert "choose one of none, linear" in blamed(NoSuchChoice(), data)


def test_every_combination_of_ends_is_allowed(data):
    @dataclass(frozen=True)
    class Ordered(SearchedConfig):
        slope: float = setting(2.0, at_least=0, search=ranges.Log(0.1, 10))

        def __post_init__(self):
            super().__post_init__()
            if self.slope < self.rate:
                raise ConfigError(f"slope = {self.slope} is below the rate, {self.rate}; raise it.")

    assert "'rate': 1.0, 'slope': 0.1" in blamed(Ordered(), data)


@pytest.mark.parametrize("name", ["epochs", "components"])
def test_sizes_and_length_of_training_are_not_searched(name, data):
    @dataclass(frozen=True)
    class Longer(SearchedConfig):
        components: int = setting(3, at_least=1, search=ranges.Linear(1, 5) if name == "components" else None)
        epochs: int = setting(2, at_least=1, search=ranges.Linear(1, 5) if name == "epochs" else None)

    assert blamed(Longer(), data) == f"{name}: sizes of vectors and the length of training are not searched"


def test_five_fields_are_the_most(data):
    @dataclass(frozen=True)
    class Three(SearchedConfig):
        a: float = setting(0.5, search=ranges.Linear(0, 1))
        b: float = setting(0.5, search=ranges.Linear(0, 1))
        c: float = setting(0.5, search=ranges.Linear(0, 1))

    assert blamed(Three(), data) == "6 fields are searched; name 5 at most"
