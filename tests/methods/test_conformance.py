"""Every check of the conformance suite on every method, in the smoke profile's configuration."""

from __future__ import annotations

import pytest

from cabench.conformance import CHECKS, NotApplicable, Subject
from cabench.discovery import plugins


@pytest.fixture(scope="module", params=sorted(plugins("methods")))
def subject(request: pytest.FixtureRequest, small_subject) -> Subject:
    return small_subject(request.param)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_method(subject, check):
    try:
        check(subject)
    except NotApplicable as reason:
        pytest.skip(str(reason))
