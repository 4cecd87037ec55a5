"""A provider that posts whatever it likes and proves everything that a sound proof system lets it prove."""

from __future__ import annotations

from collections.abc import Collection

from contracts.protocol.model import Point
from tests.contracts.synthetic import NotProvable, SyntheticTrace, generator_multiple

Cell = tuple[int, int]
"""A boundary and a window, or a step and a window."""


class AdaptiveLiar(SyntheticTrace):
    """Posts whatever it likes and proves everything that a sound proof system does not rule out.

    A step of a window whose inputs are the true ones is ruled out unless it claims the true output and no value leaves
    its range there. About other inputs the liar may claim anything.
    """

    def __init__(self, truth: SyntheticTrace, end: Cell | None, lies: Collection[Cell] = ()) -> None:
        super().__init__(truth.model, truth.prompt_ids, truth.output_ids)
        self._end, self._lies = end, frozenset(lies)

    def _point(self, s: int, window: int) -> Point:
        if (s, window) in self._lies:
            return generator_multiple(301 + 8 * s + window)
        return super()._point(s, window)

    def _is_true(self, s: int, window: int) -> bool:
        return (s, window) not in self._lies

    def prove_step(self, s: int, window: int) -> bytes:
        read = range(window + 1) if s % 2 == 0 else (window,)
        if all(self._is_true(s, w) for w in read) and (
            (s, window) == self._end or not self._is_true(s + 1, window)
        ):
            raise NotProvable
        return b"accepted"

    def prove_embedding(self, window: int) -> bytes:
        if not self._is_true(0, window):
            raise NotProvable
        return b"accepted"

    def argmax(self, position: int) -> int | None:
        return self.output_ids[position + 1 - len(self.prompt_ids)]

    def prove_head(self, position: int, rival: int) -> bytes:
        return b"accepted"
