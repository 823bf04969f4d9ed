"""Probabilistic contrastive PCA: its identities, its bound, and unknown values, against NumPy in float64."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from scipy.stats import multivariate_normal

from cabench.config import ConfigError
from cabench.conformance import Subject, context, findings, load_subject
from cabench.data.dataset import ContrastiveDataset, Population
from cabench.errors import UserError
from cabench.method import Representation
from cabench.methods.cpca import CPCA, CPCAConfig
from cabench.methods.pcpca import PCPCA, PCPCAConfig
from cabench.methods.shared.contrastive_ppca import closed_form, gamma_bound, joint_covariances, of_known_values
from cabench.pictures.generation import reconstruct, remove_salient

SIZE, SHARED = 12, 2


def table(background: np.ndarray, target: np.ndarray) -> ContrastiveDataset:
    parts = (Population(torch.from_numpy(rows.astype(np.float32)), {}) for rows in (background, target))
    info = load_subject("pca").data.info
    return ContrastiveDataset(dataclasses.replace(info, image_shape=background.shape[1:]), *parts)


def fitted(data: ContrastiveDataset, **fields: object) -> PCPCA:
    method = PCPCA(PCPCAConfig(**fields))
    method.fit(data, context())
    return method


def rows(part: Population) -> np.ndarray:
    return part.images.double().numpy()


def covariance(part: Population) -> np.ndarray:
    return np.cov(rows(part).T, bias=True)


def model_covariance(method: PCPCA) -> np.ndarray:
    loadings = method.target.loadings.numpy()
    return loadings @ loadings.T + method.target.noise.item() * np.eye(len(loadings))


def contrastive_likelihood(loadings: np.ndarray, noise: float, c_target, c_background, gamma: float) -> float:
    """The card's L divided by the number of targets."""
    model = loadings @ loadings.T + noise * np.eye(len(loadings))
    difference = c_target - gamma * c_background
    return -((1 - gamma) * np.linalg.slogdet(model)[1] + np.trace(np.linalg.solve(model, difference))) / 2


@pytest.fixture(scope="module")
def data() -> ContrastiveDataset:
    """Two strong directions in both populations, two more in the target alone, about different means."""
    generator = np.random.default_rng(0)
    directions = np.linalg.qr(generator.normal(size=(SIZE, 4)))[0].T
    background = generator.normal(0, [4, 3], (300, 2)) @ directions[:2] - 1
    target = generator.normal(0, [4, 3, 3, 2.5], (400, 4)) @ directions + 2
    return table(*(part + 0.5 * generator.normal(size=part.shape) for part in (background, target)))


@pytest.fixture(scope="module")
def holey(data) -> ContrastiveDataset:
    """The same with a tenth of the values unknown."""
    generator = np.random.default_rng(1)
    parts = (np.where(generator.random(part.images.shape) < 0.1, np.nan, rows(part)) for part in data[1:])
    return table(*parts)


