"""Signed digits of scalars, and the entry lists that segment_sums takes.

A magnitude ``v`` is written ``sum_w d_w 2^(c w)`` with digits in [-2^(c-1), 2^(c-1)). Adding the offset
``sum_(w < top) 2^(c-1) 2^(c w)`` first makes every digit a plain bit field minus 2^(c-1), with no carries to
follow; the top digit has no offset and lies in [0, 2^(c-1)].
"""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

LIMB_BITS = 64


def offset_of(digit_bits: int, windows: int) -> int:
    """The constant that turns signed digits into bit fields."""
    repunit = ((1 << (digit_bits * (windows - 1))) - 1) // ((1 << digit_bits) - 1)
    return repunit << (digit_bits - 1)


def windows_for(largest: int, digit_bits: int) -> int:
    """The least number of windows whose digits reach every magnitude up to ``largest``."""
    windows = max(1, largest.bit_length() // digit_bits)
    while (largest + offset_of(digit_bits, windows)) >> (digit_bits * (windows - 1)) > 1 << (digit_bits - 1):
        windows += 1
    return windows


def with_offset(magnitudes: NDArray[np.uint64], digit_bits: int, windows: int) -> NDArray[np.uint64]:
    """(n, limbs) magnitudes plus the offset; the sum must fit the limbs (it does: see windows_for)."""
    offset = offset_of(digit_bits, windows).to_bytes(8 * magnitudes.shape[1], "little")
    return _add_offset(magnitudes, np.frombuffer(offset, dtype="<u8").astype(np.uint64))


def split_signs(values: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """Magnitudes (n, 1) uint64 and signs (n,) uint8 (1 = negative) of signed integers."""
    magnitudes = np.abs(values).astype(np.uint64)  # |-2^63| wraps to -2^63, whose bits are 2^63
    return magnitudes.reshape(-1, 1), (values < 0).astype(np.uint8)


@njit(cache=True, nogil=True, parallel=True)
def _add_offset(magnitudes, offset):
    shifted = np.empty_like(magnitudes)
    for i in prange(len(magnitudes)):
        carry = np.uint64(0)
        for limb in range(magnitudes.shape[1]):
            partial = magnitudes[i, limb] + carry
            total = partial + offset[limb]
            carry = np.uint64(partial < carry) | np.uint64(total < partial)
            shifted[i, limb] = total
    return shifted


@njit(cache=True, nogil=True)
def signed_digit(shifted, row, window, windows, digit_bits):
    """Digit ``window`` of a magnitude that already carries the offset."""
    bit = window * digit_bits
    limb, shift = bit >> 6, np.uint64(bit & 63)
    field = shifted[row, limb] >> shift
    if (bit & 63) + digit_bits > 64 and limb + 1 < shifted.shape[1]:
        field |= shifted[row, limb + 1] << (np.uint64(64) - shift)
    digit = np.int64(field & ((np.uint64(1) << np.uint64(digit_bits)) - np.uint64(1)))
    if window == windows - 1:
        # Nothing lies above the top digit, which may need digit_bits bits exactly.
        return digit
    return digit - (1 << (digit_bits - 1))


@njit(cache=True, nogil=True, parallel=True)
def count_buckets(shifted, first_window, group, windows, digit_bits):
    """(group, 2^(c-1)) int64: how many digits of each absolute value (1, 2, ...) each window has."""
    buckets = 1 << (digit_bits - 1)
    counts = np.zeros((group, buckets), np.int64)
    for g in prange(group):
        for row in range(len(shifted)):
            digit = abs(signed_digit(shifted, row, first_window + g, windows, digit_bits))
            if digit:
                counts[g, digit - 1] += 1
    return counts


@njit(cache=True, nogil=True, parallel=True)
def bucket_entries(shifted, negative, first_window, group, windows, digit_bits, starts):
    """Entries ``2 * point + sign`` of every window's points, sorted by bucket, for segment_sums."""
    buckets = 1 << (digit_bits - 1)
    entries = np.empty(starts[-1], np.uint32)
    for g in prange(group):
        cursors = starts[g * buckets : (g + 1) * buckets].copy()
        for row in range(len(shifted)):
            digit = signed_digit(shifted, row, first_window + g, windows, digit_bits)
            if digit:
                bucket = abs(digit) - 1
                sign = np.uint32(digit < 0) ^ np.uint32(negative[row])
                entries[cursors[bucket]] = np.uint32(2 * row) | sign
                cursors[bucket] += 1
    return entries


@njit(cache=True, nogil=True, parallel=True)
def count_row_digits(shifted, columns, windows, digit_bits):
    """(rows,) int64: non-zero digits of each row of a row-major (rows * columns, limbs) array."""
    rows = len(shifted) // columns
    counts = np.zeros(rows, np.int64)
    for row in prange(rows):
        for column in range(columns):
            for window in range(windows):
                if signed_digit(shifted, row * columns + column, window, windows, digit_bits):
                    counts[row] += 1
    return counts


@njit(cache=True, nogil=True, parallel=True)
def table_entries(shifted, negative, columns, windows, digit_bits, starts):
    """Entries into a table of multiples laid out [window][multiple - 1][column], one segment per row."""
    rows = len(shifted) // columns
    multiples = 1 << (digit_bits - 1)
    entries = np.empty(starts[-1], np.uint32)
    for row in prange(rows):
        cursor = starts[row]
        for window in range(windows):
            for column in range(columns):
                value = row * columns + column
                digit = signed_digit(shifted, value, window, windows, digit_bits)
                if digit:
                    position = (window * multiples + abs(digit) - 1) * columns + column
                    sign = np.uint32(digit < 0) ^ np.uint32(negative[value])
                    entries[cursor] = np.uint32(2 * position) | sign
                    cursor += 1
    return entries
