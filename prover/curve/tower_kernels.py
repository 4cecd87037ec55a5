"""Compiled arithmetic in Fq2, Fq6 and Fq12 on a register file.

The file is a (rows, 4) uint64 array; a register is named by its first row. An Fq2 element takes two rows, Fq6
six, Fq12 twelve, lowest coefficient first, with the tower of reference_pairing.py: i^2 = -1, v^3 = 9 + i,
w^2 = v. ``out`` may be the same register as an operand. Functions that need working rows take ``spare``, the
first of the rows that they may overwrite. Addressing rows keeps compilation quicker than tuples of 48 limbs.
"""

from numba import njit

from ..field.base_kernels import fq_add, fq_equal, fq_inverse, fq_load, fq_mul, fq_neg, fq_store, fq_sub

ON_1_REGISTERS, ON_2_REGISTERS, ON_3_REGISTERS, ON_4_REGISTERS = (
    f"void(uint64[:, ::1]{', int64' * count})" for count in range(1, 5)
)
"""Signatures, stated because Numba would otherwise compile anew for every constant register."""
_ON_7_REGISTERS = f"void(uint64[:, ::1]{', int64' * 7})"
_TESTS_REGISTERS = "boolean(uint64[:, ::1], int64, int64, int64)"

FQ2_ROWS, FQ6_ROWS, FQ12_ROWS = 2, 6, 12
FQ6_SPARE = 12
"""Rows that an Fq6 product or inverse overwrites from ``spare``."""
FQ12_SPARE = 24 + FQ6_SPARE
"""Rows that any Fq12 function overwrites from ``spare``."""


@njit(ON_3_REGISTERS, cache=True, nogil=True)
def copy_rows(rows, out, a, count):
    """``count`` rows from register ``a`` to ``out``."""
    for k in range(count):
        fq_store(rows, out + k, fq_load(rows, a + k))


@njit(ON_4_REGISTERS, cache=True, nogil=True)
def add_rows(rows, out, a, b, count):
    """Coefficient-wise sum: addition in Fq2 (count 2), Fq6 (6) or Fq12 (12)."""
    for k in range(count):
        fq_store(rows, out + k, fq_add(fq_load(rows, a + k), fq_load(rows, b + k)))


@njit(ON_4_REGISTERS, cache=True, nogil=True)
def subtract_rows(rows, out, a, b, count):
    """Coefficient-wise difference."""
    for k in range(count):
        fq_store(rows, out + k, fq_sub(fq_load(rows, a + k), fq_load(rows, b + k)))


@njit(ON_3_REGISTERS, cache=True, nogil=True)
def negate_rows(rows, out, a, count):
    """Coefficient-wise negation."""
    for k in range(count):
        fq_store(rows, out + k, fq_neg(fq_load(rows, a + k)))


@njit(ON_4_REGISTERS, cache=True, nogil=True)
def scale_rows(rows, out, a, factor, count):
    """Every coefficient times the Fq element in row ``factor``."""
    multiplier = fq_load(rows, factor)
    for k in range(count):
        fq_store(rows, out + k, fq_mul(fq_load(rows, a + k), multiplier))


@njit(_TESTS_REGISTERS, cache=True, nogil=True)
def equal_rows(rows, a, b, count):
    """Whether two registers hold the same element."""
    same = True
    for k in range(count):
        same &= fq_equal(fq_load(rows, a + k), fq_load(rows, b + k))
    return same


@njit(ON_3_REGISTERS, cache=True, nogil=True)
def fq2_mul(rows, out, a, b):
    """``a b`` in Fq2 by Karatsuba."""
    a0, a1 = fq_load(rows, a), fq_load(rows, a + 1)
    b0, b1 = fq_load(rows, b), fq_load(rows, b + 1)
    low, high = fq_mul(a0, b0), fq_mul(a1, b1)
    cross = fq_mul(fq_add(a0, a1), fq_add(b0, b1))
    fq_store(rows, out, fq_sub(low, high))
    fq_store(rows, out + 1, fq_sub(fq_sub(cross, low), high))


@njit(ON_2_REGISTERS, cache=True, nogil=True)
def fq2_conjugate(rows, out, a):
    """``a_0 - a_1 i``, the q-power Frobenius of Fq2."""
    fq_store(rows, out, fq_load(rows, a))
    fq_store(rows, out + 1, fq_neg(fq_load(rows, a + 1)))


