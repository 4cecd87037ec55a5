"""Attention of a few rows each of many sequences, whose earlier rows stand in shared blocks (operators/attend.py).

MEANING    what `row_passes.attend_rows` gives for every sequence by itself, whatever the company: rows touch nothing but the
           blocks that their own sequence lists.
REFUSED    never: `attend.py` bounds what comes in by its widths.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from ..other_threads import other_threads
from .row_passes import divide_row, weigh_row

# Products below which waking another thread costs more than it gives.
_WORTH_A_THREAD = 1 << 18

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

    query (rows, groups, queries, size) int64. places: which rows of query and y, the sequence of each, its position, and by
    sequence the numbers of its blocks. blocks: keys, second parts of keys (size 0: none) and values, (blocks, all groups,
    window, size) int32, of which the groups at hand begin at `first_group`; groups behind the last one are zero.
    """
    work = int(places[2].sum()) * query.shape[1] * query.shape[2] * query.shape[3]
    arguments = (np.ascontiguousarray(query), *places, *blocks, first_group, reach, shift, table, y)
    if work < _WORTH_A_THREAD or len(places[0]) < 2 or not other_threads.acquire(blocking=False):
        _attend(*arguments)
        return
    try:
        _attend_in_threads(*arguments)
    finally:
        other_threads.release()


def compile_block_attention() -> None:
    """Both kernels, on one row of zeros."""
    one, zeros = np.zeros(1, dtype=np.int64), np.zeros((1, 1, 1, 2), dtype=np.int64)
    kept, table = np.zeros((1, 1, 1, 2), dtype=np.int32), np.ones(2, dtype=np.int64)
    places, blocks = (one, one, one, one[None]), (kept, np.ascontiguousarray(kept[..., :0]), kept)
    for attend in (_attend, _attend_in_threads):
        attend(zeros, *places, *blocks, 0, 1, 1, table, zeros.copy())


# Scores and mixed values are float64 sums of integers below 2^53, in any order.
@njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nnan", "nsz"})
def _attend_row(
    query: np.ndarray,
    position: int,
    blocks: np.ndarray,
    keys: np.ndarray,
    more: np.ndarray,
    values: np.ndarray,
    first_group: int,
    reach: int,
    shift: int,
    table: np.ndarray,
    y: np.ndarray,
) -> None:
    groups, queries, size = query.shape
    window, own_size, channels = keys.shape[2], keys.shape[3], values.shape[3]
    end = position + 1
    start = max(0, end - reach)
    score, own = np.empty((queries, end - start)), np.empty((queries, size))
    key, mixed = np.empty(size), np.empty((queries, channels))
    totals, places = np.empty(queries), np.empty(end - start, dtype=np.int64)
    for group in range(groups):
        place = first_group + group
        if place >= keys.shape[1]:
            y[group] = 0
            continue
        for head in range(queries):
            for c in range(size):
                own[head, c] = query[group, head, c]
        for u in range(start, end):
            block, row = blocks[u // window], u % window
            for c in range(own_size):
                key[c] = keys[block, place, row, c]
            for c in range(more.shape[3]):
                key[own_size + c] = more[block, place, row, c]
            for head in range(queries):
                product = 0.0
                for c in range(size):
                    product += own[head, c] * key[c]
                score[head, u - start] = product
        mixed[:] = 0.0
        for head in range(queries):
            totals[head] = weigh_row(score[head], shift, table, places)
        for u in range(start, end):
            block, row = blocks[u // window], u % window
            for head in range(queries):
                weight_of_u = score[head, u - start]
                for c in range(channels):
                    mixed[head, c] += weight_of_u * np.float64(values[block, place, row, c])
        for head in range(queries):
            divide_row(mixed[head], totals[head], y[group, head])


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
    for i in range(len(rows)):
        row, blocks = rows[i], tables[owners[i]]
        _attend_row(
            query[row], positions[i], blocks, keys, more, values, first_group, reach, shift, table, y[row]
        )


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
    for i in prange(len(rows)):
        row, blocks = rows[i], tables[owners[i]]
        _attend_row(
            query[row], positions[i], blocks, keys, more, values, first_group, reach, shift, table, y[row]
        )
