"""What a challenger says with the challenge that narrows a game: the commitments of every window of the disputed step, or of b_0.

    leaf(w)   = first 16 bytes of keccak(b, x_0, y_0, x_1, y_1, ...), b the posted hash of the step's end, (x, y) the commitments
                C_w of the streams that the step writes, in the streams' order; of b_0 its hash and those of the residual stream
    claim     = leaf(0), ..., leaf(W - 1), one after another: 16 W bytes
    claimHash = keccak of the keccak hashes of its groups of 32 leaves

A proof shows one group, and the hashes of all. Sixteen bytes are enough, because the posted hash is in them: a provider that posts
what is wrong has to find a window whose leaf is the true one's under the hash of just that boundary, which takes 2^128 trials, each of
another boundary. Without it two prompts whose windows have one leaf would do, a collision, for ever and in any game (2^64). A
challenger's own claim binds nobody else.

The commitments are a window's own, as a statement names them, and not running sums: of those every later one of a chunk differs
once one does, and the provider could prove a later window, in which it is right.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence

from eth_hash.auto import keccak

from prover.stream_commitments import CLAIM_GROUP
from prover.stream_commitments import CLAIM_LEAF_BYTES as LEAF_BYTES

from .streams import Point, StepAccess
from .trace import OwnTrace

_GROUP_BYTES = CLAIM_GROUP * LEAF_BYTES


def leaf(posted: bytes, commitments: Iterable[Point]) -> bytes:
    """Of one window: posted: the hash of the boundary that is disputed; the commitments of all written streams, in the streams' order."""
    words = [coordinate.to_bytes(32, "big") for point in commitments for coordinate in point]
    return keccak(b"".join([posted, *words]))[:LEAF_BYTES]


def claim_groups(claim: bytes) -> list[bytes]:
    """The groups of a claim: leaves 32 j .. 32 j + 31, the last one what is left."""
    return [claim[start : start + _GROUP_BYTES] for start in range(0, len(claim), _GROUP_BYTES)]


def group_hashes(claim: bytes) -> list[bytes]:
    """keccak256 of every group."""
    return [keccak(group) for group in claim_groups(claim)]


def claim_hash(claim: bytes) -> bytes:
    """What a game keeps of a claim, beside what it is about."""
    return keccak(b"".join(group_hashes(claim)))


def claimed_leaf(claim: bytes, window: int) -> bytes:
    """The leaf of one window."""
    return claim[LEAF_BYTES * window : LEAF_BYTES * (window + 1)]


def leaves_of_step(trace: OwnTrace, access: StepAccess, step: int, posted: bytes) -> list[bytes | None]:
    """The leaf of every window that a step of the trace writes, where this end was posted; None for a window in which it leaves its range."""
    return _leaves(posted, [trace.window_commitments(step + 1, stream) for stream in access.written])


def leaves_of_input(trace: OwnTrace, posted: bytes) -> list[bytes | None]:
    """Of every window of b_0, where this one was posted; None for a window with an id that no row belongs to."""
    return _leaves(posted, [trace.window_commitments(0, 0)])


def _leaves(posted: bytes, written: Sequence[Sequence[Point | None]]) -> list[bytes | None]:
    """written: W commitments of every stream."""
    return [_leaf_or_none(posted, window) for window in zip(*written, strict=True)]


def _leaf_or_none(posted: bytes, commitments: Sequence[Point | None]) -> bytes | None:
    known = [point for point in commitments if point is not None]
    return leaf(posted, known) if len(known) == len(commitments) else None


def claim_of(leaves: Iterable[bytes | None]) -> bytes:
    """The claim of somebody who computed these leaves.

    Of a window that has no proof any claim is right, as long as the provider cannot have posted it. So these bytes are drawn anew: a
    constant that everybody knows could be what some commitment hashes to, and the window would not differ.
    """
    return b"".join(secrets.token_bytes(LEAF_BYTES) if known is None else known for known in leaves)


def first_difference(claim: bytes, leaves: Sequence[bytes | None]) -> int | None:
    """The first window of which the claim says something else than these leaves; None when it says the same of all."""
    return next(
        (window for window, own in enumerate(leaves) if claimed_leaf(claim, window) != own),
        None,
    )


__all__ = [
    "CLAIM_GROUP",
    "LEAF_BYTES",
    "claim_groups",
    "claim_hash",
    "claim_of",
    "claimed_leaf",
    "first_difference",
    "group_hashes",
    "leaf",
    "leaves_of_input",
    "leaves_of_step",
]