def test_the_maximum_is_that_of_the_formula(data):
    method = fitted(data, components=3, gamma=0.6)
    values, vectors = np.linalg.eigh(covariance(data.target) - 0.6 * covariance(data.background))
    noise = values[:-3].mean() / 0.4
    loadings = vectors[:, ::-1][:, :3] * np.sqrt(values[::-1][:3] / 0.4 - noise)
    assert method.target.noise.item() == pytest.approx(noise, rel=1e-6)
    np.testing.assert_allclose(
        model_covariance(method), loadings @ loadings.T + noise * np.eye(SIZE), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("gamma", [0.3, 0.6])
def test_it_is_stationary_and_no_neighbour_is_more_likely(data, gamma):
    method = fitted(data, gamma=gamma)
    generator = np.random.default_rng(0)
    known = covariance(data.target), covariance(data.background), gamma
    loadings, noise = method.target.loadings.numpy(), method.target.noise.item()
    best = contrastive_likelihood(loadings, noise, *known)
    for _ in range(20):
        step, change = generator.normal(size=loadings.shape), generator.normal()
        ends = [contrastive_likelihood(loadings + e * step, noise + e * change, *known) for e in (1e-4, -1e-4)]
        assert abs(ends[0] - ends[1]) / 2e-4 < 1e-3
        assert max(ends) < best + 1e-9


def test_without_background_it_is_probabilistic_pca(data):
    """gamma = 0: scikit-learn's maximum of the likelihood, whose covariances have the divisor n - 1."""
    from sklearn.decomposition import PCA

    method = fitted(data, components=3, bound_share=0.0)
    assert method.gamma == 0
    theirs = PCA(3).fit(rows(data.target)).get_covariance()
    n = len(data.target)
    np.testing.assert_allclose(model_covariance(method), theirs * (n - 1) / n, atol=1e-6)


def test_salient_directions_are_those_of_contrastive_pca(data):
    """The card's subspace identity, through both methods as they are."""
    method = fitted(data, gamma=0.7)
    # Contrastive PCA takes covariances of divisor n - 1.
    alpha = 0.7 * (1 - 1 / len(data.background)) / (1 - 1 / len(data.target))
    contrastive = CPCA(CPCAConfig(alpha=alpha, standardize=False))
    contrastive.fit(data, context())
    assert subspace_angles(method.target.directions.numpy(), contrastive.salient.double().numpy()).max() < 1e-5
    ours, theirs = (one.encode(data.target.images).salient for one in (method, contrastive))
    ratios = ours / theirs
    torch.testing.assert_close(ratios, ratios[:1].expand_as(ratios), rtol=1e-2, atol=1e-3)


def test_what_the_target_alone_has_is_found(data):
    directions = np.linalg.qr(np.random.default_rng(0).normal(size=(SIZE, 4)))[0]
    method = fitted(data)
    assert np.cos(subspace_angles(method.target.directions.numpy(), directions[:, 2:])).min() > 0.97
    assert np.cos(subspace_angles(method.background.directions.numpy(), directions[:, :2])).min() > 0.99


def test_the_bound_is_where_the_noise_ends():
    """The card's example: C_t = diag(10, .4, .4, .4), C_b = I, one component. The released bound says 3.73."""
    signs = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], dtype=float)
    signs = np.concatenate([signs, -signs])
    data = table(signs, signs * np.sqrt([10, 0.4, 0.4, 0.4]))
    with pytest.raises(
        UserError, match=r"pcpca.gamma = 0.8 is not allowed .* with 1 components it must be below 0.4, from"
    ):
        fitted(data, components=1, gamma=0.8)
    method = fitted(data, components=1)
    assert method.gamma == pytest.approx(0.9 * 0.4)
    assert method.target.noise.item() == pytest.approx((0.4 - 0.36) / (1 - 0.36))


def test_just_below_its_bound_the_noise_is_almost_nothing(data):
    method = fitted(data, components=3, bound_share=0.999)
    tail = np.linalg.eigvalsh(covariance(data.target) - method.gamma / 0.999 * covariance(data.background))[:-3].sum()
    assert abs(tail) < 1e-6
    assert 0 < method.target.noise < 0.01


def test_where_the_targets_vary_most_everywhere_the_bound_is_one(data):
    method = fitted(table(0.1 * rows(data.background), rows(data.target)))
    assert method.gamma == pytest.approx(0.9)


def test_new_rows_of_either_population_are_centred_by_the_target(data):
    method = fitted(data, gamma=0.5)
    at_mean = method.encode(data.target.images.mean(0, keepdim=True))
    assert max(vectors.abs().max() for vectors in at_mean) < 1e-5
    loadings = method.target.loadings.numpy()
    inner = loadings.T @ loadings + method.target.noise.item() * np.eye(2)
    expected = np.linalg.solve(inner, loadings.T @ (rows(data.background) - rows(data.target).mean(0)).T).T
    np.testing.assert_allclose(method.encode(data.background.images).salient.numpy(), expected, atol=1e-5)


def test_codes_and_likelihood_of_known_values_are_those_of_dense_formulas(data, holey):
    method = fitted(data, gamma=0.6)
    few = holey.target.images[:40].clone()
    few[0] = torch.nan
    dense, mean = model_covariance(method), method.target.mean.numpy()
    loadings = method.target.loadings.numpy()
    imputed, codes = method.impute(few).numpy(), method.encode(few).salient.numpy()
    likelihoods = method.log_likelihood(few).numpy()
    for i, row in enumerate(few.double().numpy()):
        known = ~np.isnan(row)
        weights = np.linalg.solve(dense[np.ix_(known, known)], (row - mean)[known])
        np.testing.assert_allclose(codes[i], loadings[known].T @ weights, atol=1e-5)
        np.testing.assert_allclose(imputed[i, known], row[known])
        np.testing.assert_allclose(imputed[i, ~known], (mean + dense[:, known] @ weights)[~known], atol=1e-5)
        if known.any():
            density = multivariate_normal(mean[known], dense[np.ix_(known, known)]).logpdf(row[known])
            assert likelihoods[i] == pytest.approx(density, rel=1e-6)
    assert abs(likelihoods[0]) < 1e-12


