"""The audit after faults can fail, what is drawn follows from the seed, and a small run finds nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.bindings.books import Books, GameBook
from contracts.bindings.inference_ledger import Batch, ResponseState
from contracts.protocol.game import Outcome, Phase, Reason
from contracts.protocol.parameters import DEVNET, NOBODY

from .__main__ import main, plan, rounds_of
from .audit import Promise, doubled, doubled_games, lost_bonds, lost_receipts
from .injections import KINDS

NODE, BOT, LIAR = "0xNODE", "0xBOT", "0xLIAR"


def books(*outcomes: Outcome) -> Books:
    """A posted batch of the honest node, and games about its response 0."""
    found = Books(DEVNET)
    found.batches[1] = Batch(NODE, b"m", b"root", b"salt", 1, 0, 100, 160, False)
    for number, outcome in enumerate(outcomes, 1):
        found.games[number] = GameBook(
            number, 1, 0, NODE, BOT, b"m", 5, Phase.RESOLVED, 0, outcome, Reason.TIMED_OUT
        )
    return found


def test_what_an_honest_party_loses_is_found() -> None:
    assert lost_bonds(books(), [], NODE, BOT) == [] and lost_bonds(books(), [LIAR], NODE, BOT) == []
    assert lost_bonds(books(), [NODE], NODE, BOT) == ["the honest provider was slashed (1 events)"]
    assert (
        "honest provider lost it (timed_out)" in lost_bonds(books(Outcome.CHALLENGER_WON), [], NODE, LIAR)[0]
    )
    assert "honest challenger lost it" in lost_bonds(books(Outcome.PROVIDER_WON), [], LIAR, BOT)[0]
    void = books()
    void.responses[1, 0] = ResponseState(0, 0, True, True, False, False, 0, 0, NOBODY)
    assert lost_bonds(void, [], NODE, BOT) == ["response 0 of batch 1 of the honest provider is void"]


def test_what_was_done_twice_is_found() -> None:
    names = {b"post": "postBatch", b"draw": "withdraw"}
    once = [("0xa", b"post1", True), ("0xa", b"post2", True), ("0xa", b"post1", False)]
    assert doubled(once, names) == []
    assert doubled([*once, ("0xa", b"post2", True)], names) == [
        "postBatch was done 2 times with the same words"
    ]
    assert doubled([("0xa", b"draw", True)] * 2, names) == []
    twice = books(Outcome.CHALLENGER_WON, Outcome.CHALLENGER_WON)
    assert (
        doubled_games(twice, BOT) == ["2 games about response 0 of batch 1"]
        and doubled_games(twice, LIAR) == []
    )


def test_a_receipt_that_the_chain_does_not_have_is_found() -> None:
    kept = Promise("r", b"salt", b"leaf", 0, 100, (b"leaf",))

    def root(leaves: object) -> bytes:
        return b"root"

    assert lost_receipts(books(), [kept], NODE, root) == []
    assert lost_receipts(books(), [kept], LIAR, root) == ["receipt r is not posted"]
    late = Promise("r", b"salt", b"leaf", 0, 99)
    assert lost_receipts(books(), [late], NODE, root) == ["receipt r was posted after its deadline"]
    assert "not in the batch" in lost_receipts(books(), [kept], NODE, lambda leaves: b"another")[0]


def test_what_is_drawn_follows_from_the_seed() -> None:
    assert plan(1, 3, list(KINDS), 20) == plan(1, 3, list(KINDS), 20) != plan(2, 3, list(KINDS), 20)
    assert set(plan(1, 0, list(KINDS), 500)) == set(KINDS)
    assert sum(rounds_of(1000)) == 1000 and rounds_of(70) == [50, 20]


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [1, 2], ids=["sqlite", "postgresql"])
def test_faults_lose_nothing_and_do_nothing_twice(tmp_path: Path, seed: int) -> None:
    assert main(["--count", "25", "--seed", str(seed), "--state", str(tmp_path / "done.jsonl")]) == 0
