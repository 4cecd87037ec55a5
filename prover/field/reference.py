"""Both BN254 fields in plain Python integers: the oracle that the compiled kernels are tested against."""

from collections.abc import Sequence

SCALAR_MODULUS = 21888242871839275222246405745257275088548364400416034343698204186575808495617
"""r, the order of G1: the field of polynomials, challenges and scalars."""

BASE_MODULUS = 21888242871839275222246405745257275088696311157297823662689037894645226208583
"""q, the field of the coordinates of G1."""


class DivisionByZeroError(ZeroDivisionError):
    """An inverse of zero was asked for."""


def add(a: int, b: int, modulus: int = SCALAR_MODULUS) -> int:
    """``a + b mod p``."""
    return (a + b) % modulus


def subtract(a: int, b: int, modulus: int = SCALAR_MODULUS) -> int:
    """``a - b mod p``."""
    return (a - b) % modulus


def multiply(a: int, b: int, modulus: int = SCALAR_MODULUS) -> int:
    """``a * b mod p``."""
    return a * b % modulus


def negate(a: int, modulus: int = SCALAR_MODULUS) -> int:
    """``-a mod p``."""
    return -a % modulus


def inverse(a: int, modulus: int = SCALAR_MODULUS) -> int:
    """``1/a mod p``; raises DivisionByZeroError for zero."""
    if a % modulus == 0:
        raise DivisionByZeroError("zero has no inverse: remove zero elements before inverting")
    return pow(a, -1, modulus)


def batch_inverse(values: Sequence[int], modulus: int = SCALAR_MODULUS) -> list[int]:
    """The inverse of every value, by Montgomery's trick: one inversion and 3(n-1) products."""
    prefix = [1]
    for value in values:
        prefix.append(prefix[-1] * value % modulus)
    running = inverse(prefix[-1], modulus)
    inverses = [0] * len(values)
    for position in reversed(range(len(values))):
        inverses[position] = running * prefix[position] % modulus
        running = running * values[position] % modulus
    return inverses
