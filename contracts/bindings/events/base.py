"""What all events have: where in the chain they are."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class LogPosition:
    """Where in the chain an event is."""

    contract: str
    block_number: int
    block_hash: bytes
    transaction_hash: bytes
    log_index: int


_NOWHERE = LogPosition("", 0, b"", b"", 0)


@dataclass(frozen=True)
class Event:
    """Base of all events; `at` says where it was emitted."""

    at: LogPosition = field(default=_NOWHERE, kw_only=True, compare=False)
