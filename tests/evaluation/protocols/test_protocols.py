"""Protocols by name: which there are, where they are defined, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cabench.discovery import plugins
from cabench.errors import UserError
from cabench.evaluation.protocols import PROTOCOLS, check_protocols, protocol_scores, protocols_of


def test_the_three_papers_have_a_protocol_each():
    assert list(PROTOCOLS) == ["sepclr", "sepvae", "double-infogan"]
    assert len({protocol.title for protocol in PROTOCOLS.values()}) == 3


def test_every_protocol_is_defined_for_a_data_set_that_there_is():
    for protocol in PROTOCOLS.values():
        assert set(protocol.datasets) & set(plugins("datasets"))


def test_a_protocol_for_its_data_sets_is_accepted():
    check_protocols([], ["planted"])
    for name, protocol in PROTOCOLS.items():
        check_protocols([name], protocol.datasets)


def test_an_unknown_protocol_is_refused_with_the_closest_match_even_where_there_is_no_data_set():
    with pytest.raises(UserError, match=r"Unknown protocol 'double_infogan'; did you mean 'double-infogan'\?"):
        check_protocols(["sepclr", "double_infogan"], [])


@pytest.mark.parametrize(
    ("name", "dataset", "message"),
    [
        ("sepclr", "dsprites", "'sepclr' is defined for cifar_mnist, celeba, chexpert, odir, not for 'dsprites'"),
        ("sepvae", "odir", "'sepvae' is defined for cifar_mnist, celeba, not for 'odir'"),
        ("double-infogan", "planted", "'double-infogan' is defined for cifar_mnist, celeba, dsprites, not for"),
    ],
)
def test_a_protocol_that_is_defined_for_none_of_the_data_sets_is_refused(name, dataset, message):
    with pytest.raises(UserError, match=re.escape(message)):
        check_protocols([name], [dataset])


def test_a_protocol_that_is_defined_for_one_of_the_data_sets_is_used_on_that_one():
    check_protocols(["sepclr"], ["dsprites", "cifar_mnist"])
    assert protocols_of("cifar_mnist", ["sepclr", "double-infogan"]) == ["sepclr", "double-infogan"]
    assert protocols_of("dsprites", ["sepclr", "double-infogan"]) == ["double-infogan"]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_representations_without_information_are_at_chance(name, cell):
    def blank(split):
        return split._replace(
            **{
                population: part._replace(spaces={space: np.zeros((len(v), 1)) for space, v in part.spaces.items()})
                for population, part in split._asdict().items()
            }
        )

    for dataset in PROTOCOLS[name].datasets:
        scores = protocol_scores(name, dataset, blank(cell.train), blank(cell.test), cell.attributes)
        assert scores
        assert all(s.value <= s.chance for s in scores)
        assert all(s.value == s.chance for s in scores if s.metric == "balanced_accuracy")
        assert all(s.converged for s in scores)
