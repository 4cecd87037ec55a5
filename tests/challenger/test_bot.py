"""The challenger against providers of every kind, on a real chain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from challenger.bot import Challenger, Options
from challenger.local_models import LocalModel, LocalModels
from challenger.policies import Policy, RandomShare
from challenger.provider_client import provider_book
from challenger.store import Store, open_engine
from contracts.bindings.inference_ledger import ResponseStatus
from contracts.bindings.keys import UnlockedSigner
from contracts.bindings.sender import sender_on_engine
from contracts.protocol.game import Outcome, Side
from contracts.protocol.parameters import DEVNET
from contracts.protocol.response import ResponseFields
from tests.challenger.listing_server import ListingServer
from tests.contracts.chain_game import Arena, PostedBatch
from tests.contracts.synthetic import SyntheticTrace
from tests.faults.audit import transactions_of

_PROMPTS = [[seed] * 40 for seed in range(3, 9)]
_MAX_TOKENS = 6


@dataclass
class Scene:
    """A provider that lists its batches, and a challenger."""

    arena: Arena
    server: ListingServer
    challenger: Challenger
    store: Store
    address: str

    def post(self, *outputs: Sequence[int] | None, shown: bool = True) -> PostedBatch:
        """Post (and list) one response per output; None stands for the model's own."""
        ids = [
            (prompt, output if output is not None else self.arena.model.generate(prompt, _MAX_TOKENS))
            for prompt, output in zip(_PROMPTS, outputs, strict=False)
        ]
        batch = self.arena.post([ResponseFields.of(p, o, max(_MAX_TOKENS, len(o)), 0) for p, o in ids])
        self.server.show(batch, ids if shown else [None] * len(ids))
        return batch

    def run(self, rounds: int = 30) -> None:
        """The challenger alone."""
        for _ in range(rounds):
            if not self.challenger.tick():
                return

    def state(self, batch: PostedBatch, index: int) -> str:
        row = self.store.response(batch.batch_id, index)
        assert row is not None
        return row.state

    def the_game(self, batch: PostedBatch, index: int) -> int:
        games = [g for g in self.store.games() if (g.batch_id, g.index) == (batch.batch_id, index)]
        assert len(games) == 1
        return games[0].game_id

    def trace(
        self, output: Sequence[int] | None, index: int, wrong_from: tuple[int, int] | None = None
    ) -> SyntheticTrace:
        output = output if output is not None else self.arena.model.generate(_PROMPTS[index], _MAX_TOKENS)
        return SyntheticTrace(self.arena.model, _PROMPTS[index], output, wrong_from)

    def defend(self, game_id: int, trace: SyntheticTrace | None) -> None:
        """Both sides until the game is over; the provider with this trace."""
        for _ in range(30):
            provider_moved = self.arena.move(game_id, Side.PROVIDER, trace)
            challenger_moved = self.challenger.tick()
            if self.arena.contracts.game.game(game_id).outcome is not Outcome.UNDECIDED:
                return
            if not provider_moved and not challenger_moved:
                self.arena.local_chain.pass_time(DEVNET.clock + 1)
        raise AssertionError("the game does not end")


def make_challenger(
    arena: Arena,
    server: ListingServer,
    store: Store,
    options: Options,
    policy: Policy,
    account: int = 4,
    trusted: Sequence[bytes] | None = None,
) -> Challenger:
    chain = arena.contracts.chain
    signer = UnlockedSigner(chain, chain.unlocked_accounts()[account])
    model = LocalModel("synthetic", arena.model, lambda p, o, _: SyntheticTrace(arena.model, p, o))
    return Challenger(
        arena.contracts,
        sender_on_engine(chain, signer, store.engine, confirmations=options.confirmations),
        store,
        LocalModels([model], arena.contracts.registry, [arena.model_id] if trusted is None else trusted),
        provider_book([server.url]),
        policy,
        options,
    )


@pytest.fixture
def make_scene(arena: Arena) -> Iterator:  # type: ignore[type-arg]
    servers = []

    def make(
        policy: Policy | None = None, trusted: Sequence[bytes] | None = None, **options: object
    ) -> Scene:
        server = ListingServer()
        servers.append(server)
        store = Store(open_engine(None))
        # Only what is posted from now on.
        head = arena.contracts.chain.head()
        from contracts.bindings.log_reader import Cursor

        store.advance(Cursor(head.number, head.hash), None, [], {})
        settings = Options(**options)  # type: ignore[arg-type]
        bot = make_challenger(arena, server, store, settings, policy or RandomShare(1.0), trusted=trusted)
        return Scene(arena, server, bot, store, arena.contracts.chain.unlocked_accounts()[4])

    yield make
    for server in servers:
        server.close()


