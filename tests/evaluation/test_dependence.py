"""Dependence between spaces: the trace formula, p-values under independence and dependence, and planted R²."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import kstest
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler

from cabench.data.dataset import spaced
from cabench.evaluation.dependence import MOST_IMAGES, PERMUTATIONS, hsic, space_r2
from cabench.evaluation.measurement import NotMeasurableError
from cabench.evaluation.probes import ProbeConfig

CONFIG = ProbeConfig()
LEAST = 1 / (1 + PERMUTATIONS)


def kernel(rows: np.ndarray) -> np.ndarray:
    distances = cdist(*(StandardScaler().fit_transform(rows),) * 2)
    width = np.median(distances[np.triu_indices(len(rows), 1)])
    return np.exp(-(distances**2) / (2 * width**2))


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
        scores = [(item.value - item.chance) / item.standard_error for item in measured]
        assert abs(np.mean(scores)) < 4 / np.sqrt(150)
        assert np.std(scores) == pytest.approx(1, abs=0.25)

    def test_dependence_that_no_line_shows_is_found(self) -> None:
        generator = np.random.default_rng(4)
        common = generator.normal(size=(200, 1))
        salient = common**2 + 0.1 * generator.normal(size=(200, 1))

        measured = hsic(common, salient)

        assert measured.p_value == LEAST
        assert measured.value > measured.chance + 10 * measured.standard_error
        assert space_r2(common, salient, common, salient, CONFIG).value < 0.1

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
        common, salient = generator.normal(size=(2, 3 * MOST_IMAGES, 2))

        assert hsic(common, salient) == hsic(spaced(common, MOST_IMAGES), spaced(salient, MOST_IMAGES))

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

        measured = space_r2(seen[:3000], leaked[:3000], seen[3000:], leaked[3000:], CONFIG)

        # 3 coefficients fitted on 3,000 rows cost a thousandth, a penalty of 1e-5 nothing to speak of.
        assert abs(measured.value - 1 / (1 + noise**2)) < 4 * measured.standard_error + 2e-3

    def test_dimensions_count_by_their_variance(self) -> None:
        generator = np.random.default_rng(10)
        seen, hidden = generator.normal(size=(2, 4000, 1))
        leaked = np.c_[3 * seen, 1 * hidden]

        measured = space_r2(seen[:2000], leaked[:2000], seen[2000:], leaked[2000:], CONFIG)

        assert abs(measured.value - 9 / 10) < 4 * measured.standard_error

    def test_independent_spaces_give_chance(self) -> None:
        generator = np.random.default_rng(11)
        one, other = generator.normal(size=(2, 2000, 4))

        measured = space_r2(one[:1000], other[:1000], one[1000:], other[1000:], CONFIG)

        # 4 useless coefficients fitted on 1,000 rows cost 4 / 1000, less what the penalty holds back.
        assert -0.01 < measured.value < 0.005
        assert measured.chance == 0.0

    def test_equals_scikit_learn_for_a_single_penalty(self) -> None:
        generator = np.random.default_rng(12)
        seen = generator.normal(size=(80, 3)) * [1e-3, 1, 1e3]
        leaked = seen @ generator.normal(size=(3, 2)) + generator.normal(size=(80, 2))
        scaler = StandardScaler().fit(seen[:50])
        model = Ridge(alpha=50 * 0.1).fit(scaler.transform(seen[:50]), leaked[:50])

        measured = space_r2(seen[:50], leaked[:50], seen[50:], leaked[50:], ProbeConfig(penalties=(0.1,)))

        predicted = model.predict(scaler.transform(seen[50:]))
        assert measured.value == pytest.approx(r2_score(leaked[50:], predicted, multioutput="variance_weighted"))

    def test_standard_error_is_the_spread_over_fresh_test_sets(self) -> None:
        generator = np.random.default_rng(13)
        fitted = generator.normal(size=(1000, 2))
        fitted_to = fitted + generator.normal(size=(1000, 2))
        measured = []
        for _ in range(400):
            seen, hidden = generator.normal(size=(2, 200, 2))
            measured.append(space_r2(fitted, fitted_to, seen, seen + hidden, CONFIG))

        # 400 draws tell their spread to 3.5 %; three times that is allowed.
        spread = np.std([item.value for item in measured])
        assert np.mean([item.standard_error for item in measured]) == pytest.approx(spread, rel=0.11)

    def test_a_space_of_one_dimension(self) -> None:
        line = np.linspace(0, 1, 50)[:, None]

        assert space_r2(line, line, line, line, CONFIG).value == pytest.approx(1.0, abs=1e-9)

    @pytest.mark.filterwarnings("error")
    def test_a_constant_space_predicts_nothing(self) -> None:
        other = np.linspace(0, 1, 30)[:, None]

        measured = space_r2(np.full((30, 2), 0.1), other, np.full((30, 2), 0.1), other, CONFIG)

        assert measured.value == pytest.approx(0.0, abs=1e-12)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
    def test_a_constant_space_cannot_be_predicted(self, constant: float) -> None:
        one, same = np.random.default_rng(14).normal(size=(30, 2)), np.full((30, 2), constant)

        with pytest.raises(NotMeasurableError, match="constant"):
            space_r2(one, same, one, same, CONFIG)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize(("train", "test"), [(0, 9), (1, 9), (2, 9), (9, 0), (9, 1), (9, 2)])
    def test_fewer_than_three_images_are_refused(self, train: int, test: int) -> None:
        one, other = np.random.default_rng(15).normal(size=(2, 9, 2))

        with pytest.raises(NotMeasurableError, match="fewer than three images"):
            space_r2(one[:train], other[:train], one[:test], other[:test], CONFIG)
