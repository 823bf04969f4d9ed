from __future__ import annotations

import numpy as np

from cabench.data.groups import group_codes, group_sizes


def test_rows_of_one_group_have_one_code_and_rows_without_a_group_one_each() -> None:
    groups = np.array(["b", "", "a", "b", "", "a", "a"], object)
    codes = group_codes(groups)
    assert codes.dtype == np.int64
    same = codes[:, None] == codes
    expected = (groups[:, None] == groups) & ((groups != "")[:, None] | np.eye(7, dtype=bool))
    np.testing.assert_array_equal(same, expected)


def test_sizes_come_in_order() -> None:
    assert group_sizes(np.array(["b", "", "a", "b", "a", "a"], object)).tolist() == [1, 2, 3]
    assert group_sizes(np.array([], object)).tolist() == []
