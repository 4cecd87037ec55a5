"""What a player can do next. Plain decisions: proofs and Merkle paths are added when a move is sent."""

from __future__ import annotations

from dataclasses import dataclass

from .streams import Point


@dataclass(frozen=True)
class PostBoundaries:
    """Provider: the boundary hashes of all of this round's cuts."""

    hashes: tuple[bytes, ...]


@dataclass(frozen=True)
class RefuteClaim:
    """Provider: the claim is what was posted. The roots behind the range's start and end hashes, and the running sums of what the
    step writes.

    For an embedding dispute the roots of b_0 alone, the residual stream's sums, and kind 0.
    """

    kind: int
    roots_before: tuple[bytes, ...]
    roots_after: tuple[bytes, ...]
    sums: tuple[tuple[Point, ...], ...]


@dataclass(frozen=True)
class ProveStep:
    """Provider: prove one window of one step, of which something else is claimed."""

    step: int
    window: int


@dataclass(frozen=True)
class ProveEmbedding:
    """Provider: prove one window of b_0, of which something else is claimed."""

    window: int


@dataclass(frozen=True)
class ProveHead:
    """Provider: prove that `chosen` beats `rival` after `position`."""

    position: int
    chosen: int
    rival: int


@dataclass(frozen=True)
class ChallengeInput:
    """Challenger, round 1: b_0 is wrong, and this is what it should be (`claims`)."""

    claim: bytes


@dataclass(frozen=True)
class ChallengePart:
    """Challenger: the start of this part is right, its end is wrong. Of a part of one step with what it should write
    (`claims`), of any other with nothing."""

    part: int
    claim: bytes = b""


@dataclass(frozen=True)
class ChallengeHead:
    """Challenger, round 1: b_n is right, but `rival` beats the token after `position`."""

    position: int
    rival: int


@dataclass(frozen=True)
class ClaimTruncated:
    """Challenger: the output is short and does not end with an end token."""


@dataclass(frozen=True)
class ClaimOverrun:
    """Challenger: the output runs on behind an end token, the id at `place`."""

    place: int


@dataclass(frozen=True)
class Timeout:
    """Either side: the other side's time is over."""


@dataclass(frozen=True)
class Concede:
    """Either side: nothing is left that could be proven."""

    why: str


@dataclass(frozen=True)
class ResolveVoid:
    """Either side: another game voided the response."""


Action = (
    PostBoundaries
    | RefuteClaim
    | ProveStep
    | ProveEmbedding
    | ProveHead
    | ChallengeInput
    | ChallengePart
    | ChallengeHead
    | ClaimTruncated
    | ClaimOverrun
    | Timeout
    | Concede
    | ResolveVoid
)
