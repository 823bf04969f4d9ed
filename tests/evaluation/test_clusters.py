"""k-means clusters against classes: scikit-learn's scores, planted clusters, and what chance gives."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, normalized_mutual_info_score
from sklearn.preprocessing import StandardScaler

from cabench.evaluation.clusters import SEEDS, cluster_scores
from cabench.evaluation.measurement import NotMeasurableError

CORNERS = np.array([[0.0, 0.0], [0.0, 9.0], [9.0, 0.0]])


def clouds(seed: int, spread: float = 1.0, n: int = 150) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(n) % 3)
    return CORNERS[labels] + spread * generator.normal(size=(n, 2)), labels


def test_planted_clusters_are_found() -> None:
    rand, information = cluster_scores(*clouds(0))

    assert (rand.value, rand.standard_error) == (1.0, 0.0)
    assert (information.value, information.standard_error) == (pytest.approx(1.0), pytest.approx(0.0))


def test_values_are_means_of_scikit_learns_scores_over_seeds() -> None:
    features, labels = clouds(1, spread=5.0)
    scaled = StandardScaler().fit_transform(features)
    found = [KMeans(3, n_init=1, random_state=seed).fit(scaled).labels_ for seed in SEEDS]

    rand, information = cluster_scores(features, labels)

    assert rand.value == pytest.approx(np.mean([adjusted_rand_score(labels, item) for item in found]))
    assert information.value == pytest.approx(np.mean([normalized_mutual_info_score(labels, item) for item in found]))


def test_standard_error_is_that_of_the_mean_over_seeds() -> None:
    features, labels = clouds(2, spread=9.0)
    scaled = StandardScaler().fit_transform(features)
    scores = [adjusted_rand_score(labels, KMeans(3, n_init=1, random_state=seed).fit_predict(scaled)) for seed in SEEDS]

    measured = cluster_scores(features, labels)[0]

    assert measured.standard_error == pytest.approx(np.std(scores, ddof=1) / np.sqrt(len(scores)))
    assert measured.standard_error > 0


def test_names_of_classes_and_scales_of_features_do_not_matter() -> None:
    features, labels = clouds(3, spread=3.0)

    renamed = cluster_scores(features * [1e-3, 1e4] + [7, -2], np.array([9, 2, 4])[labels])

    for one, other in zip(renamed, cluster_scores(features, labels), strict=True):
        assert one[:3] == pytest.approx(other[:3], abs=1e-9)


def test_chance_is_what_permuted_labels_reach_on_average() -> None:
    features, labels = clouds(4)
    generator = np.random.default_rng(4)
    permuted = [cluster_scores(features, generator.permutation(labels)) for _ in range(25)]
    rand, information = (np.array([scores[index].value for scores in permuted]) for index in (0, 1))

    assert abs(rand.mean()) < 4 * rand.std() / np.sqrt(25)
    assert permuted[0][0].chance == 0.0
    assert abs(information.mean() - permuted[0][1].chance) < 4 * information.std() / np.sqrt(25)
    assert permuted[0][1].chance > 0


def test_chance_is_what_scikit_learns_adjusted_information_takes_off() -> None:
    features, labels = clouds(1, spread=5.0)
    scaled = StandardScaler().fit_transform(features)
    taken_off = []
    for seed in SEEDS:
        found = KMeans(3, n_init=1, random_state=seed).fit_predict(scaled)
        plain, adjusted = (score(labels, found) for score in (normalized_mutual_info_score, adjusted_mutual_info_score))
        taken_off.append((plain - adjusted) / (1 - adjusted))  # adjusted = (plain - chance) / (1 - chance)

    assert cluster_scores(features, labels)[1].chance == pytest.approx(np.mean(taken_off))


def test_clusters_that_cut_across_the_classes_are_chance() -> None:
    features, sides = clouds(5)
    classes = np.empty(150, np.int64)
    for side in range(3):
        classes[sides == side] = np.arange(50) % 3

    rand, information = cluster_scores(features, classes)

    assert abs(rand.value) < 0.02
    assert abs(information.value - information.chance) < 0.02


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("images", [0, 1, 6])
def test_fewer_than_two_classes_are_refused(images: int) -> None:
    with pytest.raises(NotMeasurableError, match="fewer than two classes"):
        cluster_scores(np.random.default_rng(6).normal(size=(images, 2)), np.zeros(images, np.int64))


@pytest.mark.filterwarnings("error")
def test_fewer_distinct_vectors_than_classes_are_refused() -> None:
    labels = np.arange(30) % 3

    with pytest.raises(NotMeasurableError, match="fewer distinct vectors than the 3 classes"):
        cluster_scores(np.eye(2)[labels % 2], labels)


@pytest.mark.filterwarnings("error")
def test_as_many_distinct_vectors_as_classes_are_enough_however_close_two_of_them_are() -> None:
    labels = np.repeat([0, 1, 2], [70, 5, 5])
    close = np.array([0, 1, np.nextafter(np.float32(1), np.float32(2))])

    assert cluster_scores(close[labels][:, None], labels)[0].value == 1.0
