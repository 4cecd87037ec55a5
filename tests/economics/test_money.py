"""The money rules are those of the contracts, to the wei, on a chain."""

from __future__ import annotations

from contracts.protocol.game import Outcome
from contracts.protocol.parameters import DEVNET
from contracts.protocol.response import ResponseFields
from economics.money import bond_of_next_game, forfeited
from tests.contracts.chain_game import Arena
from tests.contracts.synthetic import SyntheticTrace

_PROMPT = [5] * 40


def posted(arena: Arena, output: list[int]):  # type: ignore[no-untyped-def]
    return arena.post([ResponseFields.of(_PROMPT, output, len(output), 0)])


def test_a_false_challenge_pays_half_its_bond_and_burns_the_rest(arena: Arena) -> None:
    output = arena.model.generate(_PROMPT, 6)
    batch = posted(arena, output)
    stake = arena.contracts.stake
    before, burned = stake.credits(arena.provider.address), stake.totals().burned
    game_id = arena.open(batch, 0)
    right = SyntheticTrace(arena.model, _PROMPT, output)
    game = arena.play(game_id, right, SyntheticTrace(arena.model, _PROMPT, output, (2, 0)))
    assert game.outcome is Outcome.PROVIDER_WON
    parts = forfeited(bond_of_next_game(DEVNET, 0))
    assert stake.credits(arena.provider.address) - before == parts.to_provider
    assert stake.totals().burned - burned == parts.burned


def test_an_answer_locks_one_lock(arena: Arena) -> None:
    before = arena.contracts.stake.account(arena.provider.address).locked
    posted(arena, arena.model.generate(_PROMPT, 6))
    locked = arena.contracts.stake.account(arena.provider.address).locked - before
    assert locked == DEVNET.lock_per_response
