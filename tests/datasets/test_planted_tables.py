"""Planted tables: rows are made of the factors that the attributes say, and both splits of the same loadings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cabench.config import ConfigError
from cabench.data.checks import check_file
from cabench.data.dataset import Population
from cabench.data.file import DatasetFile
from cabench.data.layout import SPLITS
from cabench.datasets.planted_tables import GROUPS, MODELS, PlantedTables, PlantedTablesConfig
from cabench.experiment.request import ResolvedProfile
from cabench.profiles import load_profile, profile_names

KINDS = list(MODELS)
FACTORS = {
    "gaussian": (3, 2),
    "groups": (10, 2),
    "additive": (4, 2),
    "nested": (3, 2),
    "counts": (3, 2),
    "parts": (3, 2),
}
NOISE = {"gaussian": 1.0, "nested": 0.3}
Built = Callable[..., DatasetFile]


def builder(kind: str, **fields: int) -> PlantedTables:
    return PlantedTables(PlantedTablesConfig(kind=kind, **fields))


@pytest.fixture(scope="module")
def built(cache: Path) -> Built:
    """Builds a kind of table once."""
    return lambda kind, **fields: builder(kind, **fields).obtain(None)


def raw(file: DatasetFile, part: Population) -> np.ndarray:
    """Rows as they were before the file scaled them."""
    scale = file.read_scale()
    rows = part.images.double().numpy()
    return rows if scale is None else rows / scale.scale.numpy() + scale.mean.numpy()


def factors(part: Population, space: str, count: int) -> np.ndarray:
    """(n, count): the factors of a space, from the attributes."""
    return np.stack([part.attributes[f"{space}_{number}"] for number in range(1, count + 1)], axis=1)


def bits(part: Population) -> np.ndarray:
    """(n, 2): the salient factors of groups, from the attribute."""
    group = part.attributes["group"]
    return np.stack([group // 2, group % 2], axis=1)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_factors_do_not_explain_is_noise(built: Built, kind: str, split: str) -> None:
    file, loadings = built(kind), builder(kind).loadings()
    common, salient = FACTORS[kind]
    for is_target, part in enumerate(file.read(split)[1:]):
        explained = factors(part, "common", common) @ loadings.common.T
        if is_target:
            t = bits(part) if kind == "groups" else factors(part, "salient", salient)
            explained = explained + t @ loadings.salient.T
        left = raw(file, part) - explained
        if kind in ("counts", "parts"):
            size = raw(file, part).sum(1) / explained.sum(1)
            assert abs(np.log(size).mean() - np.log(4)) < 0.1
            assert abs(np.log(size).std() - 0.5) < 0.1
            rates = size[:, None] * explained
            if kind == "parts":
                np.testing.assert_allclose(raw(file, part), rates, atol=1e-4)
            else:  # a Poisson count varies by its rate
                assert abs(((raw(file, part) - rates) ** 2 / rates).mean() - 1) < 0.1
        elif kind == "groups":
            np.testing.assert_allclose(left[:, :10], 0, atol=1e-4)
            expected = (1, 1) if is_target else (3, 1)
            np.testing.assert_allclose((left[:, 10:20].std(), left[:, 20:].std()), expected, rtol=0.05)
        else:
            assert abs(left.std() - NOISE.get(kind, 0)) < 0.05 * NOISE.get(kind, 0) + 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_factors_are_alike_in_both_populations_and_splits_and_unrelated(built: Built, kind: str) -> None:
    count = FACTORS[kind][0]
    drawn = [factors(part, "common", count) for split in SPLITS for part in built(kind).read(split)[1:]]
    for z in drawn:
        expected = 1 if kind in ("counts", "parts") else 0
        np.testing.assert_allclose(z.mean(0), expected, atol=0.2)
        np.testing.assert_allclose(z.std(0), 1, atol=0.25)
        assert np.abs(np.corrcoef(z.T) - np.eye(count)).max() < 0.2
    assert not set(drawn[0][:, 0]) & set(drawn[2][:, 0])


def test_the_four_groups_are_equally_large(built: Built) -> None:
    for split in SPLITS:
        assert np.bincount(built("groups").read(split).target.attributes["group"]).tolist() == [100] * 4
    assert built("groups").info.attributes[-1].classes == GROUPS == ("neither", "last third", "second third", "both")
    target = built("groups").read("train").target
    features = raw(built("groups"), target)
    means = [
        [features[target.attributes["group"] == g, part].mean() for part in (slice(10, 20), slice(20, 30))]
        for g in range(4)
    ]
    np.testing.assert_allclose(means, [[0, 0], [0, 3], [6, 0], [6, 3]], atol=0.15)


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_sound_and_say_what_they_hold(built: Built, kind: str) -> None:
    file = built(kind)
    findings = check_file(file.path)
    assert not findings.errors
    assert all("not standardised" in warning for warning in findings.warnings)
    assert file.info.counts == {split: {"background": 400, "target": 400} for split in SPLITS}
    assert (file.info.are_counts, file.info.non_negative) == (kind == "counts", kind in ("counts", "parts"))
    declared = [(a.name, a.space, a.kind) for a in file.info.attributes]
    common, salient = FACTORS[kind]
    named = [(f"common_{number + 1}", "common", "real") for number in range(common)]
    own = [(f"salient_{number + 1}", "salient", "real") for number in range(salient)]
    assert declared == named + ([("group", "salient", "class")] if kind == "groups" else own)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "counts"])
def test_features_share_one_scale(built: Built, kind: str) -> None:
    rows = built(kind).read("train").images.double().numpy()
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(rows.var(0).mean(), 1, rtol=1e-6)
    scale = built(kind).read_scale()
    assert len(set(scale.scale.tolist())) == 1
    if kind == "parts":
        assert min(raw(built(kind), part).min() for split in SPLITS for part in built(kind).read(split)[1:]) >= -1e-4


def test_counts_are_whole_and_have_no_scale(built: Built) -> None:
    file = built("counts")
    assert file.read_scale() is None
    rows = file.read("train").images
    assert (rows == rows.round()).all()
    assert rows.min() >= 0
    assert (rows.sum(1) > 0).all()


def test_directions_of_additive_tables_are_not_at_right_angles() -> None:
    """So that an orthogonal projector on them fails: see card F8 of the notes on methods."""
    loadings = builder("additive").loadings()
    assert np.abs(loadings.common.T @ loadings.salient / 25).max() > 0.2


def test_seed_and_sizes_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, built: Built) -> None:
    known = built("gaussian").info.content_sha256
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path))
    np.random.seed(5)  # noqa: NPY002 - what must not matter
    assert builder("gaussian").obtain(None).info.content_sha256 == known
    other = builder("gaussian", seed=1, train_size=12, test_size=10).obtain(None)
    assert other.info.counts == {
        "train": {"background": 12, "target": 12},
        "test": {"background": 10, "target": 10},
    }
    assert np.abs(builder("gaussian", seed=1).loadings().common - builder("gaussian").loadings().common).max() > 1


@pytest.mark.parametrize(
    ("field", "value"), [("train_size", 9), ("test_size", 9), ("train_size", 100_001), ("seed", -1), ("kind", "others")]
)
def test_values_out_of_range_are_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field):
        PlantedTablesConfig(**{field: value})


@pytest.mark.parametrize("profile", profile_names())
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_name_in_every_profile(profile: str, kind: str) -> None:
    provider = ResolvedProfile(load_profile(profile)).dataset(f"planted_{kind}")
    assert isinstance(provider, PlantedTables)
    assert provider.config.kind == kind
