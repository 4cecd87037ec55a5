"""What a player knows by its own computation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .streams import Point


class OwnTrace(Protocol):
    """One response's tokens and the trace of the model over them (`prover.replay.Replay`).

    Everything beside the ids is expensive and computed on first use, so the player asks for no more
    than its next move needs.

    A trace may end early: where a value leaves the range in which the model is provable, no proof exists whatever is
    claimed, so there is nothing to compute. What is known is every boundary up to the step that fails, and of the streams
    that this step writes the windows in front of the first one that fails, and apart from these the later ones that do not.
    """

    @property
    def prompt_ids(self) -> Sequence[int]: ...

    @property
    def output_ids(self) -> Sequence[int]: ...

    def first_unprovable(self) -> tuple[int, int] | None:
        """(step, window) where the trace ends: the first step that has no proof, in its first such window.

        None when every step can be proven.
        """
        ...

    def step_kind(self, s: int) -> int:
        """The kind of step s, by its number in the model."""
        ...

    def stream_points(self, s: int, stream: int) -> Sequence[Point]:
        """The running sums of a stream at boundary b_s that are known, from the first window on: all W up to the step
        where the trace ends, and none of a stream that has no windows."""
        ...

    def window_commitments(self, s: int, stream: int) -> Sequence[Point | None]:
        """C_w of all W windows of a stream at boundary b_s, as statements name them; none of a stream that has no windows.

        None where nobody can prove the window: the step that wrote it leaves its range in it, or, of b_0, no row belongs to one
        of its ids. Up to the boundary behind the step where the trace ends, whose windows are statements of their own, also
        those behind the first one without a proof. Of b_0 also where an id cannot be fed to the model.
        """
        ...

    def stream_roots(self, s: int) -> tuple[bytes, ...]:
        """The roots of all streams at boundary b_s. Raises an error when b_s is not known as a whole."""
        ...

    def boundary_hash(self, s: int) -> bytes:
        """keccak256 of the roots of boundary b_s. Raises an error when b_s is not known as a whole."""
        ...

    def argmax(self, position: int) -> int | None:
        """The token after `position` that the response's sampling rule chooses; None when no pair there has a proof."""
        ...

    def first_wrong_output(self) -> tuple[int, int] | None:
        """(position, rival) of the first output token for which no proof against that rival exists: the rival is the rule's
        token, the one that excludes the output token by min_p, or any other one when no pair there has a proof. Only for a
        trace that does not end early."""
        ...


class ProvingTrace(OwnTrace, Protocol):
    """A trace that can also prove; only the provider needs one."""

    def prove_step(self, s: int, window: int) -> bytes: ...

    def prove_embedding(self, window: int) -> bytes: ...

    def winner(self, position: int, rival: int) -> int:
        """The token that a proof against `rival` shows: the response's own, or the one that excludes the rival by min_p."""
        ...

    def prove_head(self, position: int, rival: int) -> bytes: ...


class AuditedTrace(ProvingTrace, Protocol):
    """A trace of a private model's response: its provider answers audits from it."""

    def chosen_logit_points(self) -> Sequence[Point]:
        """Commitments to the logits of the output tokens, all W windows; infinity where no output token follows a row. Raises
        an error where the head has no proof."""
        ...

    def prove_head_tile(self, window: int, tile: int) -> bytes: ...


class TraceUnavailable(RuntimeError):
    """The model cannot be run over these ids; only moves about the ids themselves are possible."""


class IdsOnly:
    """Token ids that the model cannot be run on, for instance because one is not in its vocabulary."""

    def __init__(self, prompt_ids: Sequence[int], output_ids: Sequence[int]) -> None:
        self.prompt_ids = tuple(prompt_ids)
        self.output_ids = tuple(output_ids)

    def first_unprovable(self) -> tuple[int, int] | None:
        raise TraceUnavailable("The model cannot be run over these token ids.")

    def step_kind(self, s: int) -> int:
        raise TraceUnavailable("The model cannot be run over these token ids.")

    def stream_points(self, s: int, stream: int) -> Sequence[Point]:
        raise TraceUnavailable("The model cannot be run over these token ids.")

    def window_commitments(self, s: int, stream: int) -> Sequence[Point | None]:
        raise TraceUnavailable("The model cannot be run over these token ids.")

    def stream_roots(self, s: int) -> tuple[bytes, ...]:
        raise TraceUnavailable("The model cannot be run over these token ids.")

    def boundary_hash(self, s: int) -> bytes:
        raise TraceUnavailable("The model cannot be run over these token ids.")

    def argmax(self, position: int) -> int | None:
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
    return len(output_ids) < max_tokens and lacks_end(output_ids, end_tokens)


def lacks_end(output_ids: Sequence[int], end_tokens: Sequence[int]) -> bool:
    """Whether the output does not end with an end token, so that it has to be as long as allowed."""
    return not output_ids or output_ids[-1] not in end_tokens


def overrun_place(output_ids: Sequence[int], end_tokens: Sequence[int]) -> int | None:
    """Place of the first end token that is not the output's last id; None when the output ends where it should."""
    return next((place for place, token in enumerate(output_ids[:-1]) if token in end_tokens), None)
