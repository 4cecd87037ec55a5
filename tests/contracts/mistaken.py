"""A challenger that is wrong about one window, so that an honest provider has to prove the step that leads there."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.protocol.streams import Point, boundary_hash, stream_root
from prover.replay import Replay


class Mistaken:
    """A challenger whose own computation differs from boundary s, window w on (or about the last token)."""

    def __init__(
        self, truth: Replay, wrong_from: tuple[int, int] | None, head: tuple[int, int] | None
    ) -> None:
        self.prompt_ids, self.output_ids = truth.prompt_ids, truth.output_ids
        self._truth, self._wrong_from, self._head = truth, wrong_from, head

    def first_unprovable(self) -> tuple[int, int] | None:
        return self._truth.first_unprovable()

    def step_kind(self, s: int) -> int:
        return self._truth.step_kind(s)

    def stream_points(self, s: int, stream: int) -> Sequence[Point]:
        points = list(self._truth.stream_points(s, stream))
        if self._wrong_from is not None and s >= self._wrong_from[0]:
            window = self._wrong_from[1]
            points[window:] = [(1, 2)] * (len(points) - window)
        return points

    def window_commitments(self, s: int, stream: int) -> Sequence[Point | None]:
        points = list(self._truth.window_commitments(s, stream))
        if self._wrong_from is not None and s >= self._wrong_from[0]:
            window = self._wrong_from[1]
            points[window:] = [(1, 2)] * (len(points) - window)
        return points

    def stream_roots(self, s: int) -> tuple[bytes, ...]:
        streams = range(len(self._truth.commitment.chunk_bits))
        return tuple(stream_root(self.stream_points(s, stream)) for stream in streams)

    def boundary_hash(self, s: int) -> bytes:
        return boundary_hash(self.stream_roots(s))

    def argmax(self, position: int) -> int | None:
        return self._truth.argmax(position)

    def first_wrong_output(self) -> tuple[int, int] | None:
        return self._head
