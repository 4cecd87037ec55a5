"""The limits that calibration goes by are those of the range checks: a looser one would hide a tensor without head-room."""

from __future__ import annotations

import pytest

from prover.operators.layer_norm import LayerNorm
from prover.operators.rms_norm import RmsNorm
from prover.relations import Lookup, Ref
from tests.prover.operators.random_layers import SMALL, program_of
from tests.prover.operators.test_ranges import LIMB, RANGES

BY_TABLE = {"gate": 1 << (SMALL.activation_bits - 1)}
"""What no range check bounds but the activation's table, which has one entry per value."""


@pytest.mark.parametrize("kind", RANGES)
def test_a_limit_is_the_end_of_the_range(kind: str) -> None:
    signed = {name: high for name, (low, high) in RANGES[kind].items() if low < 0}
    assert program_of(kind).limits == signed | (BY_TABLE if kind in ("mlp", "mlp_tile") else {})


def test_the_limit_of_a_layer_norm_is_the_end_of_its_range() -> None:
    norm = LayerNorm(Ref("x"), "n", ("row",), 24, 1 << 20, 40, 30, 15)
    (check,) = (
        r for r in norm.relations(SMALL.programs["mlp"]) if isinstance(r, Lookup) and r.name == "n_range"
    )
    assert norm.bits < LIMB and check.first == Ref("n") + norm.limits()["n"]


@pytest.mark.parametrize("gain", [None, "gain"])
def test_a_norm_is_bounded_by_itself_unless_it_has_a_gain(gain: str | None) -> None:
    """Calibration need not look at what no input can make larger; a gain can."""
    norm = RmsNorm(
        Ref("x"), "n", ("row",), 24, 1 << 20, 30, 20, 15, gain=gain, gain_bits=12 if gain else None
    )
    assert norm.bounded() == (() if gain else ("n",))
