"""A tape of forms is the polynomial of the tape that it was made from, and multiplies no more than it must."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from prover.argument.forms import FormTape
from prover.argument.round_masks import tape_value
from prover.argument.tape import MULTIPLY, SUBTRACT, Tape, TapeBuilder
from prover.field.arrays import MODULUS

COLUMNS = 4


def _value(tape: FormTape, columns: Sequence[int]) -> int:
    registers = [form.constant + sum(c * columns[k] for k, c in form.coefficients) for form in tape.forms]
    for operation, left, right in tape.code.tolist():
        a, b = registers[left], registers[right]
        registers.append((a * b if operation == MULTIPLY else a + b) % MODULUS)
    return registers[-1]


def _random_tape(seed: int) -> Tape:
    """Sums, differences and products of whatever is there: constants, forms, products that are used again."""
    generator, builder = random.Random(seed), TapeBuilder(COLUMNS)
    values = [builder.column(k) for k in range(COLUMNS)]
    values += [builder.constant(c) for c in (0, 1, -1, generator.randrange(MODULUS))]
    for _ in range(generator.randrange(1, 25)):
        left, right = generator.choices(values, k=2)
        operation = generator.randrange(3)
        if operation == SUBTRACT:
            values.append(builder._emit(SUBTRACT, left, right, 0))
        else:
            values.append((builder.multiply if operation == MULTIPLY else builder.add)(left, right))
    return builder.finish(values[-1])


@pytest.mark.parametrize("seed", range(40))
def test_a_tape_of_forms_has_the_same_values(seed: int) -> None:
    generator, tape = random.Random(seed), _random_tape(seed)
    forms = FormTape.of(tape)
    assert len(set(forms.forms)) == len(forms.forms) and all(
        c for f in forms.forms for _, c in f.coefficients
    )
    for _ in range(3):
        columns = [generator.randrange(MODULUS) for _ in range(COLUMNS)]
        assert _value(forms, columns) == tape_value(tape, columns)


def test_constants_go_into_forms() -> None:
    """a (7 b (c + 3) + 5 (b + 2 d)) + 9 d: one product for each that has two factors, none for a constant."""
    builder = TapeBuilder(COLUMNS)
    a, b, c, d = (builder.column(k) for k in range(COLUMNS))
    three, five, seven, nine, two = (builder.constant(k) for k in (3, 5, 7, 9, 2))
    inner = builder.multiply(seven, builder.multiply(b, builder.add(c, three)))
    inner = builder.add(inner, builder.multiply(five, builder.add(b, builder.multiply(two, d))))
    tape = builder.finish(builder.add(builder.multiply(a, inner), builder.multiply(nine, d)))
    forms = FormTape.of(tape)
    assert [operation for operation, _, _ in forms.code.tolist()].count(MULTIPLY) == 2
    assert {form.coefficients for form in forms.forms} == {
        ((0, 1),),
        ((1, 7),),
        ((2, 1),),
        ((1, 5), (3, 10)),
        ((3, 9),),
    }
    assert _value(forms, [2, 3, 4, 5]) == tape_value(tape, [2, 3, 4, 5]) == 2 * (21 * 7 + 5 * 13) + 45
