"""What a private model's response commits to, so that its steps can be audited: the mirror of `Leaves.boundary`.

    leaf(i) = keccak(keccak(i, boundary_hash_i)), audit root = Merkle root over the stepCount + 1 boundaries 0 .. stepCount

A boundary's hash is that of its stream roots (`streams.boundary_hash`), over running sums of *hiding* commitments. The two
boundaries of a step are shown with their paths, so neighbouring steps are chained by the one root in the response's leaf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi.abi import encode

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
