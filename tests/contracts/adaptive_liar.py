"""A provider that posts whatever it likes and proves everything that a sound proof system lets it prove."""

from __future__ import annotations

from collections.abc import Collection

from contracts.protocol.streams import Use
from tests.contracts.synthetic import NotProvable, SyntheticTrace

Cell = tuple[int, int]
"""A boundary and a window, or a step and a window."""


class AdaptiveLiar(SyntheticTrace):
    """Posts whatever it likes and proves everything that a sound proof system does not rule out.

    A lie at (boundary, window) is in what the step in front of the boundary writes, or in stream `only`. The next boundary
    takes it back.

    A step of a window whose inputs are the true ones is ruled out unless it claims the true output and no value leaves
    its range there. About other inputs the liar may claim anything.
    """

    def __init__(
        self,
        truth: SyntheticTrace,
        end: Cell | None,
        lies: Collection[Cell] = (),
        only: int | None = None,
    ) -> None:
        super().__init__(truth.model, truth.prompt_ids, truth.output_ids)
        self._end, self._lies, self._only = end, frozenset(lies), only
        self._no_proof = truth.out if truth.out else frozenset() if end is None else frozenset({end[1]})

    def _is_wrong(self, s: int, stream: int, window: int) -> bool:
        if (s, window) not in self._lies:
            return False
        writer = self.model.last_writer(s, stream)
        return writer == s - 1 if self._only is None else stream == self._only and writer is not None

    def _factor(self, s: int, stream: int, writer: int, window: int) -> int:
        lies = 600 + 32 * s if self._is_wrong(s, stream, window) else 0
        return lies + super()._factor(s, stream, writer, window)

    def prove_step(self, s: int, window: int) -> bytes:
        if self._end is not None and s == self._end[0] and window in self._no_proof:
            access = self.model.access(s)
            own, every = access.streams_with(Use.READS_OWN), access.streams_with(Use.READS_ALL)
            read = [(stream, window) for stream in own]
            read += [(stream, w) for stream in every for w in range(window + 1)]
            if not any(self._is_wrong(s, stream, w) for stream, w in read):
                raise NotProvable
        if not self._is_provable(s, window):
            raise NotProvable
        return b"accepted"

    def prove_embedding(self, window: int) -> bytes:
        if self._is_wrong(0, 0, window):
            raise NotProvable
        return b"accepted"

    def argmax(self, position: int) -> int | None:
        return self.output_ids[position + 1 - len(self.prompt_ids)]

    def prove_head(self, position: int, rival: int) -> bytes:
        return b"accepted"
