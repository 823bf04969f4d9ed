"""What trials are judged by, on vectors whose worth is known: an oracle's, chance, copies, collapsed ones."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.evaluation.score import Score
from cabench.tuning.criteria import apart, effective_rank, stability, told

Vectors = dict[str, np.ndarray]


def auc_of_target(space: str, value: float) -> Score:
    return Score(space, "is_target", "salient", "all", "auc", value, 0.5, 1.0, None, 100, 100, True)


def splits(seed: int, salient_of: str = "", d: int = 4) -> tuple[EncodedSplit, EncodedSplit]:
    """Training and validation vectors: independent spaces, or a salient one that is a rotation of the common one.

    Common vectors are the same under every seed.
    """
    both = []
    for split, n in enumerate((200, 80)):
        parts = []
        for population in range(2):
            common = np.random.default_rng([split, population]).normal(size=(n, d))
            own = np.random.default_rng([seed, split, population]).normal(size=(n, d))
            rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]
            made = {"": own, "common": common @ rotation, "nothing": np.full((n, d), 0.1)}[salient_of]
            spaces: Vectors = {"common": common.astype(np.float32), "salient": made.astype(np.float32)}
            parts.append(EncodedPopulation(spaces, {}))
        both.append(EncodedSplit(*parts))
    return both[0], both[1]


@pytest.mark.parametrize(
    ("common", "salient", "expected"), [(0.5, 1.0, 1.0), (1.0, 0.5, -1.0), (0.5, 0.5, 0.0), (0.4, 0.3, 0.0)]
)
def test_told_is_what_contrastive_analysis_promises(common: float, salient: float, expected: float) -> None:
    scores = [auc_of_target("common", common), auc_of_target("salient", salient)]
    assert told(scores) == pytest.approx(expected)


def test_told_is_not_known_where_a_space_was_not_read() -> None:
    assert told([auc_of_target("common", 0.5)]) is None


def test_apart_of_independent_spaces_is_near_1_and_of_copies_0() -> None:
    assert apart(*splits(1)) == pytest.approx(1.0, abs=0.02)
    assert apart(*splits(1, "common")) == pytest.approx(0.0, abs=0.01)


def test_apart_sees_a_salient_space_that_is_a_part_of_the_common_one() -> None:
    parts = [
        [EncodedPopulation({"common": p.spaces["common"], "salient": p.spaces["common"][:, :1]}, {}) for p in split]
        for split in splits(1)
    ]
    assert apart(*(EncodedSplit(*part) for part in parts)) == pytest.approx(0.0, abs=0.01)


def test_apart_takes_a_space_that_holds_nothing_for_separate() -> None:
    assert apart(*splits(1, "nothing")) == 1.0


def test_apart_is_not_known_of_two_constant_spaces() -> None:
    nothing = [EncodedSplit(*(_without_content(part) for part in split)) for split in splits(1)]
    assert apart(*nothing) is None


def test_stability_is_1_of_rotations_and_near_0_of_independent_spaces() -> None:
    assert stability([splits(seed, "common") for seed in (1, 2, 3)]) == pytest.approx([1.0] * 3, abs=0.01)
    assert stability([splits(seed) for seed in (1, 2, 3)]) == pytest.approx([0.0] * 3, abs=0.02)


def test_stability_tells_the_seed_that_differs() -> None:
    found = stability([splits(1, "common"), splits(2, "common"), splits(3)])
    assert found == pytest.approx([0.5, 0.5, 0.0], abs=0.02)


def test_stability_is_not_known_of_one_seed_or_of_constant_spaces() -> None:
    assert stability([splits(1)]) == [None]
    assert stability([splits(1, "nothing"), splits(2, "nothing")]) == [None, None]


def test_stability_is_what_a_plain_ridge_says() -> None:
    """An independent version: scikit-learn's ridge with the weakest penalty, R² weighted by variance."""
    one, other = splits(1), splits(1)
    noise = np.random.default_rng(9)
    for split in other:
        split.target.spaces["salient"] += noise.normal(size=split.target.spaces["salient"].shape).astype(np.float32)

    def r2(first: tuple[EncodedSplit, EncodedSplit], second: tuple[EncodedSplit, EncodedSplit]) -> float:
        model = Ridge(alpha=1e-3).fit(first[0].target.spaces["salient"], second[0].target.spaces["salient"])
        truth = second[1].target.spaces["salient"]
        left = truth - model.predict(first[1].target.spaces["salient"])
        return float(1 - (left**2).sum() / ((truth - truth.mean(axis=0)) ** 2).sum())

    expected = (r2(one, other) + r2(other, one)) / 2
    assert stability([one, other]) == pytest.approx([expected] * 2, abs=0.01)


def test_effective_rank_is_that_of_the_definition() -> None:
    vectors = np.random.default_rng(0).normal(size=(300, 6)) * [9, 4, 2, 1, 0.1, 0]
    eigenvalues = np.linalg.eigvalsh(np.cov(vectors.T)).clip(0)
    shares = np.sqrt(eigenvalues) / np.sqrt(eigenvalues).sum()
    entropy = -sum(share * np.log(share) for share in shares if share > 1e-9)
    assert effective_rank(vectors) == pytest.approx(np.exp(entropy))


def test_effective_rank_counts_equal_directions_and_does_not_depend_on_scale_or_place() -> None:
    vectors = np.random.default_rng(0).normal(size=(5000, 3))
    assert effective_rank(vectors) == pytest.approx(3.0, abs=0.01)
    assert effective_rank(1e-3 * vectors + 5) == pytest.approx(effective_rank(vectors))
    assert effective_rank(vectors[:, :1] @ np.ones((1, 4))) == pytest.approx(1.0)


def test_effective_rank_of_what_is_equal_but_for_rounding_is_0() -> None:
    assert effective_rank(np.zeros((10, 3))) == 0.0
    constant = np.full((10, 3), 0.1, np.float32) + np.float32(1e-9) * np.arange(30, dtype=np.float32).reshape(10, 3)
    assert effective_rank(constant.astype(np.float64)) == 0.0


def _without_content(part: EncodedPopulation) -> EncodedPopulation:
    return EncodedPopulation({space: np.zeros_like(vectors) for space, vectors in part.spaces.items()}, {})
