"""The shape of the spaces: lengths, clouds, clusters, and dependence of one space on the other."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import kstest
from sklearn.cluster import KMeans
from sklearn.linear_model import Ridge
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    normalized_mutual_info_score,
    r2_score,
    silhouette_score,
)
from sklearn.preprocessing import StandardScaler

from cabench.data.dataset import spaced
from cabench.evaluation.metrics.shape import (
    CLUSTER_SEEDS,
    MOST_BY_HSIC,
    MOST_BY_SILHOUETTE,
    PERMUTATIONS,
    cluster_scores,
    hsic,
    norm_ratio,
    silhouette,
    space_r2,
)
from cabench.evaluation.probes import ProbeConfig
from cabench.evaluation.score import Measurement, NotMeasurableError


def error(measured: Measurement) -> float:
    """The standard error over the draw of single images."""
    assert measured.influence is not None
    assert measured.standard_error is None
    return float(np.sqrt(np.sum(measured.influence**2)))


def assert_equals_jackknife(
    measured: Measurement, without: Callable[[np.ndarray], Measurement], groups: np.ndarray, rel: float
) -> None:
    """The influence, summed by group, against what the value loses without each group; `rel` is of the largest.

    `without` measures the rows that a bool mask keeps.
    """
    assert measured.influence is not None
    lost = np.array([measured.value - without(groups != group).value for group in np.unique(groups)])
    summed = np.bincount(np.unique(groups, return_inverse=True)[1], measured.influence)
    assert abs(measured.influence.sum()) < 1e-12
    np.testing.assert_allclose(summed, lost, rtol=0, atol=rel * np.abs(lost).max())


# Delete-one-group differs from the first order by about the share of a group's rows.
SINGLE, OF_TEN = np.arange(200), np.arange(200) // 10
DELETIONS = pytest.mark.parametrize(("groups", "rel"), [(SINGLE, 0.05), (OF_TEN, 0.15)], ids=["rows", "groups"])


def ungrouped_space_r2(
    train_from: np.ndarray, train_to: np.ndarray, test_from: np.ndarray, test_to: np.ndarray, config: ProbeConfig
) -> Measurement:
    """`space_r2` of images without groups."""
    return space_r2(train_from, train_to, np.arange(len(train_from)), test_from, test_to, config)


class TestNormRatio:
    """Lengths of background and target salient vectors: known ratios, and the spread over fresh test sets."""

    def test_ratio_by_hand(self) -> None:
        background, target = np.array([[3.0, 4.0], [0.0, 1.0]]), np.array([[0.0, 6.0]])

        assert norm_ratio(background, target).value == (5 + 1) / 2 / 6

    def test_background_vectors_of_zero_give_the_ideal_of_zero_without_error(self) -> None:
        target = np.random.default_rng(0).normal(size=(20, 3))

        measured = norm_ratio(np.zeros((10, 3)), target)

        assert (measured.value, error(measured), measured.perfect, measured.chance) == (0.0, 0.0, 0.0, 1.0)

    def test_vectors_that_know_nothing_of_the_population_give_chance(self) -> None:
        generator = np.random.default_rng(1)

        measured = norm_ratio(generator.normal(size=(2000, 4)), generator.normal(size=(3000, 4)))

        assert abs(measured.value - measured.chance) < 4 * error(measured)

    def test_only_lengths_and_not_directions_or_units_matter(self) -> None:
        generator = np.random.default_rng(2)
        background, target = generator.normal(size=(30, 3)), generator.normal(size=(40, 3))
        turn = np.linalg.qr(generator.normal(size=(3, 3)))[0]

        turned = norm_ratio(1e4 * background @ turn, -1e4 * target)

        plain = norm_ratio(background, target)
        assert turned.value == pytest.approx(plain.value)
        np.testing.assert_allclose(turned.influence, plain.influence)

    def test_lengths_grow_with_the_root_of_the_variance(self) -> None:
        generator = np.random.default_rng(3)

        measured = norm_ratio(0.3 * generator.normal(size=(4000, 5)), generator.normal(size=(4000, 5)))

        assert abs(measured.value - 0.3) < 4 * error(measured)

    def test_standard_error_is_the_spread_over_fresh_test_sets(self) -> None:
        generator = np.random.default_rng(4)
        measured = [
            norm_ratio(generator.normal(size=(80, 3)), 2 * generator.normal(size=(120, 3))) for _ in range(2000)
        ]

        spread = np.std([item.value for item in measured])

        # 2,000 draws tell their spread to 1.6 %; the delta method's own error is of order 1 / 80.
        assert np.mean([error(item) for item in measured]) == pytest.approx(spread, rel=0.07)

    def test_target_vectors_of_zero_are_refused(self) -> None:
        with pytest.raises(NotMeasurableError, match="target images are zero"):
            norm_ratio(np.ones((3, 2)), np.zeros((3, 2)))

    @pytest.mark.parametrize(("backgrounds", "targets"), [(0, 3), (3, 0), (0, 0)])
    def test_a_population_without_images_is_refused(self, backgrounds: int, targets: int) -> None:
        with pytest.raises(NotMeasurableError, match="no images"):
            norm_ratio(np.ones((backgrounds, 2)), np.ones((targets, 2)))

    def test_a_single_image_of_either_population(self) -> None:
        measured = norm_ratio(np.ones((1, 2)), np.ones((1, 2)))

        assert (measured.value, measured.chance, error(measured)) == pytest.approx((1.0, 1.0, 0.0))
        assert math.isfinite(measured.value)

    @DELETIONS
    def test_influence_is_what_the_value_loses_without_an_image(self, groups: np.ndarray, rel: float) -> None:
        generator = np.random.default_rng(5)
        rows = generator.normal(size=(200, 3)) * np.repeat([0.5, 1.0], [80, 120])[:, None]

        def measure(keep: np.ndarray) -> Measurement:
            return norm_ratio(rows[:80][keep[:80]], rows[80:][keep[80:]])

        assert_equals_jackknife(measure(np.full(200, True)), measure, groups, rel)


class TestSilhouette:
    """Silhouette of target against background: scikit-learn's, on standardised vectors, with known extremes."""

    @pytest.mark.parametrize("shift", [0.0, 1.0, 5.0])
    def test_equals_scikit_learn_on_standardised_vectors(self, shift: float) -> None:
        generator = np.random.default_rng(0)
        background, target = generator.normal(size=(90, 4)), generator.normal(shift, 1, size=(60, 4)) * [1, 10, 1e-3, 1]
        together = StandardScaler().fit_transform(np.concatenate([background, target]))

        expected = silhouette_score(together, np.repeat([0, 1], [90, 60]))

        assert silhouette(background, target).value == pytest.approx(expected, abs=1e-12)

    def test_two_points_are_perfectly_apart(self) -> None:
        measured = silhouette(np.zeros((5, 2)), np.ones((7, 2)))

        assert (measured.value, measured.perfect) == (1.0, 1.0)
        assert error(measured) == pytest.approx(0, abs=1e-12)

    def test_same_distribution_gives_chance(self) -> None:
        generator = np.random.default_rng(1)

        measured = silhouette(generator.normal(size=(800, 3)), generator.normal(size=(800, 3)))

        assert abs(measured.value - measured.chance) < 0.01

    def test_the_same_vectors_in_both_populations_lack_only_the_distance_of_each_to_itself(self) -> None:
        vectors = np.random.default_rng(2).normal(size=(50, 3))

        # The own population's mean distance is the other's times 50 / 49.
        assert silhouette(vectors, vectors).value == pytest.approx(-1 / 50)

    def test_permuted_populations_give_chance(self) -> None:
        generator = np.random.default_rng(3)
        vectors = generator.permutation(np.concatenate([np.zeros((200, 2)), np.ones((200, 2))]))

        assert abs(silhouette(vectors[:200], vectors[200:]).value) < 0.02

    def test_neither_population_nor_unit_nor_origin_matters(self) -> None:
        generator = np.random.default_rng(4)
        background, target = generator.normal(size=(40, 2)), generator.normal(1, 2, size=(30, 2))
        scale, shift = np.array([1e-4, -30.0]), np.array([5.0, 1e3])

        plain = silhouette(background, target)

        exchanged, moved = (
            silhouette(target, background),
            silhouette(background * scale + shift, target * scale + shift),
        )
        assert exchanged.value == pytest.approx(plain.value)
        assert moved.value == pytest.approx(plain.value)
        assert plain.influence is not None
        np.testing.assert_allclose(exchanged.influence, np.roll(plain.influence, 30), atol=1e-12)
        np.testing.assert_allclose(moved.influence, plain.influence, atol=1e-9)

    def test_a_population_to_both_sides_of_the_other_is_below_chance_by_hand(self) -> None:
        background, target = np.array([[0.0], [4.0]]), np.array([[1.0], [3.0]])

        # Background images: a = 4, b = 2. Target images: a = b = 2.
        assert silhouette(background, target).value == pytest.approx((-0.5 - 0.5 + 0 + 0) / 4)

    def test_of_many_images_evenly_spaced_ones_are_taken(self) -> None:
        generator = np.random.default_rng(6)
        background, target = generator.normal(size=(20, 2)), generator.normal(size=(MOST_BY_SILHOUETTE, 2))
        twice = np.repeat(target, 2, axis=0)

        thinned = silhouette(background, twice)

        taken = spaced(np.arange(2 * MOST_BY_SILHOUETTE), MOST_BY_SILHOUETTE)
        alone = silhouette(background, twice[taken])
        assert thinned.influence is not None
        assert thinned.value == alone.value
        np.testing.assert_array_equal(thinned.influence[np.concatenate([np.arange(20), 20 + taken])], alone.influence)
        assert np.sum(thinned.influence != 0) <= 20 + MOST_BY_SILHOUETTE
        assert thinned.value == pytest.approx(silhouette(background, target).value, abs=0.01)

    @DELETIONS
    @pytest.mark.parametrize("shift", [0.0, 1.0, 4.0])
    def test_influence_is_what_the_value_loses_without_an_image(
        self, shift: float, groups: np.ndarray, rel: float
    ) -> None:
        generator = np.random.default_rng(8)
        rows = generator.normal(size=(200, 3)) + np.repeat([0, shift], [80, 120])[:, None]
        rows *= np.where(np.arange(200) < 80, 1.0, 1.5)[:, None] * [1, 10, 0.1]

        def measure(keep: np.ndarray) -> Measurement:
            return silhouette(rows[:80][keep[:80]], rows[80:][keep[80:]])

        assert_equals_jackknife(measure(np.full(200, True)), measure, groups, rel)

    def test_standard_error_is_the_spread_over_fresh_test_sets(self) -> None:
        generator = np.random.default_rng(9)
        measured = [
            silhouette(generator.normal(size=(60, 2)), generator.normal(4, 1, size=(90, 2))) for _ in range(400)
        ]

        # 400 draws tell their spread to 3.5 %; three times that is allowed.
        spread = np.std([item.value for item in measured])
        assert np.mean([error(item) for item in measured]) == pytest.approx(spread, rel=0.11)

    @pytest.mark.parametrize(
        ("n", "most", "expected"), [(5, 3, [0, 2, 4]), (3, 3, [0, 1, 2]), (2, 3, [0, 1]), (0, 3, [])]
    )
    def test_spaced_rows_reach_from_the_first_to_the_last(self, n: int, most: int, expected: list[int]) -> None:
        np.testing.assert_array_equal(spaced(np.arange(n), most), expected)

    @pytest.mark.parametrize(("backgrounds", "targets"), [(1, 5), (5, 1), (0, 0)])
    def test_fewer_than_two_images_of_a_population_are_refused(self, backgrounds: int, targets: int) -> None:
        generator = np.random.default_rng(7)

        with pytest.raises(NotMeasurableError, match="fewer than two images"):
            silhouette(generator.normal(size=(backgrounds, 2)), generator.normal(size=(targets, 2)))

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
    def test_equal_vectors_are_refused(self, constant: float) -> None:
        with pytest.raises(NotMeasurableError, match="all vectors are equal"):
            silhouette(np.full((4, 2), constant), np.full((6, 2), constant))


