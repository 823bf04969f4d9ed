"""The suite in Python: the same cells as by the command line, with methods of one's own, and a table to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

import cabench
from cabench.config import Settings
from cabench.evaluation.vectors import Vectors
from cabench.experiment.store import ResultsStore
from cabench.methods.pca import PCA
from cabench.report.comparison import takes_part
from cabench.report.markdown import markdown
from cabench.report.summary import sections

SETS = ["planted.repeats=1"]


class Mean(cabench.ContrastiveAnalysisMethod):
    """The brightness of an image, in both spaces."""

    name = "mean"
    version = 1
    Config = Settings

    def fit(self, data, context) -> None:
        """Learn nothing."""

    def encode(self, images: Tensor) -> cabench.Representation:
        """See the class."""
        brightness = images.flatten(1).mean(1, keepdim=True)
        return cabench.Representation(brightness, brightness)

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def load_state_dict(self, state) -> None:
        """Take over nothing."""


class NewerMean(Mean):
    version = 2


def run(methods, folder: Path, **others):
    arguments = {"datasets": ["planted"], "seeds": 1, "profile": "smoke", "sets": SETS, "controls": False, **others}
    return cabench.run(methods, results=folder, **arguments)


def labels(done) -> list[str]:
    return [record.method["label"] for record in done.records]


def test_methods_are_given_by_name_class_and_object(tmp_path: Path) -> None:
    done = run(["chance", Mean, PCA(PCA.Config(components=4))], tmp_path)
    assert labels(done) == ["chance", "mean", "pca"]
    assert [record.status for record in done.records] == ["ok"] * 3
    assert done.records[2].method["config"] == {"components": 4}
    assert str(done) == markdown(done.records)
    assert ResultsStore(tmp_path).readable_records()[1] == []


def test_the_scores_are_a_table_with_the_columns_of_the_csv_report(tmp_path: Path, cabench_here) -> None:
    scores = run(["chance"], tmp_path).scores
    said = cabench_here("report", "--results", str(tmp_path), "--format", "csv")
    assert list(scores.columns) == said.stdout.splitlines()[0].split(",")
    assert len(scores) == len(said.stdout.splitlines()) - 1


def test_a_notebook_shows_the_table(tmp_path: Path) -> None:
    page = run(["chance", Mean], tmp_path)._repr_html_()
    assert page.count("<table") >= 1
    assert "mean" in page
    assert "<script" not in page


def test_cells_of_the_command_line_are_found_done_and_the_other_way_round(tmp_path, cabench_here, monkeypatch) -> None:
    first = run(["chance"], tmp_path)
    common = ("run", "--datasets", "planted", "--seeds", "0", "--profile", "smoke", "--set", SETS[0], "--no-controls")
    again = cabench_here(*common, "--methods", "chance,pca", "--results", str(tmp_path))
    assert again.returncode == 0, again.stderr
    assert "[1/2]" not in again.stderr, "a finished cell was computed"
    monkeypatch.setattr(PCA, "fit", lambda *_: pytest.fail("a finished cell was computed"))
    both = run("chance,pca", tmp_path)
    assert both.records[0] == first.records[0]
    assert labels(both) == ["chance", "pca"]


def test_a_class_of_ones_own_is_keyed_by_name_version_and_configuration(tmp_path: Path) -> None:
    first, newer = run([Mean], tmp_path), run([NewerMean], tmp_path)
    assert first.records[0].key != newer.records[0].key
    assert run([Mean()], tmp_path).records == first.records


def test_a_class_is_taken_from_a_file(tmp_path: Path, cabench_here) -> None:
    (tmp_path / "mine.py").write_text(
        "from cabench.methods.chance import Chance\n\n\nclass Mine(Chance):\n    name = 'mine'\n", encoding="utf-8"
    )
    common = ("--datasets", "planted", "--seeds", "0", "--profile", "smoke", "--set", SETS[0], "--no-controls")
    ran = cabench_here("run", "--methods", str(tmp_path / "mine.py"), *common)
    assert ran.returncode == 0, ran.stderr
    again = cabench_here("run", "--methods", f"chance,{tmp_path / 'mine.py'}", *common)
    assert "1 of 2 cells are finished already." in again.stderr
    missing = cabench_here("run", "--methods", str(tmp_path / "absent.py"), *common)
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)


def test_seeds_are_counted_listed_or_written(tmp_path: Path) -> None:
    for seeds, found in ((2, [0, 1]), ([4, 2], [4, 2]), ("1-2", [1, 2])):
        assert [record.seed for record in run(["chance"], tmp_path, seeds=seeds).records] == found


class Lacking(cabench.ContrastiveAnalysisMethod):
    """Has neither a version nor encode."""

    name = "lacking"
    Config = Settings

    def fit(self, data, context) -> None:
        """Learn nothing."""


class Named(Mean):
    name = "sepclr"


class Variant(Mean):
    name = "sepclr_mmd"


class Worded(Mean):
    version = "1"


class Plain(Mean):
    Config = dict


class Taking(Mean):
    takes = "images"


class TakingNothing(Mean):
    takes = ("missing",)


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ([Taking], "The method Taking takes 'images'; write a tuple of some of images, tables"),
        ([TakingNothing], r"TakingNothing takes \('missing',\); write a tuple"),
        ([Variant], "'sepclr_mmd' is a variant of profile 'smoke'; rename the class"),
        ([Worded], "needs a whole number as version and a Settings class"),
        ([Plain], "needs a whole number as version and a Settings class"),
        (["pca", PCA()], "Two of the methods are called 'pca'"),
        ([Lacking], "The method Lacking lacks version, encode, load_state_dict, state_dict"),
        ([3], "3 is no method; give a name, or a class or object of ContrastiveAnalysisMethod"),
        ([int], "is no method"),
        ([Named], "The name 'sepclr' of Named belongs to an installed method"),
        ([Mean, Mean()], "Two of the methods are called 'mean'"),
        ([PCA({"components": 3})], "The configuration of PCA is {'components': 3}, not a PCAConfig"),
        ([], "No method was named"),
        ("sepclrr", "did you mean 'sepclr'"),
    ],
)
def test_what_a_method_lacks_is_said_in_a_sentence(tmp_path: Path, methods, words) -> None:
    with pytest.raises(cabench.UserError, match=words):
        run(methods, tmp_path)


@pytest.mark.parametrize("seeds", [0, -1, "x", [1.5], 1.5, None])
def test_seeds_that_are_none_are_refused(tmp_path: Path, seeds) -> None:
    with pytest.raises(cabench.UserError, match=r"not understood|cannot be run"):
        run(["chance"], tmp_path, seeds=seeds)


def test_one_class_one_path_and_numbers_of_numpy_will_do(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (200, 1, 8, 8), np.uint8)
    cabench.write_arrays(tmp_path / "own.h5", cabench.Examples(images[:100]), cabench.Examples(images[100:]))
    done = run(Mean, tmp_path / "runs", datasets=tmp_path / "own.h5", seeds=np.int64(1), sets=[])
    assert labels(done) == ["mean"]


class Told(Mean):
    name = "told"
    supervised = True


def test_what_a_class_says_of_itself_is_kept_where_nobody_can_look_it_up(tmp_path: Path) -> None:
    told, mean, pca = run([Told, Mean, "pca"], tmp_path).records
    assert (told.method["supervised"], mean.method["supervised"]) == (True, False)
    assert "supervised" not in pca.method
    (section,) = sections([told, mean, pca])
    assert {row.name for row in section.rows if takes_part(row)} == {"mean", "pca"}


def test_of_a_class_that_is_not_installed_only_the_newest_version_is_current(tmp_path: Path) -> None:
    records = [*run([Mean], tmp_path).records, *run([NewerMean], tmp_path).records]
    (section,) = sections(records)
    assert [(row.name, row.stale) for row in section.rows] == [("mean", False), ("mean", True)]
    (section,) = sections(records, with_stale=True)
    assert sorted(row.name for row in section.rows) == ["mean (version 1)", "mean (version 2)"]


def test_a_cell_of_a_class_is_loaded_with_the_class(tmp_path: Path) -> None:
    (record,) = run([Mean], tmp_path).records
    with pytest.raises(cabench.UserError, match=r"'mean', which is not installed; give its class"):
        cabench.load_method(record.folder(tmp_path))
    loaded = cabench.load_method(record.folder(tmp_path), Mean)
    assert isinstance(loaded, Mean)


def test_a_data_set_is_read_with_its_attributes_and_hash() -> None:
    data = cabench.load_dataset("planted", "smoke", sets=SETS)
    counts = data.info.counts
    assert len(data.train.target.images) == counts["train"]["target"]
    assert len(data.test.images) == sum(counts["test"].values())
    assert [a.name for a in data.attributes] == list(data.train.target.attributes)
    assert len(data.content_sha256) == 64
    with pytest.raises(cabench.UserError, match="did you mean 'planted'"):
        cabench.load_dataset("plantedd")


def measured(common_noise: float, salient_noise: float):
    """Vectors that hold a class each, and noise."""
    attributes = [cabench.Attribute("kind", "common", "class", ("a", "b"))]
    attributes.append(cabench.Attribute("mark", "salient", "class", ("x", "y")))
    splits = []
    for seed in (0, 1):
        generator = np.random.default_rng(seed)
        is_target = np.arange(400) % 2 == 1
        kind, mark = generator.integers(0, 2, 400), generator.integers(0, 2, 400)
        common = np.stack([kind, generator.normal(size=400)], 1) + common_noise * generator.normal(size=(400, 2))
        salient = np.stack([mark * is_target, is_target], 1) + salient_noise * generator.normal(size=(400, 2))
        values = {"kind": kind, "mark": np.where(is_target, mark, -1)}
        splits.append(Vectors(is_target, values, common, salient))
    return cabench.evaluate(*splits, attributes)


def test_vectors_from_anywhere_are_measured() -> None:
    scores = measured(0.1, 0.1)
    main = scores[scores["metric"] == "balanced_accuracy"].set_index(["space", "attribute", "population"])["value"]
    assert main["common", "kind", "target"] > 0.95
    assert main["salient", "mark", "target"] > 0.95
    assert 0.35 < main["common", "mark", "target"] < 0.65
    assert scores.attrs["separation_gap"] < measured(5.0, 5.0).attrs["separation_gap"]


@pytest.mark.parametrize(
    ("attribute", "said"),
    [
        (cabench.Attribute("mark", "commn", "class", ("a", "b")), "did you mean 'common'"),
        (cabench.Attribute("mark", "common", "klass", ("a", "b")), "kind of 'mark'"),
        (cabench.Attribute("is_target", "common", "class", ("a", "b")), "'is_target' is what tables call"),
        (cabench.Attribute("kind", "common", "class", ("a", "b")), "'kind' is given twice"),
    ],
)
def test_attributes_that_cannot_be_are_refused(attribute: cabench.Attribute, said: str) -> None:
    kind = cabench.Attribute("kind", "common", "class", ("a", "b"))
    vectors = Vectors(np.arange(4) % 2 == 1, {"kind": np.zeros(4, np.int64)}, np.zeros((4, 2)))

    with pytest.raises(cabench.UserError, match=said):
        cabench.evaluate(vectors, vectors, [kind, attribute])


def test_subjects_in_both_splits_are_refused() -> None:
    kind = cabench.Attribute("kind", "common", "class", ("a", "b"))
    subjects = np.array(["s1", "s1", "s2", ""])
    vectors = Vectors(np.arange(4) % 2 == 1, {"kind": np.zeros(4, np.int64)}, np.zeros((4, 2)), groups=subjects)

    with pytest.raises(cabench.UserError, match="2 groups, such as 's1', have rows in the training and in the test"):
        cabench.evaluate(vectors, vectors, [kind])


def test_copies_of_one_subject_tell_no_more_than_one_row_where_groups_say_so() -> None:
    attributes = [cabench.Attribute("kind", "common", "class", ("a", "b")), cabench.Attribute("age", "salient", "real")]

    def vectors(seed: int, copies: int, grouped: bool) -> Vectors:
        generator = np.random.default_rng(seed)
        is_target, kind, age = np.arange(120) % 2 == 1, generator.integers(0, 2, 120), generator.normal(size=120)
        common, salient = (np.stack([kind, age * is_target], 1) + generator.normal(size=(120, 2)) for _ in range(2))
        rows, groups = np.repeat(np.arange(120), copies), np.repeat([f"subject {row}" for row in range(120)], copies)
        values = {"kind": kind[rows], "age": age[rows]}
        return Vectors(is_target[rows], values, common[rows], salient[rows], groups if grouped else None)

    train = vectors(0, 1, False)
    once, grouped, alone = (cabench.evaluate(train, vectors(1, *how), attributes) for how in ((1, 0), (4, 1), (4, 0)))
    read = once["metric"].isin(["balanced_accuracy", "auc", "correlation"])
    assert read.sum() > 10
    np.testing.assert_allclose(grouped.loc[read, "value"], once.loc[read, "value"])
    error, true, naive = (table.loc[read, "standard_error"] for table in (grouped, once, alone))
    np.testing.assert_allclose(error, true, rtol=1e-9)
    # Four times the rows, taken for independent ones, halve the error, nearly so that of a correlation.
    np.testing.assert_allclose(naive, error / 2, rtol=0.06)
    assert set(grouped.loc[read, "n_groups"] * 4) == set(alone.loc[read, "n_groups"])


def test_arrays_that_do_not_go_together_are_refused() -> None:
    is_target = np.array([True, False])
    for vectors, words in (
        (Vectors(is_target, {}, np.zeros((3, 2))), "train_common has 3 rows for 2 images"),
        (Vectors(is_target.astype(int), {}, np.zeros((2, 2))), "wanted is bool"),
        (Vectors(is_target, {}), "There are no train vectors"),
        (Vectors(is_target, {"a": np.array([0.5, 1])}, np.zeros((2, 2))), "wanted are class indices"),
        (
            Vectors(is_target, {"a": np.array([7, 0])}, np.zeros((2, 2))),
            "lie from 0 to 7; class indices of it are 0",
        ),
        (Vectors(is_target, {"a": np.array([0, 1])}, np.zeros((2, 2))), "cannot be measured: No attribute could be"),
    ):
        with pytest.raises(cabench.UserError, match=words):
            cabench.evaluate(vectors, vectors, [cabench.Attribute("a", "common", "class", ("x", "y"))])
