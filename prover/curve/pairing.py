"""The product check ``prod e(P_k, Q_k) = 1`` on BN254, compiled.

The optimal ate pairing of reference_pairing.py, with the squarings of the Miller loop and the final
exponentiation shared by all pairs. The hard part uses the addition chain of Devegili, Scott and Dahab
(*Implementing cryptographic pairings over Barreto-Naehrig curves*, 2007).
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numba import njit

from ..field.base_kernels import FQ_ONE, fq_load, fq_neg, fq_store
from ..field.reference import BASE_MODULUS
from .g1 import INFINITY, Point
from .g1 import validate as validate_g1
from .g2 import INFINITY_G2, XI, PointG2, power_fq2, validate_g2
from .point_arrays import from_points
from .reference_pairing import BN_PARAMETER, MILLER_LENGTH
from .tower_kernels import (
    FQ12_ROWS,
    FQ12_SPARE,
    ON_1_REGISTERS,
    ON_2_REGISTERS,
    add_rows,
    copy_rows,
    equal_rows,
    fq2_conjugate,
    fq2_inverse,
    fq2_mul,
    fq12_conjugate,
    fq12_frobenius,
    fq12_inverse,
    fq12_mul,
    fq12_square,
    negate_rows,
    scale_rows,
    subtract_rows,
)

# The register file: one row is one Fq element, see tower_kernels.py.
_TWISTS = 0  # xi^(k (q-1)/6), k = 0..5
_ONE = 12  # 1 in Fq12
_F = 24  # the running product
_LINE = 36
_SLOPE, _WORK, _OTHER = 48, 50, 52
_MINUS_X = 56  # -x of the pair's G1 point
_TEMPORARIES = 60  # Fq12 registers of the final exponentiation
_TEMPORARY_COUNT = 12
_SPARE = _TEMPORARIES + _TEMPORARY_COUNT * FQ12_ROWS
_PAIRS = _SPARE + FQ12_SPARE
_PAIR_ROWS = 10  # G1 (x, y), G2 (x0, x1, y0, y1), running G2 point (x0, x1, y0, y1)

_MILLER_BITS = np.array([int(bit) for bit in bin(MILLER_LENGTH)[3:]], np.uint8)
_PARAMETER_BITS = np.array([int(bit) for bit in bin(BN_PARAMETER)[3:]], np.uint8)

_validated_g2 = lru_cache(maxsize=256)(validate_g2)


def pairing_check(pairs: Sequence[tuple[Point, PointG2]]) -> bool:
    """Whether the product of the pairings is one.

    Pairs with an infinity contribute one. Raises a PointError (g1.py, g2.py) for a coordinate >= q, a point
    off its curve or outside G2; the subgroup check of a G2 point (8 ms) is remembered.
    """
    for g1, g2 in pairs:
        validate_g1(g1)
        _validated_g2(g2)
    finite = [(g1, g2) for g1, g2 in pairs if g1 != INFINITY and g2 != INFINITY_G2]
    if not finite:
        return True
    rows = np.zeros((_PAIRS + _PAIR_ROWS * len(finite), 4), np.uint64)
    rows[: len(_CONSTANTS)] = _CONSTANTS
    encoded = from_points([pair for g1, (x, y) in finite for pair in (g1, x, y)]).reshape(-1, 6, 4)
    registers = rows[_PAIRS:].reshape(-1, _PAIR_ROWS, 4)
    registers[:, :6] = encoded
    registers[:, 6:] = encoded[:, 2:]
    return bool(_product_is_one(rows, len(finite), _MILLER_BITS, _PARAMETER_BITS))


def _constants() -> np.ndarray:
    twists = [power_fq2(XI, k * (BASE_MODULUS - 1) // 6) for k in range(6)]
    rows = np.zeros((_ONE + FQ12_ROWS, 4), np.uint64)
    rows[_TWISTS:_ONE] = from_points(twists).reshape(-1, 4)
    rows[_ONE] = FQ_ONE
    return rows


@njit(ON_1_REGISTERS, cache=True, nogil=True)
def _set_line(rows, pair):
    """Line of slope ``_SLOPE`` through the pair's running point at its G1 point, into ``_LINE``."""
    for k in range(FQ12_ROWS):
        fq_store(rows, _LINE + k, (np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)))
    fq_store(rows, _LINE, fq_load(rows, pair + 1))
    fq_store(rows, _MINUS_X, fq_neg(fq_load(rows, pair)))
    scale_rows(rows, _LINE + 6, _SLOPE, _MINUS_X, 2)
    fq2_mul(rows, _LINE + 8, _SLOPE, pair + 6)
    subtract_rows(rows, _LINE + 8, _LINE + 8, pair + 8, 2)
    fq12_mul(rows, _F, _F, _LINE, _SPARE)