CORNERS = np.array([[0.0, 0.0], [0.0, 9.0], [9.0, 0.0]])


def clouds(seed: int, spread: float = 1.0, n: int = 150) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(n) % 3)
    return CORNERS[labels] + spread * generator.normal(size=(n, 2)), labels


class TestClusters:
    """k-means clusters against classes: scikit-learn's scores, planted clusters, and what chance gives."""

    def test_planted_clusters_are_found(self) -> None:
        rand, information = cluster_scores(*clouds(0))

        assert (rand.value, rand.standard_error) == (1.0, 0.0)
        assert (information.value, information.standard_error) == (pytest.approx(1.0), pytest.approx(0.0))

    def test_values_are_means_of_scikit_learns_scores_over_seeds(self) -> None:
        features, labels = clouds(1, spread=5.0)
        scaled = StandardScaler().fit_transform(features)
        found = [KMeans(3, n_init=1, random_state=seed).fit(scaled).labels_ for seed in CLUSTER_SEEDS]

        rand, information = cluster_scores(features, labels)

        assert rand.value == pytest.approx(np.mean([adjusted_rand_score(labels, item) for item in found]))
        assert information.value == pytest.approx(
            np.mean([normalized_mutual_info_score(labels, item) for item in found])
        )

    def test_standard_error_is_that_of_the_mean_over_seeds(self) -> None:
        features, labels = clouds(2, spread=9.0)
        scaled = StandardScaler().fit_transform(features)
        scores = [
            adjusted_rand_score(labels, KMeans(3, n_init=1, random_state=seed).fit_predict(scaled))
            for seed in CLUSTER_SEEDS
        ]

        measured = cluster_scores(features, labels)[0]

        assert measured.standard_error == pytest.approx(np.std(scores, ddof=1) / np.sqrt(len(scores)))
        assert measured.standard_error > 0

    def test_names_of_classes_and_scales_of_features_do_not_matter(self) -> None:
        features, labels = clouds(3, spread=3.0)

        renamed = cluster_scores(features * [1e-2, 1e3] + [7, -2], np.array([9, 2, 4])[labels])

        for one, other in zip(renamed, cluster_scores(features, labels), strict=True):
            assert one[:3] == pytest.approx(other[:3], abs=1e-9)

    def test_chance_is_what_permuted_labels_reach_on_average(self) -> None:
        features, labels = clouds(4)
        generator = np.random.default_rng(4)
        permuted = [cluster_scores(features, generator.permutation(labels)) for _ in range(25)]
        rand, information = (np.array([scores[index].value for scores in permuted]) for index in (0, 1))

        assert abs(rand.mean()) < 4 * rand.std() / np.sqrt(25)
        assert permuted[0][0].chance == 0.0
        assert abs(information.mean() - permuted[0][1].chance) < 4 * information.std() / np.sqrt(25)
        assert permuted[0][1].chance > 0

    def test_chance_is_what_scikit_learns_adjusted_information_takes_off(self) -> None:
        features, labels = clouds(1, spread=5.0)
        scaled = StandardScaler().fit_transform(features)
        taken_off = []
        for seed in CLUSTER_SEEDS:
            found = KMeans(3, n_init=1, random_state=seed).fit_predict(scaled)
            plain, adjusted = (
                score(labels, found) for score in (normalized_mutual_info_score, adjusted_mutual_info_score)
            )
            taken_off.append((plain - adjusted) / (1 - adjusted))  # adjusted = (plain - chance) / (1 - chance)

        assert cluster_scores(features, labels)[1].chance == pytest.approx(np.mean(taken_off))

    def test_clusters_that_cut_across_the_classes_are_chance(self) -> None:
        features, sides = clouds(5)
        classes = np.empty(150, np.int64)
        for side in range(3):
            classes[sides == side] = np.arange(50) % 3

        rand, information = cluster_scores(features, classes)

        assert abs(rand.value) < 0.02
        assert abs(information.value - information.chance) < 0.02

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("images", [0, 1, 6])
    def test_fewer_than_two_classes_are_refused(self, images: int) -> None:
        with pytest.raises(NotMeasurableError, match="fewer than two classes"):
            cluster_scores(np.random.default_rng(6).normal(size=(images, 2)), np.zeros(images, np.int64))

    @pytest.mark.filterwarnings("error")
    def test_fewer_distinct_vectors_than_classes_are_refused(self) -> None:
        labels = np.arange(30) % 3

        with pytest.raises(NotMeasurableError, match="fewer distinct vectors than the 3 classes"):
            cluster_scores(np.eye(2)[labels % 2], labels)

    @pytest.mark.filterwarnings("error")
    def test_as_many_distinct_vectors_as_classes_are_enough_however_close_two_of_them_are(self) -> None:
        labels = np.repeat([0, 1, 2], [70, 5, 5])
        close = np.array([0, 1, np.nextafter(np.float32(1), np.float32(2))])

        assert cluster_scores(close[labels][:, None], labels)[0].value == 1.0