def test_a_row_is_encoded_alike_whether_others_have_unknown_values(data, holey):
    method = fitted(data, gamma=0.6)
    alone = method.encode(data.target.images[:5])
    beside = method.encode(torch.cat([data.target.images[:5], holey.target.images[:5]]))
    for one, other in zip(alone, beside, strict=True):
        torch.testing.assert_close(one, other[:5])


def test_climbing_from_afar_reaches_the_closed_form(data):
    """The likelihood of known values, where all are known: the closed form is its maximum."""
    background, target = data.background.images.double(), data.target.images.double()
    joint = joint_covariances(background, target)
    afar = closed_form(joint, 2, 0.0)
    found = of_known_values(background, target, 0.6, afar, background.mean(0))
    expected = closed_form(joint, 2, 0.6)
    torch.testing.assert_close(found.mean, expected.mean, rtol=0, atol=1e-3)
    torch.testing.assert_close(found.noise, expected.noise, rtol=1e-3, atol=0)
    torch.testing.assert_close(found.loadings, expected.loadings, rtol=1e-3, atol=5e-3)


def test_beyond_the_bound_climbing_runs_away_and_says_so(data):
    """The card's trap: the likelihood grows without limit as the noise goes to 0."""
    background, target = data.background.images.double(), data.target.images.double()
    joint = joint_covariances(background, target)
    beyond = (1 + gamma_bound(joint, 4)) / 2
    assert gamma_bound(joint, 4) < 1
    assert of_known_values(background, target, beyond, closed_form(joint, 4, 0.3), background.mean(0)) is None


def test_unknown_values_are_imputed_better_than_by_means(data, holey):
    method = fitted(holey, components=4, gamma=0.3)
    unknown = holey.target.images.isnan()
    truth = data.target.images[unknown]
    error = (method.impute(holey.target.images)[unknown] - truth).square().mean().sqrt()
    means = holey.target.images.nanmean(0).expand_as(unknown)[unknown]
    assert error < 0.6 * (means - truth).square().mean().sqrt()


def test_with_unknown_values_the_same_directions_are_found(data, holey):
    complete, method = fitted(data, gamma=0.6), fitted(holey, gamma=0.6)
    for space in ("target", "background"):
        found, expected = (getattr(one, space).directions.numpy() for one in (method, complete))
        assert np.cos(subspace_angles(found, expected)).min() > 0.95
    torch.testing.assert_close(method.target.mean, complete.target.mean, rtol=0, atol=0.3)


def test_with_unknown_values_units_and_origins_change_nothing(holey):
    moved = table(*(rows(part) * 4096 + 2**15 for part in holey[1:]))
    one, other = fitted(holey, gamma=0.5), fitted(moved, gamma=0.5)
    torch.testing.assert_close(other.target.lengths, one.target.lengths * 4096, rtol=1e-4, atol=0)
    torch.testing.assert_close(other.target.noise, one.target.noise * 4096**2, rtol=1e-4, atol=0)
    torch.testing.assert_close(other.target.mean, one.target.mean * 4096 + 2**15, rtol=1e-4, atol=0)


def test_with_unknown_values_it_is_stationary(holey):
    """The gradient of the sum of densities of known values, by differences of SciPy's."""
    background, target = (rows(part) for part in holey[1:])
    b_mean, start = np.nanmean(background, 0), fitted(holey, gamma=0.3).target
    found = of_known_values(*map(torch.from_numpy, (background, target)), 0.5, start, torch.from_numpy(b_mean))

    def likelihood(shift: np.ndarray, loadings: np.ndarray, noise: float) -> float:
        dense = loadings @ loadings.T + noise * np.eye(SIZE)
        total = 0.0
        for part, mean, weight in ((target, found.mean.numpy() + shift, 1), (background, b_mean, -0.5 * 4 / 3)):
            for row in part:
                known = ~np.isnan(row)
                total += weight * multivariate_normal(mean[known], dense[np.ix_(known, known)]).logpdf(row[known])
        return total

    generator = np.random.default_rng(0)
    best = np.zeros(SIZE), found.loadings.numpy(), found.noise.item()
    for steps in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        step = [1e-4 * use * generator.normal(size=np.shape(part)) for use, part in zip(steps, best, strict=True)]
        ends = [likelihood(*(part + e * move for part, move in zip(best, step, strict=True))) for e in (1, -1)]
        assert abs(ends[0] - ends[1]) / 2e-4 < 0.05  # of a likelihood of thousands
        assert max(ends) <= likelihood(*best) + 1e-9


