"""Guesses at the next tokens of a text, from what followed its last tokens before (prompt lookup decoding, A. Saxena 2023).

A pass of a few rows costs little more than one of a single row, since both read all weights once. What follows a token is
decided by the model alone, also where an answer is sampled (the noise of a position is a function of the seed), so rows of guessed tokens may
be fed behind the last one that is known: they are kept as far as the guesses were right, and the first wrong one is replaced by what the row in
front of it says. The same ids come out whatever was guessed. Answers that quote their prompt, or themselves, take half of the passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np

from ..program import OutOfRange
from ..sampling import Sampling

MOST_GUESSES = 7
"""With the row in front of them two blocks of the rows that are multiplied at a time (word_gemm.py)."""
_MORE_THAN_RIGHT = 2
"""How many more tokens are guessed than were right the last time."""
_LONGEST_PAUSE = 32
"""Tokens without a guess, at most, where guesses keep being wrong."""


class LookAhead:
    """The tokens of one sequence, and how well those that followed could be guessed."""

    def __init__(self, prompt: Sequence[int], max_tokens: int) -> None:
        self._ids = np.empty(len(prompt) + max_tokens, dtype=np.int64)
        self._ids[: len(prompt)] = prompt
        self._count, self._left = len(prompt), max_tokens
        self._most, self._pause, self._wrong = _MORE_THAN_RIGHT, 0, 0

    def add(self, token: int) -> None:
        """A token that is known."""
        self._ids[self._count] = token
        self._count += 1
        self._left -= 1

    def guess(self, most: int = MOST_GUESSES) -> list[int]:
        """What followed the last three tokens, else the last two, where they stood before most recently: at most `most`, and never
        more than can be fed (the last token of an answer is not)."""
        most = min(most, self._most, self._left - 1)
        if self._pause:
            self._pause -= 1
            return []
        if most < 1 or self._count < 3:
            return []
        ids = self._ids[: self._count]
        found = np.flatnonzero((ids[:-2] == ids[-2]) & (ids[1:-1] == ids[-1]))
        if not found.size:
            return []
        longer = found[(found > 0) & (ids[found - 1] == ids[-3])]
        after = int((longer if longer.size else found)[-1]) + 2
        again = after + np.arange(most) % (self._count - after)  # a text that repeats itself goes on doing so
        guessed: list[int] = ids[again].tolist()
        return guessed

    def note(self, right: int) -> None:
        """So many of the last guess were right."""
        self._most = min(MOST_GUESSES, right + _MORE_THAN_RIGHT)
        self._wrong = 0 if right else self._wrong + 1
        self._pause = min(_LONGEST_PAUSE, 1 << (self._wrong - 2)) if self._wrong > 1 else 0

    def give_up(self) -> None:
        """The rows of a guess could not be run: the next pass is without one."""
        self.note(0)
        self._pause = max(1, self._pause)


def as_long_as_right(guessed: Sequence[int], choose: Callable[[int], int]) -> Iterator[int]:
    """The tokens that follow: choose(0), the one behind the last token that was known, and choose(i + 1), behind guess i, as long as all
    guesses up to it were right."""
    for place in range(len(guessed) + 1):
        token = choose(place)
        yield token
        if place < len(guessed) and token != guessed[place]:
            return


class Chooses(Protocol):
    """The part of `execute.Executor` that knows what follows a row."""

    def largest(self, rows: np.ndarray, positions: np.ndarray) -> np.ndarray: ...

    def predictions(
        self, rows: np.ndarray, first_position: int = 0, sampling: Sampling | None = None
    ) -> np.ndarray: ...


def chooser(
    executor: Chooses, rows: np.ndarray, position: int, sampling: Sampling | None
) -> Callable[[int], int]:
    """The token that follows row i, for whoever asks from 0 on. What is wrong with a row behind a wrong guess is nobody's concern: it is
    not looked at, or together with others, and then again by itself where it is the text's."""

    def alone(place: int) -> int:
        return int(executor.predictions(rows[place : place + 1], position + place, sampling)[0])

    if sampling is not None or len(rows) == 1:
        return alone
    try:
        together = executor.largest(rows, np.arange(position, position + len(rows)))
    except OutOfRange:
        return alone
    return lambda place: int(together[place])
