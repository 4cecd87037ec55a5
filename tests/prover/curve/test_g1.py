"""G1 in plain integers: group laws, py_ecc as oracle, and strict decoding."""

import random

import pytest
from py_ecc import bn128

from prover.curve import g1
from prover.field.reference import BASE_MODULUS, SCALAR_MODULUS


def _oracle(point):
    return None if point == g1.INFINITY else (bn128.FQ(point[0]), bn128.FQ(point[1]))


def _from_oracle(point):
    return g1.INFINITY if point is None else (int(point[0]), int(point[1]))


@pytest.mark.parametrize("seed", range(5))
def test_operations_agree_with_py_ecc(seed):
    generator = random.Random(seed)
    a, b = generator.randrange(SCALAR_MODULUS), generator.randrange(SCALAR_MODULUS)
    p, q = g1.multiply(g1.GENERATOR, a), g1.multiply(g1.GENERATOR, b)
    assert p == _from_oracle(bn128.multiply(bn128.G1, a))
    assert g1.add(p, q) == _from_oracle(bn128.add(_oracle(p), _oracle(q)))
    assert g1.double(p) == _from_oracle(bn128.double(_oracle(p)))
    assert g1.negate(p) == _from_oracle(bn128.neg(_oracle(p)))


def test_infinity_and_cancellation():
    p = g1.multiply(g1.GENERATOR, 99)
    assert g1.add(p, g1.INFINITY) == p == g1.add(g1.INFINITY, p)
    assert g1.add(p, g1.negate(p)) == g1.INFINITY
    assert g1.add(p, p) == g1.double(p)
    assert g1.double(g1.INFINITY) == g1.negate(g1.INFINITY) == g1.INFINITY
    assert g1.multiply(p, 0) == g1.multiply(p, SCALAR_MODULUS) == g1.INFINITY
    assert g1.multiply(p, -1) == g1.negate(p)


def test_bytes_round_trip():
    for factor in (0, 1, 2, 12345):
        point = g1.multiply(g1.GENERATOR, factor)
        assert g1.point_from_bytes(g1.point_to_bytes(point)) == point
    assert g1.point_to_bytes((1, 2)) == (1).to_bytes(32, "big") + (2).to_bytes(32, "big")


@pytest.mark.parametrize(
    ("encoded", "error"),
    [
        (bytes(63), g1.PointLengthError),
        (bytes(65), g1.PointLengthError),
        ((1).to_bytes(32, "big") + (3).to_bytes(32, "big"), g1.OffCurveError),
        ((0).to_bytes(32, "big") + (1).to_bytes(32, "big"), g1.OffCurveError),
        ((1 + BASE_MODULUS).to_bytes(32, "big") + (2).to_bytes(32, "big"), g1.CoordinateRangeError),
        (BASE_MODULUS.to_bytes(32, "big") + bytes(32), g1.CoordinateRangeError),
        (bytes([255] * 64), g1.CoordinateRangeError),
    ],
)
def test_bad_encodings_are_refused(encoded, error):
    with pytest.raises(error):
        g1.point_from_bytes(encoded)
    if len(encoded) == 64:
        assert not g1.is_on_curve((int.from_bytes(encoded[:32], "big"), int.from_bytes(encoded[32:], "big")))
