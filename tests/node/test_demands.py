"""Whoever asks for a response is shown it in time, whatever else happens; what is lost is said aloud."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from contracts.bindings.events import ResponseShown
from contracts.bindings.inference_ledger import ResponseStatus
from contracts.bindings.moves import posted_boundaries
from contracts.bindings.openings import open_game
from contracts.protocol.game import Outcome, Phase
from contracts.protocol.parameters import DEVNET
from contracts.protocol.token_ids import unpack_token_ids
from node.provider import Provider
from node.receipts import fields_of
from node.records import batch_tree
from node.store import BatchState, ResponseState
from prover.model.execute import Executor

from .chain import CHALLENGER, ProviderHouse, make_house
from .test_kills import Killed, Reaper
from .test_queue import until


class Posted:
    """A batch of `count` right answers on chain, and somebody who asks for them."""

    def __init__(self, house: ProviderHouse, count: int = 3) -> None:
        self.house, self.ledger, self.stake = house, house.contracts.ledger, house.contracts.stake
        self.provider: Provider = house.start()
        self.asker = house.other(CHALLENGER)
        prompt = house.serving.model.tokenizer.encode("show this")
        self.ids = prompt, Executor(house.serving.model).generate(prompt, 3, end_ids=()).ids
        for _ in range(count):
            self.provider.desk.issue(*self.ids, 3, "length")
        house.pass_time(6)
        self.provider.follower.step()
        self.provider.committer.step()
        batch = self.provider.journal.batches([BatchState.POSTED])[-1]
        assert batch.id is not None and batch.chain_batch_id is not None and batch.count == count
        self.number, self.rows = batch.chain_batch_id, self.provider.journal.responses_of(batch.id)

    def ask(self, index: int = 0) -> None:
        price = DEVNET.ask_price
        self.asker.send(self.ledger.ask(self.number, index, price), f"ask {self.number} {index}")

    def answer(self) -> None:
        """One round of the node."""
        self.provider.follower.step()
        self.provider.demands.play_out()

    @property
    def now(self) -> int:
        return self.house.contracts.chain.head().timestamp

    def shown(self) -> list[ResponseShown]:
        chain = self.house.contracts.chain
        logs = chain.logs([self.ledger.address], 0, chain.head().number)
        events = self.house.contracts.events.decode(logs)
        return [e for e in events if isinstance(e, ResponseShown) and e.batch_id == self.number]


def test_what_is_asked_for_is_shown_and_its_price_credited(house: ProviderHouse) -> None:
    posted = Posted(house)
    credits = posted.stake.credits(posted.provider.address)
    posted.ask(2)
    posted.ask(0)
    posted.answer()
    assert sorted(event.index for event in posted.shown()) == [0, 2]
    event = posted.shown()[0]
    ids = unpack_token_ids(event.prompt_ids), unpack_token_ids(event.output_ids)
    assert (list(ids[0]), list(ids[1])) == (list(posted.ids[0]), list(posted.ids[1]))
    assert posted.stake.credits(posted.provider.address) == credits + 2 * DEVNET.ask_price
    posted.answer()  # nothing is left to do
    assert len(posted.shown()) == 2
    # What was asked for is settled by itself, and its lock comes back.
    locked = posted.stake.account(posted.provider.address).locked
    house.pass_time(DEVNET.challenge_window + 2)
    for _ in range(2):
        posted.provider.follower.step()
        posted.provider.committer.step()
    batch = posted.provider.journal.find_batch(chain_batch_id=posted.number)
    assert batch is not None and batch.state == BatchState.FINAL
    assert posted.stake.account(posted.provider.address).locked == locked - 3 * DEVNET.lock_per_response
    assert {row.state for row in posted.provider.journal.responses_of(posted.rows[0].batch_id)} == {
        ResponseState.FINAL
    }


def test_an_answer_that_a_reorganisation_takes_back_is_given_again(house: ProviderHouse) -> None:
    """It was confirmed, and gone before the node looked after it: the receipt that it waited for would never come."""
    posted = Posted(house)
    posted.ask(1)
    chain = house.contracts.chain
    posted.provider.follower.step()
    before = chain.request("evm_snapshot", [])
    posted.provider.demands.step()
    until(lambda: [event.index for event in posted.shown()] == [1])
    posted.provider.outbox.recover()  # as a round of the sender does: it is confirmed in the journal
    chain.request("evm_revert", [before])
    assert posted.shown() == []
    posted.provider.demands.step()
    posted.answer()
    assert [event.index for event in posted.shown()] == [1]


def test_an_ask_in_the_last_second_is_answered_up_to_the_last_second(house: ProviderHouse) -> None:
    posted = Posted(house)
    chain = house.contracts.chain
    chain.request("evm_setNextBlockTimestamp", [posted.ledger.batch(posted.number).deadline])
    posted.ask()
    deadline = posted.ledger.response(posted.number, 0).show_deadline
    assert deadline == posted.ledger.batch(posted.number).deadline + DEVNET.show_window
    # The committer meanwhile settles the batch, whose window is over, but not what was asked for.
    house.pass_time(2)
    posted.provider.committer.step()
    posted.provider.follower.step()
    posted.provider.committer.step()
    batch = posted.provider.journal.find_batch(chain_batch_id=posted.number)
    assert batch is not None and batch.state == BatchState.POSTED
    chain.request("evm_setNextBlockTimestamp", [deadline - 1])
    house.local.mine()
    chain.request("evm_setNextBlockTimestamp", [deadline])
    posted.answer()
    assert [event.index for event in posted.shown()] == [0]
    assert posted.ledger.response_status(posted.number, 0) is ResponseStatus.PENDING


def test_a_provider_that_lost_its_database_says_so_aloud_and_answers_the_rest(house: ProviderHouse) -> None:
    posted = Posted(house)
    posted.ask(0)
    posted.ask(1)
    find = posted.provider.journal.response_at

    def without_the_first(batch: int, index: int) -> Any:
        return None if index == 0 else find(batch, index)

    posted.provider.journal.response_at = without_the_first  # type: ignore[method-assign]
    with capture_logs() as logs:
        posted.answer()
    assert [event.index for event in posted.shown()] == [1]
    (error,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert "not in the database" in error["event"] and (error["batch"], error["index"]) == (posted.number, 0)
    other = make_house(house.local.directory / "lost.sqlite", house.local, house.contracts, house.serving)
    posted.provider = other.start()
    with capture_logs() as logs:
        posted.answer()
    assert [entry["index"] for entry in logs if entry["log_level"] == "error"] == [0]


def test_an_answer_that_fails_holds_up_no_other(
    house: ProviderHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted = Posted(house)
    for index in range(3):
        posted.ask(index)
    path = posted.provider.demands._path

    def fails_for_the_first(row: Any) -> list[bytes]:
        if row.index_in_batch == 0:
            raise OSError("the disk is gone")
        return path(row)

    with monkeypatch.context() as patch:
        patch.setattr(posted.provider.demands, "_path", fails_for_the_first)
        with pytest.raises(OSError):
            posted.answer()
        posted.provider.demands._look_after_sent()
    assert sorted(event.index for event in posted.shown()) == [1, 2]
    posted.answer()
    assert sorted(event.index for event in posted.shown()) == [0, 1, 2]


@pytest.mark.timeout(120)
def test_a_kill_at_any_durable_step_still_shows_it_once(
    house: ProviderHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contracts.bindings.journal.SIGNING_S", 0.2)  # so long the next life waits
    posted = Posted(house, count=32)
    killed_at = []
    for index in range(32):
        posted.ask(index)
        reaper = Reaper(index + 1)
        try:
            with reaper.watching(house):
                posted.answer()
        except Killed:
            killed_at.append(reaper.where)
        posted.provider = house.start()
        posted.answer()
        assert [event.index for event in posted.shown()] == list(range(index + 1)), reaper.where
        if not reaper.where:
            break
    else:
        pytest.fail("no life passed without a kill")
    assert {"commit", "before sending", "after sending"} <= set(killed_at)


def test_attack_asking_for_everything_stops_neither_games_nor_posting(house: ProviderHouse) -> None:
    """An attacker asks for all responses of a batch at once, while a game runs and the next batch is due."""
    posted = Posted(house, count=12)
    games, challenger = house.contracts.game, posted.asker
    row = posted.rows[5]
    path = batch_tree(posted.rows).path(5)
    open_game(
        house.contracts, challenger, posted.number, 5, fields_of(row), path,
        secret=b"\0" * 32, key=f"open {row.leaf}",
    )  # fmt: skip
    game_id = games.game_count()
    credits = posted.stake.credits(posted.provider.address)
    paid = posted.house.contracts.chain.balance_wei(challenger.address)
    for index in range(12):
        posted.ask(index)
    next_one = posted.provider.desk.issue(*posted.ids, 3, "length")
    house.pass_time(6)
    # The order in which the node's threads run does not matter: each kind of work is whole by itself.
    posted.provider.follower.step()
    posted.provider.demands.step()  # all are on their way, none was waited for
    posted.provider.defender.play_out()
    assert games.game(game_id).phase is Phase.AWAIT_CHALLENGE
    posted.provider.committer.step()
    row_of_next = posted.provider.journal.find_response(next_one.receipt_id)
    assert row_of_next is not None
    batch = posted.provider.journal.batch(row_of_next.batch_id)
    assert batch is not None and batch.state == BatchState.POSTED
    posted.answer()
    assert sorted(event.index for event in posted.shown()) == list(range(12))
    assert posted.stake.credits(posted.provider.address) == credits + 12 * DEVNET.ask_price
    spent = paid - posted.house.contracts.chain.balance_wei(challenger.address)
    assert spent > 12 * DEVNET.ask_price
    boundaries = posted_boundaries(posted.house.contracts, game_id)
    challenger.send(games.challenge_part(game_id, boundaries, 2, bytes(16)), f"part {game_id}")
    posted.provider.follower.step()
    posted.provider.defender.play_out()
    assert games.game(game_id).outcome is Outcome.PROVIDER_WON
