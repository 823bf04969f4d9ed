"""What a method must know of a data set, kept as a tensor."""

from __future__ import annotations

import pytest
import torch

from cabench.data.dataset import Attribute, DataForm


@pytest.mark.parametrize(
    "form",
    [
        DataForm((1, 28, 30)),
        DataForm((3, 64, 64), (Attribute("höhe", "common", "real"), Attribute("kind", "salient", "class", ("a", "ß")))),
    ],
)
def test_a_form_comes_back_from_its_tensor(form):
    tensor = form.to_tensor()
    assert tensor.dtype == torch.uint8
    assert DataForm.from_tensor(tensor) == form


@pytest.mark.parametrize("text", [b"", b"{}", b"[1, 2]", b'{"image_shape": [1, 2], "attributes": []}', b"\xff"])
def test_a_tensor_that_holds_no_form_is_refused(text):
    with pytest.raises((ValueError, KeyError, TypeError)):
        DataForm.from_tensor(torch.tensor(list(text), dtype=torch.uint8))
