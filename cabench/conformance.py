"""The conformance suite: what every method must do, whoever wrote it.

Each check is a function of a `Subject`; it raises AssertionError with what went wrong, or `NotApplicable` with the
reason. The project's own tests run every check on every method, and `cabench check-method` runs the same.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from cabench.config import Settings
from cabench.context import FitContext, Randomness
from cabench.data.dataset import ContrastiveDataset, Population, as_float
from cabench.discovery import plugins
from cabench.errors import StopRequested
from cabench.experiment.request import ResolvedProfile, check_method
from cabench.hardening.stopping import StopFlag
from cabench.method import ContrastiveAnalysisMethod, Generative, NetworkMethod, Representation
from cabench.saving import load_method, save_method
from cabench.training import GradientTrainedMethod

IMAGES = 24  # of each population, encoded by most checks
MID_EPOCH = 0.7  # of the training: within an epoch, whether there are one, two or three
CPU = torch.device("cpu")


class NotApplicable(Exception):  # noqa: N818 - an answer, not an error
    """The check does not concern this kind of method."""


@dataclass(frozen=True)
class Subject:
    """A method under test, and images to test it on.

    Attributes:
        kind: the method's class.
        config: the configuration to test; one that trains in seconds.
        data: a small training split that the method accepts.
    """

    kind: type[ContrastiveAnalysisMethod]
    config: Settings
    data: ContrastiveDataset

    def new(self) -> ContrastiveAnalysisMethod:
        """A method that has not been fitted."""
        return self.kind(self.config)

    def fitted(self, data: ContrastiveDataset | None = None) -> ContrastiveAnalysisMethod:
        """A method freshly fitted on `data`, else on the subject's own."""
        method = self.new()
        method.fit(data or self.data, context())
        return method

    @cached_property
    def usual(self) -> ContrastiveAnalysisMethod:
        """A method fitted on the subject's own data, for all checks that only look at it."""
        return self.fitted()

    def images(self) -> Tensor:
        """A few images of both populations, float32 in [0, 1]; rows of a table as they are."""
        return as_float(torch.cat([self.data.background.images[:IMAGES], self.data.target.images[:IMAGES]]))


def load_subject(name: str, sets: Sequence[str] = ()) -> Subject:
    """A method by name, in the smoke profile's configuration, with that profile's default data set.

    Args:
        name: a method's name.
        sets: changes of its configuration, such as "mine.epochs=3".

    Raises:
        UserError: for an unknown method, or one that does not take the data set.
    """
    resolved = ResolvedProfile.read("smoke", sets, [name])
    (dataset,) = resolved.profile.defaults["datasets"]
    method = resolved.method(name, dataset)
    file = resolved.dataset(dataset).obtain(None)
    check_method(method, file.info)
    return Subject(type(method), method.config, file.read("train"))


def context(**changes: object) -> FitContext:
    """A context on the CPU in float32 with the random streams of seed 0, and with some fields changed."""
    plain = FitContext(device=CPU, precision="fp32", randomness=Randomness(0, "conformance", CPU))
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def check_representation_has_the_right_form(subject: Subject) -> None:
    """Both vectors are finite float32 matrices with one row an image, and never one column less in a second call."""
    images = subject.images()
    for name, vectors in subject.usual.encode(images)._asdict().items():
        assert vectors.dtype == torch.float32, f"{name} is {vectors.dtype}, not float32"
        assert vectors.ndim == 2, f"{name} has shape {tuple(vectors.shape)}, not (n, d)"
        assert len(vectors) == len(images), f"{name} has {len(vectors)} rows for {len(images)} images"
        assert vectors.shape[1] >= 1, f"{name} has no column"
        assert vectors.isfinite().all(), f"{name} holds values that are not finite"
        assert not vectors.requires_grad, f"{name} carries gradients"


def check_encoding_is_deterministic(subject: Subject) -> None:
    """The same images give the same vectors, bit for bit."""
    method = subject.usual
    _assert_equal(method.encode(subject.images()), method.encode(subject.images()), "a second call of encode")


