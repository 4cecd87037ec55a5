"""All boundaries of a sequence: what a provider commits to and a dispute bisects over.

For T tokens fed and L layers, b_0 .. b_2L are integer matrices of T' rows, T' = T rounded up to a multiple of 32.
Rows from T on have the zero embedding and otherwise run like any other; causality keeps them from touching the
real ones. Stored as int32: 4·(2L+1)·T'·d bytes, 4.5 MB per window of SmolLM2-135M.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..program import WINDOW_ROWS
from .errors import SequenceTooLongError, TokenError
from .execute import Executor
from .weights import IntegerModel


class Trace:
    """Boundaries of one sequence: `rows` is (2L+1, T', hidden) int32, read-only."""

    length: int
    rows: np.ndarray

    def __init__(
        self,
        model: IntegerModel | Executor,
        ids: Sequence[int],
        *,
        progress: Callable[[str, int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Compute every boundary of `ids` (prompt and output without its last token) in one causal pass.

        Raises TokenError, SequenceTooLongError (the padded length must fit the model's positions),
        prover.program.OutOfRange and GenerationCancelledError.
        """
        executor = model if isinstance(model, Executor) else Executor(model)
        config = executor.model.config
        if len(ids) == 0:
            raise TokenError("a trace needs at least one token; send a prompt")
        padded = -(-len(ids) // WINDOW_ROWS) * WINDOW_ROWS
        if padded > config.max_positions:
            raise SequenceTooLongError(padded, config.max_positions)
        first = np.zeros((padded, config.hidden), dtype=np.int64)
        first[: len(ids)] = executor.embed(ids)
        steps = 2 * config.layers
        rows = np.empty(
            (steps + 1, padded, config.hidden), dtype=np.int32
        )  # |x| < 2^30 by the declared range

        def keep(index: int, values: np.ndarray) -> None:
            rows[index] = values
            if progress:
                progress("trace", index, steps)

        executor.feed_rows(first, executor.start(), on_boundary=keep, cancelled=cancelled)
        rows.setflags(write=False)
        self.length, self.rows = len(ids), rows

    @property
    def steps(self) -> int:
        """2L."""
        return self.rows.shape[0] - 1

    @property
    def windows(self) -> int:
        """W = T' / 32."""
        return self.rows.shape[1] // WINDOW_ROWS

    def boundary(self, index: int) -> np.ndarray:
        """b_index, (T', hidden) int64."""
        return self.rows[index].astype(np.int64)

    def window(self, index: int, window: int) -> np.ndarray:
        """Rows 32·window .. 32·window+31 of b_index, (32, hidden) int64."""
        return self.rows[index, WINDOW_ROWS * window : WINDOW_ROWS * (window + 1)].astype(np.int64)