CONFIG = ProbeConfig()


LEAST = 1 / (1 + PERMUTATIONS)


def kernel(rows: np.ndarray) -> np.ndarray:
    distances = cdist(*(StandardScaler().fit_transform(rows),) * 2)
    width = np.median(distances[np.triu_indices(len(rows), 1)])
    return np.exp(-(distances**2) / (2 * width**2))


def weighted_hsic(kernels: list[np.ndarray], weights: np.ndarray) -> float:
    """Normalised, of images that count by their weights."""
    weights = weights / weights.sum()
    centring = np.eye(len(weights)) - weights
    first, second = (centring @ kernel @ centring.T for kernel in kernels)
    between, *own = (weights @ (one * other) @ weights for one, other in ((first, second), (first,) * 2, (second,) * 2))
    return float(between / np.sqrt(np.prod(own)))


class TestHsic:
    def test_value_is_the_normalised_trace(self) -> None:
        generator = np.random.default_rng(0)
        common = generator.normal(size=(61, 3))  # 1,830 pairs: the median is a mean of two, squared or not
        salient = common[:, :2] * [1e-3, 50] + [1, 0.01] * generator.normal(size=(61, 2))
        centring = np.eye(61) - 1 / 61
        first, second = (kernel(rows) @ centring for rows in (common, salient))

        expected = np.trace(first @ second) / np.sqrt(np.trace(first @ first) * np.trace(second @ second))

        assert hsic(common, salient).value == pytest.approx(expected, rel=1e-4)

    def test_a_space_with_itself_is_one_with_the_least_p_value(self) -> None:
        vectors = np.random.default_rng(1).normal(size=(50, 3))

        measured = hsic(vectors, -7 * vectors + 2)

        assert measured.value == pytest.approx(1.0)
        assert measured.p_value == LEAST

    def test_which_space_is_which_does_not_matter(self) -> None:
        generator = np.random.default_rng(2)
        common, salient = generator.normal(size=(40, 3)), generator.normal(size=(40, 2))

        assert hsic(salient, common).value == pytest.approx(hsic(common, salient).value)

    def test_p_values_of_independent_spaces_are_uniform(self) -> None:
        generator = np.random.default_rng(3)
        measured = [hsic(generator.normal(size=(25, 2)), generator.normal(size=(25, 3))) for _ in range(150)]

        assert kstest([item.p_value for item in measured], "uniform").pvalue > 0.01
        above = [item.value - item.chance for item in measured]
        assert abs(np.mean(above)) < 4 * np.std(above) / np.sqrt(150)

    def test_dependence_that_no_line_shows_is_found(self) -> None:
        generator = np.random.default_rng(4)
        common = generator.normal(size=(200, 1))
        salient = common**2 + 0.1 * generator.normal(size=(200, 1))

        measured = hsic(common, salient)

        assert measured.p_value == LEAST
        assert measured.value > measured.chance + 8 * error(measured)
        assert ungrouped_space_r2(common, salient, common, salient, CONFIG).value < 0.1

    def test_value_grows_with_the_strength_of_a_planted_leak(self) -> None:
        generator = np.random.default_rng(5)
        common, noise = generator.normal(size=(2, 300, 2))

        values = [hsic(common, share * common + noise).value for share in (0.0, 0.3, 1.0, 10.0)]

        assert values == sorted(values)
        assert values[0] < 0.05
        assert values[-1] > 0.9

    def test_images_paired_anew_are_independent(self) -> None:
        generator = np.random.default_rng(6)
        common = generator.normal(size=(200, 2))

        assert hsic(common, generator.permutation(common)).p_value > 0.01

    def test_permutations_that_give_the_same_value_count_as_reaching_it(self) -> None:
        one = np.eye(40)[:, :1]

        assert hsic(one, one[::-1]).p_value > 0.9

    def test_of_many_images_evenly_spaced_ones_are_taken(self) -> None:
        generator = np.random.default_rng(7)
        common, salient = generator.normal(size=(2, 3 * MOST_BY_HSIC, 2))

        measured = hsic(common, salient)
        taken = spaced(np.arange(3 * MOST_BY_HSIC), MOST_BY_HSIC)
        alone = hsic(common[taken], salient[taken])
        assert measured[:4] == alone[:4]
        assert measured.influence is not None
        np.testing.assert_array_equal(measured.influence[taken], alone.influence)
        assert np.sum(measured.influence != 0) <= MOST_BY_HSIC

    @pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
    def test_influence_is_what_the_value_changes_by_with_the_weight_of_an_image(self, share: float) -> None:
        generator = np.random.default_rng(9)
        common, noise = generator.normal(size=(2, 80, 3))
        kernels = [kernel(rows) for rows in (common, share * common + noise)]
        step = 1e-4

        measured = hsic(common, share * common + noise)

        changes = [
            (weighted_hsic(kernels, 1 + step * one) - weighted_hsic(kernels, 1 - step * one)) / (2 * step)
            for one in np.eye(80)
        ]
        # The width here is the median distance, there the root of the median square: of 3,160 pairs nearly the same.
        np.testing.assert_allclose(measured.influence, changes, atol=1e-4 * np.abs(changes).max())

    @pytest.mark.parametrize("groups", [SINGLE, OF_TEN], ids=["rows", "groups"])
    def test_standard_error_is_that_of_the_jackknife(self, groups: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("cabench.evaluation.metrics.shape.PERMUTATIONS", 1)
        generator = np.random.default_rng(9)
        common, noise = generator.normal(size=(2, 200, 3))
        measured = hsic(common, common + noise)
        kept = [groups != group for group in np.unique(groups)]
        lost = [measured.value - hsic(common[keep], (common + noise)[keep]).value for keep in kept]

        assert measured.influence is not None
        summed = np.bincount(groups, measured.influence)

        # The jackknife lets the kernels' widths vary, and is of higher order.
        assert np.corrcoef(summed, lost)[0, 1] > 0.98
        assert np.linalg.norm(summed) == pytest.approx(np.linalg.norm(lost - np.mean(lost)), rel=0.1)

    @pytest.mark.parametrize("sizes", [np.full(12, 5), np.arange(12) % 9 + 1], ids=["equal", "unequal"])
    def test_subjects_that_differ_in_both_spaces_are_no_dependence(self, sizes: np.ndarray) -> None:
        generator = np.random.default_rng(10)
        subjects = np.repeat(np.arange(12), sizes)
        p_values = []
        for _ in range(100):
            groups = generator.permutation(subjects)
            common, salient = generator.normal(size=(2, 12, 2))[:, groups] + generator.normal(size=(2, len(groups), 2))
            p_values.append((hsic(common, salient, groups).p_value, hsic(common, salient).p_value))

        by_groups, by_images = np.mean(np.array(p_values) <= 0.05, axis=0)

        # 100 draws tell a share of 5 % to 2.2 points.
        assert by_groups < 0.05 + 3 * 0.022
        assert by_images > 0.2

    def test_four_subjects_arrange_in_24_ways_at_most(self) -> None:
        generator = np.random.default_rng(11)
        common = generator.normal(size=(60, 2))
        groups = np.arange(60) % 4

        assert hsic(common, common, groups).p_value == pytest.approx(1 / 24, abs=0.04)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
    def test_equal_vectors_are_refused_by_the_name_of_their_space(self, constant: float) -> None:
        vectors, same = np.random.default_rng(8).normal(size=(20, 2)), np.full((20, 3), constant)

        with pytest.raises(NotMeasurableError, match="the common vectors of all images are equal"):
            hsic(same, vectors)
        with pytest.raises(NotMeasurableError, match="the salient vectors of all images are equal"):
            hsic(vectors, same)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("images", [0, 1, 2])
    def test_fewer_than_three_images_are_refused(self, images: int) -> None:
        with pytest.raises(NotMeasurableError, match="fewer than three images"):
            hsic(np.eye(3)[:images], np.eye(3)[:images])


class TestSpaceR2:
    @pytest.mark.parametrize("noise", [0.0, 0.5, 2.0])
    def test_planted_leak_is_read_at_its_share_of_the_variance(self, noise: float) -> None:
        generator = np.random.default_rng(9)
        law = np.linalg.qr(generator.normal(size=(3, 3)))[0]
        seen, hidden = generator.normal(size=(2, 6000, 3))
        leaked = seen @ law + noise * hidden

        measured = ungrouped_space_r2(seen[:3000], leaked[:3000], seen[3000:], leaked[3000:], CONFIG)

        # 3 coefficients fitted on 3,000 rows cost a thousandth, a penalty of 1e-5 nothing to speak of.
        assert abs(measured.value - 1 / (1 + noise**2)) < 4 * error(measured) + 2e-3

    def test_dimensions_count_by_their_variance(self) -> None:
        generator = np.random.default_rng(10)
        seen, hidden = generator.normal(size=(2, 4000, 1))
        leaked = np.c_[3 * seen, 1 * hidden]

        measured = ungrouped_space_r2(seen[:2000], leaked[:2000], seen[2000:], leaked[2000:], CONFIG)

        assert abs(measured.value - 9 / 10) < 4 * error(measured)

    def test_independent_spaces_give_chance(self) -> None:
        generator = np.random.default_rng(11)
        one, other = generator.normal(size=(2, 2000, 4))

        measured = ungrouped_space_r2(one[:1000], other[:1000], one[1000:], other[1000:], CONFIG)

        # 4 useless coefficients fitted on 1,000 rows cost 4 / 1000, less what the penalty holds back.
        assert -0.01 < measured.value < 0.005
        assert measured.chance == 0.0

    def test_equals_scikit_learn_for_a_single_penalty(self) -> None:
        generator = np.random.default_rng(12)
        seen = generator.normal(size=(80, 3)) * [1e-3, 1, 1e3]
        leaked = seen @ generator.normal(size=(3, 2)) + generator.normal(size=(80, 2))
        scaler = StandardScaler().fit(seen[:50])
        model = Ridge(alpha=50 * 0.1).fit(scaler.transform(seen[:50]), leaked[:50])

        measured = ungrouped_space_r2(seen[:50], leaked[:50], seen[50:], leaked[50:], ProbeConfig(penalties=(0.1,)))

        predicted = model.predict(scaler.transform(seen[50:]))
        assert measured.value == pytest.approx(r2_score(leaked[50:], predicted, multioutput="variance_weighted"))

    def test_standard_error_is_the_spread_over_fresh_test_sets(self) -> None:
        generator = np.random.default_rng(13)
        fitted = generator.normal(size=(1000, 2))
        fitted_to = fitted + generator.normal(size=(1000, 2))
        measured = []
        for _ in range(400):
            seen, hidden = generator.normal(size=(2, 200, 2))
            measured.append(ungrouped_space_r2(fitted, fitted_to, seen, seen + hidden, CONFIG))

        # 400 draws tell their spread to 3.5 %; three times that is allowed.
        spread = np.std([item.value for item in measured])
        assert np.mean([error(item) for item in measured]) == pytest.approx(spread, rel=0.11)

    @DELETIONS
    def test_influence_is_what_the_value_loses_without_an_image(self, groups: np.ndarray, rel: float) -> None:
        generator = np.random.default_rng(16)
        seen, hidden = generator.normal(size=(2, 500, 3))
        leaked = seen + hidden

        def measure(keep: np.ndarray) -> Measurement:
            return ungrouped_space_r2(seen[200:], leaked[200:], seen[:200][keep], leaked[:200][keep], CONFIG)

        assert_equals_jackknife(measure(np.full(200, True)), measure, groups, rel)

    def test_a_space_of_one_dimension(self) -> None:
        line = np.linspace(0, 1, 50)[:, None]

        assert ungrouped_space_r2(line, line, line, line, CONFIG).value == pytest.approx(1.0, abs=1e-9)

    @pytest.mark.filterwarnings("error")
    def test_a_constant_space_predicts_nothing(self) -> None:
        other = np.linspace(0, 1, 30)[:, None]

        measured = ungrouped_space_r2(np.full((30, 2), 0.1), other, np.full((30, 2), 0.1), other, CONFIG)

        assert measured.value == pytest.approx(0.0, abs=1e-12)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
    def test_a_constant_space_cannot_be_predicted(self, constant: float) -> None:
        one, same = np.random.default_rng(14).normal(size=(30, 2)), np.full((30, 2), constant)

        with pytest.raises(NotMeasurableError, match="constant"):
            ungrouped_space_r2(one, same, one, same, CONFIG)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize(("train", "test"), [(0, 9), (1, 9), (2, 9), (9, 0), (9, 1), (9, 2)])
    def test_fewer_than_three_images_are_refused(self, train: int, test: int) -> None:
        one, other = np.random.default_rng(15).normal(size=(2, 9, 2))

        with pytest.raises(NotMeasurableError, match="fewer than three images"):
            ungrouped_space_r2(one[:train], other[:train], one[:test], other[:test], CONFIG)
