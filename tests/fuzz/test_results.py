"""Whatever stands in a results folder or a baseline, every report can be written from it, or it is refused."""

from __future__ import annotations

import copy
import io
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cabench import discovery
from cabench.evaluation.gap import separation
from cabench.experiment.identity import current_evaluation
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.experiment.training_log import last_logged
from cabench.gate.baseline import Baseline
from cabench.gate.formats import changes_text, junit
from cabench.gate.formats import markdown as gate_markdown
from cabench.gate.formats import text as gate_text
from cabench.gate.gate import check, new_baseline
from cabench.hardening.deaths import deaths_at
from cabench.report.html import html_page
from cabench.report.latex import latex
from cabench.report.markdown import markdown
from cabench.report.output import END, START, write_report
from cabench.report.published import COLUMNS, read_published

TIMES = int(os.environ.get("CABENCH_FUZZ", "1"))
SLOW = settings(settings.get_profile("cabench"), max_examples=20 * TIMES)
QUICK = settings(settings.get_profile("cabench"), max_examples=50 * TIMES)
Attempt = Callable[[str, Path, Callable[[], Any]], Any]
Damage = Callable[[bytes], st.SearchStrategy[bytes]]
WriteAll = Callable[[Sequence[Record], Path], None]

PUBLISHED = Path(__file__).parents[2] / "results" / "published"
CELLS = ("mmcvae/seed0", "mmcvae/seed1", "mmcvae/seed2", "pca/seed0")

HOSTILE = (
    *("../../x", "/etc/passwd", "..", "", "a/b", "CON", "x" * 300, "\0", "\x1b[2J\x07", "\u202e", "\r\n# a", "a|b\n|c"),
    *("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</script>", "]]>", END, "=1+1", "+1", "@x"),
    *("\\input{x}", "${7*7}", "{{7*7}}", "%s%n", "$", "é", "🙂", "balanced_accuracy", "auc", "r2", "hsic", "is_target"),
)
RAW = (
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1e308",
        "1e-320",
        "1" + "0" * 5000,
        "[" * 3000 + "]" * 3000,
        '"\\ud800"',
    ),
    *('{"a": 1, "a": 2}', "1e100", "9223372036854775808", "-0.0", "1.0", "0x10", "", "01", "'a'"),
)
MARK = "@raw"
numbers = st.floats(-1e6, 1e6) | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)
texts = st.text() | st.sampled_from(HOSTILE)
raw = st.integers(0, len(RAW) - 1).map(lambda index: f"{MARK}{index}@")
values = st.recursive(
    st.none() | st.booleans() | numbers | texts | raw,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all nodes but the root."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in inner for found in ((*path, key), *places(item, (*path, key)))]


def alike(value: Any) -> st.SearchStrategy[Any]:
    """Other values of the same kind, which are the more likely to be let through."""
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int):
        return st.integers(0, 1000) | st.integers()
    if isinstance(value, float):
        return st.floats(-1, 2) | numbers
    return texts if isinstance(value, str) else values


def with_raw(content: Any) -> str:
    text = json.dumps(content)
    return re.sub(f'"{MARK}(\\d+)@"', lambda found: RAW[int(found[1])], text)


def changes(valid: Sequence[Any]) -> st.SearchStrategy[str]:
    """JSON texts: one of some valid values with up to three nodes replaced, taken away, added or copied."""

    @st.composite
    def changed(draw: st.DrawFn) -> str:
        content = copy.deepcopy(draw(st.sampled_from(valid)))
        for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3)))):
            outline = [place for place in places(content) if len(place) < 3]
            found = draw(st.sampled_from((outline, places(content))))
            if not found:
                break
            *path, last = draw(st.sampled_from(found))
            node = content
            for key in path:
                node = node[key]
            action = draw(st.sampled_from(("alike", "alike", "alike", "alike", "replace", "remove", "add", "copy")))
            if action == "remove":
                del node[last]
            elif action == "add" and isinstance(node, dict):
                node[draw(texts)] = draw(values)
            elif action == "copy" and isinstance(node, list):
                node.append(copy.deepcopy(node[last]))
            else:
                node[last] = draw(alike(node[last]) if action == "alike" else values)
        return with_raw(content)

    return changed()


def originals() -> list[Path]:
    return [next(PUBLISHED.glob(f"dsprites/{cell}-*")) / "record.json" for cell in CELLS]


def on_another_data_set(record: Record) -> Record:
    planted = discovery.dataset_class("planted")
    entry = {"name": planted.name, "label": planted.name, "builder_version": planted.version}
    return replace(record, dataset={**record.dataset, **entry})


def short(path: Path) -> Any:
    """A record with one score of each metric, space and population: most nodes would be scores otherwise."""
    content, record = json.loads(path.read_text(encoding="utf-8")), Record.load(path)
    kinds = {(score.metric, score.space, score.population): index for index, score in enumerate(record.scores)}
    found = separation([record.scores[index] for index in kinds.values()])
    assert found is not None
    scores = [content["scores"][index] for index in kinds.values()]
    return {**content, "scores": scores, "separation_gap": found.gap.value}


