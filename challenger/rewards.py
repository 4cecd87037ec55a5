"""Joins responses that became void after their opening was committed and before the game was opened.

Whoever was faster, or whomever the provider conceded to: the opening is paid like an open game, without a bond.
"""

from __future__ import annotations

import time

import structlog

from contracts.bindings.chain import Block
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import ContractError, RpcUnavailable
from contracts.bindings.log_setup import told_of
from contracts.bindings.openings import commitment_of
from contracts.bindings.results import Mined
from contracts.protocol.opening import opening_secret

from .dispatch import Dispatcher
from .openings import opening_key
from .pace import next_try
from .store import ResponseRow, Store
from .tables import OpeningRow

log = structlog.get_logger(__name__)
_JOINS_PER_ROUND = 16
_RETRY_S = 1.0


class Joiner:
    """Joins once per opening. What came too late is noted as missed."""

    def __init__(self, contracts: ProtocolContracts, dispatcher: Dispatcher, store: Store) -> None:
        self._contracts, self._dispatcher, self._store = contracts, dispatcher, store
        self._secret = store.secret()

    def join_due(self, head: Block) -> int:
        """Submit joins; the number."""
        joined = 0
        for row, lost in self._store.joins_due(time.time(), _JOINS_PER_ROUND):
            key = opening_key(row, lost)
            under_way = any(self._dispatcher.carries(f"{step}{key}") for step in ("", "commit ", "join "))
            if under_way:
                continue
            try:
                joined += self._join(row, f"join {key}", head)
            except RpcUnavailable:
                raise
            except ContractError as error:
                self._note(row, "missed", error.name)
            except Exception as error:
                log.error(
                    "not joined yet",
                    batch=row.batch_id,
                    index=row.index,
                    because=f"{type(error).__name__}: {told_of(error)}",
                )
                self._note(row, "waiting", str(error))
        return joined

    def _join(self, row: ResponseRow, key: str, head: Block) -> bool:
        batch = self._store.batch(row.batch_id)
        ledger = self._contracts.ledger
        pot = ledger.reward_pot(row.batch_id, row.index, block=head.number)
        if batch is None or pot.void_block == 0:
            return False  # the confirmed chain does not say so yet
        secret = opening_secret(self._secret, batch.root, row.index)
        own = self._dispatcher.sender.address
        commitment = commitment_of(self._contracts, own, row.batch_id, row.index, secret)
        committed = ledger.opening_block(commitment, block=head.number)
        in_time = 0 < committed < pot.void_block and head.timestamp <= pot.join_deadline
        intent = self._dispatcher.sender.journal.find(key)
        if intent is None and not (in_time and pot.places_left):
            self._note(row, "missed", "void too early, too long ago, or without a place left")
            return False

        def done(result: Mined | ContractError) -> None:
            if isinstance(result, ContractError):
                self._note(row, "missed", result.name)
                return
            log.info("joined a void response", batch=row.batch_id, index=row.index)
            self._note(row, "joined", None)

        self._dispatcher.submit(ledger.join(row.batch_id, row.index, secret), key, done)
        return True

    def _note(self, row: ResponseRow, state: str, problem: str | None) -> None:
        if state == "missed":
            log.warning("void before it was disputed", batch=row.batch_id, index=row.index, because=problem)
        self._store.set_opening(
            OpeningRow(
                batch_id=row.batch_id,
                index=row.index,
                state=state,
                problem=problem[:500] if problem else None,
                next_try_at=next_try(_RETRY_S) if state == "waiting" else 0.0,
            )
        )
