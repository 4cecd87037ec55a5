"""Events in order, from a (block number, block hash) cursor, with reorganisations noticed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .chain import RawLog
from .deployment import ProtocolContracts
from .events import Event


@dataclass(frozen=True)
class Cursor:
    """The last block whose events were handled."""

    number: int
    hash: bytes


@dataclass(frozen=True)
class Reading:
    """New events up to `cursor`. With `rewound_to`, everything handled after that block must be dropped
    first: those blocks are no longer part of the chain. `logs`: what the events were decoded from, and what
    could not be decoded."""

    events: tuple[Event, ...]
    cursor: Cursor
    rewound_to: int | None = None
    logs: tuple[RawLog, ...] = ()


class LogReader:
    """Reads the protocol's logs. Only blocks with `confirmations` blocks on top are looked at."""

    def __init__(self, contracts: ProtocolContracts, *, confirmations: int = 0, span: int = 2_000) -> None:
        self._contracts = contracts
        self._chain = contracts.chain
        self._confirmations = confirmations
        self._span = span

    def read(self, history: Sequence[Cursor]) -> Reading | None:
        """The next events after the newest cursor of `history` that is still in the chain.

        `history` holds earlier cursors, newest first (empty: from the deployment on). None when there is
        nothing new. At most `span` blocks at a time: call again until None.
        """
        before_first = self._contracts.deployment.first_block - 1
        head = self._chain.confirmed_head(self._confirmations)
        if history and self._lags(history):
            return None
        known = next((cursor for cursor in history if self._is_canonical(cursor)), None)
        start = known.number if known else before_first
        rewound = bool(history) and known != history[0]
        if head.number <= start and not rewound:
            return None
        end = min(head.number, start + self._span)
        if end <= start:
            # Rewound to exactly the head: nothing to read yet, but the drop must be told.
            cursor = known or Cursor(max(start, 0), self._chain.block(max(start, 0)).hash)
            return Reading((), cursor, rewound_to=start)
        end_block = self._chain.block(end)
        logs = self._chain.logs(self._contracts.addresses, start + 1, end)
        events = self._contracts.events.decode(logs)
        if self._chain.block_hash(end) != end_block.hash or (known and not self._is_canonical(known)):
            return None  # reorganised while reading; the next call sees the new chain
        return Reading(tuple(events), Cursor(end, end_block.hash), start if rewound else None, tuple(logs))

    def _lags(self, history: Sequence[Cursor]) -> bool:
        """Whether the endpoint has just not come to where we are: its head is one of our blocks, or below all."""
        newest = self._chain.head().number
        if newest >= history[0].number:
            return False
        reached = next((cursor for cursor in history if cursor.number <= newest), None)
        return reached is None or self._is_canonical(reached)

    def _is_canonical(self, cursor: Cursor) -> bool:
        return self._chain.block_hash(cursor.number) == cursor.hash