RECORDS = [short(path) for path in originals()]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of sound records; tests change what stands beside the first one."""
    store = ResultsStore(tmp_path_factory.mktemp("around") / "results")
    cells = [ResultsStore(PUBLISHED).load(Record.load(path)) for path in originals()]
    for record in [*cells, *map(on_another_data_set, (cells[0], cells[-1]))]:
        record.folder(store.folder).mkdir(parents=True)
        store.replace_record(record)
    return store.folder


@pytest.fixture(scope="module")
def sound(results: Path) -> list[Record]:
    return ResultsStore(results).records()


def read_record(path: Path, results: Path) -> Record:
    record = Record.load(path)
    folder = record.folder(results)
    assert (folder.resolve().parents[2], len(folder.relative_to(results).parts)) == (results.resolve(), 3)
    return record


@SLOW
@given(text=changes(RECORDS))
def test_a_changed_record(attempt: Attempt, write_all: WriteAll, results: Path, sound: list[Record], text: str) -> None:
    path = results.parent / "record.json"
    path.write_bytes(text.encode(errors="surrogatepass"))
    record = attempt("record: values", results.parent, lambda: read_record(path, results))
    if record is not None:
        write_all([record, *sound[1:]], results)
        write_all([record], results)
        path.write_text(record.to_json(), encoding="utf-8")
        assert Record.load(path) == record


@QUICK
@given(data=st.data())
def test_a_record_of_other_bytes(
    attempt: Attempt, damage: Damage, write_all: WriteAll, results: Path, data: st.DataObject
) -> None:
    path = results.parent / "record.json"
    path.write_bytes(data.draw(damage(with_raw(RECORDS[3]).encode())))
    record = attempt("record: bytes", results.parent, lambda: read_record(path, results))
    if record is not None:
        write_all([record], results)


PLANE = {"points": [[0.0, 1.5], [1.0, 2.0]], "explained": [0.5, 0.25]}
MAPS = {
    "attributes": [{"name": "shape", "space": "salient", "kind": "class", "classes": ["heart", "square"]}],
    "is_target": [0, 1],
    "values": {"shape": [None, 1]},
    "spaces": {"common": PLANE, "salient": PLANE},
}
NOTE = {"deaths": 1, "checkpoint": None}
LOG = [
    {"epoch": epoch, "steps": 9 * epoch, "terms": {"total": 1 / epoch}, "elapsed_s": 1.5, "images_per_s": 10.0}
    for epoch in (1, 2)
]


def picture() -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (40, 20), "red").save(written, format="png")
    return written.getvalue()


def beside(attempt: Attempt, results: Path, record: Record, name: str, content: bytes) -> None:
    """An HTML page with another file beside a record, and what else reads such files."""
    path = record.folder(results) / name
    path.write_bytes(content)

    def read() -> None:
        assert html_page([record], results)
        steps, terms = last_logged(record.folder(results))
        assert all(isinstance(value, float) for value in (float(steps), *terms.values()))
        assert deaths_at(record.folder(results)) >= (name == ".begun")

    attempt(name, results.parent, read)
    path.unlink()


@SLOW
@given(text=changes([MAPS]))
def test_changed_maps(attempt: Attempt, results: Path, sound: list[Record], text: str) -> None:
    beside(attempt, results, sound[-1], "maps.json", text.encode(errors="surrogatepass"))


@SLOW
@given(lines=st.lists(changes(LOG), min_size=1, max_size=4))
def test_a_changed_log(attempt: Attempt, results: Path, sound: list[Record], lines: list[str]) -> None:
    beside(attempt, results, sound[-1], "log.jsonl", "\n".join(lines).encode(errors="surrogatepass"))


@SLOW
@given(text=changes([NOTE]))
def test_a_changed_note_of_a_begun_cell(attempt: Attempt, results: Path, sound: list[Record], text: str) -> None:
    beside(attempt, results, sound[-1], ".begun", text.encode(errors="surrogatepass"))


@SLOW
@given(data=st.data())
def test_a_picture_of_other_bytes(
    attempt: Attempt, damage: Damage, results: Path, sound: list[Record], data: st.DataObject
) -> None:
    beside(attempt, results, sound[-1], "pictures.png", data.draw(damage(picture()) | st.binary()))


rows = st.lists(
    st.tuples(
        st.sampled_from(("dsprites", "x")) | texts,
        st.sampled_from(("sepclr", "sepvae", "x")),
        texts,
        st.sampled_from(("common", "salient", "x")),
        texts,
        texts,
        st.sampled_from(("0.5", "1", "", "nan", "1e400", "-1", "0x1")) | texts,
        st.sampled_from(("", "0.1", "inf")),
        texts,
    ),
    max_size=3,
)


@QUICK
@given(
    rows=rows, header=st.sampled_from((COLUMNS, COLUMNS[:-1], (*COLUMNS, "x"), ())), quote=st.sampled_from(('"', ""))
)
def test_figures_from_papers(
    attempt: Attempt,
    results: Path,
    sound: list[Record],
    rows: list[tuple[str, ...]],
    header: tuple[str, ...],
    quote: str,
) -> None:
    path = results.parent / "figures.csv"
    lines = [",".join(header), *(",".join(f"{quote}{value}{quote}" for value in row) for row in rows)]
    path.write_bytes("\n".join(lines).encode(errors="surrogatepass"))
    figures = attempt("figures: values", results.parent, lambda: read_published(path))
    if figures:
        assert markdown(sound[:1], figures)
        assert latex(sound[:1], figures)
        assert html_page(sound[:1], results, figures)


@QUICK
@given(data=st.data())
def test_figures_of_other_bytes(attempt: Attempt, damage: Damage, results: Path, data: st.DataObject) -> None:
    path = results.parent / "figures.csv"
    sound = ",".join(COLUMNS).encode() + b'\ndsprites,sepclr,"A, B",common,shape,auc,0.5,,here\n'
    path.write_bytes(data.draw(st.binary() | damage(sound)))
    attempt("figures: bytes", results.parent, lambda: read_published(path))


@QUICK
@given(
    parts=st.lists(
        st.sampled_from((START, END, START[:-1], "\r\n", "\n", "\ufeff", "\0", "text", "é")) | st.text(), max_size=7
    ),
    encoding=st.sampled_from(("utf-8", "utf-8", "utf-16", "latin-1")),
)
def test_a_page_keeps_all_outside_its_markers(attempt: Attempt, results: Path, parts: list[str], encoding: str) -> None:
    path = results.parent / "page.md"
    page = "".join(parts).encode(encoding, errors="replace")
    path.write_bytes(page)
    attempt("page", results.parent, lambda: write_report(path, "TABLES"))
    written = path.read_bytes()
    start, end = START.encode(), END.encode()
    if start not in page and end not in page:
        assert written in (b"TABLES", page)
    elif written != page:
        before, _, rest = page.partition(start)
        _, _, after = rest.partition(end)
        assert written == before + start + b"\n\nTABLES\n" + end + after


def as_installed(record: Record) -> Record:
    """A record of the installed versions and a training long enough for its speed to count, or the gate stops there."""
    return replace(
        record,
        method={**record.method, "version": discovery.method_class(record.method["name"]).version},
        dataset={**record.dataset, "builder_version": discovery.dataset_class(record.dataset["name"]).version},
        evaluation=current_evaluation(),
        cost={**record.cost, "train_s": 60.0, "images_per_s": 1000.0},
        provenance={**record.provenance, "threads": 1},
    )


@pytest.fixture(scope="module")
def gated(sound: list[Record]) -> list[Record]:
    return [as_installed(record) for record in sound]


@pytest.fixture(scope="module")
def baseline(results: Path, gated: list[Record]) -> Any:
    """What a baseline file of these records holds, with a few metrics a cell: most nodes would be those otherwise."""
    path = results.parent / "baseline.json"
    new_baseline(gated).write(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    return {**content, "cells": [{**cell, "metrics": cell["metrics"][:4]} for cell in content["cells"]]}


def pass_gate(path: Path, records: Sequence[Record]) -> None:
    """Compare records with what was read, in every form; and what is written of it is read as the same."""
    found = Baseline.read(path)
    outcome = check(found, records, max_slowdown=0.1)
    for shown in (gate_text(outcome), changes_text(outcome), gate_markdown(outcome)):
        shown.encode()
        assert not re.search("[\0-\x08\x0b-\x1f\x7f-\x9f\u202e]", shown)
    ElementTree.fromstring(junit(outcome).encode())
    found.write(path)
    assert Baseline.read(path) == found


@QUICK
@given(data=st.data())
def test_a_changed_baseline(
    attempt: Attempt, results: Path, gated: list[Record], baseline: Any, data: st.DataObject
) -> None:
    path = results.parent / "baseline.json"
    path.write_bytes(data.draw(changes([baseline])).encode(errors="surrogatepass"))
    attempt("baseline: values", results.parent, lambda: pass_gate(path, gated))


@QUICK
@given(data=st.data())
def test_a_baseline_of_other_bytes(
    attempt: Attempt, damage: Damage, results: Path, gated: list[Record], baseline: Any, data: st.DataObject
) -> None:
    path = results.parent / "baseline.json"
    path.write_bytes(data.draw(damage(json.dumps(baseline).encode()) | st.binary()))
    attempt("baseline: bytes", results.parent, lambda: pass_gate(path, gated))
