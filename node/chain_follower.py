"""Keeps what the node knows of the chain up to date: its head, its time, the account, and all events."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from contracts.bindings.chain import Block, TransactionReceipt
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.events import Event, GameResolved, Unreadable
from contracts.bindings.log_reader import Cursor, LogReader, Reading
from contracts.bindings.provider_stake import StakeAccount, VaultTotals
from contracts.protocol.game import Game

from .backing import StakeView
from .errors import ChainMismatchError
from .keys import KeyState
from .records import plain_event
from .store import BatchRow, BatchState, ChainEventRow, Journal

log = structlog.get_logger("node.follower")

# A batch that was posted longer ago than any reorganisation reaches is not looked up again.
_SETTLED_AFTER_S = 900


@dataclass(frozen=True)
class ChainState:
    """One look at the chain."""

    head: Block
    account: StakeAccount
    keys: KeyState
    free_stake_wei: int
    stake_views: tuple[StakeView, ...]  # at the head, and at the newest confirmed block
    credits_wei: int
    delayed_until: int  # first second at which a guardian does not delay new batches and rewards (any more)
    balance_wei: int  # of the account that sends
    totals: VaultTotals
    games: Mapping[int, Game]  # the open ones
    seen_at: float  # time.monotonic()


@dataclass
class Locked:
    """Batches that were on chain at a block: they still are while that block is, so none is asked for twice."""

    block: Block | None = None
    batches: frozenset[int] = frozenset()

    def require_ancestor(self, block: Block, hash_of: Callable[[int], bytes | None]) -> None:
        """Forget everything unless the known block is this one or below it on the same chain."""
        known = self.block
        if known is None or known.hash == block.hash:
            return
        if known.number >= block.number or hash_of(known.number) != known.hash:
            self.block, self.batches = None, frozenset()


class ChainClock:
    """The chain's time. A development chain may run ahead of this machine; its next block says by how much."""

    def __init__(self) -> None:
        self._timestamp, self._seen_at = 0, time.monotonic()
        self._lock = threading.Lock()

    def observe(self, timestamp: int) -> None:
        """Note the newest block's timestamp."""
        with self._lock:
            if timestamp != self._timestamp:
                self._timestamp, self._seen_at = timestamp, time.monotonic()

    def now(self) -> int:
        """Seconds: this machine's clock, or the chain's where that is ahead."""
        with self._lock:
            ahead = self._timestamp + (time.monotonic() - self._seen_at)
        return int(max(time.time(), ahead))


