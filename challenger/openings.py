"""Opens games about what was found invalid, and fetches what they win. Part of the game loop, which owns all sending.

An opening is committed in one block and made in a later one: the next, if there is a place. Its secret follows from the
store's, so a kill at any moment loses nothing: whether it is committed is read from the chain's newest block, whether the
game is opened from the journal. A place that came free and stays empty for a while is waited for, and taken in the
first block in which it can be.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from contracts.bindings.chain import Block
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import ContractError, RpcUnavailable
from contracts.bindings.journal import IntentStatus
from contracts.bindings.log_setup import told_of
from contracts.bindings.openings import bond_to_send, commitment_of
from contracts.bindings.results import Mined
from contracts.protocol.opening import opening_secret

from .dispatch import Dispatcher
from .pace import backoff_s, next_try
from .store import OpeningDue, ResponseRow, Store
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
#: Possible with one of the next blocks.
_WITH_NEXT_BLOCK = ("PlaceStaysEmpty", "OpeningCommittedLate")
_NO_EFFECT = (IntentStatus.REFUSED, IntentStatus.REVERTED)


class Opener:
    """Opens each game once: the opening's journal key is the leaf, and how many openings reorganisations took back.
    `margin_s`: no game is opened so shortly before its window closes; `clock`: this machine's seconds."""

    def __init__(
        self,
        contracts: ProtocolContracts,
        dispatcher: Dispatcher,
        store: Store,
        *,
        margin_s: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._contracts, self._dispatcher, self._store = contracts, dispatcher, store
        self._margin_s, self._secret, self._clock = margin_s, store.secret(), clock
        self._newest, self._newest_since_s = b"", 0.0
        self._looked_in: dict[str, bytes] = {}  # by key: the block in which its commitment was not yet mined

    def open_due(self) -> int:
        """Submit commitments and openings, the first window to close first; the number."""
        newest = self._contracts.chain.head()
        next_block = self.time_of_next(newest)
        due = self._store.openings_due(
            newest.timestamp + self._margin_s, time.time(), 4 * _OPENINGS_PER_ROUND, next_block
        )
        self._looked_in = {k: block for k, block in self._looked_in.items() if block == newest.hash}
        opened = 0
        for each in due:
            if opened >= _OPENINGS_PER_ROUND:
                break
            try:
                opened += self._commit_or_open(each, newest, next_block)
            except RpcUnavailable:
                raise
            except ContractError as error:
                self._refused(each, error)
            except Exception as error:
                # Ether is missing, say; what was journalled is carried on under the same key.
                log.error(
                    "not disputed yet",
                    batch=each.row.batch_id,
                    index=each.row.index,
                    because=f"{type(error).__name__}: {told_of(error)}",
                )
                self._wait(each, str(error))
        return opened

    def commit_first(self, row: ResponseRow) -> bool:
        """Whether the response may become void: then an opening of it is committed in an earlier block, or none is
        needed. Else it is committed now."""
        due = OpeningDue(row, self._store.opening(row.batch_id, row.index), 0)
        key = opening_key(row, due.opening.lost)
        batch = self._store.batch(row.batch_id)
        if batch is None:
            return False  # a reorganisation took it
        if due.opening.state in ("opened", "joined", "refused") or self._is_sent(key):
            return True
        newest = self._contracts.chain.head()
        commitment = self._commitment(row, opening_secret(self._secret, batch.root, row.index))
        if committed_in := self._contracts.ledger.opening_block(commitment, block=newest.number):
            self._note_committed(row, committed_in)
            return True
        if not self._dispatcher.carries(f"commit {key}"):
            self._commit(due, key, commitment, newest)
        return False

    def time_of_next(self, newest: Block) -> int:
        """The time that the block after the newest has at least, if it is made now."""
        if newest.hash != self._newest:
            self._newest, self._newest_since_s = newest.hash, self._clock()
        return newest.timestamp + max(1, int(self._clock() - self._newest_since_s))

    def _commit_or_open(self, due: OpeningDue, newest: Block, next_block: int) -> bool:
        key = opening_key(due.row, due.opening.lost)
        if self._dispatcher.carries(key) or self._looked_in.get(key) == newest.hash:
            return False
        batch = self._store.batch(due.row.batch_id)
        if batch is None:
            return False  # a reorganisation took it
        if due.opening.lost and self._is_coming_back(due, newest):
            return False
        secret = opening_secret(self._secret, batch.root, due.row.index)
        if self._is_sent(key):
            if self._is_taken_back(key):
                why = "a reorganisation took it back, and its nonce is used"
                self._store.opening_is_lost(due.row.batch_id, due.row.index, why)
                return False
            self._open(due, key, secret)
            return True
        commitment = self._commitment(due.row, secret)
        committed_in = self._contracts.ledger.opening_block(commitment, block=newest.number)
        if not committed_in:
            # It is good as soon as it is mined, and lost when its block is: nothing waits for it to be confirmed.
            if self._dispatcher.carries(f"commit {key}"):
                self._looked_in[key] = newest.hash
                return False
            return self._commit(due, key, commitment, newest)
        self._note_committed(due.row, committed_in)
        if due.empty_until >= next_block:
            return False
        self._open(due, key, secret)
        return True

    def _is_coming_back(self, due: OpeningDue, newest: Block) -> bool:
        """Whether a transaction of an opening that was lost to a reorganisation is mined again, or will be: it is neither committed nor
        opened a second time before the newest block shows what became of it. Nor where it is opened in the chain: then the
        watcher, which is some blocks behind, has not read of the game yet."""
        sender = self._dispatcher.sender
        keys = [opening_key(due.row, lost) for lost in range(due.opening.lost)]
        if any(self._is_sent(key) and sender.mined_in(key) is not None for key in keys):
            return True
        names = [name for key in keys for name in (f"commit {key}", key)]
        if any(
            [sender.comes_back(name) for name in names]
        ):  # all of them: the opening stands behind its commitment
            return True
        return any((sender.mined_in(name) or 0) > newest.number for name in names)

    def _commitment(self, row: ResponseRow, secret: bytes) -> bytes:
        own = self._dispatcher.sender.address
        return commitment_of(self._contracts, own, row.batch_id, row.index, secret)

    def _is_sent(self, key: str) -> bool:
        intent = self._dispatcher.sender.journal.find(key)
        return intent is not None and intent.status not in _NO_EFFECT

    def _is_taken_back(self, key: str) -> bool:
        """Whether an opening that was confirmed is no longer in the chain and cannot be mined again. The commitment is good still."""
        sender = self._dispatcher.sender
        intent = sender.journal.find(key)
        if intent is None or intent.status is not IntentStatus.CONFIRMED or sender.mined_in(key) is not None:
            return False
        return sender.is_replaced(key)

    def _note_committed(self, row: ResponseRow, block_number: int) -> None:
        # Noted, so that it can join when the response is void before the game is opened.
        self._store.set_committed(row.batch_id, row.index, block_number)

    def _commit(self, due: OpeningDue, key: str, commitment: bytes, newest: Block) -> bool:
        row = due.row
        before = self._dispatcher.sender.journal.find(f"commit {key}")
        sender = self._dispatcher.sender
        if (
            before is not None
            and before.status is IntentStatus.CONFIRMED
            and not sender.comes_back(before.key)
        ):
            mined_in = sender.mined_in(before.key) or before.mined_block or 0
            if mined_in <= newest.number and self._may_be_gone(key):  # else the endpoint lags
                self._store.opening_is_lost(row.batch_id, row.index, "the commitment was used or reorganised")
            return False

        def done(result: Mined | ContractError) -> None:
            if isinstance(result, ContractError):
                self._refused(due, result)
            elif self._is_sent(key):
                pass  # used by now
            elif committed_in := self._contracts.ledger.opening_block(commitment):
                self._note_committed(row, committed_in)
            elif self._may_be_gone(key):
                self._store.opening_is_lost(row.batch_id, row.index, "the commitment was used or reorganised")

        self._dispatcher.submit(self._contracts.ledger.commit_opening(commitment), f"commit {key}", done)
        return True

    def _may_be_gone(self, key: str) -> bool:
        """Whether a commitment that the ledger is said not to have can have been used or taken back. Not while its transaction is in
        the chain and none that opens with it is: then whoever says so does not know better, and a second commitment would be
        one too many."""
        sender = self._dispatcher.sender
        return sender.mined_in(f"commit {key}") is None or sender.mined_in(key) is not None

    def _open(self, due: OpeningDue, key: str, secret: bytes) -> None:
        row = due.row
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
                self._refused(due, result)
                return
            log.info("disputed", batch=row.batch_id, index=row.index)
            self._store.set_opening(OpeningRow(batch_id=row.batch_id, index=row.index, state="opened"))

        self._dispatcher.submit(call, key, done)

    def _refused(self, due: OpeningDue, error: ContractError) -> None:
        row = due.row
        log.warning("not disputed", batch=row.batch_id, index=row.index, because=str(error))
        on_its_way = self._dispatcher.carries(f"commit {opening_key(row, due.opening.lost)}")
        if error.name in _MAY_PASS or (error.name == "OpeningNotCommitted" and on_its_way):
            self._wait(due, error.name)
            return
        if error.name == "OpeningNotCommitted" and not self._may_be_gone(opening_key(row, due.opening.lost)):
            self._wait(due, error.name)
            return
        if error.name == "OpeningNotCommitted":
            self._store.opening_is_lost(row.batch_id, row.index, error.name)
            return
        self._store.set_opening(
            OpeningRow(batch_id=row.batch_id, index=row.index, state="refused", problem=error.name)
        )

    def _wait(self, due: OpeningDue, problem: str) -> None:
        tries = due.opening.tries + (problem not in _WITH_NEXT_BLOCK)
        pause_s = backoff_s(max(1, tries), first_s=_FIRST_RETRY_S, longest_s=_LONGEST_RETRY_S)
        if problem in _WITH_NEXT_BLOCK:
            pause_s = _FIRST_RETRY_S
        self._store.set_opening(
            OpeningRow(
                batch_id=due.row.batch_id,
                index=due.row.index,
                state="waiting",
                problem=problem[:500],
                tries=tries,
                next_try_at=next_try(pause_s),
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
