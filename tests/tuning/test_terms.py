"""What methods must share on a data set, and what is refused."""

from __future__ import annotations

import pytest

from cabench.errors import UserError
from cabench.tuning.terms import Terms, check_terms

USUAL = Terms(16, "labels", "ab" * 32)


def test_methods_of_a_data_set_share_theirs_and_data_sets_may_differ() -> None:
    check_terms({})
    check_terms({("a", "pca"): USUAL, ("b", "pca"): Terms(32, "labels", "cd" * 32), ("a", "uca"): USUAL})


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (USUAL._replace(budget=8), "uca has budget 8, criterion labels and data content abababab"),
        (USUAL._replace(criterion="label-free"), "uca has budget 16, criterion label-free"),
        (USUAL._replace(content_sha256="cd" * 32), "uca has budget 16, criterion labels and data content cdcdcdcd"),
    ],
)
def test_others_are_refused_naming_both(other: Terms, said: str) -> None:
    with pytest.raises(UserError) as caught:
        check_terms({("b", "uca"): other, ("a", "pca"): other, ("b", "pca"): USUAL})
    assert str(caught.value).startswith(
        f"On b these terms differ: pca has budget 16, criterion labels and data content abababab, {said}"
    )
