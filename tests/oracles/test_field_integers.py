"""Both fields against Python's integers, and the group against py_ecc, at the edges of their ranges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from py_ecc import optimized_bn128 as oracle

from prover.curve import g1, g2, msm, point_arrays
from prover.field import arrays, base_kernels, reference, scalar_kernels
from prover.field.reference import BASE_MODULUS, SCALAR_MODULUS
from tests.oracles.plain_kernels import RADIX, Element, element, integer


def _edges(modulus: int) -> st.SearchStrategy[int]:
    """Integers near 0, p/2, p, and the borders of limbs and of the Montgomery radix; and any others below p."""
    borders = [0, modulus // 2, modulus, RADIX % modulus, pow(RADIX, -1, modulus)]
    borders += [1 << bits for bits in (52, 64, 104, 128, 192, 208, 253)]
    near = st.builds(
        lambda border, step: (border + step) % modulus, st.sampled_from(borders), st.integers(-2, 2)
    )
    return near | st.integers(0, modulus - 1)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(_edges(SCALAR_MODULUS), _edges(SCALAR_MODULUS)), min_size=1, max_size=20))
def test_arrays_of_scalars(pairs: list[tuple[int, int]]) -> None:
    p = SCALAR_MODULUS
    a, b = (list(column) for column in zip(*pairs, strict=True))
    x, y = arrays.from_ints(a), arrays.from_ints(b)
    assert arrays.to_ints(x) == a
    assert arrays.to_ints(arrays.add(x, y)) == [(u + v) % p for u, v in pairs]
    assert arrays.to_ints(arrays.sub(x, y)) == [(u - v) % p for u, v in pairs]
    assert arrays.to_ints(arrays.mul(x, y)) == [u * v % p for u, v in pairs]
    assert arrays.to_ints(arrays.neg(x)) == [-u % p for u in a]
    assert arrays.to_ints(arrays.scale(x, b[0])) == [u * b[0] % p for u in a]
    assert arrays.to_ints(arrays.add_scalar(x, b[0])) == [(u + b[0]) % p for u in a]
    if all(a):
        assert arrays.to_ints(arrays.batch_inverse(x)) == [pow(u, -1, p) for u in a]
    else:
        with pytest.raises(reference.DivisionByZeroError):
            arrays.batch_inverse(x)


def _compiled(kernels: Any, prefix: str) -> dict[str, Any]:
    add, sub, mul = (getattr(kernels, f"{prefix}_{name}") for name in ("add", "sub", "mul"))
    return {
        "add": njit(lambda a, b: add(a, b)),
        "sub": njit(lambda a, b: sub(a, b)),
        "mul": njit(lambda a, b: mul(a, b)),
        "inverse": getattr(kernels, f"{prefix}_inverse"),
        "from_limbs": getattr(kernels, f"{prefix}_from_limbs"),
        "to_limbs": getattr(kernels, f"{prefix}_to_limbs"),
    }


FIELDS = {
    "Fr": (SCALAR_MODULUS, _compiled(scalar_kernels, "fr")),
    "Fq": (BASE_MODULUS, _compiled(base_kernels, "fq")),
}


@pytest.mark.parametrize("name", FIELDS)
def test_single_elements(name: str) -> None:
    p, run = FIELDS[name]

    def encoded(value: int) -> Element:
        return element(integer(run["from_limbs"](element(value))))  # typed limbs again, not Python integers

    def decoded(result: Any) -> int:
        assert integer(result) < p
        return integer(run["to_limbs"](element(integer(result))))

    @settings(deadline=None, max_examples=150)
    @given(_edges(p), _edges(p))
    def check(a: int, b: int) -> None:
        x, y = encoded(a), encoded(b)
        for operation, expected in (("add", a + b), ("sub", a - b), ("mul", a * b)):
            assert decoded(run[operation](x, y)) == expected % p
        assert decoded(run["inverse"](x)) == (pow(a, -1, p) if a else 0)
        assert reference.multiply(a, b, p) == a * b % p

    check()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, -1, -(2**63)]), max_size=20))
def test_machine_integers(values: list[int]) -> None:
    found = arrays.to_ints(arrays.from_int64(np.array(values, dtype=np.int64)))
    assert found == [value % SCALAR_MODULUS for value in values]


def _as_ours(point: Any) -> g1.Point:
    if oracle.is_inf(point):
        return g1.INFINITY
    x, y = oracle.normalize(point)
    return int(x), int(y)


SCALARS = _edges(SCALAR_MODULUS) | st.just(SCALAR_MODULUS)


@settings(deadline=None, max_examples=25)
@given(SCALARS, SCALARS)
def test_group_operations(a: int, b: int) -> None:
    p, q = g1.multiply(g1.GENERATOR, a), g1.multiply(g1.GENERATOR, b)
    theirs_p, theirs_q = oracle.multiply(oracle.G1, a), oracle.multiply(oracle.G1, b)
    assert p == _as_ours(theirs_p)
    assert g1.add(p, q) == _as_ours(oracle.add(theirs_p, theirs_q))
    assert g1.double(p) == _as_ours(oracle.double(theirs_p))
    assert g1.add(p, g1.negate(q)) == _as_ours(oracle.add(theirs_p, oracle.neg(theirs_q)))
    assert msm.msm_points([p, q], [b, a]) == _as_ours(
        oracle.add(oracle.multiply(theirs_p, b), oracle.multiply(theirs_q, a))
    )
    if p != g1.INFINITY:
        assert point_arrays.to_points(msm.fixed_base_multiples(p, arrays.from_ints([b]))) == [
            _as_ours(oracle.multiply(theirs_p, b))
        ]


@settings(deadline=None, max_examples=8)
@given(SCALARS, SCALARS)
def test_operations_of_the_second_group(a: int, b: int) -> None:
    def as_ours(point: Any) -> g2.PointG2:
        if oracle.is_inf(point):
            return g2.INFINITY_G2
        (x0, x1), (y0, y1) = (tuple(int(c) for c in f.coeffs) for f in oracle.normalize(point))
        return (x0, x1), (y0, y1)

    p, q = g2.multiply_g2(g2.GENERATOR_G2, a), g2.multiply_g2(g2.GENERATOR_G2, b)
    theirs_p, theirs_q = oracle.multiply(oracle.G2, a), oracle.multiply(oracle.G2, b)
    assert p == as_ours(theirs_p)
    assert g2.add_g2(p, q) == as_ours(oracle.add(theirs_p, theirs_q))
    assert g2.negate_g2(p) == as_ours(oracle.neg(theirs_p))
