"""A matrix for every head: its meaning, its borders, and that nothing of it can be changed."""

from __future__ import annotations

import numpy as np
import pytest

from prover.model.bounds import sums_exactly
from prover.operators.head_matmul import HEAD_ROWS, HeadMatMul
from prover.operators.rounding import Shift
from prover.program import OutOfRange, RunContext

from .statements import OperatorCase, surviving_changes, violations

HEADS, INPUTS, OUTPUTS, SHIFT = 3, 5, 6, 4
generator = np.random.default_rng(3)
X = generator.integers(-500, 500, (1, HEADS, 4, INPUTS))  # (group, head, row, input)
W = generator.integers(-300, 300, (HEADS, INPUTS, OUTPUTS))
ROWS = X.transpose(2, 0, 1, 3)


def case(bits: int = 20) -> OperatorCase:
    operator = HeadMatMul("x", "w", "y", "input", "output", Shift(constant=SHIFT), bits)
    sizes = {"kv_group": 1, "query": HEADS, "input": INPUTS, "output": OUTPUTS}
    return OperatorCase(
        (operator,), sizes, {"x": ((*HEAD_ROWS, "input"), X)}, {"w": (("query", "input", "output"), W)}, {}
    )


def run(bits: int = 20, x: np.ndarray = ROWS) -> np.ndarray:
    flat = W.reshape(-1, OUTPUTS)
    context = RunContext(
        {"x": x}, {}, lambda name, rows, inputs: rows @ flat[inputs], np.arange(40, 40 + len(x))
    )
    case(bits).operators[0].run(context)
    return np.asarray(context.tensors["y"])


def test_every_head_has_its_own_matrix() -> None:
    exact = np.einsum("tghi,hio->tgho", ROWS, W)
    expected = np.floor(exact / 2**SHIFT + 0.5).astype(np.int64)
    assert np.array_equal(run(), expected)
    witness = case().witness()
    own = witness["y"][:, :HEADS, :, :OUTPUTS]
    assert np.array_equal(own, expected.transpose(1, 2, 0, 3))
    assert not witness["y"][:, HEADS:].any() and not witness["y"][..., OUTPUTS:].any()
    assert violations(case(), witness) == []
    assert surviving_changes(case().checker(witness), case().program, witness) == []


def test_what_leaves_its_range_is_refused_with_its_position_and_has_no_witness() -> None:
    largest = int(np.abs(run()).max())
    bits = largest.bit_length()
    with pytest.raises(OutOfRange, match="tensor y") as refused:
        run(bits)
    row = int(np.argwhere(np.abs(run()).reshape(4, -1).max(axis=1) >= 1 << (bits - 1))[0][0])
    assert refused.value.position == 40 + row
    assert violations(case(bits), case(bits).witness()) == ["y_range"]
    assert run(bits + 1).shape == (4, 1, HEADS, OUTPUTS)


def test_sums_are_those_of_one_head() -> None:
    """The heads' inputs lie one behind the other, and one block of them is not zero."""
    values = np.full((1, 4 * 8), 1 << 14, dtype=np.int16)
    assert sums_exactly(values, 37 - 1, 4, 1) and not sums_exactly(values, 37, 4, 1)
    assert not sums_exactly(values, 37 - 1, 4, 4)
