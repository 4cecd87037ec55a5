"""The lookup universe, and public tensors with a closed form.

All lookups of a statement go into one logUp argument over rows (tag, first, second). Tables:

    range       tag = k in 0..16,  first = v for 0 <= v < 2^k          2^17 rows, row 2^k + v (row 0 repeats row 1)
    activation  tag = 32, first = g, second = silu(g)                  2^bits rows, row g + 2^(bits-1)
    exponential tag = 33 + saturated, first = z < 2^16, second = e     2^17 rows, row 2^16 * saturated + z
    saturation  tag = 40, first = z_hi, second = [z_hi > 0]            2^16 rows, row = first

The range and saturation tables and every `first` are closed forms that a verifier evaluates; `second` of
the function tables is committed once and its commitment is part of the verifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np

RANGE_BITS = 16
RANGE_TABLE_BITS = RANGE_BITS + 1
ACTIVATION_TAG = 32
EXPONENTIAL_TAG = 33
SATURATION_TAG = 40
EXPONENTIAL_ONE = 65535
EXPONENTIAL_SCALE = 12
EXPONENTIAL_DIGIT_BITS = 16
SATURATION_BITS = 16


class ClosedForm(Protocol):
    """A public tensor: integers for the prover, its multilinear extension for a verifier."""

    kind: str

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
    """offset + the number formed by index bits first_bit .. first_bit + bit_count - 1 (from the most significant)."""

    offset: int = 0
    first_bit: int = 0
    bit_count: int | None = None
    kind: str = "counter"

    def bits(self, width: int) -> range:
        """Positions of the bits, most significant first."""
        return range(self.first_bit, width if self.bit_count is None else self.first_bit + self.bit_count)

    def values(self, widths: Sequence[int], publics: dict[str, int]) -> np.ndarray:
        bits = self.bits(widths[0])
        index = np.arange(1 << widths[0], dtype=np.int64) >> (widths[0] - bits.stop)
        return (index & ((1 << len(bits)) - 1)) + self.offset

    def evaluate(self, points: Sequence[Sequence[int]], publics: dict[str, int], modulus: int) -> int:
        index = 0
        for position in self.bits(len(points[0])):
            index = (2 * index + points[0][position]) % modulus
        return (index + self.offset) % modulus


@dataclass(frozen=True)
class NonZero:
    """[index > 0] = 1 - prod (1 - x_i)."""

    kind: str = "non_zero"

    def values(self, widths: Sequence[int], publics: dict[str, int]) -> np.ndarray:
        return (np.arange(1 << widths[0]) > 0).astype(np.int64)

    def evaluate(self, points: Sequence[Sequence[int]], publics: dict[str, int], modulus: int) -> int:
        product = 1
        for coordinate in points[0]:
            product = product * (1 - coordinate) % modulus
        return (1 - product) % modulus


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
def silu_table(bits: int, scale: int) -> np.ndarray:
    """round_half_up(2^scale * silu(g / 2^scale)) for g = -2^(bits-1) .. 2^(bits-1) - 1.

    silu(x) = x / (1 + exp(-x)), evaluated in decimal arithmetic far beyond double precision, so the
    table is the same on every machine.
    """
    return _function_table(bits, scale, "silu")


@cache
def exponential_table() -> np.ndarray:
    """round_half_up(65535 * exp(-z / 2^12)) for z < 2^16, then 2^16 zeros (saturated)."""
    size = 1 << EXPONENTIAL_DIGIT_BITS
    one = 1 << 96
    # exp(-1/2^12) in fixed point with 96 fractional bits; its powers accumulate an error < 2^16 * 2^-95.
    step = _exp_fixed(-1, 1 << EXPONENTIAL_SCALE, 96)
    table = np.zeros(2 * size, dtype=np.int64)
    value = one
    for index in range(size):
        table[index] = (EXPONENTIAL_ONE * value * 2 + one) // (2 * one)
        value = value * step >> 96
        if value == 0:
            break
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


def _function_table(bits: int, scale: int, name: str) -> np.ndarray:
    half = 1 << (bits - 1)
    fraction = 96
    one = 1 << fraction
    step = _exp_fixed(-1, 1 << scale, fraction)
    table = np.zeros(1 << bits, dtype=np.int64)
    decay = one  # exp(-g / 2^scale)
    for g in range(half + 1):
        # silu(g) = g / (1 + decay); silu(-g) = -g * decay / (1 + decay)
        denominator = one + decay
        if g < half:
            table[half + g] = (2 * g * one + denominator) // (2 * denominator)
        table[half - g] = (denominator - 2 * g * decay) // (2 * denominator)
        decay = decay * step >> fraction
    if name != "silu":
        raise ValueError(f"unknown activation {name!r}; known: silu")
    return table
