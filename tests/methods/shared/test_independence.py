"""The independence terms: that critics learn, that terms tell dependence, and what reaches SepCLR's encoders."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.optim import Adam

from cabench.conformance import checks as conformance
from cabench.errors import UserError
from cabench.method import Representation
from cabench.methods.sepclr import SepCLR, SepCLRConfig
from cabench.methods.shared.independence import Critic, IndependenceName, make_independence
from cabench.training import descend

NAMES = get_args(IndependenceName)
CRITICS = ("total-correlation", "vclub", "vub", "vl1out")


def pairs(correlation: float, rows: int = 256, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two 4-d standard normal vectors a row whose entries correlate one by one."""
    first, noise = torch.randn(2, rows, 4, generator=torch.Generator().manual_seed(seed))
    return first, correlation * first + (1 - correlation**2) ** 0.5 * noise


def fitted(name: IndependenceName, correlation: float) -> float:
    """The term on fresh vectors after its critic, if it has one, has learned from others of the same kind."""
    torch.manual_seed(0)
    term = make_independence(name, 4, 4, temperature=0.5)
    if isinstance(term, Critic):
        optimizer = Adam(term.parameters(), lr=3e-3)
        for step in range(300):
            descend(optimizer, term.critic_loss(*pairs(correlation, seed=step + 1)))
    with torch.no_grad():
        return float(term(*pairs(correlation, rows=1024)))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "none"])
def test_dependent_vectors_cost_more_than_independent_ones(name):
    independent, dependent = fitted(name, 0.0), fitted(name, 0.9)
    assert dependent > independent + (0.003 if name == "mmd" else 0.1)


@pytest.mark.parametrize("name", ["vclub", "vl1out"])
def test_bounds_lie_above_the_information_and_near_zero_without_any(name):
    information = -2 * torch.log(torch.tensor(1 - 0.6**2)).item()  # of four pairs of correlation 0.6, in nats
    assert abs(fitted(name, 0.0)) < 0.1
    assert fitted(name, 0.6) > information - 0.1


def test_the_log_ratio_comes_near_the_information():
    information = -2 * torch.log(torch.tensor(1 - 0.6**2)).item()
    assert fitted("total-correlation", 0.6) == pytest.approx(information, abs=0.35)


def test_what_both_vectors_know_of_the_population_counts_in_a_batch_of_two_halves():
    """All that c and s share is whether they come from the first rows or the last: ln 2, in nats."""
    term = make_independence("total-correlation", 1, 1, temperature=0.5)
    population = torch.cat([-torch.ones(64, 1), torch.ones(64, 1)])
    optimizer = Adam(term.parameters(), lr=3e-3)
    for _ in range(300):
        descend(optimizer, term.critic_loss(population, population))
    with torch.no_grad():
        assert float(term(population, population)) == pytest.approx(0.693, abs=0.05)


def test_no_term_is_zero_without_gradient():
    term = make_independence("none", 4, 4, temperature=0.5)
    assert term(*pairs(0.9)).item() == 0
    assert not list(term.parameters())


@pytest.fixture(scope="module")
def without_term(small_subject) -> Representation:
    subject = small_subject("sepclr", ["sepclr.independence=none"])
    return subject.fitted().encode(subject.images())


@pytest.mark.parametrize("name", NAMES)
def test_terms_with_weight_zero_leave_the_encoders_as_no_term_does(small_subject, without_term, name):
    """The critic's step, in particular, does not touch the encoders, and draws no random numbers of theirs."""
    subject = small_subject("sepclr", [f"sepclr.independence={name}", "sepclr.independence_weight=0"])
    for found, expected in zip(subject.fitted().encode(subject.images()), without_term, strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "none"])
def test_terms_reach_both_encoders(name):
    torch.manual_seed(0)
    common, salient = (vectors.requires_grad_() for vectors in pairs(0.5))
    make_independence(name, 4, 4, temperature=0.5)(common, salient).backward()
    assert common.grad.abs().sum() > 0
    assert salient.grad.abs().sum() > 0


@pytest.mark.parametrize("name", CRITICS)
@pytest.mark.parametrize(
    "check",
    [
        conformance.check_every_parameter_moves,
        conformance.check_resuming_continues_exactly,
    ],
    ids=lambda check: check.__name__.removeprefix("check_"),
)
def test_sepclr_with_a_critic(small_subject, name, check):
    check(small_subject("sepclr", [f"sepclr.independence={name}"]))


def test_an_unknown_term_is_refused():
    with pytest.raises(UserError, match=r"sepclr.independence = 'jem' is not allowed; choose one of k-jem, none, mmd"):
        SepCLR(SepCLRConfig(independence="jem"))
