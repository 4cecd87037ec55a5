"""Opens games about what was found invalid, and fetches what they win. Part of the game loop, which owns all sending.

An opening is committed in one block and made in a later one. Its secret follows from the store's, so a kill at any
moment loses nothing: whether it is committed is read from the chain, whether the game is opened from the journal.
"""

from __future__ import annotations

import time

import structlog

from contracts.bindings.chain import Block
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import ContractError, RpcUnavailable
from contracts.bindings.journal import IntentStatus
from contracts.bindings.openings import bond_to_send, commitment_of
from contracts.bindings.sender import Mined
from contracts.protocol.opening import opening_secret

from .dispatch import Dispatcher
from .pace import backoff_s
from .store import ResponseRow, Store
from .tables import OpeningRow

log = structlog.get_logger(__name__)
_OPENINGS_PER_ROUND = 16
_FIRST_RETRY_S = 1.0
_LONGEST_RETRY_S = 60.0
#: Places come free, bonds fall, the next block comes; what is void can perhaps be joined, and a window that is closed
#: opens again when a full house loses a game. What reverted for something in front of it in its own block has no name.
_MAY_PASS = (
    "TooManyGames",
    "PlaceStaysEmpty",
    "WrongBond",
    "OpeningCommittedLate",
    "ResponseIsVoid",
    "ChallengeWindowClosed",
    "Reverted",
    "Refused",
)
_NO_EFFECT = (IntentStatus.REFUSED, IntentStatus.REVERTED)


class Opener:
    """Opens each game once: the opening's journal key is the leaf, and how many openings reorganisations took back.
    `margin_s`: no game is opened so shortly before its window closes."""

    def __init__(
        self,
        contracts: ProtocolContracts,
        dispatcher: Dispatcher,
        store: Store,
        *,
        margin_s: int,
    ) -> None:
        self._contracts, self._dispatcher, self._store = contracts, dispatcher, store
        self._margin_s, self._secret = margin_s, store.secret()

    def open_due(self, head: Block) -> int:
        """Submit commitments and openings, the first window to close first; the number."""
        opened = 0
        due = self._store.openings_due(head.timestamp + self._margin_s, time.time(), 4 * _OPENINGS_PER_ROUND)
        for row, tries, lost in due:
            key = opening_key(row, lost)
            under_way = self._dispatcher.carries(key) or self._dispatcher.carries(f"commit {key}")
            if under_way or opened >= _OPENINGS_PER_ROUND:
                continue
            try:
                opened += self._commit_or_open(row, tries, key, head)
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

    def _commit_or_open(self, row: ResponseRow, tries: int, key: str, head: Block) -> bool:
        batch = self._store.batch(row.batch_id)
        if batch is None:
            return False  # a reorganisation took it
        secret = opening_secret(self._secret, batch.root, row.index)
        commitment = commitment_of(
            self._contracts, self._dispatcher.sender.address, row.batch_id, row.index, secret
        )
        opening = self._dispatcher.sender.journal.find(key)
        sent = opening is not None and opening.status not in _NO_EFFECT
        if sent or self._contracts.ledger.opening_block(commitment, block=head.number):
            self._open(row, tries, key, secret)
        else:
            self._commit(row, tries, key, commitment)
        return True

    def _commit(self, row: ResponseRow, tries: int, key: str, commitment: bytes) -> None:
        def done(result: Mined | ContractError) -> None:
            if isinstance(result, ContractError):
                self._refused(row, tries, result)
            elif not self._contracts.ledger.opening_block(commitment):
                self._store.opening_is_lost(row.batch_id, row.index, "the commitment was used or reorganised")
            else:
                # Noted, so that it can join when the response is void before the game is opened.
                self._store.set_opening(OpeningRow(batch_id=row.batch_id, index=row.index))

        self._dispatcher.submit(self._contracts.ledger.commit_opening(commitment), f"commit {key}", done)

    def _open(self, row: ResponseRow, tries: int, key: str, secret: bytes) -> None:
        call = self._contracts.game.open(
            row.batch_id,
            row.index,
            row.fields,
            row.path,
            secret,
            bond_wei=bond_to_send(self._contracts, row.provider),
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
        if error.name == "OpeningNotCommitted":
            self._store.opening_is_lost(row.batch_id, row.index, error.name)
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


def opening_key(row: ResponseRow, lost: int) -> str:
    """One opening to the journal, which holds that a finished one stays done; a reorganisation knows better."""
    return f"open {row.leaf.hex()}" + (f" again {lost}" if lost else "")
