"""The report of a results folder is written again when something has changed, and only then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cabench.errors import UserError
from cabench.experiment import report_sign
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore

PUBLISHED = Path(__file__).parents[2] / "results" / "published"


@pytest.fixture
def records() -> list[Record]:
    store = ResultsStore(PUBLISHED)
    return [store.load(Record.load(path)) for path in sorted(PUBLISHED.glob("dsprites/pca/*/record.json"))[:2]]


@pytest.fixture
def store(tmp_path: Path, records: list[Record]) -> ResultsStore:
    """A folder with one record and its report."""
    store = ResultsStore(tmp_path)
    store.replace_record(records[0])
    assert writes(store) == "1"
    return store


def writes(store: ResultsStore) -> str:
    """What the report says that is written now: how many records there are; "" where it is left as it is."""
    written: list[str] = []

    def tables(records: list[Record]) -> str:
        written.append(str(len(records)))
        return written[-1]

    store.write_report(tables)
    return "".join(written)


def test_nothing_is_written_where_nothing_has_changed(store: ResultsStore) -> None:
    assert writes(store) == writes(ResultsStore(store.folder)) == ""
    assert (store.folder / "report.md").read_text() == "1"


@pytest.mark.parametrize(
    "change",
    [
        lambda store, records: store.replace_record(records[1]),
        lambda store, records: store.replace_record(records[0]),
        lambda store, records: (records[0].folder(store.folder) / "contributions.h5").unlink(),
        lambda store, records: (store.folder / "report.md").unlink(),
        lambda store, records: (store.folder / "report.md").write_text("?"),
        lambda store, records: (store.folder / ".report.md.sign").unlink(),
        lambda store, records: (store.folder / ".report.md.sign").write_bytes(b"\xff"),
    ],
    ids=["a record more", "written again", "file beside it", "no report", "changed report", "no sign", "damaged sign"],
)
def test_it_is_written_again_after_a_change(
    store: ResultsStore, records: list[Record], change: Callable[[ResultsStore, list[Record]], object]
) -> None:
    change(store, records)

    assert writes(store)
    assert writes(store) == ""


def test_another_cabench_writes_it_again(store: ResultsStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "other" / "cabench"
    other.mkdir(parents=True)
    other.joinpath("__init__.py").touch()
    monkeypatch.setattr(report_sign.cabench, "__file__", str(other / "__init__.py"))

    assert writes(store) == "1"


def test_what_is_written_while_the_tables_are_made_is_in_the_next_report(
    store: ResultsStore, records: list[Record]
) -> None:
    (store.folder / "report.md").unlink()

    def tables(found: list[Record]) -> str:
        store.replace_record(records[1])
        return str(len(found))

    store.write_report(tables)

    assert writes(store) == "2"


def test_a_record_that_cannot_be_read_is_said_each_time(store: ResultsStore, records: list[Record]) -> None:
    (records[0].folder(store.folder) / "record.json").write_text("{")

    for _ in range(2):
        (reason,) = store.write_report(lambda found: str(len(found)))
        assert "is not a record of cabench" in reason


def test_the_state_follows_the_record_that_is_there(store: ResultsStore, records: list[Record]) -> None:
    path = records[0].folder(store.folder) / "record.json"
    assert store.state(records[0]) == store.state(records[0]) == "done"

    path.write_text("{")
    assert store.state(records[0]) == "damaged"
    with pytest.raises(UserError):
        store.records()

    path.unlink()
    assert store.state(records[0]) == "missing"
