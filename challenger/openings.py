"""Opens games about what was found invalid, and fetches what they win. Part of the game loop, which owns all sending."""

from __future__ import annotations

import time

import structlog

from contracts.bindings.chain import Block
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import ContractError, RpcUnavailable
from contracts.bindings.sender import Mined

from .dispatch import Dispatcher
from .pace import backoff_s
from .store import ResponseRow, Store
from .tables import OpeningRow

log = structlog.get_logger(__name__)
_OPENINGS_PER_ROUND = 16
_FIRST_RETRY_S = 1.0
_LONGEST_RETRY_S = 60.0
_MAY_PASS = ("TooManyGames",)


class Opener:
    """Opens each game once: the opening's journal key is the leaf, and how many openings reorganisations took back. `margin_s`: no game is opened so shortly before
    its window closes."""

    def __init__(
        self,
        contracts: ProtocolContracts,
        dispatcher: Dispatcher,
        store: Store,
        *,
        bond_wei: int,
        margin_s: int,
    ) -> None:
        self._contracts, self._dispatcher, self._store = contracts, dispatcher, store
        self._bond_wei, self._margin_s = bond_wei, margin_s

    def open_due(self, head: Block) -> int:
        """Submit openings, the first window to close first; the number."""
        opened = 0
        due = self._store.openings_due(head.timestamp + self._margin_s, time.time(), 4 * _OPENINGS_PER_ROUND)
        for row, tries, lost in due:
            key = _key(row, lost)
            if self._dispatcher.carries(key) or opened >= _OPENINGS_PER_ROUND:
                continue
            try:
                self._open(row, tries, key)
                opened += 1
            except RpcUnavailable:
                raise
            except ContractError as error:
                self._refused(row, tries, error)
            except Exception as error:
                # Ether is missing, say; what was journalled is carried on under the same key.
                log.error(
                    "not disputed yet",
                    batch=row.batch_id,
                    index=row.index,
                    because=f"{type(error).__name__}: {error}",
                )
                self._wait(row, tries, str(error))
        return opened

    def _open(self, row: ResponseRow, tries: int, key: str) -> None:
        call = self._contracts.game.open(
            row.batch_id,
            row.index,
            row.fields,
            row.path,
            bond_wei=self._bond_wei,
        )

        def done(result: Mined | ContractError) -> None:
            if isinstance(result, ContractError):
                self._refused(row, tries, result)
                return
            log.info("disputed", batch=row.batch_id, index=row.index)
            self._store.set_opening(OpeningRow(batch_id=row.batch_id, index=row.index, state="opened"))

        self._dispatcher.submit(call, key, done)

    def _refused(self, row: ResponseRow, tries: int, error: ContractError) -> None:
        log.warning("not disputed", batch=row.batch_id, index=row.index, because=str(error))
        if error.name in _MAY_PASS:
            self._wait(row, tries, error.name)
            return
        self._store.set_opening(
            OpeningRow(batch_id=row.batch_id, index=row.index, state="refused", problem=error.name)
        )

    def _wait(self, row: ResponseRow, tries: int, problem: str) -> None:
        pause_s = backoff_s(tries + 1, first_s=_FIRST_RETRY_S, longest_s=_LONGEST_RETRY_S)
        self._store.set_opening(
            OpeningRow(
                batch_id=row.batch_id,
                index=row.index,
                state="waiting",
                problem=problem[:500],
                tries=tries + 1,
                next_try_at=time.time() + pause_s,
            )
        )


class Winnings:
    """Fetches credits as soon as there are any; at most one withdrawal is on its way."""

    def __init__(self, contracts: ProtocolContracts, dispatcher: Dispatcher) -> None:
        self._contracts, self._dispatcher = contracts, dispatcher
        self._key = ""

    def withdraw(self, head: Block) -> None:
        if self._dispatcher.carries(self._key):
            return
        credits_wei = self._contracts.stake.credits(self._dispatcher.sender.address, block=head.number)
        if credits_wei == 0:
            return

        def done(result: Mined | ContractError) -> None:
            if isinstance(result, ContractError):
                log.warning("not withdrawn", because=str(result))
            else:
                log.info("withdrawn", wei=credits_wei)

        self._key = f"withdraw at block {head.number}"
        self._dispatcher.submit(self._contracts.stake.withdraw(), self._key, done)


def _key(row: ResponseRow, lost: int) -> str:
    """One opening to the journal, which holds that a finished one stays done; a reorganisation knows better."""
    return f"open {row.leaf.hex()}" + (f" again {lost}" if lost else "")
