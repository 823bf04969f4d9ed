"""What methods declare to take is what the page of methods says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import cabench
from cabench.discovery import method_class, plugins

PAGE = Path(cabench.__file__).parent.parent / "docs" / "methods.md"
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the package is installed, its pages are not here")

KINDS = {
    "images alone": {"images"},
    "tables alone": {"tables"},
    "images, counts and tables that were never negative": {"images", "non-negative", "counts"},
    "counts alone": {"counts"},
}


def named_in(line: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", line)) & set(plugins("methods"))


def test_the_page_says_what_each_method_takes() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", text, re.MULTILINE))
    takes = {name: set(method_class(name).takes) - {"missing"} for name in plugins("methods")}
    for kind, taken in KINDS.items():
        assert named_in(rows[kind]) == {name for name, what in takes.items() if what == taken}, kind
    others = {name for name, what in takes.items() if what not in KINDS.values()}
    assert {frozenset(takes[name]) for name in others} == {frozenset({"images", "tables"})}
    missing = named_in(rows["missing values as they are"])
    assert missing == {name for name in takes if "missing" in method_class(name).takes}
    (sentence,) = re.findall(r"standardised\. (.+?) have no common space", text.replace("\n", " "))
    assert named_in(sentence) == {name for name in takes if method_class(name).improvised_common}
