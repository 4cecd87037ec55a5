"""Eight-lane kernels against plain Python integers, at the edges of their loose bounds."""

import random

import numpy as np
import pytest
from numba import njit

from prover.field import ifma, reference

pytestmark = pytest.mark.skipif(not ifma.AVAILABLE, reason="needs a CPU with AVX-512 IFMA")

P = reference.BASE_MODULUS
_multiply = ifma.make_vector_multiply(P)
_subtract = ifma.make_vector_subtract(P, 16)
_pack = ifma.make_pack(P)
_unpack = ifma.unpack


@njit
def _run_multiply(rows):
    _multiply(rows, 10, 0, 5)


@njit
def _run_subtract(rows):
    _subtract(rows, 10, 0, 5)


@njit
def _run_pack(rows):
    _pack(rows, 10, 0)


@njit
def _run_unpack(rows):
    _unpack(rows, 10, 0)


def _put(rows, register, values):
    for lane, value in enumerate(values):
        rows[register : register + 5, lane] = ifma.vector_limbs(value)


def _get(rows, register):
    return [sum(int(rows[register + k, lane]) << (52 * k) for k in range(5)) for lane in range(8)]


def _samples(bound, seed):
    generator = random.Random(seed)
    return [0, 1, P, bound * P - 1, *(generator.randrange(bound * P) for _ in range(4))]


@pytest.mark.parametrize(("a_bound", "b_bound"), [(1, 1), (2, 32), (16, 2), (64, 1), (50, 2)])
def test_products_stay_in_their_bound(a_bound, b_bound):
    for seed in range(20):
        rows = np.zeros((15, 8), np.uint64)
        a, b = _samples(a_bound, seed), _samples(b_bound, seed + 100)
        random.Random(seed).shuffle(b)
        _put(rows, 0, a)
        _put(rows, 5, b)
        _run_multiply(rows)
        for x, y, product in zip(a, b, _get(rows, 10), strict=True):
            assert (product << 260) % P == x * y % P
            assert product < (a_bound * b_bound / 64 + 1) * P
        assert (rows[10:] < 1 << 52).all()


def test_differences_are_lifted():
    rows = np.zeros((15, 8), np.uint64)
    a, b = _samples(32, 1), _samples(16, 2)[::-1]
    _put(rows, 0, a)
    _put(rows, 5, b)
    _run_subtract(rows)
    assert _get(rows, 10) == [x - y + 16 * P for x, y in zip(a, b, strict=True)]


def test_packed_elements_round_trip():
    rows = np.zeros((15, 8), np.uint64)
    values = _samples(1, 3)
    values[2] = P - 1
    for lane, value in enumerate(values):
        rows[:4, lane] = [(value >> (64 * k)) & (2**64 - 1) for k in range(4)]
    _run_unpack(rows)
    assert _get(rows, 10) == [16 * value for value in values]
    for bound in (1, 16, 34, 64):
        loose = _samples(bound, bound)
        _put(rows, 0, loose)
        _run_pack(rows)
        packed = [sum(int(rows[10 + k, lane]) << (64 * k) for k in range(4)) for lane in range(8)]
        assert packed == [value * pow(16, -1, P) % P for value in loose]
