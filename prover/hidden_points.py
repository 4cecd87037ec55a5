"""Hiding commitments (hiding.py) of many points at once, with a table of the multiples of H."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from .curve.g1 import Point
from .curve.msm import FixedBase
from .curve.point_arrays import PointArray, from_points, to_points
from .curve.segment_sums import add_elementwise
from .field import arrays
from .hiding import Blindings, blinding_base, draw_blinding, system_scalar
from .masks import Scalars
from .statement import Statement, StepKey, VerifyingKey


@lru_cache
def _multiples_of_base(srs_digest: bytes) -> FixedBase:
    return FixedBase(blinding_base(srs_digest))


def blind_all(points: Sequence[Point], blindings: Sequence[int], srs_digest: bytes) -> list[Point]:
    """point + b H for many points."""
    return to_points(blind_array(from_points(points), blindings, srs_digest)) if points else []


def blind_array(points: PointArray, blindings: Sequence[int], srs_digest: bytes) -> PointArray:
    """The same for an (n, 8) array."""
    return add_elementwise(
        points, _multiples_of_base(srs_digest).multiples(arrays.from_ints(list(blindings)))
    )


def hide(
    key: VerifyingKey, statement: Statement, scalar: Scalars = system_scalar
) -> tuple[Statement, Blindings]:
    """A statement about deterministic commitments as one about hiding ones, and the blindings that were drawn for it."""

    def drawn(points: Sequence[Point]) -> tuple[tuple[Point, ...], tuple[int, ...]]:
        blindings = tuple(draw_blinding(scalar) for _ in points)
        return tuple(blind_all(points, blindings, key.srs_digest)), blindings

    points, of_key = drawn(statement.key.points)
    inputs, of_inputs = drawn(statement.inputs)
    hidden = replace(statement, key=StepKey(statement.key.parameters, points), inputs=inputs)
    return hidden, Blindings(of_key, of_inputs)
