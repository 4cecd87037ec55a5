"""Merkle trees that bind positions, as the contracts' `MerklePath` checks them.

A node is keccak256(left || right) in the order of the leaves; an odd last node of a level goes up unchanged. The
number of leaves fixes the tree's shape and an index the side on every level, so a root has exactly one leaf per
index: a second one would be a collision of keccak256.
"""

from __future__ import annotations

from collections.abc import Sequence

from eth_hash.auto import keccak


def leaf_hash(encoded: bytes) -> bytes:
    """keccak256(keccak256(encoded)): hashed twice so that an inner node can never pass for a leaf."""
    return keccak(keccak(encoded))


def pair_hash(left: bytes, right: bytes) -> bytes:
    """keccak256 of two neighbours, in their order."""
    return keccak(left + right)


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


def verify_path(root: bytes, leaf: bytes, path: Sequence[bytes], index: int, count: int) -> bool:
    """Whether `leaf` is leaf `index` of the `count` leaves under `root`: `path` holds what `MerkleTree.path` gives."""
    if not 0 <= index < count:
        return False
    node, siblings = leaf, list(reversed(path))
    while count > 1:
        if index ^ 1 < count:
            if not siblings:
                return False
            sibling = siblings.pop()
            node = pair_hash(sibling, node) if index % 2 else pair_hash(node, sibling)
        index, count = index // 2, (count + 1) // 2
    return not siblings and node == root
