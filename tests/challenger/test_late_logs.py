"""A lie whose logs an endpoint did not have before a restart is found after it, and nothing is judged twice for
that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlmodel import Session, select

from challenger.bot import Options
from challenger.chain_record import Ending, Turn
from challenger.policies import RandomShare
from challenger.store import GameRow, Store
from challenger.tables import (
    AskedRow,
    AskingRow,
    BatchRow,
    DisputedRow,
    JoinedRow,
    OpeningRow,
    ResponseRow,
    ShownRow,
)
from contracts.bindings.chain import Chain, RawLog
from contracts.bindings.log_reader import Cursor, ReadRange, Unsettled, keep
from tests.challenger.test_bot import make_challenger, make_scene, wrong
from tests.challenger.test_front_runs import stored
from tests.contracts.chain_game import Arena

__all__ = ["make_scene"]
_FAR = 1e12


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Blocks whose logs the endpoint does not have."""
    monkeypatch.setattr("contracts.bindings.log_reader.READ_AGAIN_AFTER_S", (0.0, 3600.0))
    blocks: set[int] = set()
    true_logs: Callable[..., list[RawLog]] = Chain.logs

    def logs(chain: Chain, *arguments: Any, **named: Any) -> list[RawLog]:
        return [log for log in true_logs(chain, *arguments, **named) if log.block_number not in blocks]

    monkeypatch.setattr(Chain, "logs", logs)
    return blocks


def test_a_lie_is_found_after_a_restart(make_scene, arena: Arena, hidden: set[int]) -> None:  # type: ignore[no-untyped-def]
    scene, chain = make_scene(), arena.contracts.chain
    now = chain.head()
    # what others did on this chain is not looked at
    scene.store.advance(Cursor(now.number, now.hash), None, [], {})
    before = scene.post(None)
    scene.run()
    first = chain.head().number + 1
    lie = scene.post(wrong(arena, 0))
    hidden.update(range(first, chain.head().number + 1))
    after = scene.post(None, wrong(arena, 1))
    scene.run()
    game = scene.the_game(after, 1)
    arena.local_chain.mine(20)
    scene.run()
    assert scene.store.response(lie.batch_id, 0) is None
    known = _everything(scene.store)

    hidden.clear()
    second = make_challenger(arena, scene.server, scene.store, Options(), RandomShare(1.0))
    second.watch()
    assert _everything(scene.store) == known | {("batch", lie.batch_id): "new"}
    assert scene.store.rewinds == 0
    while second.tick():
        pass
    assert scene.state(lie, 0) == "invalid" and scene.the_game(lie, 0) and scene.the_game(after, 1) == game
    assert {key: value for key, value in _everything(scene.store).items() if key in known} == known
    assert scene.state(before, 0) == "valid"


def _everything(store: Store) -> dict[tuple[object, ...], object]:
    """Batches, verdicts by the number of their row, openings, games."""
    with Session(store.engine) as session:
        responses = session.exec(select(ResponseRow)).all()
        openings = session.exec(select(OpeningRow)).all()
        batches = session.exec(select(BatchRow)).all()
    return (
        {("batch", row.batch_id): row.state for row in batches}
        | {("response", row.id, row.batch_id, row.index): row.state for row in responses}
        | {("opening", row.batch_id, row.index): (row.state, row.lost, row.committed_in) for row in openings}
        | {("game", row.game_id): row.block_number for row in store.games()}
    )


def test_blocks_that_say_the_same_again_change_nothing() -> None:
    store, _ = stored()
    store.asks.add_wishes([AskingRow(batch_id=1, index=4, provider="0xp", deadline=50)])
    store.set_opening(OpeningRow(batch_id=1, index=0, state="opened", committed_in=2))
    with Session(store.engine) as session:
        (batch,) = [BatchRow(**row.model_dump()) for row in session.exec(select(BatchRow)).all()]
    asked = {"batch_id": 1, "index": 4, "block_number": 3, "asker": "0xo", "show_deadline": 60}
    shown = {
        "batch_id": 1, "index": 4, "block_number": 5, "leaf": b"", "fields_json": "{}", "path_nodes": b"",
        "prompt_packed": b"", "output_packed": b"",
    }  # fmt: skip

    def say(again: bool, late: list[Any]) -> None:
        rows = [
            BatchRow(**batch.model_dump(exclude={"state"})),
            GameRow(game_id=3, block_number=3, touched_block=3, batch_id=1, index=0, model_id=b"m"),
            DisputedRow(batch_id=1, index=0, block_number=3, challenge_deadline=70),
            DisputedRow(batch_id=1, index=0, block_number=4, challenge_deadline=90, is_void=True),
            JoinedRow(batch_id=1, index=0, block_number=4),
            AskedRow(**asked),
            ShownRow(**shown),
            *late,
        ]
        ended, turns = {3: Ending("challenger_won", "conceded", 6)}, {3: Turn(100, 5)}
        store.advance(Cursor(9, b"9"), 0 if again else None, rows, ended, turns, {(1, 4): 5}, again=again)

    say(False, [])
    store.set_batch(1, batch.root, "listed", None)
    store.asks.take_shown(store.asks.shown()[0][0], None)
    before = _dump(store)
    say(True, [])
    assert _dump(store) == before and store.rewinds == 0
    late = BatchRow(**batch.model_dump(exclude={"state", "batch_id"}), batch_id=2)
    say(True, [late, DisputedRow(batch_id=1, index=0, block_number=4, challenge_deadline=95)])
    after = _dump(store)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"challenger_batch", "challenger_disputed", "challenger_dispute"}
    assert [row.batch_id for row in store.batches("new")] == [2]


def test_a_turn_that_an_endpoint_no_longer_has_is_not_taken_back() -> None:
    store, _ = stored()
    game = GameRow(game_id=3, block_number=3, touched_block=3, batch_id=1, index=0, model_id=b"m")
    store.advance(Cursor(9, b"9"), None, [game], {}, {3: Turn(100, 7)})
    store.advance(Cursor(9, b"9"), 2, [], {}, {3: Turn(50, 5)}, again=True)
    (row,) = store.games()
    assert (row.touched_block, row.deadline) == (7, 100)


def _dump(store: Store) -> dict[str, list[Any]]:
    from challenger.tables import _TABLES

    with store.engine.connect() as connection:
        return {table.name: sorted(map(repr, connection.execute(table.select()))) for table in _TABLES}


def test_ranges_that_are_to_be_read_again_are_kept_with_the_cursor() -> None:
    store, _ = stored()
    kept: list[ReadRange] = []
    for change in [
        Unsettled(0, (), (ReadRange(0, 10, 3), ReadRange(10, 20, None))),
        Unsettled(20, (10,), (ReadRange(20, 25, 0),)),
        Unsettled(10, (10,), (ReadRange(10, 15, None), ReadRange(15, 22, 7))),
        Unsettled(22, (15, 22), ()),
    ]:
        store.advance(Cursor(9, b"9"), None, [], {}, unsettled=change)
        kept = keep(kept, change)
        assert store.unsettled() == kept
    assert kept == []