def test_a_chosen_gamma_is_lowered_until_known_values_have_a_maximum(data):
    """Where targets have fewer known values than backgrounds, the bound of filled rows is too high."""
    generator = np.random.default_rng(0)
    sparse = np.where(generator.random(data.target.images.shape) < 0.5, np.nan, rows(data.target))[:150]
    some = table(rows(data.background)[:150], sparse)
    chosen = fitted(some)
    assert 0.1 < chosen.gamma < 0.4
    assert chosen.encode(some.target.images).salient.isfinite().all()
    with pytest.raises(UserError, match=r"pcpca.gamma = 0.45 is not allowed .* likelihood of the known values grows"):
        fitted(some, gamma=0.45)


def test_where_there_is_no_maximum_at_all_the_background_is_left_out(data):
    """Rows that know a value or two: even probabilistic PCA of the targets has no maximum."""
    generator = np.random.default_rng(0)
    hardly = table(
        *(np.where(generator.random(part.images.shape) < 0.93, np.nan, rows(part))[:60] for part in data[1:])
    )
    method = fitted(hardly, components=4)
    assert method.gamma == 0
    assert all(vectors.isfinite().all() for vectors in method.encode(hardly.target.images))


def test_a_value_that_no_target_knows_has_no_part_in_the_model_of_targets(data, holey):
    background, target = rows(holey.background), rows(holey.target)
    target[:, 3] = np.nan
    method = fitted(table(background, target), gamma=0.5)
    without = fitted(table(np.delete(background, 3, 1), np.delete(target, 3, 1)), gamma=0.5)
    kept = np.delete(np.arange(SIZE), 3)
    assert not method.target.directions[3].any()
    assert (
        np.cos(subspace_angles(method.target.directions[kept].numpy(), without.target.directions.numpy())).min() > 0.99
    )
    assert method.background.directions[3].any()
    known = holey.target.images.clone()
    known[:, 3] = 100
    torch.testing.assert_close(method.encode(known).salient, method.encode(table(background, target).target.images)[1])
    assert method.impute(known.new_full((1, SIZE), torch.nan))[0, 3] == pytest.approx(
        np.nanmean(background[:, 3]), abs=0.5
    )


def test_rows_of_which_nothing_is_known_change_nothing(holey):
    nothing = np.full((200, SIZE), np.nan)
    more = table(*(np.concatenate([nothing, rows(part)]) for part in holey[1:]))
    for one, other in zip(fitted(more, gamma=0.5).target, fitted(holey, gamma=0.5).target, strict=True):
        assert torch.equal(one, other)
    with pytest.raises(UserError, match="no value is known of any training row of a population"):
        fitted(table(nothing, rows(holey.target)))


def test_conformance_with_unknown_values(holey):
    subject = Subject(PCPCA, PCPCAConfig(gamma=0.5), holey)
    found = list(findings(subject))
    assert not [str(finding) for finding in found if finding.outcome == "FAILED"]
    assert sum(finding.outcome == "passed" for finding in found) > 8


def test_rows_are_decoded_as_the_sum_of_both_parts(data):
    method = fitted(data, gamma=0.6)
    images = data.target.images
    own = method.target.directions.numpy()
    background_mean = data.background.images.double().mean(0)
    removed = (remove_salient(method, images).double() - background_mean).numpy()
    np.testing.assert_allclose(removed @ own, 0, atol=1e-5)
    assert (reconstruct(method, images) - images).square().mean() < 0.3 * images.var(0).mean()
    nothing = Representation(*(torch.zeros(1, 2) for _ in range(2)))
    torch.testing.assert_close(method.decode(nothing)[0].double(), background_mean, rtol=1e-6, atol=1e-6)
    faint = Representation(torch.zeros(1, 2), torch.full((1, 2), 1e-9))
    torch.testing.assert_close(method.decode(faint)[0].double(), method.target.mean, rtol=1e-6, atol=1e-6)