@njit(ON_2_REGISTERS, cache=True, nogil=True)
def fq2_mul_xi(rows, out, a):
    """``(9 + i) a``."""
    a0, a1 = fq_load(rows, a), fq_load(rows, a + 1)
    low, high = fq_add(a0, a0), fq_add(a1, a1)
    low, high = fq_add(low, low), fq_add(high, high)
    low, high = fq_add(low, low), fq_add(high, high)
    fq_store(rows, out, fq_sub(fq_add(low, a0), a1))
    fq_store(rows, out + 1, fq_add(fq_add(high, a1), a0))


@njit(ON_2_REGISTERS, cache=True, nogil=True)
def fq2_inverse(rows, out, a):
    """``1/a``; zero for zero."""
    a0, a1 = fq_load(rows, a), fq_load(rows, a + 1)
    norm_inverse = fq_inverse(fq_add(fq_mul(a0, a0), fq_mul(a1, a1)))
    fq_store(rows, out, fq_mul(a0, norm_inverse))
    fq_store(rows, out + 1, fq_neg(fq_mul(a1, norm_inverse)))


@njit(_ON_7_REGISTERS, cache=True, nogil=True)
def _fq2_cross(rows, out, a, b, c, d, product_ac, product_bd):
    """``(a + b)(c + d) - ac - bd`` for registers; ``out`` must differ from the operands."""
    x0 = fq_add(fq_load(rows, a), fq_load(rows, b))
    x1 = fq_add(fq_load(rows, a + 1), fq_load(rows, b + 1))
    y0 = fq_add(fq_load(rows, c), fq_load(rows, d))
    y1 = fq_add(fq_load(rows, c + 1), fq_load(rows, d + 1))
    low, high = fq_mul(x0, y0), fq_mul(x1, y1)
    cross = fq_mul(fq_add(x0, x1), fq_add(y0, y1))
    fq_store(rows, out, fq_sub(low, high))
    fq_store(rows, out + 1, fq_sub(fq_sub(cross, low), high))
    subtract_rows(rows, out, out, product_ac, 2)
    subtract_rows(rows, out, out, product_bd, 2)


@njit(ON_4_REGISTERS, cache=True, nogil=True)
def fq6_mul(rows, out, a, b, spare):
    """``a b`` in Fq6 by Karatsuba, six Fq2 products."""
    p0, p1, p2 = spare, spare + 2, spare + 4
    c0, c1, c2 = spare + 6, spare + 8, spare + 10
    fq2_mul(rows, p0, a, b)
    fq2_mul(rows, p1, a + 2, b + 2)
    fq2_mul(rows, p2, a + 4, b + 4)
    _fq2_cross(rows, c0, a + 2, a + 4, b + 2, b + 4, p1, p2)
    _fq2_cross(rows, c1, a, a + 2, b, b + 2, p0, p1)
    _fq2_cross(rows, c2, a, a + 4, b, b + 4, p0, p2)
    fq2_mul_xi(rows, c0, c0)
    add_rows(rows, out, c0, p0, 2)
    fq2_mul_xi(rows, p2, p2)
    add_rows(rows, out + 2, c1, p2, 2)
    add_rows(rows, out + 4, c2, p1, 2)


@njit(ON_2_REGISTERS, cache=True, nogil=True)
def fq6_mul_v(rows, out, a):
    """``v a``: (c_0, c_1, c_2) becomes ((9 + i) c_2, c_0, c_1)."""
    last0, last1 = fq_load(rows, a + 4), fq_load(rows, a + 5)
    for k in range(3, -1, -1):
        fq_store(rows, out + 2 + k, fq_load(rows, a + k))
    fq_store(rows, out, last0)
    fq_store(rows, out + 1, last1)
    fq2_mul_xi(rows, out, out)