@njit(ON_2_REGISTERS, cache=True, nogil=True)
def _move(rows, pair, other_x):
    """Replace the running point R by the third point of its chord: x = slope^2 - x_R - x_other."""
    fq2_mul(rows, _WORK, _SLOPE, _SLOPE)
    subtract_rows(rows, _WORK, _WORK, pair + 6, 2)
    subtract_rows(rows, _WORK, _WORK, other_x, 2)
    subtract_rows(rows, pair + 6, pair + 6, _WORK, 2)
    fq2_mul(rows, pair + 6, pair + 6, _SLOPE)
    subtract_rows(rows, pair + 8, pair + 6, pair + 8, 2)
    copy_rows(rows, pair + 6, _WORK, 2)


@njit(ON_1_REGISTERS, cache=True, nogil=True)
def _double_step(rows, pair):
    """Multiply f by the tangent at R, then R = 2R. R has odd order, so its tangent is never vertical."""
    fq2_mul(rows, _SLOPE, pair + 6, pair + 6)
    add_rows(rows, _WORK, _SLOPE, _SLOPE, 2)
    add_rows(rows, _SLOPE, _SLOPE, _WORK, 2)
    add_rows(rows, _WORK, pair + 8, pair + 8, 2)
    fq2_inverse(rows, _WORK, _WORK)
    fq2_mul(rows, _SLOPE, _SLOPE, _WORK)
    _set_line(rows, pair)
    _move(rows, pair, pair + 6)


@njit(ON_2_REGISTERS, cache=True, nogil=True)
def _add_step(rows, pair, other):
    """Multiply f by the chord through R and the point in register ``other``, then R = R + other.

    R is Q times a prefix of 6x + 2, at least 2 and below r - 1, and the Frobenius images are Q times powers
    of q; none of the sums has equal x, so the slope exists.
    """
    subtract_rows(rows, _WORK, other, pair + 6, 2)
    fq2_inverse(rows, _WORK, _WORK)
    subtract_rows(rows, _SLOPE, other + 2, pair + 8, 2)
    fq2_mul(rows, _SLOPE, _SLOPE, _WORK)
    _set_line(rows, pair)
    _move(rows, pair, other)


@njit(ON_1_REGISTERS, cache=True, nogil=True)
def _frobenius_point(rows, point):
    """The q-power Frobenius on the twist, in place, of the point in a register."""
    fq2_conjugate(rows, point, point)
    fq2_mul(rows, point, point, _TWISTS + 4)
    fq2_conjugate(rows, point + 2, point + 2)
    fq2_mul(rows, point + 2, point + 2, _TWISTS + 6)


@njit("void(uint64[:, ::1], int64, int64, uint8[::1])", cache=True, nogil=True)
def _power_parameter(rows, out, base, parameter_bits):
    """``base^x`` for the curve's parameter; ``out`` must differ from ``base``."""
    copy_rows(rows, out, base, FQ12_ROWS)
    for bit in parameter_bits:
        fq12_square(rows, out, out, _SPARE)
        if bit:
            fq12_mul(rows, out, out, base, _SPARE)


