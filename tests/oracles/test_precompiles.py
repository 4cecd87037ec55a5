"""Group, multi-scalar multiplication and pairing against the EVM's precompiles 0x06, 0x07 and 0x08 on Anvil."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from prover.curve import g1, g2, msm, point_arrays, reference_pairing
from prover.curve.g1 import Point
from prover.curve.g2 import PointG2
from prover.curve.pairing import pairing_check
from prover.field import arrays
from prover.field.reference import BASE_MODULUS, SCALAR_MODULUS
from tests.oracles.hash_trace import TracingEvm

ADD, MULTIPLY, PAIRING = 6, 7, 8
G, H = g1.GENERATOR, g2.GENERATOR_G2
EDGES = (0, 1, 2, SCALAR_MODULUS - 1, SCALAR_MODULUS, SCALAR_MODULUS + 1, (1 << 256) - 1)
"""Scalars; the precompile takes any 256-bit number."""


def _points(seed: int, count: int) -> list[Point]:
    generator = random.Random(seed)
    return [g1.multiply(G, generator.randrange(SCALAR_MODULUS)) for _ in range(count)]


def _edge_points(seed: int) -> list[Point]:
    (random_point,) = _points(seed, 1)
    return [g1.INFINITY, G, g1.negate(G), random_point, g1.negate(random_point), g1.double(random_point)]


def _added(evm: TracingEvm, left: Point, right: Point) -> Point:
    answer = evm.precompile(ADD, g1.point_to_bytes(left) + g1.point_to_bytes(right))
    assert answer is not None
    return g1.point_from_bytes(answer)


def _multiplied(evm: TracingEvm, point: Point, scalar: int) -> Point:
    answer = evm.precompile(MULTIPLY, g1.point_to_bytes(point) + scalar.to_bytes(32, "big"))
    assert answer is not None
    return g1.point_from_bytes(answer)


def _summed(evm: TracingEvm, points: Sequence[Point], scalars: Sequence[int]) -> Point:
    total = g1.INFINITY
    for point, scalar in zip(points, scalars, strict=True):
        total = _added(evm, total, _multiplied(evm, point, scalar))
    return total


def _paired(evm: TracingEvm, pairs: Sequence[tuple[Point, PointG2]]) -> bool | None:
    """The pairing precompile's verdict; None when it refuses its input."""
    answer = evm.precompile(
        PAIRING, b"".join(g1.point_to_bytes(p) + g2.point_g2_to_bytes(q) for p, q in pairs)
    )
    return None if answer is None else {0: False, 1: True}[int.from_bytes(answer, "big")]


def test_sums_of_two_points(evm: TracingEvm) -> None:
    """Every pair of a point, its negative, its double, the generator and infinity."""
    points = _edge_points(1)
    for left in points:
        for right in points:
            assert g1.add(left, right) == _added(evm, left, right)


def test_multiples_at_the_edges_of_the_field(evm: TracingEvm) -> None:
    generator = random.Random(2)
    scalars = [*EDGES, *(generator.randrange(1 << 256) for _ in range(3))]
    for point in _edge_points(2):
        compiled = point_arrays.to_points(msm.fixed_base_multiples(point, arrays.from_ints(scalars)))
        for scalar, found in zip(scalars, compiled, strict=True):
            assert g1.multiply(point, scalar) == found == _multiplied(evm, point, scalar)


def test_multi_scalar_multiplications(evm: TracingEvm) -> None:
    """Repeated, negated and infinite points, edge scalars, and small signed integers."""
    generator = random.Random(3)
    points = [*_edge_points(3), *_points(4, 12), G, G]
    bases = point_arrays.from_points(points)
    scalars = [*EDGES, *(generator.randrange(SCALAR_MODULUS) for _ in range(len(points) - len(EDGES)))]
    expected = _summed(evm, points, scalars)
    assert msm.msm_field(bases, arrays.from_ints(scalars)) == expected
    assert msm.msm_points(points, scalars) == expected

    small = [generator.randrange(-(1 << 15), 1 << 15) for _ in points]
    expected = _summed(evm, points, [value % SCALAR_MODULUS for value in small])
    values = np.array(small)
    assert msm.msm_int(bases, values) == expected
    assert msm.commit_rows(bases, values.reshape(1, -1)) == [expected]


