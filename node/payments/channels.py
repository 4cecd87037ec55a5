"""What the chain says about the channels of this provider's payers, read as rarely as it can be.

Strangers can name any number of payers, so an address costs a read only after its deposit was seen among the events,
which the node reads anyway; then at most one read in `_FRESH_S` seconds. Events that are reorganised away leave an
address behind in memory: it costs a read, and the read tells the truth.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from eth_hash.auto import keccak

from contracts.bindings.payments import FOR_EVER, Channel, Payments, Voucher

from ..errors import NotReadyError
from ..store import ChainEventRow, Journal

# Events of blocks that are older than any reorganisation are looked at once.
_REORGANISED_S = 900
_NO_CODE = keccak(b"")
_FRESH_S = 10.0
# Reads for which somebody who paid nothing can be the cause: of all payers, and of one payer's contract.
_READS_PER_S = 50.0
_CONTRACT_READS_PER_S = 2.0
_EVENTS = ("ChannelFunded", "WithdrawalRequested", "DepositWithdrawn", "VoucherRedeemed", "FeeRefunded", "DebtCollected", "VoucherKeySet")  # fmt: skip

_Name = tuple[str, str]


@dataclass(frozen=True)
class ChannelView:
    """The largest cumulative amount that is worth its whole increase, and what is settled of it."""

    payable: int
    redeemed: int


class ChannelReader(Protocol):
    """The questions to the chain; `ChainChannels` asks them."""

    def channel(self, payer: str, token: str) -> ChannelView: ...

    def key_valid_until(self, payer: str, key: str) -> int: ...

    def has_code(self, payer: str) -> bool: ...

    def is_signed(self, voucher: Voucher, signature: bytes) -> bool: ...


class ChainChannels:
    """Answers at the newest and at the newest confirmed block, whichever is worse for the payer."""

    def __init__(self, payments: Payments, provider: str, confirmations: int) -> None:
        self._payments, self._provider, self._confirmations = payments, provider, confirmations

    def channel(self, payer: str, token: str) -> ChannelView:
        views: list[Channel] = [
            self._payments.channel(payer, self._provider, token, block) for block in self._blocks()
        ]
        # A redemption of a block that may go is no harm: it moves an amount from `balance` to `redeemed`.
        return ChannelView(min(view.payable for view in views), max(view.redeemed for view in views))

    def key_valid_until(self, payer: str, key: str) -> int:
        return min(self._payments.voucher_key_valid_until(payer, key, block) for block in self._blocks())

    def has_code(self, payer: str) -> bool:
        return self._payments.chain.code_hash(payer) not in (_NO_CODE, bytes(32))

    def is_signed(self, voucher: Voucher, signature: bytes) -> bool:
        return all(self._payments.is_signed(voucher, signature, block) for block in self._blocks())

    def _blocks(self) -> list[int | None]:
        if not self._confirmations:
            return [None]
        return [None, self._payments.chain.confirmed_head(self._confirmations).number]


class _Bucket:
    """At most `per_second` on average, and twice as many at once."""

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self._per_second, self._clock = per_second, clock
        self._left, self._seen_at = 2 * per_second, clock()

    def take(self) -> bool:
        now = self._clock()
        self._left = min(2 * self._per_second, self._left + (now - self._seen_at) * self._per_second)
        self._seen_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass
class _Known:
    """What the events said."""

    funded: set[_Name] = field(default_factory=set)  # (payer, token)
    payers: set[str] = field(default_factory=set)
    keys: dict[_Name, int] = field(default_factory=dict)  # (payer, key): valid until
    withdrawals: dict[_Name, int] = field(default_factory=dict)  # (payer, token): withdrawable at


class Channels:
    """Safe to share between threads."""

    def __init__(
        self,
        reader: ChannelReader,
        journal: Journal,
        provider: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader, self._journal, self._provider, self._clock = reader, journal, provider, clock
        self._known = _Known()
        self._lock = threading.Lock()
        self._cache: dict[tuple[str, str, str], tuple[float, Any]] = {}
        self._bucket = _Bucket(_READS_PER_S, clock)
        self._contract_buckets: dict[str, _Bucket] = {}
        self._since, self._late_readings = 0, 0
        self._seen: set[tuple[int, str, int]] = set()

    def observe(self) -> None:
        """Take in the events that the node has read since the last call."""
        late = self._journal.late_readings
        is_anew = late != self._late_readings  # among events that were taken in long ago there are new ones
        events = self._journal.events(names=_EVENTS, since=0 if is_anew else self._since)
        with self._lock:
            known = _Known() if is_anew else self._known
            for event in events:
                place = (event.block_number, event.block_hash, event.log_index)
                if is_anew or place not in self._seen:
                    self._take_in(event, known)
            self._known, self._late_readings = known, late
            # The newest are asked for again: a reorganisation may put others into their time.
            newest = max((event.timestamp for event in events), default=0)
            self._since = max(self._since, newest - _REORGANISED_S)
            self._seen = {(event.block_number, event.block_hash, event.log_index) for event in events}

    def _take_in(self, event: ChainEventRow, known: _Known) -> None:
        said = json.loads(event.arguments)
        payer = said["payer"]
        if event.name == "VoucherKeySet":
            known.keys[payer, said["key"]] = int(said["valid_until"])
            self._cache.pop(("key", payer, said["key"]), None)
            return
        if said["provider"] != self._provider:
            return
        name = (payer, said["token"])
        self._cache.pop(("channel", *name), None)
        if event.name == "ChannelFunded":
            known.funded.add(name)
            known.payers.add(payer)
        elif event.name == "WithdrawalRequested" and int(said["withdrawable_at"]):
            known.withdrawals[name] = int(said["withdrawable_at"])
        elif event.name in ("WithdrawalRequested", "DepositWithdrawn"):
            known.withdrawals.pop(name, None)

    def view(self, payer: str, token: str) -> ChannelView | None:
        """The channel; None for who never deposited, without asking the chain. Raises NotReadyError."""
        if (payer, token) not in self._known.funded:
            return None
        view: ChannelView = self._cached(
            ("channel", payer, token), lambda: self._reader.channel(payer, token)
        )
        return view

    def is_signed_by_key(self, payer: str, key: str) -> bool:
        """Whether the payer lets this key sign, and did not begin to take that back. Raises NotReadyError."""
        if self._known.keys.get((payer, key)) is None:
            return False
        until = self._cached(("key", payer, key), lambda: self._reader.key_valid_until(payer, key))
        return bool(until == FOR_EVER)

    def is_signed_by_contract(self, voucher: Voucher, signature: bytes) -> bool:
        """Whether the payer is a contract that says so (ERC-1271). Raises NotReadyError."""
        payer = voucher.payer
        if payer not in self._known.payers:
            return False
        if not self._cached(("code", payer, ""), lambda: self._reader.has_code(payer)):
            return False
        with self._lock:
            bucket = self._contract_buckets.setdefault(payer, _Bucket(_CONTRACT_READS_PER_S, self._clock))
            if not bucket.take():
                raise NotReadyError(f"too many vouchers of {payer} to ask its contract about")
        return bool(self._asked(lambda: self._reader.is_signed(voucher, signature)))

    def deadline(self, payer: str, token: str, key: str) -> int | None:
        """Until when a voucher must be redeemed, because its money or its key goes then; None: no hurry."""
        until = [self._known.withdrawals.get((payer, token)), self._known.keys.get((payer, key))]
        return min((second for second in until if second is not None and second != FOR_EVER), default=None)

    def has_deadlines(self) -> bool:
        """Whether any voucher can be in a hurry."""
        return bool(self._known.withdrawals) or any(
            until != FOR_EVER for until in list(self._known.keys.values())
        )

    def _cached(self, name: tuple[str, str, str], read: Callable[[], Any]) -> Any:
        with self._lock:
            entry = self._cache.get(name)
            if entry is not None and self._clock() - entry[0] < _FRESH_S:
                return entry[1]
        asked_at = self._clock()
        value = self._asked(read)
        with self._lock:
            self._cache[name] = (asked_at, value)
        return value

    def _asked(self, read: Callable[[], Any]) -> Any:
        with self._lock:
            if not self._bucket.take():
                raise NotReadyError("too many channels to ask the chain about")
        return read()
