"""Turns vouchers into money: in bulk, when there is enough of it, or in time before a payer takes its deposit back.

A voucher with credit left is money that no answer has earned yet: it waits until it is used up, or is about to be lost.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

import structlog
from eth_hash.auto import keccak

from contracts.bindings.payments import MOST_VOUCHERS, Payments, Voucher

from ..outbox import Outbox
from ..store import PaymentAccountRow, PaymentBook
from .channels import Channels

log = structlog.get_logger("node.redeemer")

_URGENT_EVERY_S = 5.0
# A payer's contract may burn 150,000 gas to say whether it signed; many of them would not fit a block.
_MOST_OF_CONTRACTS = 64


class Redeemer:
    """One provider's vouchers. One call of `step` at a time."""

    def __init__(
        self,
        payments: Payments,
        book: PaymentBook,
        channels: Channels,
        outbox: Outbox,
        *,
        now: Callable[[], int],
        is_playing: Callable[[], bool],
        least: int,
        interval_s: float,
        hurry_s: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`least` is what a bulk must bring, `interval_s` how often is looked. While `is_playing` a game, only what
        would be lost within `hurry_s` seconds is redeemed: moves go first."""
        self._payments, self._book, self._channels, self._outbox = payments, book, channels, outbox
        self._now, self._is_playing, self._clock = now, is_playing, clock
        self._least, self._interval_s, self._hurry_s = least, interval_s, hurry_s
        self._looked_at = self._hurried_at = -float("inf")

    def step(self) -> None:
        """Redeem what is due. Raises what the bindings raise."""
        self._channels.observe()
        started = self._clock()
        if self._channels.has_deadlines() and started - self._hurried_at >= _URGENT_EVERY_S:
            self._hurried_at = started
            if urgent := [row for row in self._book.unredeemed() if self._is_urgent(row)]:
                self.redeem(urgent, least=1)
        if started - self._looked_at >= self._interval_s and not self._is_playing():
            self._looked_at = started
            self.redeem([row for row in self._book.unredeemed() if _is_used_up(row)], self._least)

    def redeem_all(self) -> dict[str, int]:
        """By command: whatever brings something, credit or not. What each token brought."""
        return self.redeem(self._book.unredeemed(), least=1)

    def redeem(self, rows: Sequence[PaymentAccountRow], least: int) -> dict[str, int]:
        """Bulks of one token each, the largest vouchers first, as long as one brings `least`. What each token brought."""
        brought: dict[str, int] = {}
        for token, by_contract in sorted({(row.token, not row.key) for row in rows}):
            alike = [row for row in rows if (row.token, not row.key) == (token, by_contract)]
            most = _MOST_OF_CONTRACTS if by_contract else MOST_VOUCHERS
            for start in range(0, len(alike), most):
                amount = self._redeem_bulk(alike[start : start + most], least)
                if not amount:
                    break
                brought[token] = brought.get(token, 0) + amount
        return brought

    def _redeem_bulk(self, rows: Sequence[PaymentAccountRow], least: int) -> int:
        worth = self._payments.redeemable([self._signed(row) for row in rows])
        for row, amount in zip(rows, worth, strict=True):
            if not amount:
                self._note(row)
        bringing = [row for row, amount in zip(rows, worth, strict=True) if amount]
        total = sum(worth)
        if total < max(1, least):
            return 0
        name = keccak(json.dumps([[row.payer, row.token, row.cumulative] for row in bringing]).encode())
        call = self._payments.redeem([self._signed(row) for row in bringing])
        self._book.note_published(bringing)
        self._outbox.send(call, f"redeem:{name.hex()[:32]}")
        for row in bringing:
            self._note(row)
        log.info("vouchers redeemed", vouchers=len(bringing), amount=total, token=bringing[0].token)
        return total

    def _signed(self, row: PaymentAccountRow) -> tuple[Voucher, bytes]:
        voucher = Voucher(row.payer, self._outbox.provider, row.token, int(row.cumulative))
        return voucher, bytes.fromhex(row.signature[2:])

    def _note(self, row: PaymentAccountRow) -> None:
        channel = self._payments.channel(row.payer, self._outbox.provider, row.token)
        if channel.redeemed != int(row.redeemed):
            self._book.note_redeemed(row.payer, row.token, channel.redeemed)

    def _is_urgent(self, row: PaymentAccountRow) -> bool:
        deadline = self._channels.deadline(row.payer, row.token, row.key)
        if deadline is None:
            return False
        return not self._is_playing() or deadline - self._now() < self._hurry_s


def _is_used_up(row: PaymentAccountRow) -> bool:
    return int(row.spent) >= int(row.cumulative)
