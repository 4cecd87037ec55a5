"""All boundaries of a sequence: what a provider commits to and a dispute bisects over.

For T tokens fed and L layers, b_0 .. b_2L are integer matrices of T' rows, T' = T rounded up to a multiple of 32.
Rows from T on have the zero embedding and otherwise run like any other; causality keeps them from touching the
real ones. Stored as int32: 4·(2L+1)·T'·d bytes, 4.5 MB per window of SmolLM2-135M.

Where a value leaves its range the trace ends. With s the first step at which any row leaves, and w the first window of
step s that has such a row, it holds b_0 .. b_s, and of b_(s+1) the windows in front of w. Nobody can prove step s in
window w from b_s, whatever is claimed to follow (REFUSED in the file of every operator).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..program import WINDOW_ROWS, OutOfRange
from .errors import SequenceTooLongError, TokenError
from .execute import Executor
from .weights import IntegerModel


@dataclass(frozen=True)
class Refusal:
    """Where a trace ends: this window of this step has no proof. `error` names tensor, layer and position."""

    step: int
    window: int
    error: OutOfRange


class Trace:
    """Boundaries of one sequence, all of them unless `refusal` says where a value left its range."""

    length: int
    refusal: Refusal | None

    def __init__(
        self,
        model: IntegerModel | Executor,
        ids: Sequence[int],
        *,
        progress: Callable[[str, int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Compute every boundary of `ids` (prompt and output without its last token) in one causal pass.

        Raises TokenError, SequenceTooLongError (the padded length must fit the model's positions) and
        GenerationCancelledError. A value that leaves its range ends the trace instead.
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
        # (2L+1, T', hidden) int32: |x| < 2^30 by the declared range; what is not known stays unwritten
        self._rows = rows = np.empty((steps + 1, padded, config.hidden), dtype=np.int32)
        reached = 0

        def keep(index: int, values: np.ndarray) -> None:
            nonlocal reached
            rows[index], reached = values, index
            if progress:
                progress("trace", index, steps)

        self.length, self.refusal = len(ids), None
        try:
            executor.feed_rows(first, executor.start(), on_boundary=keep, cancelled=cancelled)
        except OutOfRange as error:
            self.refusal = self._run_up_to_the_refusal(executor, reached, error)
        rows.setflags(write=False)

    def _run_up_to_the_refusal(self, executor: Executor, step: int, error: OutOfRange) -> Refusal:
        """Run a step that left its range again, window by window, and keep those in front of the first that leaves.

        Operators see all rows before the next operator sees any, so the row that `error` names need not be in that
        window; every window by itself is what a proof is about.
        """
        decoding = executor.start()
        for window in range(self.windows):
            try:
                after = executor.run_step(step, self.window(step, window), decoding)
            except OutOfRange as refused:
                return Refusal(step, window, refused)
            self._rows[step + 1, decoding.length : decoding.length + WINDOW_ROWS] = after
            decoding.length += WINDOW_ROWS
        raise error  # the windows would be right where the whole is not: then nothing is known for certain

    @property
    def steps(self) -> int:
        """2L."""
        return self._rows.shape[0] - 1

    @property
    def windows(self) -> int:
        """W = T' / 32."""
        return self._rows.shape[1] // WINDOW_ROWS

    def known_windows(self, index: int) -> int:
        """How many windows of b_index are known, from the first one on: W in front of a refusal, 0 behind it."""
        if self.refusal is None or index <= self.refusal.step:
            return self.windows
        return self.refusal.window if index == self.refusal.step + 1 else 0

    def boundary(self, index: int) -> np.ndarray:
        """b_index, (T', hidden) int64. Raises OutOfRange when it is not known as a whole."""
        self._require(index, self.windows)
        return self._rows[index].astype(np.int64)

    def window(self, index: int, window: int) -> np.ndarray:
        """Rows 32·window .. 32·window+31 of b_index, (32, hidden) int64. Raises OutOfRange when it is not known."""
        self._require(index, window + 1)
        return self._rows[index, WINDOW_ROWS * window : WINDOW_ROWS * (window + 1)].astype(np.int64)

    def _require(self, index: int, windows: int) -> None:
        if self.refusal is not None and windows > self.known_windows(index):
            raise self.refusal.error
