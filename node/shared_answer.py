"""One answer for all who ask a question at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

_T = TypeVar("_T")


class SharedAnswer(Generic[_T]):
    """A question that takes time, asked by many threads. Nobody gets an answer that was begun before it asked.

    Who comes while the question is being asked waits for the next time, together with everybody else who came meanwhile: so it
    is asked twice for however many come at once.
    """

    def __init__(self, ask: Callable[[], _T]) -> None:
        self._ask = ask
        self._asking, self._guard = threading.Lock(), threading.Lock()
        self._next: Future[_T] | None = None

    def __call__(self) -> _T:
        """The answer. Raises what the question raised."""
        with self._guard:
            shared = self._next
            if shared is None:
                own = self._next = Future()
        if shared is not None:
            return shared.result()
        with self._asking:
            with self._guard:
                self._next = None  # from here on it may have begun before whoever comes
            try:
                own.set_result(self._ask())
            except BaseException as error:
                own.set_exception(error)
        return own.result()
