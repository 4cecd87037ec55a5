"""What a private model's response commits to, so that its steps can be audited, and the state of an audit: the mirrors of
`Leaves.boundary` and IAuditGame.sol.

    leaf(i) = keccak(keccak(i, boundary_hash_i)), audit root = Merkle root over the places 0 .. stepCount + 1

Places 0 .. stepCount are the boundaries. A boundary's hash is that of its stream roots (`streams.boundary_hash`), over running sums of
*hiding* commitments. The two boundaries of a step are shown with their paths, so neighbouring steps are chained by the one root in the
response's leaf. The last place is that of the chosen logits, one stream by itself: of each window with a row that an output token
follows a commitment to the logits of these tokens, of the windows in front of it the point at infinity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from eth_abi.abi import encode

from .game import Outcome, Reason
from .merkle import MerkleTree, leaf_hash
from .streams import boundary_hash

MORE_PLACES = 2
"""Places under an audit root beyond one per step: one boundary more, and the chosen logits. `AuditStatements.MORE_PLACES`."""


def boundary_leaf(place: int, boundary: bytes) -> bytes:
    """Leaf of boundary `place`, whose hash is `boundary`, in a response's audit root; of the chosen logits likewise."""
    return leaf_hash(encode(["uint256", "bytes32"], [place, boundary]))


@dataclass(frozen=True)
class BoundaryTree:
    """All that a response commits to by stream roots: the boundaries b_0 (before step 0) to b_n, and behind them the chosen logits."""

    roots: tuple[tuple[bytes, ...], ...]
    tree: MerkleTree

    @classmethod
    def of(cls, boundaries: Sequence[Sequence[bytes]], chosen_logits: bytes) -> BoundaryTree:
        """`boundaries[i]`: the stream roots of boundary i, each 32 bytes; `chosen_logits`: the root of that stream."""
        kept = (*(tuple(each) for each in boundaries), (chosen_logits,))
        leaves = [boundary_leaf(place, boundary_hash(each)) for place, each in enumerate(kept)]
        return cls(kept, MerkleTree(leaves))

    @property
    def steps(self) -> int:
        """n: the last boundary's place; the chosen logits have the next."""
        return len(self.roots) - MORE_PLACES

    @property
    def root(self) -> bytes:
        """The `audit_root` of the response's leaf, 32 bytes."""
        return self.tree.root

    def path(self, place: int) -> list[bytes]:
        """Siblings of boundary `place`, or of the chosen logits, from the leaf up."""
        return self.tree.path(place)


class AuditTarget(IntEnum):
    """What an item is about: one window of a step, of b_0 (the embedding of the tokens), or of the output against a tile of ids."""

    STEP = 0
    INPUT = 1
    HEAD = 2


@dataclass(frozen=True, order=True)
class AuditItem:
    """What an auditor names; `step` is 0 where the target is the input, and the tile where it is the head."""

    target: AuditTarget
    step: int
    window: int

    @classmethod
    def of_step(cls, step: int, window: int) -> AuditItem:
        return cls(AuditTarget.STEP, step, window)

    @classmethod
    def of_input(cls, window: int) -> AuditItem:
        return cls(AuditTarget.INPUT, 0, window)

    @classmethod
    def of_head(cls, tile: int, window: int) -> AuditItem:
        return cls(AuditTarget.HEAD, tile, window)


@dataclass(frozen=True)
class Audit:
    """Mirror of `struct Audit`; the fields' meaning is documented there."""

    batch_id: int
    index: int
    provider: str
    prompt_length: int
    is_short: bool
    auditor: str
    bond: int
    output_length: int
    ids_hash: bytes
    audit_root: bytes
    deadline: int
    remaining: int
    outcome: Outcome
    reason: Reason

    @property
    def is_open(self) -> bool:
        return self.outcome is Outcome.UNDECIDED
