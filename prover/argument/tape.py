"""Straight-line programs over the field: what a sumcheck term evaluates at every point.

A tape works on registers: first the columns (one table each), then constants, then one result per
instruction. The last register is the value. Building a tape never touches field arrays; the kernels of
sumcheck.py execute it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..field import arrays
from ..field.arrays import MODULUS

ADD, SUBTRACT, MULTIPLY = 0, 1, 2


@dataclass
class TapeBuilder:
    """Builds a tape with common subexpressions shared. Values are handles: ("c", i), ("k", i) or ("r", i)."""

    columns: int
    _constants: dict[int, int] = field(default_factory=dict)
    _instructions: list[tuple[int, tuple[str, int], tuple[str, int]]] = field(default_factory=list)
    _known: dict[tuple[int, tuple[str, int], tuple[str, int]], tuple[str, int]] = field(default_factory=dict)
    _degrees: dict[tuple[str, int], int] = field(default_factory=dict)

    def column(self, index: int) -> tuple[str, int]:
        """The handle of a column."""
        if not 0 <= index < self.columns:
            raise IndexError(f"column {index} of {self.columns}")
        return ("c", index)

    def constant(self, value: int) -> tuple[str, int]:
        """The handle of a constant."""
        value %= MODULUS
        return ("k", self._constants.setdefault(value, len(self._constants)))

    def degree(self, handle: tuple[str, int]) -> int:
        """Degree of a value in one variable, when columns are multilinear."""
        return {"c": 1, "k": 0}.get(handle[0], self._degrees.get(handle, 0))

    def add(self, left: tuple[str, int], right: tuple[str, int]) -> tuple[str, int]:
        """left + right."""
        return self._emit(ADD, left, right, max(self.degree(left), self.degree(right)))

    def multiply(self, left: tuple[str, int], right: tuple[str, int]) -> tuple[str, int]:
        """left * right."""
        for one, other in ((left, right), (right, left)):
            if one[0] == "k" and self._constants.get(1) == one[1]:
                return other
        return self._emit(MULTIPLY, left, right, self.degree(left) + self.degree(right))

    def _emit(
        self, operation: int, left: tuple[str, int], right: tuple[str, int], degree: int
    ) -> tuple[str, int]:
        key = (operation, *sorted((left, right)))
        if key not in self._known:
            handle = ("r", len(self._instructions))
            self._instructions.append((operation, left, right))
            self._known[key] = handle  # type: ignore[index]
            self._degrees[handle] = degree
        return self._known[key]  # type: ignore[index]

    def finish(self, value: tuple[str, int]) -> Tape:
        """The tape whose value is the given handle."""
        if value != ("r", len(self._instructions) - 1):
            value = self._emit(ADD, value, self.constant(0), self.degree(value))
            if value != ("r", len(self._instructions) - 1):  # it existed before: compute it again, last
                operation, left, right = self._instructions[value[1]]
                self._instructions.append((operation, left, right))
        base = {"c": 0, "k": self.columns, "r": self.columns + len(self._constants)}
        code = np.array(
            [(operation, base[a[0]] + a[1], base[b[0]] + b[1]) for operation, a, b in self._instructions],
            dtype=np.int64,
        ).reshape(-1, 3)
        return Tape(self.columns, arrays.from_ints(list(self._constants)), code, self.degree(value))


@dataclass(frozen=True)
class Tape:
    """columns: number of tables; constants: (k, 4); code: (instructions, 3) of (operation, left, right)."""

    columns: int
    constants: np.ndarray
    code: np.ndarray
    degree: int
