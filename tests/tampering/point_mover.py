"""A prover who moves an output commitment by published powers of tau that the SRS does not keep, and proves it all the same.

The output's integers are the right ones, and so is everything that the protocol says about them: only the opening sees the
higher powers. It is made by `long_opening.py`, from all powers that the ceremony published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

import prover.prove
from prover.argument.mercury import MercuryOpening
from prover.argument.reduction import chunk_coefficients
from prover.argument.reduction_prover import prove_reduction
from prover.argument.transcript import Transcript
from prover.curve.combinations import combine
from prover.curve.g1 import Point, add
from prover.curve.point_arrays import PointArray, to_points
from prover.curve.srs import SRS
from prover.field.arrays import MODULUS
from prover.proof import Proof
from prover.prove import prove
from prover.statement import Statement, VerifyingKey

from .long_opening import open_longer


def moved(point: Point, powers: PointArray, moves: Mapping[int, int]) -> Point:
    """The commitment plus sum moves[i] [tau^i]."""
    points = to_points(np.ascontiguousarray(powers[list(moves)]))
    return add(point, combine(points, [factor % MODULUS for factor in moves.values()]))


def prove_moved(
    key: VerifyingKey,
    srs: SRS,
    powers: PointArray,
    statement: Statement,
    tensors: Mapping[str, np.ndarray],
    moves: Mapping[int, int],
    strategy: str,
    output: str = "after",
) -> Proof:
    """Prove a statement one of whose outputs is `moved`; the tensors are those of the true one.

    powers: all that were published of the SRS's tau.
    """
    factor = 0

    def reduction(claims: Any, *rest: Any) -> Any:
        nonlocal factor
        result = prove_reduction(claims, *rest)
        factor = chunk_coefficients(claims, result[0].point)[output, 0]
        return result

    def opening(
        _: np.ndarray,
        combination: np.ndarray,
        u: Sequence[int],
        value: int,
        transcript: Transcript,
        *,
        blinding: Sequence[int],
    ) -> MercuryOpening:
        assert not blinding  # of a public statement
        high = {place: factor * change % MODULUS for place, change in moves.items()}
        return open_longer(powers, combination, high, u, value, transcript, strategy)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prover.prove, "prove_reduction", reduction)
        patch.setattr(prover.prove, "open_mercury", opening)
        return prove(key, srs, statement, tensors)
