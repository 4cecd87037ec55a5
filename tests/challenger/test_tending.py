"""What others left keeps nobody out: games whose turn is over and asks whose time is over are ended where it matters."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace as Fake

import pytest
from sqlmodel import Session

from challenger.bot import Options
from challenger.budgets import TENDING, Budgets, Limits
from challenger.chain_record import Ending, Turn
from challenger.policies import RandomShare
from challenger.settings import load_settings
from challenger.tables import OthersGameRow, SpendingRow
from challenger.tending import Tend
from contracts.bindings.events import (
    GameResolved,
    OpeningJoined,
    PlaceFreed,
    ResponseNotShown,
    RewardPaid,
)
from contracts.bindings.inference_ledger import ResponseStatus
from contracts.bindings.log_reader import Cursor
from contracts.bindings.settings import SettingsError
from contracts.protocol.game import Outcome, Side
from contracts.protocol.parameters import DEVNET
from tests.challenger.test_asking import ids_of, show
from tests.challenger.test_bot import Scene, make_challenger, make_scene, wrong
from tests.challenger.test_front_runs import gas_paid, stored
from tests.challenger.test_openings import all_events, held, of_batch
from tests.challenger.test_places import concede, full_house, own_games
from tests.contracts.chain_game import Arena, PostedBatch
from tests.contracts.local_chain import LocalChain

__all__ = ["held", "make_scene"]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("challenger.tending._FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr("challenger.openings._FIRST_RETRY_S", 0.0)


def leave(scene: Scene, games: Sequence[int], output: Sequence[int] | None, index: int) -> None:
    """The provider moves, and their challenger never again."""
    for game_id in games:
        assert scene.arena.move(game_id, Side.PROVIDER, scene.trace(output, index))


def status(arena: Arena, batch: PostedBatch, index: int = 0) -> ResponseStatus:
    return arena.contracts.ledger.response_status(batch.batch_id, index)


def live(scene: Scene, rounds: int = 3) -> None:
    for _ in range(rounds):
        scene.run()


def resolved(arena: Arena, games: Sequence[int]) -> list[int]:
    return [event.game_id for event in all_events(arena, GameResolved) if event.game_id in games]


def ask_as_friend(arena: Arena, batch: PostedBatch, index: int) -> None:
    call = arena.contracts.ledger.ask(batch.batch_id, index, DEVNET.ask_price)
    arena.challenger.send(call, f"friend asks {batch.batch_id} {index}")


def test_attack_a_house_full_of_dead_games_and_a_dead_ask_keep_no_lie(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    """Friends hold all places of one lie and nobody moves; another is hidden, and a friend's ask for it is left alone. Both
    windows are long over, both would be disputed for ever. A bot with nothing but its defaults has both lost."""
    scene = make_scene()
    first = arena.contracts.chain.head().number
    batch = scene.post(wrong(arena, 0), wrong(arena, 1), shown=False)
    scene.server.show(batch, [ids_of(arena, 0, wrong(arena, 0)), None])
    friends = full_house(arena, batch)
    leave(scene, friends, wrong(arena, 0), 0)
    ask_as_friend(arena, batch, 1)
    live(scene)
    assert not own_games(scene, batch)
    arena.local_chain.pass_time(DEVNET.clock + DEVNET.trace_extension + 1)
    assert status(arena, batch, 0) is status(arena, batch, 1) is ResponseStatus.DISPUTED
    live(scene)
    assert status(arena, batch, 1) is ResponseStatus.VOID
    assert sorted(resolved(arena, friends)) == friends
    assert len(of_batch(arena, PlaceFreed, batch)) == 1
    arena.local_chain.pass_time(DEVNET.join_window + 1)
    live(scene)
    game_id = scene.the_game(batch, 0)
    scene.defend(game_id, scene.trace(wrong(arena, 0), 0))
    assert arena.contracts.game.game(game_id).outcome is Outcome.CHALLENGER_WON
    assert status(arena, batch, 0) is ResponseStatus.VOID
    assert all(succeeded for succeeded, _ in gas_paid(arena, scene.address, first))


def test_attack_friends_that_let_a_dead_provider_live_lose_and_the_bot_is_paid(  # type: ignore[no-untyped-def]
    make_scene, arena: Arena
) -> None:
    """All places are friends', the provider is out of time in each, and they do not say so."""
    scene = make_scene()
    batch = scene.post(wrong(arena, 0))
    friends = full_house(arena, batch)[1:]
    concede(arena, friends[0])  # so that a place is left to be paid
    live(scene)
    arena.local_chain.pass_time(DEVNET.clock + DEVNET.trace_extension + 1)
    assert status(arena, batch) is ResponseStatus.DISPUTED
    live(scene)
    assert status(arena, batch) is ResponseStatus.VOID
    assert [event.challenger for event in of_batch(arena, OpeningJoined, batch)] == [scene.address]
    assert scene.address in [event.to for event in of_batch(arena, RewardPaid, batch)]


