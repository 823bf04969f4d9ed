"""Random streams: told apart by role, data set and seed; repeatable; and continued exactly."""

from __future__ import annotations

from itertools import combinations, product

import pytest
import torch
from torch import nn

from cabench.context import ROLES, Randomness, derive_seed, drawing_from

CPU = torch.device("cpu")


def draws(generator: torch.Generator) -> list[float]:
    return torch.rand(20, generator=generator).tolist()


def all_draws(randomness: Randomness) -> dict[str, list[float]]:
    return {role: draws(getattr(randomness, role)) for role in ROLES}


def test_seeds_differ_by_role_data_set_and_seed_index() -> None:
    triples = list(product(("initialisation", *ROLES), ("a", "b", "ab"), range(20)))
    seeds = [derive_seed(*triple) for triple in triples]
    assert len(set(seeds)) == len(triples)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeds_are_the_same_in_every_process_and_version() -> None:
    # Published results rest on this value: printf '["cabench","sampling","dsprites",0]' | sha256sum, 16 digits, halved.
    assert derive_seed("sampling", "dsprites", 0) == 379891861582505761


def test_roles_draw_different_numbers() -> None:
    randomness = Randomness(0, "data", CPU)
    streams = [*all_draws(randomness).values(), draws(randomness.initialisation())]
    assert all(one != other for one, other in combinations(streams, 2))


@pytest.mark.parametrize("other", [Randomness(1, "data", CPU), Randomness(0, "other data", CPU)], ids=["seed", "data"])
def test_every_role_differs_by_seed_and_data_set(other: Randomness) -> None:
    one = Randomness(0, "data", CPU)
    assert draws(one.initialisation()) != draws(other.initialisation())
    for role, numbers in all_draws(one).items():
        assert numbers != draws(getattr(other, role)), role


def test_equal_cells_draw_equal_numbers() -> None:
    one, other = Randomness(3, "data", CPU), Randomness(3, "data", CPU)
    assert all_draws(one) == all_draws(other)
    assert draws(one.initialisation()) == draws(other.initialisation())


def test_initialisation_starts_afresh_each_time() -> None:
    randomness = Randomness(0, "data", CPU)
    assert draws(randomness.initialisation()) == draws(randomness.initialisation())


def test_making_streams_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    all_draws(Randomness(0, "data", CPU))
    assert torch.equal(torch.get_rng_state(), before)


def test_restored_streams_continue_exactly() -> None:
    randomness = Randomness(0, "data", CPU)
    all_draws(randomness)
    torch.randn(3, generator=randomness.noise)
    state = {role: value.clone() for role, value in randomness.state().items()}
    expected = [all_draws(randomness), all_draws(randomness)]

    other = Randomness(9, "other data", CPU)
    other.restore(state)
    assert [all_draws(other), all_draws(other)] == expected
    randomness.restore(state)
    assert all_draws(randomness) == expected[0]


def test_a_state_is_a_snapshot_of_uint8_tensors() -> None:
    randomness = Randomness(0, "data", CPU)
    state = randomness.state()
    before = {role: value.clone() for role, value in state.items()}
    all_draws(randomness)
    assert set(state) == set(ROLES)
    assert all(value.dtype == torch.uint8 for value in state.values())
    assert all(torch.equal(state[role], before[role]) for role in ROLES)


def test_code_that_draws_globally_draws_from_the_given_generator() -> None:
    def weights(seed: int) -> torch.Tensor:
        with drawing_from(torch.Generator().manual_seed(seed)):
            return nn.Linear(4, 4).weight.detach().clone()

    first = weights(0)
    torch.rand(7)
    assert torch.equal(weights(0), first)
    assert not torch.equal(weights(1), first)


def test_two_blocks_draw_different_numbers() -> None:
    generator = torch.Generator().manual_seed(0)
    numbers = []
    for _ in range(2):
        with drawing_from(generator):
            numbers.append(torch.rand(5).tolist())
    assert numbers[0] != numbers[1]


def test_the_global_generator_is_put_back_after_a_block() -> None:
    before = torch.get_rng_state()
    with drawing_from(torch.Generator().manual_seed(0)):
        torch.rand(100)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_global_generator_is_put_back_after_a_block_that_raises() -> None:
    def draw_and_raise() -> None:
        with drawing_from(torch.Generator().manual_seed(0)):
            torch.rand(100)
            raise ValueError("stop")

    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="stop"):
        draw_and_raise()
    assert torch.equal(torch.get_rng_state(), before)


def test_how_much_a_block_draws_does_not_move_the_given_generator() -> None:
    after = []
    for count in (1, 1000):
        generator = torch.Generator().manual_seed(0)
        with drawing_from(generator):
            torch.rand(count)
        after.append(draws(generator))
    assert after[0] == after[1]
