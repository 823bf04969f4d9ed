"""Contributions beside a record: they come back, and whatever else stands in their place is not taken for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from cabench.evaluation.contributions import Contributions, ContributionTable
from cabench.experiment import store as store_module
from cabench.experiment.contributions_file import NAME, read_contributions, write_contributions
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.files.atomic import StorageError

KEY = "a" * 64
HISTORIC = Path(__file__).parents[1] / "historic_results" / "dsprites" / "pca" / "seed0-fa55f7a4" / "record.json"
BLOCKS = 6

pytestmark = pytest.mark.filterwarnings("error")


def table(scores: int = 3, names: tuple[str, ...] = ()) -> ContributionTable:
    """Of so many scores; the second one's metric has no influence."""
    generator = np.random.default_rng(scores)
    rows = generator.integers(0, 5, (scores, BLOCKS))
    parts = [
        Contributions(
            None if index == 1 else generator.normal(size=BLOCKS), rows[index], np.arange(BLOCKS) % (index + 1)
        )
        for index in range(scores)
    ]
    return ContributionTable(parts, rows.max(axis=0, initial=1), np.arange(BLOCKS) // 3, names)


def assert_same(found: ContributionTable | None, written: ContributionTable) -> None:
    assert found is not None
    np.testing.assert_array_equal(found.rows, written.rows)
    np.testing.assert_array_equal(found.strata, written.strata)
    assert list(found.names) == list(written.names)
    for one, other in zip(found.scores, written.scores, strict=True):
        assert (one.values is None) == (other.values is None)
        if one.values is not None and other.values is not None:
            np.testing.assert_array_equal(one.values, np.float32(other.values))
        np.testing.assert_array_equal(one.rows, other.rows)
        np.testing.assert_array_equal(one.strata, other.strata)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of three scores."""
    write_contributions(tmp_path / NAME, KEY, table())
    return tmp_path / NAME


class TestFile:
    @pytest.mark.parametrize("names", [(), ("s1", "s2", "ü", "", "4", "5")], ids=["no groups", "groups"])
    @pytest.mark.parametrize("scores", [0, 1, 3])
    def test_comes_back_as_it_was_written(self, tmp_path: Path, scores: int, names: tuple[str, ...]) -> None:
        write_contributions(tmp_path / NAME, KEY, table(scores, names))

        assert_same(read_contributions(tmp_path / NAME, KEY, scores), table(scores, names))

    def test_is_small(self, tmp_path: Path) -> None:
        generator = np.random.default_rng(0)
        parts = [Contributions(generator.normal(size=200), np.full(200, 20), np.arange(200) // 100) for _ in range(60)]
        write_contributions(tmp_path / NAME, KEY, ContributionTable(parts, np.full(200, 20), np.arange(200) // 100))

        assert (tmp_path / NAME).stat().st_size < 80_000

    def test_no_blocks_at_all(self, tmp_path: Path) -> None:
        nothing = np.zeros(0, np.int64)
        empty = ContributionTable([Contributions(None, nothing, nothing)], nothing, nothing)
        write_contributions(tmp_path / NAME, KEY, empty)

        found = read_contributions(tmp_path / NAME, KEY, 1)

        assert found is not None
        assert (len(found.scores), len(found.rows)) == (1, 0)

    def test_another_file_is_replaced(self, path: Path) -> None:
        write_contributions(path, KEY, table(2))

        assert_same(read_contributions(path, KEY, 2), table(2))

    def test_a_link_in_its_place_is_replaced_and_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").write_text("kept")
        (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")

        write_contributions(tmp_path / NAME, KEY, table())

        assert (tmp_path / "elsewhere").read_text() == "kept"
        assert not (tmp_path / NAME).is_symlink()


def rewritten(name: str, values: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file[name] = values

    return change


def linked(file: h5py.File) -> None:
    del file["values"]
    file["values"] = h5py.ExternalLink("other.h5", "values")


def moved_away(file: h5py.File) -> None:
    del file["rows"]


DAMAGE: dict[str, Callable[[h5py.File], None]] = {
    "no rows": moved_away,
    "a link": linked,
    "a group": lambda file: (file.move("values", "x"), file.create_group("values"))[0],
    "one score less": rewritten("values", np.zeros((2, BLOCKS), np.float32)),
    "one block less": rewritten("strata", np.zeros((3, BLOCKS - 1), np.int32)),
    "other blocks": rewritten("block_rows", np.zeros(BLOCKS + 1, np.int32)),
    "strata of other blocks": rewritten("block_strata", np.zeros(2, np.int32)),
    "a number": rewritten("block_rows", 3),
    "a table for a list": rewritten("block_rows", np.zeros((BLOCKS, 2), np.int32)),
    "text": rewritten("rows", np.array([[b"a"] * BLOCKS] * 3)),
    "fractions of rows": rewritten("rows", np.full((3, BLOCKS), np.nan, np.float32)),
    "infinite values": rewritten("values", np.full((3, BLOCKS), np.inf, np.float32)),
    "names of other blocks": rewritten("names", ["a", "b"]),
    "names that are numbers": rewritten("names", np.arange(BLOCKS)),
    "no key": lambda file: file.attrs.pop("key"),
    "another key": lambda file: file.attrs.update(key=np.bytes_("b" * 64)),
    "a key that is an array": lambda file: file.attrs.update(key=np.arange(3)),
}


class TestWhatIsNotTaken:
    @pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
    def test_a_file_of_another_kind(self, path: Path, damage: Callable[[h5py.File], None]) -> None:
        with h5py.File(path, "r+") as file:
            damage(file)

        assert read_contributions(path, KEY, 3) is None

    def test_a_file_of_other_scores_or_of_another_record(self, path: Path) -> None:
        assert read_contributions(path, KEY, 2) is None
        assert read_contributions(path, "b" * 64, 3) is None

    def test_no_file_and_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()

        assert read_contributions(tmp_path / NAME, KEY, 3) is None
        assert read_contributions(tmp_path / "folder", KEY, 3) is None

    @pytest.mark.parametrize("content", [b"", b"text", b"\x89HDF\r\n\x1a\n" + bytes(100)])
    def test_what_is_no_hdf5(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / NAME).write_bytes(content)

        assert read_contributions(tmp_path / NAME, KEY, 3) is None

    def test_a_file_that_was_cut_off_or_changed_at_some_byte_never_ends_a_report(self, path: Path) -> None:
        whole = path.read_bytes()
        generator = np.random.default_rng(0)
        for _ in range(300):
            damaged = bytearray(whole[: generator.integers(1, len(whole) + 1)])
            for place in generator.integers(0, len(damaged), 3):
                damaged[place] = generator.integers(256)
            path.write_bytes(damaged)
            found = read_contributions(path, KEY, 3)

            assert found is None or len(found.scores) == 3


@pytest.fixture
def results(tmp_path: Path) -> ResultsStore:
    return ResultsStore(tmp_path / "results")


@pytest.fixture
def record() -> Record:
    """A record of two scores, with their contributions."""
    plain = Record.load(HISTORIC)
    return dataclasses.replace(plain, scores=plain.scores[:2], contributions=table(2))


class TestBesideARecord:
    def test_come_back_with_it_and_stand_in_no_json(self, results: ResultsStore, record: Record) -> None:
        results.write_record(record)

        for found in (results.load(record), *results.records(), results.readable_records()[0][0]):
            assert found == record
            assert_same(found.read_contributions(), table(2))
        assert "contributions" not in (record.folder(results.folder) / "record.json").read_text(encoding="utf-8")

    def test_are_there_before_the_record_is(
        self, results: ResultsStore, record: Record, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(path: Path, text: str) -> None:
            raise StorageError("no space left")

        monkeypatch.setattr(store_module, "write_text", full)
        with pytest.raises(StorageError):
            results.write_record(record)

        assert (record.folder(results.folder) / NAME).is_file()
        assert results.state(record) == "missing"

    def test_a_record_without_them_loads(self, results: ResultsStore, record: Record) -> None:
        results.write_record(dataclasses.replace(record, contributions=None))
        assert results.load(record).contributions is None

        results.write_record(record)
        (record.folder(results.folder) / NAME).write_bytes(b"damaged")

        assert results.load(record) == record
        assert results.load(record).contributions is None

    def test_of_scores_before_a_change_are_not_taken_for_those_of_now(
        self, results: ResultsStore, record: Record
    ) -> None:
        results.write_record(record)
        results.write_record(dataclasses.replace(record, scores=record.scores[:1], contributions=None))

        assert results.load(record).contributions is None

    def test_go_with_the_cell_under_its_new_key(self, results: ResultsStore, record: Record) -> None:
        renewed = dataclasses.replace(record, key="f" * 64, contributions=table(2, tuple("abcdef")))
        results.write_record(record)
        results.move(record, renewed)

        assert not record.folder(results.folder).exists()
        assert_same(results.load(renewed).contributions, table(2, tuple("abcdef")))

    def test_of_the_old_key_are_nothing_under_the_new_one(self, results: ResultsStore, record: Record) -> None:
        renewed = dataclasses.replace(record, key="f" * 64, contributions=None)
        results.write_record(record)
        results.move(record, renewed)

        assert results.load(renewed).contributions is None

    def test_go_when_the_cell_starts_from_nothing(self, results: ResultsStore, record: Record) -> None:
        results.write_record(record)
        results.clear(record)

        assert list(record.folder(results.folder).iterdir()) == []

    def test_a_failed_record_has_none_whatever_is_left(self, results: ResultsStore, record: Record) -> None:
        results.write_record(record)
        error = {"type": "ValueError", "message": "", "traceback": "", "step": None, "last_terms": None}
        failed = dataclasses.replace(
            record, status="failed", scores=(), separation_gap=None, cost={}, error=error, contributions=None
        )
        results.write_record(failed)

        assert results.load(failed).contributions is None
