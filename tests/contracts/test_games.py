"""Complete games on Anvil, both sides played by the honest player."""

from __future__ import annotations

import pytest

from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import ContractError
from contracts.bindings.inference_ledger import ResponseStatus
from contracts.bindings.log_reader import Cursor, LogReader
from contracts.protocol.actions import ChallengeInput, ProveEmbedding, ProveHead, ProveStep
from contracts.protocol.game import Outcome, Reason
from contracts.protocol.parameters import DEVNET
from contracts.protocol.response import ResponseFields
from tests.contracts.adaptive_liar import AdaptiveLiar
from tests.contracts.chain_game import Arena
from tests.contracts.local_chain import LocalChain
from tests.contracts.synthetic import SyntheticModel, SyntheticTrace

_MODEL = SyntheticModel(step_count=200)  # two rounds
_PROMPT = [(7 * position) % 20 for position in range(70)]
_OUTPUT = _MODEL.generate(_PROMPT, 8)


@pytest.fixture(scope="module")
def arena(local_chain: LocalChain, contracts: ProtocolContracts) -> Arena:
    return Arena.prepare(local_chain, contracts, _MODEL)


def trace(wrong_from: tuple[int, int] | None = None, output: list[int] | None = None) -> SyntheticTrace:
    return SyntheticTrace(_MODEL, _PROMPT, output or _OUTPUT, wrong_from)


def fields(output: list[int] | None = None, max_tokens: int = 8) -> ResponseFields:
    return ResponseFields.of(_PROMPT, output or _OUTPUT, max_tokens, 0)


@pytest.mark.parametrize(("boundary", "window"), [(0, 1), (1, 0), (8, 2), (200, 1)])
def test_a_lying_provider_loses_its_stake(arena: Arena, boundary: int, window: int) -> None:
    stake, contracts = arena.contracts.stake, arena.contracts
    batch = arena.post([fields()])
    game_id = arena.open(batch, 0)
    before = stake.credits(arena.challenger.address)
    game = arena.play(game_id, trace((boundary, window)), trace())
    assert (game.outcome, game.reason) == (Outcome.CHALLENGER_WON, Reason.TIMED_OUT)
    assert contracts.ledger.response_status(batch.batch_id, 0) is ResponseStatus.VOID
    won = stake.credits(arena.challenger.address) - before
    assert won == game.bond + DEVNET.game_reward


@pytest.mark.parametrize(
    ("boundary", "window", "proof"),
    [(0, 2, ProveEmbedding), (1, 1, ProveStep), (2, 2, ProveStep), (200, 0, ProveStep)],
)
def test_an_honest_provider_proves_its_case(arena: Arena, boundary: int, window: int, proof: type) -> None:
    batch = arena.post([fields([1], 1), fields()])
    arena.moves.clear()
    game = arena.play(arena.open(batch, 1), trace(), trace((boundary, window)))
    assert (game.outcome, game.reason) == (Outcome.PROVIDER_WON, Reason.PROVEN)
    assert isinstance(arena.moves[-1][1], proof)


def test_an_honest_provider_proves_its_token(arena: Arena) -> None:
    class WrongHead(SyntheticTrace):
        def first_wrong_output(self) -> tuple[int, int] | None:
            position = len(_PROMPT) + 1
            return position, (self.argmax(position) + 1) % _MODEL.vocabulary

    batch = arena.post([fields()])
    game = arena.play(arena.open(batch, 0), trace(), WrongHead(_MODEL, _PROMPT, _OUTPUT))
    assert (game.outcome, game.reason) == (Outcome.PROVIDER_WON, Reason.PROVEN)
    assert isinstance(arena.moves[-1][1], ProveHead)


@pytest.mark.parametrize("end", [(0, 0), (7, 1), (12, 2), (19, 0)])
def test_an_answer_that_leaves_its_range_loses(arena: Arena, end: tuple[int, int]) -> None:
    """The liar posts whatever it likes; the challenger knows what lies in front of the failing window, and wins."""
    wrong = [(token + 1) % 20 for token in _OUTPUT]
    batch = arena.post([fields(wrong, len(wrong))])
    known = SyntheticTrace(_MODEL, _PROMPT, wrong, ends_at=end)
    game = arena.play(arena.open(batch, 0), AdaptiveLiar(known, end), known)
    assert (game.outcome, game.reason) == (Outcome.CHALLENGER_WON, Reason.TIMED_OUT)
    assert (game.range_start, game.range_end) == (end[0], end[0] + 1)
    assert arena.contracts.ledger.response_status(batch.batch_id, 0) is ResponseStatus.VOID


def test_a_row_that_leaves_the_heads_range_loses(arena: Arena) -> None:
    """All boundaries are right, and so is every other token."""
    position = len(_PROMPT) + 2
    dark = SyntheticTrace(_MODEL, _PROMPT, _OUTPUT, dark_positions=[position])
    game = arena.play(arena.open(arena.post([fields()]), 0), dark, dark)
    assert (game.outcome, game.reason, game.position) == (Outcome.CHALLENGER_WON, Reason.CONCEDED, position)


