"""Events of ProviderStake."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from .base import Event


class CreditReason(IntEnum):
    """Why an account was credited; only a reward can be delayed by a guardian."""

    EXIT = 0
    ESCROW = 1
    REWARD = 2


@dataclass(frozen=True)
class DelayChanged(Event):
    since: int
    until: int
    left: int


@dataclass(frozen=True)
class Initialised(Event):
    ledger: str
    game: str
    receipts: str
    audits: str


@dataclass(frozen=True)
class Deposited(Event):
    provider: str
    amount: int
    total: int


@dataclass(frozen=True)
class ExitRequested(Event):
    provider: str
    amount: int
    available_at: int


@dataclass(frozen=True)
class ExitCancelled(Event):
    provider: str
    amount: int


@dataclass(frozen=True)
class ExitCompleted(Event):
    provider: str
    amount: int


@dataclass(frozen=True)
class StakeLocked(Event):
    provider: str
    amount: int
    locked: int


@dataclass(frozen=True)
class StakeReleased(Event):
    provider: str
    amount: int
    locked: int


@dataclass(frozen=True)
class StakeSlashed(Event):
    provider: str
    beneficiary: str
    reward: int
    burned: int


@dataclass(frozen=True)
class BondSlashed(Event):
    provider: str
    burned: int
    paused_at: int


@dataclass(frozen=True)
class ProviderResumed(Event):
    provider: str


@dataclass(frozen=True)
class ReceiptStakeSlashed(Event):
    provider: str
    signer: str
    claimant: str
    reward: int
    burned: int


@dataclass(frozen=True)
class OperatorSet(Event):
    provider: str
    operator: str


@dataclass(frozen=True)
class SignerRegistered(Event):
    provider: str
    signer: str
    allowance: int
    registered_at: int


@dataclass(frozen=True)
class SignerWasRetired(Event):
    provider: str
    signer: str
    retired_at: int


@dataclass(frozen=True)
class EscrowReceived(Event):
    holder: str
    from_: str
    amount: int


@dataclass(frozen=True)
class EscrowPaid(Event):
    holder: str
    to: str
    amount: int


@dataclass(frozen=True)
class EscrowForfeited(Event):
    holder: str
    beneficiary: str
    reward: int
    burned: int


@dataclass(frozen=True)
class EscrowBurned(Event):
    holder: str
    amount: int


@dataclass(frozen=True)
class Credited(Event):
    account: str
    amount: int
    reason: CreditReason


@dataclass(frozen=True)
class Withdrawn(Event):
    account: str
    amount: int