class ChainFollower:
    """Reads events into the journal and refreshes `state`; one call of `step` at a time."""

    def __init__(
        self,
        contracts: ProtocolContracts,
        journal: Journal,
        provider: str,
        *,
        account: str | None = None,
        receipt_key: str | None = None,
        confirmations: int = 0,
    ) -> None:
        """`account` sends and `receipt_key` signs receipts for the provider (None: its owner's address does)."""
        self._account, self._receipt_key = account or provider, receipt_key or account or provider
        self._contracts, self._journal, self._provider = contracts, journal, provider
        self._confirmations = confirmations
        self._first_block_hash = contracts.chain.genesis_hash
        self._reader = LogReader(contracts, confirmations=confirmations, unsettled=journal.unsettled)
        self._locked = {depth: Locked() for depth in (0, confirmations)}
        self.clock = ChainClock()
        self.state: ChainState | None = None

    def require_same_chain(self) -> None:
        """Raises ChainMismatchError when another chain answers under the URL than at the start."""
        if self._contracts.chain.block_hash(0) != self._first_block_hash:
            raise ChainMismatchError(
                f"another chain answers at {self._contracts.chain.rpc_url} than the one that this node serves on; "
                "bring that one back, or restart the node with this one's deployment"
            )

    def step(self) -> None:
        """Catch up with the chain. Raises what the bindings raise, and ChainMismatchError."""
        chain, stake = self._contracts.chain, self._contracts.stake
        self._journal.touch(self.clock.now())  # a full disk shows here, before an answer needs it
        self.require_same_chain()
        head = chain.head()
        self.clock.observe(head.timestamp)
        self._read_events()
        view = self._stake_view(head, self._locked[0])
        views = [view]
        if self._confirmations:  # a deposit or a release that is reorganised away backs nothing
            confirmed = chain.confirmed_head(self._confirmations)
            views.append(self._stake_view(confirmed, self._locked[self._confirmations]))
        self.state = ChainState(
            head=head,
            account=stake.account(self._provider),
            keys=KeyState.read(self._contracts, self._provider, self._account, self._receipt_key),
            free_stake_wei=view.free_wei,
            stake_views=tuple(views),
            credits_wei=stake.credits(self._provider),
            delayed_until=stake.delayed_until(),
            balance_wei=chain.balance_wei(self._account),
            totals=stake.totals(),
            games=self._open_games(),
            seen_at=time.monotonic(),
        )

    def _stake_view(self, block: Block, known: Locked) -> StakeView:
        """Free stake at a block and the batches that it locks, both as of that block."""
        known.require_ancestor(block, self._contracts.chain.block_hash)

        def is_locked(batch: BatchRow) -> bool:
            if batch.id in known.batches:
                return True
            if batch.posted_at is not None and batch.posted_at < block.timestamp - _SETTLED_AFTER_S:
                return True
            salt = bytes.fromhex(batch.salt[2:])
            return bool(self._contracts.ledger.batch_of(self._provider, salt, block=block.number))

        # Before the stake: a batch that opens meanwhile is not in the list and therefore counts as not locked.
        batches = self._journal.batches([BatchState.SEALED, BatchState.POSTED])
        locked = frozenset(batch.id for batch in batches if batch.id is not None and is_locked(batch))
        known.block, known.batches = block, locked
        return StakeView(self._contracts.stake.free_stake(self._provider, block=block.number), locked)

    def _open_games(self) -> dict[int, Game]:
        numbers = [event.game_id for event in self._journal.open_games() if event.game_id is not None]
        return {number: self._contracts.game.game(number) for number in numbers}

    def _read_events(self) -> None:
        while True:
            history = [Cursor(number, bytes.fromhex(text[2:])) for number, text in self._journal.cursors()]
            reading = self._reader.read(history)
            if reading is None:
                return
            self._journal.record_reading(
                self._rows(self._new_events(reading)),
                (reading.cursor.number, _hex(reading.cursor.hash)),
                rewound_to=None if reading.again else reading.rewound_to,
                is_late=reading.again,
                unsettled=reading.unsettled,
            )

    def _new_events(self, reading: Reading) -> Sequence[Event]:
        """Of blocks that are read again all but those which the journal has: what follows from them stays as it
        is."""
        if not reading.again or reading.rewound_to is None:
            return reading.events
        log.info("blocks read again", after_block=reading.rewound_to)
        known = self._journal.places_after(reading.rewound_to)
        return [event for event in reading.events if (event.at.block_number, event.at.log_index) not in known]

    def _is_own(self, game_id: int) -> bool:
        return self._contracts.game.game(game_id).provider == self._provider

    def _rows(self, events: Sequence[Event]) -> list[ChainEventRow]:
        timestamps: dict[int, int] = {}
        receipts: dict[bytes, TransactionReceipt | None] = {}
        rows = []
        for event in events:
            place = event.at
            if isinstance(event, Unreadable):  # perhaps of another release: the events behind it still count
                log.error("event left out", name=event.name, block=place.block_number, reason=event.why)
                continue
            if isinstance(event, GameResolved) and self._is_own(event.game_id):
                outcome, reason = event.outcome.name.lower(), event.reason.name.lower()
                log.info("game over", game=event.game_id, outcome=outcome, reason=reason)
            if place.block_number not in timestamps:
                timestamps[place.block_number] = self._contracts.chain.block(place.block_number).timestamp
            if place.transaction_hash not in receipts:
                receipts[place.transaction_hash] = self._contracts.chain.receipt(place.transaction_hash)
            receipt = receipts[place.transaction_hash]
            rows.append(
                ChainEventRow(
                    block_number=place.block_number,
                    log_index=place.log_index,
                    block_hash=_hex(place.block_hash),
                    transaction_hash=_hex(place.transaction_hash),
                    timestamp=timestamps[place.block_number],
                    name=type(event).__name__,
                    game_id=getattr(event, "game_id", None),
                    batch_id=getattr(event, "batch_id", None),
                    gas_used=receipt.gas_used if receipt else 0,
                    arguments=json.dumps(plain_event(event)),
                )
            )
        return rows


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