def test_attack_a_dead_ask_of_a_friends_loses_what_was_found_and_the_bot_is_paid(  # type: ignore[no-untyped-def]
    make_scene, arena: Arena
) -> None:
    """The bot knows the lie, commits first, and only then ends the ask that makes it void."""
    scene = make_scene()
    scene.challenger._budgets.limits = Limits(bonds_wei=1)  # it can open no game of its own
    batch = scene.post(wrong(arena, 0))
    ask_as_friend(arena, batch, 0)
    live(scene)
    arena.local_chain.pass_time(DEVNET.show_window + 1)
    live(scene)
    assert [event.index for event in of_batch(arena, ResponseNotShown, batch)] == [0]
    assert [event.challenger for event in of_batch(arena, OpeningJoined, batch)] == [scene.address]


@pytest.mark.parametrize(
    "tend,ended", [(Tend.OWN, (False, False)), (Tend.FOUND, (False, False)), (Tend.ALL, (True, False))]
)
def test_where_nothing_was_found_only_all_ends_and_no_lie_is_helped_to_become_final(  # type: ignore[no-untyped-def]
    make_scene, arena: Arena, tend: Tend, ended: tuple[bool, bool]
) -> None:
    """A dead game about a right answer, and one about a lie of which this bot can open no game any more."""
    scene = make_scene(tend=tend, limits=Limits(bonds_wei=1))
    batch = scene.post(None, wrong(arena, 1))
    games = [arena.open(batch, index) for index in range(2)]
    for index, output in enumerate((None, wrong(arena, 1))):
        leave(scene, games[index : index + 1], output, index)
    live(scene)
    arena.local_chain.pass_time(DEVNET.clock + DEVNET.trace_extension + 1)
    live(scene)
    assert tuple(bool(resolved(arena, [game_id])) for game_id in games) == ended


@pytest.mark.parametrize("tend,void", [(Tend.OWN, False), (Tend.FOUND, True), (Tend.ALL, True)])
def test_what_is_hidden_is_lost_by_a_dead_game_or_ask_unless_told_otherwise(  # type: ignore[no-untyped-def]
    make_scene, arena: Arena, tend: Tend, void: bool
) -> None:
    scene = make_scene(tend=tend)
    batch = scene.post(wrong(arena, 0), None, None, shown=False)
    arena.open(batch, 0)  # the provider never moves
    ask_as_friend(arena, batch, 1)
    ask_as_friend(arena, batch, 2)
    show(arena, batch, 2)
    live(scene)
    arena.local_chain.pass_time(DEVNET.clock + DEVNET.trace_extension + 1)
    live(scene)
    assert [arena.contracts.ledger.is_void(batch.batch_id, index) for index in range(3)] == [
        void,
        void,
        False,
    ]


