"""What may be asked for with --device."""

from __future__ import annotations

import pytest

from cabench.errors import UserError
from cabench.experiment.device import resolve_device


def test_the_processor_is_always_there() -> None:
    assert resolve_device("cpu").type == "cpu"


@pytest.mark.parametrize(
    "name", ["", "gpu", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "cuda:²", "cuda:٣", "cuda:" + "9" * 5000]
)
def test_anything_else_than_a_processor_or_a_numbered_device_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="use auto, cpu, cuda or cuda:<number>"):
        resolve_device(name)