@njit(ON_3_REGISTERS, cache=True, nogil=True)
def fq6_inverse(rows, out, a, spare):
    """``1/a`` in Fq6 through the norm to Fq2."""
    c0, c1, c2, work, norm = spare, spare + 2, spare + 4, spare + 6, spare + 8
    # c0 = a0^2 - xi a1 a2; c1 = xi a2^2 - a0 a1; c2 = a1^2 - a0 a2; norm = a0 c0 + xi (a2 c1 + a1 c2)
    fq2_mul(rows, c0, a, a)
    fq2_mul(rows, work, a + 2, a + 4)
    fq2_mul_xi(rows, work, work)
    subtract_rows(rows, c0, c0, work, 2)
    fq2_mul(rows, c1, a + 4, a + 4)
    fq2_mul_xi(rows, c1, c1)
    fq2_mul(rows, work, a, a + 2)
    subtract_rows(rows, c1, c1, work, 2)
    fq2_mul(rows, c2, a + 2, a + 2)
    fq2_mul(rows, work, a, a + 4)
    subtract_rows(rows, c2, c2, work, 2)
    fq2_mul(rows, norm, a + 4, c1)
    fq2_mul(rows, work, a + 2, c2)
    add_rows(rows, norm, norm, work, 2)
    fq2_mul_xi(rows, norm, norm)
    fq2_mul(rows, work, a, c0)
    add_rows(rows, norm, norm, work, 2)
    fq2_inverse(rows, norm, norm)
    for k in range(0, 6, 2):
        fq2_mul(rows, out + k, c0 + k, norm)


@njit(ON_4_REGISTERS, cache=True, nogil=True)
def fq12_mul(rows, out, a, b, spare):
    """``a b`` in Fq12 by Karatsuba over Fq6."""
    low, high, left, right, deep = spare, spare + 6, spare + 12, spare + 18, spare + 24
    add_rows(rows, left, a, a + 6, 6)
    add_rows(rows, right, b, b + 6, 6)
    fq6_mul(rows, low, a, b, deep)
    fq6_mul(rows, high, a + 6, b + 6, deep)
    fq6_mul(rows, left, left, right, deep)
    subtract_rows(rows, left, left, low, 6)
    subtract_rows(rows, out + 6, left, high, 6)
    fq6_mul_v(rows, high, high)
    add_rows(rows, out, low, high, 6)


@njit(ON_3_REGISTERS, cache=True, nogil=True)
def fq12_square(rows, out, a, spare):
    """``a^2`` with two Fq6 products: c_0 = (a_0 + a_1)(a_0 + v a_1) - p - v p, c_1 = 2p, p = a_0 a_1."""
    product, left, right, deep = spare, spare + 6, spare + 12, spare + 24
    fq6_mul(rows, product, a, a + 6, deep)
    add_rows(rows, left, a, a + 6, 6)
    fq6_mul_v(rows, right, a + 6)
    add_rows(rows, right, right, a, 6)
    fq6_mul(rows, left, left, right, deep)
    subtract_rows(rows, left, left, product, 6)
    add_rows(rows, out + 6, product, product, 6)
    fq6_mul_v(rows, product, product)
    subtract_rows(rows, out, left, product, 6)


@njit(ON_2_REGISTERS, cache=True, nogil=True)
def fq12_conjugate(rows, out, a):
    """``a_0 - a_1 w``: the q^6-power Frobenius, and the inverse of elements of norm one."""
    copy_rows(rows, out, a, 6)
    negate_rows(rows, out + 6, a + 6, 6)


@njit(ON_3_REGISTERS, cache=True, nogil=True)
def fq12_inverse(rows, out, a, spare):
    """``1/a = (a_0 - a_1 w) / (a_0^2 - v a_1^2)``."""
    norm, work, deep = spare, spare + 6, spare + 24
    fq6_mul(rows, norm, a, a, deep)
    fq6_mul(rows, work, a + 6, a + 6, deep)
    fq6_mul_v(rows, work, work)
    subtract_rows(rows, norm, norm, work, 6)
    fq6_inverse(rows, work, norm, deep)
    fq6_mul(rows, out, a, work, deep)
    fq6_mul(rows, out + 6, a + 6, work, deep)
    negate_rows(rows, out + 6, out + 6, 6)


@njit(ON_3_REGISTERS, cache=True, nogil=True)
def fq12_frobenius(rows, out, a, twists):
    """``a^q``: conjugate the coefficient of w^k and multiply by xi^(k (q-1)/6), in register twists + 2k."""
    for half in range(2):
        for power in range(3):
            position = 6 * half + 2 * power
            fq2_conjugate(rows, out + position, a + position)
            fq2_mul(rows, out + position, out + position, twists + 2 * (2 * power + half))
