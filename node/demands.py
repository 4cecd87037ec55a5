"""Answers what the chain demands of a provider beside games, each within its window or something is lost:

- a claim that a receipt was not posted: the path of its leaf, or the penalty is lost;
- an ask for a response: its fields, path and token ids, or the response is void.

Anybody can demand for little, so many may come at once. A round begins every answer that is due, the earliest
deadline first, and looks after those on their way; it waits for none. What is open is read from the chain, the
answer comes from the database, so a restart goes on where a kill came.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import structlog

from contracts.bindings.contract import Call
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import ContractError, ReceiptMissing, TransactionTimedOut
from contracts.bindings.receipt_claims import ReceiptStatus
from contracts.protocol.merkle import MerkleTree
from contracts.protocol.parameters import ProtocolParameters
from contracts.protocol.token_ids import unpack_token_ids

from .errors import error_sentence
from .metrics import Metrics
from .outbox import Outbox
from .receipts import fields_of
from .records import batch_tree
from .store import Journal, ResponseRow

log = structlog.get_logger("node.demands")


@dataclass(frozen=True)
class Demand:
    """Something to be answered until `deadline` (the chain's time).

    `is_open()` is what the chain says now; `answer()` is None when the database does not hold what is asked for.
    """

    name: str
    deadline: int
    is_open: Callable[[], bool]
    answer: Callable[[], Call | None]


class DemandAnswerer:
    """One provider's answers."""

    def __init__(
        self,
        contracts: ProtocolContracts,
        journal: Journal,
        outbox: Outbox,
        metrics: Metrics,
        parameters: ProtocolParameters,
        confirmations: int,
    ) -> None:
        self._contracts, self._journal, self._outbox = contracts, journal, outbox
        self._metrics, self._parameters, self._confirmations = metrics, parameters, confirmations
        self._sent: dict[str, tuple[int, Demand]] = {}  # by name: the outbox's number
        self._trees: dict[int, MerkleTree] = {}  # of one round

    def step(self) -> None:
        """One round. A demand that fails holds up no other; raises the first failure at the end."""
        failures = self._look_after_sent()
        now = self._contracts.chain.confirmed_head(self._confirmations).timestamp
        self._trees = {}
        due = [*self._claims(now), *self._asks(now)]
        for demand in sorted(due, key=lambda demand: demand.deadline):
            if demand.name in self._sent:
                continue
            try:
                if demand.is_open() and (call := demand.answer()) is not None:
                    log.info("answering", demand=demand.name, deadline=demand.deadline)
                    self._sent[demand.name] = (self._outbox.submit(call, demand.name), demand)
            except Exception as error:
                failures += self._failed(demand, error)
        if failures:
            raise failures[0]

    def play_out(self, timeout_s: float = 120.0) -> None:
        """One round, and wait until its answers are confirmed: for callers without threads."""
        self.step()
        until = time.monotonic() + timeout_s
        while self._sent and time.monotonic() < until:
            if failures := self._look_after_sent():
                raise failures[0]
            time.sleep(0.01)

    def _look_after_sent(self) -> list[Exception]:
        failures: list[Exception] = []
        for name, (number, demand) in list(self._sent.items()):
            try:
                self._outbox.wait(number, timeout_s=0)
            except ReceiptMissing:
                # It is given again while it is asked for.
                log.warning("an answer was reorganised away", demand=name)
            except TransactionTimedOut:
                continue
            except Exception as error:
                failures += self._failed(demand, error)
            del self._sent[name]
        return failures

    def _failed(self, demand: Demand, error: Exception) -> list[Exception]:
        """The error; nothing when the contract refused because somebody was faster: anybody may answer."""
        if isinstance(error, ContractError) and not demand.is_open():
            return []
        self._metrics.failures.labels("demands").inc()
        log.warning("not answered", demand=demand.name, deadline=demand.deadline, error=error_sentence(error))
        return [error]

    # --- claims on receipts

    def _claims(self, now: int) -> Iterator[Demand]:
        """Claims on own receipts whose window is open. What came before the window that ends now is over."""
        events = self._events(
            now - self._parameters.receipt_answer_window,
            ["ReceiptClaimed", "ReceiptAnswered", "ReceiptSlashed"],
        )
        closed = {claim["receipt_id"] for name, claim in events if name != "ReceiptClaimed"}
        for name, claim in events:
            is_own = name == "ReceiptClaimed" and claim["provider"] == self._outbox.provider
            if is_own and claim["receipt_id"] not in closed and now <= int(claim["answer_deadline"]):
                yield self._claim(claim)

    def _claim(self, claim: dict[str, Any]) -> Demand:
        receipts, identity = self._contracts.receipts, bytes.fromhex(claim["receipt_id"][2:])

        def answer() -> Call | None:
            row = self._journal.find_response(claim["leaf"])
            if row is None:
                self._lost("claimed receipt is not in the database", receipt=claim["receipt_id"])
                return None
            return receipts.answer_claim(identity, self._path(row))

        return Demand(
            name=f"answer:{claim['receipt_id']}",
            deadline=int(claim["answer_deadline"]),
            is_open=lambda: receipts.receipt_claim(identity).status is ReceiptStatus.CLAIMED,
            answer=answer,
        )

    # --- asks for responses

    def _asks(self, now: int) -> Iterator[Demand]:
        """Asks for own responses whose window is open; a response is asked for once."""
        events = self._events(
            now - self._parameters.show_window,
            ["ResponseAsked", "ResponseShown", "ResponseNotShown", "ResponseVoided"],
        )
        places = [(name, (int(event["batch_id"]), int(event["index"])), event) for name, event in events]
        closed = {place for name, place, _ in places if name != "ResponseAsked"}
        for name, place, event in places:
            is_open = name == "ResponseAsked" and place not in closed and now <= int(event["show_deadline"])
            if is_open and self._is_own(place[0]):
                yield self._ask(*place, int(event["show_deadline"]))

    def _is_own(self, batch_id: int) -> bool:
        posted = self._journal.events(names=["BatchPosted"], batch_id=batch_id)
        return any(json.loads(event.arguments)["provider"] == self._outbox.provider for event in posted)

    def _ask(self, batch_id: int, index: int, deadline: int) -> Demand:
        ledger = self._contracts.ledger

        def is_open() -> bool:
            response = ledger.response(batch_id, index)
            return response.is_asked_for and not response.is_void

        def answer() -> Call | None:
            if (found := self._journal.response_at(batch_id, index)) is None:
                self._lost("asked for a response that is not in the database", batch=batch_id, index=index)
                return None
            row = found[1]
            ids = unpack_token_ids(row.prompt_ids), unpack_token_ids(row.output_ids)
            return ledger.show(batch_id, index, fields_of(row), self._path(row), *ids)

        return Demand(f"show:{batch_id}:{index}", deadline, is_open, answer)

    # --- both

    def _events(self, since: int, names: list[str]) -> list[tuple[str, dict[str, Any]]]:
        found = self._journal.events(names=names, since=since)
        return [(event.name, json.loads(event.arguments)) for event in found]

    def _path(self, row: ResponseRow) -> list[bytes]:
        if row.batch_id not in self._trees:
            self._trees[row.batch_id] = batch_tree(self._journal.responses_of(row.batch_id))
        return self._trees[row.batch_id].path(row.index_in_batch)

    def _lost(self, what: str, **place: object) -> None:
        """It will be lost: another database may have been put in the place of the one that answered."""
        self._metrics.failures.labels("demands").inc()
        log.error(what, **place)
