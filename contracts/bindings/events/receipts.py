"""Events of Receipts."""

from __future__ import annotations

from dataclasses import dataclass

from .base import Event


@dataclass(frozen=True)
class ReceiptClaimed(Event):
    receipt_id: bytes
    claimant: str
    provider: str
    leaf: bytes
    batch_id: int
    answer_deadline: int


@dataclass(frozen=True)
class ReceiptAnswered(Event):
    receipt_id: bytes
    batch_id: int


@dataclass(frozen=True)
class ReceiptSlashed(Event):
    receipt_id: bytes
    provider: str
    claimant: str
    penalty: int
