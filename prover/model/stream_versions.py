"""Which step wrote what a stream holds at a boundary: it follows from the schedule, whatever is run."""

from __future__ import annotations

from collections.abc import Mapping

from ..architectures.config import ModelConfig
from ..streams import RESIDUAL

EMBEDDING = -1
"""Stands for the step number of what writes the residual stream first."""


class StreamVersions:
    """The writers of every stream of a model, in the schedule's order."""

    def __init__(self, config: ModelConfig) -> None:
        self._writers: dict[str, list[int]] = {stream.name: [] for stream in config.streams}
        self._resets = [config.programs[step.kind].resets for step in config.schedule]
        for number, step in enumerate(config.schedule):
            program = config.programs[step.kind]
            for name in (*program.writes, *program.resets):
                self._writers[name].append(number)

    @property
    def writers(self) -> Mapping[str, list[int]]:
        """The steps that write or reset each stream, by its name."""
        return self._writers

    def version(self, index: int, stream: str) -> int | None:
        """The step that wrote what a stream holds at b_index, EMBEDDING for the embedding rows; None: no windows."""
        before = [step for step in self._writers[stream] if step < index]
        if not before:
            return EMBEDDING if stream == RESIDUAL else None
        return None if stream in self._resets[before[-1]] else before[-1]


__all__ = ["EMBEDDING", "StreamVersions"]
