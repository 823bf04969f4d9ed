"""Mouse proteins: the constructions of card B7f, on the published table, against pandas' reading of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cabench.config import ConfigError
from cabench.data.checks import check_file
from cabench.data.file import DatasetFile
from cabench.data.layout import SPLITS
from cabench.datasets.mouse_protein import FILE, FOLDS, MouseProtein, MouseProteinConfig, folds
from cabench.errors import UserError

DATA = Path(os.environ.get("CABENCH_DATA", ""))
PUBLISHED = DATA / "mouse_protein" / FILE
needs_table = pytest.mark.skipif(
    not (os.environ.get("CABENCH_DATA") and PUBLISHED.is_file()), reason=f"CABENCH_DATA has no mouse_protein/{FILE}"
)
# Of card B7f: mice and rows of background and target, before three rows of mouse 3426 (t-SC-s) are left out.
COUNTS = {"papers": ((9, 135), (18, 267)), "drug": ((18, 270), (38, 570)), "down_syndrome": ((18, 270), (34, 507))}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    table = pd.read_csv(PUBLISHED).set_index("MouseID")
    table["mouse"] = [name[: name.rindex("_")] for name in table.index]
    return table


def rows_of(file: DatasetFile) -> dict[tuple[str, str], tuple[list[str], list[str]]]:
    """Names and groups by split and population."""
    return {
        (split, population): (rows.names.tolist(), rows.groups.tolist())
        for split in SPLITS
        for population, rows in zip(("background", "target"), file.read_rows(split), strict=True)
    }


@needs_table
class TestConstructions:
    @pytest.mark.parametrize("construction", COUNTS)
    def test_populations_are_those_of_the_card(self, build_at, table, construction) -> None:
        file = build_at(MouseProtein(MouseProteinConfig(construction=construction)), DATA)
        found = rows_of(file)

        assert not check_file(file.path).errors
        assert file.info.image_shape == (70,)
        for place, population in enumerate(("background", "target")):
            names = [name for split in SPLITS for name in found[split, population][0]]
            mice = {group for split in SPLITS for group in found[split, population][1]}
            assert (len(mice), len(names)) == COUNTS[construction][place]
            assert len(set(names)) == len(names)
            chosen = table.loc[names]
            saline, control = (chosen["Treatment"] == "Saline").all(), (chosen["Genotype"] == "Control").all()
            if population == "background":
                assert saline
                assert control
                assert set(chosen["Behavior"]) == ({"C/S"} if construction == "papers" else {"C/S", "S/C"})
        targets = table.loc[found["train", "target"][0]]
        varied = {column for column in ("Genotype", "Treatment", "Behavior") if targets[column].nunique() == 2}
        assert varied == {"papers": {"Genotype"}, "drug": {"Genotype", "Behavior"}}.get(
            construction, {"Treatment", "Behavior"}
        )

    @pytest.mark.parametrize("construction", COUNTS)
    def test_attributes_are_those_of_the_table(self, build_at, table, construction) -> None:
        file = build_at(MouseProtein(MouseProteinConfig(construction=construction)), DATA)
        wanted = {
            "genotype": lambda row: int(row["Genotype"] == "Ts65Dn"),
            "treatment": lambda row: int(row["Treatment"] == "Memantine"),
            "protocol": lambda row: int(row["Behavior"] == "S/C"),
            "block": lambda row: (int(row.name.split("_")[-1]) - 1) // 3,
        }
        salient = "treatment" if construction == "down_syndrome" else "genotype"
        common = ["block"] if construction == "papers" else ["protocol", "block"]

        assert [(a.name, a.space) for a in file.info.attributes] == [
            (salient, "salient"),
            *((name, "common") for name in common),
        ]
        for (split, population), (names, groups) in rows_of(file).items():
            values = getattr(file.read(split), population).attributes
            chosen = table.loc[names]
            assert groups == chosen["mouse"].tolist()
            for attribute in file.info.attributes:
                known = population == "target" or attribute.space == "common"
                right = [wanted[attribute.name](row) if known else -1 for _, row in chosen.iterrows()]
                assert values[attribute.name].tolist() == right

    def test_features_are_standardised_over_training_rows_and_stay_missing(self, build_at, table) -> None:
        file = build_at(MouseProtein(), DATA)
        found = rows_of(file)
        dropped = ["pS6_N", "BAD_N", "BCL2_N", "pCFOS_N", "H3AcK18_N", "EGR1_N", "H3MeK4_N"]
        proteins = table[[c for c in table if c.endswith("_N") and c not in dropped]]
        training = proteins.loc[found["train", "background"][0] + found["train", "target"][0]]
        right = (proteins - training.mean()) / training.std(ddof=0)

        missing = 0
        for (split, population), (names, _) in found.items():
            features = getattr(file.read(split), population).images.numpy()
            np.testing.assert_allclose(features, right.loc[names].to_numpy(np.float32), rtol=1e-4, atol=1e-5)
            missing += int(np.isnan(features).sum())
        assert missing == 34
        assert file.info.missing == pytest.approx(34 / (402 * 70))
        assert not {"3426_13", "3426_14", "3426_15"} & {name for names, _ in found.values() for name in names}

    def test_all_proteins_keep_every_row(self, build_at, table) -> None:
        file = build_at(MouseProtein(MouseProteinConfig(proteins="all")), DATA)
        chosen = table[table["class"].isin(["c-CS-s", "c-SC-s", "t-SC-s"])]
        proteins = chosen[[c for c in table if c.endswith("_N") and c != "pS6_N"]]

        assert file.info.image_shape == (76,)
        assert sum(sum(part.values()) for part in file.info.counts.values()) == 405
        assert file.info.missing == pytest.approx(proteins.isna().to_numpy().mean())

    def test_users_are_told_what_they_must_know(self, build_at) -> None:
        said = " ".join(build_at(MouseProtein(), DATA).info.notes)

        for part in ("pS6_N", "ARC_N", "BCL2_N", "3426_13", "34 of 28,140", "J2292", "6 target mice", "17 points"):
            assert part in said


@needs_table
class TestFolds:
    @pytest.mark.parametrize("construction", COUNTS)
    def test_each_mouse_is_tested_once_and_classes_are_in_proportion(self, build_at, table, construction) -> None:
        tested = []
        for fold in range(FOLDS):
            file = build_at(MouseProtein(MouseProteinConfig(construction=construction, fold=fold)), DATA)
            mice = {
                split: {mouse for (of, _), (_, groups) in rows_of(file).items() if of == split for mouse in groups}
                for split in SPLITS
            }
            assert not mice["train"] & mice["test"]
            tested += mice["test"]
            classes = table.drop_duplicates("mouse").set_index("mouse")["class"]
            for name, whole in classes[classes.index.isin(mice["train"] | mice["test"])].value_counts().items():
                assert abs((classes[list(mice["test"])] == name).sum() - whole / FOLDS) < 1
        assert len(tested) == len(set(tested)) == sum(mice for mice, _ in COUNTS[construction])

    def test_another_seed_deals_otherwise_but_the_same_seed_alike(self, table) -> None:
        mice, classes = table["mouse"].to_numpy(), table["class"].to_numpy()

        first, again, other = (folds(mice, classes, seed) for seed in (0, 0, 1))
        order = np.random.default_rng(0).permutation(len(mice))

        assert (first == again).all()
        assert (first != other).any()
        assert (folds(mice[order], classes[order], 0) == first[order]).all()

    def test_genotype_is_read_as_well_as_the_card_says(self, build_at) -> None:
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import balanced_accuracy_score

        scores = []
        for fold in range(FOLDS):
            file = build_at(MouseProtein(MouseProteinConfig(fold=fold)), DATA)
            train, test = (file.read(split).target for split in SPLITS)
            probe = LogisticRegression(C=0.1, max_iter=1000).fit(
                train.images.nan_to_num(), train.attributes["genotype"]
            )
            scores.append(balanced_accuracy_score(test.attributes["genotype"], probe.predict(test.images.nan_to_num())))
        # Card B7f: 0.91, mean over shuffles; one mouse in 18 is 0.06.
        assert 0.8 < np.mean(scores) < 0.99


class TestBadInput:
    def test_folds_beyond_the_third_are_refused(self) -> None:
        with pytest.raises(ConfigError, match="fold"):
            MouseProteinConfig(fold=3)

    @needs_table
    def test_another_file_under_the_official_name_is_refused_with_what_to_do(self, refused, tmp_path) -> None:
        path = tmp_path / "data" / FILE
        path.parent.mkdir()
        shutil.copy(PUBLISHED, path)
        path.chmod(0o644)
        path.write_bytes(path.read_bytes().replace(b"0.503643884", b"0.503643885"))

        message = refused(MouseProtein(), path.parent)

        assert f"{path} is not {FILE} as published" in message
        assert f"cabench data import --input {path}" in message

    def test_absence_names_file_and_place(self, tmp_path) -> None:
        with pytest.raises(UserError) as raised:
            MouseProtein().locate(tmp_path)
        assert all(part in str(raised.value) for part in (FILE, str(tmp_path / "mouse_protein"), "CABENCH_DATA"))
