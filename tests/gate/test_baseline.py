"""The baseline file: written and read alike, readable, and refused in one sentence when it is not one."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cabench.errors import UserError
from cabench.gate.baseline import SEPARATION_GAP, Baseline, Metric
from cabench.gate.gate import new_baseline

SCORES = {
    "shape": [0.9, 0.91],
    "shape leak": [0.7, 0.4],
    "digit": [0.8, 0.81],
    "scale": [0.6, 0.62],
    "scale leak": [0.3, 0.0],
    "is_target": [0.97, 0.98],
    "site leak": [0.6, 0.61],
}


@pytest.fixture
def written(make_records, tmp_path: Path) -> Path:
    path = tmp_path / "baseline.json"
    new_baseline(make_records(SCORES, gaps=[0.1, 0.2])).write(path)
    return path


def test_it_is_read_as_it_was_written(make_records, written):
    records = [*make_records(SCORES, gaps=[0.1, 0.2]), *make_records(SCORES, method__label="another")]
    baseline = new_baseline(records)
    baseline.write(written)

    assert Baseline.read(written) == baseline


def test_a_link_to_it_is_followed_as_its_user_named_it(written):
    link = written.with_name("link.json")
    link.symlink_to(written)
    assert Baseline.read(link) == Baseline.read(written)


@pytest.mark.parametrize(("place", "value"), [(0, -3.0), (1, 7.5)])
def test_a_value_that_cannot_be_is_refused(written, place, value):
    content = json.loads(written.read_text())
    content["cells"][0]["metrics"][place]["values"]["0"] = value
    written.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"is not a baseline of cabench \({value:g} of .* cannot be\)"):
        Baseline.read(written)


def test_it_holds_the_separation_gap_and_what_it_is_made_of(written):
    (group,) = Baseline.read(written).groups.values()

    assert group.metrics[SEPARATION_GAP] == Metric(0.0, {0: 0.1, 1: 0.2})
    assert {(column.attribute, column.space, column.metric) for column in group.metrics} == {
        ("all attributes", "common", "separation_gap"),
        ("shape", "salient", "balanced_accuracy"),
        ("shape", "common", "auc"),
        ("digit", "common", "balanced_accuracy"),
        ("scale", "salient", "correlation"),
        ("scale", "common", "correlation"),
        ("is_target", "salient", "auc"),
        ("site", "salient", "auc"),
    }


def test_a_nuisance_attribute_in_the_common_space_has_no_ideal_and_is_left_out(make_records):
    (record,) = make_records({"shape": [0.9], "site leak": [0.6]})
    free = [dataclasses.replace(s, space="common", ideal=None) for s in record.scores if s.attribute == "site"]

    baseline = new_baseline([dataclasses.replace(record, scores=(*record.scores, *free))])

    assert baseline == new_baseline([record])


def test_distances_are_from_the_ideal_and_a_leak_below_chance_is_none(written):
    (group,) = Baseline.read(written).groups.values()
    found = {(column.attribute, column.space): metric.distances(column) for column, metric in group.metrics.items()}

    assert found["shape", "salient"] == pytest.approx([0.1, 0.09])
    assert found["shape", "common"] == pytest.approx([0.2, 0])
    assert found["scale", "salient"] == pytest.approx([0.4, 0.38])
    assert found["scale", "common"] == pytest.approx([0.3, 0])
    assert found["is_target", "salient"] == pytest.approx([0.03, 0.02])
    assert found["site", "salient"] == pytest.approx([0.1, 0.11])


def test_each_metric_stands_on_a_line(written):
    lines = written.read_text(encoding="utf-8").splitlines()

    assert sum('"values"' in line for line in lines) == 1 + len(SCORES)
    assert any('"shape"' in line and '"values": {"0": 0.9, "1": 0.91}' in line for line in lines)


def test_a_file_that_is_not_there_is_a_users_mistake(tmp_path):
    with pytest.raises(UserError, match="--update"):
        Baseline.read(tmp_path / "absent.json")


def test_a_file_that_cannot_be_written_is_a_users_mistake(written):
    with pytest.raises(UserError, match="cannot be written"):
        Baseline.read(written).write(written / "below.json")


def changed(path: Path, *place: str | int, value: object) -> None:
    """Set one entry of the file, or remove it where the value is `...`."""
    content = json.loads(path.read_text(encoding="utf-8"))
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("schema",), 2, "schema: Input should be 1"),
        (("cells",), [], "cells: List should have at least 1 item"),
        (("cells",), {}, "cells: Input should be a valid array"),
        (("cells", 0), 3, "cells.0: Input should be an object"),
        (("cells", 0, "method"), "pca", "cells.0.method: Input should be an object"),
        (("cells", 0, "method", "version"), True, "cells.0.method.version: Input should be a valid integer"),
        (("cells", 0, "dataset", "label"), ..., "cells.0.dataset.label: Field required"),
        (("cells", 0, "metrics"), [], "cells.0.metrics: List should have at least 1 item"),
        (("cells", 0, "metrics", 0, "ideal"), float("nan"), "the number NaN"),
        (("cells", 0, "metrics", 0, "values"), {}, "values: Dictionary should have at least 1 item"),
        (("cells", 0, "metrics", 0, "values"), {"first": 1.0}, "values.first.[key]: String should match pattern"),
        (("cells", 0, "metrics", 0, "values"), {"0": "0.9"}, "values.0: Input should be a valid number"),
        (("cells", 0, "metrics", 0, "values"), {"0": 10**400}, "more than 64 bits"),
        (("cells", 0, "metrics", 0, "values"), {"0": 1e200}, "the number 1e+200"),
        (("cells", 0, "metrics", 0, "values"), {"0": True}, "values.0: Input should be a valid number"),
        *(
            (("cells", 0, "metrics", 0, "values"), {seed: 0.9}, "[key]: String should match pattern")
            for seed in ("00", "-1", "٣", "9" * 99)
        ),
        (("cells", 0, "speeds", 0, "images_per_s"), {"0": 0.0}, "images_per_s.0: Input should be greater than 0"),
        (("cells", 0, "speeds", 0, "threads"), "one", "cells.0.speeds.0.threads: Input should be a valid integer"),
    ],
)
def test_a_file_that_is_not_a_baseline_is_refused_in_one_sentence(written, place, value, said):
    changed(written, *place, value=value)

    with pytest.raises(UserError, match=re.escape(said)) as raised:
        Baseline.read(written)
    assert str(written) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("place", [("cells",), ("cells", 0, "metrics"), ("cells", 0, "speeds")])
def test_a_cell_a_metric_and_hardware_may_stand_there_once(written, place):
    entries = json.loads(written.read_text(encoding="utf-8"))
    for key in place:
        entries = entries[key]
    changed(written, *place, value=entries * 2)

    with pytest.raises(UserError, match="twice"):
        Baseline.read(written)


def test_a_key_may_stand_there_once(written):
    written.write_text(written.read_text(encoding="utf-8").replace('"0": 0.9', '"0": 0.1, "0": 0.9'), encoding="utf-8")

    with pytest.raises(UserError, match="the key '0' is there twice"):
        Baseline.read(written)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00", "[" * 100_000, '{"schema": 1}', "\ud800"])
def test_text_that_is_no_baseline_is_refused(tmp_path, text):
    path = tmp_path / "baseline.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))

    with pytest.raises(UserError, match="not a baseline"):
        Baseline.read(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), value=JSON)
def test_any_entry_set_to_anything_is_read_or_refused(written, data, value):
    content = json.loads(written.read_text(encoding="utf-8"))
    inner, parent, key = content, {}, ""
    while isinstance(inner, dict | list) and inner and (not parent or data.draw(st.integers(0, 3))):
        parent, key = inner, data.draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
        inner = inner[key]
    parent[key] = value
    path = written.with_name("changed.json")
    path.write_text(json.dumps(content), encoding="utf-8")

    try:
        read = Baseline.read(path)
    except UserError:
        return
    read.write(path)
    assert Baseline.read(path) == read
