"""A matrix product adds its bias at the accumulator's scale, once per row."""

from __future__ import annotations

import numpy as np

from prover.operators.matmul import MatMul
from prover.operators.rounding import Shift
from prover.quads import QUAD
from prover.relations import Ref

from .statements import OperatorCase, surviving_changes, violations

generator = np.random.default_rng(11)
X = generator.integers(-900, 900, (4, 5))
W = generator.integers(-20_000, 20_000, (5, 3))
B = generator.integers(-(1 << 27), 1 << 27, 3)
OPERATOR = MatMul(Ref("x"), "w", "y", ("row", "out"), ("in",), Shift(parameter="y_shift"), 20, (3,), bias="b")
CASE = OperatorCase(
    (OPERATOR,),
    {"in": 5, "out": 3},
    {"x": (("row", "in"), X)},
    {"w": (("in", "out"), W), "b": (("out",), B)},
    {"y_shift": 14},
)


def test_the_bias_is_added_before_rounding() -> None:
    expected = np.floor((X @ W + B) / 2**14 + 0.5)
    assert np.array_equal(CASE.run()["y"], expected)
    assert not np.array_equal(CASE.run()["y"], np.floor((X @ W) / 2**14 + 0.5))


def test_both_readers_compute_the_same_and_every_relation_holds() -> None:
    witness = CASE.witness()
    assert np.array_equal(witness["y"][:, :3], CASE.run()["y"])
    assert violations(CASE, witness) == []


def test_no_witness_value_can_be_changed() -> None:
    witness = CASE.witness()
    assert surviving_changes(CASE.checker(witness), CASE.program, witness) == []


def test_the_product_relation_reads_the_bias() -> None:
    witness = CASE.witness()
    found = CASE.checker(witness).violations_with("b", witness["b"] + 1)
    assert [(v.relation, v.failures) for v in found] == [("y", witness["y"].size // QUAD)]
