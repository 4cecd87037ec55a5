"""Attention of a few rows each of many sequences, whose earlier rows stand in shared blocks (operators/attend.py).

MEANING    what `row_passes.attend_rows` gives for every sequence by itself, whatever the company: rows touch nothing but the
           blocks that their own sequence lists.
REFUSED    never: `attend.py` bounds what comes in by its widths.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from ..other_threads import other_threads
from .row_passes import AT_ONCE, divide_row, mix_some, score_some, weigh_seen

# Products of queries with keys, their weights and means included, by one thread, about: what decides whether others are worth waking.
_PRODUCTS_PER_US = 2_000

Places = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Blocks = tuple[np.ndarray, np.ndarray, np.ndarray]


def attend_blocks(
    query: np.ndarray,
    places: Places,
    blocks: Blocks,
    first_group: int,
    reach: int,
    shift: int,
    table: np.ndarray,
    y: np.ndarray,
) -> None:
    """Write rows of y, (rows, groups, queries, value size) int64.

    query (rows, groups, queries, size) int64. places: which rows of query and y, the sequence of each (rows of one side by side),
    its position, and by sequence the numbers of its blocks. blocks: keys, second parts of keys (size 0: none) and values, (blocks, all groups,
    window, size) int32, of which the groups at hand begin at `first_group`; groups behind the last one are zero.
    """
    work = int(places[2].sum()) * query.shape[1] * query.shape[2] * query.shape[3]
    arguments = (np.ascontiguousarray(query), *places, *blocks, first_group, reach, shift, table, y)
    if len(places[0]) < 2 or not other_threads.take(work / _PRODUCTS_PER_US):
        _attend(*arguments)
        return
    try:
        _attend_in_threads(*arguments)
    finally:
        other_threads.give_back()


def compile_block_attention() -> None:
    """Both kernels, on one row of zeros."""
    one, zeros = np.zeros(1, dtype=np.int64), np.zeros((1, 1, 1, 2), dtype=np.int64)
    kept, table = np.zeros((1, 1, 1, 2), dtype=np.int32), np.ones(2, dtype=np.int64)
    places, blocks = (one, one, one, one[None]), (kept, np.ascontiguousarray(kept[..., :0]), kept)
    for attend in (_attend, _attend_in_threads):
        attend(zeros, *places, *blocks, 0, 1, 1, table, zeros.copy())


@njit(nogil=True, cache=True)
def _widen(
    pool: np.ndarray, group: int, blocks: np.ndarray, first: int, count: int, channel: int, wide: np.ndarray
) -> None:
    """`count` positions of a sequence from `first` on, of one group, as float64 from `channel` on."""
    window = pool.shape[2]
    for u in range(count):
        block, row = blocks[(first + u) // window], (first + u) % window
        for c in range(pool.shape[3]):
            wide[u, channel + c] = pool[block, group, row, c]


# Scores and mixed values are float64 sums of integers below 2^53, in any order.
@njit(nogil=True, cache=True)
def _attend_group(
    query: np.ndarray,
    rows: np.ndarray,
    positions: np.ndarray,
    blocks: np.ndarray,
    pools: Blocks,
    group: int,
    first_group: int,
    reach: int,
    shift: int,
    table: np.ndarray,
    y: np.ndarray,
) -> None:
    """One group of all rows of one sequence, at increasing positions: what they see is widened once for all of them."""
    keys, more, values = pools
    place, queries, size, channels = first_group + group, query.shape[2], query.shape[3], values.shape[3]
    if place >= keys.shape[1]:
        for row in rows:
            y[row, group] = 0
        return
    end, start = positions[-1] + 1, max(0, positions[0] + 1 - reach)
    scores = np.zeros((len(rows) * queries, -(-(end - start) // AT_ONCE) * AT_ONCE))
    own, mixed = np.empty((len(rows) * queries, size)), np.zeros((len(rows) * queries, channels))
    some_keys, some_values = np.zeros((AT_ONCE, size)), np.zeros((AT_ONCE, channels))
    for i in range(len(rows)):
        for head in range(queries):
            for c in range(size):
                own[i * queries + head, c] = query[rows[i], group, head, c]
    for u in range(start, end, AT_ONCE):
        count = min(AT_ONCE, end - u)
        _widen(keys, place, blocks, u, count, 0, some_keys)
        _widen(more, place, blocks, u, count, keys.shape[3], some_keys)
        score_some(own, some_keys, count, scores[:, u - start :])
    totals = np.empty(len(rows) * queries)
    weigh_seen(scores, positions, start, reach, shift, table, totals)
    for u in range(start, end, AT_ONCE):
        _widen(values, place, blocks, u, min(AT_ONCE, end - u), 0, some_values)
        mix_some(scores[:, u - start :], some_values, mixed)
    for i in range(len(rows) * queries):
        divide_row(mixed[i], totals[i], y[rows[i // queries], group, i % queries])


@njit(nogil=True, cache=True)
def _runs(owners: np.ndarray) -> np.ndarray:
    """Where the rows of every sequence begin, and the end."""
    starts = [0]
    for i in range(1, len(owners) + 1):
        if i == len(owners) or owners[i] != owners[i - 1]:
            starts.append(i)
    return np.array(starts)


@njit(nogil=True, cache=True)
def _attend(
    query: np.ndarray,
    rows: np.ndarray,
    owners: np.ndarray,
    positions: np.ndarray,
    tables: np.ndarray,
    keys: np.ndarray,
    more: np.ndarray,
    values: np.ndarray,
    first_group: int,
    reach: int,
    shift: int,
    table: np.ndarray,
    y: np.ndarray,
) -> None:
    runs, pools = _runs(owners), (keys, more, values)
    for run in range(len(runs) - 1):
        own, at = rows[runs[run] : runs[run + 1]], positions[runs[run] : runs[run + 1]]
        blocks = tables[owners[runs[run]]]
        for group in range(query.shape[1]):
            _attend_group(query, own, at, blocks, pools, group, first_group, reach, shift, table, y)


@njit(nogil=True, cache=True, parallel=True)
def _attend_in_threads(
    query: np.ndarray,
    rows: np.ndarray,
    owners: np.ndarray,
    positions: np.ndarray,
    tables: np.ndarray,
    keys: np.ndarray,
    more: np.ndarray,
    values: np.ndarray,
    first_group: int,
    reach: int,
    shift: int,
    table: np.ndarray,
    y: np.ndarray,
) -> None:
    runs, groups = _runs(owners), query.shape[1]
    for task in prange((len(runs) - 1) * groups):
        run, group = task // groups, task % groups
        own, at = rows[runs[run] : runs[run + 1]], positions[runs[run] : runs[run + 1]]
        blocks, pools = tables[owners[runs[run]]], (keys, more, values)
        _attend_group(query, own, at, blocks, pools, group, first_group, reach, shift, table, y)
