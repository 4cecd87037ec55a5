"""Games are numbered as they are opened: after a reorganisation a signed move finds another game under its number.

It is mined again, because its nonce is free and nodes put back what they took out. What it was made for is part of it, so the
contract refuses it; before, the boundaries of one answer were posted in a game about another, and an honest provider lost its bond.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import ContractError
from contracts.bindings.moves import call_of, move_key, read_game_state
from contracts.protocol.actions import Concede, PostBoundaries
from contracts.protocol.game import Phase, Side
from contracts.protocol.honest_player import next_action
from contracts.protocol.response import ResponseFields
from tests.contracts.chain_game import Arena
from tests.contracts.local_chain import LocalChain
from tests.contracts.synthetic import SyntheticModel, SyntheticTrace

_MODEL = SyntheticModel(step_count=20)
_PROMPT = [(3 * position) % 20 for position in range(40)]
_OUTPUT = _MODEL.generate(_PROMPT, 8)
_TRUTH = SyntheticTrace(_MODEL, _PROMPT, _OUTPUT)
_SHORTER = SyntheticTrace(_MODEL, _PROMPT[:36], _MODEL.generate(_PROMPT[:36], 8))


@pytest.fixture(scope="module")
def arena(local_chain: LocalChain, contracts: ProtocolContracts) -> Arena:
    return Arena.prepare(local_chain, contracts, _MODEL)


def test_attack_boundaries_of_another_history_lose_no_bond(arena: Arena) -> None:
    chain = arena.contracts.chain
    one, other = (
        arena.post([ResponseFields.of(trace.prompt_ids, trace.output_ids, 8, 0)])
        for trace in (_TRUTH, _SHORTER)
    )
    snapshot = chain.request("evm_snapshot", [])
    game_id = arena.open(one, 0)
    seen = read_game_state(arena.contracts, game_id, arena.rules)
    assert arena.move(game_id, Side.PROVIDER, _TRUTH)
    intent = arena.provider.journal.find(move_key(seen, PostBoundaries(())))
    assert intent is not None and arena.contracts.game.game(game_id).phase is Phase.AWAIT_CHALLENGE

    chain.request("evm_revert", [snapshot])
    assert arena.open_as(arena.local_chain.sender(3, "another history"), other, 0) == game_id
    (attempt,) = intent.attempts
    chain.send_raw(attempt.raw)  # as the node does that had it, or the sender
    arena.local_chain.mine()
    receipt = chain.receipt(attempt.hash)
    assert receipt is not None and not receipt.succeeded
    state = read_game_state(arena.contracts, game_id, arena.rules)
    assert (state.game.phase, state.boundaries) == (Phase.AWAIT_BOUNDARIES, None)

    # Under its own key, which names what the game is about, the right move is another one.
    action = next_action(state, Side.PROVIDER, _SHORTER, chain.head().timestamp)
    assert isinstance(action, PostBoundaries)
    assert move_key(state, action) != move_key(seen, action)
    provider = arena.local_chain.sender(1, "another history")
    provider.send(call_of(action, state, arena.contracts, _SHORTER, _MODEL), move_key(state, action))
    assert arena.contracts.game.game(game_id).phase is Phase.AWAIT_CHALLENGE


@pytest.mark.parametrize("action", [PostBoundaries(()), Concede("it gives up")])
def test_moves_that_a_wrong_game_would_take_say_what_they_are_about(arena: Arena, action: object) -> None:
    """As the endpoint saw the game; whatever it is about now decides."""
    batch = arena.post([ResponseFields.of(_PROMPT, _OUTPUT, 8, 0)])
    game_id = arena.open(batch, 0)
    state = read_game_state(arena.contracts, game_id, arena.rules)
    stale = replace(state, game=replace(state.game, boundaries_hash=b"\1" * 32))
    assert stale.game.about != state.game.about == state.game.ids_hash
    call = call_of(action, stale, arena.contracts, None, None)  # type: ignore[arg-type]
    with pytest.raises(ContractError) as refused:
        arena.provider.send(call, key=f"stale {type(action).__name__} {game_id}")
    assert refused.value.name == "AboutSomethingElse"


def test_every_byte_of_what_a_game_is_about_makes_another_move(arena: Arena) -> None:
    """A challenger chooses much of what is hashed into it, so no part may stand for the whole."""
    game_id = arena.open(arena.post([ResponseFields.of(_PROMPT, _OUTPUT, 8, 0)]), 0)
    state, about = read_game_state(arena.contracts, game_id, arena.rules), bytes(range(1, 33))
    hashes = [about, *(about[:i] + bytes([about[i] ^ 1]) + about[i + 1 :] for i in range(32))]
    games = (replace(state, game=replace(state.game, boundaries_hash=changed)) for changed in hashes)
    assert len({move_key(game, PostBoundaries(())) for game in games}) == len(hashes)
