"""Provers of true statements who cheat in the argument itself: in what is committed, or in which value is whose."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from prover.argument.commitment import commit_chunks
from prover.curve.g1 import Point
from prover.evaluations import Evaluation
from prover.field import arrays

from .case import Case
from .malicious_prover import MaliciousProver

Chunks = dict[Hashable, np.ndarray]


class ChunkForger(MaliciousProver):
    """Commits to other chunks than the honest ones, says the honest evaluations, and opens what it has committed."""

    def __init__(self, case: Case, srs: Any, forge: Callable[[int, Chunks, list[Hashable]], None]) -> None:
        super().__init__(case.key, srs, case.statement, case.tensors)
        self._case, self._forge = case, forge
        self.forged: set[Hashable] = set()

    def _again(self) -> ChunkForger:
        return ChunkForger(self._case, self.srs, self._forge)

    def _commit(self, phase: int) -> list[Point]:
        honest = super()._commit(phase)
        keys: list[Hashable] = [
            (number, index)
            for number, zone in enumerate(self.plan.zones)
            if zone.phase == phase
            for index in zone.committed(self.context_bits, self.srs.mu)
        ]
        before = dict(self.chunks)
        self._forge(phase, self.chunks, keys)
        changed = {key for key in keys if self.chunks[key] is not before[key]}
        self.forged |= changed
        return [
            commit_chunks(self.srs.g1, [self.chunks[key]])[0] if key in changed else point
            for key, point in zip(keys, honest, strict=True)
        ]


class WindowStretcher(ChunkForger):
    """Claims an output window that has one coefficient more than a window has entries."""

    def __init__(self, case: Case, srs: Any, output: str) -> None:
        super().__init__(case, srs, lambda phase, chunks, keys: None)
        self._output = output

    def _again(self) -> WindowStretcher:
        return WindowStretcher(self._case, self.srs, self._output)

    def _public_chunks(self) -> None:
        super()._public_chunks()
        self.chunks[self._output, 0] = stretched(self.chunks[self._output, 0], 0)
        self.forged.add((self._output, 0))


def stretched(chunk: np.ndarray, further: int) -> np.ndarray:
    """The chunk with a 7 behind its end, `further` zeros away from it."""
    if chunk.ndim == 2:
        return np.concatenate([chunk, arrays.zeros(further), arrays.from_ints([7])])
    return np.concatenate([chunk.astype(np.int64), np.zeros(further, dtype=np.int64), [7]])


class Confuser(MaliciousProver):
    """Says two evaluations in each other's place: the ones at these places among all that are sent."""

    def __init__(self, case: Case, srs: Any, first: int, second: int) -> None:
        super().__init__(case.key, srs, case.statement, case.tensors)
        self._case, self._pair = case, (first, second)

    def _again(self) -> Confuser:
        return Confuser(self._case, self.srs, *self._pair)

    def _say(self, truth: dict[Evaluation, int]) -> dict[Evaluation, int]:
        first, second = (self.plan.sent[place] for place in self._pair)
        return {**truth, first: truth[second], second: truth[first]}
