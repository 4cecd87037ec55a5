"""Events in order, from a (block number, block hash) cursor, with reorganisations noticed and late logs found.

An endpoint can answer for a block whose logs it has not indexed yet, or sit behind a proxy of which one node
has none: then it says that there are no logs, and what it left out would never be asked for again: a batch that
nobody looks at. So every range of blocks is read again some seconds and some minutes later. Until then a store
keeps it, with how many logs it had, beside the cursor: a life that ends in between leaves its ranges to the
next one, however fast the chain's blocks are and however many of them were read at once. A range that has more
logs now is handled again with all behind it; one that has as many costs nothing but the question. An endpoint
that never has them is what several endpoints and `gainsay monitor` are for.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .chain import Block, RawLog
from .deployment import ProtocolContracts
from .events import Event

READ_AGAIN_AFTER_S = (15.0, 240.0)
"""Seconds behind the first reading, or behind the start of a later life."""
READ_AGAIN_AT_START = 16
"""Blocks in front of the last one that are read again where a store of an earlier release kept no ranges."""
_TOGETHER_S = 15.0
"""Of later readings those that come due within so long are one question."""


@dataclass(frozen=True)
class Cursor:
    """The last block whose events were handled."""

    number: int
    hash: bytes


@dataclass(frozen=True)
class ReadRange:
    """Blocks start + 1 .. end and how many logs they had (None: not known)."""

    start: int
    end: int
    logs: int | None


@dataclass(frozen=True)
class Unsettled:
    """What a store keeps of ranges that are to be read again, in the transaction of their reading: `ranges` in
    place of all that it has of blocks after `after`. Ranges that end at `settled` were read often enough, and go.
    """

    after: int
    settled: tuple[int, ...]
    ranges: tuple[ReadRange, ...]


def keep(kept: Sequence[ReadRange], change: Unsettled) -> list[ReadRange]:
    """What a store has after a reading that had these ranges before."""
    stays = [one for one in kept if one.end <= change.after and one.end not in change.settled]
    return stays + list(change.ranges)


@dataclass(frozen=True)
class Reading:
    """New events up to `cursor`. With `rewound_to`, everything handled after that block is no longer part of
    the chain and must be dropped first. With `again`, too, those blocks are what they were, and have logs that
    came late: what is known of them stays (the endpoint may lack another part of it now), and what is new has
    its place among it. `logs`: what the events were decoded from, and what could not be decoded."""

    events: tuple[Event, ...]
    cursor: Cursor
    unsettled: Unsettled
    rewound_to: int | None = None
    logs: tuple[RawLog, ...] = ()
    again: bool = False


@dataclass(frozen=True)
class _Range(ReadRange):
    """`readings`: how often it was read so far; `due`: when it is read next."""

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
        unsettled: Callable[[], Sequence[ReadRange]] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`unsettled`: the ranges that a store keeps (see `Unsettled`), in order; None: nobody keeps them."""
        self._contracts = contracts
        self._chain = contracts.chain
        self._confirmations = confirmations
        self._span = span
        self._left, self._now = unsettled, now
        self._settled: list[int] = []  # ends of ranges that were read often enough since the last reading
        # In order. None: it is to be learnt from the store.
        self._read: list[_Range] | None = None
        self._reached: int | None = None  # the block that was the head when the last reading went up to it

    def read(self, history: Sequence[Cursor]) -> Reading | None:
        """The next events after the newest cursor of `history` that is still in the chain.

        `history` holds earlier cursors, newest first (empty: from the deployment on). None when there is
        nothing new, and once after a reading up to the head: blocks may come faster than they are read, and
        what came late has its turn, too. At most `span` blocks at a time: call again until None.
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
        reached, self._reached = self._reached, None
        if (head.number <= start or reached == start) and not rewound:
            return self._late(head, known)
        end = min(head.number, start + self._span)
        if end <= start:
            # Rewound to exactly the head: nothing to read yet, but the drop must be told.
            cursor = known or Cursor(max(start, 0), self._chain.block(max(start, 0)).hash)
            return Reading((), cursor, self._unsettled(start), rewound_to=start)
        return self._reading(start, end, head.number, known, rewound_to=start if rewound else None)

    def _reading(
        self,
        start: int,
        end: int,
        head: int,
        known: Cursor | None,
        *,
        rewound_to: int | None,
        again: bool = False,
    ) -> Reading | None:
        end_block = self._chain.block(end)
        logs = self._chain.logs(self._contracts.addresses, start + 1, end)
        events = self._contracts.events.decode(logs)
        if self._chain.block_hash(end) != end_block.hash or (known and not self._is_canonical(known)):
            return None  # reorganised while reading; the next call sees the new chain
        self._forget_after(start)
        due = self._now() + READ_AGAIN_AFTER_S[0]
        for piece in _pieces(start, end, self._span, logs):
            self._ranges.append(_Range(piece.start, piece.end, piece.logs, 1, due))
        cursor, unsettled = Cursor(end, end_block.hash), self._unsettled(start)
        if again and self._left is not None:
            self._read = None  # nothing else shows whether the store has taken it over
        self._reached = end if end == head else None
        return Reading(tuple(events), cursor, unsettled, rewound_to, tuple(logs), again)

    # --- once more

    @property
    def _ranges(self) -> list[_Range]:
        if self._read is None:
            self._read = []
        return self._read

    def _unsettled(self, start: int) -> Unsettled:
        """What changed with a reading from `start` on: what was told of a range across it, too, ends there now."""
        changed = [
            ReadRange(known.start, known.end, known.logs) for known in self._ranges if known.end >= start
        ]
        settled, self._settled = tuple(self._settled), []
        return Unsettled(min([start, *(known.start for known in changed)]), settled, tuple(changed))

    def _of_an_earlier_life(self, history: Sequence[Cursor], before_first: int) -> list[_Range]:
        """What it left to be read again: as if it had been read just now, since no clock says how long ago it
        was."""
        if not history:
            return []
        newest = history[0].number
        left = [known for known in (self._left() if self._left else ()) if known.start < newest]
        if left and left[-1].end > newest:
            left[-1] = ReadRange(left[-1].start, newest, None)
        if not left or left[-1].end < newest:  # a release that kept no ranges came in between
            before = max(_last_blocks(history, before_first, self._span), left[-1].end if left else 0)
            left.append(ReadRange(before, newest, None))
        due = self._now() + READ_AGAIN_AFTER_S[0]
        return [_Range(known.start, known.end, known.logs, 1, due) for known in left]

    def _forget_after(self, block: int) -> None:
        """Of blocks that are read anew nothing is known; of a range that they are a part of, the beginning."""
        self._read = [
            known if known.end <= block else replace(known, end=block, logs=None)
            for known in self._ranges
            if known.start < block
        ]

    def _late(self, head: Block, known: Cursor | None) -> Reading | None:
        """Ranges whose time has come are read again; the reading from the first on that has more logs now than
        before."""
        if (
            not self._ranges or head.number < self._ranges[-1].end
        ):  # an endpoint that is behind is asked later
            return None
        for part in self._due():
            logs = self._chain.logs(self._contracts.addresses, part[0].start + 1, part[-1].end)
            for found, now in zip(part, _counted(part, logs), strict=True):
                if now > (found.logs or 0):
                    return self._reading(
                        found.start, head.number, head.number, known, rewound_to=found.start, again=True
                    )
                self._note(found, now)
        return None

    def _due(self) -> list[list[_Range]]:
        """Those whose time has come, neighbours together; not more than a span at once, so that new blocks need
        not wait for them, and the newest first."""
        now, left = self._now(), self._span
        parts: list[list[_Range]] = []
        for found in reversed(self._ranges):
            if found.due > now:
                continue
            if parts and found.end - found.start > left:
                break
            left -= found.end - found.start
            if parts and parts[-1][0].start == found.end:
                parts[-1].insert(0, found)
            else:
                parts.append([found])
        return parts

    def _note(self, found: _Range, logs: int) -> None:
        """It was read again and has no more logs than before."""
        place = self._ranges.index(found)
        # As many as before: it counts as a reading. Fewer: it is now that the endpoint has not all of them.
        readings = found.readings + (logs == (found.logs or 0))
        if readings > len(READ_AGAIN_AFTER_S):
            del self._ranges[place]
            self._settled.append(found.end)
            return
        wait = READ_AGAIN_AFTER_S[readings - 1]
        if readings > 1:
            wait -= READ_AGAIN_AFTER_S[readings - 2]
        due = self._now() + wait
        if readings > 1:
            due = -(-due // _TOGETHER_S) * _TOGETHER_S
        self._ranges[place] = replace(found, logs=found.logs or 0, readings=readings, due=due)

    def _lags(self, history: Sequence[Cursor]) -> bool:
        """Whether the endpoint has just not come to where we are: its head is one of our blocks, or below all."""
        newest = self._chain.head().number
        if newest >= history[0].number:
            return False
        reached = next((cursor for cursor in history if cursor.number <= newest), None)
        return reached is None or self._is_canonical(reached)

    def _is_canonical(self, cursor: Cursor) -> bool:
        return self._chain.block_hash(cursor.number) == cursor.hash


def _pieces(start: int, end: int, span: int, logs: Sequence[RawLog]) -> list[ReadRange]:
    """The blocks start + 1 .. end in ranges of at most `span` blocks, with how many of the logs each has."""
    ranges = [ReadRange(low, min(end, low + span), None) for low in range(start, end, span)]
    return [replace(one, logs=count) for one, count in zip(ranges, _counted(ranges, logs), strict=True)]


def _counted(ranges: Sequence[ReadRange], logs: Sequence[RawLog]) -> list[int]:
    """How many of the logs, which are in order, each range has."""
    blocks = [log.block_number for log in logs]
    return [bisect_right(blocks, one.end) - bisect_right(blocks, one.start) for one in ranges]


def _last_blocks(history: Sequence[Cursor], before_first: int, span: int) -> int:
    """Where the reading began of which the first of the last blocks were a part."""
    near = [cursor for cursor in history if cursor.number >= history[0].number - READ_AGAIN_AT_START]
    # The very first reading began at the deployment, or less than a span in front of its cursor.
    first = max(before_first, near[-1].number - span)
    return history[len(near)].number if len(history) > len(near) else first
