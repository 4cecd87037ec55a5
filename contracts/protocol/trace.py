"""What a player knows by its own computation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .model import Point


class OwnTrace(Protocol):
    """One response's tokens and the trace of the model over them (`prover.replay.Replay`).

    Everything beside the ids is expensive and computed on first use, so the player asks for no more
    than its next move needs.
    """

    @property
    def prompt_ids(self) -> Sequence[int]: ...

    @property
    def output_ids(self) -> Sequence[int]: ...

    def boundary_points(self, s: int) -> Sequence[Point]:
        """The W window commitments of boundary b_s."""
        ...

    def boundary_hash(self, s: int) -> bytes:
        """keccak256 of boundary b_s's window commitments."""
        ...

    def argmax(self, position: int) -> int:
        """The model's next token after `position`, ties to the smaller id."""
        ...

    def first_wrong_output(self) -> tuple[int, int] | None:
        """(position, right next token) of the first output token that is not the model's."""
        ...


class ProvingTrace(OwnTrace, Protocol):
    """A trace that can also prove; only the provider needs one."""

    def prove_step(self, s: int, window: int) -> bytes: ...

    def prove_embedding(self, window: int) -> bytes: ...

    def prove_head(self, position: int, rival: int) -> bytes: ...


class TraceUnavailable(RuntimeError):
    """The model cannot be run over these ids; only moves about the ids themselves are possible."""


class IdsOnly:
    """Token ids that the model cannot be run on, for instance because one is not in its vocabulary."""

    def __init__(self, prompt_ids: Sequence[int], output_ids: Sequence[int]) -> None:
        self.prompt_ids = tuple(prompt_ids)
        self.output_ids = tuple(output_ids)

    def boundary_points(self, s: int) -> Sequence[Point]:
        raise TraceUnavailable("The model cannot be run over these token ids.")

    def boundary_hash(self, s: int) -> bytes:
        raise TraceUnavailable("The model cannot be run over these token ids.")

    def argmax(self, position: int) -> int:
        raise TraceUnavailable("The model cannot be run over these token ids.")

    def first_wrong_output(self) -> tuple[int, int] | None:
        raise TraceUnavailable("The model cannot be run over these token ids.")


def first_unknown_fed_id(trace: OwnTrace, vocab_size: int) -> int | None:
    """Position of the first id fed to the model that is not in its vocabulary.

    The last output id is never fed, so it is left to the head.
    """
    fed = [*trace.prompt_ids, *trace.output_ids][:-1]
    return next((position for position, token in enumerate(fed) if token >= vocab_size), None)


def is_truncated(output_ids: Sequence[int], max_tokens: int, end_tokens: Sequence[int]) -> bool:
    """Whether the output is shorter than allowed although it does not end with an end token."""
    return len(output_ids) < max_tokens and (not output_ids or output_ids[-1] not in end_tokens)


def overrun_place(output_ids: Sequence[int], end_tokens: Sequence[int]) -> int | None:
    """Place of the first end token that is not the output's last id; None when the output ends where it should."""
    return next((place for place, token in enumerate(output_ids[:-1]) if token in end_tokens), None)
