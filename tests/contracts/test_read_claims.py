"""A game keeps a hash of what was claimed; providers read the claim from the event, and believe it if it fits."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from contracts.bindings.chain import Chain
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import ContractError, LogsMissing
from contracts.bindings.moves import call_of, read_game_state
from contracts.protocol.actions import ChallengeInput, ChallengePart, ProveStep, RefuteClaim
from contracts.protocol.claims import LEAF_BYTES, claim_of, leaves_of_input, leaves_of_step
from contracts.protocol.game import Outcome, Reason, Side
from contracts.protocol.response import ResponseFields
from tests.contracts.chain_game import Arena
from tests.contracts.local_chain import LocalChain
from tests.contracts.rpc_proxy import Answer, rpc_proxy
from tests.contracts.synthetic import SyntheticModel, SyntheticTrace

_PROMPT = [(3 * position) % 20 for position in range(33 * 32)]  # claims of two groups
_TRUTH = SyntheticTrace(SyntheticModel(step_count=4, max_positions=2048), _PROMPT, [1])


def _some_long(few: set[object], *choices: list[object]) -> list[object]:
    """All combinations, of which the others than these few are long."""
    return [
        each if each in few else pytest.param(*each, marks=pytest.mark.long)
        for each in itertools.product(*choices)
    ]


@pytest.fixture(scope="module")
def arena(local_chain: LocalChain, contracts: ProtocolContracts) -> Arena:
    return Arena.prepare(local_chain, contracts, _TRUTH.model)


def challenged(arena: Arena, challenge: ChallengePart | ChallengeInput) -> int:
    """A game about right boundaries in which the provider has to answer a claim."""
    game_id = arena.open(arena.post([ResponseFields.of(_PROMPT, [1], 1, 0)]), 0)
    assert arena.move(game_id, Side.PROVIDER, _TRUTH)
    state = read_game_state(arena.contracts, game_id, arena.rules)
    call = call_of(challenge, state, arena.contracts, None, None)
    arena.challenger.send(call, key=f"challenge {game_id}")
    return game_id


def claimed(part: int | None, wrong: int | None) -> ChallengePart | ChallengeInput:
    """The truth, but for one window."""
    model = _TRUTH.model
    if part is None:
        leaves = leaves_of_input(_TRUTH, _TRUTH.boundary_hash(0))
    else:
        leaves = leaves_of_step(_TRUTH, model.access(part), part, _TRUTH.boundary_hash(part + 1))
    if wrong is not None:
        leaves[wrong] = None
    return ChallengeInput(claim_of(leaves)) if part is None else ChallengePart(part, claim_of(leaves))


@pytest.mark.parametrize(
    ("part", "wrong"),
    _some_long(
        {(None, None), (None, 31), (0, 0), (1, 32), (3, None), (3, 32)}, [None, 0, 1, 3], [None, 0, 31, 32]
    ),
)
def test_an_honest_provider_answers_every_claim(arena: Arena, part: int | None, wrong: int | None) -> None:
    """Of the last group, too, and where it agrees in all windows."""
    challenge = claimed(part, wrong)
    game_id = challenged(arena, challenge)
    assert read_game_state(arena.contracts, game_id, arena.rules).claim == challenge.claim
    assert arena.move(game_id, Side.PROVIDER, _TRUTH)
    game = arena.contracts.game.game(game_id)
    assert game.outcome is Outcome.PROVIDER_WON
    assert game.reason is (Reason.REFUTED if wrong is None else Reason.PROVEN)


@pytest.mark.parametrize(
    ("part", "kind"),
    _some_long(
        {(None, "another game's"), (1, "none"), (1, "changed")},
        [None, 1],
        ["none", "another game's", "changed"],
    ),
)
def test_an_endpoint_without_the_claim_or_with_another_is_not_believed(
    arena: Arena, part: int | None, kind: str
) -> None:
    game_id, other = challenged(arena, claimed(part, 3)), challenged(arena, claimed(part, 4))
    real = arena.contracts.chain
    name = "InputChallenged" if part is None else "PartChallenged"
    topic = arena.contracts.game.interface.topics[name]

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
            place = -2 * LEAF_BYTES
            logs = [
                {**log, "data": log["data"][: place - 64] + "55" + log["data"][place - 62 :]} for log in logs
            ]
        return {"result": logs}

    with rpc_proxy(real.rpc_url) as proxy:
        proxy.script = script
        contracts = ProtocolContracts(Chain(proxy.url), arena.contracts.deployment)
        with pytest.raises(LogsMissing, match=f"{name} of game {game_id} "):
            read_game_state(contracts, game_id, arena.rules)
        # Once the time is over nobody needs the claim, and the game can be ended.
        snapshot = real.request("evm_snapshot", [])
        arena.local_chain.pass_time(10_000)
        assert read_game_state(contracts, game_id, arena.rules).claim is None
        real.request("evm_revert", [snapshot])


def test_a_refutation_of_another_claim_is_refused(arena: Arena) -> None:
    """A provider cannot say that it agrees where it does not."""
    state = read_game_state(arena.contracts, challenged(arena, claimed(1, 7)), arena.rules)
    roots = _TRUTH.stream_roots(1), _TRUTH.stream_roots(2)
    written = _TRUTH.model.access(1).written
    sums = tuple(tuple(_TRUTH.stream_points(2, stream)) for stream in written)
    refutation = RefuteClaim(_TRUTH.step_kind(1), *roots, sums)
    for claim, error in ((state.claim, "NotAsClaimed"), (claimed(1, None).claim, "WrongPreimage")):
        call = call_of(refutation, replace(state, claim=claim), arena.contracts, _TRUTH, _TRUTH.model)
        with pytest.raises(ContractError) as refused:
            arena.provider.send(call, key=f"{error} {state.game_id}")
        assert refused.value.name == error
    proof = call_of(ProveStep(1, 6), state, arena.contracts, _TRUTH, _TRUTH.model)
    with pytest.raises(ContractError) as as_claimed:
        arena.provider.send(proof, key=f"as claimed {state.game_id}")
    assert as_claimed.value.name == "AsClaimed"
