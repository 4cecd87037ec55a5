"""How many blocks of logs to ask for at once: endpoints refuse what is too long, each by a rule of its own."""

from __future__ import annotations

_FIRST = 512
_LONGEST = 1 << 17
_TRUST_AGAIN = 64  # pieces taken before a longer one than was refused is tried again


class LogSpan:
    """Starts small, halves when a piece is refused, doubles when one is taken; what was refused is remembered."""

    def __init__(self) -> None:
        self.next = _FIRST
        self._ceiling, self._taken = _LONGEST, 0

    def refused(self, blocks: int) -> bool:
        """A piece of so many blocks was refused: whether a shorter one can be tried."""
        if blocks <= 1:
            return False
        self._ceiling = self.next = blocks // 2
        self._taken = 0
        return True

    def taken(self, blocks: int) -> None:
        """A piece of so many blocks was answered."""
        self._taken += 1
        if self._taken >= _TRUST_AGAIN:
            self._ceiling, self._taken = min(2 * self._ceiling, _LONGEST), 0
        if blocks >= self.next:
            self.next = min(2 * self.next, self._ceiling)
