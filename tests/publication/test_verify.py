"""`cabench verify-results`: every way of changing results is found, also where the manifest was made to fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cabench
from cabench.errors import UserError
from cabench.experiment.record import Record
from cabench.files.json import digest, read_json

from .conftest import cell, change, seal, write_own_table

Change = Callable[[Path], object]


def content(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def record_of(folder: Path) -> Path:
    return cell(folder) / "record.json"


def scores(folder: Path, **fields: object) -> None:
    """Change fields of the first score that counts for the gap."""
    found = content(record_of(folder))["scores"]
    place = next(i for i, score in enumerate(found) if score["metric"] == "balanced_accuracy")
    found[place] = found[place] | fields
    change(record_of(folder), scores=found)


def rekeyed(folder: Path, **changes: object) -> None:
    """Change a record, and give it the key and the place that fit, as somebody would who knows how keys are made."""
    change(record_of(folder), **changes)
    record = Record.load(record_of(folder))
    key = record.computed_key()
    for path in cell(folder).glob("*.h5"):
        with h5py.File(path, "r+") as file:
            file.attrs["key"] = np.bytes_(key) if path.stem == "contributions" else key
            if path.stem == "representations":
                file.attrs["content_sha256"] = record.dataset["content_sha256"]
    change(record_of(folder), key=key)
    cell(folder).rename(cell(folder).with_name(f"seed{record.seed}-{key[:8]}"))


def method(folder: Path, **fields: object) -> Mapping[str, object]:
    return {"method": content(record_of(folder))["method"] | fields}


def dataset(folder: Path, **fields: object) -> Mapping[str, object]:
    return {"dataset": content(record_of(folder))["dataset"] | fields}


def moved_score(folder: Path) -> None:
    """A better score, with the gap that follows from it."""
    scores(folder, value=0.9)
    change(record_of(folder), separation_gap=cabench_gap(folder))


def cabench_gap(folder: Path) -> float:
    from cabench.evaluation.gap import separation

    found = separation(read_json(record_of(folder), Record).scores)  # its old gap is not that of its new scores
    assert found is not None
    return found.gap.value


def array(folder: Path, file: str, name: str, by: float) -> None:
    """Multiply an array in a file beside the record."""
    with h5py.File(cell(folder) / file, "r+") as stored:
        stored[name][...] = stored[name][...] * by


def another(folder: Path, file: str) -> None:
    shutil.copy(cell(folder, "chance") / file, cell(folder) / file)


RECORDS: Mapping[str, tuple[Change, str]] = {
    "a score": (lambda folder: scores(folder, value=0.9), "its scores give"),
    "a score and the gap": (moved_score, "value of balanced_accuracy"),
    "the gap": (lambda folder: change(record_of(folder), separation_gap=0.01), "its separation gap is 0.01"),
    "a value that cannot be": (lambda folder: scores(folder, value=1.5), "cannot be"),
    "a p-value that cannot be": (
        lambda folder: scores(folder, p_value=2.0),
        "p_value: Input should be less than",
    ),
    "a standard error": (lambda folder: scores(folder, standard_error=1e-3), "standard_error of balanced_accuracy"),
    "numbers of rows": (lambda folder: scores(folder, n_test=7, n_groups=7), "are of 225 rows"),
    "the key": (lambda folder: change(record_of(folder), key="0" * 64), "another cell"),
    "the seed": (lambda folder: change(record_of(folder), seed=5), "another cell"),
    "the schema": (lambda folder: change(record_of(folder), schema=0), "not a record"),
    "settings": (lambda folder: change(record_of(folder), **method(folder, config={"d_common": 7})), "was changed"),
    "settings that cannot be": (
        lambda folder: rekeyed(folder, **method(folder, config={"no": 1})),
        "cannot be configured",
    ),
    "settings that are not all": (lambda folder: rekeyed(folder, **method(folder, config={})), "is not complete"),
    "the version": (lambda folder: change(record_of(folder), **method(folder, version=77)), "was changed"),
    "data": (lambda folder: change(record_of(folder), **dataset(folder, content_sha256="0" * 64)), "was changed"),
    "data and key": (lambda folder: rekeyed(folder, **dataset(folder, content_sha256="0" * 64)), "content 00000000"),
    "a failure with scores": (lambda folder: change(record_of(folder), status="failed"), "and has scores"),
    "costs": (
        lambda folder: change(record_of(folder), cost={**content(record_of(folder))["cost"], "train_s": -1}),
        "cost",
    ),
    "contributions": (lambda folder: array(folder, "contributions.h5", "values", 0.1), "contributions to"),
    "contributions that do not sum": (lambda folder: plus(folder), "do not sum to 0"),
    "contributions of another cell": (lambda folder: another(folder, "contributions.h5"), "of another cell"),
    "vectors": (
        lambda folder: array(folder, "representations.h5", "test/target/salient", 2),
        "its vectors are not those",
    ),
    "vectors of another cell": (lambda folder: another(folder, "representations.h5"), "of another cell"),
    "damaged vectors": (lambda folder: (cell(folder) / "representations.h5").write_bytes(b"no"), "is damaged"),
    "no record": (lambda folder: record_of(folder).write_text("{"), "not a record"),
}


BY_VECTORS = ("a score and the gap", "a standard error", "contributions")
"""What is found by computing the scores anew, and not without."""
BY_VECTORS += tuple(name for name in RECORDS if "vectors" in name)


def plus(folder: Path) -> None:
    with h5py.File(cell(folder) / "contributions.h5", "r+") as stored:
        stored["values"][...] += 0.01


@pytest.mark.parametrize("what", RECORDS)
def test_what_was_changed_in_a_cell_is_found_though_the_manifest_fits(
    request: pytest.FixtureRequest, what: str
) -> None:
    folder = request.getfixturevalue("with_vectors" if what in BY_VECTORS else "unpacked")
    changing, said = RECORDS[what]
    changing(folder)
    if what not in ("no record", "the schema", "a p-value that cannot be"):
        seal(folder)
    found = cabench.verify_results(folder)
    assert any(said in finding for finding in found.findings), found.findings
    assert found.cells == 2


def test_a_change_without_a_new_manifest_is_found_by_it(unpacked: Path) -> None:
    path = record_of(unpacked)
    path.write_text(path.read_text() + "\n", encoding="utf-8")
    (cell(unpacked, "chance") / "contributions.h5").unlink()
    (unpacked / "results/planted/chance/seed9-01234567").mkdir()
    (unpacked / "results/planted/chance/seed9-01234567/contributions.h5").write_text("more")
    found = cabench.verify_results(unpacked)
    assert [finding.partition(": ")[2] for finding in found.findings] == [
        "it is not in the manifest.",
        "it is in the manifest, and not here.",
        "its content has another hash or size than the manifest says.",
    ]


@pytest.mark.parametrize("name", ["results/more.txt", "checkpoint.pt", "results/planted/chance/seed0-0/record.json"])
def test_files_that_are_no_part_of_it_are_found(unpacked: Path, name: str) -> None:
    (unpacked / name).parent.mkdir(parents=True, exist_ok=True)
    (unpacked / name).write_text("more")
    assert any("no file of a published archive" in finding for finding in cabench.verify_results(unpacked).findings)


def test_manifests_that_are_wrong_are_found(unpacked: Path) -> None:
    manifest = unpacked / "manifest.json"
    told = content(manifest)
    change(manifest, summary={**told["summary"], "cells": {"planted": {"chance": 9}}})
    assert ["tells of other cells" in finding for finding in cabench.verify_results(unpacked).findings] == [True]
    change(manifest, summary=told["summary"], schema=2)
    assert "not a manifest" in cabench.verify_results(unpacked).findings[0]


@pytest.mark.parametrize("place", ["record", "cell", "results", "tuned.toml", "manifest.json"])
def test_links_are_found_and_not_followed(unpacked: Path, tmp_path: Path, place: str) -> None:
    path = {"record": record_of(unpacked), "cell": cell(unpacked)}.get(place, unpacked / place)
    path.rename(tmp_path / "secret")
    path.symlink_to(tmp_path / "secret")
    found = cabench.verify_results(unpacked)
    assert any("is a link" in finding for finding in found.findings), found.findings


def test_other_versions_are_noted_and_are_no_findings(unpacked: Path) -> None:
    rekeyed(unpacked, **method(unpacked, version=77))
    rekeyed(unpacked, **dataset(unpacked, builder_version=77))
    seal(unpacked)
    found = cabench.verify_results(unpacked)
    assert found.passed, found.findings
    assert found.notes["The method random_encoder has version 77 in records; here it is 1: they are stale."] == 1
    assert sum("version 77" in note for note in found.notes) == 2


def test_methods_and_data_that_are_not_here_are_noted(with_vectors: Path, tmp_path: Path, monkeypatch) -> None:
    rekeyed(with_vectors, **method(with_vectors, name="theirs"))
    seal(with_vectors)
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path / "empty"))
    found = cabench.verify_results(with_vectors)
    assert found.passed, found.findings
    assert found.recomputed == 0
    assert any("theirs is not installed" in note for note in found.notes)
    assert (
        found.notes["The data set planted is not built here, so that its content was not compared; --build builds it."]
        == 2
    )
    assert cabench.verify_results(with_vectors, build=True).recomputed == 2


def test_a_file_that_the_sender_names_is_not_opened(unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.h5").write_text("mine")
    rekeyed(unpacked, **dataset(unpacked, name="file", builder_version=1, config={"path": str(tmp_path / "secret.h5")}))
    seal(unpacked)
    found = cabench.verify_results(unpacked)
    assert any("is a file of the sender's" in note for note in found.notes)
    assert not any("secret" in said for said in (*found.findings, *found.notes))


def test_a_tolerance_is_kept(with_vectors: Path) -> None:
    """A number that another machine might give passes, and how far it is off is said."""
    path = record_of(with_vectors)
    change(path, leak_floor=content(path)["leak_floor"] + 0.001)
    seal(with_vectors)
    found = cabench.verify_results(with_vectors)
    assert found.passed, found.findings
    assert (found.recomputed, found.equal) == (2, 1)
    assert found.farthest == pytest.approx(0.001)
    assert "1 of them bit for bit, the others within 0.001" in str(found)
    assert not cabench.verify_results(with_vectors, tolerance=0.0005).passed


def test_a_results_folder_is_checked_as_it_is(mine: Path) -> None:
    found = cabench.verify_results(mine / "runs", mine / "tuning", mine / "tuned.toml")
    assert found.passed, found.findings
    assert (found.cells, found.recomputed, found.tuned) == (2, 2, 1)


def test_the_command_says_a_line_a_finding_and_ends_with_1(unpacked: Path, archive: Path, cabench_here) -> None:
    good = cabench_here("verify-results", str(archive))
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout == (
        "2 cells, 0 of them failed; 1 tuning records; scores of 0 cells computed anew; 0 findings.\n"
    )
    scores(unpacked, n_test=7, n_groups=7)
    seal(unpacked)
    bad = cabench_here("verify-results", str(unpacked))
    assert bad.returncode == 1
    *findings, summary = bad.stdout.splitlines()
    assert [line.partition("/seed0-")[0] for line in findings] == ["finding: planted/random_encoder"]
    assert summary.endswith("; 1 finding.")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nothing.tar.gz",), "nothing.tar.gz does not exist"),
        (("theirs/cabench-results/README.md",), "neither a folder nor an archive"),
        (("empty",), "holds no records"),
        (("theirs/cabench-results", "--tuning", "empty"), "its own tuning records"),
        (("theirs/cabench-results", "--tolerance", "-1"), "Invalid value"),
    ],
)
def test_wrong_usage_ends_with_2(unpacked: Path, tmp_path: Path, cabench_here, arguments, said: str) -> None:
    (tmp_path / "empty").mkdir()
    done = cabench_here("verify-results", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


NAMES = (
    "scores",
    "method",
    "dataset",
    "evaluation",
    "cost",
    "protocols",
    "dimension_r2",
    "unmeasured",
    "separation_gap",
)
odd = st.recursive(
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(-1e99, 1e99)
    | st.sampled_from(["", "x", "common", "../x"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["train", "path", "a"]), inner, max_size=2)
    ),
    max_leaves=3,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in inner for found in ((*path, key), *paths(item, (*path, key)))]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_a_record_says_it_is_checked(mine: Path, data: st.DataObject) -> None:
    """Nothing in a record ends the check of the others. The key fits, so that no check is spared."""
    runs = mine / "runs"
    for path in runs.glob("*/*/*/*.h5"):
        path.unlink()
    (record,) = runs.glob("planted/chance/seed0-*/record.json")
    sound = record.read_text(encoding="utf-8")
    changed = json.loads(sound)
    *places, last = data.draw(st.sampled_from([path for path in paths(changed) if path[0] in NAMES]))
    node = changed
    for place in places:
        node = node[place]
    node[last] = data.draw(odd)
    if data.draw(st.booleans()):
        changed["dataset"] = (
            {**changed["dataset"], "most_rows": data.draw(odd)} if isinstance(changed["dataset"], dict) else 0
        )
    try:
        method, evaluation = changed["method"], changed["evaluation"]
        changed["key"] = digest(
            {
                "schema": 1,
                "method": method["name"],
                "method_version": method["version"],
                "config": method["config"],
                "dataset": changed["dataset"]["content_sha256"],
                "evaluation": evaluation,
                "precision": changed["precision"],
                "seed": changed["seed"],
            }
        )
    except (TypeError, KeyError):
        pass
    renamed = record.parent.with_name(f"seed0-{changed['key'][:8]}")
    record.parent.rename(renamed)
    try:
        (renamed / "record.json").write_text(json.dumps(changed), encoding="utf-8")
        assert cabench.verify_results(runs).cells == 2
    finally:
        (renamed / "record.json").write_text(sound, encoding="utf-8")
        renamed.rename(record.parent)


def test_options_of_python_are_those_of_the_command(computed: Path) -> None:
    with pytest.raises(UserError, match="neither a folder nor an archive"):
        cabench.verify_results(computed / "tuned.toml")


@pytest.mark.parametrize("most", [{"train": 0}, {"train": -3}, {"train": 2**62}, {"elsewhere": 5}, {}])
@pytest.mark.parametrize("validation", [{}, {"validation_of": "0" * 64}])
def test_samples_that_cannot_be_end_no_check(unpacked: Path, most: dict[str, int], validation: dict[str, str]) -> None:
    rekeyed(unpacked, **dataset(unpacked, most_rows=most, content_sha256="0" * 64, **validation))
    seal(unpacked)
    found = cabench.verify_results(unpacked)
    assert found.cells == 2
    assert len(found.findings) + len(found.notes) == 1


def test_an_own_data_set_is_checked_against_the_file_that_was_received(
    tmp_path: Path, start_cabench: Callable[..., Any], cabench_here
) -> None:
    write_own_table(tmp_path / "own.h5", seed=0)
    run = ("run", "--profile", "smoke", "--no-controls", "--methods", "chance", "--seeds", "0", "--results", "runs")
    process = start_cabench(tmp_path, *run, "--datasets", "own.h5")
    process.communicate()
    assert process.returncode == 0
    (tmp_path / "received").mkdir()
    (tmp_path / "own.h5").rename(tmp_path / "received" / "own.h5")
    unnamed = cabench.verify_results(tmp_path / "runs")
    assert unnamed.recomputed == 0
    assert any("Name the file that you have of it with --data." in note for note in unnamed.notes)
    named = cabench_here("verify-results", "runs", "--data", "received/own.h5")
    assert named.returncode == 0, named.stdout
    assert "scores of 1 cells computed anew" in named.stdout
    write_own_table(tmp_path / "other" / "own.h5", seed=1)
    other = cabench.verify_results(tmp_path / "runs", data=[tmp_path / "other" / "own.h5"])
    assert any("it is of data with the content" in finding for finding in other.findings)
    with pytest.raises(UserError, match=r"There is no data set file nowhere\.h5"):
        cabench.verify_results(tmp_path / "runs", data=["nowhere.h5"])
