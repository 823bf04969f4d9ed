"""The three separators of rows into parts that add up: their terms against NumPy, what they represent and decode."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cabench.config import ConfigError
from cabench.conformance import context
from cabench.data.dataset import ContrastiveDataset, DatasetInfo, Population
from cabench.errors import StopRequested, UserError
from cabench.experiment.request import check_method
from cabench.hardening.stopping import StopFlag
from cabench.methods.additive_separator import AdditiveSeparator, AdditiveSeparatorConfig
from cabench.methods.diffca_separator import Controller, DiffCASeparator, DiffCASeparatorConfig
from cabench.methods.losses.additive import absence, cross_entropy, hinge, length, squared_length
from cabench.methods.networks.separators import HardSum, Parts, SoftSum
from cabench.methods.sage_separator import SAGESeparator, SAGESeparatorConfig, real_and_fake
from cabench.methods.shared.additive_separation import Frame, follow, shuffled_order, slow_copy
from cabench.pictures.generation import reconstruct, remove_salient, swap

FEATURES, HALF = 7, 6
SIZES = {"hidden": 12, "critic_hidden": 10, "d_common": 4, "d_salient": 3, "batch_size": 2 * HALF}
STILL = {"learning_rate": 1e-12}  # a step changes nothing that float32 shows
KINDS = (AdditiveSeparator, DiffCASeparator, SAGESeparator)


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def softplus(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(x))


def numbers(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


@pytest.fixture(scope="module")
def data(planted_table):
    return planted_table.read("train")


# Terms


def test_lengths_are_their_formulas():
    x = rows(5, 3)
    assert squared_length(x).item() == pytest.approx((numbers(x) ** 2).sum(1).mean(), rel=1e-12)
    assert length(x).item() == pytest.approx(np.abs(numbers(x)).sum(1).mean(), rel=1e-12)
    assert absence(x).item() == pytest.approx(np.exp(-(numbers(x) ** 2).sum(1)).mean(), rel=1e-12)


def test_absence_neither_starts_a_salient_part_nor_shapes_a_long_one():
    at_zero = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
    absence(at_zero).backward()
    assert absence(at_zero).item() == 1
    assert (at_zero.grad == 0).all()
    long = torch.full((4, 3), 2.0, dtype=torch.float64, requires_grad=True)
    absence(long).backward()
    assert long.grad.abs().max() < 1e-4


def test_losses_of_discriminators_are_their_formulas():
    b, t = 3 * rows(5, 1), 3 * rows(4, 1, seed=1)
    expected = (softplus(-numbers(t)).mean() + softplus(numbers(b)).mean()) / 2
    assert cross_entropy(b, t).item() == pytest.approx(expected, rel=1e-12)
    expected = np.maximum(0, 1 - numbers(t)).mean() + np.maximum(0, 1 + numbers(b)).mean()
    assert hinge(t, b).item() == pytest.approx(expected, rel=1e-12)


def test_a_reversed_gradient_dies_where_the_adversary_is_sure_and_the_other_does_not():
    logits = torch.tensor([[12.0]], dtype=torch.float64, requires_grad=True)
    (-cross_entropy(torch.zeros(1, 1, dtype=torch.float64), logits)).backward()
    assert abs(logits.grad.item()) < 1e-5
    assert torch.sigmoid(logits).item() > 0.99  # the gradient of softplus, which additive_separator minimises


def test_half_precision_is_computed_in_float32():
    x = rows(3, 4).bfloat16()
    for term in (squared_length, length, absence):
        assert term(x).dtype == torch.float32


# Networks


def test_parts_add_up_exactly_or_by_training():
    torch.manual_seed(0)
    x = torch.randn(5, FEATURES)
    hard, soft = HardSum(FEATURES, 3, 12)(x), SoftSum(FEATURES, 3, 12)(x)
    torch.testing.assert_close(hard.common + hard.salient, x)
    assert (soft.common + soft.salient - x).abs().max() > 0.1
    assert torch.linalg.matrix_rank(hard.salient) == 3


def test_a_swap_keeps_common_parts_and_moves_salient_ones():
    parts = Parts(torch.arange(3.0)[:, None], 10 * torch.arange(3.0)[:, None])
    swapped = parts.swapped(torch.tensor([2, 0, 1]))
    assert (swapped.common + swapped.salient)[:, 0].tolist() == [20, 1, 12]


def test_fakes_are_made_of_the_background():
    parts = Parts(torch.tensor([[1.0], [2.0]]), torch.tensor([[30.0], [40.0]]))
    pairs = {name: [rows.item() for rows in pair] for name, pair in real_and_fake(parts, 1).items()}
    assert pairs == {"of_background": [1, 2], "of_target": [42, 41]}


def test_averaged_weights_follow_and_learn_nothing_themselves():
    fast = torch.nn.Linear(2, 1)
    slow = slow_copy(fast)
    start = fast.weight.detach().clone()
    with torch.no_grad():
        fast.weight += 1
    follow(slow, fast, 0.9)
    torch.testing.assert_close(slow.weight, start + 0.1)
    assert not slow.weight.requires_grad


def test_orders_are_permutations_from_the_streams_of_the_context():
    order = shuffled_order(50, context())
    assert sorted(order.tolist()) == list(range(50))
    assert torch.equal(order, shuffled_order(50, context()))


# Diff-CA's controller


def test_an_adversary_that_wins_gets_more_weight_and_one_that_loses_less():
    wins, loses = Controller(0.05, 0.75), Controller(0.05, 0.75)
    b, t = torch.full((4, 1), -3.0), torch.full((4, 1), 3.0)
    wins.update(b, t)
    loses.update(t, b)
    assert wins.accuracy.item() == pytest.approx(0.95 * 0.75 + 0.05)
    assert wins.weight.item() == pytest.approx(0.05 / 0.999)
    assert loses.accuracy.item() == pytest.approx(0.95 * 0.75)
    assert loses.weight.item() == pytest.approx(0.05 * 0.999)


def test_checkpoints_hold_the_controller():
    assert set(Controller(0.05, 0.75).state_dict()) == {"weight", "accuracy"}


@pytest.mark.parametrize(("start", "sign"), [(5.0, 1), (1e-3, -1)])
def test_the_weight_stays_within_its_bounds(start, sign):
    controller = Controller(start, 0.75)
    for _ in range(20):
        controller.update(torch.full((4, 1), -3.0 * sign), torch.full((4, 1), 3.0 * sign))
    assert controller.weight.item() == pytest.approx(start)


# Training steps


def judged(network: torch.nn.Module, x: torch.Tensor) -> np.ndarray:
    return numbers(network(x.float()))


def finder(method) -> torch.nn.Module:
    """The network that finds the parts of recombined rows."""
    return dict(method.network).get("average", method.separator)


def started(method, prepared):
    """A method whose networks have drawn weights, also where they start at zero or as copies of others."""
    method = prepared(method, shape=(FEATURES,))
    with torch.no_grad():
        for seed, network in enumerate((method.separator, finder(method))):
            network.loadings.weight.normal_(generator=torch.Generator().manual_seed(seed))
    return method


def stepped(method, prepared, batches):
    """A method, its parts before a step that hardly moves it, those of recombined rows, the rows, and the terms."""
    method = started(method, prepared)
    b, t = batches(shape=(FEATURES,), half=HALF)
    x = torch.cat([b.images, t.images])
    parts = method.separator(x)
    mixed = parts.swapped(shuffled_order(2 * HALF, context()))
    found = finder(method)(mixed.common + mixed.salient)
    errors = [((numbers(one) - numbers(other)) ** 2).sum(1).mean() for one, other in zip(found, mixed, strict=True)]
    terms = {name: term.item() for name, term in method.training_step(b, t, context()).items()}
    return method, Parts(*map(numbers, parts)), sum(errors), numbers(x), terms


def test_a_step_of_the_additive_separator_is_its_formula(prepared, batches):
    config = AdditiveSeparatorConfig(**SIZES, **STILL, pin_weight=2, cycle_weight=3, adversary_weight=4)
    method, parts, cycle, _, terms = stepped(AdditiveSeparator(config), prepared, batches)
    logits = judged(method.network["adversary"], torch.from_numpy(parts.common))
    expected = {
        "pin": (parts.salient[:HALF] ** 2).mean(),
        "cycle": cycle / FEATURES,
        "adversary": softplus(logits[HALF:]).mean(),
        "discriminator": (softplus(-logits[HALF:]).mean() + softplus(logits[:HALF]).mean()) / 2,
        "energy": (parts.salient[HALF:] ** 2).mean(),
    }
    expected["total"] = 2 * expected["pin"] + 3 * expected["cycle"] + 4 * expected["adversary"]
    assert terms == pytest.approx(expected, rel=1e-5)


def test_a_step_of_diffca_is_its_formula(prepared, batches):
    config = DiffCASeparatorConfig(**SIZES, **STILL)
    method, parts, cycle, x, terms = stepped(DiffCASeparator(config), prepared, batches)
    logits = judged(method.network["adversary"], torch.from_numpy(parts.common))
    wrong = (softplus(-logits[HALF:]).mean() + softplus(logits[:HALF]).mean()) / 2
    expected = {
        "reconstruction": ((x - parts.common - parts.salient) ** 2).sum(1).mean(),
        "pin": (parts.salient[:HALF] ** 2).sum(1).mean(),
        "absence": np.exp(-(parts.salient[HALF:] ** 2).sum(1)).mean(),
        "cycle": cycle,
        "discriminator": wrong,
        "energy": (parts.salient[HALF:] ** 2).sum(1).mean(),
        "weight": method.network["controller"].weight.item(),
    }
    errors = expected["reconstruction"] + expected["pin"] + 0.1 * expected["absence"] + expected["cycle"]
    assert terms == pytest.approx({**expected, "total": errors - expected["weight"] * wrong}, rel=1e-5)
    assert expected["weight"] in (pytest.approx(0.05 / 0.999), pytest.approx(0.05 * 0.999))


def test_a_step_of_sage_is_its_formula(prepared, batches):
    config = SAGESeparatorConfig(**SIZES, **STILL, sparsity_weight=0.5)
    method, parts, swap, x, terms = stepped(SAGESeparator(config), prepared, batches)
    (b, t), s = (parts.common[:HALF], parts.common[HALF:]), parts.salient[HALF:]
    pairs = {"of_background": (b, t), "of_target": (t + s, b + s)}
    logits = {
        name: [judged(method.network[name], torch.from_numpy(part)) for part in pair] for name, pair in pairs.items()
    }
    expected = {
        "reconstruction": ((b - x[:HALF]) ** 2).sum(1).mean() + ((t + s - x[HALF:]) ** 2).sum(1).mean(),
        "pin": (parts.salient[:HALF] ** 2).sum(1).mean(),
        "sparsity": np.abs(s).sum(1).mean(),
        "swap": swap,
        "adversary": sum(softplus(-fake).mean() for _, fake in logits.values()),
        **{
            name: np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + fake).mean()
            for name, (real, fake) in logits.items()
        },
        "energy": (s**2).sum(1).mean(),
    }
    weights = {"reconstruction": 1, "pin": 1, "sparsity": 0.5, "swap": 1, "adversary": 1}
    total = sum(weight * expected[name] for name, weight in weights.items())
    assert terms == pytest.approx({**expected, "total": total}, rel=1e-5)


def squares(values: torch.Tensor) -> torch.Tensor:
    return values.square().sum(1).mean()


def recombination(method, parts: Parts) -> tuple[Parts, Parts]:
    order = shuffled_order(2 * HALF, context())
    return Parts(parts.common, parts.salient[order]), finder(method)(parts.common + parts.salient[order])


def additive_total(method, x: torch.Tensor) -> torch.Tensor:
    parts = method.separator(x)
    wanted, found = recombination(method, parts)
    cycle = squares(found.common - wanted.common.detach()) + squares(found.salient - wanted.salient.detach())
    fooled = torch.nn.functional.softplus(method.network["adversary"](parts.common[HALF:])).mean()
    return (squares(parts.salient[:HALF]) + cycle) / FEATURES + fooled


def diffca_total(method, x: torch.Tensor) -> torch.Tensor:
    parts = method.separator(x)
    wanted, found = recombination(method, parts)
    cycle = squares(found.common - wanted.common) + squares(found.salient - wanted.salient)
    is_target = torch.arange(2 * HALF)[:, None] >= HALF
    judged = method.network["adversary"](parts.common)
    wrong = torch.nn.functional.binary_cross_entropy_with_logits(judged, is_target.float())
    errors = squares(x - parts.common - parts.salient) + squares(parts.salient[:HALF]) + cycle
    absence = (-parts.salient[HALF:].square().sum(1)).exp().mean()
    return errors + 0.1 * absence - method.network["controller"].weight * wrong


def sage_total(method, x: torch.Tensor) -> torch.Tensor:
    parts = method.separator(x)
    (b, t), s = parts.common.split(HALF), parts.salient[HALF:]
    wanted, found = recombination(method, parts)
    swap = squares(found.common - wanted.common.detach()) + squares(found.salient - wanted.salient.detach())
    fooled = [torch.sigmoid(method.network[name](fake)) for name, fake in (("of_background", t), ("of_target", b + s))]
    errors = squares(b - x[:HALF]) + squares(t + s - x[HALF:]) + squares(parts.salient[:HALF]) + swap
    return errors + 0.01 * s.abs().sum(1).mean() - sum(p.log().mean() for p in fooled)


@pytest.mark.parametrize(
    ("method", "total"),
    [
        (AdditiveSeparator(AdditiveSeparatorConfig(**SIZES, **STILL, decay=1)), additive_total),
        (DiffCASeparator(DiffCASeparatorConfig(**SIZES, **STILL, decay=1)), diffca_total),
        (SAGESeparator(SAGESeparatorConfig(**SIZES, **STILL)), sage_total),
    ],
    ids=["additive", "diffca", "sage"],
)
def test_the_separator_descends_the_gradient_of_its_formula(method, total, prepared, batches):
    """With fixed targets where the module says so; the discriminators' own losses do not reach the separator."""
    method = started(method, prepared)
    b, t = batches(shape=(FEATURES,), half=HALF)
    method.training_step(b, t, context())
    weights = list(method.separator.parameters())
    found = torch.cat([weight.grad.flatten() for weight in weights])
    gradients = torch.autograd.grad(total(method, torch.cat([b.images, t.images])), weights)
    expected = torch.cat([gradient.flatten() for gradient in gradients])
    if isinstance(method, SAGESeparator):  # which bounds the gradient
        assert expected.norm() > 1
        expected /= expected.norm()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_discriminators_learn_what_the_separator_hides(kind, prepared, batches):
    """Of still parts: their losses fall below what they start from, and nothing else moves."""
    method = started(kind(kind.Config(**SIZES, learning_rate=0.01)), prepared)
    method.optimizers["separator"] = torch.optim.SGD(method.separator.parameters(), lr=0.0)
    b, t = batches(shape=(FEATURES,), half=HALF)
    names = ("of_background", "of_target") if kind is SAGESeparator else ("discriminator",)
    first, *_, last = (method.training_step(b, t, context()) for _ in range(20))
    assert all(last[name] < first[name] for name in names)
    assert last["pin"] == first["pin"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_continues_with_every_network_as_it_was(kind, data, tmp_path):
    """Averages, discriminators and the controller too, which vectors do not show."""
    config = kind.Config(**SIZES, epochs=4)
    undisturbed, stopped, continued = kind(config), kind(config), kind(config)
    undisturbed.fit(data, context())
    stop = StopFlag()
    reporter = SimpleNamespace(advanced=lambda *progress: setattr(stop, "requested", progress[2] > 0.6))
    with pytest.raises(StopRequested):
        stopped.fit(data, context(folder=tmp_path, stop=stop, reporter=reporter))
    continued.fit(data, context(folder=tmp_path))
    expected, found = undisturbed.state_dict(), continued.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_sage_starts_without_a_salient_part(prepared):
    method = prepared(SAGESeparator(SAGESeparatorConfig(**SIZES)), shape=(FEATURES,))
    assert (method.separator(torch.randn(4, FEATURES)).salient == 0).all()


# Representation


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_centred_by_the_background_and_scaled_by_one_number(kind, data):
    method = kind(kind.Config(**SIZES, epochs=1))
    method.fit(data, context())
    background = numbers(data.background.images)
    scale = np.sqrt(numbers(data.images).var(0).mean())
    expected = (background - background.mean(0)) / scale
    np.testing.assert_allclose(numbers(method.frame(data.background.images)), expected, atol=1e-5)
    values, vectors = np.linalg.eigh(np.cov(background.T))
    found = numbers(method.frame.directions)
    np.testing.assert_allclose(np.abs((vectors[:, ::-1][:, :4] * found).sum(0)), 1, atol=1e-4)
    assert values[-1] > values[-5]


def split(background: np.ndarray, target: np.ndarray) -> ContrastiveDataset:
    counts = {"train": {"background": len(background), "target": len(target)}}
    info = DatasetInfo("hard", 1, {}, "0" * 64, (), background.shape[1:], (), counts)
    parts = (Population(torch.from_numpy(part.astype(np.float32)), {}) for part in (background, target))
    return ContrastiveDataset(info, *parts)


def hard_data() -> dict[str, ContrastiveDataset]:
    draw = np.random.default_rng(0).normal
    one_constant, huge = draw(size=(50, 6)), draw(size=(50, 6))
    one_constant[:, 3] = 1e4
    huge[:, 0] *= 1e6
    return {
        "fewer background rows than features": split(draw(size=(20, 60)), draw(size=(80, 60))),
        "fewer target rows than features": split(draw(size=(80, 60)), draw(size=(20, 60))),
        "fewer rows than features": split(draw(size=(20, 60)), draw(size=(20, 60))),
        "a constant feature": split(one_constant, one_constant[::-1]),
        "an offset": split(1e4 + draw(size=(50, 6)), 1e4 + draw(size=(50, 6))),
        "a feature of huge scale": split(huge, huge[::-1]),
        "populations of very different sizes": split(draw(size=(400, 6)), draw(size=(5, 6))),
        "one row again and again": split(np.tile(draw(size=6), (20, 1)), np.tile(draw(size=6), (20, 1))),
        "nothing varies": split(np.ones((20, 6)), np.ones((20, 6))),
        "two rows": split(draw(size=(2, 6)), draw(size=(2, 6))),
        "one feature": split(draw(size=(50, 1)), draw(size=(50, 1))),
    }


@pytest.mark.parametrize("name", hard_data())
def test_hard_data_are_framed_as_in_numpy_and_split(name):
    data = hard_data()[name]
    b, both = data.background.images.double().numpy(), data.images.double().numpy()
    expected = (both - b.mean(0)) / (np.sqrt(both.var(0).mean()) or 1)
    found = numbers(Frame.of(data, 4)(data.images))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3 if name == "an offset" else 1e-5)
    for kind in KINDS:
        method = kind(kind.Config(**{**SIZES, "batch_size": 40}, epochs=2))
        method.check(data.info)
        method.fit(data, context())
        assert method.encode(data.images).salient.shape[1] == min(3, b.shape[1])
        assert reconstruct(method, data.images).isfinite().all()


