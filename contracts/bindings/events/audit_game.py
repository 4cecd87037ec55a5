"""Events of AuditGame."""

from __future__ import annotations

from dataclasses import dataclass

from ...protocol.audits import AuditItem
from ...protocol.game import Outcome, Reason
from ...protocol.response import ResponseFields
from .base import Event


@dataclass(frozen=True)
class AuditOpened(Event):
    audit_id: int
    batch_id: int
    index: int
    auditor: str
    provider: str
    model_id: bytes
    leaf: bytes
    fields: ResponseFields


@dataclass(frozen=True)
class AuditStarted(Event):
    audit_id: int
    bond: int
    deadline: int
    items: tuple[AuditItem, ...]


@dataclass(frozen=True)
class ItemProven(Event):
    audit_id: int
    item: AuditItem
    verifier: str
    remaining: int


@dataclass(frozen=True)
class AuditResolved(Event):
    audit_id: int
    outcome: Outcome
    reason: Reason
    winner: str
