"""The schema matches the tables, migrations are atomic, and SQLite and PostgreSQL behave alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlmodel import SQLModel

from contracts.bindings.log_reader import ReadRange, Unsettled, keep
from contracts.protocol.parameters import DEVNET
from node.errors import DatabaseError
from node.store import BatchState, ChainEventRow, Journal, ResponseRow, open_engine
from node.store.journal import BatchTerms, ReceiptNames
from tests.databases import postgres_url, url

__all__ = ["postgres_url", "url"]

TERMS = BatchTerms(interval_s=10, posting_window_s=DEVNET.posting_window, largest=3)
MODEL_ID = "0x" + "11" * 32


def place(journal: Journal, name: str, now: int) -> ResponseRow:
    row = ResponseRow(
        id=name, batch_id=0, index_in_batch=0, receipt_id="", leaf="", prompt_ids=b"\0\0\0\1",
        output_ids=b"\0\0\0\2", max_tokens=1, finish_reason="length", answered_at=now,
    )  # fmt: skip
    _batch, placed = journal.place(
        row, model_id=MODEL_ID, now=now, terms=TERMS, draw_salt=lambda: f"0x{name:0>64}",
        name=lambda batch, response: ReceiptNames(f"0xleaf{name}", f"0xreceipt{name}"),
    )  # fmt: skip
    return placed


def test_a_life_of_the_journal(url: str) -> None:
    journal = Journal(open_engine(url))
    journal.bind_deployment("chain A")
    journal.bind_deployment("chain A")
    with pytest.raises(DatabaseError, match="another chain"):
        journal.bind_deployment("chain B")
    rows = [place(journal, f"r{number}", 100 + number) for number in range(5)]
    assert [(row.batch_id, row.index_in_batch) for row in rows] == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]
    assert [batch.state for batch in journal.batches()] == [BatchState.SEALED, BatchState.OPEN]
    assert len(journal.unsigned()) == 5 and journal.pending_response_count() == 5
    journal.sign("r0", "0xsigned")
    assert {row.id for _, row in journal.unsigned()} == {"r1", "r2", "r3", "r4"}
    journal.seal_due(112)
    assert [batch.state for batch in journal.batches()] == [BatchState.SEALED, BatchState.OPEN]
    journal.seal_due(113)
    assert [batch.state for batch in journal.batches()] == [BatchState.SEALED, BatchState.SEALED]
    journal.update_batch(1, state=BatchState.POSTED, chain_batch_id=2**40, root="0xroot")
    found = journal.response_at(2**40, 1)
    assert found is not None and found[1].id == "r1" and found[1].prompt_ids == b"\0\0\0\1"
    assert journal.find_response("0xleafr4") and journal.find_response("0xreceiptr4")
    assert journal.find_response("nobody") is None and journal.find_batch(root="0xroot") is not None
    assert journal.posted_count() == 1 and journal.response_count() == 5

    again = Journal(open_engine(url))  # migrating an up-to-date database changes nothing
    assert again.response_count() == 5


DAY_S = 86_400


def test_a_batch_opened_by_a_clock_that_was_ahead_takes_no_more_answers(url: str) -> None:
    journal = Journal(open_engine(url))
    place(journal, "early", 1000 + DAY_S)
    place(journal, "right", 1000)
    place(journal, "next", 1001)
    early, right = journal.batches()
    assert (early.state, early.count) == (BatchState.SEALED, 1)
    assert early.posting_deadline == 1000 + DAY_S + TERMS.posting_window_s, "its receipt promises that"
    assert (right.state, right.count, right.opened_at, right.post_at) == (BatchState.OPEN, 2, 1000, 1010)
    assert right.posting_deadline == 1000 + TERMS.posting_window_s


def test_a_batch_opened_by_a_clock_that_was_ahead_is_posted_without_another_answer(url: str) -> None:
    journal = Journal(open_engine(url))
    place(journal, "early", 1000 + DAY_S)
    journal.seal_due(1000 + DAY_S)
    assert [batch.state for batch in journal.batches()] == [BatchState.OPEN]
    journal.seal_due(1000)
    (early,) = journal.batches()
    assert early.state == BatchState.SEALED
    assert early.posting_deadline == 1000 + DAY_S + TERMS.posting_window_s


def test_callers_who_waited_for_each_other_share_a_batch(url: str) -> None:
    """Whoever looked at the clock first may be the second to place its answer."""
    journal = Journal(open_engine(url))
    place(journal, "later", 1001)
    place(journal, "earlier", 1000)
    journal.seal_due(1000)
    assert [(batch.state, batch.count) for batch in journal.batches()] == [(BatchState.OPEN, 2)]


def event(block: int, name: str, game: int | None = None) -> ChainEventRow:
    return ChainEventRow(
        block_number=block, log_index=0, block_hash=f"0x{block}", transaction_hash=f"0xt{block}",
        timestamp=block, name=name, game_id=game, gas_used=21_000, arguments="{}",
    )  # fmt: skip


def test_a_reorganisation_drops_events_and_cursors(tmp_path: Path) -> None:
    journal = Journal(open_engine(f"sqlite:///{tmp_path}/store.sqlite"))
    assert journal.cursors() == []
    journal.record_reading([event(1, "GameOpened", 1), event(2, "GameOpened", 2)], (2, "0x2"))
    journal.record_reading([event(3, "GameResolved", 1)], (4, "0x4"))
    assert journal.cursors() == [(4, "0x4"), (2, "0x2")]
    assert [opened.game_id for opened in journal.open_games()] == [2]
    journal.record_reading([event(3, "GameResolved", 2)], (3, "0x3b"), rewound_to=2)
    assert journal.cursors() == [(3, "0x3b"), (2, "0x2")]
    assert [opened.game_id for opened in journal.open_games()] == [1]
    for block in range(5, 300):
        journal.record_reading([], (block, f"0x{block}"))
    assert len(journal.cursors()) == 128 and journal.cursors()[0] == (299, "0x299")


def test_ranges_that_are_to_be_read_again_are_kept_with_the_cursor(url: str) -> None:
    journal, kept = Journal(open_engine(url)), list[ReadRange]()
    changes = [
        Unsettled(0, (), (ReadRange(0, 2**40, 3),)),
        Unsettled(2**40, (), (ReadRange(2**40, 2**40 + 5, 0),)),
        Unsettled(2**40 + 5, (2**40,), (ReadRange(2**40 + 5, 2**40 + 9, 1),)),
        Unsettled(2**40, (2**40,), (ReadRange(2**40, 2**40 + 2, None), ReadRange(2**40 + 2, 2**40 + 4, 7))),
        Unsettled(2**40 + 4, (2**40 + 2, 2**40 + 4), ()),
    ]
    for change in changes:
        journal.record_reading([], (7, "0x7"), unsettled=change)
        kept = keep(kept, change)
        assert Journal(journal.engine).unsettled() == kept
    assert kept == []


def test_the_migrations_make_the_tables(url: str) -> None:
    engine = open_engine(url)
    ours = {"batch", "response", "chain_event", "cursor", "unsettled_range", "fact"}
    ours |= {"transaction_intent", "transaction_attempt"}
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_object": lambda thing, name, kind, reflected, other: (
                    kind != "table" or (name in ours)
                )
            },
        )
        assert compare_metadata(context, SQLModel.metadata) == []


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("nonsense", "not a database URL"),
        ("oracle+nothing://x", "no known database"),
        ("sqlite:////proc/none/x.sqlite", "cannot be opened"),
        ("postgresql://gainsay:secret@127.0.0.1:1/none", "cannot be opened"),
    ],
)
def test_a_bad_url_is_one_sentence(url: str, why: str) -> None:
    with pytest.raises(DatabaseError, match=why) as raised:
        open_engine(url)
    assert "secret" not in str(raised.value) and "\n" not in str(raised.value)
