"""Events in order, from a (block number, block hash) cursor, with reorganisations noticed, and logs that came late.

An endpoint can answer for a block whose logs it has not indexed yet, or sit behind a proxy of which one node has none: then it
says that there are no logs, and what it left out would never be asked for again: a batch that nobody looks at. So
every range is read again some seconds and some minutes later, and after a start the last readings once more, since what
they had in an earlier life is not known. Where logs came late, they and all behind them are handled anew, as after a
reorganisation. An endpoint that never has them is what several endpoints and `gainsay monitor` are for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .chain import Block, RawLog
from .deployment import ProtocolContracts
from .events import Event

READ_AGAIN_AFTER_S = (15.0, 240.0)
"""Seconds behind the first reading."""
READ_AGAIN_AT_START = 16
"""Blocks in front of the last one that was handled in an earlier life."""


@dataclass(frozen=True)
class Cursor:
    """The last block whose events were handled."""

    number: int
    hash: bytes


@dataclass(frozen=True)
class Reading:
    """New events up to `cursor`. With `rewound_to`, everything handled after that block must be dropped
    first: those blocks are no longer part of the chain, or (`again`) are, with logs that came late. `logs`: what the events
    were decoded from, and what could not be decoded."""

    events: tuple[Event, ...]
    cursor: Cursor
    rewound_to: int | None = None
    logs: tuple[RawLog, ...] = ()
    again: bool = False


@dataclass(frozen=True)
class _Range:
    """Blocks start + 1 .. end and how many logs they had (None: not known); `readings`: how often this process read them."""

    start: int
    end: int
    logs: int | None
    readings: int
    due: float


class LogReader:
    """Reads the protocol's logs. Only blocks with `confirmations` blocks on top are looked at."""

    def __init__(
        self,
        contracts: ProtocolContracts,
        *,
        confirmations: int = 0,
        span: int = 2_000,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._contracts = contracts
        self._chain = contracts.chain
        self._confirmations = confirmations
        self._span = span
        self._now = now
        self._read: list[_Range] | None = None  # in order; None: nothing was read in this life

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
        if self._read is None:
            self._read = self._of_an_earlier_life(history, before_first)
        if rewound:
            self._forget_after(start)
        if head.number <= start and not rewound:
            return self._late(head, known)
        end = min(head.number, start + self._span)
        if end <= start:
            # Rewound to exactly the head: nothing to read yet, but the drop must be told.
            cursor = known or Cursor(max(start, 0), self._chain.block(max(start, 0)).hash)
            return Reading((), cursor, rewound_to=start)
        return self._reading(start, end, known, rewound_to=start if rewound else None)

    def _reading(
        self, start: int, end: int, known: Cursor | None, *, rewound_to: int | None, again: bool = False
    ) -> Reading | None:
        end_block = self._chain.block(end)
        logs = self._chain.logs(self._contracts.addresses, start + 1, end)
        events = self._contracts.events.decode(logs)
        if self._chain.block_hash(end) != end_block.hash or (known and not self._is_canonical(known)):
            return None  # reorganised while reading; the next call sees the new chain
        self._forget_after(start)
        self._ranges.append(_Range(start, end, len(logs), 1, self._now() + READ_AGAIN_AFTER_S[0]))
        return Reading(tuple(events), Cursor(end, end_block.hash), rewound_to, tuple(logs), again)

    # --- once more

    @property
    def _ranges(self) -> list[_Range]:
        if self._read is None:
            self._read = []
        return self._read

    def _of_an_earlier_life(self, history: Sequence[Cursor], before_first: int) -> list[_Range]:
        """The last blocks, from where the reading began of which the first of them were a part."""
        if not history:
            return []
        near = [cursor for cursor in history if cursor.number >= history[0].number - READ_AGAIN_AT_START]
        # The very first reading began at the deployment, or less than a span in front of its cursor.
        first = max(before_first, near[-1].number - self._span)
        start = history[len(near)].number if len(history) > len(near) else first
        return [_Range(start, near[0].number, None, 1, self._now() + READ_AGAIN_AFTER_S[0])]

    def _forget_after(self, block: int) -> None:
        """Of blocks that are read anew nothing is known; of a range that they are a part of, the beginning."""
        self._read = [
            known if known.end <= block else replace(known, end=block, logs=None)
            for known in self._ranges
            if known.start < block
        ]

    def _late(self, head: Block, known: Cursor | None) -> Reading | None:
        """A range whose time has come is read again; the reading, where it has more logs now than before."""
        now = self._now()
        place = next((place for place, known in enumerate(self._ranges) if known.due <= now), None)
        if place is None or head.number < self._ranges[-1].end:  # an endpoint that is behind is asked later
            return None
        due = [self._ranges[place]]
        for found in self._ranges[place + 1 :]:
            if found.due > now or found.readings != due[0].readings:
                break
            due.append(found)
        first, last = due[0], due[-1]
        count = len(self._chain.logs(self._contracts.addresses, first.start + 1, last.end))
        seen = None if any(found.logs is None for found in due) else sum(found.logs or 0 for found in due)
        if count > (seen or 0):
            return self._reading(first.start, head.number, known, rewound_to=first.start, again=True)
        # As many as before: the next reading is the last one. Fewer: it is now that the endpoint has not all of them.
        is_whole = count == (seen or 0)
        for found in due:
            self._ranges.remove(found)
        readings = first.readings + is_whole
        if readings <= len(READ_AGAIN_AFTER_S):
            wait = READ_AGAIN_AFTER_S[readings - 1] - (
                READ_AGAIN_AFTER_S[readings - 2] if readings > 1 else 0.0
            )
            self._ranges.insert(
                place, _Range(first.start, last.end, count if is_whole else seen, readings, now + wait)
            )
        return None

    def _lags(self, history: Sequence[Cursor]) -> bool:
        """Whether the endpoint has just not come to where we are: its head is one of our blocks, or below all."""
        newest = self._chain.head().number
        if newest >= history[0].number:
            return False
        reached = next((cursor for cursor in history if cursor.number <= newest), None)
        return reached is None or self._is_canonical(reached)

    def _is_canonical(self, cursor: Cursor) -> bool:
        return self._chain.block_hash(cursor.number) == cursor.hash
