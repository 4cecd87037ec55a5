"""The lookup universe, and public tensors with a closed form.

All lookups of a statement go into one logUp argument over rows (tag, first, second). Tables:

    range       tag = k in 0..16,  first = v for 0 <= v < 2^k          2^17 rows, row 2^k + v (row 0 repeats row 1)
    activation  tag = 32, first = g, second = silu(g) or gelu(g)       2^bits rows, row g + 2^(bits-1)
    exponential tag = 33, first = z < 2^16, second = e                 2^16 rows, row = first

The range table and every `first` are closed forms that a verifier evaluates; `second` of
the function tables is committed once and its commitment is part of the verifier.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, reduce
from math import isqrt, pi, sqrt
from typing import Protocol

import numpy as np

LARGEST_TABLE_BITS = 22
"""Of a public table: cosine and sine of 16,384 positions of heads of 128 channels."""
WINDOW_BITS = 5
WINDOW_ROWS = 1 << WINDOW_BITS
RANGE_BITS = 16
RANGE_TABLE_BITS = RANGE_BITS + 1
ACTIVATION_TAG = 32
EXPONENTIAL_TAG = 33
EXPONENTIAL_ONE = 65535
EXPONENTIAL_SCALE = 12
EXPONENTIAL_DIGIT_BITS = 16
EXPONENTIAL_FAR_BITS = 14
"""The last 2^14 entries are zero."""


class ClosedForm(Protocol):
    """A public tensor: integers for the prover, its multilinear extension for a verifier."""

    @property
    def kind(self) -> str: ...

    def values(self, widths: Sequence[int], publics: dict[str, int]) -> np.ndarray:
        """The int64 tensor; one entry of `widths` (bits) per axis."""

    def evaluate(self, points: Sequence[Sequence[int]], publics: dict[str, int], modulus: int) -> int:
        """The multilinear extension; one point per axis."""


@dataclass(frozen=True)
class RangeTag:
    """k for row 2^k + v: sum_k k * x_k * prod_{i>k} (1 - x_i)."""

    kind: str = "range_tag"

    def values(self, widths: Sequence[int], publics: dict[str, int]) -> np.ndarray:
        return _range_rows(widths[0])[0]

    def evaluate(self, points: Sequence[Sequence[int]], publics: dict[str, int], modulus: int) -> int:
        return range_extension(points[0], modulus)[0]


@dataclass(frozen=True)
class RangeValue:
    """v for row 2^k + v."""

    kind: str = "range_value"

    def values(self, widths: Sequence[int], publics: dict[str, int]) -> np.ndarray:
        return _range_rows(widths[0])[1]

    def evaluate(self, points: Sequence[Sequence[int]], publics: dict[str, int], modulus: int) -> int:
        return range_extension(points[0], modulus)[1]


@cache
def _range_rows(width: int) -> tuple[np.ndarray, np.ndarray]:
    tags = np.zeros(1 << width, dtype=np.int64)
    values = np.zeros(1 << width, dtype=np.int64)
    for k in range(width):
        tags[1 << k : 2 << k] = k
        values[1 << k : 2 << k] = np.arange(1 << k)
    return tags, values


def range_extension(point: Sequence[int], modulus: int) -> tuple[int, int]:
    """Multilinear extensions of (tag, value) of the range table at a point, most significant bit first."""
    above = 1  # prod of (1 - x_i) over more significant bits
    tag = value = 0
    for position, coordinate in enumerate(point):
        k = len(point) - 1 - position
        selected = above * coordinate % modulus
        tag += k * selected
        below = 0
        for lower in point[position + 1 :]:
            below = (2 * below + lower) % modulus
        value += selected * below
        above = above * (1 - coordinate) % modulus
    return tag % modulus, value % modulus


@dataclass(frozen=True)
class Counter:
    """offset + index."""

    offset: int = 0
    kind: str = "counter"

    def values(self, widths: Sequence[int], publics: dict[str, int]) -> np.ndarray:
        return np.arange(1 << widths[0], dtype=np.int64) + self.offset

    def evaluate(self, points: Sequence[Sequence[int]], publics: dict[str, int], modulus: int) -> int:
        index = 0
        for coordinate in points[0]:
            index = (2 * index + coordinate) % modulus
        return (index + self.offset) % modulus


@dataclass(frozen=True)
class CausalMask:
    """[u > 32 * window + i] over axes (row i, context u); `window` is a public integer.

    With u = (u_hi, u_lo): gt(u_hi, window) + eq(u_hi, window) * gt(u_lo, i).
    """

    kind: str = "causal_mask"

    def values(self, widths: Sequence[int], publics: dict[str, int]) -> np.ndarray:
        rows, context = (1 << width for width in widths)
        position = rows * publics["window"] + np.arange(rows)
        return (np.arange(context)[None, :] > position[:, None]).astype(np.int64)

    def evaluate(self, points: Sequence[Sequence[int]], publics: dict[str, int], modulus: int) -> int:
        rows, context = points
        window_bits = len(context) - len(rows)
        window = [publics["window"] >> (window_bits - 1 - i) & 1 for i in range(window_bits)]
        greater, equal = 0, 1
        for left, right in zip(context, [*window, *rows], strict=True):
            greater = (greater + equal * left * (1 - right)) % modulus
            equal = equal * (left * right + (1 - left) * (1 - right)) % modulus
        return greater


@dataclass(frozen=True)
class BeyondWindow:
    """[u + reach <= 32 * window + i] over axes (row i, context u): too far back for attention of that reach.

    reach is a multiple of 32, so with v = window - reach / 32 this is 1 - [u > 32 * v + i], and 0 while v < 0.
    """

    reach: int
    kind: str = "beyond_window"

    def __post_init__(self) -> None:
        if self.reach < WINDOW_ROWS or self.reach % WINDOW_ROWS:
            raise ValueError(f"an attention window of {self.reach} positions is no multiple of {WINDOW_ROWS}")

    @property
    def windows(self) -> int:
        """reach / 32."""
        return self.reach // WINDOW_ROWS

    def values(self, widths: Sequence[int], publics: dict[str, int]) -> np.ndarray:
        rows, context = (1 << width for width in widths)
        position = rows * publics["window"] + np.arange(rows)
        return (np.arange(context)[None, :] + self.reach <= position[:, None]).astype(np.int64)

    def evaluate(self, points: Sequence[Sequence[int]], publics: dict[str, int], modulus: int) -> int:
        window = publics["window"] - self.windows
        if window < 0:
            return 0
        return (1 - CausalMask().evaluate(points, {"window": window}, modulus)) % modulus


@dataclass(frozen=True)
class Below:
    """[index < bound]: which entries of a padded axis are real. bound <= 2^width."""

    bound: int
    kind: str = "below"

    def values(self, widths: Sequence[int], publics: dict[str, int]) -> np.ndarray:
        return (np.arange(1 << widths[0]) < self.bound).astype(np.int64)

    def evaluate(self, points: Sequence[Sequence[int]], publics: dict[str, int], modulus: int) -> int:
        point = points[0]
        if self.bound >> len(point):
            return 1
        less, equal = 0, 1
        for position, coordinate in enumerate(point):
            if self.bound >> (len(point) - 1 - position) & 1:
                less = (less + equal * (1 - coordinate)) % modulus
                equal = equal * coordinate % modulus
            else:
                equal = equal * (1 - coordinate) % modulus
        return less


@dataclass(frozen=True)
class Inside:
    """[index_i < bounds_i for every axis i]: what is real of axes that are padded."""

    bounds: tuple[int, ...]
    kind: str = "inside"

    def values(self, widths: Sequence[int], publics: dict[str, int]) -> np.ndarray:
        parts = [Below(b).values([width], publics) for b, width in zip(self.bounds, widths, strict=True)]
        return reduce(np.multiply.outer, parts)

    def evaluate(self, points: Sequence[Sequence[int]], publics: dict[str, int], modulus: int) -> int:
        parts = (Below(b).evaluate([p], publics, modulus) for b, p in zip(self.bounds, points, strict=True))
        return reduce(lambda product, part: product * part % modulus, parts, 1)


@dataclass(frozen=True)
class Unit:
    """[index = place]."""

    place: int
    kind: str = "unit"

    def values(self, widths: Sequence[int], publics: dict[str, int]) -> np.ndarray:
        return (np.arange(1 << widths[0]) == self.place).astype(np.int64)

    def evaluate(self, points: Sequence[Sequence[int]], publics: dict[str, int], modulus: int) -> int:
        product = 1
        for position, coordinate in enumerate(points[0]):
            bit = self.place >> (len(points[0]) - 1 - position) & 1
            product = product * (coordinate if bit else 1 - coordinate) % modulus
        return product


@dataclass(frozen=True)
class Weighted:
    """A short constant vector, e.g. the powers of 2^16 that compose limbs."""

    weights: tuple[int, ...]
    kind: str = "weighted"

    def values(self, widths: Sequence[int], publics: dict[str, int]) -> np.ndarray:
        return np.array([int(w) for w in self.weights], dtype=object)

    def evaluate(self, points: Sequence[Sequence[int]], publics: dict[str, int], modulus: int) -> int:
        layer = [w % modulus for w in self.weights]
        for coordinate in points[0]:
            half = len(layer) // 2
            layer = [
                (a + coordinate * (b - a)) % modulus for a, b in zip(layer[:half], layer[half:], strict=True)
            ]
        return layer[0]


# --- function tables ------------------------------------------------------------------------------------


@cache
def activation_table(function: str, bits: int, scale: int, output_scale: int) -> np.ndarray:
    """round_half_up(2^output_scale * f(g / 2^scale)) for g = -2^(bits-1) .. 2^(bits-1) - 1.

        sigmoid(x) = 1 / (1 + exp(-x)), at least one unit: who divides by a sum of them never divides by zero
        silu(x) = x / (1 + exp(-x))
        gelu_tanh(x) = x / (1 + exp(-2 sqrt(2/pi) (x + 0.044715 x^3))) = x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2

    The last two are x / (1 + exp(-c(x))) with an odd c. Doubles say what an entry is where they are not near a half; where they are, it is
    evaluated in integer arithmetic far beyond their precision, so the table is the same on every machine. Raises ValueError for a function
    that is not among ACTIVATIONS.
    """
    if function not in ACTIVATIONS:
        raise ValueError(f"unknown activation {function!r}; known: {', '.join(ACTIVATIONS)}")
    table, is_sure = _rounded_doubles(function, bits, scale, output_scale)
    if not is_sure.all():
        table = np.where(is_sure, table, exact_activation_table(function, bits, scale, output_scale))
    return table


def _rounded_doubles(
    function: str, bits: int, scale: int, output_scale: int
) -> tuple[np.ndarray, np.ndarray]:
    """The table in doubles, and where it is right: further from a half than their errors.

    An error of c(x) of a few units in the last place moves 1 / (1 + exp(-c)) by less than as many units of one, since c times its slope is below
    0.3; with those of exp, of a sum, a quotient and two products that is far below 2^-45 of the largest entry.
    """
    half = 1 << (bits - 1)
    x = np.arange(-half, half, dtype=np.int64) / float(1 << scale)
    c = 2 * sqrt(2 / pi) * (x + 0.044715 * x**3) if function == "gelu_tanh" else x
    with np.errstate(over="ignore"):
        share = 1 / (1 + np.exp(-c))
    raised = (share if function == "sigmoid" else x * share) * float(1 << output_scale) + 0.5
    error = 2.0**-45 * max(1.0, half / (1 << scale)) * (1 << output_scale)
    table = np.floor(raised).astype(np.int64)
    if function == "sigmoid":
        table = np.maximum(table, 1)
    return table, np.abs(raised - np.rint(raised)) > error


def exact_activation_table(function: str, bits: int, scale: int, output_scale: int) -> np.ndarray:
    """`activation_table` in integers only."""
    half, fraction = 1 << (bits - 1), _ACTIVATION_FRACTION
    one = 1 << fraction
    table = np.zeros(1 << bits, dtype=np.int64)
    for g, decay in enumerate(_decays(function, scale, half + 1, fraction)):
        if function == "sigmoid":
            numerator, denominator = 2 << output_scale, one + decay
            if g < half:
                table[half + g] = max(1, (numerator * one + denominator) // (2 * denominator))
            table[half - g] = max(1, (numerator * decay + denominator) // (2 * denominator))
            continue
        # f(g) = g / (1 + decay); f(-g) = -g * decay / (1 + decay), at 2^(output_scale - scale) and rounded half up
        numerator, denominator = 2 * g << output_scale, (one + decay) << scale
        if g < half:
            table[half + g] = (numerator * one + denominator) // (2 * denominator)
        table[half - g] = (denominator - numerator * decay) // (2 * denominator)
    return table


ACTIVATIONS = ("silu", "gelu_tanh", "sigmoid")
_ACTIVATION_FRACTION = 256
"""Fractional bits. Three nested recurrences over 2^20 steps multiply an error of 2^-255 by less than 2^60."""


def _decays(function: str, scale: int, count: int, fraction: int) -> Iterator[int]:
    """2^fraction * exp(-c(g / 2^scale)) for g = 0, 1, ..., count - 1.

    For a cubic c the ratio of neighbours is exp of a quadratic, the ratio of ratios exp of a linear function, and
    the third ratio constant: exp(-c(g)) follows from three multiplications per step.
    """
    if function in ("silu", "sigmoid"):
        linear, cubic = Fraction(1, 1 << scale), Fraction(0)
    else:
        slope = 2 * _sqrt_two_over_pi()
        linear = slope / (1 << scale)
        cubic = slope * Fraction(44715, 10**6) / (1 << (3 * scale))

    def exponential(power: Fraction) -> int:
        return _exp_fixed(-power.numerator, power.denominator, fraction)

    value, ratio = 1 << fraction, exponential(linear + cubic)  # c(1) - c(0)
    second, third = exponential(6 * cubic), exponential(6 * cubic)  # second difference at 0 is 6 cubic
    for _ in range(count):
        yield value
        value = value * ratio >> fraction
        ratio = ratio * second >> fraction
        second = second * third >> fraction


def _sqrt_two_over_pi() -> Fraction:
    """sqrt(2 / pi) to 2^-300, with Machin's pi = 16 atan(1/5) - 4 atan(1/239)."""
    bits = 640

    def arctangent_of_inverse(n: int) -> int:
        total = term = (1 << bits) // n
        k = 1
        while term:
            term = -term // (n * n)
            k += 2
            total += term // k
        return total

    pi = 16 * arctangent_of_inverse(5) - 4 * arctangent_of_inverse(239)
    return Fraction(isqrt((2 << (2 * bits)) // pi), 1 << (bits // 2))


@cache
def exponential_table() -> np.ndarray:
    """round_half_up(65535 * exp(-z / 2^12)) for z < 2^16, then 2^16 zeros: what is further away weighs nothing.

    Doubles are exact enough on every machine: no entry is nearer than 2^-16 to a half, and here an exponential is wrong by less than 2^-30.
    """
    size = 1 << EXPONENTIAL_DIGIT_BITS
    table = np.zeros(2 * size, dtype=np.int64)
    table[:size] = np.floor(EXPONENTIAL_ONE * np.exp(np.arange(size) / -float(1 << EXPONENTIAL_SCALE)) + 0.5)
    return table


def _exp_fixed(numerator: int, denominator: int, fraction_bits: int) -> int:
    """floor-ish 2^fraction_bits * exp(numerator/denominator) by its Taylor series with 64 guard bits."""
    guard = fraction_bits + 64
    total = term = 1 << guard
    k = 1
    while term:
        product = term * numerator
        term = abs(product) // (denominator * k) * (-1 if product < 0 else 1)
        total += term
        k += 1
    return total >> 64
