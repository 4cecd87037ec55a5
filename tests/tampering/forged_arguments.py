"""Provers of true statements who cheat in the argument itself: in what is committed, or in which value is whose."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from prover.argument.commitment import commit_chunks
from prover.argument.multilinear import evaluate, to_field
from prover.claims import Point as SymbolicPoint
from prover.claims import build_claims, class_source
from prover.curve.g1 import Point
from prover.field import arrays
from prover.field.arrays import MODULUS
from prover.plan import Evaluation, TensorClass
from prover.statement import VerifyingKey

from .lies import Case
from .malicious_prover import MaliciousProver

Chunks = dict[Hashable, np.ndarray]


class ChunkForger(MaliciousProver):
    """Commits to other chunks than the honest ones, says the honest evaluations, and opens what it has committed."""

    def __init__(self, case: Case, srs: Any, forge: Callable[[Chunks, Sequence[TensorClass]], None]) -> None:
        super().__init__(case.key, srs, case.statement, case.tensors)
        self._forge = forge
        self.forged: set[Hashable] = set()

    def _commit(self, phase: int) -> list[Point]:
        honest = super()._commit(phase)
        classes = [c for c in self.plan.classes if c.phase == phase]
        before = dict(self.chunks)
        self._forge(self.chunks, classes)
        keys = [(class_source(self.plan, c), i) for c in classes for i in range(self._chunk_count(c))]
        changed = {key for key in keys if self.chunks[key] is not before[key]}
        self.forged |= changed
        return [
            commit_chunks(self.srs.g1, [self.chunks[key]])[0] if key in changed else point
            for key, point in zip(keys, honest, strict=True)
        ]

    def _true_claims(
        self, key: VerifyingKey, point: SymbolicPoint, _: Mapping[Evaluation, int], slots: Sequence[int]
    ) -> Any:
        """Claims that hold of the forged chunks, for the reduction to go on."""
        return [
            replace(claim, value=self._value(claim)) if self.forged & {k for k, _ in claim.weights} else claim
            for claim in build_claims(key, point, self._committed, slots)
        ]

    def _value(self, claim: Any) -> int:
        total = 0
        for chunk_key, weight in claim.weights:
            chunk = self.chunks[chunk_key]
            padded = arrays.zeros(1 << len(claim.point))
            padded[: len(chunk)] = chunk if chunk.ndim == 2 else to_field(chunk)
            total += weight * evaluate(padded, claim.point)
        return total % MODULUS


class WindowStretcher(ChunkForger):
    """Claims an output window that has one coefficient more than a window has entries."""

    def __init__(self, case: Case, srs: Any) -> None:
        super().__init__(case, srs, lambda chunks, classes: None)

    def _public_chunks(self) -> None:
        super()._public_chunks()
        self.chunks["after", 0] = stretched(self.chunks["after", 0], 0)
        self.forged.add(("after", 0))


def stretched(chunk: np.ndarray, further: int) -> np.ndarray:
    """The chunk with a 7 behind its end, `further` zeros away from it."""
    if chunk.ndim == 2:
        return np.concatenate([chunk, arrays.zeros(further), arrays.from_ints([7])])
    return np.concatenate([chunk.astype(np.int64), np.zeros(further, dtype=np.int64), [7]])


class Confuser(MaliciousProver):
    """Says the evaluations of two tensors of one class in each other's place."""

    def __init__(self, case: Case, srs: Any, first: str, second: str) -> None:
        super().__init__(case.key, srs, case.statement, case.tensors)
        self._pair = first, second

    def _say(self, truth: dict[Evaluation, int]) -> dict[Evaluation, int]:
        first, second = (self.plan.natural(name) for name in self._pair)
        return {**truth, first: truth[second], second: truth[first]}
