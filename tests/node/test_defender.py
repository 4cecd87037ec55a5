"""The node defends right answers to the end, gives up wrong ones, and answers false claims about receipts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from contracts.bindings.contract import Call
from contracts.bindings.moves import posted_boundaries
from contracts.bindings.openings import open_game
from contracts.bindings.sender import Sender
from contracts.protocol.claims import LEAF_BYTES, claim_of, leaves_of_input, leaves_of_step
from contracts.protocol.game import Game, ModelRules, Outcome, Phase, Reason
from contracts.protocol.parameters import DEVNET
from contracts.protocol.token_ids import unpack_token_ids
from node.provider import Provider
from node.receipts import fields_of
from node.records import batch_tree
from node.store import ResponseRow, ResponseState
from prover.model.execute import Executor
from prover.replay import Replay
from prover.sampling import Sampling

from .chain import CHALLENGER, ProviderHouse
from .test_queue import until

Move = Callable[[Game], Call]


TWO_WINDOWS = "dispute this, in two windows of a prompt"


class Dispute:
    """A posted response and somebody who disputes it by hand."""

    def __init__(
        self,
        house: ProviderHouse,
        output: list[int] | None = None,
        asked: str = "dispute this",
        sampling: Sampling | None = None,
    ) -> None:
        self.house, self.games = house, house.contracts.game
        self.provider: Provider = house.start()
        self.challenger: Sender = house.other(CHALLENGER)
        prompt = house.serving.model.tokenizer.encode(asked)
        ids = output or Executor(house.serving.model).generate(prompt, 3, end_ids=(), sampling=sampling).ids
        self.issued = self.provider.desk.issue(prompt, ids, len(ids), "length", sampling=sampling)
        house.pass_time(6)
        self.provider.follower.step()
        self.provider.committer.step()

    @property
    def row(self) -> ResponseRow:
        row = self.provider.journal.find_response(self.issued.receipt_id)
        assert row is not None
        return row

    def open(self) -> None:
        batch = self.provider.journal.batch(self.row.batch_id)
        assert batch is not None and batch.chain_batch_id is not None
        rows = self.provider.journal.responses_of(self.row.batch_id)
        path = batch_tree(rows).path(self.row.index_in_batch)
        open_game(
            self.house.contracts, self.challenger, batch.chain_batch_id, self.row.index_in_batch,
            fields_of(self.row), path, secret=b"\0" * 32, key=f"open {self.row.leaf}",
        )  # fmt: skip
        self.game_id = self.games.game_count()

    @property
    def game(self) -> Game:
        return self.games.game(self.game_id)

    @property
    def posted(self) -> tuple[bytes, ...]:
        return posted_boundaries(self.house.contracts, self.game_id)

    @property
    def something_else(self) -> bytes:
        """A claim in which every window differs."""
        return bytes(LEAF_BYTES * self.game.windows)

    def challenge_part(self, part: int, claim: bytes | None = None) -> Call:
        """Of one step."""
        return self.games.challenge_part(
            self.game_id, self.posted, part, self.something_else if claim is None else claim
        )

    def move(self, call: Call) -> None:
        """The challenger sends a transaction."""
        self.challenger.send(call, f"{call.description} {self.challenger.chain.head().number} {id(call)}")

    def defend(self) -> None:
        """One round of the node."""
        self.provider.follower.step()
        self.provider.defender.play_out()
        self.provider.demands.play_out()

    def settle(self) -> str:
        """Let the challenge window pass; the response's last state."""
        self.house.pass_time(200)
        for _ in range(2):
            self.provider.follower.step()
            self.provider.committer.step()
        return self.row.state


def test_a_right_answer_is_defended_down_to_the_proof(house: ProviderHouse) -> None:
    dispute = Dispute(house, asked=TWO_WINDOWS)
    dispute.open()
    assert dispute.game.phase is Phase.AWAIT_BOUNDARIES
    dispute.defend()
    assert dispute.game.phase is Phase.AWAIT_CHALLENGE
    dispute.defend()  # the challenger is to move: nothing happens
    dispute.move(dispute.challenge_part(2))
    assert dispute.game.phase is Phase.AWAIT_PROOF
    dispute.defend()
    assert (dispute.game.outcome, dispute.game.reason) == (Outcome.PROVIDER_WON, Reason.PROVEN)
    assert dispute.settle() == ResponseState.FINAL
    story = dispute_story(dispute)
    assert [move["move"] for move in story["moves"]][-3:] == [
        "BoundariesPosted",
        "PartChallenged",
        "ProofAccepted",
    ]
    assert (story["rounds"][-1]["start"], story["rounds"][-1]["end"]) == (2, 3) and story[
        "outcome"
    ] == "provider_won"
    assert story["gas"]["provider"] > 100_000 and story["window"] == 0


