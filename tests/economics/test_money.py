"""The money rules are those of the contracts, to the wei, on a chain."""

from __future__ import annotations

import secrets

import pytest

from contracts.bindings.errors import ContractError
from contracts.bindings.inference_ledger import ResponseStatus
from contracts.bindings.openings import commitment_of
from contracts.protocol.game import Outcome
from contracts.protocol.parameters import DEVNET
from contracts.protocol.response import ResponseFields
from economics.money import (
    bond_of_next_game,
    bond_of_provider_burned,
    bonds_of_games,
    forfeited,
    voided,
)
from tests.contracts.chain_game import Arena, PostedBatch
from tests.contracts.synthetic import SyntheticTrace

_PROMPT = [5] * 40


def posted(arena: Arena, output: list[int], count: int = 1) -> PostedBatch:
    return arena.post([ResponseFields.of(_PROMPT, output, len(output), 0)] * count)


def right(arena: Arena) -> list[int]:
    return list(arena.model.generate(_PROMPT, 6))


def open_now(arena: Arena) -> int:
    return arena.contracts.ledger.open_games_of(arena.provider.address)


def test_a_false_challenge_pays_half_its_bond_and_burns_the_rest(arena: Arena) -> None:
    output = right(arena)
    batch = posted(arena, output)
    stake = arena.contracts.stake
    before, burned, bond = (
        stake.credits(arena.provider.address),
        stake.totals().burned,
        bond_of_next_game(DEVNET, open_now(arena)),
    )
    game_id = arena.open(batch, 0)
    game = arena.play(
        game_id,
        SyntheticTrace(arena.model, _PROMPT, output),
        SyntheticTrace(arena.model, _PROMPT, output, (2, 0)),
    )
    assert game.outcome is Outcome.PROVIDER_WON
    parts = forfeited(bond)
    assert stake.credits(arena.provider.address) - before == parts.to_provider
    assert stake.totals().burned - burned == parts.burned


def test_an_answer_locks_one_lock(arena: Arena) -> None:
    before = arena.contracts.stake.account(arena.provider.address).locked
    posted(arena, right(arena))
    locked = arena.contracts.stake.account(arena.provider.address).locked - before
    assert locked == DEVNET.lock_per_response


def test_bonds_rise_game_by_game_as_the_formula_says(arena: Arena) -> None:
    batch, before = posted(arena, right(arena), 5), open_now(arena)
    bonds = []
    for index in range(5):
        expected = bond_of_next_game(DEVNET, open_now(arena))
        assert arena.contracts.ledger.bond_for(arena.provider.address) == expected
        bonds.append(arena.contracts.game.game(arena.open(batch, index)).bond)
    assert sum(bonds) == bonds_of_games(DEVNET, before + 5) - bonds_of_games(DEVNET, before)


@pytest.mark.parametrize("games,joiners", [(1, 0), (2, 0), (3, 2), (8, 0), (7, 3)])
def test_a_void_response_pays_every_game_and_joiner_and_burns_the_rest(
    arena: Arena, games: int, joiners: int
) -> None:
    """Up to as many as are paid; what nobody claims in time is burned, too, and so is the provider's bond."""
    ledger, stake = arena.contracts.ledger, arena.contracts.stake
    batch = posted(arena, right(arena))
    numbers = [arena.open(batch, 0) for _ in range(games)]
    joining = [secrets.token_bytes(32) for _ in range(joiners)]
    for secret in joining:
        commitment = commitment_of(arena.contracts, arena.challenger.address, batch.batch_id, 0, secret)
        arena.challenger.send(ledger.commit_opening(commitment), key=f"commit {secret.hex()}")
    arena.local_chain.mine()
    credits, totals = stake.credits(arena.challenger.address), stake.totals()
    escrowed_bonds = sum(arena.contracts.game.game(number).bond for number in numbers)
    arena.provider.send(
        arena.conceding(numbers[0]),
        key=f"concede {numbers[0]}",
    )
    for number in numbers[1:]:
        arena.challenger.send(arena.contracts.game.resolve_void(number), key=f"void {number}")
    paid = min(joiners, DEVNET.max_games_per_response - games)
    for secret in joining[:paid]:
        arena.challenger.send(ledger.join(batch.batch_id, 0, secret), key=f"join {secret.hex()}")
    assert ledger.response_status(batch.batch_id, 0) is ResponseStatus.VOID
    arena.local_chain.pass_time(DEVNET.join_window + 1)
    if ledger.reward_pot(batch.batch_id, 0).places_left:
        arena.challenger.send(ledger.close_rewards(batch.batch_id, 0), key=f"close {batch.salt.hex()}")
    expected = voided(DEVNET, games + joiners)
    earned = stake.credits(arena.challenger.address) - credits - escrowed_bonds
    assert earned == expected.reward * expected.paid_games
    bond = bond_of_provider_burned(DEVNET, 0)
    assert stake.totals().burned - totals.burned == expected.burned + bond
    assert totals.stake - stake.totals().stake == expected.lost + bond


def test_one_bond_is_burned_per_pause_and_none_for_what_was_posted_before_it(arena: Arena) -> None:
    """Also not when the provider is back with a new bond: what was posted before the pause had the old one."""
    stake, provider = arena.contracts.stake, arena.provider
    lock = voided(DEVNET, 1)
    old = [posted(arena, right(arena), 2), posted(arena, right(arena))]
    games = [arena.open(old[0], 0), arena.open(old[0], 1), arena.open(old[1], 0)]
    new = 0

    def bond_burned(game_id: int) -> int:
        """What a lost game burns at once beside its lock's share; the lock's share is checked."""
        before = stake.totals()
        provider.send(
            arena.conceding(game_id),
            key=f"lose {game_id}",
        )
        after = stake.totals()
        bond = before.stake - after.stake - lock.lost
        set_aside = DEVNET.max_games_per_response * DEVNET.game_reward
        assert after.burned - before.burned == bond + lock.lost - set_aside
        assert stake.is_paused(provider.address) is (new == 0 or game_id == new)
        return bond

    # All lost in one pause: one bond.
    assert [bond_burned(game) for game in games[:2]] == [
        bond_of_provider_burned(DEVNET, lost) for lost in range(2)
    ]
    with pytest.raises(ContractError, match="ProviderPaused"):
        provider.send(
            arena.contracts.ledger.post_batch(
                provider.address, secrets.token_bytes(32), secrets.token_bytes(32), arena.model_id, 1
            ),
            key="post in a pause",
        )
    arena.resume()
    # Lost after the pause, posted before it: no bond, and no pause.
    fresh = posted(arena, right(arena))
    new = arena.open(fresh, 0)
    assert bond_burned(games[2]) == bond_of_provider_burned(DEVNET, 2) == 0
    # Posted behind the new bond: the new bond.
    assert bond_burned(new) == bond_of_provider_burned(DEVNET, 0) == DEVNET.provider_bond
