"""A tape as products and sums of linear forms in its columns.

A column is linear in the variable of a round, and so is a form: it has to be worked out at two points of a round only, and
is stepped from there to the others. What is left at every point are products of forms and their sums. Constants cost nothing
there, since each scales a form:  alpha (u v + w) = (alpha u) v + alpha w.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..field import arrays
from ..field.arrays import MODULUS
from .tape import ADD, MULTIPLY, SUBTRACT, Tape


@dataclass(frozen=True)
class Form:
    """constant + sum of coefficient * column, as (column, coefficient) in the order of columns, none of them zero."""

    constant: int
    coefficients: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class FormTape:
    """code: (instructions, 3) of (operation, left, right), on registers: first the forms, then one per instruction; the last is the value."""

    forms: tuple[Form, ...]
    code: np.ndarray

    @classmethod
    def of(cls, tape: Tape) -> FormTape:
        """The same polynomial."""
        reader = _Reader(tape.columns, arrays.to_ints(tape.constants))
        for operation, left, right in tape.code.tolist():
            reader.read(operation, left, right)
        return _Writer(reader.values).tape()


@dataclass
class _Value:
    """A linear form, and products of two values by their numbers, each with its coefficient."""

    constant: int = 0
    linear: dict[int, int] = field(default_factory=dict)
    products: dict[tuple[int, int], int] = field(default_factory=dict)

    @property
    def is_constant(self) -> bool:
        return not self.linear and not self.products

    def plus(self, other: _Value, factor: int) -> _Value:
        """self + factor * other."""
        linear, products = dict(self.linear), dict(self.products)
        for column, coefficient in other.linear.items():
            linear[column] = (linear.get(column, 0) + factor * coefficient) % MODULUS
        for pair, coefficient in other.products.items():
            products[pair] = (products.get(pair, 0) + factor * coefficient) % MODULUS
        return _Value(
            (self.constant + factor * other.constant) % MODULUS,
            {column: c for column, c in linear.items() if c},
            {pair: c for pair, c in products.items() if c},
        )


class _Reader:
    """Values of all registers of a tape."""

    def __init__(self, columns: int, constants: list[int]) -> None:
        self.values = [_Value(linear={column: 1}) for column in range(columns)]
        self.values += [_Value(constant) for constant in constants]

    def read(self, operation: int, left: int, right: int) -> None:
        """The next instruction."""
        a, b = self.values[left], self.values[right]
        if operation != MULTIPLY:
            assert operation in (ADD, SUBTRACT)
            value = a.plus(b, 1 if operation == ADD else -1)
        elif a.is_constant or b.is_constant:
            constant, other = (a, b) if a.is_constant else (b, a)
            value = _Value().plus(other, constant.constant)
        else:
            value = _Value(products={(min(left, right), max(left, right)): 1})
        self.values.append(value)


_Register = tuple[bool, int]
"""(whether it is a result, its number among those)."""


class _Writer:
    """Writes the last of some values as a tape of forms."""

    def __init__(self, values: list[_Value]) -> None:
        self._values = values
        self._forms: dict[Form, int] = {}
        self._code: list[tuple[int, _Register, _Register]] = []
        self._written: dict[tuple[int, int], _Register] = {}
        self._costs: dict[int, int] = {}

    def tape(self) -> FormTape:
        """All of it."""
        last = self._write(len(self._values) - 1, 1)
        if last != (True, len(self._code) - 1):  # a form alone
            self._emit(ADD, last, self._form(_Value(), 1))
        count = len(self._forms)
        code = [
            (operation, *(number + count * is_result for is_result, number in operands))
            for operation, *operands in self._code
        ]
        return FormTape(tuple(self._forms), np.array(code, dtype=np.int64))

    def _write(self, number: int, scale: int) -> _Register:
        """scale * value."""
        if (number, scale) not in self._written:
            value, parts = self._values[number], []
            if value.constant or value.linear or not value.products:
                parts.append(self._form(value, scale))
            for pair, coefficient in value.products.items():
                scaled, other = sorted(pair, key=self._cost)
                left = self._write(scaled, scale * coefficient % MODULUS)
                parts.append(self._emit(MULTIPLY, left, self._write(other, 1)))
            register = parts[0]
            for part in parts[1:]:
                register = self._emit(ADD, register, part)
            self._written[number, scale] = register
        return self._written[number, scale]

    def _cost(self, number: int) -> int:
        """How many coefficients of forms a scale multiplies."""
        if number not in self._costs:
            value = self._values[number]
            products = sum(min(map(self._cost, pair)) for pair in value.products)
            self._costs[number] = len(value.linear) + products
        return self._costs[number]

    def _form(self, value: _Value, scale: int) -> _Register:
        coefficients = tuple((column, scale * c % MODULUS) for column, c in sorted(value.linear.items()))
        form = Form(scale * value.constant % MODULUS, coefficients)
        return False, self._forms.setdefault(form, len(self._forms))

    def _emit(self, operation: int, left: _Register, right: _Register) -> _Register:
        self._code.append((operation, left, right))
        return True, len(self._code) - 1


__all__ = ["Form", "FormTape"]
