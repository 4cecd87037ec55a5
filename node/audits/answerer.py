"""Answers audits on chain: proves what auditors named of own answers, before the window ends.

What is open follows from the events and is asked of the chain again before anything is proven; the trace is made again from the journalled
nonce. So nothing is remembered that a restart could not find: it goes on with the first item that is not proven.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog

from contracts.bindings.audit_moves import prove_item
from contracts.bindings.contract import Call
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import BindingsError, ContractError, ReceiptMissing, TransactionTimedOut
from contracts.protocol.audits import AuditItem, AuditTarget
from contracts.protocol.token_ids import unpack_token_ids
from contracts.protocol.trace import AuditedTrace

from ..errors import AuditLostError, error_sentence
from ..metrics import Metrics
from ..outbox import Outbox
from ..store import Journal
from .boundaries import BoundaryCommitter, CommittedTrace

log = structlog.get_logger("node.audits")

_LONGEST_PAUSE_S = 8.0
_EVENTS = ("AuditOpened", "AuditStarted", "AuditResolved")


@dataclass(frozen=True)
class OpenAudit:
    """An audit about an own response that waits for proofs until `deadline`, the chain's time."""

    audit_id: int
    batch_id: int
    index: int
    deadline: int
    items: tuple[AuditItem, ...]


@dataclass(frozen=True)
class _Due:
    """An item that is not proven yet. Its name is the same after every restart."""

    audit: OpenAudit
    item: AuditItem

    @property
    def name(self) -> str:
        item = self.item
        return f"prove:{self.audit.audit_id}:{item.target.name.lower()}:{item.step}:{item.window}"


