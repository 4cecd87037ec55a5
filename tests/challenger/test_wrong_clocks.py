"""The clock was a day ahead when a next try was written down: it is due once the clock is right, not a day later."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace as Fake

import pytest

from challenger.pace import LONGEST_PAUSE_S, next_try
from challenger.store import Store
from challenger.tables import AskedRow, AskingRow, DisputedRow, OpeningRow
from contracts.bindings.log_reader import Cursor
from tests.challenger.test_front_runs import stored
from tests.challenger.test_starvation import World

_NOW_S, _DAY_S = 1_000_000.0, 86_400.0


def _opening(store: Store, next_try_at: float) -> None:
    store.set_opening(OpeningRow(batch_id=1, index=0, tries=3, next_try_at=next_try_at))


def _voided(store: Store, next_try_at: float) -> None:
    _opening(store, next_try_at)
    void = DisputedRow(batch_id=1, index=0, block_number=2, is_void=True)
    store.advance(Cursor(2, b"2"), None, [void], {})


def _wish(store: Store, next_try_at: float) -> None:
    wish = AskingRow(batch_id=1, index=0, provider="0xp", deadline=100, next_try_at=next_try_at)
    store.asks.add_wishes([wish])


def _price(store: Store, next_try_at: float) -> None:
    asked = AskedRow(batch_id=1, index=0, block_number=2, asker="0xown", show_deadline=20)
    store.advance(Cursor(2, b"2"), None, [asked], {})
    store.asks.set_asking(1, 0, state="asked", next_try_at=next_try_at)


def _verdict(store: Store, next_try_at: float) -> None:
    row = store.response(1, 0)
    assert row is not None
    store.set_verdict(row.id, "unknown", "it cannot be judged here", tries=1, next_try_at=next_try_at)


@pytest.mark.parametrize(
    ("put_off", "is_due"),
    [
        pytest.param(_opening, lambda store: bool(store.openings_due(50, _NOW_S, 9)), id="opening"),
        pytest.param(_voided, lambda store: bool(store.joins_due(_NOW_S, 9)), id="reward"),
        pytest.param(_wish, lambda store: bool(store.asks.wishes(50, _NOW_S)), id="asking"),
        pytest.param(_price, lambda store: bool(store.asks.unanswered("0xown", 50, _NOW_S, 9)), id="price"),
        pytest.param(_verdict, lambda store: store.due_again(_NOW_S) is not None, id="verdict"),
    ],
)
def test_what_a_clock_that_was_ahead_put_off_is_due(
    put_off: Callable[[Store, float], None], is_due: Callable[[Store], bool]
) -> None:
    for pause_s, due in ((-1.0, True), (LONGEST_PAUSE_S, False), (_DAY_S, True)):
        store, _ = stored()
        put_off(store, _NOW_S + pause_s)
        assert is_due(store) == due, f"a next try in {pause_s} s"


def test_no_pause_is_longer_than_what_counts_as_a_wrong_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("challenger.pace.time", Fake(time=lambda: _NOW_S))
    assert next_try(10 * LONGEST_PAUSE_S) == next_try(LONGEST_PAUSE_S) == _NOW_S + LONGEST_PAUSE_S
    assert next_try(7.0) == _NOW_S + 7.0


def test_the_judge_decides_what_it_put_off_while_its_clock_was_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    world, ahead_s = World(undecidable={50}), _DAY_S
    monkeypatch.setattr("time.time", lambda: _NOW_S + world.now + ahead_s)
    batch = world.post("0xa", [50], window=1000)
    world.run(20)
    row = world.store.response(batch, 0)
    assert row is not None and row.state == "unknown" and row.next_try_at > _NOW_S + _DAY_S
    ahead_s = 0.0
    world.undecidable.clear()
    world.run(60)
    assert world.state(batch, 0) == "valid"
