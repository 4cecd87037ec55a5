"""Answers claims that a receipt was not posted: all that are open at once, apart from the games."""

from __future__ import annotations

import json

import structlog

from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.inference_ledger import ReceiptStatus
from contracts.protocol.merkle import MerkleTree

from .errors import error_sentence
from .outbox import Outbox
from .records import batch_tree
from .store import ChainEventRow, Journal

log = structlog.get_logger("node.claims")


class ClaimAnswerer:
    """One provider's answers. Anybody with a receipt can claim it for a small bond, so many may come at once."""

    def __init__(
        self, contracts: ProtocolContracts, journal: Journal, outbox: Outbox, confirmations: int
    ) -> None:
        self._contracts, self._journal, self._outbox = contracts, journal, outbox
        self._confirmations = confirmations

    def step(self) -> None:
        """Submit an answer to every open claim, then wait for all. Raises the first failure at the end."""
        now = self._contracts.chain.confirmed_head(self._confirmations).timestamp
        trees: dict[int, MerkleTree] = {}
        sent, failure = [], None
        for claim in self._open_claims():
            try:
                if (number := self._answer(claim, now, trees)) is not None:
                    sent.append(number)
            except Exception as error:
                log.warning("claim not answered", claim=claim.arguments, error=error_sentence(error))
                failure = failure or error
        for number in sent:
            try:
                self._outbox.wait(number)
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def _open_claims(self) -> list[ChainEventRow]:
        closed = {
            json.loads(event.arguments)["receipt_id"]
            for event in self._journal.events(names=["ReceiptAnswered", "ReceiptSlashed"])
        }
        claims = self._journal.events(names=["ReceiptClaimed"])
        return [claim for claim in claims if self._is_open(json.loads(claim.arguments), closed)]

    def _is_open(self, claim: dict[str, str], closed: set[str]) -> bool:
        return claim["provider"] == self._outbox.address and claim["receipt_id"] not in closed

    def _answer(self, event: ChainEventRow, now: int, trees: dict[int, MerkleTree]) -> int | None:
        claimed = json.loads(event.arguments)
        row = self._journal.find_response(claimed["leaf"])
        if row is None:
            log.error("claimed receipt is not in the database", receipt=claimed["receipt_id"])
            return None
        ledger, identity = self._contracts.ledger, bytes.fromhex(claimed["receipt_id"][2:])
        claim = ledger.receipt_claim(identity)
        if claim.status is not ReceiptStatus.CLAIMED or now > claim.answer_deadline:
            return None
        if row.batch_id not in trees:
            trees[row.batch_id] = batch_tree(self._journal.responses_of(row.batch_id))
        call = ledger.answer_claim(identity, trees[row.batch_id].path(row.index_in_batch))
        return self._outbox.submit(call, f"answer:{claimed['receipt_id']}")
