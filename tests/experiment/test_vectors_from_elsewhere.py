"""Vectors from elsewhere: a finished cell's own give its scores, and what cannot be is refused in a sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import cabench
from cabench.data.dataset import SPACES
from cabench.data.importing.arrays import Examples, write_arrays
from cabench.data.layout import SPLITS
from cabench.errors import UserError
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.methods.pca import PCA
from cabench.report.summary import sections

Arrays = dict[str, np.ndarray]
POPULATIONS = ("background", "target")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Record:
    """The record of a trained cell; its folder is below `provenance["results"]`."""
    folder = tmp_path_factory.mktemp("results")
    (record,) = cabench.run("sepclr", "planted", 1, "smoke", folder, controls=False, sets=["planted.repeats=1"]).records
    return dataclasses.replace(record, provenance={**record.provenance, "results": folder})


@pytest.fixture(scope="module")
def vectors(finished: Record) -> Arrays:
    """The vectors that the cell keeps, as somebody would write them who had computed them elsewhere."""
    with h5py.File(finished.folder(finished.provenance["results"]) / "representations.h5", "r") as stored:
        arrays = {
            f"{split}_{space}": np.concatenate([stored[f"{split}/{name}/{space}"][:] for name in POPULATIONS])
            for split in SPLITS
            for space in SPACES
        }
    return {**arrays, "content_sha256": np.array(finished.dataset["content_sha256"])}


@pytest.fixture
def score(tmp_path: Path) -> Callable[..., Record]:
    def call(arrays: Arrays, name: str = "ours", **others: object) -> Record:
        sets = ["planted.repeats=1"]
        return cabench.score(arrays, "planted", name, profile="smoke", results=tmp_path, sets=sets, **others)

    return call


def test_the_vectors_of_a_finished_cell_give_its_scores_exactly(finished, vectors, score, tmp_path) -> None:
    record = score(vectors)
    assert record.scores == finished.scores
    assert record.separation_gap == finished.separation_gap
    assert record.unmeasured == finished.unmeasured
    folder = record.folder(tmp_path)
    assert {"record.json", "representations.h5", "maps.json", "pictures.png"} <= {p.name for p in folder.iterdir()}
    assert ResultsStore(tmp_path).records() == [record]
    assert (record.method["label"], record.method["origin"]) == ("ours", "vectors")


def test_a_file_gives_what_arrays_give(vectors, score, tmp_path) -> None:
    np.savez(tmp_path / "vectors.npz", **vectors)
    assert score(tmp_path / "vectors.npz").scores == score(vectors, "theirs").scores


class Ours(PCA):
    name = "ours"


def test_the_same_vectors_again_are_found_done_and_others_need_another_seed(vectors, score, tmp_path) -> None:
    first = score(vectors)
    assert score(vectors) == first
    others = {**vectors, "test_salient": vectors["test_salient"] + 1}
    with pytest.raises(UserError, match="has a record of other vectors; choose another name or seed, or use --force"):
        score(others)
    assert score(others, seed=1).key != first.key
    others = {**vectors, "test_salient": vectors["test_salient"] + 2}
    with pytest.raises(UserError, match="These are the vectors of planted / ours / seed 0; give each seed"):
        score(vectors, seed=2)
    assert score(others, force=True).key != first.key
    assert len(ResultsStore(tmp_path).records()) == 2, "a record of other vectors was not replaced"


def test_seeds_make_one_row_and_a_class_of_the_same_name_another_cell(vectors, score, tmp_path) -> None:
    records = [score({**vectors, "test_salient": vectors["test_salient"] + seed}, seed=seed) for seed in (0, 1)]
    (section,) = sections(records)
    assert [row.title for row in section.rows] == ["ours †"]
    assert len({record.key for record in records}) == 2
    sets = ["planted.repeats=1"]
    (ran,) = cabench.run([Ours], "planted", 1, "smoke", tmp_path, sets=sets, controls=False).records
    assert "origin" not in ran.method


@pytest.mark.parametrize("missing", SPACES)
def test_one_space_alone_is_scored_without_the_other(finished, vectors, score, missing) -> None:
    record = score({name: array for name, array in vectors.items() if not name.endswith(missing)})
    (there,) = set(SPACES) - {missing}
    assert {s for s in record.scores if s.space == there and s.attribute != "other_space"} == {
        s for s in finished.scores if s.space == there and s.attribute != "other_space"
    }
    assert {s.space for s in record.scores} == {there}
    assert record.separation_gap is None
    assert all(f"no {missing} vectors were given" in u.reason for u in record.unmeasured if u.space == missing)


def test_evaluation_again_keeps_what_was_scored(vectors, score, tmp_path, cabench_here) -> None:
    record = score(vectors)
    said = cabench_here("evaluate", "--results", str(tmp_path))
    assert said.returncode == 0, said.stderr
    assert ResultsStore(tmp_path).records() == [record]


def test_vectors_get_the_groups_of_the_data(tmp_path) -> None:
    features = np.random.default_rng(0).normal(size=(2, 80, 6)).astype(np.float32)
    shape = {"shape": np.arange(80) // 4 % 2}
    subjects = [[f"{letter}{row // 4}" for row in range(80)] for letter in "bt"]
    parts = [cabench.Examples(rows, shape, groups) for rows, groups in zip(features, subjects, strict=True)]
    attributes = [cabench.Attribute("shape", "common", "class", ("heart", "square"))]
    data = cabench.write_arrays(tmp_path / "own.h5", *parts, attributes)
    arrays = {
        f"{split}_{space}": np.concatenate([part.images.numpy() for part in (read.background, read.target)])
        for split in SPLITS
        for read in [data.read(split)]
        for space in SPACES
    }
    arrays["content_sha256"] = np.array(data.info.content_sha256)

    record = cabench.score(arrays, tmp_path / "own.h5", "ours", results=tmp_path / "runs")

    assert record.contributions is not None
    tested = {group for part in data.read_rows("test") for group in part.groups}
    assert set(record.contributions.names) == tested < {group for part in subjects for group in part}
    assert set(record.contributions.rows) == {4}
    assert {score.n_groups for score in record.scores if score.population == "all"} == {len(tested)}
    _, test = ResultsStore(tmp_path / "runs").read_representations(record, data)
    assert test.has_groups
    assert ResultsStore(tmp_path / "runs").records()[0].contributions.names == record.contributions.names


def changed(name: str, change: Callable[[np.ndarray], object]) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {**arrays, name: change(arrays[name])}


def without(*names: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {name: array for name, array in arrays.items() if name not in names}


def with_nan(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array[7, 1] = np.nan
    return array


WRONG = {
    "too few rows": (changed("train_common", lambda a: a[:-3]), r"train_common has \d+ rows, but the train split \d+"),
    "targets alone": (changed("test_salient", lambda a: a[len(a) // 2 :]), "that is one population alone"),
    "one dimension": (
        changed("test_common", np.ravel),
        r"test_common is float32 of shape \(\d+,\); wanted are numbers",
    ),
    "text": (changed("test_common", lambda a: a.astype(str)), "test_common is <U.* wanted are numbers"),
    "not finite": (changed("train_salient", with_nan), "train_salient holds a value in row 7 that is no finite"),
    "other columns": (
        changed("test_common", lambda a: a[:, :-1]),
        "Of common vectors, train has .* encode both splits",
    ),
    "one split": (without("test_common"), "Of common vectors, train has .* and test none"),
    "no space": (
        without("train_common", "test_common", "train_salient", "test_salient"),
        "There are no train vectors; give common vectors, salient ones or both",
    ),
    "a misspelt array": (lambda a: {**a, "train_comon": a["train_common"]}, "did you mean 'train_common'"),
    "no content hash": (without("content_sha256"), "do not say which data they are of; add content_sha256"),
    "other data": (changed("content_sha256", lambda a: np.array("0" * 64)), "are of data with the content 00000000"),
    "no hash": (changed("content_sha256", lambda a: np.arange(3)), "with the content of no hash"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_vectors_are_refused_in_a_sentence_and_leave_nothing(vectors, score, tmp_path, case) -> None:
    change, words = WRONG[case]
    with pytest.raises(UserError, match=words):
        score(change(vectors))
    assert ResultsStore(tmp_path).records() == []


@pytest.mark.parametrize(
    ("name", "words"),
    [("all", "use letters"), ("sepclr", "is the name of a method here"), ("../up", "use letters"), ("", "use letters")],
)
def test_a_name_must_be_free_and_a_name(vectors, score, name, words) -> None:
    with pytest.raises(UserError, match=words):
        score(vectors, name)


def test_vectors_that_unpack_to_far_more_than_they_are_long_are_refused(score, tmp_path) -> None:
    np.savez_compressed(tmp_path / "vectors.npz", train_common=np.zeros((1 << 15, 600), np.float32))
    assert (tmp_path / "vectors.npz").stat().st_size < 1 << 20
    with pytest.raises(UserError, match=r"vectors\.npz unpacks to 78,643,200 bytes, of 67,108,864 that are allowed"):
        score(tmp_path / "vectors.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"{}", b"\x93NUMPY\x01\x00v\x00{'descr'"])
def test_a_file_that_is_no_npz_is_refused(score, tmp_path, content) -> None:
    path = tmp_path / "vectors.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"vectors\.npz is no \.npz file.*, or damaged; write one with numpy\.savez"):
        score(path)


def test_a_table_of_vectors_is_told_what_is_wanted(score, tmp_path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(UserError) as refused:
        score(tmp_path / "x.csv")
    assert str(refused.value) == (
        f"{tmp_path / 'x.csv'} is no .npz file, or damaged; write one with numpy.savez and the arrays train_common, "
        "train_salient, test_common, test_salient, one row an example."
    )


def test_a_file_of_ones_own_is_called_by_its_name(vectors, tmp_path) -> None:
    rows = np.random.default_rng(0).normal(size=(2, 100, 5)).astype(np.float32)
    file = write_arrays(tmp_path / "mice.h5", *map(Examples, rows))
    with pytest.raises(UserError, match=r"add content_sha256, .* for mice as it is here"):
        cabench.score({"train_common": rows[0]}, file.path, "ours", results=tmp_path)


def test_objects_are_never_loaded(vectors, score, tmp_path) -> None:
    np.savez(tmp_path / "vectors.npz", **{**vectors, "train_common": np.array([print], dtype=object)})
    with pytest.raises(UserError, match=r"is no \.npz file of numbers alone") as refused:
        score(tmp_path / "vectors.npz")
    assert "pickle" not in str(refused.value)


def test_the_command_scores_and_says_where(vectors, tmp_path, cabench_here) -> None:
    np.savez(tmp_path / "vectors.npz", **{n: a for n, a in vectors.items() if n != "content_sha256"})
    common = ("score", str(tmp_path / "vectors.npz"), "--dataset", "planted", "--name", "ours", "--profile", "smoke")
    common = (*common, "--set", "planted.repeats=1", "--results", str(tmp_path / "runs"))
    refused = cabench_here(*common)
    assert refused.returncode == 2
    assert "add content_sha256" in refused.stderr
    done = cabench_here(*common, "--content-sha256", str(vectors["content_sha256"]))
    assert done.returncode == 0, done.stderr
    assert "ours †" in done.stdout
    assert "Recorded in" in done.stderr


def test_a_seed_of_numpy_will_do_and_what_is_none_is_refused(vectors, score) -> None:
    assert score(vectors, seed=np.int64(3)).seed == 3
    for seed in (-1, 1.5, "a"):
        with pytest.raises(UserError, match="are not understood"):
            score(vectors, "others", seed=seed)
