"""A game keeps a hash of what was posted; players read the list from the event, and believe it if it has that hash."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.bindings.chain import Chain
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import ContractError, LogsMissing
from contracts.bindings.moves import call_of, posted_boundaries, read_game_state
from contracts.protocol.actions import ChallengeInput, ChallengePart, Concede, PostBoundaries
from contracts.protocol.bisection import boundaries_hash
from contracts.protocol.game import Phase, Side
from contracts.protocol.honest_player import next_action
from contracts.protocol.response import ResponseFields
from tests.contracts.chain_game import Arena
from tests.contracts.local_chain import LocalChain
from tests.contracts.rpc_proxy import Answer, rpc_proxy
from tests.contracts.synthetic import SyntheticModel, SyntheticTrace

_MODEL = SyntheticModel(step_count=200)  # two rounds: sixteen parts of 12 or 13 steps
_PROMPT = [(3 * position) % 20 for position in range(40)]
_OUTPUT = _MODEL.generate(_PROMPT, 8)
_TRUTH = SyntheticTrace(_MODEL, _PROMPT, _OUTPUT)
_LIE = SyntheticTrace(_MODEL, _PROMPT, _OUTPUT, (8, 0))


@pytest.fixture(scope="module")
def arena(local_chain: LocalChain, contracts: ProtocolContracts) -> Arena:
    return Arena.prepare(local_chain, contracts, _MODEL)


def posted(arena: Arena, trace: SyntheticTrace = _LIE) -> int:
    """A game whose challenger has to answer the first round."""
    game_id = arena.open(arena.post([ResponseFields.of(_PROMPT, _OUTPUT, 8, 0)]), 0)
    assert arena.move(game_id, Side.PROVIDER, trace)
    return game_id


def hashes(trace: SyntheticTrace, cuts: list[int]) -> tuple[bytes, ...]:
    return tuple(trace.boundary_hash(cut) for cut in cuts)


def test_the_list_is_that_of_the_last_round(arena: Arena) -> None:
    game_id = posted(arena)
    other = posted(arena, _TRUTH)
    state = read_game_state(arena.contracts, game_id, arena.rules)
    assert state.boundaries == hashes(_LIE, state.cuts) == posted_boundaries(arena.contracts, game_id)
    assert state.boundaries != posted_boundaries(arena.contracts, other)
    assert arena.move(game_id, Side.CHALLENGER, _TRUTH)
    between = read_game_state(arena.contracts, game_id, arena.rules)
    assert (between.game.phase, between.boundaries) == (Phase.AWAIT_BOUNDARIES, None)
    assert between.game.boundaries_hash == boundaries_hash(state.boundaries[:2])
    with pytest.raises(ValueError, match="AWAIT_BOUNDARIES"):
        posted_boundaries(arena.contracts, game_id)
    assert arena.move(game_id, Side.PROVIDER, _LIE)
    later = read_game_state(arena.contracts, game_id, arena.rules)
    assert later.game.round == 2
    assert later.boundaries == hashes(_LIE, later.cuts)
    assert (later.boundaries[0], later.boundaries[-1]) == state.boundaries[:2]


def test_a_reorganisation_brings_another_list(arena: Arena) -> None:
    chain = arena.contracts.chain
    game_id = arena.open(arena.post([ResponseFields.of(_PROMPT, _OUTPUT, 8, 0)]), 0)
    snapshot = chain.request("evm_snapshot", [])
    cuts = read_game_state(arena.contracts, game_id, arena.rules).cuts
    for number, trace in enumerate((_LIE, _TRUTH)):
        call = arena.contracts.game.post_boundaries(
            game_id, arena.contracts.game.game(game_id).about, hashes(trace, cuts)
        )
        arena.local_chain.sender(1, f"fork-{number}").send(call, key=f"fork {number} of {game_id}")
        assert posted_boundaries(arena.contracts, game_id) == hashes(trace, cuts)
        if trace is _LIE:
            seen = read_game_state(arena.contracts, game_id, arena.rules)
            chain.request("evm_revert", [snapshot])
    # What was decided about the list that left the chain is refused.
    stale = call_of(ChallengePart(3), seen, arena.contracts, None, None)
    with pytest.raises(ContractError) as refused:
        arena.challenger.send(stale, key=f"stale {game_id}")
    assert refused.value.name == "WrongBoundaries"


@pytest.mark.parametrize("kind", ["none", "another game's", "changed"])
def test_an_endpoint_without_the_list_or_with_another_is_not_believed(arena: Arena, kind: str) -> None:
    game_id, other = posted(arena), posted(arena, _TRUTH)
    real = arena.contracts.chain
    topic = arena.contracts.game.interface.topics["BoundariesPosted"]

    def script(method: str, parameters: list[object]) -> Answer | None:
        if method != "eth_getLogs":
            return None
        query = parameters[0]
        assert isinstance(query, dict)
        if query.get("topics", [""])[0] != "0x" + topic.hex():
            return None
        if kind == "none":
            return {"result": []}
        if kind == "another game's":
            query = {**query, "topics": [query["topics"][0], "0x" + other.to_bytes(32, "big").hex()]}
        logs = real.request("eth_getLogs", [query])
        if kind == "changed":
            logs = [{**log, "data": log["data"][:-2] + "00"} for log in logs]
        return {"result": logs}

    with rpc_proxy(real.rpc_url) as proxy:
        proxy.script = script
        contracts = ProtocolContracts(Chain(proxy.url), arena.contracts.deployment)
        with pytest.raises(LogsMissing, match=f"BoundariesPosted of game {game_id} "):
            read_game_state(contracts, game_id, arena.rules)
        # Once the time is over nobody needs the list, and the game can be ended.
        snapshot = real.request("evm_snapshot", [])
        arena.local_chain.pass_time(10_000)
        assert read_game_state(contracts, game_id, arena.rules).boundaries is None
        real.request("evm_revert", [snapshot])
    assert posted_boundaries(arena.contracts, game_id)[0] == _LIE.boundary_hash(0)


def test_a_challenger_waits_for_the_list(arena: Arena) -> None:
    state = read_game_state(arena.contracts, posted(arena), arena.rules)
    now = state.game.turn_started_at
    assert next_action(state, Side.CHALLENGER, _TRUTH, now) == ChallengePart(0)
    assert next_action(replace(state, boundaries=None), Side.CHALLENGER, _TRUTH, now) is None


def test_a_move_without_the_list_is_refused_on_chain(arena: Arena) -> None:
    state = replace(read_game_state(arena.contracts, posted(arena), arena.rules), boundaries=None)
    with pytest.raises(ContractError) as refused:
        arena.challenger.send(
            call_of(ChallengeInput(bytes(32)), state, arena.contracts, None, None),
            key=f"no list {state.game_id}",
        )
    assert refused.value.name == "WrongBoundaries"


def test_a_provider_goes_on_only_with_the_ends_that_it_posted(arena: Arena) -> None:
    game_id = posted(arena)
    assert arena.move(game_id, Side.CHALLENGER, _TRUTH)
    state = read_game_state(arena.contracts, game_id, arena.rules)
    now = state.game.turn_started_at
    assert next_action(state, Side.PROVIDER, _LIE, now) == PostBoundaries(hashes(_LIE, state.cuts))
    assert isinstance(next_action(state, Side.PROVIDER, _TRUTH, now), Concede)
