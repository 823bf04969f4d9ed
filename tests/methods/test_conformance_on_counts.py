"""Every check of the conformance suite on every method that takes counts or numbers from 0 up, on planted counts."""

from __future__ import annotations

import pytest

from cabench.conformance import CHECKS, NotApplicable, Subject
from cabench.discovery import method_class, plugins
from cabench.experiment.request import ResolvedProfile, check_method
from cabench.profiles import load_profile

ABLE = [name for name in plugins("methods") if {"counts", "non-negative"} & set(method_class(name).takes)]


@pytest.fixture(scope="module", params=ABLE)
def subject(request: pytest.FixtureRequest, planted_counts) -> Subject:
    method = ResolvedProfile(load_profile("smoke")).method(request.param, planted_counts.info.name)
    check_method(method, planted_counts.info)
    return Subject(type(method), method.config, planted_counts.read("train"))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_method(subject, check):
    try:
        check(subject)
    except NotApplicable as reason:
        pytest.skip(str(reason))


def test_methods_of_counts_are_here():
    assert {"bcnmf", "cplvm", "contrastivevi"} <= set(ABLE)