class AuditAnswerer:
    """One provider's audits on chain; a worker calls `step`. Each item is a transaction of its own."""

    def __init__(
        self,
        contracts: ProtocolContracts,
        journal: Journal,
        outbox: Outbox,
        metrics: Metrics,
        boundaries: BoundaryCommitter | None,
        *,
        window_s: int,
        now: Callable[[], int],
        timed: Callable[[AuditedTrace], AuditedTrace] = lambda trace: trace,
    ) -> None:
        """`boundaries`: None when the model that is served is public. `window_s`: an audit's, on this deployment. `timed`: notes what proving takes."""
        self._timed = timed
        self._contracts, self._journal, self._outbox = contracts, journal, outbox
        self._metrics, self._boundaries, self._window_s, self._now = metrics, boundaries, window_s, now
        self._sent: dict[str, tuple[int, _Due]] = {}  # by name: the outbox's number
        self._failures: dict[str, tuple[int, float]] = {}  # by name: how many in a row, not again before
        self._why: dict[int, str] = {}  # by audit: the last failure
        self._untold: list[Exception] = []

    def open_audits(self) -> list[OpenAudit]:
        """Those that can still be answered, by the events that the follower wrote down; the earliest deadline first."""
        now = self._now()
        rows = self._journal.events(names=_EVENTS, since=now - self._window_s)
        events = [(row.name, json.loads(row.arguments)) for row in rows]
        own = {
            body["audit_id"]: body
            for name, body in events
            if name == "AuditOpened" and body["provider"] == self._outbox.provider
        }
        resolved = {body["audit_id"] for name, body in events if name == "AuditResolved"}
        found = [
            OpenAudit(
                int(number),
                int(own[number]["batch_id"]),
                int(own[number]["index"]),
                int(body["deadline"]),
                tuple(
                    AuditItem(AuditTarget(each["target"]), int(each["step"]), int(each["window"]))
                    for each in body["items"]
                ),
            )
            for name, body in events
            if name == "AuditStarted" and (number := body["audit_id"]) in own and number not in resolved
        ]
        waiting = [audit for audit in found if audit.items and audit.deadline >= now]
        return sorted(waiting, key=lambda audit: (audit.deadline, audit.audit_id))

    @property
    def is_answering(self) -> bool:
        """Whether the chain waits for a proof: what can wait longer waits."""
        return bool(self.open_audits())

    def step(self) -> None:
        """One round: looks after what is on its way, then proves the most urgent item and sends its proof.

        An item that fails pauses for itself; raises only without a chain.
        """
        self._look_after_sent()
        audits = self.open_audits()
        self._why = {a.audit_id: self._why[a.audit_id] for a in audits if a.audit_id in self._why}
        for due in self._due(audits):
            try:
                self._send(due)
            except Exception as error:
                self._failed(due, error)
                continue
            return

    def play_out(self, timeout_s: float = 120.0) -> None:
        """Rounds until nothing is due or on its way. Raises the first failure: for callers without threads."""
        self._failures.clear()
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            self.step()
            if self._untold:
                failures, self._untold = self._untold, []
                raise failures[0]
            if not self._sent and next(self._due(self.open_audits()), None) is None:
                return
            time.sleep(0.01)

    def reason(self) -> str | None:
        """Why an answer should not be trusted to be defended: an open audit that fails, or whose window is nearly over."""
        now = self._now()
        for audit in self.open_audits():
            why, left = self._why.get(audit.audit_id), audit.deadline - now
            if why is not None or left < self._window_s / 3:
                return (
                    f"audit {audit.audit_id} of an answer must be answered on chain within {left} s and is not: "
                    + (why or "its proofs are still being made")
                )
        return None

    def failed_items(self, audit_id: int) -> int:
        """How many items of an audit had no proof when they were tried last."""
        return sum(name.startswith(f"prove:{audit_id}:") for name in self._failures)

    # --- one item

    def _due(self, audits: list[OpenAudit]) -> Iterator[_Due]:
        game, ledger = self._contracts.audits, self._contracts.ledger
        for audit in audits:
            # A void response's audit is over whatever is proven.
            if not game.audit(audit.audit_id).is_open or ledger.response(audit.batch_id, audit.index).is_void:
                continue
            for item in audit.items:
                due = _Due(audit, item)
                if due.name in self._sent or time.monotonic() < self._failures.get(due.name, (0, 0.0))[1]:
                    continue
                if not self._is_proven(due):
                    yield due

    def _is_proven(self, due: _Due) -> bool:
        state = self._contracts.audits.item_state(due.audit.batch_id, due.audit.index, due.item)
        return state == (due.audit.audit_id, True)

    def _send(self, due: _Due) -> None:
        number = self._outbox.under_way(due.name)  # a proof that the last stop left: not made again
        if number is None:
            log.info("proving", audit=due.audit.audit_id, item=due.name, deadline=due.audit.deadline)
            number = self._outbox.submit(self._proof(due), due.name)
        self._sent[due.name] = (number, due)

    def _proof(self, due: _Due) -> Call:
        audit = due.audit
        made, boundaries = self._trace_of(audit)
        return prove_item(
            self._contracts.audits,
            audit.audit_id,
            due.item,
            boundaries.model.commitment,
            self._timed(made.replay),
            made.tree,
        )

    def _trace_of(self, audit: OpenAudit) -> tuple[CommittedTrace, BoundaryCommitter]:
        found = self._journal.response_at(audit.batch_id, audit.index)
        if found is None:
            raise AuditLostError("the audited answer is not in this node's database; start it with the other")
        row = found[1]
        if self._boundaries is None or not row.audit_nonce:
            raise AuditLostError(
                "the audited answer is of a private model, which is not served; serve that one"
            )
        ids = unpack_token_ids(row.prompt_ids), unpack_token_ids(row.output_ids)
        made = self._boundaries.again(*ids, bytes.fromhex(row.audit_nonce))
        if made.audit_root != bytes.fromhex(row.audit_root[2:]):
            raise AuditLostError(
                "the model that is served does not give the boundaries that the audited answer committed to; "
                "serve the model that answered, with its own blindings"
            )
        return made, self._boundaries

    def _look_after_sent(self) -> None:
        for name, (number, due) in list(self._sent.items()):
            try:
                self._outbox.wait(number, timeout_s=0)
            except ReceiptMissing:
                log.warning("a proof was reorganised away", audit=due.audit.audit_id, item=name)
                del self._sent[name]  # and is sent again while it is due
                continue
            except TransactionTimedOut:
                continue
            except Exception as error:
                del self._sent[name]
                self._failed(due, error)
                continue
            del self._sent[name]
            self._failures.pop(name, None)
            self._why.pop(due.audit.audit_id, None)
            self._metrics.audit_items.labels(due.item.target.name.lower()).inc()
            log.info("item proven", audit=due.audit.audit_id, item=name)

    def _failed(self, due: _Due, error: Exception) -> None:
        if isinstance(error, ContractError) and not self._is_still_due(due):
            return
        failures = self._failures.get(due.name, (0, 0.0))[0] + 1
        pause = min(0.5 * 2 ** min(failures, 10), _LONGEST_PAUSE_S)
        self._failures[due.name] = (failures, time.monotonic() + pause)
        self._metrics.failures.labels("answerer").inc()
        # The text of a false statement may tell of the witness: it stays here.
        is_plain = isinstance(error, BindingsError | AuditLostError)
        why = error_sentence(error) if is_plain else f"no proof of {due.name} ({type(error).__name__})"
        self._why[due.audit.audit_id] = why
        log.error("audit not answered", audit=due.audit.audit_id, item=due.name, error=why)
        self._untold = [*self._untold[-99:], error]

    def _is_still_due(self, due: _Due) -> bool:
        """Another process may have proven it, a timeout or a void response may have ended the audit meanwhile."""
        try:
            return self._contracts.audits.audit(due.audit.audit_id).is_open and not self._is_proven(due)
        except BindingsError:
            return True