class Largest(TorchDispatchMode):
    """Keeps the number of values of the largest tensor made."""

    values = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        sizes = [part.numel() for part in tree_leaves(made) if isinstance(part, torch.Tensor)]
        self.values = max([self.values, *sizes])
        return made


@pytest.mark.parametrize("kind", KINDS)
def test_no_matrix_of_all_pairs_of_features_is_made_where_rows_are_fewer(kind):
    features = 1000
    draw = np.random.default_rng(0).normal
    data = split(draw(size=(15, features)), draw(size=(20, features)))
    method = kind(kind.Config(**SIZES, epochs=1))
    with Largest() as largest:
        method.fit(data, context())
        method.decode(method.encode(data.images))
    assert 35 * features <= largest.values < 50 * features


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_the_projected_common_part_and_the_code(kind, data):
    method = kind(kind.Config(**SIZES, epochs=1))
    method.fit(data, context())
    images = data.target.images[:5]
    encoded = method.encode(images)
    with torch.no_grad():
        x = method.frame(images)
        parts = method.separator(x)
        torch.testing.assert_close(encoded.common, parts.common @ method.frame.directions)
        torch.testing.assert_close(encoded.salient @ method.separator.loadings.weight.T, parts.salient)
    assert [part.shape[1] for part in encoded] == [4, 3]