def test_a_wrong_token_and_a_short_answer_lose(arena: Arena) -> None:
    wrong = [*_OUTPUT[:-1], (_OUTPUT[-1] + 1) % 20]
    short = [token for token in _OUTPUT if token not in _MODEL.end_tokens][:1]
    batch = arena.post([fields(wrong, len(wrong)), fields(short)])
    game = arena.play(arena.open(batch, 0), trace(output=wrong), trace(output=wrong))
    assert (game.outcome, game.reason) == (Outcome.CHALLENGER_WON, Reason.CONCEDED)
    game = arena.play(arena.open(batch, 1), trace(output=short), trace(output=short))
    assert (game.outcome, game.reason) == (Outcome.CHALLENGER_WON, Reason.TRUNCATED)


def test_an_answer_that_runs_on_behind_an_end_token_loses(arena: Arena) -> None:
    running_on = [*[token for token in _OUTPUT if token not in _MODEL.end_tokens], _MODEL.end_tokens[0], 1]
    batch = arena.post([fields(running_on, len(running_on))])
    game = arena.play(arena.open(batch, 0), trace(output=running_on), trace(output=running_on))
    assert (game.outcome, game.reason) == (Outcome.CHALLENGER_WON, Reason.OVERRUN)


def test_a_malformed_response_loses_at_once(arena: Arena) -> None:
    batch = arena.post([fields(max_tokens=1)])
    game = arena.contracts.game.game(arena.open(batch, 0))
    assert (game.outcome, game.reason) == (Outcome.CHALLENGER_WON, Reason.MALFORMED)


def test_a_second_game_on_a_void_response_is_paid_the_same(arena: Arena) -> None:
    batch = arena.post([fields()])
    first, second = arena.open(batch, 0), arena.open(batch, 0)
    arena.play(first, trace((3, 0)), trace())
    before = arena.contracts.stake.credits(arena.challenger.address)
    game = arena.play(second, trace((3, 0)), trace())
    assert (game.outcome, game.reason) == (Outcome.RESPONSE_VOIDED, Reason.VOIDED_ELSEWHERE)
    won = arena.contracts.stake.credits(arena.challenger.address) - before
    assert won == game.bond + DEVNET.game_reward


def test_a_false_proof_and_a_foreign_move_are_refused(arena: Arena) -> None:
    contracts = arena.contracts
    game_id = arena.open(arena.post([fields()]), 0)
    with pytest.raises(ContractError) as foreign:
        arena.challenger.send(
            contracts.game.post_boundaries(game_id, contracts.game.game(game_id).about, [b"\0" * 32] * 11),
            key="foreign",
        )
    assert foreign.value.name == "NotMover"
    with pytest.raises(ContractError, match="Post exactly this many hashes"):
        arena.provider.send(
            contracts.game.post_boundaries(game_id, contracts.game.game(game_id).about, []), key="too few"
        )
    with pytest.raises(ContractError) as own:
        arena.provider.send(contracts.game.open(1, 0, fields(), [], bytes(32), bond_wei=1), key="own")
    assert own.value.name == "ProviderCannotChallenge"


def test_the_vault_owes_what_it_holds(arena: Arena) -> None:
    totals = arena.contracts.stake.totals()
    balance = arena.contracts.chain.balance_wei(arena.contracts.stake.address)
    assert totals.stake + totals.escrow + totals.credits + totals.burned == balance


def test_events_are_read_once_in_order_and_a_reorganisation_is_noticed(arena: Arena) -> None:
    reader = LogReader(arena.contracts, span=7)
    history: list[Cursor] = []
    seen = []
    while (reading := reader.read(history)) is not None:
        assert reading.rewound_to is None
        seen += reading.events
        history.insert(0, reading.cursor)
    places = [(event.at.block_number, event.at.log_index) for event in seen]
    assert places == sorted(set(places))
    assert {"BatchPosted", "GameOpened", "PartChallenged", "GameResolved"} <= {
        type(event).__name__ for event in seen
    }
    snapshot = arena.contracts.chain.request("evm_snapshot", [])
    kept = history[0]
    arena.post([fields()])
    reading = reader.read(history)
    assert reading is not None
    history.insert(0, reading.cursor)
    arena.contracts.chain.request("evm_revert", [snapshot])
    arena.local_chain.mine(3)
    reading = reader.read(history)
    assert reading is not None
    assert reading.rewound_to == kept.number
    assert not any(type(event).__name__ == "BatchPosted" for event in reading.events)


def test_the_input_challenge_is_what_a_wrong_input_gets(arena: Arena) -> None:
    arena.moves.clear()
    arena.play(arena.open(arena.post([fields()]), 0), trace((0, 0)), trace())
    assert any(isinstance(move, ChallengeInput) for _, move in arena.moves)