def test_a_sum_that_cancels_is_infinity(evm: TracingEvm) -> None:
    points = _points(5, 3)
    scalars = [7, SCALAR_MODULUS - 7, 0]
    points[1] = points[0]
    assert msm.msm_points(points, scalars) == g1.INFINITY == _summed(evm, points, scalars)


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param((1, 3), id="off the curve"),
        pytest.param((0, 1), id="x is zero"),
        pytest.param((1, 0), id="y is zero"),
        pytest.param((1 + BASE_MODULUS, 2), id="x is not reduced"),
        pytest.param((1, 2 + BASE_MODULUS), id="y is not reduced"),
        pytest.param((BASE_MODULUS, BASE_MODULUS), id="infinity, not reduced"),
        pytest.param(((1 << 256) - 1, (1 << 256) - 1), id="largest words"),
    ],
)
def test_both_refuse_what_is_no_point(evm: TracingEvm, encoded: Point) -> None:
    data = b"".join(word.to_bytes(32, "big") for word in encoded)
    with pytest.raises(g1.PointError):
        g1.point_from_bytes(data)
    with pytest.raises(g1.PointError):
        pairing_check([(encoded, H)])
    assert evm.precompile(ADD, data + g1.point_to_bytes(G)) is None
    assert evm.precompile(MULTIPLY, data + bytes(32)) is None
    assert evm.precompile(PAIRING, data + g2.point_g2_to_bytes(H)) is None


@pytest.mark.parametrize("seed", range(3))
def test_pairing_products(evm: TracingEvm, seed: int) -> None:
    """a_1 b_1 + a_2 b_2 + ... = 0 modulo r decides; infinities on either side contribute nothing."""
    generator = random.Random(seed)
    factors = [
        (generator.randrange(1, SCALAR_MODULUS), generator.randrange(1, SCALAR_MODULUS)) for _ in range(2)
    ]
    total = sum(a * b for a, b in factors)
    pairs = [(g1.multiply(G, a), g2.multiply_g2(H, b)) for a, b in factors]
    balanced = [*pairs, (g1.multiply(G, -total), H)]
    infinite = [(g1.INFINITY, pairs[0][1]), (pairs[0][0], g2.INFINITY_G2), (g1.INFINITY, g2.INFINITY_G2)]
    for case, holds in (
        (balanced, True),
        ([*balanced, *infinite], True),
        (infinite, True),
        ([], True),
        (pairs, False),
        ([*pairs, (g1.multiply(G, 1 - total), H)], False),
        ([(G, H), (g1.negate(G), H)], True),
        ([(G, H), (G, g2.negate_g2(H))], True),
        ([(G, H), (G, H)], False),
    ):
        assert pairing_check(case) is holds
        assert _paired(evm, case) is holds
    assert reference_pairing.pairing_check(balanced)


def _root_fq(value: int) -> int | None:
    """A square root modulo q = 3 mod 4."""
    root = pow(value, (BASE_MODULUS + 1) // 4, BASE_MODULUS)
    return root if root * root % BASE_MODULUS == value % BASE_MODULUS else None


def _root_fq2(value: tuple[int, int]) -> tuple[int, int] | None:
    """y with y_0^2 - y_1^2 = value_0 and 2 y_0 y_1 = value_1, through the norm (y_0^2 + y_1^2)^2."""
    length = _root_fq(value[0] ** 2 + value[1] ** 2)
    for signed in () if length is None else (length, -length):
        y0 = _root_fq((value[0] + signed) * pow(2, -1, BASE_MODULUS))
        if y0:
            return y0, value[1] * pow(2 * y0, -1, BASE_MODULUS) % BASE_MODULUS
    return None


def _points_of_the_twist() -> list[PointG2]:
    """Points of the twist for small x: the cofactor is so large that none lies in the subgroup of order r."""
    found = []
    for x in ((x0, 1) for x0 in range(8)):
        y = _root_fq2(g2.add_fq2(g2.power_fq2(x, 3), g2.TWIST_CONSTANT))
        found += [] if y is None else [(x, y)]
    return found


def test_both_refuse_what_is_not_in_g2(evm: TracingEvm) -> None:
    strays = _points_of_the_twist()
    assert len(strays) >= 2
    swapped = (H[1], H[0])
    unreduced = ((H[0][0] + BASE_MODULUS, H[0][1]), H[1])
    for stray in [*strays[:2], swapped, unreduced]:
        for point in (G, g1.INFINITY):
            with pytest.raises(g1.PointError):
                pairing_check([(point, stray)])
            assert _paired(evm, [(point, stray)]) is None
    assert all(g2.is_on_twist(stray) and not g2.is_in_subgroup(stray) for stray in strays)
