"""Passes over the rows of a running model, compiled: each does in one go over memory what arrays would do in four or five.

MEANING    the equation in the first line of each, on int64 integers.
REFUSED    nothing here: `limit` is the exclusive bound on absolute values, -limit <= y < limit, a pass returns whether all stay
           within it, and the operator that called says what left (`RunContext.check_range`).
"""

from __future__ import annotations

import numpy as np
from numba import njit

NO_LIMIT = (1 << 63) - 1
NONE = np.zeros(0, dtype=np.int64)
"""For a bias or a gain that is not there."""
NONE.setflags(write=False)
_SURELY_INT64, _DOUBTFUL = 2.0**62, 2.0**-16


@njit(nogil=True, cache=True)
def round_rows(sums: np.ndarray, bias: np.ndarray, shift: int, limit: int, y: np.ndarray) -> bool:
    """y = (sums + bias + 2^(shift-1)) >> shift; sums, y (rows, n), which may be one array, bias (n,) or (0,)."""
    half, low, high = np.int64(1) << (shift - 1), np.int64(0), np.int64(0)
    for row in range(sums.shape[0]):
        if bias.shape[0]:
            for i in range(sums.shape[1]):
                value = (sums[row, i] + bias[i] + half) >> shift
                low, high = min(low, value), max(high, value)
                y[row, i] = value
        else:
            for i in range(sums.shape[1]):
                value = (sums[row, i] + half) >> shift
                low, high = min(low, value), max(high, value)
                y[row, i] = value
    return bool(-limit <= low and high < limit)


@njit(nogil=True, cache=True)
def add_rows(a: np.ndarray, b: np.ndarray, limit: int, y: np.ndarray) -> bool:
    """y = a + b, all of one size and flat."""
    low, high = np.int64(0), np.int64(0)
    for i in range(a.shape[0]):
        value = a[i] + b[i]
        low, high = min(low, value), max(high, value)
        y[i] = value
    return bool(-limit <= low and high < limit)


@njit(nogil=True, cache=True)
def multiply_rows(a: np.ndarray, b: np.ndarray, shift: int, limit: int, y: np.ndarray) -> bool:
    """y = (a * b + 2^(shift-1)) >> shift, all of one size and flat."""
    half, low, high = np.int64(1) << (shift - 1), np.int64(0), np.int64(0)
    for i in range(a.shape[0]):
        value = (a[i] * b[i] + half) >> shift
        low, high = min(low, value), max(high, value)
        y[i] = value
    return bool(-limit <= low and high < limit)


