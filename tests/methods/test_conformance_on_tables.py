"""Every check of the conformance suite on every method that takes tables, on a small planted one."""

from __future__ import annotations

import pytest

from cabench.conformance import CHECKS, NotApplicable, Subject
from cabench.discovery import method_class, plugins
from cabench.experiment.request import ResolvedProfile, check_method
from cabench.profiles import load_profile

ABLE = [name for name in plugins("methods") if "tables" in method_class(name).takes]
NETWORKS = ("encoder", "architecture")


@pytest.fixture(scope="module", params=ABLE)
def subject(request: pytest.FixtureRequest, planted_table) -> Subject:
    name = request.param
    fields = {field: "mlp" for field in NETWORKS if field in method_class(name).Config.field_names()}
    method = ResolvedProfile(load_profile("smoke"), {name: fields}).method(name, planted_table.info.name)
    check_method(method, planted_table.info)
    return Subject(type(method), method.config, planted_table.read("train"))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_method(subject, check):
    try:
        check(subject)
    except NotApplicable as reason:
        pytest.skip(str(reason))


def test_all_kinds_of_methods_take_tables():
    assert {"pca", "cpca", "chance", "sepclr", "sepclr_supervised", "simclr", "supervised", "random_encoder"} <= set(
        ABLE
    )
    assert {"cvae", "convae", "mmcvae", "sepvae", "beta_vae"} <= set(ABLE)
    assert not {"double_infogan", "oracle"} & set(ABLE)
    assert not {"bcnmf", "cplvm", "contrastivevi"} & set(ABLE)
