"""What a private model's response commits to, so that its steps can be audited, and the state of an audit: the mirrors of
`Leaves.boundary` and IAuditGame.sol.

    leaf(i) = keccak(keccak(i, boundary_hash_i)), audit root = Merkle root over the stepCount + 1 boundaries 0 .. stepCount

A boundary's hash is that of its stream roots (`streams.boundary_hash`), over running sums of *hiding* commitments. The two
boundaries of a step are shown with their paths, so neighbouring steps are chained by the one root in the response's leaf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from eth_abi.abi import encode

from .game import Outcome, Reason
from .merkle import MerkleTree, leaf_hash
from .streams import boundary_hash


def boundary_leaf(place: int, boundary: bytes) -> bytes:
    """Leaf of boundary `place`, whose hash is `boundary`, in a response's audit root."""
    return leaf_hash(encode(["uint256", "bytes32"], [place, boundary]))


@dataclass(frozen=True)
class BoundaryTree:
    """All boundaries of a response by their stream roots, in order: b_0 (before step 0) to b_n."""

    roots: tuple[tuple[bytes, ...], ...]
    tree: MerkleTree

    @classmethod
    def of(cls, roots: Sequence[Sequence[bytes]]) -> BoundaryTree:
        """`roots[i]`: the stream roots of boundary i, each 32 bytes."""
        kept = tuple(tuple(each) for each in roots)
        leaves = [boundary_leaf(place, boundary_hash(each)) for place, each in enumerate(kept)]
        return cls(kept, MerkleTree(leaves))

    @property
    def root(self) -> bytes:
        """The `audit_root` of the response's leaf, 32 bytes."""
        return self.tree.root

    def path(self, place: int) -> list[bytes]:
        """Siblings of boundary `place`, from the leaf up."""
        return self.tree.path(place)


class AuditTarget(IntEnum):
    """What an item is about: one window of a step, or of b_0 (the embedding of the tokens)."""

    STEP = 0
    INPUT = 1


@dataclass(frozen=True, order=True)
class AuditItem:
    """What an auditor names; `step` is 0 where the target is the input."""

    target: AuditTarget
    step: int
    window: int

    @classmethod
    def of_step(cls, step: int, window: int) -> AuditItem:
        return cls(AuditTarget.STEP, step, window)

    @classmethod
    def of_input(cls, window: int) -> AuditItem:
        return cls(AuditTarget.INPUT, 0, window)


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