def wrong(arena: Arena, index: int) -> list[int]:
    output = arena.model.generate(_PROMPTS[index], _MAX_TOKENS)
    return [*output[:-1], (output[-1] + 1) % arena.model.vocabulary]


def test_a_cheat_is_caught_and_the_winnings_are_withdrawn(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene()
    batch = scene.post(None, wrong(arena, 1), None)
    scene.run()
    assert [scene.state(batch, index) for index in range(3)] == ["valid", "invalid", "valid"]
    before = arena.contracts.chain.balance_wei(scene.address)
    scene.defend(scene.the_game(batch, 1), scene.trace(wrong(arena, 1), 1))
    scene.run()
    assert arena.contracts.ledger.response_status(batch.batch_id, 1) is ResponseStatus.VOID
    assert arena.contracts.stake.credits(scene.address) == 0
    gained = arena.contracts.chain.balance_wei(scene.address) - before
    assert gained > DEVNET.challenger_bond + DEVNET.game_reward - 10**16
    assert [(game.outcome, game.reason) for game in scene.store.games()] == [("challenger_won", "conceded")]


@pytest.mark.parametrize("wrong_from", [(0, 1), (2, 0), (6, 1)])
def test_a_cheat_that_also_lies_in_the_game_loses(
    make_scene, arena: Arena, wrong_from: tuple[int, int]
) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene()
    batch = scene.post(wrong(arena, 0))
    scene.run()
    game_id = scene.the_game(batch, 0)
    scene.defend(game_id, scene.trace(wrong(arena, 0), 0, wrong_from))
    assert arena.contracts.game.game(game_id).outcome is Outcome.CHALLENGER_WON


def test_watching_sends_nothing(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene(watch_only=True)
    batch = scene.post(wrong(arena, 0))
    nonce = arena.contracts.chain.nonce(scene.address)
    scene.run()
    assert scene.state(batch, 0) == "invalid"
    assert scene.store.games() == []
    assert arena.contracts.chain.nonce(scene.address) == nonce


def test_no_bond_is_staked_on_what_is_unknown(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene()
    withheld = scene.post(wrong(arena, 0), shown=False)
    foreign = arena.post([ResponseFields.of([1], [2], 1, 0)])  # not listed at all
    scene.run()
    assert scene.state(withheld, 0) == "withheld"
    stored = scene.store.batch(foreign.batch_id)
    assert stored is not None
    assert "cannot be read" in (stored.problem or "")
    assert scene.store.games() == []


def test_responses_that_are_not_drawn_are_left_alone(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene(policy=RandomShare(0.0))
    batch = scene.post(wrong(arena, 0))
    scene.run()
    assert scene.state(batch, 0) == "skipped"
    assert scene.store.games() == []


def test_a_dispute_waits_until_the_bond_can_be_paid(  # type: ignore[no-untyped-def]
    make_scene, arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("challenger.openings._FIRST_RETRY_S", 0.0)
    scene = make_scene()
    scene.run()  # takes home what earlier games left as credits, which could pay the bond
    chain = arena.contracts.chain
    balance = chain.balance_wei(scene.address)
    chain.request("anvil_setBalance", [scene.address, hex(10**16)])
    batch = scene.post(wrong(arena, 0))
    scene.run(5)
    assert scene.state(batch, 0) == "invalid"
    assert scene.store.games() == []
    chain.request("anvil_setBalance", [scene.address, hex(balance)])
    scene.run(5)
    scene.run(5)
    scene.the_game(batch, 0)


def test_a_restart_goes_on_where_it_was(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene()
    batch = scene.post(wrong(arena, 0))
    scene.run()
    game_id = scene.the_game(batch, 0)
    restarted = make_challenger(arena, scene.server, scene.store, Options(), RandomShare(1.0))
    scene.challenger = restarted
    scene.defend(game_id, scene.trace(wrong(arena, 0), 0, (3, 0)))
    assert arena.contracts.game.game(game_id).outcome is Outcome.CHALLENGER_WON
    assert len(scene.store.games()) == 1


def test_a_reorganisation_takes_its_work_back(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene(watch_only=True)
    snapshot = arena.contracts.chain.request("evm_snapshot", [])
    lost = scene.post(wrong(arena, 0))
    scene.run()
    assert scene.store.response(lost.batch_id, 0) is not None
    left = arena.contracts.chain.head().number
    arena.contracts.chain.request("evm_revert", [snapshot])
    # A head that is only lower means an endpoint that lags.
    arena.local_chain.mine(left - arena.contracts.chain.head().number + 1)
    scene.run()
    assert scene.store.batch(lost.batch_id) is None
    assert scene.store.response(lost.batch_id, 0) is None
    kept = scene.post(None)
    scene.run()
    assert kept.batch_id == lost.batch_id
    assert scene.state(kept, 0) == "valid"


def test_an_opening_that_a_reorganisation_takes_back_is_made_again(  # type: ignore[no-untyped-def]
    make_scene, arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its journal says that it was confirmed; without a game in the chain the lie would become final."""
    monkeypatch.setattr("challenger.chain_record.SHOWN_AGAIN_S", 0.0)
    scene = make_scene()
    batch = scene.post(wrong(arena, 0))
    posted_in = arena.contracts.chain.head().number
    snapshot = arena.contracts.chain.request("evm_snapshot", [])
    scene.run()
    scene.the_game(batch, 0)
    arena.contracts.chain.request("evm_revert", [snapshot])
    for _ in range(10):  # what was taken back waits for its blocks
        arena.local_chain.mine(6)
        scene.run()
    again = scene.the_game(batch, 0)
    scene.defend(again, scene.trace(wrong(arena, 0), 0))
    assert arena.contracts.game.game(again).outcome is Outcome.CHALLENGER_WON
    assert [game.game_id for game in scene.store.games()] == [again]
    chain, sender = arena.contracts.chain, scene.challenger._dispatcher.sender
    commitment = arena.contracts.ledger.commit_opening(bytes(32))
    sent = transactions_of(chain, sender.address, posted_in, chain.head().number)
    committed = [data for _, data, _ in sent if data[:4] == commitment.data[:4]]
    assert len(committed) == len(set(committed))


def test_an_untrusted_model_is_unknown(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene(trusted=[])
    batch = scene.post(wrong(arena, 0))
    scene.run()
    assert scene.state(batch, 0) == "unknown"
    assert scene.store.games() == []


def test_a_batch_that_is_never_shown_is_told_before_its_window_closes(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene()
    batch = arena.post([ResponseFields.of([1], [2], 1, 0)])
    scene.run()
    with capture_logs() as logs:
        arena.local_chain.pass_time(DEVNET.challenge_window // 2 + 5)
        scene.run()
    told = [entry for entry in logs if entry["event"] == "batch still not shown whole"]
    assert [(entry["batch"], entry["log_level"]) for entry in told] == [(batch.batch_id, "error")]
    assert 0 < told[0]["left_s"] < DEVNET.challenge_window / 2
    with capture_logs() as logs:
        arena.local_chain.pass_time(DEVNET.challenge_window)
        scene.run()
    assert [entry["batch"] for entry in logs if entry["event"] == "batch closed unseen"] == [batch.batch_id]
    stored = scene.store.batch(batch.batch_id)
    assert stored is not None and stored.state == "closed"


def test_ids_that_are_shown_late_are_judged(
    make_scene, arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("challenger.listing._FIRST_RETRY_S", 0.0)
    monkeypatch.setattr("challenger.listing._LONGEST_RETRY_S", 0.0)
    scene = make_scene()
    batch = scene.post(wrong(arena, 0), shown=False)
    scene.run(3)
    assert scene.state(batch, 0) == "withheld"
    scene.server.show(batch, [(_PROMPTS[0], wrong(arena, 0))])
    scene.run()
    assert scene.state(batch, 0) == "invalid"
    scene.the_game(batch, 0)


def test_an_older_database_is_read_again_but_keeps_its_secret(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "challenger.sqlite")
    secret = Store(engine).secret()
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE challenger_response DROP COLUMN tries")
        connection.exec_driver_sql("INSERT INTO challenger_cursor VALUES (7, x'00')")
    engine.dispose()
    store = Store(open_engine(tmp_path / "challenger.sqlite"))
    assert (store.secret(), store.history(), list(store.all_responses())) == (secret, [], [])