def test_a_model_that_is_not_here_is_nobodys_finding(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene(trusted=[])
    batch = scene.post(None, shown=False)
    ask_as_friend(arena, batch, 0)
    arena.local_chain.pass_time(DEVNET.show_window + 1)
    live(scene)
    assert not of_batch(arena, ResponseNotShown, batch)


def test_at_most_four_are_on_their_way_and_what_lives_is_left(  # type: ignore[no-untyped-def]
    make_scene, arena: Arena, held: LocalChain
) -> None:
    scene = make_scene()
    batch = scene.post(wrong(arena, 0))
    friends = full_house(arena, batch)
    leave(scene, friends[:-1], wrong(arena, 0), 0)
    live(scene)
    held.pass_time(DEVNET.clock // 2)
    leave(scene, friends[-1:], wrong(arena, 0), 0)
    held.pass_time(DEVNET.clock // 2 + 1)  # the last one's challenger has time left
    held.chain.request("evm_setAutomine", [False])
    of_block = []
    for _ in range(4):
        for _ in range(4):
            scene.challenger.tick()
        before = len(resolved(arena, friends))
        held.mine()
        of_block.append(len(resolved(arena, friends)) - before)
    assert of_block[:3] == [4, 3, 0]
    assert sorted(resolved(arena, friends)) == friends[:-1]


def test_every_kill_ends_each_game_once(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    """Another process takes over in every round, with nothing but the database; nothing is sent twice."""
    scene = make_scene()
    batch = scene.post(wrong(arena, 0))
    friends = full_house(arena, batch)
    leave(scene, friends, wrong(arena, 0), 0)
    live(scene)
    arena.local_chain.pass_time(DEVNET.clock + DEVNET.trace_extension + 1)
    first = arena.contracts.chain.head().number
    for _ in range(10):
        scene.challenger = make_challenger(arena, scene.server, scene.store, Options(), RandomShare(1.0))
        scene.challenger.watch()
        scene.challenger.play()
    scene.challenger.settle()
    assert sorted(resolved(arena, friends)) == friends
    paid = gas_paid(arena, scene.address, first)
    assert all(succeeded for succeeded, _ in paid)


def test_an_own_game_needs_no_model_to_be_ended(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    """It was opened by a process that had the model; the provider is out of time in one, the other is void."""
    scene = make_scene()
    batch = scene.post(wrong(arena, 0), wrong(arena, 1))
    live(scene)
    own = [scene.the_game(batch, index) for index in range(2)]
    friends = arena.open(batch, 1)
    arena.provider.send(arena.conceding(friends), f"concede {friends}")
    scene.challenger = make_challenger(
        arena, scene.server, scene.store, Options(), RandomShare(1.0), trusted=[]
    )
    arena.local_chain.pass_time(DEVNET.clock + DEVNET.trace_extension + 1)
    live(scene)
    outcomes = [arena.contracts.game.game(game_id).outcome for game_id in own]
    assert outcomes == [Outcome.CHALLENGER_WON, Outcome.RESPONSE_VOIDED]


def test_nothing_is_ended_at_a_gas_price_above_the_limit(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene(limits=Limits(gas_price_wei=1))
    batch = scene.post(wrong(arena, 0))
    live(scene)
    friends = full_house(arena, batch)
    leave(scene, friends, wrong(arena, 0), 0)
    arena.local_chain.pass_time(DEVNET.clock + DEVNET.trace_extension + 1)
    live(scene)
    assert not resolved(arena, friends)
    scene.challenger._budgets.limits = Limits()
    live(scene)
    assert sorted(resolved(arena, friends)) == friends


# --- without a chain


def test_whose_to_end_is_a_setting_with_three_values(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {load_settings(tend=each.value).tend for each in Tend} == {"own", "found", "all"}
    assert load_settings().tend == "found"
    monkeypatch.setenv("GAINSAY_TEND", "everything")
    with pytest.raises(SettingsError, match=r"tend = 'everything'.*'own', 'found' or 'all'.*GAINSAY_TEND"):
        load_settings()


def test_what_others_left_takes_a_quarter_of_the_days_gas_at_most() -> None:
    """Or whoever leaves much behind would use up what openings need."""
    store, _ = stored()
    contracts = Fake(
        stake=Fake(parameters=lambda: Fake(challenger_bond=10)), chain=Fake(priority_fee_wei=lambda: 0)
    )
    budgets = Budgets(contracts, store, Limits(gas_per_day_wei=1_000), lambda: 50)  # type: ignore[arg-type]
    head = Fake(base_fee_wei=0)
    intent, receipt = Fake(key=f"{TENDING}game 1 from 2"), Fake(gas_used=250, effective_gas_price_wei=1)
    receipt.succeeded = True
    for number, expected in ((1, 250), (2, 500), (2, 500)):
        receipt.transaction_hash = bytes([number])
        budgets.paid(intent, receipt)  # type: ignore[arg-type]
        assert budgets.spent().tending_gas_of_day_wei == budgets.spent().gas_of_day_wei == expected
        held_back = budgets.tending_held_back(head)  # type: ignore[arg-type]
        assert (held_back is None) == (expected == 250)
    assert budgets.held_back(head) is None  # type: ignore[arg-type]
    with Session(store.engine) as session:
        assert session.get(SpendingRow, f"{TENDING}gas of 01") is not None


def test_games_that_a_reorganisation_revives_are_looked_at_again() -> None:
    store, _ = stored()
    game = OthersGameRow(game_id=3, block_number=5, touched_block=5, batch_id=1, index=0)
    store.advance(Cursor(5, b"5"), None, [game], {}, {3: Turn(100, 5)})
    assert not store.left.games(100, [], False, 9) and store.left.games(101, [], False, 9)
    store.advance(Cursor(6, b"6"), None, [], {}, {3: Turn(900, 6)})
    assert not store.left.games(101, [], False, 9)
    store.advance(Cursor(7, b"7"), 5, [], {})
    assert store.left.games(101, [], False, 9), "its turn is that of block 5 again, whenever it ends"
    store.advance(Cursor(8, b"8"), None, [], {3: Ending("provider_won", "timed_out", 8)})
    assert not store.left.games(10**9, [], False, 9)
    store.advance(Cursor(9, b"9"), 7, [], {})
    assert store.left.games(10**9, [], False, 9)
    store.advance(Cursor(9, b"x"), 4, [], {})
    assert not store.left.games(10**9, [], False, 9)
