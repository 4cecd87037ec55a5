"""Public tensors of the head in audit form: which rows count, and how a tile's ids compare with the tokens of the rows.

The statement's public integers are `tile`, the rows `first` <= t < `end` that count, and `token_0` .. `token_31`, one per row.
A tile has the ids 2^b tile + v with v < 2^b. All of it is computed by the verifier, in O(32 b) multiplications.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .tables import WINDOW_ROWS, Below, Unit

TILE, FIRST, END = "tile", "first", "end"
TOKENS = tuple(f"token_{row}" for row in range(WINDOW_ROWS))


def token_publics(vocabulary: int, tiles: int) -> dict[str, int]:
    """The public integers with their exclusive bounds: a token outside the vocabulary is in no statement."""
    return {TILE: tiles, FIRST: WINDOW_ROWS, END: WINDOW_ROWS + 1, **dict.fromkeys(TOKENS, vocabulary)}


def counted_rows(publics: Mapping[str, int]) -> range:
    """The rows that a statement says something about."""
    return range(publics[FIRST], publics[END])


@dataclass(frozen=True)
class CountedRows:
    """[first <= t < end] over (row): [t < end] - [t < first], or nothing where first >= end."""

    kind: str = "counted_rows"

    def values(self, widths: Sequence[int], publics: dict[str, int]) -> np.ndarray:
        rows = np.arange(1 << widths[0])
        return ((rows >= publics[FIRST]) & (rows < publics[END])).astype(np.int64)

    def evaluate(self, points: Sequence[Sequence[int]], publics: dict[str, int], modulus: int) -> int:
        if publics[FIRST] >= publics[END]:
            return 0
        end, first = (Below(publics[name]).evaluate(points, publics, modulus) for name in (END, FIRST))
        return (end - first) % modulus


@dataclass(frozen=True)
class RealIds:
    """[2^b tile + v < vocabulary] over (token): all but what the last tile has behind the vocabulary."""

    vocabulary: int
    kind: str = "real_ids"

    def bound(self, bits: int, tile: int) -> int:
        """How many ids of a tile are real."""
        return min(max(0, self.vocabulary - (tile << bits)), 1 << bits)

    def values(self, widths: Sequence[int], publics: dict[str, int]) -> np.ndarray:
        return Below(self.bound(widths[0], publics[TILE])).values(widths, publics)

    def evaluate(self, points: Sequence[Sequence[int]], publics: dict[str, int], modulus: int) -> int:
        return Below(self.bound(len(points[0]), publics[TILE])).evaluate(points, publics, modulus)


@dataclass(frozen=True)
class SmallerIds:
    """[t counts] [2^b tile + v < token_t] over (row, token): where a tie would be the id's."""

    kind: str = "smaller_ids"

    def values(self, widths: Sequence[int], publics: dict[str, int]) -> np.ndarray:
        ids, tokens, counted = _ids_and_tokens(widths, publics)
        return (counted & (ids < tokens)).astype(np.int64)

    def evaluate(self, points: Sequence[Sequence[int]], publics: dict[str, int], modulus: int) -> int:
        rows, ids = points
        total = 0
        for row in counted_rows(publics):
            bound = publics[TOKENS[row]] - (publics[TILE] << len(ids))
            below = Below(min(max(0, bound), 1 << len(ids)))
            total += Unit(row).evaluate([rows], publics, modulus) * below.evaluate([ids], publics, modulus)
        return total % modulus


@dataclass(frozen=True)
class ChosenIds:
    """[t counts] [2^b tile + v = token_t] over (row, token)."""

    kind: str = "chosen_ids"

    def values(self, widths: Sequence[int], publics: dict[str, int]) -> np.ndarray:
        ids, tokens, counted = _ids_and_tokens(widths, publics)
        return (counted & (ids == tokens)).astype(np.int64)

    def evaluate(self, points: Sequence[Sequence[int]], publics: dict[str, int], modulus: int) -> int:
        rows, ids = points
        total = 0
        for row in counted_rows(publics):
            place = publics[TOKENS[row]] - (publics[TILE] << len(ids))
            if 0 <= place < 1 << len(ids):
                at_row = Unit(row).evaluate([rows], publics, modulus)
                total += at_row * Unit(place).evaluate([ids], publics, modulus)
        return total % modulus


def _ids_and_tokens(
    widths: Sequence[int], publics: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(1, ids) ids of the tile, (rows, 1) tokens, (rows, 1) whether the row counts."""
    ids = (publics[TILE] << widths[1]) + np.arange(1 << widths[1], dtype=np.int64)
    tokens = np.array([publics[name] for name in TOKENS], dtype=np.int64)
    rows = np.arange(1 << widths[0])
    counted = (rows >= publics[FIRST]) & (rows < publics[END])
    return ids[None, :], tokens[:, None], counted[:, None]


TokenForm = CountedRows | RealIds | SmallerIds | ChosenIds
