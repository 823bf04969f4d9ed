"""What methods are tuned over, against what the built-in profiles set: trial 0 is one of the points searched around."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cabench.discovery import plugins
from cabench.experiment.request import ResolvedProfile
from cabench.profiles import load_profile, profile_names
from cabench.search import Log

OUTSIDE = {
    ("matched", "mmcvae", "common_mmd_weight"),  # 20,000
    ("matched", "sage_separator", "learning_rate"),  # 3e-5 of the paper
    ("paper", "sage_separator", "learning_rate"),
    ("quick", "sage_separator", "learning_rate"),
    ("tuned", "sage_separator", "learning_rate"),  # which extends quick
    ("paper", "double_infogan", "learning_rate"),  # 5e-5 on dsprites
}
"""Settings of papers that lie outside of what is searched: trials are then spread beside trial 0, not around it."""


def settings_outside(profile: str) -> Iterator[tuple[str, str, str]]:
    """Profile, method and field of every value outside of its range; 0 beside a range of equal ratios is none."""
    loaded = load_profile(profile)
    resolved = ResolvedProfile(loaded)
    for method in plugins("methods"):
        for dataset in dict.fromkeys(("", *plugins("datasets"), *loaded.on, *loaded.like, *loaded.dataset_variants)):
            _, config = resolved.configuration(method, dataset)
            for name, found in config.searched().items():
                value = getattr(config, name)
                if not found.holds(value) and not (isinstance(found, Log) and value == 0):
                    yield profile, method, name


@pytest.mark.parametrize("profile", profile_names())
def test_what_profiles_set_lies_in_the_ranges(profile: str) -> None:
    assert set(settings_outside(profile)) == {place for place in OUTSIDE if place[0] == profile}
