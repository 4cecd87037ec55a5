"""Memory for keys and values of many sequences at once: blocks of one window's positions each, shared where sequences begin alike.

A block holds what every layer keeps of 32 positions. A sequence reserves all that it can come to need before it begins, so
nothing that runs is ever stopped for lack of memory. A block whose 32 tokens are fed never changes: it may be read by whoever
begins with the same tokens in the same scope, and stays, once nobody uses it, until its place is needed (least recently used
first). Blocks are named by

    name_0 = SHA-256(scope),   name_(i+1) = SHA-256(name_i | the block's 32 ids, 4 bytes each)

so equal names are equal beginnings of one scope. Nobody finds blocks of another scope: that something needs not be fed again
shows in the time to the first token, and so would what others asked.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from ..architectures.config import ModelConfig
from ..arrays import Arrays, Places, Rows
from ..operators.host_arrays import HOST
from ..operators.run_arrays import FEW_ROWS
from ..program import WINDOW_ROWS, Span

_KEPT_BYTES = 4


class RowBlocks:
    """`count` blocks, in `arrays`. Not thread-safe: one thread runs the passes that use it."""

    def __init__(self, count: int, layers: int, arrays: Arrays = HOST) -> None:
        self.count, self.arrays = count, arrays
        self._pools: list[dict[str, Rows]] = [{} for _ in range(layers)]
        self._free = list(range(count - 1, -1, -1))
        self._users = np.zeros(count, dtype=np.int64)
        self._names: dict[int, bytes] = {}
        self._known: dict[bytes, int] = {}
        self._unused: OrderedDict[int, None] = OrderedDict()  # named, nobody's; the longest unused first

    @property
    def available(self) -> int:
        """Blocks that nobody uses."""
        return len(self._free) + len(self._unused)

    def find(self, ids: Sequence[int], scope: bytes | None) -> list[int]:
        """Blocks that hold the beginning of `ids`, as many as there are; the last token is never among theirs, since it
        has yet to be fed. `scope` None: none."""
        found: list[int] = []
        if scope is None:
            return found
        name = first_name(scope)
        for start in range(0, len(ids) - WINDOW_ROWS, WINDOW_ROWS):
            name = next_name(name, ids[start : start + WINDOW_ROWS])
            if (block := self._known.get(name)) is None:
                break
            found.append(block)
        return found

    def reserve(self, found: Sequence[int], windows: int) -> np.ndarray | None:
        """The blocks of a sequence of so many windows which begins with `found`; None where not enough are available."""
        fresh = windows - len(found)
        if fresh > self.available - sum(block in self._unused for block in found):
            return None
        for block in found:
            self._unused.pop(block, None)
            self._users[block] += 1
        taken = [self._take() for _ in range(fresh)]
        return np.array([*found, *taken], dtype=np.int64)

    def release(self, blocks: np.ndarray) -> None:
        """A sequence is over. Its last blocks go first: a beginning is of use without what followed, not the other way round."""
        for block in reversed(blocks.tolist()):
            self._users[block] -= 1
            if self._users[block]:
                continue
            if block in self._names:
                self._unused[block] = None
            else:
                self._free.append(block)

    def name(self, block: int, name: bytes) -> None:
        """A block is full of tokens. Where another one has the same name already, that one stays."""
        if name not in self._known and block not in self._names:
            self._known[name], self._names[block] = block, name

    def _take(self) -> int:
        if self._free:
            block = self._free.pop()
        else:
            block, _ = self._unused.popitem(last=False)
            del self._known[self._names.pop(block)]
        self._users[block] = 1
        return block

    def pool(self, layer: int, name: str, groups: int, size: int) -> Rows:
        """What a layer keeps under a name, (blocks, groups, 32, size) int32."""
        pools = self._pools[layer]
        if name not in pools:
            pools[name] = self.arrays.kept((self.count, groups, WINDOW_ROWS, size))
        return pools[name]


class LayerRows:
    """The blocks of one layer for the rows of one pass (`prover.program.BlockRows`)."""

    def __init__(self, blocks: RowBlocks, layer: int, spans: Sequence[Span]) -> None:
        self._blocks, self._layer = blocks, layer
        positions = np.concatenate([np.arange(s.start, s.start + s.rows) for s in spans])
        self.few = _few(spans, positions)
        self._places = blocks.arrays.of(positions % WINDOW_ROWS)
        numbers = [s.blocks[np.arange(s.start, s.start + s.rows) // WINDOW_ROWS] for s in spans]
        self._numbers = blocks.arrays.of(np.concatenate(numbers))

    def extend(self, name: str, rows: Rows) -> Rows:
        """Keep rows of a pass, of streams, whose widths are below 32 bits; returns all blocks."""
        pool = self._blocks.pool(self._layer, name, rows.shape[1], rows.shape[2])
        pool[self._numbers, :, self._places] = self._blocks.arrays.narrow(rows)
        return pool

    def of_layer(self, layer: int) -> LayerRows:
        """The same for another layer."""
        other = object.__new__(LayerRows)
        other._blocks, other._layer = self._blocks, layer
        other._places, other._numbers, other.few = self._places, self._numbers, self.few
        return other


def _few(spans: Sequence[Span], positions: np.ndarray) -> Places | None:
    """`BlockRows.few`, found once for all layers."""
    few = [span for span in spans if span.rows < FEW_ROWS]
    if not few:
        return None
    rows = np.concatenate([np.arange(span.first, span.end) for span in few])
    owners = np.repeat(np.arange(len(few)), [span.rows for span in few])
    tables = np.zeros((len(few), max(span.blocks.size for span in few)), dtype=np.int64)
    for number, span in enumerate(few):
        tables[number, : span.blocks.size] = span.blocks
    return rows, owners, positions[rows], tables


def first_name(scope: bytes) -> bytes:
    """What names of blocks of a scope begin from."""
    return hashlib.sha256(scope).digest()


def next_name(name: bytes, ids: Sequence[int]) -> bytes:
    """The name of a block of `ids` behind the one called `name`."""
    return hashlib.sha256(name + np.asarray(ids, dtype="<u4").tobytes()).digest()


def bytes_per_block(config: ModelConfig) -> int:
    """Memory of a block at most: every stream that a layer reads in all windows, with its padding."""
    kept = {
        (step.layer, stream)
        for step in config.schedule
        for stream, tensor in config.programs[step.kind].reads.items()
        if "context" in config.programs[step.kind].tensors[tensor].axes
    }
    row_bits = {stream.name: stream.row_bits for stream in config.streams}
    return sum(_KEPT_BYTES * WINDOW_ROWS << row_bits[stream] for _, stream in kept)
