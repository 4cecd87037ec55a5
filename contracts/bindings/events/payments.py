"""Events of Payments."""

from __future__ import annotations

from dataclasses import dataclass

from .base import Event


@dataclass(frozen=True)
class ChannelFunded(Event):
    payer: str
    provider: str
    token: str
    amount: int
    balance: int


@dataclass(frozen=True)
class WithdrawalRequested(Event):
    payer: str
    provider: str
    token: str
    amount: int
    withdrawable_at: int


@dataclass(frozen=True)
class DepositWithdrawn(Event):
    payer: str
    provider: str
    token: str
    to: str
    amount: int


@dataclass(frozen=True)
class VoucherRedeemed(Event):
    payer: str
    provider: str
    token: str
    redeemed: int
    paid: int
    waived: int


@dataclass(frozen=True)
class VoucherSkipped(Event):
    payer: str
    provider: str
    token: str
    place: int
    reason: int


@dataclass(frozen=True)
class HoldReleased(Event):
    payer: str
    provider: str
    token: str
    amount: int
    to_pot: int


@dataclass(frozen=True)
class EarningsWithdrawn(Event):
    provider: str
    token: str
    to: str
    amount: int


@dataclass(frozen=True)
class FeeRefunded(Event):
    receipt_id: bytes
    payer: str
    provider: str
    token: str
    returned: int
    owed: int
    credited: int


@dataclass(frozen=True)
class DebtCollected(Event):
    payer: str
    provider: str
    token: str
    amount: int


@dataclass(frozen=True)
class VoucherKeySet(Event):
    payer: str
    key: str
    valid_until: int
