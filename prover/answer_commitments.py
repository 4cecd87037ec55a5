"""The window commitments of a private model's answer, made while it is generated: there is no second pass over the text.

What every step writes is kept until a window of 32 rows is whole; then all its streams are committed at once, on one other thread, and the
rows are forgotten, but for those of the last boundary, which the logits of the answer's tokens follow from. So an answer holds the rows of the
window that it writes and of `_MOST_WAITING` windows more, whatever its length, and of each window its last rows and 64 bytes for each stream
(for SmolLM2-135M 5.9 MB of a window that waits; 74 kB and 121 points of any other). Generation waits for the thread when that is behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from .curve.g1 import Point
from .curve.point_arrays import aligned_points, to_points
from .curve.row_sums import row_sums
from .curve.srs import SRS
from .hidden_points import blind_array
from .model.execute import Rows
from .model.stream_versions import EMBEDDING
from .model_blindings import ResponseBlindings
from .program import WINDOW_ROWS
from .streams import RESIDUAL, SUMS, Stream

_MOST_WAITING = 8
"""Windows that wait to be committed: as many as a piece of a prompt has."""

Written = tuple[int, str]
"""A step, or EMBEDDING, and a stream that it wrote."""


class WindowCommitter:
    """Commits to windows of the streams of one model. Several answers share one, and its thread."""

    def __init__(self, streams: tuple[Stream, ...], steps: int, srs: SRS) -> None:
        self.numbers = {stream.name: number for number, stream in enumerate(streams)}
        self.steps, self.srs = steps, srs
        self._streams = {stream.name: stream for stream in streams}
        self._bases: dict[tuple[str, int], np.ndarray] = {}
        self._thread = ThreadPoolExecutor(1, "boundaries")

    def begin(self, blindings: ResponseBlindings) -> AnswerCommitments:
        """For one answer."""
        return AnswerCommitments(self, blindings)

    def submit(self, answer: AnswerCommitments, window: int, rows: dict[Written, np.ndarray]) -> Future[None]:
        """Commit to a window, one after the other."""
        return self._thread.submit(answer.commit, window, rows)

    def close(self) -> None:
        """End the thread once it has done what waits."""
        self._thread.shutdown()

    def sums(self, stream: str, window: int, rows: list[np.ndarray]) -> np.ndarray:
        """(R, 8) commitments, not blinded, to (32, ...) contents that a stream has one after the other."""
        bases = self._bases_of(stream, window, rows[0].shape[1:])
        return row_sums(bases, np.stack([each.reshape(-1) for each in rows]).astype(np.int64))

    def _bases_of(self, name: str, window: int, sizes: tuple[int, ...]) -> np.ndarray:
        """The powers of tau at the places of a window's entries, without those of the padding."""
        stream = self._streams[name]
        place = stream.place(window, self.srs.mu)
        if (known := self._bases.get((name, place))) is not None:
            return known
        padded = padded_sizes(stream, sizes)
        places = np.arange(WINDOW_ROWS << stream.row_bits).reshape(WINDOW_ROWS, *padded)
        used = places[(slice(None), *(slice(0, size) for size in sizes))].reshape(-1)
        bases = aligned_points(self.srs.g1[(place << stream.window_bits) + used])
        if not stream.placed:  # of a placed stream every window has its own
            self._bases[name, place] = bases
        return bases


class AnswerCommitments:
    """What one answer commits to. `keep` is an executor's `on_step`; `finish` gives the points."""

    def __init__(self, committer: WindowCommitter, blindings: ResponseBlindings) -> None:
        self.blindings = blindings
        self._committer = committer
        self._held: dict[Written, list[np.ndarray]] = {}
        self._rows = self._windows = 0
        self._points: dict[Written, list[Point]] = {}
        self._last: list[np.ndarray] = []  # by window, the residual stream behind the last step
        self._waiting: list[Future[None]] = []
        self._is_dropped = False

    def keep(self, step: int, written: Rows) -> None:
        """Rows that a step wrote, or the embedding (EMBEDDING), of all streams; behind the rows that were kept before."""
        for name, rows in written.items():
            # All streams but sums are below 2^31 by their declared widths.
            kept = rows.copy() if name in SUMS else rows.astype(np.int32)
            self._held.setdefault((step, name), []).append(kept)
        if step == EMBEDDING:
            self._rows += next(iter(written.values())).shape[0]
        if step == self._committer.steps - 1:
            self._hand_over()

    @property
    def has_rows(self) -> bool:
        """Whether anything was kept: an engine that shows nobody what its steps write keeps nothing."""
        return self._rows > 0

    @property
    def rows(self) -> int:
        """How many rows were kept, those of the padding too."""
        return self._rows

    @property
    def last_rows(self) -> np.ndarray:
        """(32 W, hidden) int64 rows of the last boundary."""
        return np.concatenate(self._last).astype(np.int64)

    def finish(self) -> Mapping[Written, list[Point]]:
        """Hiding commitments of all windows, by what wrote them. Raises ValueError when rows of a window are missing."""
        if self._rows != WINDOW_ROWS * self._windows or not self._windows:
            raise ValueError(f"{self._rows} rows were kept, which is no number of whole windows")
        self._wait(0)
        return self._points

    def drop(self) -> None:
        """Nothing will come of the answer."""
        self._is_dropped = True
        for each in self._waiting:
            each.cancel()
        self._held.clear()

    def _hand_over(self) -> None:
        while self._rows >= WINDOW_ROWS * (self._windows + 1):
            window: dict[Written, np.ndarray] = {}
            for key, parts in self._held.items():
                rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
                window[key], rest = rows[:WINDOW_ROWS], rows[WINDOW_ROWS:]
                self._held[key] = [rest] if len(rest) else []
            self._last.append(window[max(step for step, name in window if name == RESIDUAL), RESIDUAL].copy())
            self._wait(_MOST_WAITING - 1)
            self._waiting.append(self._committer.submit(self, self._windows, window))
            self._windows += 1

    def _wait(self, most: int) -> None:
        """Until at most so many windows wait. Raises what committing to one raised."""
        while len(self._waiting) > most:
            self._waiting.pop(0).result()

    def commit(self, window: int, rows: dict[Written, np.ndarray]) -> None:
        """On the committer's thread: the points of one window."""
        if self._is_dropped:
            return
        for name, number in self._committer.numbers.items():
            steps = sorted(step for step, stream in rows if stream == name)
            if not steps:
                continue
            sums = self._committer.sums(name, window, [rows[step, name] for step in steps])
            own = [self.blindings.of_window(step + 1, number, window) for step in steps]
            points = to_points(blind_array(sums, own, self._committer.srs.digest))
            for step, point in zip(steps, points, strict=True):
                self._points.setdefault((step, name), []).append(point)


def padded_sizes(stream: Stream, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of a row as they are committed: each padded to a power of two. Channels may have one more place, for the bias of the last norm."""
    if len(sizes) == 1:
        return (1 << stream.row_bits,)
    return tuple(1 << (size - 1).bit_length() for size in sizes)


__all__ = ["AnswerCommitments", "WindowCommitter", "padded_sizes"]