def test_a_move_that_a_reorganisation_takes_back_is_made_again(house: ProviderHouse) -> None:
    """It was confirmed, and gone before the node looked after it: the receipt that it waited for would never come."""
    dispute = Dispute(house)
    dispute.open()
    chain = house.contracts.chain
    dispute.provider.follower.step()
    before = chain.request("evm_snapshot", [])
    dispute.provider.defender.step()
    until(lambda: dispute.game.phase is Phase.AWAIT_CHALLENGE)
    dispute.provider.outbox.recover()
    chain.request("evm_revert", [before])
    assert dispute.game.phase is Phase.AWAIT_BOUNDARIES
    dispute.provider.defender.step()
    dispute.defend()
    assert dispute.game.phase is Phase.AWAIT_CHALLENGE


def test_a_step_of_one_window_is_proven_as_soon_as_it_is_named(house: ProviderHouse) -> None:
    dispute = Dispute(house)
    dispute.open()
    dispute.defend()
    dispute.move(dispute.challenge_part(2))
    dispute.defend()
    assert (dispute.game.outcome, dispute.game.reason) == (Outcome.PROVIDER_WON, Reason.PROVEN)
    assert dispute.settle() == ResponseState.FINAL
    story = dispute_story(dispute)
    assert [move["by"] for move in story["moves"]][-2:] == ["challenger", "provider"]
    assert (story["outcome"], story["phase"], story["window"]) == ("provider_won", "resolved", 0)


def dispute_story(dispute: Dispute) -> dict[str, Any]:
    from fastapi.testclient import TestClient

    client = TestClient(dispute.provider.app)  # without its lifespan: no background workers
    snapshot = client.get("/v1/settlement").json()
    return next(game for game in snapshot["games"] if game["game_id"] == dispute.game_id)


@pytest.mark.parametrize("target", ["input", "one window of input", "head", "sampled head"])
def test_the_embedding_and_the_head_are_defended(house: ProviderHouse, target: str) -> None:
    rule = Sampling(1500, 9, 50) if target == "sampled head" else None
    dispute = Dispute(house, asked=TWO_WINDOWS if target == "input" else "dispute this", sampling=rule)
    dispute.open()
    dispute.defend()
    if "head" not in target:
        dispute.move(dispute.games.challenge_input(dispute.game_id, dispute.posted, dispute.something_else))
    else:
        prompt, output = map(unpack_token_ids, (dispute.row.prompt_ids, dispute.row.output_ids))
        rival = next(token for token in range(10) if token != output[1])
        position = dispute.row.prompt_length
        dispute.move(
            dispute.games.challenge_head(dispute.game_id, dispute.posted, position, rival, prompt, output)
        )
    dispute.defend()
    assert dispute.game.outcome is Outcome.PROVIDER_WON


def test_a_challenger_that_stalls_is_timed_out(house: ProviderHouse) -> None:
    dispute = Dispute(house)
    dispute.open()
    dispute.defend()
    house.pass_time(300)
    dispute.defend()
    assert (dispute.game.outcome, dispute.game.reason) == (Outcome.PROVIDER_WON, Reason.TIMED_OUT)


def test_a_wrong_answer_is_given_up(house: ProviderHouse) -> None:
    dispute = Dispute(house, output=[1, 2, 3])
    right = Executor(house.serving.model).generate(house.serving.model.tokenizer.encode("dispute this"), 1)
    assert right.ids[0] != 1
    dispute.open()
    dispute.defend()
    position, prompt = dispute.row.prompt_length - 1, unpack_token_ids(dispute.row.prompt_ids)
    dispute.move(
        dispute.games.challenge_head(
            dispute.game_id, dispute.posted, position, right.ids[0], prompt, [1, 2, 3]
        )
    )
    dispute.defend()
    assert (dispute.game.outcome, dispute.game.reason) == (Outcome.CHALLENGER_WON, Reason.CONCEDED)
    assert dispute.settle() == ResponseState.VOID


