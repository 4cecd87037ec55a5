"""Audits that clients ask for: one per answer, for who has its key (keys.py), written down first, proven one after the other.

An audit that is not answered can be taken to the chain, so one that was taken on survives a stop: the next start goes on with it. What a
provider cannot prove it says in one sentence without a word about the witness.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from contracts.protocol.audit_evidence import AuditedResponse, Item, answer, check_items
from contracts.protocol.audit_wire import evidence_to_json, items_from_json, items_to_json
from contracts.protocol.token_ids import unpack_token_ids
from contracts.protocol.trace import AuditedTrace

from ..errors import AuditRefusedError, DatabaseError, QueueFullError, UnknownReceiptError
from ..store import Journal, ResponseRow, ResponseState
from ..store.audit_book import AuditBook, AuditRow, AuditState
from .boundaries import BoundaryCommitter
from .keys import is_audit_key

log = structlog.get_logger("node.audits")

_MOST_WAITING = 4
_RETRY_AFTER_S = 30


class _PutOff(Exception):
    """The chain waits for this machine; what is asked for off chain is begun again afterwards."""


class AuditDesk:
    """Takes audits of one provider's answers; a worker calls `step`."""

    def __init__(
        self,
        journal: Journal,
        book: AuditBook,
        boundaries: BoundaryCommitter | None,
        now: Callable[[], int],
        *,
        most_items: int,
        is_playing: Callable[[], bool] = lambda: False,
        refusal: Callable[[int, int], str | None] = lambda audits, items: None,
        timed: Callable[[AuditedTrace], AuditedTrace] = lambda trace: trace,
    ) -> None:
        """`boundaries`: None when the model is public. `now` gives the chain's time; games and audits on chain are played before.

        `refusal(audits, items)`: why so much cannot be proven in time beside what the chain waits for, or None. `timed`: notes what proving takes.
        """
        self._refusal, self._timed = refusal, timed
        self._journal, self._book, self._boundaries = journal, book, boundaries
        self._now, self._most_items, self._is_playing = now, most_items, is_playing
        self._taking = threading.Lock()

    def ask(self, receipt: str, key: str, items: Sequence[Item]) -> AuditRow:
        """Take an audit on. Raises AuditRefusedError, AuditItemError, UnknownReceiptError and QueueFullError."""
        if self._boundaries is None:
            raise AuditRefusedError(
                "public", "this model is public: re-run its answers instead of auditing them"
            )
        with self._taking:
            row = self._auditable(receipt, key)
            check_items(items, _response(row), self._boundaries.model.commitment)
            if len(items) > self._most_items:
                raise AuditRefusedError(
                    "too_many",
                    f"this provider proves at most {self._most_items} items of an answer; name fewer",
                )
            audits, waiting = self.waiting
            if audits >= _MOST_WAITING or self._refusal(audits + 1, waiting + len(items)) is not None:
                raise QueueFullError(audits, _RETRY_AFTER_S)
            return self._book.take(row.id, json.dumps(items_to_json(items)), self._now())

    @property
    def waiting(self) -> tuple[int, int]:
        """(audits, their items) that are not answered yet."""
        rows = self._book.waiting()
        return len(rows), sum(len(json.loads(row.items)) - row.done for row in rows)

    def find(self, audit_id: str) -> AuditRow | None:
        """An audit by its id."""
        return self._book.find(audit_id)

    def _auditable(self, receipt: str, key: str) -> ResponseRow:
        row = self._journal.find_response(receipt)
        # Whoever has its key was given its receipt, whether the signature is stored or was lost.
        if row is None:
            raise UnknownReceiptError(f"this provider has no receipt {receipt[:80]!r}")
        if not row.audit_nonce:
            raise AuditRefusedError(
                "public", "this answer is of a public model: re-run it instead of auditing it"
            )
        if not is_audit_key(key, bytes.fromhex(row.audit_nonce), row.receipt_id):
            raise AuditRefusedError(
                "wrong_key",
                "an audit off chain belongs to who got the answer: send the key that came with it (x-gainsay-audit-key);"
                " without it, audit on chain",
            )
        if (before := self._book.of_response(row.id)) is not None:
            raise AuditRefusedError(
                "twice", f"this answer is audited already; read /v1/audits/{before.id} for the evidence"
            )
        if row.state in (ResponseState.FINAL, ResponseState.VOID):
            raise AuditRefusedError(
                "too_late", f"this answer is {row.state}; answers are audited until their batch is final"
            )
        return row

    # --- proving

    def step(self) -> None:
        """Prove the audit that waits longest, if there is one and no game waits."""
        if self._boundaries is None or self._is_playing() or (audit := self._book.next_waiting()) is None:
            return
        row = self._journal.find_response(audit.response_id)
        if row is None:
            self._book.fail(audit.id, "its answer is not stored any more")
            return
        try:
            evidence = self._prove(self._boundaries, row, audit)
        except _PutOff:
            log.info("an audit waits until the chain has its proofs", audit=audit.id)
            return
        except (DatabaseError, MemoryError, OSError):
            raise  # of this machine and not of the audit: tried again
        except Exception as error:
            # One that can never be proven must not stand in front of all others. The text of a false statement may tell of the witness: it stays here.
            log.error("an audit could not be proven", audit=audit.id, error=type(error).__name__)
            self._book.fail(audit.id, "this provider cannot prove what was named")
            return
        self._book.finish(audit.id, json.dumps(evidence).encode())
        log.info("audit proven", audit=audit.id, items=len(evidence["proofs"]))

    def _prove(self, boundaries: BoundaryCommitter, row: ResponseRow, audit: AuditRow) -> dict[str, Any]:
        prompt, output = unpack_token_ids(row.prompt_ids), unpack_token_ids(row.output_ids)
        trace = boundaries.again(prompt, output, bytes.fromhex(row.audit_nonce))
        streams = len(boundaries.model.commitment.chunk_bits)
        items = items_from_json(json.loads(audit.items))

        def report(done: int) -> None:
            if self._is_playing():
                raise _PutOff
            self._book.progress(audit.id, done)

        replay = self._timed(trace.replay)
        evidence = answer(replay, trace.tree, items, streams, report)
        return evidence_to_json(evidence)


def _response(row: ResponseRow) -> AuditedResponse:
    prompt, output = unpack_token_ids(row.prompt_ids), unpack_token_ids(row.output_ids)
    return AuditedResponse(tuple(prompt), tuple(output), bytes.fromhex(row.audit_root[2:]))


__all__ = ["AuditDesk", "AuditState"]
