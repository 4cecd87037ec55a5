"""How many moves an hour the challenger makes when a provider disputes in many games at once, on a chain with a
block time and confirmations. Prints the figure; what is asserted is that every game was moved in."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from challenger.bot import Challenger, Options
from challenger.local_models import LocalModel, LocalModels
from challenger.policies import RandomShare
from challenger.provider_client import provider_book
from challenger.store import Store, open_engine
from challenger.trace_files import TraceFiles
from contracts.bindings.chain import Chain
from contracts.bindings.deployment import ProtocolContracts, deploy_protocol
from contracts.bindings.keys import UnlockedSigner
from contracts.bindings.moves import call_of, move_key, read_game_state
from contracts.bindings.sender import sender_on_engine
from contracts.protocol.bisection import boundaries_hash
from contracts.protocol.game import Phase, Side
from contracts.protocol.honest_player import next_action
from contracts.protocol.parameters import DEVNET
from contracts.protocol.response import ResponseFields
from contracts.protocol.token_ids import token_ids_hash
from devnet.anvil import free_port, start_anvil, stop_process
from tests.challenger.listing_server import ListingServer
from tests.challenger.started import await_true
from tests.contracts.chain_game import Arena
from tests.contracts.local_chain import LocalChain
from tests.contracts.synthetic import SyntheticModel, SyntheticTrace

_GAMES = 60
_BLOCK_TIME_S = 2
_CONFIRMATIONS = 2


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Arena]:
    anvil = start_anvil(free_port(), tmp_path / "anvil.log", block_time_s=None)
    local = LocalChain(Chain(anvil.rpc_url), tmp_path)
    contracts = ProtocolContracts(local.chain, deploy_protocol(local.sender(0), DEVNET))
    yield Arena.prepare(local, contracts, SyntheticModel(step_count=20))
    stop_process(anvil.pid)


@pytest.mark.long
def test_moves_per_hour(arena: Arena, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain, model, server = arena.contracts.chain, arena.model, ListingServer()
    prompts = [[3 + number % 16, number // 16, 5] * 12 for number in range(_GAMES)]
    ids = [(prompt, [(model.next_token(prompt) + 1) % 20]) for prompt in prompts]
    batch = arena.post([ResponseFields.of(prompt, output, 1, 0) for prompt, output in ids])
    server.show(batch, ids)
    store = Store(open_engine(tmp_path / "challenger.sqlite"))
    local = LocalModel("synthetic", model, lambda p, o, _: SyntheticTrace(model, p, o))
    signer = UnlockedSigner(chain, chain.unlocked_accounts()[4])
    bot = Challenger(
        arena.contracts,
        sender_on_engine(chain, signer, store.engine, confirmations=_CONFIRMATIONS),
        store,
        LocalModels([local], arena.contracts.registry, [arena.model_id]),
        provider_book([server.url]),
        RandomShare(1.0),
        Options(confirmations=_CONFIRMATIONS, poll_s=0.2),
        TraceFiles(tmp_path / "traces"),
    )
    chain.request("evm_setIntervalMining", [_BLOCK_TIME_S])
    chain.request("evm_setAutomine", [False])
    stop = threading.Event()
    running = threading.Thread(target=bot.run, args=(stop,))
    started = time.monotonic()
    running.start()
    games = arena.contracts.game

    def in_phase(phase: Phase) -> int:
        return sum(games.game(number).phase is phase for number in range(1, games.game_count() + 1))

    try:
        await_true(lambda: games.game_count() == _GAMES, 300, "all games are opened")
        opened_s = time.monotonic() - started
        defend(
            arena, {ids_hash(prompt, output): SyntheticTrace(model, prompt, output) for prompt, output in ids}
        )
        moving = time.monotonic()
        await_true(lambda: in_phase(Phase.AWAIT_PROOF) == _GAMES, 600, "every game is moved in")
        moved_s = time.monotonic() - moving
    finally:
        stop.set()
        running.join(60)
        server.close()
    with capsys.disabled():
        print(
            f"\n{_GAMES} games, blocks of {_BLOCK_TIME_S} s, {_CONFIRMATIONS} confirmations: all opened after "
            f"{opened_s:.1f} s, all moved in after {moved_s:.1f} s: {3600 * _GAMES / moved_s:.0f} moves per hour"
        )


def ids_hash(prompt: list[int], output: list[int]) -> bytes:
    return boundaries_hash([token_ids_hash(prompt), token_ids_hash(output)])


def defend(arena: Arena, traces: dict[bytes, SyntheticTrace]) -> None:
    """The provider posts all its boundaries at once."""
    intents = []
    for number in range(1, arena.contracts.game.game_count() + 1):
        state = read_game_state(arena.contracts, number, arena.rules)
        trace = traces[state.game.ids_hash]
        action = next_action(state, Side.PROVIDER, trace, arena.contracts.chain.head().timestamp)
        assert action is not None
        call = call_of(action, state, arena.contracts, trace, arena.model)
        intents.append(arena.provider.submit(call, move_key(state, action)))
    for intent in intents:
        arena.provider.wait(intent)
