"""What every method must do, whoever wrote it.

Each check is a function of a `Subject`; it raises AssertionError with what went wrong, or `NotApplicable` with the
reason. `CHECKS` lists them, with the checks that each rests on.
"""

from __future__ import annotations

import dataclasses
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cabench.conformance.searched import check_what_is_searched_can_be_used
from cabench.conformance.subject import CPU, IMAGES, Subject, context
from cabench.context import FitContext
from cabench.data.dataset import ContrastiveDataset, Population, as_float
from cabench.errors import StopRequested, UserError
from cabench.hardening.stopping import StopFlag
from cabench.method import ContrastiveAnalysisMethod, Generative, NetworkMethod, Representation
from cabench.saving import load_method, save_method
from cabench.training import GradientTrainedMethod

OTHER_SIZES = ((28, 28), (33, 47))
MID_EPOCH = 0.7  # of the training: within an epoch, whether there are one, two or three


class NotApplicable(Exception):  # noqa: N818 - an answer, not an error
    """The check does not concern this kind of method."""


def check_fitting_works(subject: Subject) -> None:
    """`fit` learns from the training images without an error."""
    subject.usual  # noqa: B018 - it is fitted here and kept


def check_representation_has_the_right_form(subject: Subject) -> None:
    """Both vectors are finite float32 matrices with one row an image; equal only where the method says they are one."""
    images = subject.images()
    representation = subject.usual.encode(images)
    assert isinstance(representation, Representation), (
        f"encode gives {type(representation).__name__}, not cabench.Representation(common, salient)"
    )
    for name, vectors in representation._asdict().items():
        assert isinstance(vectors, Tensor), f"{name} is a {type(vectors).__name__}, not a torch tensor"
        assert vectors.dtype == torch.float32, f"{name} is {vectors.dtype}, not float32"
        assert vectors.ndim == 2, f"{name} has shape {tuple(vectors.shape)}, not (n, d)"
        assert len(vectors) == len(images), f"{name} has {len(vectors)} rows for {len(images)} images"
        assert vectors.shape[1] >= 1, f"{name} has no column"
        assert vectors.isfinite().all(), f"{name} holds values that are not finite"
        assert not vectors.requires_grad, f"{name} carries gradients"
    same = torch.equal(representation.common, representation.salient)
    if subject.kind.one_space:
        assert same, "the method says that it has one space, but its common and salient vectors differ"
    elif (representation.common != representation.common[0]).any():  # vectors that say nothing may be equal
        assert not same, "common and salient vectors are equal; a control with one vector says one_space = True"


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
        depends = f"the {name} vector of an image depends on the images encoded with it"
        _assert_close(getattr(alone, name), vectors[:2], depends)
        _assert_close(getattr(turned, name), vectors.flip(0), f"{depends}, or on its place among them")
    _assert_mode_stays(method, lambda: method.encode(images), "encode")


def check_fitting_is_deterministic(subject: Subject) -> None:
    """The same seed gives the same vectors, whatever state global generators are in; and that state is left alone."""
    torch.manual_seed(1)
    first = subject.fitted().encode(subject.images())
    torch.manual_seed(2)
    before = _global_generators()
    second = subject.fitted().encode(subject.images())
    advice = "draw from context.randomness alone, as in torch.rand(n, generator=context.randomness.noise)"
    for name, state in _global_generators().items():
        assert state == before[name], f"fit or encode uses the global random generator of {name}; {advice}"
    _assert_equal(first, second, "a second fit with the same seed", advice)


def check_saving_and_loading(subject: Subject) -> None:
    """A method loaded from a file encodes as the saved one did, bit for bit."""
    method = subject.usual
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "method.safetensors"
        save_method(method, path)
        loaded = load_method(path, subject.kind)
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
    """A small batch seen again and again is learned: the loss falls by a tenth of its size or more.

    A method may say why it need not, in `loss_may_rise`.
    """
    method = _gradient_trained(subject)
    if method.loss_may_rise:
        raise NotApplicable(f"the method says that its loss may rise: {method.loss_may_rise}")
    half = 16
    few = _both(subject.data, lambda part: _rows(part, part.images[:half], slice(half)))
    config = dataclasses.replace(method.config, batch_size=2 * half, epochs=60)
    with tempfile.TemporaryDirectory() as folder:
        subject.kind(config).fit(few, context(folder=Path(folder)))
        totals = _totals(Path(folder) / "log.jsonl")
    start, end = sum(totals[:3]) / 3, sum(totals[-3:]) / 3
    assert end < start - 0.1 * abs(start), f"the loss went from {start:.4g} to {end:.4g} in {len(totals)} steps"


