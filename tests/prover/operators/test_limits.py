"""The limits that calibration goes by are those of the range checks: a looser one would hide a tensor without head-room."""

from __future__ import annotations

import pytest

from tests.prover.operators.random_layers import SMALL
from tests.prover.operators.test_ranges import RANGES

BY_TABLE = {"gate": 1 << (SMALL.activation_bits - 1)}
"""What no range check bounds but the activation's table, which has one entry per value."""


@pytest.mark.parametrize("kind", RANGES)
def test_a_limit_is_the_end_of_the_range(kind: str) -> None:
    signed = {name: high for name, (low, high) in RANGES[kind].items() if low < 0}
    assert SMALL.programs[kind].limits == signed | (BY_TABLE if kind == "mlp" else {})