def test_targets_of_one_known_value_and_constants_with_gaps_are_refused_or_fitted(data):
    """The search for a maximum meets a noise of nothing there, of which no matrix can be inverted."""
    gap = data.target.images.clone()
    gap[:, 1:] = torch.nan
    constant = torch.ones_like(data.background.images)
    constant[0, 0] = torch.nan
    for target in (gap, constant):
        with pytest.raises(UserError, match="vary in fewer than two directions"):
            fitted(data._replace(target=Population(target, {})))
    method = fitted(data._replace(background=Population(constant, {})))
    assert method.encode(data.target.images).salient.isfinite().all()


@pytest.mark.parametrize("fields", [{}, {"gamma": 0.2}, {"components": 6}], ids=str)
@pytest.mark.parametrize("values", [15, 30, 90])
def test_few_rows_give_what_covariances_give(fields, values):
    """Of 15 values a covariance is formed, of 30 its products alone, of 90 one in the span of all rows."""
    generator = np.random.default_rng(3)
    background, target = generator.normal(size=(2, 25, values)) * np.geomspace(5, 0.5, values)
    target[:, :3] += generator.normal(0, 9, (25, 3))
    background[:, -3:] = 4
    data = table(background, target)
    method = fitted(data, **fields)
    count = method.target.lengths.numel()

    def eigen(gamma):
        return np.linalg.eigh(covariance(data.target) - gamma * covariance(data.background))

    if not method.config.gamma:
        bound = method.gamma / 0.9
        assert eigen(bound * (1 - 1e-6))[0][:-count].sum() > 0
        assert bound == 1 or eigen(bound * (1 + 1e-6))[0][:-count].sum() < 0
    strengths, vectors = eigen(method.gamma)
    noise = strengths[:-count].mean() / (1 - method.gamma)
    assert method.target.noise.item() == pytest.approx(noise, rel=1e-6)
    expected = np.sqrt(strengths[::-1][:count] / (1 - method.gamma) - noise)
    np.testing.assert_allclose(method.target.lengths, expected, rtol=1e-6)
    assert subspace_angles(method.target.directions.numpy(), vectors[:, -count:]).max() < 1e-6
    own = np.linalg.eigh(covariance(data.background))[1][:, -count:]
    assert subspace_angles(method.background.directions.numpy(), own).max() < 1e-6


def test_where_values_exceed_both_populations_rows_no_pairs_of_values_are_formed(square_matrices):
    generator = np.random.default_rng(3)
    data = table(generator.normal(size=(120, 200)), generator.normal(size=(130, 200)))
    with square_matrices(200) as seen:
        fitted(data)
    assert not seen.made


def test_a_table_of_two_features_has_one_component():
    generator = np.random.default_rng(0)
    rows_of_two = generator.normal(size=(60, 2))
    data = table(*np.split(rows_of_two, 2))
    common, salient = fitted(data, components=10).encode(data.images)
    assert common.shape == salient.shape == (60, 1)


def test_targets_that_vary_in_one_direction_are_refused():
    data = table(np.random.default_rng(0).normal(size=(9, 3)), np.outer(np.arange(9), [1, 2, 3]))
    with pytest.raises(UserError, match=r"the target's training rows vary in fewer than two directions"):
        fitted(data)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"components": 0}, r"pcpca.components = 0 is not allowed; it must be at least 1"),
        ({"gamma": -0.1}, r"pcpca.gamma = -0.1 is not allowed; it must be at least 0"),
        ({"gamma": 1.0}, r"pcpca.gamma = 1.0 is not allowed; it must be below 1"),
        ({"bound_share": 1.0}, r"pcpca.bound_share = 1.0 is not allowed; it must be .* at most 0.999"),
    ],
)
def test_wrong_values_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        PCPCAConfig(**fields)


def test_images_that_are_too_many_and_large_are_refused(planted_info):
    info = dataclasses.replace(planted_info, image_shape=(3, 128, 128), counts={"train": {"target": 10_000}})
    with pytest.raises(UserError, match=r"pcpca needs a covariance .* has 49152"):
        PCPCA().check(info)
