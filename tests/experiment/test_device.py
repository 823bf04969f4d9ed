"""What may be asked for with --device and --precision."""

from __future__ import annotations

import pytest

from cabench.errors import UserError
from cabench.experiment.device import resolve_device, resolve_precision


def test_the_processor_is_always_there() -> None:
    assert resolve_device("cpu").type == "cpu"


@pytest.mark.parametrize(
    "name", ["", "gpu", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "cuda:²", "cuda:٣", "cuda:" + "9" * 5000]
)
def test_anything_else_than_a_processor_or_a_numbered_device_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="use auto, cpu, cuda or cuda:<number>"):
        resolve_device(name)


@pytest.mark.parametrize(("name", "expected"), [("auto", "fp32"), ("fp32", "fp32"), ("bf16", "bf16")])
def test_reduced_precision_is_asked_for(name: str, expected: str) -> None:
    assert resolve_precision(name) == expected


@pytest.mark.parametrize("name", ["", "fp16", "float32", "BF16"])
def test_other_precisions_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="use auto, fp32 or bf16"):
        resolve_precision(name)