@njit(nogil=True, cache=True)
def look_up_rows(x: np.ndarray, table: np.ndarray, y: np.ndarray) -> bool:
    """y = table[x + len(table) / 2], flat; nothing is looked up outside the table."""
    half = np.int64(table.shape[0] // 2)
    for i in range(x.shape[0]):
        if not -half <= x[i] < half:
            return False
        y[i] = table[x[i] + half]
    return True


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def sum_squares(x: np.ndarray, squares: np.ndarray) -> float:
    """squares = the sums of x^2 of every row modulo 2^64, x (rows, n); returns the largest of them as a float64."""
    largest = 0.0
    for row in range(x.shape[0]):
        total, approximate = np.int64(0), 0.0
        for i in range(x.shape[1]):
            total += x[row, i] * x[row, i]
            approximate += np.float64(x[row, i]) * np.float64(x[row, i])
        squares[row] = total
        largest = max(largest, approximate)
    return largest


@njit(nogil=True, cache=True)
def scale_rows(
    x: np.ndarray, root: np.ndarray, gain: np.ndarray, shift: int, limit: int, y: np.ndarray
) -> bool:
    """y = (x * root * gain + 2^(shift-1)) >> shift; x, y (rows, n), root (rows,), gain (n,) or (0,)."""
    half, low, high = np.int64(1) << (shift - 1), np.int64(0), np.int64(0)
    for row in range(x.shape[0]):
        for i in range(x.shape[1]):
            value = x[row, i] * root[row]
            if gain.shape[0]:
                value *= gain[i]
            value = (value + half) >> shift
            low, high = min(low, value), max(high, value)
            y[row, i] = value
    return bool(-limit <= low and high < limit)


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def inverse_root(x: np.ndarray, numerator: float, epsilon: int) -> int:
    """floor(sqrt(numerator / (sum x^2 + epsilon))) of one row, below 2^32; -1 where float64 cannot tell.

    numerator, sum, quotient and root are rounded by 2^-53 of themselves each: the root is wrong by less than 2^-19, so its floor is
    certain unless it is that near to an integer. The sum is exact where it fits int64.
    """
    total, approximate = np.int64(epsilon), np.float64(epsilon)
    for i in range(x.shape[0]):
        total += x[i] * x[i]
        approximate += np.float64(x[i]) * np.float64(x[i])
    if approximate >= _SURELY_INT64:
        return -1
    root = np.sqrt(numerator / np.float64(total))
    below = np.floor(root)
    return int(below) if _DOUBTFUL < root - below < 1 - _DOUBTFUL else -1


@njit(nogil=True, cache=True)
def normalise_rows(
    x: np.ndarray,
    numerator: float,
    epsilon: int,
    gain: np.ndarray,
    shift: int,
    limit: int,
    y: np.ndarray,
) -> tuple[bool, bool]:
    """`scale_rows` by the `inverse_root` of each row, and whether all of these are certain: otherwise y means nothing."""
    root, fits = np.empty(1, dtype=np.int64), True
    for row in range(x.shape[0]):
        root[0] = inverse_root(x[row], numerator, epsilon)
        if root[0] < 0:
            return False, False
        fits = scale_rows(x[row : row + 1], root, gain, shift, limit, y[row : row + 1]) and fits
    return True, fits


@njit(nogil=True, cache=True)
def turn_rows(
    x: np.ndarray,
    positions: np.ndarray,
    cosine: np.ndarray,
    sine: np.ndarray,
    shift: int,
    limit: int,
    y: np.ndarray,
) -> bool:
    """y[.., c] = (x[.., c] cosine[p, c] + x[.., c xor 1] sine[p, c] + 2^(shift-1)) >> shift, p = positions[row]; x, y (rows, heads, size)."""
    half, low, high = np.int64(1) << (shift - 1), np.int64(0), np.int64(0)
    for row in range(x.shape[0]):
        position = positions[row]
        for head in range(x.shape[1]):
            for pair in range(x.shape[2] // 2):
                even, odd = x[row, head, 2 * pair], x[row, head, 2 * pair + 1]
                for side in range(2):
                    c = 2 * pair + side
                    own, other = (odd, even) if side else (even, odd)
                    value = (own * cosine[position, c] + other * sine[position, c] + half) >> shift
                    low, high = min(low, value), max(high, value)
                    y[row, head, c] = value
    return bool(-limit <= low and high < limit)


@njit(nogil=True, cache=True, fastmath={"reassoc", "nnan", "nsz"})
def weigh_row(scores: np.ndarray, shift: int, table: np.ndarray, places: np.ndarray) -> float:
    """Scores that a query sees become their weights, table[(max - score) >> shift]; returns their sum, an integer below 2^31.

    Three loops, of which the compiler takes two in vector lanes. places: int64, as many as there are scores or more.
    """
    saturated, count = np.int64(table.shape[0] // 2), scores.shape[0]
    own_places = places[:count]
    largest = scores[0]
    for u in range(count):
        largest = max(largest, scores[u])
    for u in range(count):
        own_places[u] = min(np.int64(largest - scores[u]) >> shift, saturated)
    total = 0.0
    for u in range(count):
        weight = np.float64(table[np.uint64(own_places[u])])
        total += weight
        scores[u] = weight
    return total


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz"})
def divide_row(mixed: np.ndarray, total: float, y: np.ndarray) -> None:
    """y = floor((2 mixed + total) / (2 total)) of float64 integers below 2^52; |y| < 2^31.

    A product with 1 / (2 total) is off by less than one, so its floor by at most one, which the remainder shows: it is exact.
    """
    divisor = 2.0 * total
    inverse = 1.0 / divisor
    for c in range(mixed.shape[0]):
        twice = 2.0 * mixed[c] + total
        quotient = np.floor(twice * inverse)
        remainder = twice - quotient * divisor
        y[c] = np.int64(quotient) + np.int64(remainder >= divisor) - np.int64(remainder < 0.0)


AT_ONCE = 8
"""Positions whose keys, or values, meet all queries of a group together: sums side by side hide how long one takes."""


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nnan", "nsz"})
def score_some(queries: np.ndarray, keys: np.ndarray, count: int, scores: np.ndarray) -> None:
    """scores[h, u] = queries[h] . keys[u] for u < count <= 8; queries (n, size), keys (8, size), scores (n, count or more), all float64."""
    for head in range(queries.shape[0]):
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
        for c in range(queries.shape[1]):
            q = queries[head, c]
            s0 += q * keys[0, c]
            s1 += q * keys[1, c]
            s2 += q * keys[2, c]
            s3 += q * keys[3, c]
            s4 += q * keys[4, c]
            s5 += q * keys[5, c]
            s6 += q * keys[6, c]
            s7 += q * keys[7, c]
        sums = (s0, s1, s2, s3, s4, s5, s6, s7)
        for u in range(count):
            scores[head, u] = sums[u]


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nnan", "nsz"})
def mix_some(weights: np.ndarray, values: np.ndarray, mixed: np.ndarray) -> None:
    """mixed[h] += sum over u < 8 of weights[h, u] values[u]; weights (n, 8 or more), values (8, channels), all float64."""
    for head in range(mixed.shape[0]):
        w0, w1, w2, w3 = weights[head, 0], weights[head, 1], weights[head, 2], weights[head, 3]
        w4, w5, w6, w7 = weights[head, 4], weights[head, 5], weights[head, 6], weights[head, 7]
        for c in range(mixed.shape[1]):
            even = w0 * values[0, c] + w2 * values[2, c] + w4 * values[4, c] + w6 * values[6, c]
            odd = w1 * values[1, c] + w3 * values[3, c] + w5 * values[5, c] + w7 * values[7, c]
            mixed[head, c] += even + odd


@njit(nogil=True, cache=True)
def weigh_seen(
    scores: np.ndarray,
    positions: np.ndarray,
    start: int,
    reach: int,
    shift: int,
    table: np.ndarray,
    totals: np.ndarray,
) -> None:
    """Scores of positions from `start` on become weights, zero where a row does not see them, and totals their sums.

    scores (rows * queries, positions), queries of a row side by side, rows at `positions`; totals (rows * queries,).
    """
    queries, places = len(totals) // len(positions), np.empty(scores.shape[1], dtype=np.int64)
    for place in range(len(totals)):
        end = positions[place // queries] + 1
        first = max(0, end - reach) - start
        row = scores[place]
        totals[place] = weigh_row(row[first : end - start], shift, table, places)
        row[:first] = 0.0
        row[end - start :] = 0.0


@njit(nogil=True, cache=True)
def attend_rows(
    query: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    first: int,
    reach: int,
    shift: int,
    table: np.ndarray,
    y: np.ndarray,
) -> None:
    """Attention of rows at positions first, first + 1, ... over what they see (operators/attend.py).

    query (rows, groups, queries, size) int64, keys (groups, positions, size) and values (groups, positions, value size) int32, which
    may have more positions than are at hand;
    reach: how many positions a row sees. Scores and mixed values are float64 sums of integers below 2^53, in any order.
    """
    rows, groups, queries, size = query.shape
    channels, end, start = values.shape[2], first + rows, max(0, first + 1 - reach)
    scores = np.zeros((rows * queries, -(-(end - start) // AT_ONCE) * AT_ONCE))
    positions, totals = np.arange(first, end), np.empty(rows * queries)
    mixed, own = np.empty((rows * queries, channels)), np.empty((rows * queries, size))
    some_keys, some_values = np.zeros((AT_ONCE, size)), np.zeros((AT_ONCE, channels))
    for group in range(groups):
        for row in range(rows):
            for head in range(queries):
                for c in range(size):
                    own[row * queries + head, c] = query[row, group, head, c]
        for u in range(start, end, AT_ONCE):
            count = min(AT_ONCE, end - u)
            for i in range(count):
                for c in range(size):
                    some_keys[i, c] = keys[group, u + i, c]
            score_some(own, some_keys, count, scores[:, u - start :])
        weigh_seen(scores, positions, start, reach, shift, table, totals)
        mixed[:] = 0.0
        for u in range(start, end, AT_ONCE):
            count = min(AT_ONCE, end - u)
            for i in range(count):
                for c in range(channels):
                    some_values[i, c] = values[group, u + i, c]
            mix_some(scores[:, u - start :], some_values, mixed)
        for place in range(rows * queries):
            divide_row(mixed[place], totals[place], y[place // queries, group, place % queries])


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz"})
def weigh_scores(
    scores: np.ndarray,
    queries: int,
    first: int,
    reach: int,
    shift: int,
    table: np.ndarray,
    totals: np.ndarray,
) -> None:
    """Scores become their weights, and totals the sums of these: what `attend_rows` does between its two products.

    scores (groups, rows * queries, positions) float64, queries of a row side by side, rows at positions first, first + 1, ...;
    totals (groups, rows * queries).
    """
    places = np.empty(scores.shape[2], dtype=np.int64)
    for group in range(scores.shape[0]):
        for place in range(scores.shape[1]):
            end = first + place // queries + 1
            start = max(0, end - reach)
            row = scores[group, place]
            totals[group, place] = weigh_row(row[start:end], shift, table, places)
            row[:start] = 0.0
            row[end:] = 0.0


@njit(nogil=True, cache=True)
def divide_rows(mixed: np.ndarray, totals: np.ndarray, y: np.ndarray) -> None:
    """y[row, group, query] = floor((2 mixed + total) / (2 total)); mixed (groups, rows * queries, size), queries of a row side by side."""
    queries = y.shape[2]
    for group in range(mixed.shape[0]):
        for place in range(mixed.shape[1]):
            total = np.float64(totals[group, place])
            divide_row(mixed[group, place], total, y[place // queries, group, place % queries])