def test_parts_that_add_up_are_decoded_exactly_where_all_directions_are_kept(data):
    method = AdditiveSeparator(AdditiveSeparatorConfig(**{**SIZES, "d_common": 40}, epochs=1))
    method.fit(data, context())
    target, background = data.target.images[:20], data.background.images[:20]
    torch.testing.assert_close(reconstruct(method, target), target, rtol=1e-4, atol=1e-4)
    taken = [rows - remove_salient(method, rows) for rows in (target, background)]
    assert torch.linalg.matrix_rank(taken[0], rtol=1e-3) == 3
    swapped = swap(method, common_of=background, salient_of=target)
    torch.testing.assert_close(swapped, background - taken[1] + taken[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_both_vectors_are_decoded_to_the_parts_that_they_stand_for(kind, data):
    method = kind(kind.Config(**SIZES, epochs=1))
    method.fit(data, context())
    images = data.target.images[:5]
    with torch.no_grad():
        common, salient = method.separator(method.frame(images))
        directions = method.frame.directions
        expected = method.frame.undone(common @ directions @ directions.T + salient)
    torch.testing.assert_close(reconstruct(method, images), expected, rtol=1e-4, atol=1e-4)


def test_vectors_are_no_larger_than_the_rows(data):
    method = AdditiveSeparator(AdditiveSeparatorConfig(**{**SIZES, "d_common": 100, "d_salient": 100}, epochs=1))
    method.fit(data, context())
    assert [part.shape[1] for part in method.encode(data.images[:3])] == [40, 40]


def test_averaged_weights_are_not_counted(prepared):
    method = prepared(AdditiveSeparator(AdditiveSeparatorConfig(**SIZES)), shape=(FEATURES,))
    parts = [method.separator, method.network["adversary"]]
    assert method.parameter_count() == sum(p.numel() for part in parts for p in part.parameters())


# Wrong settings and data


@pytest.mark.parametrize(
    ("config", "field", "value", "allowed"),
    [
        (AdditiveSeparatorConfig, "d_salient", 0, "at least 1"),
        (AdditiveSeparatorConfig, "decay", 1.5, "at most 1"),
        (DiffCASeparatorConfig, "adversary_weight", 0.0, "at least 0.001"),
        (DiffCASeparatorConfig, "accuracy", 2.0, "at most 1"),
        (SAGESeparatorConfig, "sparsity_weight", -1.0, "at least 0"),
        (SAGESeparatorConfig, "learning_rate", 0.0, "above 0"),
    ],
)
def test_wrong_values_are_refused_with_field_value_and_range(config, field, value, allowed):
    with pytest.raises(ConfigError, match=rf"\w+\.{field} = {value!r} is not allowed; .*{allowed}"):
        config(**{field: value})


@pytest.mark.parametrize("kind", KINDS)
def test_images_are_refused(kind, planted_info):
    with pytest.raises(UserError, match=rf"{kind.name} takes tables, but planted holds images"):
        check_method(kind(), planted_info)
