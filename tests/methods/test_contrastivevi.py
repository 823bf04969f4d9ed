"""contrastiveVI: its size, every term from its formula, library, batches and rows without counts, planted classes."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from cabench.config import ConfigError
from cabench.conformance import CHECKS, NotApplicable, Subject, context
from cabench.data.dataset import ContrastiveDataset, Population
from cabench.errors import UserError
from cabench.experiment.request import check_method
from cabench.methods.contrastivevi import ContrastiveVI, ContrastiveVIConfig, LibraryPrior, Rows
from cabench.methods.networks.counts import WarmUp, dropped
from cabench.training import Batch

GENES = 12


def small(**fields: object) -> ContrastiveVI:
    fields = {"epochs": 4, "batch_size": 32, "d_common": 3, "d_salient": 2, "width": 16, **fields}
    return ContrastiveVI(ContrastiveVIConfig(**fields))


def counts_of(rows: int, seed: int = 0) -> torch.Tensor:
    generator = np.random.default_rng(seed)
    rates = generator.gamma(1, 3, GENES) * generator.lognormal(0, 1, (rows, 1)) + 0.2
    return torch.from_numpy(generator.poisson(rates)).float()


def one_hot(rows: int, batches: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.arange(rows) % batches, batches).float()


def with_rows(data: ContrastiveDataset, *parts: torch.Tensor) -> ContrastiveDataset:
    """A training split of other rows, without attributes."""
    counts = {"train": {"background": len(parts[0]), "target": len(parts[1])}}
    info = dataclasses.replace(data.info, image_shape=(parts[0].shape[1],), counts=counts)
    return ContrastiveDataset(info, *(Population(part, {}) for part in parts))


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


# Sizes and defaults


@pytest.mark.parametrize(
    ("fields", "parameters"),
    [
        # Card F6: 1,553,514, of which 258,000 are the third head and 256,642 the encoder of the library.
        ({}, 1_553_514 - 258_000 - 256_642),
        ({"library": "inferred"}, 1_553_514 - 258_000),
        ({"likelihood": "nb"}, 1_553_514 - 2 * 258_000 - 256_642),
    ],
)
def test_it_has_the_published_size(prepared, fields, parameters):
    assert prepared(ContrastiveVI(ContrastiveVIConfig(**fields)), (2000,)).parameter_count() == parameters


def test_defaults_are_the_released_ones(prepared):
    config = ContrastiveVIConfig()
    assert (config.epochs, config.batch_size, config.learning_rate, config.warm_up_epochs) == (400, 256, 1e-3, 400)
    assert (config.d_common, config.d_salient, config.width, config.dropout) == (10, 10, 128, 0.1)
    assert (config.likelihood, config.library, config.batches, config.wasserstein_weight) == ("zinb", "observed", 0, 0)
    (adam,) = prepared(small(), (GENES,)).optimizers.values()
    assert (adam.defaults["lr"], adam.defaults["eps"], adam.defaults["weight_decay"]) == (1e-3, 0.01, 1e-6)
    normalisation = prepared(small(), (GENES,)).network["common"].hidden[1]
    assert (normalisation.momentum, normalisation.eps) == (0.01, 1e-3)


# Every term from its formula


def hidden(layers: torch.nn.Module, inputs: np.ndarray) -> np.ndarray:
    """Linear, batch normalisation over the rows, ReLU, in NumPy."""
    linear, normalisation, _ = layers
    values = inputs @ array(linear.weight).T + array(linear.bias)
    values = (values - values.mean(0)) / np.sqrt(values.var(0) + 1e-3)
    return np.maximum(values * array(normalisation.weight) + array(normalisation.bias), 0)


def linear(layer: torch.nn.Linear, inputs: np.ndarray) -> np.ndarray:
    return inputs @ array(layer.weight).T + array(layer.bias)


def posterior(encoder: torch.nn.Module, inputs: np.ndarray, generator: torch.Generator) -> tuple[np.ndarray, ...]:
    """Mean and variance, with dropout of a half."""
    values = hidden(encoder.hidden, inputs)
    values = 2 * values * (torch.rand(values.shape, generator=generator) >= 0.5).numpy()
    return linear(encoder.mean, values), np.exp(linear(encoder.log_variance, values)) + 1e-4


def sampled(mean: np.ndarray, variance: np.ndarray, generator: torch.Generator) -> np.ndarray:
    return mean + np.sqrt(variance) * torch.randn(mean.shape, generator=generator).numpy()


def kl(mean: np.ndarray, variance: np.ndarray, prior_mean: object = 0.0, prior_variance: object = 1.0) -> float:
    """KL(N(mean, variance) || N(prior_mean, prior_variance)), summed."""
    ratio = variance / prior_variance
    return float((((mean - prior_mean) ** 2 / prior_variance + ratio - 1 - np.log(ratio)) / 2).sum())


def log_probability(x: np.ndarray, mu: np.ndarray, theta: np.ndarray, logits: np.ndarray | None) -> float:
    log_gamma = np.vectorize(math.lgamma)
    kept = theta * np.log(theta / (theta + mu)) + x * np.log(mu / (theta + mu))
    kept += log_gamma(x + theta) - log_gamma(theta) - log_gamma(x + 1)
    if logits is None:
        return float(kept.sum())
    lost = 1 / (1 + np.exp(-logits))
    return float(np.log(np.where(x == 0, lost, 0) + (1 - lost) * np.exp(kept)).sum())


@pytest.mark.parametrize("batches", [0, 3])
@pytest.mark.parametrize("library", ["observed", "inferred"])
@pytest.mark.parametrize("likelihood", ["zinb", "nb"])
def test_a_step_has_the_terms_of_the_formula(prepared, likelihood, library, batches):
    settings = {"likelihood": likelihood, "library": library, "batches": batches, "wasserstein_weight": 2.5}
    method = prepared(small(**settings, dropout=0.5, warm_up_epochs=2), (GENES + batches,))
    parts = [
        torch.cat([counts_of(8, seed), one_hot(8, batches) if batches else torch.zeros(8, 0)], 1) for seed in (0, 1)
    ]
    method.library_prior = LibraryPrior.of(Rows.of(torch.cat(parts), batches))
    method.begin_epoch()
    method.begin_epoch()  # the second of two epochs of warm-up: half
    network, generator = method.network, context().randomness.noise

    x, batch = np.split(array(torch.cat(parts)), [GENES], axis=1)
    inputs = np.concatenate([np.log(1 + x), batch], 1)
    common, salient = (posterior(network[space], inputs, generator) for space in ("common", "salient"))
    c = sampled(*common, generator)
    s = np.concatenate([np.zeros((8, 2)), sampled(*(part[8:] for part in salient), generator)])
    total = np.log(x.sum(1, keepdims=True))
    library_kl = 0.0
    if library == "inferred":
        groups = batch if batches else np.ones((16, 1))
        means = np.array([total[group == 1].mean() for group in groups.T])
        variances = np.array([total[group == 1].var() for group in groups.T])
        inferred = posterior(network["library"], inputs, generator)
        library_kl = kl(*inferred, (groups @ means)[:, None], (groups @ variances)[:, None])
        total = sampled(*inferred, generator)
    values = hidden(network["decoder"].hidden, np.concatenate([c, s, batch], 1))
    shares, *logits = (linear(head, values) for head in network["decoder"].heads)
    shares = np.exp(shares) / np.exp(shares).sum(1, keepdims=True)
    theta = np.exp(array(network["decoder"].log_dispersion))
    expected = {
        "reconstruction": -log_probability(x, np.exp(total) * shares, theta, *logits or [None]) / 8,
        "library_kl": library_kl / 8,
        "common_kl": kl(*common) / 8,
        "salient_kl": kl(*(part[8:] for part in salient)) / 8,
        "wasserstein": float((salient[0][:8] ** 2 + salient[1][:8]).sum()) / 8,
    }
    latent = expected["common_kl"] + expected["salient_kl"] + 2.5 * expected["wasserstein"]
    expected["total"] = expected["reconstruction"] + expected["library_kl"] + latent / 2

    found = method.training_step(*(Batch(part, {}) for part in parts), context())

    assert {name: term.item() for name, term in found.items()} == pytest.approx(expected, rel=2e-5)


def test_kl_terms_warm_up_over_at_most_half_of_the_run(prepared):
    def weights(**fields):
        warm_up = prepared(small(**fields), (GENES,)).network["warm_up"]
        found = []
        for _ in range(6):
            warm_up.begin_epoch()
            found.append(warm_up().item())
        return found

    assert weights(epochs=8) == [0, 0.25, 0.5, 0.75, 1, 1]
    assert weights(epochs=100, warm_up_epochs=2) == [0, 0.5, 1, 1, 1, 1]
    assert prepared(small(epochs=800), (GENES,)).network["warm_up"].epochs == 400
    assert WarmUp(400)().item() == 0


def test_dropout_keeps_the_mean_and_takes_the_rate():
    found = dropped(torch.ones(100, 1000), 0.1, torch.Generator().manual_seed(0))
    assert (found == 0).float().mean().item() == pytest.approx(0.1, abs=0.005)
    assert found.mean().item() == pytest.approx(1, abs=0.005)
    assert torch.equal(dropped(found, 0.0, torch.Generator()), found)


# Library and batches


def test_the_prior_of_the_library_is_that_of_each_batch():
    counts, batch = counts_of(60), one_hot(60, 3)
    prior = LibraryPrior.of(Rows.of(torch.cat([counts, batch], 1), 3))
    totals = np.log(counts.sum(1).numpy())
    np.testing.assert_allclose(prior.mean[:, 0], [totals[start::3].mean() for start in range(3)], rtol=1e-5)
    np.testing.assert_allclose(prior.variance[:, 0], [totals[start::3].var() for start in range(3)], rtol=1e-5)
    whole = LibraryPrior.of(Rows.of(counts, 0))
    assert (whole.mean.item(), whole.variance.item()) == pytest.approx((totals.mean(), totals.var()), rel=1e-5)


def test_rows_of_one_total_have_a_prior_of_some_width():
    assert LibraryPrior.of(Rows.of(torch.full((5, GENES), 2.0), 0)).variance.item() == pytest.approx(1e-4)


def test_a_row_carries_its_batch(planted_counts):
    rows = [torch.cat([counts_of(40, seed), one_hot(40, 2)], 1) for seed in (0, 1)]
    data = with_rows(planted_counts.read("train"), *rows)
    method = small(batches=2, library="inferred")
    check_method(method, data.info)
    method.fit(data, context())
    moved = rows[0].clone()
    moved[:, -2:] = 1 - moved[:, -2:]
    for found, other in zip(method.encode(rows[0]), method.encode(moved), strict=True):
        assert (found != other).any(1).all()
    alone = method.encode(rows[0][:1])
    torch.testing.assert_close(alone.salient, method.encode(rows[0]).salient[:1])


@pytest.mark.parametrize(
    "wrong", [torch.zeros(40, 2), torch.ones(40, 2), torch.full((40, 2), 0.5)], ids=["0", "1", "half"]
)
def test_columns_that_are_no_indicators_are_refused(planted_counts, wrong):
    data = with_rows(planted_counts.read("train"), *(torch.cat([counts_of(40), wrong], 1) for _ in range(2)))
    with pytest.raises(UserError, match="last 2 columns of planted_counts are not indicators of batches"):
        small(batches=2).fit(data, context())


# Rows without counts


def test_rows_without_counts_are_left_out_of_training_and_have_vectors(planted_counts):
    train = planted_counts.read("train")
    nothing = torch.zeros(3, GENES)
    method, other = small(), small()
    method.fit(with_rows(train, torch.cat([nothing, counts_of(40)]), torch.cat([counts_of(40, 1), nothing])), context())
    other.fit(with_rows(train, counts_of(40), counts_of(40, 1)), context())
    for found, expected in zip(method.encode(nothing), other.encode(nothing), strict=True):
        assert torch.equal(found, expected)
        assert found.isfinite().all()


def test_too_few_rows_with_counts_are_refused(planted_counts):
    train, nothing = planted_counts.read("train"), torch.zeros(40, GENES)
    with pytest.raises(UserError, match="No target row of planted_counts holds a count"):
        small().fit(with_rows(train, counts_of(40), nothing), context())
    with pytest.raises(UserError, match="contrastivevi needs 4 training rows, but planted_counts has 2"):
        small().fit(with_rows(train, *2 * [torch.cat([counts_of(1), nothing])]), context())


# Settings and data that do not fit


@pytest.mark.parametrize("fields", [{"dropout": 1.0}, {"library": "known"}, {"likelihood": "poisson"}, {"batches": -1}])
def test_wrong_settings_are_refused(fields):
    with pytest.raises(ConfigError, match=f"contrastivevi.{next(iter(fields))} = .* is not allowed"):
        ContrastiveVIConfig(**fields)


@pytest.mark.parametrize("batches", [1, 40, 41])
def test_batches_that_leave_no_genes_or_tell_nothing_are_refused(planted_counts, batches):
    with pytest.raises(UserError, match=f"contrastivevi.batches = {batches} does not fit planted_counts, which has 40"):
        check_method(small(batches=batches), planted_counts.info)


def test_real_numbers_and_images_are_refused(planted_table, planted_info):
    for info in (planted_table.info, planted_info):
        with pytest.raises(UserError, match="contrastivevi takes counts, but"):
            check_method(small(), info)


# What is learned


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_the_other_likelihood_and_library_pass_all_checks(inferred, check):
    try:
        check(inferred)
    except NotApplicable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def inferred(planted_counts) -> Subject:
    config = small(likelihood="nb", library="inferred", wasserstein_weight=1.0, learning_rate=1e-2).config
    return Subject(ContrastiveVI, config, planted_counts.read("train"))


def accuracy(method: ContrastiveVI, file, space: str, attribute: str) -> float:
    """Of a linear probe on targets, fitted on the training rows."""
    train, test = (file.read(split).target for split in ("train", "test"))
    vectors = [getattr(method.encode(part.images), space).numpy() for part in (train, test)]
    scale = vectors[0].std(0) + 1e-6
    probe = LogisticRegression(max_iter=1000).fit(vectors[0] / scale, train.attributes[attribute])
    return probe.score(vectors[1] / scale, test.attributes[attribute])


@pytest.fixture(scope="module", params=["zinb", "nb"])
def learned(request, planted_counts) -> ContrastiveVI:
    settings = {"epochs": 150, "batch_size": 64, "learning_rate": 1e-2, "d_common": 4, "d_salient": 4}
    method = small(**settings, width=64, likelihood=request.param, wasserstein_weight=10.0)
    method.fit(planted_counts.read("train"), context())
    return method


def test_planted_classes_are_found_where_they_belong(learned, planted_counts):
    scores = {
        (space, attribute): accuracy(learned, planted_counts, space, attribute)
        for space in ("common", "salient")
        for attribute in ("common_class", "salient_class")
    }
    assert scores["common", "common_class"] > 0.9
    assert scores["salient", "salient_class"] > 0.9
    assert scores["common", "common_class"] > scores["salient", "common_class"] + 0.2
    assert scores["salient", "salient_class"] > scores["common", "salient_class"] + 0.2


def test_the_distance_to_zero_draws_background_vectors_there(learned, planted_counts):
    train = planted_counts.read("train")
    background, target = (learned.encode(part.images).salient.square().sum(1).mean() for part in train[1:])
    assert background < 0.2 * target
