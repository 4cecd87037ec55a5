"""What a prover can do with a value that leaves its range: put it back somehow, or leave it, and prove what follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from prover.operators.activation import Activation
from prover.operators.rounding import SignedRange
from prover.program import RunContext, WitnessContext

PutBack = Callable[[np.ndarray, int, int], None]


def _saturated(values: np.ndarray, low: int, high: int) -> None:
    np.clip(values, low, high - 1, out=values)


def _wrapped(values: np.ndarray, low: int, high: int) -> None:
    values[...] = (values - low) % (high - low) + low


def _as_it_is(values: np.ndarray, low: int, high: int) -> None:
    """The boundary is what an unchecked run gives; lookups of the value itself fail."""


COVER_UPS: dict[str, PutBack] = {"saturated": _saturated, "wrapped": _wrapped, "left as it is": _as_it_is}


@contextmanager
def covered_up(how: str) -> Iterator[None]:
    """Run and witness put every value back into its range instead of refusing it; what follows is computed honestly."""
    put_back, range_witness, activation_witness = COVER_UPS[how], SignedRange.witness, Activation.witness

    def check_range(self: RunContext, name: str, values: np.ndarray, low: int, high: int) -> None:
        put_back(values, low, high)

    def covered_range(self: SignedRange, context: WitnessContext) -> None:
        half = 1 << (self.bits - 1)
        put_back(context.tensors[self.tensor], -half, half)
        range_witness(self, context)

    def covered_activation(self: Activation, context: WitnessContext) -> None:
        half = 1 << (self.bits - 1)
        put_back(context.tensors[self.x], -half, half)
        activation_witness(self, context)

    def table_run(self: Activation, context: RunContext) -> None:
        half = 1 << (self.bits - 1)
        put_back(context.tensors[self.x], -half, half)
        context.tensors[self.output] = np.take(self._table, context.tensors[self.x] + half, mode="clip")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunContext, "check_range", check_range)
        patch.setattr(SignedRange, "witness", covered_range)
        patch.setattr(Activation, "witness", covered_activation)
        patch.setattr(Activation, "run", table_run)
        yield
