"""The check of what `cabench tune` may choose from: see `cabench.search`."""

from __future__ import annotations

import dataclasses
import itertools

from cabench.conformance.subject import Subject
from cabench.errors import UserError
from cabench.search import Log

MOST = 5
FIXED = ("epochs", "d_common", "d_salient", "dimensions", "components")


def check_what_is_searched_can_be_used(subject: Subject) -> None:
    """The ranges that a method is tuned over make valid configurations, and are few: five fields at most.

    Every corner of the ranges is tried, around the configuration that is checked. Its own values lie in the ranges; 0
    may also stand beside a range of equal ratios, which cannot hold it, for "off" or "chosen automatically". Sizes of
    vectors and the length of training are the same in all trials.
    """
    config = subject.config
    ranges = type(config).searched()
    assert len(ranges) <= MOST, f"{len(ranges)} fields are searched; name {MOST} at most"
    fixed = [name for name in FIXED if name in ranges]
    assert not fixed, f"{', '.join(fixed)}: sizes of vectors and the length of training are not searched"
    for name, found in ranges.items():
        value = getattr(config, name)
        is_off = isinstance(found, Log) and value == 0
        assert is_off or found.holds(value), f"{name} = {value!r} lies outside of what is searched, {found}"
    for corner in itertools.product(*(found.ends(getattr(config, name)) for name, found in ranges.items())):
        values = dict(zip(ranges, corner, strict=True))
        try:
            dataclasses.replace(config, **values)
        except UserError as refusal:
            raise AssertionError(f"{values} may be tried, but is refused: {refusal}") from refusal