@njit(cache=True, nogil=True)
def _final_exponentiation(rows, parameter_bits):
    """f = f^((q^12 - 1)/r)."""
    f, inverse = _F, _TEMPORARIES
    fq12_inverse(rows, inverse, f, _SPARE)
    fq12_conjugate(rows, f, f)
    fq12_mul(rows, f, f, inverse, _SPARE)
    fq12_frobenius(rows, inverse, f, _TWISTS)
    fq12_frobenius(rows, inverse, inverse, _TWISTS)
    fq12_mul(rows, f, f, inverse, _SPARE)

    # f now has norm one, so conjugation inverts it. Names as in the paper: f_x3 = f^(x^3), y_0 .. y_6.
    f_x, f_x2, f_x3 = _TEMPORARIES, _TEMPORARIES + 12, _TEMPORARIES + 24
    y0, y2, y3, y4, y5, y6 = (
        _TEMPORARIES + 36,
        _TEMPORARIES + 48,
        _TEMPORARIES + 60,
        _TEMPORARIES + 72,
        _TEMPORARIES + 84,
        _TEMPORARIES + 96,
    )
    t0, t1 = _TEMPORARIES + 108, _TEMPORARIES + 120
    _power_parameter(rows, f_x, f, parameter_bits)
    _power_parameter(rows, f_x2, f_x, parameter_bits)
    _power_parameter(rows, f_x3, f_x2, parameter_bits)
    fq12_frobenius(rows, t0, f, _TWISTS)
    fq12_frobenius(rows, t1, t0, _TWISTS)
    fq12_mul(rows, y0, t0, t1, _SPARE)
    fq12_frobenius(rows, t1, t1, _TWISTS)
    fq12_mul(rows, y0, y0, t1, _SPARE)
    fq12_frobenius(rows, t0, f_x2, _TWISTS)
    fq12_frobenius(rows, y2, t0, _TWISTS)
    fq12_mul(rows, y4, f_x, t0, _SPARE)
    fq12_conjugate(rows, y4, y4)
    fq12_frobenius(rows, y3, f_x, _TWISTS)
    fq12_conjugate(rows, y3, y3)
    fq12_conjugate(rows, y5, f_x2)
    fq12_frobenius(rows, y6, f_x3, _TWISTS)
    fq12_mul(rows, y6, y6, f_x3, _SPARE)
    fq12_conjugate(rows, y6, y6)

    fq12_square(rows, t0, y6, _SPARE)
    fq12_mul(rows, t0, t0, y4, _SPARE)
    fq12_mul(rows, t0, t0, y5, _SPARE)
    fq12_mul(rows, t1, y3, y5, _SPARE)
    fq12_mul(rows, t1, t1, t0, _SPARE)
    fq12_mul(rows, t0, t0, y2, _SPARE)
    fq12_square(rows, t1, t1, _SPARE)
    fq12_mul(rows, t1, t1, t0, _SPARE)
    fq12_square(rows, t1, t1, _SPARE)
    fq12_conjugate(rows, t0, f)
    fq12_mul(rows, t0, t1, t0, _SPARE)
    fq12_mul(rows, t1, t1, y0, _SPARE)
    fq12_square(rows, t0, t0, _SPARE)
    fq12_mul(rows, f, t0, t1, _SPARE)


@njit(cache=True, nogil=True)
def _product_is_one(rows, pairs, miller_bits, parameter_bits):
    """Miller loops of all pairs in step, then the final exponentiation; leaves the product in ``_F``."""
    copy_rows(rows, _F, _ONE, FQ12_ROWS)
    for bit in miller_bits:
        fq12_square(rows, _F, _F, _SPARE)
        for k in range(pairs):
            pair = _PAIRS + _PAIR_ROWS * k
            _double_step(rows, pair)
            if bit:
                _add_step(rows, pair, pair + 2)
    for k in range(pairs):
        pair = _PAIRS + _PAIR_ROWS * k
        copy_rows(rows, _OTHER, pair + 2, 4)
        _frobenius_point(rows, _OTHER)
        _add_step(rows, pair, _OTHER)
        _frobenius_point(rows, _OTHER)
        negate_rows(rows, _OTHER + 2, _OTHER + 2, 2)
        _add_step(rows, pair, _OTHER)
    _final_exponentiation(rows, parameter_bits)
    return equal_rows(rows, _F, _ONE, FQ12_ROWS)


_CONSTANTS = _constants()
