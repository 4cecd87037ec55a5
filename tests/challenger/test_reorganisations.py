"""What this challenger noted follows the chain: a part that is taken back takes back its own facts, and no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from challenger.chain_record import ChainRow, Ending, Turn
from challenger.dispatch import Dispatcher
from challenger.store import GameRow, Store
from challenger.tables import AskedRow, AskingRow, BatchRow, DisputedRow, JoinedRow, OpeningRow, ResponseRow
from contracts.bindings.contract import Call
from contracts.bindings.events import OpeningJoined, RewardPaid
from contracts.bindings.log_reader import Cursor
from contracts.protocol.parameters import DEVNET
from tests.challenger.test_asking import post_unlisted
from tests.challenger.test_bot import Scene, make_scene, wrong
from tests.challenger.test_front_runs import stored
from tests.challenger.test_openings import committed_step, of_batch
from tests.contracts.chain_game import Arena

__all__ = ["make_scene"]
_FAR = 1e12


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("challenger.chain_record.SHOWN_AGAIN_S", 0.0)


def said(block: int, *, deadline: int = 0, is_void: bool = False) -> DisputedRow:
    return DisputedRow(batch_id=1, index=0, block_number=block, challenge_deadline=deadline, is_void=is_void)


def taken(store: Store, block: int, *rows: ChainRow) -> None:
    store.advance(Cursor(block, bytes([block])), None, list(rows), {})


def rewound(store: Store, block: int, *rows: ChainRow, tip: int = 99) -> None:
    store.advance(Cursor(tip, b"new"), block, list(rows), {})


def test_a_longer_window_outlives_a_later_event_that_is_taken_back() -> None:
    store, _ = stored()  # its own window ends at 100
    taken(store, 5, said(5, deadline=1_000))
    taken(store, 6, said(6))  # another game is opened
    assert store.openings_due(500, _FAR, 9)
    rewound(store, 5)
    assert store.openings_due(500, _FAR, 9), "block 5 is still in the chain, and with it the window"
    rewound(store, 4)
    assert not store.openings_due(500, _FAR, 9)
    assert store.openings_due(50, _FAR, 9)


def test_what_is_void_stays_void_when_a_later_event_is_taken_back() -> None:
    store, _ = stored()
    taken(store, 5, said(5, is_void=True))
    taken(store, 6, said(6))
    rewound(store, 5)
    assert not store.openings_due(50, _FAR, 9) and store.joins_due(_FAR, 9)
    rewound(store, 4)
    assert store.openings_due(50, _FAR, 9) and not store.joins_due(_FAR, 9)


def test_several_events_of_one_block_count_together() -> None:
    store, _ = stored()
    taken(store, 5, said(5, deadline=1_000), said(5, is_void=True), said(5))
    rewound(store, 5)
    assert store.joins_due(_FAR, 9)


def test_a_join_that_is_taken_back_is_made_again_under_another_key() -> None:
    store, _ = stored()
    taken(store, 5, said(5, is_void=True))
    store.set_opening(OpeningRow(batch_id=1, index=0, state="joined"))
    taken(store, 6, JoinedRow(batch_id=1, index=0, block_number=6))
    rewound(store, 6)
    assert not store.joins_due(_FAR, 9)
    rewound(store, 5)
    assert [lost for _, lost in store.joins_due(_FAR, 9)] == [1]
    taken(store, 7, JoinedRow(batch_id=1, index=0, block_number=7))  # the mempool brought it back
    assert not store.joins_due(_FAR, 9)


def test_an_opening_whose_join_is_taken_back_with_the_loss_is_opened_again() -> None:
    store, _ = stored()
    taken(store, 5, said(5, is_void=True), JoinedRow(batch_id=1, index=0, block_number=5))
    store.set_opening(OpeningRow(batch_id=1, index=0, state="joined"))
    rewound(store, 4)
    assert [due.opening.lost for due in store.openings_due(50, _FAR, 9)] == [1]


def test_what_came_too_late_may_be_in_time_in_the_new_chain() -> None:
    store, _ = stored()
    taken(store, 5, said(5, is_void=True))
    store.set_opening(OpeningRow(batch_id=1, index=0, state="missed"))
    rewound(store, 4, said(6, is_void=True))
    assert store.joins_due(_FAR, 9)


def test_a_turn_that_is_taken_back_is_looked_at_afresh() -> None:
    store, _ = stored()
    game = GameRow(game_id=3, block_number=5, touched_block=5, batch_id=1, index=0, model_id=b"m")
    store.advance(Cursor(5, b"5"), None, [game], {}, {3: Turn(100, 5)})
    store.advance(Cursor(8, b"8"), None, [], {3: Ending("challenger_won", "conceded", 8)}, {3: Turn(900, 7)})
    rewound(store, 6)
    (row,) = store.games(open_only=True)
    assert (row.deadline, row.touched_block) == (0, 6)


@pytest.mark.parametrize(
    "state,is_asked,closed,then",
    [
        ("asked", False, False, "wanted"),
        ("others", False, False, "wanted"),
        ("settled", False, False, "wanted"),
        ("settled", True, False, "asked"),
        ("settled", True, True, "settled"),
        ("asked", True, False, "asked"),
    ],
)
def test_asks_follow_the_chain(state: str, is_asked: bool, closed: bool, then: str) -> None:
    store, _ = stored()
    store.asks.add_wishes([AskingRow(batch_id=1, index=4, provider="0xp", deadline=50)])
    store.asks.set_asking(1, 4, state=state, asked_at=40)
    asked = AskedRow(batch_id=1, index=4, block_number=5 if is_asked else 6, asker="0xo", show_deadline=60)
    taken(store, 7, asked)
    store.advance(Cursor(8, b"8"), None, [], {}, closed={(1, 4): 5 if closed else 8})
    rewound(store, 5)
    rows = dict(_asking(store))
    assert rows[4] == then


def _asking(store: Store) -> list[tuple[int, str]]:
    from sqlmodel import Session, select

    with Session(store.engine) as session:
        return [(row.index, row.state) for row in session.exec(select(AskingRow)).all()]


def test_what_is_done_again_has_another_key(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene()
    dispatcher: Dispatcher = scene.challenger._dispatcher
    assert dispatcher.key_of("deposit") == "deposit"
    call: Call = arena.contracts.ledger.commit_opening(b"c" * 32)
    dispatcher.sender.send(call, "deposit")
    assert dispatcher.key_of("deposit") == "deposit again 1"
    dispatcher.sender.send(call, "deposit again 1")
    assert dispatcher.key_of("deposit") == "deposit again 2"


def test_what_is_taken_back_keeps_its_key_and_is_mined_once(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    """Under another key it would be done twice: the first one's nonce comes in front of the second's."""
    dispatcher: Dispatcher = make_scene().challenger._dispatcher
    chain, sender = arena.contracts.chain, dispatcher.sender
    call: Call = arena.contracts.ledger.commit_opening(b"d" * 32)
    first = chain.nonce(sender.address)
    snapshot = chain.request("evm_snapshot", [])
    sender.send(call, "taken back")
    assert sender.mined_in("taken back") is not None and not sender.comes_back("taken back")
    chain.request("evm_revert", [snapshot])
    chain.request("anvil_dropAllTransactions", [])
    assert chain.nonce(sender.address) == first and sender.mined_in("taken back") is None
    assert dispatcher.key_of("taken back") == "taken back"
    sender.send(call, "taken back")
    assert chain.nonce(sender.address) == first + 1
    assert dispatcher.key_of("taken back") == "taken back again 1"  # done, as far as the chain knows


def given_up(store: Store, now: int) -> str:
    store.close_windows(now)
    row = store.response(1, 0)
    assert row is not None
    return row.state


@pytest.mark.parametrize("was,ids,closed,then", [
    ("pending", b"x", "missed", "pending"),
    ("unknown", b"x", "skipped", "pending"),
    ("withheld", None, "skipped", "withheld"),
    ("valid", b"x", "valid", "valid"),
])  # fmt: skip
def test_what_was_given_up_is_taken_up_when_its_window_opens_again(
    was: str, ids: bytes | None, closed: str, then: str
) -> None:
    store, row = stored()
    _set(store, row.id, state=was, prompt_packed=ids)
    assert given_up(store, 101) == closed
    assert store.open_windows(101) == 0
    taken(store, 5, said(5, deadline=1_000))
    assert store.open_windows(101) == (closed != then)
    assert given_up(store, 101) == then
    assert given_up(store, 1_001) == {"pending": "missed", "withheld": "skipped"}.get(then, then)


def test_what_was_given_up_as_void_is_taken_up_when_it_is_not_void() -> None:
    store, row = stored()
    _set(store, row.id, state="pending", prompt_packed=b"x")
    taken(store, 5, said(5, is_void=True))
    assert given_up(store, 50) == "skipped" and store.open_windows(50) == 0
    rewound(store, 4)
    assert store.open_windows(50) == 1 and given_up(store, 50) == "pending"


def test_what_the_policy_skipped_stays_skipped() -> None:
    store, row = stored()
    _set(store, row.id, state="skipped", why="not drawn")
    taken(store, 5, said(5, deadline=1_000))
    assert store.open_windows(50) == 0


def _set(store: Store, number: int | None, **values: object) -> None:
    from sqlmodel import Session

    with Session(store.engine) as session:
        row = session.get(ResponseRow, number)
        assert row is not None
        for name, value in values.items():
            setattr(row, name, value)
        session.add(row)
        session.commit()


# --- on a chain


def test_a_batch_that_comes_back_is_drawn_from_again(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    """The block that posted it is replaced by one like it: what was to be asked for went with the first."""
    scene = make_scene(ask=True)
    scene.run()
    batch = post_unlisted(arena, None)
    scene.run()
    (row,) = [row for row in scene.store.batches("new") if row.batch_id == batch.batch_id]
    arena.local_chain.pass_time(DEVNET.challenge_window // 2 + 1)
    scene.challenger.watch()
    assert scene.challenger._wishes.choose()
    before = scene.store.history()[0]
    scene.store.advance(before, row.block_number - 1, [BatchRow(**row.model_dump())], {})
    assert scene.challenger._wishes.choose(), "its wishes are gone, and it would be asked for by nobody"


def taken_back(scene: Scene, what: Callable[[], Any]) -> None:
    """Do it, then another chain without it."""
    chain = scene.arena.contracts.chain
    snapshot = chain.request("evm_snapshot", [])
    what()
    scene.challenger.settle()  # nothing is on its way whose nonce would come behind one that is free again
    left = chain.head().number
    chain.request("evm_revert", [snapshot])
    scene.arena.local_chain.mine(left - chain.head().number + 1)


def test_the_bot_joins_again_when_its_join_is_taken_back(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene()
    batch = scene.post(wrong(arena, 0))
    committed_step(scene)
    friends = arena.open(batch, 0)
    call = arena.conceding(friends)
    arena.provider.send(call, f"concede {friends}")

    def join() -> None:
        scene.run()
        assert [event.challenger for event in of_batch(arena, OpeningJoined, batch)] == [scene.address]

    taken_back(scene, join)
    assert not of_batch(arena, OpeningJoined, batch)
    for _ in range(3):
        scene.run()
    assert [event.challenger for event in of_batch(arena, OpeningJoined, batch)] == [scene.address]
    assert scene.address in [event.to for event in of_batch(arena, RewardPaid, batch)]


def test_the_bot_asks_and_claims_again_what_is_taken_back(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene(ask=True)
    scene.run()
    batch = scene.post(None, shown=False)
    ledger = arena.contracts.ledger

    def ask() -> None:
        scene.run()
        assert ledger.response(batch.batch_id, 0).asker == scene.address

    taken_back(scene, ask)
    for _ in range(3):
        scene.run()
    assert ledger.response(batch.batch_id, 0).asker == scene.address

    def claim() -> None:
        scene.run()
        assert ledger.is_void(batch.batch_id, 0)

    arena.local_chain.pass_time(DEVNET.show_window + 1)
    taken_back(scene, claim)
    assert not ledger.is_void(batch.batch_id, 0)
    for _ in range(3):
        scene.run()
    assert ledger.is_void(batch.batch_id, 0)


def test_a_move_that_is_taken_back_alone_is_made_again(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    """The game is left in the chain in the very turn whose move the journal holds for done."""
    scene = make_scene()
    batch = scene.post(wrong(arena, 0))
    scene.run()
    game_id, game = scene.the_game(batch, 0), arena.contracts.game
    arena.local_chain.pass_time(DEVNET.clock + 1)

    def time_out() -> None:
        scene.run()
        assert game.game(game_id).phase.name == "RESOLVED"

    taken_back(scene, time_out)
    assert game.game(game_id).phase.name != "RESOLVED"
    for _ in range(3):
        scene.run()
    assert game.game(game_id).phase.name == "RESOLVED"
