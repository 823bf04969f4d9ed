"""A split is drawn in whole groups, and keeps every salient class and level of a nuisance on both sides."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

import cabench
from cabench import Attribute, Examples
from cabench.data.importing.splitting import Drawn, divided

LESION = Attribute("lesion", "salient", "class", ("round", "long", "flat"))
SITE = Attribute("site", "nuisance", "class", tuple(f"site{n}" for n in range(6)))


def table(rows: int, seed: int, **given: object) -> Examples:
    return Examples(np.random.default_rng(seed).normal(size=(rows, 3)), **given)


def sides(parts: dict[str, Examples], rows) -> dict[str, np.ndarray]:
    """By population, the name of each example's split."""
    told = {name: np.full(len(part), "", object) for name, part in parts.items()}
    for split, populations in rows.items():
        for name, chosen in populations.items():
            told[name][chosen] = split
    return told


@pytest.mark.parametrize("seed", range(8))
def test_every_level_is_on_both_sides_where_groups_allow_it(seed: int) -> None:
    generator = np.random.default_rng(seed)
    parts = {}
    for population in ("background", "target"):
        subjects = generator.integers(0, 30, 120)
        values = {"site": (subjects % 6 if seed % 2 else np.minimum(subjects // 2, 5))}
        if population == "target":
            values["lesion"] = subjects // 5 % 3
        groups = [f"{population[0]}{subject}" for subject in subjects]
        parts[population] = table(120, seed, values=values, groups=groups)
    rows, said = divided(parts, (LESION, SITE), Drawn(0.1, seed))
    told = sides(parts, rows)
    assert len([text for text in said if "has no example" in text]) <= 1
    for name, part in parts.items():
        assert set(told[name]) == {"train", "test"}
        groups = np.array(part.groups)
        assert all(len(set(told[name][groups == group])) == 1 for group in set(groups))
        for code in np.unique(part.values["site"]):
            held = part.values["site"] == code
            if len(set(groups[held])) > 1:
                assert set(told[name][held]) == {"train", "test"}, code
    for code in range(3):
        assert set(told["target"][parts["target"].values["lesion"] == code]) == {"train", "test"}
        assert 1 <= (told[name] == "test").sum() <= 0.5 * len(part)


def test_what_one_group_alone_has_is_said() -> None:
    parts = {
        "background": table(40, 0, values={"site": np.arange(40) % 2}, groups=np.arange(40) // 2),
        "target": table(40, 1, values={"site": np.arange(40) // 38 * 3}, groups=100 + np.arange(40) // 2),
    }
    rows, said = divided(parts, (SITE,), Drawn())
    side = "test" if 39 in rows["train"]["target"] else "training"
    words = {"test": "The test split has one group or none of", "training": "The training split has no group of"}
    assert any(text.startswith(f"{words[side]} 'site3' of 'site' (target): too few have it.") for text in said)


def test_equal_rows_of_both_populations_are_counted() -> None:
    target = table(20, 1)
    target.images[[4, 9]] = table(20, 0).images[7]
    _, said = divided({"background": table(20, 0), "target": target}, (), Drawn())
    assert said == [
        "2 of 20 target rows have the same features as a background row: background row 7 and target row 4 are equal."
    ]


def test_equal_rows_of_different_subjects_do_not_tie_them_together() -> None:
    discrete = {name: np.random.default_rng(n).integers(0, 2, (60, 2)).astype(float) for n, name in enumerate("bt")}
    parts = {
        "background": Examples(discrete["b"], groups=[f"b{n}" for n in range(60)]),
        "target": Examples(discrete["t"], groups=[f"t{n}" for n in range(60)]),
    }
    rows, _ = divided(parts, (), Drawn())
    assert {name: len(chosen) for name, chosen in rows["test"].items()} == {"background": 12, "target": 12}


def test_a_given_validation_split_is_kept_apart(refusal) -> None:
    fold = np.arange(30) % 5
    parts = {
        name: table(30, seed, is_test=fold == 0, is_validation=fold == 1)
        for seed, name in enumerate(("background", "target"))
    }
    rows, said = divided(parts, (), Drawn())
    assert said == []
    assert {split: len(part["target"]) for split, part in rows.items()} == {"train": 18, "test": 6, "validation": 6}
    twice = {name: table(30, 0, is_test=fold == 0, is_validation=fold == 0) for name in parts}
    assert "both for testing and for choosing settings" in refusal(lambda: divided(twice, (), Drawn()))
    torn = {
        name: table(30, seed, is_test=fold == 0, is_validation=fold == 1, groups=np.arange(30) // 5 + 10 * seed)
        for seed, name in enumerate(parts)
    }
    said = refusal(lambda: divided(torn, (), Drawn()))
    assert "for testing" in said or "for choosing settings" in said
    assert said.endswith("but they are equal or of one group.")


def test_a_validation_split_is_written_and_loaded_and_never_scored(tmp_path) -> None:
    fold = np.arange(60) % 5
    kinds = {"lesion": np.arange(60) % 3}
    parts = [
        table(60, seed, is_test=fold == 0, is_validation=fold == 1, names=[f"{seed}-{n}" for n in range(60)], **given)
        for seed, given in ((0, {}), (1, {"values": kinds}))
    ]
    file = cabench.write_arrays(tmp_path / "mine.h5", *parts, [LESION])
    file.verify()
    loaded = cabench.load_dataset(file.path)
    assert {split: counts["target"] for split, counts in loaded.info.counts.items()} == {
        "train": 36,
        "test": 12,
        "validation": 12,
    }
    assert file.read_rows("validation")[1].names.tolist() == [f"1-{n}" for n in range(60) if n % 5 == 1]
    assert loaded.validation is not None
    np.testing.assert_array_equal(loaded.validation.target.attributes["lesion"], kinds["lesion"][fold == 1])
    results = cabench.run("pca", file.path, 1, results=tmp_path / "runs", controls=False, sets=["pca.components=2"])
    with h5py.File(results.records[0].folder(tmp_path / "runs") / "representations.h5") as kept:
        assert set(kept) == {"train", "test"}
        assert len(kept["train/target/salient"]) == 36


def test_a_class_of_many_groups_is_tested_in_two_of_them() -> None:
    sex = Attribute("sex", "common", "class", ("f", "m"))
    for seed in range(6):
        parts = {}
        for number, name in enumerate(("background", "target")):
            subjects = np.arange(60) // 3
            values = {"sex": (subjects >= 16).astype(int), "site": (subjects < 5).astype(int)}
            parts[name] = table(60, number, values=values, groups=[f"{name}{subject}" for subject in subjects])
        rows, said = divided(parts, (sex, SITE), Drawn(0.2, seed))
        assert not [text for text in said if "one group or none" in text]
        for name, part in parts.items():
            tested = rows["test"][name]
            for attribute in ("sex", "site"):
                for code in (0, 1):
                    held = tested[part.values[attribute][tested] == code]
                    assert len({part.groups[row] for row in held}) >= 2
            assert len(tested) <= 18


@pytest.mark.parametrize("pair", [("3", "3.0"), ("S1", "s1"), ("caf\u00e9", "cafe\u0301")])
def test_groups_that_may_be_one_are_asked_about(pair: tuple[str, str], refusal) -> None:
    parts = {
        name: table(20, number, groups=[pair[number], *(f"{name}{row}" for row in range(19))])
        for number, name in enumerate(("background", "target"))
    }
    said = refusal(lambda: divided(parts, (), Drawn()))
    assert said.startswith(f"The groups {pair[0]!r} and {pair[1]!r} may be one; write them alike")


def test_equal_rows_of_a_table_may_stand_on_both_sides_of_a_given_split() -> None:
    rows = np.repeat(np.arange(6.0), 10)[:, None]
    fold = np.arange(60) % 10 < 3
    parts = {"background": Examples(rows, is_test=fold), "target": Examples(rows + 0.5, is_test=fold)}
    divided_rows, said = divided(parts, (), Drawn())
    assert said == []
    assert len(divided_rows["test"]["target"]) == 18
    drawn, _ = divided({name: Examples(part.images) for name, part in parts.items()}, (), Drawn())
    assert len(drawn["test"]["target"]) == 12


def test_a_validation_split_of_one_population_is_refused_with_what_to_do(refusal) -> None:
    fold = np.arange(30) % 5
    parts = {
        name: table(30, number, is_test=fold == 0, is_validation=(fold == 1) & bool(number))
        for number, name in enumerate(("background", "target"))
    }
    assert refusal(lambda: divided(parts, (), Drawn())) == (
        "No background example is left for the validation split; a split has both populations: add some, or leave its "
        "rows out."
    )
