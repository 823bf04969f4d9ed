"""Whatever stands behind --set, --seeds, --device, --precision, --methods and --protocol is understood or refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cabench.evaluation.protocols import check_protocols
from cabench.experiment.device import resolve_device, resolve_precision
from cabench.experiment.request import ResolvedProfile, parse_overrides, parse_seeds
from cabench.files.json import canonical_json
from cabench.profiles import load_profile

EXAMPLES = settings(settings.get_profile("cabench"), max_examples=60 * int(os.environ.get("CABENCH_FUZZ", "1")))
Attempt = Callable[[str, Path, Callable[[], Any]], Any]

WORDS = (
    "sepclr",
    "planted",
    "epochs",
    "learning_rate",
    "independence",
    "seed",
    "cuda",
    "cpu",
    "all",
    "0",
    "7",
    "1e999",
)
SIGNS = (
    "=",
    ".",
    ",",
    "-",
    ":",
    " ",
    "[",
    "]",
    "{",
    "}",
    '"',
    "'",
    "\n",
    "#",
    "\0",
    "\x1b[2J",
    "٣",
    "²",
    "\udcff",
    "../",
)
LONG = (
    "9" * 5000,
    "0x" + "f" * 5000,
    "[" * 5000,
    "a." * 2000 + "b",
    "x" * 5000,
    "-" * 200,
    "nan",
    "-inf",
    "1979-05-27",
)

texts = st.text() | st.lists(st.sampled_from((*WORDS, *SIGNS, *LONG)), max_size=8).map("".join)
numbers = st.one_of(st.integers(), st.floats(), st.sampled_from(LONG)).map(str)
seeds = st.lists(st.sampled_from(("0", "1", "4", "99999999999", "-", ",", " ", "٣")) | numbers, max_size=6).map("".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("texts")


@EXAMPLES
@given(
    place=st.sampled_from(("sepclr.epochs", "sepclr.independence", "planted.seed", "sepclr.learning_rate")), text=texts
)
def test_set(attempt: Attempt, folder: Path, place: str, text: str) -> None:
    def read() -> None:
        overrides = parse_overrides([f"{place}={text}", text])
        ResolvedProfile(load_profile("smoke"), overrides).check_overrides(["sepclr", "planted"])
        canonical_json(ResolvedProfile(load_profile("smoke"), overrides).method("sepclr", "planted").config.to_dict())

    attempt("--set", folder, read)


@EXAMPLES
@given(place=st.sampled_from(("sepclr.epochs", "sepclr.learning_rate", "planted.seed")), text=texts | numbers)
def test_set_of_one_value(attempt: Attempt, folder: Path, place: str, text: str) -> None:
    def read() -> None:
        overrides = parse_overrides([f"{place}={text}"])
        profile = load_profile("smoke")
        canonical_json(ResolvedProfile(profile, overrides).method("sepclr", "planted").config.to_dict())
        canonical_json(ResolvedProfile(profile, overrides).dataset("planted").config.to_dict())

    attempt("--set", folder, read)


@EXAMPLES
@given(text=texts | seeds)
def test_seeds(attempt: Attempt, folder: Path, text: str) -> None:
    found = attempt("--seeds", folder, lambda: parse_seeds(text))
    if found is not None:
        assert found == sorted(set(found), key=found.index)
        assert all(0 <= seed < 10**9 for seed in found)


@EXAMPLES
@given(text=texts)
def test_device_precision_and_protocol(attempt: Attempt, folder: Path, text: str) -> None:
    device = attempt("--device", folder, lambda: resolve_device(text))
    assert device is None or device.type in ("cpu", "cuda")
    attempt("--precision", folder, lambda: resolve_precision(text))
    attempt("--protocol", folder, lambda: check_protocols([text], ["dsprites"]))


@EXAMPLES
@given(text=texts)
def test_names(attempt: Attempt, folder: Path, text: str) -> None:
    profile = load_profile("smoke")
    attempt("--methods", folder, lambda: ResolvedProfile(profile).method(text, "planted"))
    attempt("--datasets", folder, lambda: ResolvedProfile(profile).dataset(text))
    attempt("--profile", folder, lambda: load_profile(text))
