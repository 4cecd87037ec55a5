"""The pairing: compiled against plain integers, and both against py_ecc."""

import itertools
import random
import sys

import pytest
from py_ecc import bn128

from prover.curve import g1, g2, pairing, pairing_checks, plain_pairing, reference_pairing
from prover.curve.pairing import pairing_check
from prover.field.reference import BASE_MODULUS, SCALAR_MODULUS

G, H = g1.GENERATOR, g2.GENERATOR_G2


def _pair_with_product(a, b, c):
    """(a G, b H) and (-c G, H): the check passes exactly when a b = c modulo r."""
    return [(g1.multiply(G, a), g2.multiply_g2(H, b)), (g1.negate(g1.multiply(G, c)), H)]


def _polynomial_in_w(element):
    """py_ecc's basis: powers of w with i = w^6 - 9."""
    coefficients = [0] * 12
    for half in range(2):
        for power in range(3):
            real, imaginary = element[half][power]
            coefficients[2 * power + half] = (real - 9 * imaginary) % BASE_MODULUS
            coefficients[2 * power + half + 6] = imaginary
    return coefficients


@pytest.fixture
def deep_recursion():
    """py_ecc raises a number to a power by calling itself once per bit of it, 3,000 times."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.usefixtures("deep_recursion")
def test_reference_pairing_equals_py_ecc():
    p, q = g1.multiply(G, 31337), g2.multiply_g2(H, 271828)
    oracle_p, oracle_q = bn128.multiply(bn128.G1, 31337), bn128.multiply(bn128.G2, 271828)
    expected = bn128.pairing(oracle_q, oracle_p)
    assert _polynomial_in_w(reference_pairing.pairing(p, q)) == [int(x) for x in expected.coeffs]


@pytest.mark.parametrize("seed", range(4))
def test_bilinearity_compiled_and_plain(seed):
    generator = random.Random(seed)
    a, b = generator.randrange(1, SCALAR_MODULUS), generator.randrange(1, SCALAR_MODULUS)
    true_pairs = _pair_with_product(a, b, a * b)
    false_pairs = _pair_with_product(a, b, a * b + 1)
    for check in (pairing_check, plain_pairing.pairing_check):
        assert check(true_pairs)
        assert not check(false_pairs)
    if seed == 0:
        assert reference_pairing.pairing_check(true_pairs)
        assert not reference_pairing.pairing_check(false_pairs)


def test_the_split_final_exponentiation_is_the_whole_one():
    p, q = g1.multiply(G, 5), g2.multiply_g2(H, 7)
    f = reference_pairing.miller_loop(p, q)
    assert plain_pairing.final_power(f) == reference_pairing.pairing(p, q)


def test_the_first_checks_of_a_process_load_no_kernels(monkeypatch):
    """And whoever makes them says the same."""
    made = []

    def noticed(name, check):
        return lambda pairs: made.append(name) or check(pairs)

    monkeypatch.setattr(plain_pairing, "pairing_check", noticed("plain", plain_pairing.pairing_check))
    monkeypatch.setattr(pairing, "pairing_check", noticed("compiled", pairing.pairing_check))
    monkeypatch.setattr(pairing_checks, "_made", itertools.count())
    for holds in (True, False, True, False):
        assert pairing_checks.pairing_check(_pair_with_product(3, 4, 12 + (not holds))) is holds
    assert made == ["plain", "plain", "compiled", "compiled"]


@pytest.mark.parametrize("pairing_check", [pairing.pairing_check, plain_pairing.pairing_check])
def test_several_pairs_and_infinities(pairing_check):
    pairs = [(g1.multiply(G, k), g2.multiply_g2(H, k)) for k in (2, 3, 5)]
    pairs.append((g1.negate(g1.multiply(G, 4 + 9 + 25)), H))
    assert pairing_check(pairs)
    assert pairing_check([*pairs, (g1.INFINITY, H), (G, g2.INFINITY_G2)])
    assert not pairing_check(pairs[:-1])
    assert not pairing_check([(G, H)])
    assert pairing_check([])
    assert pairing_check([(G, H), (G, g2.negate_g2(H))])


def test_g2_agrees_with_py_ecc():
    for factor in (1, 2, 3, 987654321, SCALAR_MODULUS - 1):
        x, y = bn128.multiply(bn128.G2, factor)
        expected = (tuple(int(c) for c in x.coeffs), tuple(int(c) for c in y.coeffs))
        assert g2.multiply_g2(H, factor) == expected
    assert g2.multiply_g2(H, SCALAR_MODULUS) == g2.INFINITY_G2
    assert g2.add_g2(H, g2.negate_g2(H)) == g2.INFINITY_G2


def test_g2_bytes_follow_the_evm():
    point = g2.multiply_g2(H, 77)
    encoded = g2.point_g2_to_bytes(point)
    assert int.from_bytes(encoded[:32], "big") == point[0][1]
    assert g2.point_g2_from_bytes(encoded) == point
    with pytest.raises(g1.PointLengthError):
        g2.point_g2_from_bytes(encoded[1:])


def _outside_the_subgroup():
    """A point of the twist whose order is not r: the smallest x with a square right-hand side."""
    for x0 in range(1, 100):
        x = (x0, 0)
        cube = g2.multiply_fq2(g2.multiply_fq2(x, x), x)
        right = g2.add_fq2(cube, g2.TWIST_CONSTANT)
        # Complex square root in Fq2 for q = 3 mod 4.
        norm_root = pow(right[0] ** 2 + right[1] ** 2, (BASE_MODULUS + 1) // 4, BASE_MODULUS)
        half = pow(2, -1, BASE_MODULUS)
        for sign in (1, -1):
            square = (right[0] + sign * norm_root) * half % BASE_MODULUS
            y0 = pow(square, (BASE_MODULUS + 1) // 4, BASE_MODULUS)
            if y0 and y0 * y0 % BASE_MODULUS == square:
                y = (y0, right[1] * pow(2 * y0, -1, BASE_MODULUS) % BASE_MODULUS)
                if g2.multiply_fq2(y, y) == right:
                    return (x, y)
    raise AssertionError("no such x below 100")


def test_invalid_points_are_refused():
    stray = _outside_the_subgroup()
    assert g2.is_on_twist(stray) and not g2.is_in_subgroup(stray)
    for check in (pairing_check, plain_pairing.pairing_check, reference_pairing.pairing_check):
        with pytest.raises(g2.SubgroupError):
            check([(G, stray)])
        with pytest.raises(g1.OffCurveError):
            check([((1, 3), H)])
        with pytest.raises(g1.CoordinateRangeError):
            check([((1, 2 + BASE_MODULUS), H)])
        with pytest.raises(g1.OffCurveError):
            check([(G, (H[1], H[0]))])
        with pytest.raises(g1.CoordinateRangeError):
            check([(G, ((H[0][0] + BASE_MODULUS, H[0][1]), H[1]))])
        with pytest.raises(g1.OffCurveError):
            check([(g1.INFINITY, (H[1], H[0]))])
