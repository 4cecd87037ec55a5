"""Compiled kernels of both fields against plain Python integers, edge values included."""

import random
from types import SimpleNamespace

import pytest
from numba import njit

from prover.field import base_kernels, reference, scalar_kernels
from prover.field.montgomery import limbs_of, montgomery_form

RADIX = 1 << 256


def _field(kernels, prefix, modulus):
    """The kernels of one field, callable from Python on tuples of limbs."""
    add, sub, mul = (getattr(kernels, f"{prefix}_{name}") for name in ("add", "sub", "mul"))
    neg, is_zero, equal = (getattr(kernels, f"{prefix}_{name}") for name in ("neg", "is_zero", "equal"))
    return SimpleNamespace(
        modulus=modulus,
        add=njit(lambda a, b: add(a, b)),
        sub=njit(lambda a, b: sub(a, b)),
        mul=njit(lambda a, b: mul(a, b)),
        neg=njit(lambda a: neg(a)),
        is_zero=njit(lambda a: is_zero(a)),
        equal=njit(lambda a, b: equal(a, b)),
        inverse=getattr(kernels, f"{prefix}_inverse"),
        from_i64=getattr(kernels, f"{prefix}_from_i64"),
        from_limbs=getattr(kernels, f"{prefix}_from_limbs"),
        to_limbs=getattr(kernels, f"{prefix}_to_limbs"),
        zero=getattr(kernels, f"{prefix.upper()}_ZERO"),
        one=getattr(kernels, f"{prefix.upper()}_ONE"),
    )


@pytest.fixture(
    scope="module",
    params=[
        (scalar_kernels, "fr", reference.SCALAR_MODULUS),
        (base_kernels, "fq", reference.BASE_MODULUS),
    ],
    ids=["Fr", "Fq"],
)
def field(request):
    return _field(*request.param)


def _integer(element):
    return sum(int(limb) << (64 * position) for position, limb in enumerate(element))


def _decoded(field, element):
    value = _integer(element)
    assert value < field.modulus, "an element must be fully reduced"
    return value * pow(RADIX, -1, field.modulus) % field.modulus


def _encoded(field, value):
    from numpy import uint64

    return tuple(uint64(limb) for limb in limbs_of(montgomery_form(value, field.modulus)))


def _samples(field):
    p = field.modulus
    generator = random.Random(p)
    edges = [0, 1, 2, p - 1, p - 2, (p - 1) // 2, (p + 1) // 2, RADIX % p, (1 << 64) - 1, 1 << 64, 1 << 253]
    return edges + [generator.randrange(p) for _ in range(40)]


def test_binary_operations_agree_with_integers(field):
    samples = _samples(field)
    for a in samples:
        for b in samples:
            x, y = _encoded(field, a), _encoded(field, b)
            assert _decoded(field, field.add(x, y)) == reference.add(a, b, field.modulus)
            assert _decoded(field, field.sub(x, y)) == reference.subtract(a, b, field.modulus)
            assert _decoded(field, field.mul(x, y)) == reference.multiply(a, b, field.modulus)
            assert bool(field.equal(x, y)) == (a == b)


def test_unary_operations_agree_with_integers(field):
    for a in _samples(field):
        x = _encoded(field, a)
        assert _decoded(field, field.neg(x)) == reference.negate(a, field.modulus)
        assert bool(field.is_zero(x)) == (a == 0)
        expected = reference.inverse(a, field.modulus) if a else 0
        assert _decoded(field, field.inverse(x)) == expected
        assert _integer(field.to_limbs(x)) == a


def test_signed_integers_are_encoded(field):
    for value in (0, 1, -1, 12345, -12345, 2**63 - 1, -(2**63)):
        assert _decoded(field, field.from_i64(value)) == value % field.modulus


def test_plain_limbs_above_the_modulus_are_reduced(field):
    from numpy import uint64

    for value in (field.modulus, field.modulus + 1, RADIX - 1):
        plain = tuple(uint64(limb) for limb in limbs_of(value))
        assert _decoded(field, field.from_limbs(plain)) == value % field.modulus


def test_constants(field):
    assert _decoded(field, field.zero) == 0
    assert _decoded(field, field.one) == 1