def check_images_are_told_apart(subject: Subject) -> None:
    """Both vectors differ between images, unless the method is a control that says that it does not learn from both."""
    if len(subject.kind.learns_from) < 2:
        raise NotApplicable("the method says that it does not learn from both populations")
    for name, vectors in subject.usual.encode(subject.images())._asdict().items():
        assert (vectors != vectors[:1]).any(), f"the {name} vector is the same for all images"


def check_background_images_matter(subject: Subject) -> None:
    """Other background images give other vectors of the same targets, unless the method is a control that says not."""
    other = subject.data._replace(background=_upside_down(subject.data.background))
    _assert_influence(subject, other, subject.data.target, "background", "target")


def check_target_images_matter(subject: Subject) -> None:
    """Other target images give other vectors of the same backgrounds, unless the method is a control that says not."""
    other = subject.data._replace(target=_upside_down(subject.data.target))
    _assert_influence(subject, other, subject.data.background, "target", "background")


def check_learning_from_attributes_is_said(subject: Subject) -> None:
    """Other attributes of the training images change the representation if, and only if, `supervised` says so."""
    order = np.random.default_rng(0).permutation
    mixed = _both(subject.data, lambda part: _rows(part, part.images, order(len(part))))
    same = _same(subject.usual, subject.fitted(mixed), subject.images())
    if subject.kind.supervised:
        assert not same, "the method says that it learns from attributes, but they change nothing"
    else:
        assert same, "the method learns from attributes of the images, but does not say so: set supervised = True"


def check_the_processor_is_enough_where_the_method_says_so(subject: Subject) -> None:
    """A method with `uses_device = False` never asks for the device of a run: it is given the processor."""
    if subject.kind.uses_device:
        return
    watched = _WatchedContext(**vars(context()))
    subject.new().fit(subject.data, watched)
    assert not watched.was_asked, "fit asks for context.device; remove uses_device = False, or compute on the processor"


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
    _assert_close(first, decoded[:2], "decode depends on the rest of the batch")
    _assert_mode_stays(method, lambda: method.decode(encoded), "decode")


def check_images_of_other_sizes_are_taken(subject: Subject) -> None:
    """Images of other sizes, square or not, are learned from, encoded and, where there is a decoder, given back.

    A method may refuse them in its `check`.
    """
    if subject.data.info.is_table:
        raise NotApplicable("the data set is a table")
    for height, width in OTHER_SIZES:
        other = subject.on_images((subject.data.info.image_shape[0], height, width))
        try:
            other.new().check(other.data.info)
        except UserError as refusal:
            raise NotApplicable(str(refusal)) from refusal
        check_representation_has_the_right_form(other)
        if issubclass(other.kind, Generative):
            check_decoding_gives_images(other)


def check_missing_values_are_taken(subject: Subject) -> None:
    """A method that takes missing values learns from rows of a table that lack some, and keeps its word on them."""
    if "missing" not in subject.kind.takes:
        raise NotApplicable("the method takes no missing values; a run fills them with means of the training rows")
    incomplete = subject.on_incomplete_rows()
    try:
        incomplete.new().check(incomplete.data.info)
    except UserError as refusal:
        raise NotApplicable(str(refusal)) from refusal
    for each in _OF_ROWS:
        try:
            each(incomplete)
        except NotApplicable:
            continue
    rows = incomplete.images()
    rows[0] = torch.nan
    alone = incomplete.usual.encode(rows[:1])
    assert all(vectors.isfinite().all() for vectors in alone), "a row without any value has vectors that are not finite"


Check = Callable[[Subject], None]
_OF_ROWS: tuple[Check, ...] = (
    check_representation_has_the_right_form,
    check_encoding_is_deterministic,
    check_encoding_is_in_eval_mode,
    check_fitting_is_deterministic,
    check_saving_and_loading,
    check_resuming_continues_exactly,
    check_decoding_gives_images,
)
"""What must hold where values are missing too."""
CHECKS: dict[Check, tuple[Check, ...]] = {
    check_fitting_works: (),
    check_representation_has_the_right_form: (check_fitting_works,),
    check_encoding_is_deterministic: (check_representation_has_the_right_form,),
    check_encoding_is_in_eval_mode: (check_encoding_is_deterministic,),
    check_fitting_is_deterministic: (check_encoding_is_deterministic,),
    check_saving_and_loading: (check_encoding_is_deterministic,),
    check_every_parameter_moves: (check_fitting_is_deterministic,),
    check_training_lowers_the_loss: (check_every_parameter_moves,),
    check_images_are_told_apart: (check_every_parameter_moves,),
    check_background_images_matter: (check_images_are_told_apart,),
    check_target_images_matter: (check_images_are_told_apart,),
    check_learning_from_attributes_is_said: (check_images_are_told_apart,),
    check_resuming_continues_exactly: (check_fitting_is_deterministic,),
    check_the_processor_is_enough_where_the_method_says_so: (check_fitting_works,),
    check_decoding_gives_images: (check_representation_has_the_right_form,),
    check_images_of_other_sizes_are_taken: (check_decoding_gives_images,),
    check_missing_values_are_taken: (
        check_images_of_other_sizes_are_taken,
        check_resuming_continues_exactly,
        check_saving_and_loading,
        check_encoding_is_in_eval_mode,
    ),
    check_what_is_searched_can_be_used: (),
}
"""All checks in order, each with what it rests on: where that fails, directly or further down, it is skipped."""


