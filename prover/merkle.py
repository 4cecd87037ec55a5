"""Merkle trees as OpenZeppelin's `MerkleProof.verify` checks them: sorted pairs, odd node promoted."""

from __future__ import annotations

from collections.abc import Sequence

from eth_hash.auto import keccak


def leaf_hash(encoded: bytes) -> bytes:
    """keccak256(keccak256(encoded)): hashed twice so that an inner node can never pass for a leaf."""
    return keccak(keccak(encoded))


def pair_hash(left: bytes, right: bytes) -> bytes:
    """keccak256 of the two nodes in ascending order."""
    return keccak(left + right if left <= right else right + left)


class MerkleTree:
    """All levels of a tree over 32-byte leaves; an odd last node goes up unchanged."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        if not leaves:
            raise ValueError("A Merkle tree needs at least one leaf.")
        self.levels: list[list[bytes]] = [list(leaves)]
        while len(self.levels[-1]) > 1:
            below = self.levels[-1]
            above = [pair_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)]
            if len(below) % 2:
                above.append(below[-1])
            self.levels.append(above)

    @classmethod
    def from_levels(cls, levels: Sequence[Sequence[bytes]]) -> MerkleTree:
        """A tree whose levels, leaves first, were computed before and are trusted."""
        tree = cls.__new__(cls)
        tree.levels = [list(level) for level in levels]
        return tree

    @property
    def root(self) -> bytes:
        """The single node of the last level."""
        return self.levels[-1][0]

    def path(self, index: int) -> list[bytes]:
        """The siblings from leaf `index` to the root (levels where it is promoted have none)."""
        if not 0 <= index < len(self.levels[0]):
            raise IndexError(f"The tree has {len(self.levels[0])} leaves; there is no leaf {index}.")
        siblings = []
        for level in self.levels[:-1]:
            if (sibling := index ^ 1) < len(level):
                siblings.append(level[sibling])
            index //= 2
        return siblings


def verify_path(root: bytes, leaf: bytes, path: Sequence[bytes]) -> bool:
    """Whether `path` leads from `leaf` to `root`."""
    node = leaf
    for sibling in path:
        node = pair_hash(node, sibling)
    return node == root
