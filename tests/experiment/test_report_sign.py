"""When a report is written anew: where records, the code of cabench or that of a plug-in have changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cabench import discovery
from cabench.discovery import Plugin
from cabench.experiment.report_sign import is_signed, sign_of, write_sign


def test_the_code_of_plugins_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "signed_plugin.py"
    source.write_text("version = 1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    known = {"signed": Plugin("signed", "signed_plugin", "", "")}
    monkeypatch.setattr(discovery, "plugins", lambda kind: known if kind == "methods" else {})
    before = sign_of([])
    assert sign_of([]) == before
    source.write_text("version = 2\n", encoding="utf-8")
    assert sign_of([]) != before


def test_a_pipe_in_place_of_the_sign_is_not_waited_for(tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    report.write_text("tables", encoding="utf-8")
    write_sign(report, "sign")
    assert is_signed(report, "sign")
    (tmp_path / ".report.md.sign").unlink()
    os.mkfifo(tmp_path / ".report.md.sign")
    assert not is_signed(report, "sign")
