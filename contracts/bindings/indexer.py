"""Keeps the books of a deployment in step with its chain, reorganisations included."""

from __future__ import annotations

from .books import Books
from .deployment import ProtocolContracts
from .events import Event
from .log_reader import Cursor, LogReader

# Reorganisations that reach behind all of these read the chain from the deployment on.
_CURSORS_KEPT = 256


class Indexer:
    """Reads logs only, and one view once: the parameters, which no event carries and which never change.

    Holds all events, so that blocks which leave the chain can be taken out of the books again: they are kept anew
    from the events that are left.
    """

    def __init__(self, contracts: ProtocolContracts, *, confirmations: int = 0) -> None:
        self._reader = LogReader(contracts, confirmations=confirmations)
        self._parameters = contracts.stake.parameters()
        self._events: list[Event] = []
        self._history: list[Cursor] = []  # newest first
        self.books = Books(self._parameters)

    @property
    def cursor(self) -> Cursor | None:
        """The last block whose events are in the books."""
        return self._history[0] if self._history else None

    def catch_up(self) -> Books:
        """The books up to the newest (confirmed) block. Raises what the bindings raise; then call it again."""
        while (reading := self._reader.read(self._history)) is not None:
            if reading.rewound_to is not None:
                self._drop_after(reading.rewound_to)
            for event in reading.events:
                self._events.append(event)
                self.books.apply(event)
            self._history = [reading.cursor, *self._history][:_CURSORS_KEPT]
        return self.books

    def _drop_after(self, block: int) -> None:
        self._events = [event for event in self._events if event.at.block_number <= block]
        self._history = [cursor for cursor in self._history if cursor.number <= block]
        self.books = Books(self._parameters)
        for event in self._events:
            self.books.apply(event)