def check_encoding_is_in_eval_mode(subject: Subject) -> None:
    """An image's vector does not depend on the images encoded with it or its place among them; the mode stays."""
    method = subject.usual
    images = subject.images()
    together, alone = method.encode(images), method.encode(images[:2])
    turned = method.encode(images.flip(0))
    for name, vectors in together._asdict().items():
        # Convolutions of another batch size may add up in another order.
        torch.testing.assert_close(getattr(alone, name), vectors[:2], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(getattr(turned, name), vectors.flip(0), rtol=1e-3, atol=1e-4)
    if isinstance(method, NetworkMethod):
        for mode in (False, True):
            method.network.train(mode)
            method.encode(images)
            assert method.network.training is mode, "encode changes the network's training mode"


def check_fitting_is_deterministic(subject: Subject) -> None:
    """The same seed gives the same vectors, whatever state the global generator is in; and that state is left alone."""
    torch.manual_seed(1)
    first = subject.fitted().encode(subject.images())
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = subject.fitted().encode(subject.images())
    assert torch.equal(torch.get_rng_state(), before), "fit or encode draws from torch's global generator"
    _assert_equal(first, second, "a second fit with the same seed")


def check_saving_and_loading(subject: Subject) -> None:
    """A method loaded from a file encodes as the saved one did, bit for bit."""
    method = subject.usual
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "method.safetensors"
        save_method(method, path)
        if method.name in plugins("methods"):
            loaded = load_method(path)
        else:  # a class that is not registered can be loaded by its owner alone
            loaded = subject.new()
            loaded.load_state_dict(load_file(path))
    _assert_equal(method.encode(subject.images()), loaded.encode(subject.images()), "a loaded method")


def check_every_parameter_moves(subject: Subject) -> None:
    """Training changes every parameter but those that the method lists, with a reason, in `unmoved`."""
    method = _gradient_trained(subject)
    method.prepare(subject.data.info.form, CPU, context().randomness.initialisation())
    before = {name: parameter.detach().clone() for name, parameter in method.network.named_parameters()}
    method.fit(subject.data, context())
    still = {name for name, value in method.network.named_parameters() if torch.equal(value, before[name])}
    assert still == set(method.unmoved), (
        f"parameters that did not move: {sorted(still)}; listed: {sorted(method.unmoved)}"
    )


def check_training_lowers_the_loss(subject: Subject) -> None:
    """A small batch seen again and again is learned: the loss falls by a tenth of its size or more."""
    method = _gradient_trained(subject)
    half = 16
    few = subject.data._replace(
        background=_first(subject.data.background, half), target=_first(subject.data.target, half)
    )
    config = dataclasses.replace(method.config, batch_size=2 * half, epochs=60)
    with tempfile.TemporaryDirectory() as folder:
        subject.kind(config).fit(few, context(folder=Path(folder)))
        totals = _totals(Path(folder) / "log.jsonl")
    start, end = sum(totals[:3]) / 3, sum(totals[-3:]) / 3
    assert end < start - 0.1 * abs(start), f"the loss went from {start:.4g} to {end:.4g} in {len(totals)} steps"


def check_images_are_told_apart(subject: Subject) -> None:
    """Both vectors differ between images, unless the method is a control that does not learn."""
    if not subject.kind.learns:
        raise NotApplicable("the method says that it does not learn")
    for name, vectors in subject.usual.encode(subject.images())._asdict().items():
        assert (vectors != vectors[:1]).any(), f"the {name} vector is the same for all images"


def check_background_images_matter(subject: Subject) -> None:
    """Other background images give other vectors of the same targets, unless the method is a control that says not."""
    other = subject.fitted(subject.data._replace(background=_upside_down(subject.data.background)))
    _assert_influence(subject, other, subject.data.target, "background", "target")


def check_target_images_matter(subject: Subject) -> None:
    """Other target images give other vectors of the same backgrounds, unless the method is a control that says not."""
    other = subject.fitted(subject.data._replace(target=_upside_down(subject.data.target)))
    _assert_influence(subject, other, subject.data.background, "target", "background")


def check_learning_from_attributes_is_said(subject: Subject) -> None:
    """Other attributes of the training images change the representation if, and only if, `supervised` says so."""
    data = subject.data
    mixed = data._replace(
        background=_with_mixed_attributes(data.background), target=_with_mixed_attributes(data.target)
    )
    usual, other = (method.encode(subject.images()) for method in (subject.usual, subject.fitted(mixed)))
    same = all(torch.equal(a, b) for a, b in zip(usual, other, strict=True))
    if subject.kind.supervised:
        assert not same, "the method says that it learns from attributes, but they change nothing"
    else:
        assert same, "the method learns from attributes of the images, but does not say so: set supervised = True"


def check_resuming_continues_exactly(subject: Subject) -> None:
    """A training run stopped within an epoch and continued ends as an undisturbed one, bit for bit."""
    _gradient_trained(subject)
    undisturbed = subject.usual.encode(subject.images())
    stop = StopFlag()
    with tempfile.TemporaryDirectory() as folder:
        stopping = context(folder=Path(folder), stop=stop, reporter=_StopsAt(MID_EPOCH, stop))
        try:
            subject.new().fit(subject.data, stopping)
        except StopRequested:
            pass
        else:
            raise AssertionError("the run did not stop when it was asked to")
        continued = subject.new()
        continued.fit(subject.data, context(folder=Path(folder)))
    _assert_equal(undisturbed, continued.encode(subject.images()), "a stopped and continued run")


def check_decoding_gives_images(subject: Subject) -> None:
    """`decode` gives finite float32 images of the data's shape, in [0, 1]; rows of a table may have any values."""
    method = subject.usual
    if not isinstance(method, Generative):
        raise NotApplicable("the method has no decoder")
    images = subject.images()
    encoded = method.encode(images)
    decoded = method.decode(encoded)
    assert decoded.shape == images.shape, f"decoded shape {tuple(decoded.shape)} for images {tuple(images.shape)}"
    assert decoded.dtype == torch.float32, f"decoded images are {decoded.dtype}, not float32"
    assert decoded.isfinite().all(), "decode gives values that are not finite"
    if not subject.data.info.is_table:
        assert decoded.min() >= 0, f"decoded values start at {decoded.min()}"
        assert decoded.max() <= 1, f"decoded values go up to {decoded.max()}"
    assert torch.equal(decoded, method.decode(encoded)), "a second call of decode gives other images"
    first = method.decode(Representation(*(vectors[:2] for vectors in encoded)))
    # Convolutions of another batch size may add up in another order.
    torch.testing.assert_close(first, decoded[:2], rtol=1e-3, atol=1e-4, msg="decode depends on the rest of the batch")
    if isinstance(method, NetworkMethod):
        for mode in (False, True):
            method.network.train(mode)
            method.decode(encoded)
            assert method.network.training is mode, "decode changes the network's training mode"


CHECKS: tuple[Callable[[Subject], None], ...] = (
    check_representation_has_the_right_form,
    check_encoding_is_deterministic,
    check_encoding_is_in_eval_mode,
    check_fitting_is_deterministic,
    check_saving_and_loading,
    check_every_parameter_moves,
    check_training_lowers_the_loss,
    check_images_are_told_apart,
    check_background_images_matter,
    check_target_images_matter,
    check_learning_from_attributes_is_said,
    check_resuming_continues_exactly,
    check_decoding_gives_images,
)


class _StopsAt:
    """An epoch reporter that sets a stop flag once a fraction of the training is done."""

    def __init__(self, fraction: float, stop: StopFlag) -> None:
        self._fraction, self._stop = fraction, stop

    def advanced(self, epoch: int, epochs: int, fraction: float, images_per_s: float) -> None:
        self._stop.requested = fraction >= self._fraction


def _gradient_trained(subject: Subject) -> GradientTrainedMethod:
    method = subject.new()
    if not isinstance(method, GradientTrainedMethod):
        raise NotApplicable("the method is not trained by gradient steps")
    return method


def _upside_down(population: Population) -> Population:
    """Inverted, and upside down as well: a method may rest on covariances alone, which inverting leaves as they are.

    Rows of a table have their features in the opposite order, with the opposite sign.
    """
    images = population.images
    changed = -images.flip(1) if images.ndim == 2 else 255 - images.flip(-2)
    return Population(changed, population.attributes)


def _assert_influence(
    subject: Subject, other: ContrastiveAnalysisMethod, shown: Population, changed: str, encoded: str
) -> None:
    """A method fitted on other images of one population represents images of the other one differently."""
    images = as_float(shown.images[:IMAGES])
    same = all(torch.equal(a, b) for a, b in zip(subject.usual.encode(images), other.encode(images), strict=True))
    if subject.kind.learns:
        assert not same, f"{changed} images do not influence the representation of {encoded} images"
    else:
        assert same, "the method says that it does not learn, but its representation depends on the images"


def _first(population: Population, count: int) -> Population:
    return Population(population.images[:count], {name: v[:count] for name, v in population.attributes.items()})


def _with_mixed_attributes(population: Population) -> Population:
    order = np.random.default_rng(0).permutation(len(population))
    return Population(population.images, {name: values[order] for name, values in population.attributes.items()})


def _totals(log: Path) -> list[float]:
    return [json.loads(line)["terms"]["total"] for line in log.read_text(encoding="utf-8").splitlines()]


def _assert_equal(expected: Representation, found: Representation, what: str) -> None:
    for name in Representation._fields:
        assert torch.equal(getattr(expected, name), getattr(found, name)), f"{what} gives another {name} vector"