def test_a_restart_in_the_middle_of_a_dispute_goes_on(house: ProviderHouse) -> None:
    dispute = Dispute(house, asked=TWO_WINDOWS)
    dispute.open()
    dispute.defend()
    dispute.provider = house.start()
    dispute.defend()
    dispute.move(dispute.challenge_part(0))
    dispute.provider = house.start()
    dispute.defend()
    assert (dispute.game.outcome, dispute.game.reason) == (Outcome.PROVIDER_WON, Reason.PROVEN)


def test_a_proof_that_was_sent_before_a_restart_is_not_made_again(
    house: ProviderHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispute, chain = Dispute(house, asked=TWO_WINDOWS), house.contracts.chain
    dispute.open()
    dispute.defend()
    dispute.move(dispute.challenge_part(0))
    made: list[object] = []
    restarted = house.start()  # which mines a block: the proof must not be in it
    chain.request("evm_setAutomine", [False])
    try:
        dispute.provider.follower.step()
        dispute.provider.defender.step()
        until = time.monotonic() + 60
        while not int(chain.request("txpool_status", [])["pending"], 16):
            assert time.monotonic() < until, "no proof was sent"
            time.sleep(0.05)
        dispute.provider = restarted
        monkeypatch.setattr("node.defender.call_of", lambda *parts: made.append(parts))
        dispute.provider.follower.step()
        dispute.provider.defender.play_out(timeout_s=2)
        assert dispute.provider.defender.busy
        chain.request("evm_mine", [])
        dispute.provider.defender.play_out()
    finally:
        chain.request("evm_setAutomine", [True])
    assert made == []
    assert (dispute.game.outcome, dispute.game.reason) == (Outcome.PROVIDER_WON, Reason.PROVEN)


@pytest.mark.parametrize("target", ["step", "input"])
def test_a_challenger_that_claims_what_was_posted_is_refuted(house: ProviderHouse, target: str) -> None:
    """Also after a restart, when all that is left of the answer is in the database and the files of its boundaries."""
    dispute = Dispute(house, asked=TWO_WINDOWS)
    dispute.open()
    dispute.defend()
    serving, row = house.serving, dispute.row
    ids = unpack_token_ids(row.prompt_ids), unpack_token_ids(row.output_ids)
    truth = Replay(serving.model, serving.commitment, serving.srs, *ids)
    if target == "step":
        access = ModelRules.of(serving.commitment, 10).step_access(truth.step_kind(2))
        dispute.move(
            dispute.challenge_part(2, claim_of(leaves_of_step(truth, access, 2, truth.boundary_hash(3))))
        )
    else:
        claim = claim_of(leaves_of_input(truth, truth.boundary_hash(0)))
        dispute.move(dispute.games.challenge_input(dispute.game_id, dispute.posted, claim))
    dispute.provider = house.start()
    dispute.defend()
    assert (dispute.game.outcome, dispute.game.reason) == (Outcome.PROVIDER_WON, Reason.REFUTED)
    assert dispute.settle() == ResponseState.FINAL
    story = dispute_story(dispute)
    assert story["moves"][-1]["move"] == "ClaimRefuted" and story["reason"] == "refuted"


def test_a_false_claim_that_a_receipt_was_not_posted_is_answered(house: ProviderHouse) -> None:
    dispute = Dispute(house)
    receipts = house.contracts.receipts
    batch = dispute.provider.journal.batch(dispute.row.batch_id)
    assert batch is not None and dispute.row.signature is not None
    receipt = dispute.provider.desk.receipt(batch, dispute.row)
    house.pass_time(61)
    signature = bytes.fromhex(dispute.row.signature[2:])
    dispute.move(receipts.claim_unposted(receipt, signature, DEVNET.receipt_claim_bond))
    credits = house.contracts.stake.credits(dispute.provider.address)
    dispute.defend()
    assert receipts.receipt_claim(bytes.fromhex(dispute.row.receipt_id[2:])).status.name == "ANSWERED"
    assert house.contracts.stake.credits(dispute.provider.address) > credits
    dispute.defend()
