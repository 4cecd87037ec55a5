"""Keeps the books of a deployment in step with its chain, reorganisations included."""

from __future__ import annotations

from collections.abc import Iterable

from .books import Books
from .deployment import ProtocolContracts
from .errors import PastIncomplete
from .events import Event
from .log_reader import Cursor, LogReader, Reading, ReadRange, keep

# Reorganisations that reach behind all of these read the chain from the deployment on.
_CURSORS_KEPT = 256


class Indexer:
    """Reads logs only, and one view once: the parameters, which no event carries and which never change.

    Holds all events, so that blocks which leave the chain can be taken out of the books again: they are kept anew
    from the events that are left.
    """

    def __init__(self, contracts: ProtocolContracts, *, confirmations: int = 0) -> None:
        self._unsettled: list[ReadRange] = []
        self._reader = LogReader(contracts, confirmations=confirmations, unsettled=lambda: self._unsettled)
        self._parameters = contracts.stake.parameters()
        self._events: list[Event] = []
        self._history: list[Cursor] = []  # newest first
        self.books = Books(self._parameters)
        self._problem: PastIncomplete | None = None

    @property
    def cursor(self) -> Cursor | None:
        """The last block whose events are in the books."""
        return self._history[0] if self._history else None

    def catch_up(self) -> Books:
        """The books up to the newest (confirmed) block. Raises what the bindings raise; then call it again.

        Raises PastIncomplete as long as events are missing that others follow from.
        """
        while (reading := self._reader.read(self._history)) is not None:
            if reading.rewound_to is None:
                self._events += reading.events
                self._apply(reading.events)
            else:
                self._keep_anew(reading, reading.rewound_to)
            before = [cursor for cursor in self._history if cursor.number < reading.cursor.number]
            self._history = [reading.cursor, *before][:_CURSORS_KEPT]
            self._unsettled = keep(self._unsettled, reading.unsettled)
        if self._problem is not None:
            raise self._problem
        return self.books

    def _keep_anew(self, reading: Reading, rewound_to: int) -> None:
        if not reading.again:
            self._events = [event for event in self._events if event.at.block_number <= rewound_to]
            self._history = [cursor for cursor in self._history if cursor.number <= rewound_to]
        at = {_place(event): event for event in (*self._events, *reading.events)}
        self._events = [at[place] for place in sorted(at)]
        self.books, self._problem = Books(self._parameters), None
        self._apply(self._events)

    def _apply(self, events: Iterable[Event]) -> None:
        """Unless something is missing already: then the books are kept anew when it came."""
        for event in events if self._problem is None else ():
            try:
                self.books.apply(event)
            except KeyError:  # of something of which it was not read that it began
                self._problem = PastIncomplete(type(event).__name__, event.at.block_number)
                return


def _place(event: Event) -> tuple[int, int]:
    return event.at.block_number, event.at.log_index
