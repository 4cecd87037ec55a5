"""How many more answers the free stake backs: one counter from the acceptance of a request to its lock on chain.

    available = min over views (floor(free / lock) - answers not locked there) - reserved

A *view* is the free stake at one block together with the batches that this block locks already. An answer is thus
counted exactly once at every moment: reserved while it is generated, then placed but not locked in the view, then
locked. A view that is late only counts an answer twice, never not at all. Reservations live in memory: before an
answer is placed nothing about it was signed, so a kill frees them rightly.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from .errors import AnswerGivenUpError, NotReadyError
from .store import Journal

# A caller that takes longer to read a generated answer loses its place: its stake backs somebody else's.
_LONGEST_WAIT_FOR_READER_S = 30.0


@dataclass(frozen=True)
class StakeView:
    """Free stake at one block, in wei, and the batches (numbers of the journal) whose locks it includes."""

    free_wei: int
    locked_batches: frozenset[int]


class _Phase(Enum):
    HELD = auto()
    PLACING = auto()
    OVER = auto()


class Reservation:
    """The stake of one answer that is not placed yet. Every method may be called from any thread."""

    def __init__(self, book: Backing) -> None:
        self._book = book
        self._phase = _Phase.HELD
        self._generated_at: float | None = None

    def generated(self) -> None:
        """The answer exists; from now on its caller has a bounded time to take it."""
        self._generated_at = self._book.clock()

    def give_up(self) -> None:
        """No answer will be placed. Does nothing once placing has begun."""
        with self._book.lock:
            if self._phase is _Phase.HELD:
                self._phase = _Phase.OVER
                self._book.held.discard(self)

    def begin_placing(self) -> None:
        """Raises AnswerGivenUpError when the reservation was given up before."""
        with self._book.lock:
            if self._phase is not _Phase.HELD:
                raise AnswerGivenUpError()
            self._phase = _Phase.PLACING

    def end_placing(self) -> None:
        """The answer is in the journal, which counts it from now on, or failed to get there."""
        with self._book.lock:
            self._phase = _Phase.OVER
            self._book.held.discard(self)

    def waits_too_long(self, now: float) -> bool:
        """Whether the answer exists, but its caller does not take it."""
        if self._phase is not _Phase.HELD or self._generated_at is None:
            return False
        return now - self._generated_at > _LONGEST_WAIT_FOR_READER_S


class Backing:
    """The one place that decides whether one more answer may be promised."""

    def __init__(
        self,
        journal: Journal,
        lock_wei: int,
        views: Callable[[], Sequence[StakeView]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`views` gives the newest looks at the chain (empty: none yet); `lock_wei` is what one answer locks."""
        self._journal, self._lock_wei, self._views, self.clock = journal, lock_wei, views, clock
        self.held: set[Reservation] = set()
        self.lock = threading.RLock()  # never held during a query: the event loop takes it, too
        self._reserving = threading.Lock()

    @property
    def reserved(self) -> int:
        """Answers that are promised but not placed."""
        return len(self.held)

    def available(self) -> int:
        """Answers that may still be promised; negative when too many are."""
        # Before the journal: an answer that is placed meanwhile is counted twice rather than not at all.
        reserved = self.reserved
        return min((self._room(view) for view in self._views()), default=0) - reserved

    def reserve(self) -> Reservation:
        """Promise one answer. Raises NotReadyError when nothing is free."""
        with self._reserving:
            now = self.clock()
            with self.lock:
                for stale in [entry for entry in self.held if entry.waits_too_long(now)]:
                    stale.give_up()
            if self.available() < 1:
                raise NotReadyError("its free stake is used up until earlier answers are final")
            reservation = Reservation(self)
            with self.lock:
                self.held.add(reservation)
            return reservation

    def shortfall_wei(self) -> int:
        """Stake that must be added before everything that is promised can be posted; 0 when it suffices."""
        return max([0, *(self._needed_wei(view) - view.free_wei for view in self._views())])

    def _room(self, view: StakeView) -> int:
        return view.free_wei // self._lock_wei - self._journal.unlocked_count(view.locked_batches)

    def _needed_wei(self, view: StakeView) -> int:
        return self._journal.unlocked_count(view.locked_batches) * self._lock_wei
