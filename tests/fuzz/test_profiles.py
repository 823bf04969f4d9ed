"""Whatever a profile file holds, it is a profile with valid configurations, or refused."""

from __future__ import annotations

import copy
import json
import os
import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cabench.experiment.request import check_profile
from cabench.profiles import load_profile

EXAMPLES = settings(settings.get_profile("cabench"), max_examples=40 * int(os.environ.get("CABENCH_FUZZ", "1")))
Attempt = Callable[[str, Path, Callable[[], Any]], Any]
Damage = Callable[[bytes], st.SearchStrategy[bytes]]

TEXT = files("cabench.profiles").joinpath("smoke.toml").read_text(encoding="utf-8")
TABLES = ("datasets", "methods", "on", "like", "variants", "defaults", "every_method", "extends")
NAMES = (*TABLES, "dsprites", "sepclr", "epochs")
TEXTS = (
    "../../x",
    "x" * 300,
    "\0.toml",
    "x" * 300 + ".toml",
    ".toml",
    "mine.toml",
    "quick",
    "\x1b[2J",
    "all",
    "",
    "a b",
)
RAW = (
    "nan",
    "-inf",
    "1e999",
    "9" * 5000,
    "0x" + "f" * 5000,
    "[" * 3000,
    "1979-05-27T07:32:00Z",
    "07:32:00",
    "{}",
    "[]",
    "",
)


class Raw(str):
    """TOML as it stands."""


values = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(TEXTS) | st.sampled_from(RAW).map(Raw),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(), inner, max_size=3),
    max_leaves=6,
)


def toml(value: Any) -> str:
    """A value in TOML, tables written inline."""
    match value:
        case Raw():
            return str(value)
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case dict():
            return "{" + ", ".join(f"{toml(str(key))} = {toml(item)}" for key, item in value.items()) + "}"
    return str(value)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all nodes but the root."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in inner for found in ((*path, key), *places(item, (*path, key)))]


@st.composite
def changed(draw: st.DrawFn) -> str:
    """The smoke profile with some nodes replaced, taken away or added."""
    content = copy.deepcopy(tomllib.loads(TEXT))
    for _ in range(draw(st.integers(1, 3))):
        found = places(content)
        if not found:
            break
        *path, last = draw(st.sampled_from(found))
        node = content
        for key in path:
            node = node[key]
        action = draw(st.sampled_from(("replace", "remove", "add")))
        if action == "remove":
            del node[last]
        elif action == "add" and isinstance(node, dict):
            node[draw(st.sampled_from(NAMES) | st.text())] = draw(values)
        else:
            node[last] = draw(values)
    return "\n".join(f"{toml(str(key))} = {toml(value)}" for key, value in content.items())


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("profiles") / "mine.toml"


def read(path: Path) -> None:
    profile = load_profile(str(path))
    check_profile(profile)
    for variant in (*profile.method_variants.values(), *profile.dataset_variants.values()):
        assert variant.summary


@EXAMPLES
@given(text=changed())
def test_a_profile_with_other_values(attempt: Attempt, path: Path, text: str) -> None:
    path.write_bytes(text.encode(errors="surrogatepass"))
    attempt("profile: values", path.parent, lambda: read(path))


@EXAMPLES
@given(data=st.data())
def test_a_profile_of_other_bytes(attempt: Attempt, damage: Damage, path: Path, data: st.DataObject) -> None:
    path.write_bytes(data.draw(damage(TEXT.encode()) | st.binary()))
    attempt("profile: bytes", path.parent, lambda: read(path))


@EXAMPLES
@given(text=st.dictionaries(st.sampled_from(NAMES) | st.text(), values, max_size=4))
def test_a_profile_of_anything(attempt: Attempt, path: Path, text: dict[str, Any]) -> None:
    written = "\n".join(f"{toml(key)} = {toml(value)}" for key, value in text.items())
    path.write_bytes(written.encode(errors="surrogatepass"))
    attempt("profile: anything", path.parent, lambda: read(path))