class _StopsAt:
    """An epoch reporter that sets a stop flag once a fraction of the training is done."""

    def __init__(self, fraction: float, stop: StopFlag) -> None:
        self._fraction, self._stop = fraction, stop

    def advanced(self, epoch: int, epochs: int, fraction: float, images_per_s: float) -> None:
        self._stop.requested = fraction >= self._fraction


class _WatchedContext(FitContext):
    """A context that notes whether its device was asked for, as `autocast` does too."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("device", "autocast"):
            vars(self)["asked"] = True
        return super().__getattribute__(name)

    @property
    def was_asked(self) -> bool:
        return "asked" in vars(self)


def _gradient_trained(subject: Subject) -> GradientTrainedMethod:
    method = subject.new()
    if not isinstance(method, GradientTrainedMethod):
        raise NotApplicable("the method is not trained by gradient steps")
    return method


def _both(data: ContrastiveDataset, change: Callable[[Population], Population]) -> ContrastiveDataset:
    return data._replace(background=change(data.background), target=change(data.target))


def _rows(population: Population, images: Tensor, rows: slice | np.ndarray) -> Population:
    """Images with the attributes of the given rows."""
    return Population(images, {name: values[rows] for name, values in population.attributes.items()})


def _upside_down(population: Population) -> Population:
    """Inverted, and upside down as well: a method may rest on covariances alone, which inverting leaves as they are.

    Rows of a table have their features in the opposite order, with the opposite sign unless none is negative.
    """
    images = population.images
    if images.ndim == 2:
        sign = -1 if (images < 0).any() else 1
        return Population(sign * images.flip(1), population.attributes)
    return Population(255 - images.flip(-2), population.attributes)


def _assert_influence(
    subject: Subject, other: ContrastiveDataset, shown: Population, changed: str, encoded: str
) -> None:
    """A method fitted on other images of one population represents images of the other one differently."""
    same = _same(subject.usual, subject.fitted(other), as_float(shown.images[:IMAGES]))
    if changed in subject.kind.learns_from:
        assert not same, f"{changed} images do not influence the representation of {encoded} images"
    else:
        assert same, f"the method says that it does not learn from {changed} images, but they influence others' vectors"


def _same(one: ContrastiveAnalysisMethod, other: ContrastiveAnalysisMethod, images: Tensor) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.encode(images), other.encode(images), strict=True))


def _assert_equal(expected: Representation, found: Representation, what: str, advice: str = "") -> None:
    for name in Representation._fields:
        same = torch.equal(getattr(expected, name), getattr(found, name))
        assert same, f"{what} gives another {name} vector" + (f"; {advice}" if advice else "")


def _assert_close(found: Tensor, expected: Tensor, message: str) -> None:
    # Convolutions of another batch size may add up in another order.
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4, msg=message)


def _assert_mode_stays(method: ContrastiveAnalysisMethod, call: Callable[[], object], name: str) -> None:
    if isinstance(method, NetworkMethod):
        for mode in (False, True):
            method.network.train(mode)
            call()
            assert method.network.training is mode, f"{name} changes the network's training mode"


def _global_generators() -> dict[str, object]:
    """The state of each global generator, by the library it belongs to."""
    numpy = np.random.get_state(legacy=False)  # noqa: NPY002 - the state that methods must leave alone
    return {"torch": torch.get_rng_state().tolist(), "NumPy": repr(numpy), "Python": random.getstate()}


def _totals(log: Path) -> list[float]:
    terms = [json.loads(line)["terms"] for line in log.read_text(encoding="utf-8").splitlines()]
    assert all("total" in of_epoch for of_epoch in terms), "training_step gives no loss term called 'total'"
    return [of_epoch["total"] for of_epoch in terms]
