"""All boundaries of a sequence: what a provider commits to and a dispute bisects over.

For T tokens fed and a schedule of n steps, boundary b_s is the state of all streams in front of step s: per stream
what the last step before s wrote (prover/streams.py). Streams have T' rows, T' = T rounded up to a multiple of 32. Rows from
T on have the zero embedding and otherwise run like any other; causality keeps them from touching the real ones. What a
step wrote is kept once, as int32: 5.4 MB per window of SmolLM2-135M. Partial sums are not kept: those of one sub-layer are
computed again when one of them is asked for.

Where a value leaves its range the trace ends. With s the first step at which any row leaves, and w the first window of
step s that has such a row, it holds b_0 .. b_s, and of what step s writes the windows in front of w. Nobody can prove
step s in window w from b_s, whatever is claimed to follow (REFUSED in the file of every operator). Windows behind w are
statements of their own, read from b_s alone: those in which step s stays in range can be proven, and are kept apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..program import WINDOW_ROWS, OutOfRange, Span
from ..streams import RESIDUAL, SUMS
from .batch import run_pass
from .errors import SequenceTooLongError, TokenError
from .execute import Executor, Rows
from .stream_versions import EMBEDDING, StreamVersions
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
        first = self._begin(executor, ids)
        reached = 0

        def keep(step: int, written: Rows) -> None:
            nonlocal reached
            self._keep_all(step, written)
            reached = step + 1
            if progress:
                progress("trace", step + 1, self.steps)

        try:
            executor.feed_rows(first, executor.start(), on_step=keep, cancelled=cancelled)
        except OutOfRange as error:
            self.refusal = self._run_up_to_the_refusal(executor, reached, error)

    def _begin(self, executor: Executor, ids: Sequence[int]) -> np.ndarray:
        """The rows in front of the first step, which are kept already."""
        config = executor.model.config
        if len(ids) == 0:
            raise TokenError("a trace needs at least one token; send a prompt")
        padded = -(-len(ids) // WINDOW_ROWS) * WINDOW_ROWS
        if padded > config.max_positions:
            raise SequenceTooLongError(padded, config.max_positions)
        first = np.zeros((padded, config.hidden), dtype=np.int64)
        first[: len(ids)] = executor.embed(ids)
        self.steps, self.windows = len(config.schedule), padded // WINDOW_ROWS
        self._versions = StreamVersions(config)
        self._writers = self._versions.writers
        self._written: dict[tuple[int, str], np.ndarray] = {}
        self._sums: dict[int, Rows] = {}
        self._behind: dict[int, Rows] = {}  # windows behind the refusal in which its step stays in range
        self._executor = executor
        self._keep(EMBEDDING, {RESIDUAL: first})
        self.length, self.refusal = len(ids), None
        return first

    def _keep_all(self, step: int, written: Rows) -> None:
        """Everything that a step wrote save partial sums."""
        self._keep(step, {name: rows for name, rows in written.items() if name not in SUMS})

    def _keep(self, step: int, written: Rows) -> None:
        """All streams but sums are below 2^31 by their declared widths."""
        for name, rows in written.items():
            kept = rows if name in SUMS else rows.astype(np.int32)
            kept.setflags(write=False)
            self._written[step, name] = kept

    def _run_up_to_the_refusal(self, executor: Executor, step: int, error: OutOfRange) -> Refusal:
        """Run a step that left its range again, window by window: keep those in front of the first that leaves, and apart from
        them those behind it that stay.

        Operators see all rows before the next operator sees any, so the row that `error` names need not be in that
        window; every window by itself is what a proof is about.
        """
        decoding = executor.start()
        found: dict[int, Rows] = {}
        refusal: Refusal | None = None
        known = [name for name in self._writers if self.version(step, name) is not None]
        for window in range(self.windows):
            state = {name: self._rows(step, name, window, window + 1) for name in known}
            try:
                found[window] = executor.run_step(step, state, decoding)
            except OutOfRange as refused:
                # windows behind read its keys and values all the same
                executor.pass_over(step, state, decoding)
                refusal = refusal or Refusal(step, window, refused)
            decoding.length += WINDOW_ROWS
        if refusal is None:
            raise error  # the windows would be right where the whole is not: then nothing is known for certain
        self._keep_windows(step, [found[window] for window in range(refusal.window)])
        self._behind = {window: rows for window, rows in found.items() if window > refusal.window}
        return refusal

    def _keep_windows(self, step: int, found: Sequence[Rows]) -> None:
        if found:
            self._keep(step, {name: np.concatenate([part[name] for part in found]) for name in found[0]})

    def version(self, index: int, stream: str) -> int | None:
        """The step that wrote what a stream holds at b_index, EMBEDDING for the embedding rows; None: no windows."""
        return self._versions.version(index, stream)

    def known_windows(self, index: int, stream: str = RESIDUAL) -> int:
        """How many windows of a stream are known at b_index, from the first one on; 0 for a stream without windows."""
        version = self.version(index, stream)
        if version is None:
            return 0
        if self.refusal is None or version < self.refusal.step:
            return self.windows
        return self.refusal.window if version == self.refusal.step else 0

    def provable_windows(self, index: int, stream: str = RESIDUAL) -> list[int]:
        """Windows of a stream at b_index in which the step that wrote it stays in its range: the known ones, and those behind
        the refusal. Raises OutOfRange behind the step where the trace ends."""
        version = self.version(index, stream)
        if self.refusal is not None and version is not None and version > self.refusal.step:
            raise self.refusal.error
        known = list(range(self.known_windows(index, stream)))
        is_refused = self.refusal is not None and version == self.refusal.step
        return known + (sorted(self._behind) if is_refused else [])

    def provable_window(self, index: int, window: int, stream: str = RESIDUAL) -> np.ndarray:
        """Rows of one of the `provable_windows`, (32, ...) int64. Raises OutOfRange when it is none."""
        if (
            window in self._behind
            and self.refusal is not None
            and self.version(index, stream) == self.refusal.step
        ):
            return self._behind[window][stream].astype(np.int64)
        return self.window(index, window, stream)

    def is_known(self, index: int) -> bool:
        """Whether b_index is known as a whole."""
        return self.refusal is None or index <= self.refusal.step

    def require(self, index: int) -> None:
        """Raise OutOfRange unless b_index is known as a whole."""
        if self.refusal is not None and not self.is_known(index):
            raise self.refusal.error

    def stream(self, index: int, stream: str = RESIDUAL) -> np.ndarray:
        """A stream at b_index, (T', ...) int64. Raises OutOfRange when it is not known as a whole."""
        return self._rows(index, stream, 0, self.windows)

    def window(self, index: int, window: int, stream: str = RESIDUAL) -> np.ndarray:
        """Rows 32·window .. 32·window+31 of a stream at b_index, (32, ...) int64. Raises OutOfRange when they are not known."""
        return self._rows(index, stream, window, window + 1)

    def _rows(self, index: int, stream: str, first: int, end: int) -> np.ndarray:
        version = self.version(index, stream)
        if version is None:
            raise ValueError(f"stream {stream} has no windows in front of step {index}")
        if self.refusal is not None and end > self.known_windows(index, stream):
            raise self.refusal.error
        kept = self._written.get((version, stream))
        if kept is None:
            kept = self._sum(version, stream)
        return kept[WINDOW_ROWS * first : WINDOW_ROWS * end].astype(np.int64)

    def _sum(self, step: int, stream: str) -> np.ndarray:
        """A partial sum that a step wrote. Tiles of one kind follow one another and write nothing but sums.

        The last two are kept: a step is proven from one to the next, and whoever asks in order goes on from there. All of
        them would be gigabytes for a wide layer and a long text, and a dispute, which anybody can open, asks for some.
        """
        if step not in self._sums:
            tiles = self._writers[stream][: self._writers[stream].index(step) + 1]
            first = next(
                (number for number in reversed(tiles) if self.version(number, stream) is None), tiles[0]
            )
            state = {
                name: self._rows(first, name, 0, self.windows)
                for name in self._writers
                if name not in SUMS and self.version(first, name) is not None
            }
            known = max((number for number in self._sums if first <= number < step), default=None)
            if known is not None:
                first, state = known + 1, state | self._sums[known]
            kept = {} if known is None else {known: self._sums[known]}
            decoding = self._executor.start()
            for number in range(first, step + 1):
                written = self._executor.run_step(number, state, decoding)
                state |= written
                kept = {n: rows for n, rows in kept.items() if n == number - 1} | {number: written}
            self._sums = kept
        return self._sums[step][stream]


def traces(
    executor: Executor,
    texts: Sequence[Sequence[int]],
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Trace]:
    """The same traces of several sequences, whose rows go through every step together.

    A value that leaves its range ends the trace that it belongs to. Raises what `Trace` raises for any of them, and
    `progress` may raise to stop all.
    """
    found = [Trace.__new__(Trace) for _ in texts]
    firsts = [trace._begin(executor, ids) for trace, ids in zip(found, texts, strict=True)]

    def keep(step: int, written: Rows, numbers: Sequence[int], spans: Sequence[Span]) -> None:
        for number, span in zip(numbers, spans, strict=True):
            found[number]._keep_all(
                step, {name: rows[span.first : span.end] for name, rows in written.items()}
            )
        if progress:
            progress("trace", step + 1, found[0].steps)

    for trace, outcome in zip(
        found, run_pass(executor, firsts, [0] * len(firsts), on_step=keep), strict=True
    ):
        if outcome.refused is not None:
            trace.refusal = trace._run_up_to_the_refusal(executor, *outcome.refused)
    return found
